//! A fresh store for each test, on each engine, and words to talk to it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{Connection, Executor};
use wxgate_contract::*;
use wxgate_store::*;

pub(crate) const POSTGRES: &str = "WXGATE_TEST_POSTGRES";

/// A clock that tests set.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A store on one engine, with a directory of its own.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) dir: PathBuf,
    pub(crate) url: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that no other test uses.
pub(crate) fn fresh_dir() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let dir = std::env::temp_dir().join(format!("wxgate-store-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A database that no other test uses; `None` (and a line that says so) without a server.
pub(crate) async fn fresh_postgres() -> Option<String> {
    let Ok(base) = std::env::var(POSTGRES) else {
        eprintln!("SKIPPED on PostgreSQL: {POSTGRES} is not set");
        return None;
    };
    let base = base.trim_end_matches('/').to_owned();
    sqlx::any::install_default_drivers();
    let mut conn = sqlx::AnyConnection::connect(&format!("{base}/postgres")).await.unwrap();
    let name = format!("wxgate_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let text = format!("DROP DATABASE IF EXISTS {name}");
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(text))).await.unwrap();
    let text = format!("CREATE DATABASE {name}");
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(text))).await.unwrap();
    Some(format!("{base}/{name}"))
}

pub(crate) async fn drop_postgres(url: &str) {
    let Some((base, name)) = url.rsplit_once('/') else { return };
    let mut conn = sqlx::AnyConnection::connect(&format!("{base}/postgres")).await.unwrap();
    let text = format!("DROP DATABASE {name} WITH (FORCE)");
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(text))).await.unwrap();
}

pub(crate) fn config(dir: &Path, url: &str) -> StoreConfig {
    StoreConfig {
        url: url.parse().unwrap(),
        data_dir: dir.to_owned(),
        seal_key: SealKey::from_bytes(&[7; 32]).unwrap(),
        max_media_bytes: 1 << 20,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    }
}

impl Bench {
    pub(crate) async fn open(dir: PathBuf, url: &str) -> Self {
        let clock = Arc::new(TestClock::default());
        clock.set(1_000_000);
        let mut tries = 0;
        let store = loop {
            match Store::open(config(&dir, url), Arc::clone(&clock) as Arc<dyn Clock>).await {
                // A server lets go of a lock a moment after the session that had it has ended.
                Err(StoreError::Taken { .. }) if url.starts_with("postgres") && tries < 100 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                opened => break opened.unwrap(),
            }
        };
        Self { store, clock, dir, url: url.to_owned() }
    }

    /// Closes the store and opens the same database again.
    pub(crate) async fn reopen(self) -> Self {
        self.store.close().await;
        Self::open(self.dir, &self.url).await
    }

    /// The same, with another word of a restore.
    pub(crate) async fn reopen_as(self, restored: &str) -> Self {
        self.store.close().await;
        let config = StoreConfig { restored: restored.to_owned(), ..config(&self.dir, &self.url) };
        let store = Store::open(config, Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap();
        Self { store, ..self }
    }

    pub(crate) async fn commit(&self, network: &str, posts: Vec<Post>) -> CommitReport {
        self.commit_by(network, posts, Arc::new(Mirror)).await
    }

    pub(crate) async fn commit_by(
        &self,
        network: &str,
        posts: Vec<Post>,
        route: Arc<dyn Route>,
    ) -> CommitReport {
        let batch = Batch { posts, ..Batch::default() };
        self.store.commit_batch(&network.into(), batch, route).await.unwrap()
    }

    pub(crate) async fn batch(&self, network: &str, batch: Batch) -> CommitReport {
        self.store.commit_batch(&network.into(), batch, Arc::new(Mirror)).await.unwrap()
    }

    pub(crate) async fn notes(&self, network: &str, notes: Vec<Note>) {
        self.batch(network, Batch { notes, ..Batch::default() }).await;
    }

    /// A connection of its own, past the store.
    pub(crate) async fn beside(&self) -> sqlx::AnyConnection {
        let address = match self.url.as_str() {
            "sqlite" => format!("sqlite://{}", self.dir.join("wxgate.db").display()),
            url => url.to_owned(),
        };
        sqlx::AnyConnection::connect(&address).await.unwrap()
    }

    /// Changes the database past the store.
    pub(crate) async fn change(&self, text: &'static str) {
        let mut conn = self.beside().await;
        conn.execute(sqlx::raw_sql(text)).await.unwrap();
        conn.close().await.unwrap();
    }

    /// A number straight from the database.
    pub(crate) async fn count(&self, text: &'static str) -> i64 {
        let mut conn = self.beside().await;
        let count = sqlx::query_scalar(text).fetch_one(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        count
    }

    /// Links two chats, each written `network/chat`.
    pub(crate) async fn link(&self, members: &[&str]) -> LinkId {
        let members: Vec<ChatRef> = members.iter().map(|text| chat(text)).collect();
        self.store.add_link(&members).await.unwrap()
    }

    pub(crate) async fn next(&self, lane: &str) -> Option<Delivery> {
        self.store.next_in_lane(&chat(lane)).await.unwrap().map(|(delivery, _)| delivery)
    }

    pub(crate) async fn history(&self, network: &str) -> Vec<TimelineItem> {
        self.store.history(&network.into(), None, HistoryRange::After(0), 1000).await.unwrap()
    }

    pub(crate) async fn settle(&self, network: &str, delivery: DeliveryId, outcome: Outcome) -> SettleReport {
        self.settle_by(network, delivery, outcome, Arc::new(Mirror)).await
    }

    pub(crate) async fn settle_by(
        &self,
        network: &str,
        delivery: DeliveryId,
        outcome: Outcome,
        route: Arc<dyn Route>,
    ) -> SettleReport {
        self.store.settle(&network.into(), delivery, outcome, route).await.unwrap()
    }
}

/// Runs a test on each engine.
pub(crate) async fn each_engine<F: Future<Output = Bench>>(test: impl Fn(Bench) -> F) {
    let done = Box::pin(test(Bench::open(fresh_dir(), "sqlite").await)).await;
    done.store.close().await;
    std::fs::remove_dir_all(&done.dir).unwrap();
    if let Some(url) = fresh_postgres().await {
        let done = Box::pin(test(Bench::open(fresh_dir(), &url).await)).await;
        done.store.close().await;
        drop_postgres(&url).await;
        std::fs::remove_dir_all(&done.dir).unwrap();
    }
}

/// Says everything to every target, as it is.
pub(crate) struct Mirror;

impl Route for Mirror {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        let ids_at = |target: &ChatRef| -> Vec<RemoteId> {
            let ids = input.target.iter().flat_map(|known| &known.ids);
            ids.filter(|(chat, _)| chat == target).map(|(_, id)| id.clone()).collect()
        };
        let job = |target: &ChatRef| match &input.post.body {
            Body::Recall { .. } => {
                let post = input.target?.post_id;
                Some((target.clone(), Job::Recall { post, remote_ids: ids_at(target) }))
            }
            _ => {
                let say = Say {
                    post_id: input.post_id,
                    post: input.post.clone(),
                    author_prefix: input.author_name.to_owned(),
                    quoted: input.target.map(|known| known.post_id),
                    quoted_remote_id: ids_at(target).into_iter().next(),
                    mentions: Vec::new(),
                    native_ids: input.native_ids.to_vec(),
                };
                Some((target.clone(), Job::Say(Box::new(say))))
            }
        };
        input.targets.iter().filter_map(job).collect()
    }
}

/// `network/chat` in one word.
pub(crate) fn chat(text: &str) -> ChatRef {
    let (network, chat) = text.split_once('/').unwrap();
    ChatRef { network: network.into(), chat: chat.into() }
}

pub(crate) fn post(id: &str, place: &str, text: &str) -> Post {
    Post {
        remote_id: id.into(),
        chat: chat(place),
        author: Author::Person { person: "p1".into(), name: "Ming".to_owned() },
        at: Timestamp(5),
        body: Body::text(text),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

pub(crate) fn quote(target: &str) -> Option<Quote> {
    Some(Quote { target: Some(target.into()), author_name: String::new(), excerpt: String::new() })
}

pub(crate) fn recall(id: &str, place: &str, target: &str) -> Post {
    let body = Body::Recall { target: Some(target.into()), notice: String::new() };
    Post { body, ..post(id, place, "") }
}

pub(crate) fn sent(ids: &[&str]) -> Outcome {
    Outcome::Sent { remote_ids: ids.iter().map(|id| RemoteId::from(*id)).collect() }
}

pub(crate) fn texts(items: &[TimelineItem]) -> Vec<String> {
    let text = |item: &TimelineItem| match &item.post.body {
        Body::Text { text } => text.clone(),
        other => format!("{other:?}"),
    };
    items.iter().map(text).collect()
}

pub(crate) fn said(delivery: &Delivery) -> &Say {
    match &delivery.job {
        Job::Say(say) => say,
        other => panic!("{other:?} and no text"),
    }
}

pub(crate) fn note(key: &str, value: &str, is_secret: bool) -> Note {
    Note { key: key.to_owned(), value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())), is_secret }
}
