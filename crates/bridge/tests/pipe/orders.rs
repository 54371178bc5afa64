//! What people order comes to its end, also when they do not wait for it.

use futures_util::FutureExt as _;
use wxgate_bridge::Leaving;
use wxgate_contract::{Command, CommandError, Reply, SignInStep};
use wxgate_store::LeavingUser;

use super::*;

/// Accounts of ann, running; the runs come out of the channel in the order of their names.
async fn with_accounts(names: &[&str]) -> (Pipe, mpsc::Receiver<Life>) {
    let (lives, runs) = mpsc::channel(4);
    let factory: AdapterFactory = Arc::new(move |row| {
        Arc::new(Puppet { network: row.network.clone(), browses: false, lives: lives.clone() })
    });
    let pipe = pipe_with(tempfile::tempdir().unwrap(), factory).await;
    pipe.bridge.store().add_user(&"ann".into(), None, false).await.unwrap();
    for name in names {
        pipe.bridge.store().add_account(&NetworkId::from(*name), &"ann".into()).await.unwrap();
    }
    pipe.bridge.add_accounts().await.unwrap();
    (pipe, runs)
}

/// Plays the account's part in its end: it signs out when it is told to, and stops.
async fn sign_out(mut life: Life) {
    match tokio::time::timeout(PATIENCE, life.ctx.orders.recv()).await {
        Ok(Some(Order::SignOut)) => {}
        other => panic!("not told to sign out: {other:?}"),
    }
    assert!(!life.ctx.stop.is_stopping(), "it is ended before it could sign out");
    life.ctx.far.health(&life.ctx.network, Health::signed_out(None));
    tokio::time::timeout(PATIENCE, life.ctx.stop.stopping()).await.unwrap();
}

/// Waits until an account is removed to its last row.
async fn gone(pipe: &Pipe, account: &NetworkId) {
    let store = pipe.bridge.store();
    let going = async {
        while store.account(account).await.unwrap().is_some()
            || !store.leaving_accounts().await.unwrap().is_empty()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, going).await.expect("the removal came to no end");
}

async fn acts(pipe: &Pipe) -> Vec<String> {
    let acts = pipe.bridge.store().acts(None, 10).await.unwrap();
    acts.into_iter().map(|row| format!("{} {}", row.act.what, row.act.about)).collect()
}

#[tokio::test]
async fn a_removal_goes_on_when_nobody_waits_for_it() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let (account, there) = (NetworkId::from("net:a"), chat("net:b", "d"));
    pipe.bridge.add_link(&[chat("net:a", "c"), there.clone()]).await.unwrap();
    let other = pipe.add("net:b", false).recv().await.unwrap();
    assert!(other.ctx.linked.now().contains(&there.chat));
    let life = runs.recv().await.unwrap();
    life.ctx.far.commit(&account, said(&chat("net:a", "c"), "words", Author::Owner)).await.unwrap();

    let control = pipe.bridge.control("pages", None);
    let order = control.run(Some("ann".into()), Command::RemoveAccount { account: account.clone() });
    assert!(order.now_or_never().is_none(), "the browser is closed in the middle of it");
    sign_out(life).await;
    gone(&pipe, &account).await;

    assert!(pipe.bridge.health_of(&account).is_none());
    assert!(other.ctx.linked.now().is_empty(), "the other member of the link was told");
    let written = async {
        while acts(&pipe).await != ["account-removed a"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the audit trail has it");
    pipe.bridge.shutdown().await;
}

/// What a run is ordered next, if it is already.
fn ordered(life: &mut Life) -> Option<Order> {
    life.ctx.orders.try_recv().ok()
}

#[tokio::test]
async fn an_order_to_sign_out_that_a_run_takes_along_is_carried_out_by_the_next_one() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account = NetworkId::from("net:a");
    let control = pipe.bridge.control("pages", None);
    let sign_out = || control.run(Some("ann".into()), Command::SignOut { account: account.clone() });
    let next = async |runs: &mut mpsc::Receiver<Life>, life: Life, ending| {
        assert!(life.end.send(ending).is_ok());
        tokio::time::timeout(PATIENCE, runs.recv()).await.unwrap().unwrap()
    };
    let life = runs.recv().await.unwrap();
    sign_out().await.unwrap();
    // It moves with the order in its queue, and fails at the next place.
    let life = next(&mut runs, life, Ending::Moved).await;
    let mut life = next(&mut runs, life, Ending::Panic).await;
    assert!(
        matches!(ordered(&mut life), Some(Order::SignOut)),
        "it is signed in, and its owner was told otherwise"
    );
    life.ctx.far.health(&account, Health::signed_out(None));
    let mut life = next(&mut runs, life, Ending::Moved).await;
    assert!(ordered(&mut life).is_none(), "it was carried out");
    // Whoever signs in again wants it so.
    life.ctx.far.health(&account, Health::Up);
    sign_out().await.unwrap();
    control.run(Some("ann".into()), Command::SignIn { account: account.clone() }).await.unwrap();
    let mut life = next(&mut runs, life, Ending::Moved).await;
    assert!(ordered(&mut life).is_none());
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn whoever_follows_a_sign_in_that_a_move_takes_along_is_told() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account = NetworkId::from("net:a");
    let control = pipe.bridge.control("pages", None);
    let life = runs.recv().await.unwrap();
    let Reply::SignIn(mut watch) =
        control.run(Some("ann".into()), Command::SignIn { account }).await.unwrap()
    else {
        panic!("not followed")
    };
    assert!(life.end.send(Ending::Moved).is_ok());
    let told =
        watch.wait_for(|step| matches!(step, SignInStep::Failed { why } if why.contains("start it again")));
    tokio::time::timeout(PATIENCE, told).await.expect("nobody is told").unwrap();
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn who_orders_a_removal_that_is_under_way_waits_for_the_same_one() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account = NetworkId::from("net:a");
    let control = pipe.bridge.control("pages", None);
    let remove =
        |user: &str| control.run(Some(user.into()), Command::RemoveAccount { account: account.clone() });
    let life = runs.recv().await.unwrap();
    let (first, second, stranger, ()) =
        tokio::join!(remove("ann"), remove("ann"), remove("eve"), sign_out(life));
    assert!(matches!((&first, &second), (Ok(Reply::Done), Ok(Reply::Done))), "{first:?} {second:?}");
    assert!(matches!(stranger, Err(CommandError::NoSuchAccount(_))), "its existence is not told");
    assert!(matches!(remove("ann").await, Err(CommandError::NoSuchAccount(_))));
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_person_goes_with_everything_when_nobody_waits_for_it() {
    let (pipe, mut runs) = with_accounts(&["net:a", "net:b"]).await;
    let lives = [runs.recv().await.unwrap(), runs.recv().await.unwrap()];
    let by = (Some(UserName::from("root")), "api");
    let alone = pipe.bridge.remove_person("ann".into(), Leaving::Alone, by.clone()).await;
    assert!(matches!(alone, Err(CommandError::Refused(_))), "{alone:?}");
    let order = pipe.bridge.remove_person("ann".into(), Leaving::WithEverything, by);
    assert!(order.now_or_never().is_none(), "the command is ended in the middle of it");
    let [one, two] = lives;
    let (first, second) = if one.ctx.network.as_str() == "net:a" { (one, two) } else { (two, one) };
    sign_out(first).await;
    sign_out(second).await;
    let leaving = async {
        while pipe.bridge.store().user(&"ann".into()).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("the person is still there");
    assert!(pipe.bridge.store().accounts().await.unwrap().is_empty());
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_person_goes_although_somebody_else_removes_an_account_of_theirs_meanwhile() {
    let (pipe, mut runs) = with_accounts(&["net:a", "net:b"]).await;
    let (one, two) = (runs.recv().await.unwrap(), runs.recv().await.unwrap());
    let (mut first, second) = if one.ctx.network.as_str() == "net:a" { (one, two) } else { (two, one) };
    let removal = pipe.bridge.remove_person("ann".into(), Leaving::WithEverything, (None, "commands"));
    let meanwhile = async {
        // The turn of the first has come.
        assert!(matches!(first.ctx.orders.recv().await, Some(Order::SignOut)));
        let control = pipe.bridge.control("pages", None);
        let order = control.run(Some("ann".into()), Command::RemoveAccount { account: "net:b".into() });
        let (removed, ()) = tokio::join!(order, sign_out(second));
        removed.unwrap();
        first.ctx.far.health(&first.ctx.network, Health::signed_out(None));
        first.ctx.stop.stopping().await;
    };
    let both = async { tokio::join!(removal, meanwhile) };
    let (left, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    left.unwrap();
    assert!(pipe.bridge.store().user(&"ann".into()).await.unwrap().is_none());
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn an_account_runs_again_when_nobody_waits_for_its_new_way_out() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account = NetworkId::from("net:a");
    let note = Note { key: "way".to_owned(), value: Some(Bytes::from_static(b"x")), is_secret: true };
    let life = runs.recv().await.unwrap();
    tokio::select! {
        biased;
        // The command is ended when the old run is, and before the new one.
        () = life.ctx.stop.stopping() => {}
        done = pipe.bridge.configure(&account, note, (None, "commands", "proxy-set")) => panic!("{done:?}"),
    }
    let again = tokio::time::timeout(PATIENCE, runs.recv()).await.expect("it does not run any more");
    assert_eq!(again.unwrap().ctx.far.note(&account, "way").await.unwrap().unwrap(), "x");
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn an_end_of_the_program_does_not_wait_for_a_removal() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let life = runs.recv().await.unwrap();
    let control = pipe.bridge.control("pages", None);
    let remove = Command::RemoveAccount { account: "net:a".into() };
    let mut order = control.run(Some("ann".into()), remove);
    assert!((&mut order).now_or_never().is_none());
    drop(life);
    // It waits for the session's end, or for anything else.
    tokio::time::timeout(Duration::from_secs(4), pipe.bridge.shutdown()).await.expect("the end waits");
    assert_eq!(order.await.unwrap_err(), CommandError::Failed("the gateway is stopping".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_links_that_change_at_once_the_latest_are_told() {
    let pipe = pipe().await;
    let life = pipe.add("net:a", false).recv().await.unwrap();
    for round in 0..60 {
        let link = |n: usize| {
            let name = format!("{round}-{n}");
            let (bridge, members) = (&pipe.bridge, [chat("net:a", &name), chat("net:b", &name)]);
            async move { bridge.add_link(&members).await.unwrap() }
        };
        let made = tokio::join!(link(0), link(1), link(2), link(3));
        let stored = pipe.bridge.links().await.unwrap();
        let stored = stored.iter().flat_map(|link| &link.members);
        let stored = stored.filter(|member| member.network.as_str() == "net:a").count();
        assert_eq!(life.ctx.linked.now().len(), stored, "round {round}");
        let gone = |link| pipe.bridge.remove_link(link);
        let _ = tokio::join!(gone(made.0), gone(made.1), gone(made.2), gone(made.3));
        assert!(life.ctx.linked.now().is_empty(), "round {round}");
    }
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_removal_that_was_cut_short_goes_on_beside_everybody_else() {
    let (pipe, mut runs) = with_accounts(&["net:a", "net:b"]).await;
    let (one, two) = (runs.recv().await.unwrap(), runs.recv().await.unwrap());
    let account = NetworkId::from("net:a");
    // As a crash leaves it: marked, and nothing deleted.
    pipe.bridge.store().leave_account(&account).await.unwrap();
    pipe.bridge.go_on_removing().await.unwrap();
    gone(&pipe, &account).await;
    // Whoever wants the person gone waits for it as for any other removal.
    let other = if one.ctx.network == account { two } else { one };
    let by = (None, "commands");
    let (left, ()) =
        tokio::join!(pipe.bridge.remove_person("ann".into(), Leaving::WithEverything, by), sign_out(other));
    left.unwrap();
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn what_a_face_keeps_about_an_account_or_a_person_goes_with_them() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account_life = runs.recv().await.unwrap();
    let face = pipe.add("face:x", true).recv().await.unwrap();
    let note =
        |key: &str| Note { key: key.to_owned(), value: Some(Bytes::from_static(b"x")), is_secret: false };
    let keys = [
        "alone",
        "nick/net:a/p-1",
        "nick/net:ab/p-1",
        "nick/user:ann/c",
        "nick0",
        "seen/net:a/p-2",
        "seen/net:b/p",
    ];
    let batch = Batch { notes: keys.into_iter().map(note).collect(), ..Batch::default() };
    face.ctx.far.commit(&"face:x".into(), batch).await.unwrap();
    let by = (None, "commands");
    let removal = pipe.bridge.remove_person("ann".into(), Leaving::WithEverything, by);
    let (left, ()) = tokio::join!(removal, sign_out(account_life));
    left.unwrap();
    let kept = pipe.bridge.store().notes(&"face:x".into(), "", None, 100).await.unwrap();
    let kept: Vec<&str> = kept.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(kept, ["alone", "nick/net:ab/p-1", "nick0", "seen/net:b/p"]);
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn what_was_in_hand_of_a_removed_account_leaves_room_for_others() {
    let (pipe, mut runs) = with_accounts(&["net:a", "net:b"]).await;
    let mut face = pipe.add("face:x", false).recv().await.unwrap();
    let (life, other) = (runs.recv().await.unwrap(), runs.recv().await.unwrap());
    let (life, other) = if life.ctx.network.as_str() == "net:a" { (life, other) } else { (other, life) };
    let account = NetworkId::from("net:a");
    // As many as a network may have in hand.
    let mut in_hand = Vec::new();
    for n in 0..64 {
        let home = chat("net:a", &format!("c{n}"));
        pipe.bridge.add_link(&[home.clone(), chat("face:x", &format!("a{n}"))]).await.unwrap();
        life.ctx.far.commit(&account, said(&home, &format!("a{n}"), Author::Owner)).await.unwrap();
        in_hand.push(delivery(&mut face).await);
    }
    let home = chat("net:b", "c");
    pipe.bridge.add_link(&[home.clone(), chat("face:x", "b")]).await.unwrap();
    other.ctx.far.commit(&"net:b".into(), said(&home, "b", Author::Owner)).await.unwrap();

    let control = pipe.bridge.control("pages", None);
    let order = control.run(Some("ann".into()), Command::RemoveAccount { account: account.clone() });
    assert!(order.now_or_never().is_none());
    sign_out(life).await;
    gone(&pipe, &account).await;
    for delivery in in_hand {
        settle(&face, &delivery, sent("late")).await;
    }
    assert_eq!(text(&delivery(&mut face).await), "b");
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn accounts_that_do_not_run_yet_count_for_the_limit() {
    let pipe =
        pipe_with(tempfile::tempdir().unwrap(), Arc::new(|row| panic!("beyond the limit: {row:?}"))).await;
    let store = pipe.bridge.store();
    store.add_user(&"ann".into(), None, false).await.unwrap();
    for name in ["net:a", "net:b", "net:c"] {
        store.add_account(&NetworkId::from(name), &"ann".into()).await.unwrap();
    }
    let control = pipe.bridge.control("pages", None);
    let more = Command::AddAccount { owner: "ann".into(), name: "d".to_owned() };
    let refused = control.run(Some("ann".into()), more).await;
    assert!(matches!(refused, Err(CommandError::Refused(why)) if why.contains("3 accounts already")));
    pipe.bridge.shutdown().await;
}

/// ann with accounts that do not run, as a start finds them; the order of her removal, and a network that keeps notes
/// about her.
async fn cut_short(accounts: &[&str]) -> (Pipe, Life, LeavingUser) {
    let factory: AdapterFactory = Arc::new(|row| panic!("it is to go: {row:?}"));
    let pipe = pipe_with(tempfile::tempdir().unwrap(), factory).await;
    let store = pipe.bridge.store();
    store.add_user(&"ann".into(), None, false).await.unwrap();
    for name in accounts {
        store.add_account(&NetworkId::from(*name), &"ann".into()).await.unwrap();
    }
    let face = pipe.add("face:x", true).recv().await.unwrap();
    let value = Some(Bytes::from_static(b"#c"));
    let note = Note { key: "joined/user:ann/c".to_owned(), value, is_secret: false };
    face.ctx.far.commit(&"face:x".into(), Batch { notes: vec![note], ..Batch::default() }).await.unwrap();
    let order = LeavingUser { name: "ann".into(), who: Some("root".into()), door: "api".to_owned() };
    (pipe, face, order)
}

/// Waits until a person is removed to the last note, and says what is kept about them then.
async fn left(pipe: &Pipe) -> Vec<(String, Bytes)> {
    let leaving = async {
        while !pipe.bridge.store().leaving_users().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("the removal came to no end");
    assert!(pipe.bridge.store().user(&"ann".into()).await.unwrap().is_none());
    pipe.bridge.store().notes(&"face:x".into(), "", None, 100).await.unwrap()
}

#[tokio::test]
async fn a_person_whose_removal_was_cut_short_goes_with_all_accounts() {
    let (pipe, _face, order) = cut_short(&["net:a", "net:b"]).await;
    let store = pipe.bridge.store();
    // As a crash leaves it: the first account is marked, and the second one's turn had not come.
    store.leave_user(&order, true).await.unwrap();
    store.leave_account(&"net:a".into()).await.unwrap();
    pipe.bridge.go_on_removing().await.unwrap();
    assert_eq!(pipe.bridge.add_accounts().await.unwrap(), 0, "none of them comes online again");
    assert_eq!(left(&pipe).await, []);
    assert_eq!(store.accounts().await.unwrap(), []);
    assert_eq!(acts(&pipe).await, ["person-removed ann", "account-removed b", "account-removed a"]);
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn what_was_kept_about_a_person_goes_after_a_crash_behind_their_own_row() {
    let (pipe, _face, order) = cut_short(&[]).await;
    let store = pipe.bridge.store();
    store.leave_user(&order, false).await.unwrap();
    store.remove_user(&"ann".into()).await.unwrap();
    let namesake = store.add_user(&"ann".into(), None, false).await;
    assert!(namesake.is_err_and(|why| why.to_string().contains("is being removed")));
    pipe.bridge.go_on_removing().await.unwrap();
    assert_eq!(left(&pipe).await, []);
    assert_eq!(acts(&pipe).await, ["person-removed ann"]);
    store.add_user(&"ann".into(), None, false).await.unwrap();
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_seal_key_is_replaced_to_the_end_when_nobody_waits_for_it() {
    let pipe = pipe().await;
    let key = pipe.dir.path().join("seal.key");
    let before = std::fs::read(&key).unwrap();
    let order = pipe.bridge.replace_seal_key(key.clone(), (None, "socket"));
    assert!(order.now_or_never().is_none(), "the command is ended in the middle of it");
    let written = async {
        while acts(&pipe).await != ["seal-key-replaced "] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("it came to no end");
    let after = std::fs::read_to_string(&key).unwrap();
    assert!(after.lines().count() == 1 && after.as_bytes() != before, "the old key is not forgotten");
    pipe.bridge.shutdown().await;
}

/// Why a sign-in failed.
async fn failed(watch: &mut wxgate_contract::SignInWatch) -> String {
    let over = watch.wait_for(|step| matches!(step, SignInStep::Failed { .. }));
    let step = tokio::time::timeout(PATIENCE, over).await.expect("it has no end").unwrap().clone();
    match step {
        SignInStep::Failed { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sign_in_ends_with_the_run_that_was_to_carry_it_out() {
    let (pipe, mut runs) = with_accounts(&["net:a"]).await;
    let account = NetworkId::from("net:a");
    let control = pipe.bridge.control("pages", None);
    let sign_in = || control.run(Some("ann".into()), Command::SignIn { account: account.clone() });
    let mut life = runs.recv().await.unwrap();
    let Ok(Reply::SignIn(mut watch)) = sign_in().await else { panic!("it cannot be followed") };
    assert!(matches!(life.ctx.orders.recv().await, Some(Order::SignIn)));
    assert!(life.end.send(Ending::Panic).is_ok());
    assert_eq!(failed(&mut watch).await, "a bug in the gateway ended it; it starts again");

    // From here on each run ends before it takes an order.
    let ending = async {
        while let Some(life) = runs.recv().await {
            let _ = life.end.send(Ending::Fatal);
        }
    };
    let asking = async {
        let is_down = || matches!(pipe.bridge.health_of(&account), Some((_, Health::Down { .. })));
        while !is_down() {
            tokio::task::yield_now().await;
        }
        match sign_in().await {
            Err(error) => error.to_string(),
            // The order met the run, and went with it.
            Ok(Reply::SignIn(mut watch)) => failed(&mut watch).await,
            Ok(other) => panic!("{other:?}"),
        }
    };
    let why = tokio::select! {
        why = tokio::time::timeout(PATIENCE, asking) => why.expect("nobody is told"),
        () = ending => panic!("there are no runs"),
    };
    assert!(why.contains("the test says so"), "{why}");
    pipe.bridge.shutdown().await;
}
