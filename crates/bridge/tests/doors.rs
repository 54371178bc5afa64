//! Who is let in, on a real store: with what, how often, and for how long.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use wxgate_bridge::{Bridge, BridgeConfig};
use wxgate_contract::conformance::Double;
use wxgate_contract::{
    Clock, Command, CommandError, Control, Credential, Directory, FeedEvent, PersonRef, Reply, Timestamp,
};
use wxgate_store::{Opens, SealKey, Store, StoreConfig};

struct House {
    bridge: Arc<Bridge>,
    control: Arc<dyn Control>,
    now_ms: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

async fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicI64::new(1_700_000_000_000));
    let read = Arc::clone(&now_ms);
    let clock: Arc<dyn Clock> = Arc::new(move || Timestamp(read.load(Ordering::Relaxed)));
    let config = StoreConfig {
        url: "sqlite".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        seal_key: SealKey::load_or_create(&dir.path().join("seal.key")).unwrap(),
        max_media_bytes: 1 << 20,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    };
    let store = Store::open(config, Arc::clone(&clock)).await.unwrap();
    store.add_user(&"ann".into(), Some("s3cret"), false).await.unwrap();
    store.add_user(&"bob".into(), None, false).await.unwrap();
    let config = BridgeConfig {
        store,
        vault: Arc::new(Double::new()),
        clock,
        seed: [3; 32],
        pages: Arc::new(|user, _| Some(format!("https://pages.example/{user}"))),
        account_kind: "net",
        factory: Arc::new(|row| panic!("no account is added in this test, not even {}", row.network)),
        accounts_per_user: 3,
        grace: Duration::from_secs(2),
    };
    let bridge = Bridge::new(config).await.unwrap();
    let control = bridge.control("test", None);
    House { bridge, control, now_ms, _dir: dir }
}

impl House {
    async fn knock(&self, names: &[&str], secret: &str, from: &str) -> Result<Credential, CommandError> {
        let names = names.iter().map(|name| (*name).into()).collect();
        let from: Option<IpAddr> = from.parse().ok();
        let command = Command::Authenticate { names, password: secret.to_owned(), from };
        match self.control.run(None, command).await? {
            Reply::Opened(_, credential) => Ok(credential),
            other => panic!("{other:?}"),
        }
    }

    async fn prove(&self, user: &str, from: &str, is_right: bool) -> Result<Reply, CommandError> {
        let from: Option<IpAddr> = from.parse().ok();
        self.control.run(None, Command::Scram { user: user.into(), from }).await?;
        self.control.run(None, Command::Proved { user: user.into(), from, is_right }).await
    }

    async fn opens(&self, user: &str, credential: &Credential) -> bool {
        let command = Command::StillOpens { user: user.into(), credential: credential.clone() };
        self.control.run(None, command).await.is_ok()
    }
}

#[tokio::test]
async fn a_token_opens_the_door_of_its_owner_until_the_next_is_made() {
    let house = house().await;
    let store = house.bridge.store();
    let token_of = async |who: &str, opens| store.add_token(&who.into(), "main", opens).await.unwrap();
    let (first, of_bob) = (token_of("ann", Opens::LOGIN).await, token_of("bob", Opens::ALL).await);
    let second = token_of("ann", Opens::LOGIN).await;
    let looks = store.add_token(&"ann".into(), "looks", Opens::READ).await.unwrap();
    for (user, secret, opens) in [
        ("ann", "s3cret", true),
        ("ann", second.as_str(), true),
        ("bob", of_bob.as_str(), true),
        ("ann", first.as_str(), false),
        ("ann", looks.as_str(), false),
        ("ann", of_bob.as_str(), false),
        ("bob", "s3cret", false),
        ("bob", "", false),
        ("eve", second.as_str(), false),
    ] {
        let answer = house.knock(&[user], secret, "").await;
        assert_eq!(answer.is_ok(), opens, "{user}: {answer:?}");
    }
}

#[tokio::test]
async fn guesses_at_every_door_count_together_and_a_right_token_needs_none() {
    let house = house().await;
    let token = house.bridge.store().add_token(&"ann".into(), "main", Opens::LOGIN).await.unwrap();
    house.knock(&["ann"], "s3cret", "192.0.2.1").await.unwrap();
    // A proof and a password, by turns.
    for at in 0..5 {
        house.knock(&["ann"], "guess", "203.0.113.9").await.unwrap_err();
        let wrong = house.prove("ann", "203.0.113.9", false).await;
        assert_eq!(wrong.unwrap_err(), CommandError::Denied, "{at}");
    }
    for right in
        [house.knock(&["ann"], "s3cret", "203.0.113.9").await.err(), house.prove("ann", "", true).await.err()]
    {
        assert_eq!(right, Some(CommandError::TooOften), "whoever guesses learns nothing from here on");
    }
    house.knock(&["ann"], &token, "203.0.113.9").await.expect("nobody guesses a token");
    house.knock(&["ann"], "s3cret", "192.0.2.1").await.expect("from where ann came in before");
    let moved = house.prove("ann", "203.0.113.9", true).await;
    assert!(moved.is_ok(), "a token made it one of ann's places: {moved:?}");
    assert_eq!(house.knock(&["ann"], "s3cret", "198.51.100.1").await.err(), Some(CommandError::TooOften));
    house.now_ms.fetch_add(30_000, Ordering::Relaxed);
    house.knock(&["ann"], "s3cret", "198.51.100.1").await.expect("one attempt has come back");
}

#[tokio::test]
async fn who_is_called_by_two_names_is_let_in_by_the_one_that_fits() {
    let house = house().await;
    for _ in 0..12 {
        house.knock(&["whoever", "ann"], "s3cret", "192.0.2.1").await.expect("what was right costs nothing");
    }
}

#[tokio::test]
async fn what_somebody_came_in_with_opens_until_it_is_taken_away() {
    let house = house().await;
    let store = house.bridge.store();
    let ann = "ann".into();
    let by_password = house.knock(&["ann"], "s3cret", "").await.unwrap();
    let token = store.add_token(&ann, "phone", Opens::LOGIN).await.unwrap();
    let by_token = house.knock(&["ann"], &token, "").await.unwrap();
    let fingerprint = "a".repeat(64);
    store.add_certificate(&ann, &fingerprint).await.unwrap();
    let by_certificate = Credential::Certificate(fingerprint.clone());
    let person = PersonRef { network: "net:far".into(), person: "@ann:far.example".into() };
    store.identify(&person, &ann).await.unwrap();
    let by_identity = Credential::Identity(person.clone());
    for (credential, opens) in [
        (&by_password, Opens::ALL),
        (&by_token, Opens::LOGIN),
        (&by_certificate, Opens::LOGIN),
        (&by_identity, Opens::ALL),
    ] {
        assert_eq!(store.still_opens(&ann, credential).await.unwrap(), Some(opens), "{credential:?}");
        assert!(
            house.opens("ann", credential).await && !house.opens("bob", credential).await,
            "{credential:?}"
        );
    }
    let Ok(Reply::Scram(verifier)) =
        house.control.run(None, Command::Scram { user: ann.clone(), from: None }).await
    else {
        panic!("ann has a password");
    };
    assert_eq!(verifier.credential, by_password, "a proof of the password is the password");

    let mut feed = house.bridge.subscribe();
    let distrust = Command::Distrust { user: ann.clone(), fingerprint };
    house.control.run(None, distrust).await.unwrap();
    assert!(matches!(feed.recv().await, Ok(FeedEvent::Doors(user)) if user == ann));
    assert!(!house.opens("ann", &by_certificate).await);
    store.remove_token(&ann, "phone").await.unwrap();
    assert!(!house.opens("ann", &by_token).await && house.opens("ann", &by_password).await);
    store.identify(&person, &"bob".into()).await.unwrap();
    assert!(!house.opens("ann", &by_identity).await && house.opens("bob", &by_identity).await);
    store.set_password(&ann, Some("s3cret")).await.unwrap();
    assert!(!house.opens("ann", &by_password).await, "the same word set anew is another password");
    let again = house.knock(&["ann"], "s3cret", "").await.unwrap();
    store.remove_user(&ann).await.unwrap();
    store.add_user(&ann, Some("s3cret"), false).await.unwrap();
    assert!(!house.opens("ann", &again).await, "somebody new of an old name");
}
