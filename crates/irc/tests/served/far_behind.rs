//! Clients that come back after very much was said, or while the timeline cannot be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;
use wxgate_contract::conformance::Double;
use wxgate_contract::{
    AccountView, Body, BoxFuture, ChatKey, ChatProfile, ChatRef, Directory, FarError, FeedEvent, Health,
    HistoryRange, Landmark, NetworkId, PersonKey, PersonProfile, PersonRef, Spoken, TimelineItem, UserName,
};

use crate::client::{Client, Served, config, said, serve, serve_with, world};
use crate::replay::{arrive, confirmed, texts};

/// A directory whose timeline breaks at one reading of it.
struct Breaking {
    double: Double,
    /// Readings until then.
    left: Arc<AtomicUsize>,
}

impl Directory for Breaking {
    fn all_accounts(&self) -> BoxFuture<'_, Result<Vec<AccountView>, FarError>> {
        self.double.all_accounts()
    }

    fn faces(&self) -> Vec<(NetworkId, Health)> {
        self.double.faces()
    }

    fn user_of<'a>(&'a self, person: &'a PersonRef) -> BoxFuture<'a, Result<Option<UserName>, FarError>> {
        self.double.user_of(person)
    }

    fn person_of<'a>(
        &'a self,
        user: &'a UserName,
        network: &'a NetworkId,
    ) -> BoxFuture<'a, Result<Option<PersonKey>, FarError>> {
        self.double.person_of(user, network)
    }

    fn accounts<'a>(&'a self, owner: &'a UserName) -> BoxFuture<'a, Result<Vec<AccountView>, FarError>> {
        self.double.accounts(owner)
    }

    fn chats<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a ChatKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ChatProfile>, FarError>> {
        self.double.chats(network, after, limit)
    }

    fn chat<'a>(&'a self, chat: &'a ChatRef) -> BoxFuture<'a, Result<Option<ChatProfile>, FarError>> {
        self.double.chat(chat)
    }

    fn people<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [PersonKey],
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        self.double.people(network, keys)
    }

    fn contacts<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a PersonKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        self.double.contacts(network, after, limit)
    }

    fn history<'a>(
        &'a self,
        network: &'a NetworkId,
        chat: Option<&'a ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TimelineItem>, FarError>> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Box::pin(async { Err(FarError::Unavailable("the disk is away".to_owned())) });
        }
        self.double.history(network, chat, range, limit)
    }

    fn locate<'a>(
        &'a self,
        chat: &'a ChatRef,
        landmark: Landmark,
    ) -> BoxFuture<'a, Result<Option<i64>, FarError>> {
        self.double.locate(chat, landmark)
    }

    fn spoken<'a>(
        &'a self,
        network: &'a NetworkId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Spoken>, FarError>> {
        self.double.spoken(network, limit)
    }

    fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        self.double.subscribe()
    }
}

/// A client name that has seen everything, and is away now.
async fn gone(served: &Served, name: &str) {
    let (mut client, _) = arrive(served, name, "").await;
    served.double.show(said("g-test", "p-zhang", "seen", Body::text("seen")));
    client.until("seen").await;
    let reading = tokio::spawn(async move { client.next().await });
    confirmed(served, name).await;
    reading.abort();
    let _ = reading.await;
}

#[tokio::test]
async fn a_quiet_chat_is_not_lost_behind_ten_thousand_lines_of_others() {
    let served = serve(world(), config()).await;
    gone(&served, "laptop").await;
    served.double.show(said("p-li", "p-li", "quiet", Body::text("please call me")));
    for at in 0..130 {
        served.double.show(said("p-zhang", "p-zhang", &format!("z{at}"), Body::text(format!("z {at}"))));
    }
    served.double.show(said("g-home", "p-li", "early", Body::text("an early one")));
    for at in 0..10_500 {
        served.double.show(said("g-test", "p-zhang", &format!("b{at}"), Body::text(format!("busy {at}"))));
    }
    served.double.show(said("g-home", "p-li", "late", Body::text("a late one")));
    let (_client, lines) = arrive(&served, "laptop", "server-time").await;
    let texts = texts(&lines);
    assert!(texts.contains(&"please call me".to_owned()), "{texts:#?}");
    let home: Vec<&String> = texts.iter().filter(|text| text.ends_with(" one")).collect();
    assert_eq!(
        home,
        ["an early one", "a late one"],
        "what the reading did not come to of a chat that it met"
    );
    assert_eq!(texts.iter().filter(|text| text.starts_with("z ")).count(), 100);
    assert!(texts.contains(&"z 129".to_owned()) && !texts.contains(&"z 29".to_owned()));
    let notices: Vec<&String> = lines.iter().filter(|line| line.contains("older messages")).collect();
    let [zhang, busy] = notices.as_slice() else { panic!("{notices:#?}") };
    assert!(zhang.ends_with(" NOTICE ann :at least 1 older messages not shown, \"more 张三\""), "{zhang}");
    assert!(busy.contains(" NOTICE #测试群 :at least 9") && busy.starts_with(":wechat!"), "{busy}");
}

#[tokio::test]
async fn a_reading_that_breaks_passes_nothing_over() {
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let (double, breaks) = (world(), Arc::clone(&left));
    let served = serve_with(double.clone(), config(), |context| {
        context.directory = Arc::new(Breaking { double, left: breaks });
    })
    .await;
    gone(&served, "laptop").await;
    for at in 0..900 {
        served.double.show(said("g-test", "p-zhang", &format!("m{at}"), Body::text(format!("missed {at}"))));
    }
    // The second page of what was missed is where it breaks.
    left.store(2, Ordering::Relaxed);
    let mut client = Client::begin(&served, "laptop", "server-time").await;
    let lines = client.until("missed 899").await;
    let expected: Vec<String> = (0..900).map(|at| format!("missed {at}")).collect();
    assert_eq!(texts(&lines), expected);
}
