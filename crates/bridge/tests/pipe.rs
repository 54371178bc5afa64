//! The pipe on a real store, with adapters that the test plays by hand.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use wxgate_bridge::{AdapterFactory, Bridge, BridgeConfig};
use wxgate_contract::conformance::Double;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, Author, Batch, Body, BoxFuture, Capabilities, ChatRef, Clock,
    Delivery, Directory, FarError, Fate, FeedEvent, Health, HistoryRange, Job, NetworkId, Note, Order,
    Outcome, PersonKind, PersonProfile, Post, PostFate, Stopped, Timestamp, UserName,
};
use wxgate_store::{SealKey, Store, StoreConfig};

#[path = "pipe/orders.rs"]
mod orders;

const PATIENCE: Duration = Duration::from_secs(20);

/// Hands its context to the test and lives as long as the test keeps the life.
struct Puppet {
    network: NetworkId,
    browses: bool,
    lives: mpsc::Sender<Life>,
}

struct Life {
    ctx: AdapterContext,
    end: tokio::sync::oneshot::Sender<Ending>,
}

enum Ending {
    Panic,
    Fatal,
    Moved,
}

impl Adapter for Puppet {
    fn network(&self) -> &NetworkId {
        &self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: self.browses,
            mirrors: false,
            max_text_chars: 2000,
            carries_files: true,
            can_recall: true,
            shows_authors: false,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(async move {
            let stop = ctx.stop.clone();
            let (end, ended) = tokio::sync::oneshot::channel();
            let _ = self.lives.send(Life { ctx, end }).await;
            tokio::select! {
                () = stop.stopping() => Ok(Stopped),
                Ok(ending) = ended => match ending {
                    Ending::Panic => panic!("the test says so"),
                    Ending::Fatal => Err(AdapterError::Fatal("the test says so".to_owned())),
                    Ending::Moved => Err(AdapterError::Moved("the test says so".to_owned())),
                },
            }
        })
    }
}

struct Pipe {
    bridge: Arc<Bridge>,
    dir: tempfile::TempDir,
    /// The clock of the pipe, which moves with every reading, so that nothing depends on the wall clock.
    now_ms: Arc<AtomicI64>,
}

fn clock(now_ms: &Arc<AtomicI64>) -> Arc<dyn Clock> {
    let now_ms = Arc::clone(now_ms);
    Arc::new(move || Timestamp(now_ms.fetch_add(5, Ordering::Relaxed)))
}

async fn pipe() -> Pipe {
    pipe_in(tempfile::tempdir().unwrap()).await
}

async fn pipe_in(dir: tempfile::TempDir) -> Pipe {
    pipe_with(dir, Arc::new(|row| panic!("no account is added in this test, not even {}", row.network))).await
}

async fn pipe_with(dir: tempfile::TempDir, factory: AdapterFactory) -> Pipe {
    let now_ms = Arc::new(AtomicI64::new(1_700_000_000_000));
    let config = StoreConfig {
        url: "sqlite".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        seal_key: SealKey::load_or_create(&dir.path().join("seal.key")).unwrap(),
        max_media_bytes: 1 << 20,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    };
    let store = Store::open(config, clock(&now_ms)).await.unwrap();
    let vault = Arc::new(Double::new());
    let config = BridgeConfig {
        store,
        vault,
        clock: clock(&now_ms),
        seed: [3; 32],
        pages: Arc::new(|user, _| Some(format!("https://pages.example/{user}"))),
        account_kind: "net",
        factory,
        accounts_per_user: 3,
        grace: Duration::from_secs(2),
    };
    Pipe { bridge: Bridge::new(config).await.unwrap(), dir, now_ms }
}

impl Pipe {
    fn add(&self, network: &str, browses: bool) -> mpsc::Receiver<Life> {
        let (lives, rx) = mpsc::channel(4);
        self.bridge.add_network(Arc::new(Puppet { network: network.into(), browses, lives }), None);
        rx
    }
}

fn chat(network: &str, chat: &str) -> ChatRef {
    ChatRef { network: network.into(), chat: chat.into() }
}

fn said(chat: &ChatRef, id: &str, author: Author) -> Batch {
    let post = Post {
        remote_id: id.into(),
        chat: chat.clone(),
        author,
        at: Timestamp(1),
        body: Body::text(id),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    };
    Batch { posts: vec![post], ..Batch::default() }
}

async fn delivery(life: &mut Life) -> Delivery {
    match tokio::time::timeout(PATIENCE, life.ctx.orders.recv()).await {
        Ok(Some(Order::Deliver(delivery))) => *delivery,
        other => panic!("no delivery: {other:?}"),
    }
}

fn text(delivery: &Delivery) -> String {
    match &delivery.job {
        Job::Say(say) => match &say.post.body {
            Body::Text { text } => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn shown(feed: &mut tokio::sync::broadcast::Receiver<FeedEvent>) -> Arc<wxgate_contract::TimelineItem> {
    loop {
        match tokio::time::timeout(PATIENCE, feed.recv()).await {
            Ok(Ok(FeedEvent::Shown(item))) => return item,
            Ok(Ok(_)) => {}
            other => panic!("nothing shown: {other:?}"),
        }
    }
}

async fn settle(life: &Life, delivery: &Delivery, outcome: Outcome) {
    life.ctx.far.settle(&life.ctx.network, delivery.id, outcome).await.unwrap();
}

fn sent(id: &str) -> Outcome {
    Outcome::Sent { remote_ids: vec![id.into()] }
}

#[tokio::test]
async fn a_faces_post_is_delivered_and_shown_only_then() {
    let pipe = pipe().await;
    let mut home = pipe.add("net:a", false).recv().await.unwrap();
    let face = pipe.add("face:x", true).recv().await.unwrap();
    let mut feed = pipe.bridge.subscribe();
    let there = chat("net:a", "c");
    let committed = face.ctx.far.commit(&face.ctx.network, said(&there, "one", Author::Owner)).await.unwrap();
    assert!(matches!(committed.posts.as_slice(), [PostFate::Kept(_)]));
    let order = delivery(&mut home).await;
    assert_eq!(text(&order), "one");
    assert!(pipe.bridge.history(&"net:a".into(), None, HistoryRange::After(0), 9).await.unwrap().is_empty());
    settle(&home, &order, sent("n1")).await;
    let item = shown(&mut feed).await;
    assert_eq!((item.fate.clone(), item.native_id.clone()), (Fate::Said, Some("n1".into())));
    // The network shows us our own post: known, and not shown twice.
    let echo = home.ctx.far.commit(&home.ctx.network, said(&there, "n1", Author::Owner)).await.unwrap();
    assert!(matches!(echo.posts.as_slice(), [PostFate::Known(_)]));
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn what_was_handed_over_is_told_although_nobody_waits_for_the_answer() {
    let pipe = pipe().await;
    let mut home = pipe.add("net:a", false).recv().await.unwrap();
    let face = pipe.add("face:x", true).recv().await.unwrap();
    let mut feed = pipe.bridge.subscribe();
    let there = chat("net:a", "c");
    // Dropped when it has begun, as by a run that ends.
    let commit = face.ctx.far.commit(&face.ctx.network, said(&there, "one", Author::Owner));
    assert!(commit.now_or_never().is_none(), "it was done at once");
    let order = delivery(&mut home).await;
    assert_eq!(text(&order), "one");
    let settle = home.ctx.far.settle(&home.ctx.network, order.id, sent("n1"));
    assert!(settle.now_or_never().is_none(), "it was done at once");
    assert_eq!(shown(&mut feed).await.fate, Fate::Said);
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_batch_is_told_although_the_name_of_its_account_cannot_be_kept() {
    let pipe = pipe().await;
    // Of no stored account: its own name has no place.
    let home = pipe.add("net:a", false).recv().await.unwrap();
    let mut feed = pipe.bridge.subscribe();
    let mut batch = said(&chat("net:a", "c"), "one", Author::Network);
    batch.people.push(PersonProfile {
        person: "me".into(),
        kind: PersonKind::Owner,
        nickname: "Ann".to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: false,
    });
    home.ctx.far.commit(&home.ctx.network, batch).await.unwrap();
    assert_eq!(shown(&mut feed).await.post.body, Body::text("one"));
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn an_outcome_that_could_not_be_stored_is_counted_once_it_is() {
    let pipe = pipe().await;
    let mut home = pipe.add("net:a", false).recv().await.unwrap();
    pipe.say(&chat("net:a", "c"), "one").await;
    let order = delivery(&mut home).await;
    let too_long = Outcome::Sent { remote_ids: vec!["x".repeat(100_000).as_str().into()] };
    let refused = home.ctx.far.settle(&home.ctx.network, order.id, too_long).await;
    assert!(matches!(refused, Err(FarError::Invalid(_))), "{refused:?}");
    settle(&home, &order, sent("n1")).await;
    let counts = pipe.bridge.meter().outcomes();
    assert_eq!(counts.iter().map(|row| row.sent).sum::<u64>(), 1, "{counts:?}");
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_lane_is_one_at_a_time_and_holds_up_no_other() {
    let pipe = pipe().await;
    let mut home = pipe.add("net:a", false).recv().await.unwrap();
    let face = pipe.add("face:x", true).recv().await.unwrap();
    for n in 0..3 {
        for name in ["slow", "quick"] {
            let batch = said(&chat("net:a", name), &format!("{name}{n}"), Author::Owner);
            face.ctx.far.commit(&face.ctx.network, batch).await.unwrap();
        }
    }
    let (first, second) = (delivery(&mut home).await, delivery(&mut home).await);
    let (slow, mut quick) = if text(&first) == "slow0" { (first, second) } else { (second, first) };
    assert_eq!((text(&slow).as_str(), text(&quick).as_str()), ("slow0", "quick0"));
    for wanted in ["quick1", "quick2"] {
        settle(&home, &quick, sent(wanted)).await;
        quick = delivery(&mut home).await;
        assert_eq!(text(&quick), wanted);
    }
    settle(&home, &slow, Outcome::TryLater { after: Duration::from_millis(20), why: "busy".to_owned() })
        .await;
    let again = delivery(&mut home).await;
    assert_eq!((again.id, again.attempt), (slow.id, 2));
    settle(&home, &again, sent("s0")).await;
    assert_eq!(text(&delivery(&mut home).await), "slow1");
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_long_batch_is_committed_in_pieces_and_its_notes_with_the_last() {
    let pipe = pipe().await;
    let life = pipe.add("net:a", false).recv().await.unwrap();
    let (network, home) = (life.ctx.network.clone(), chat("net:a", "c"));
    let mut feed = pipe.bridge.subscribe();
    let mut batch = Batch { asks: true, ..Batch::default() };
    for n in 0..100 {
        batch.posts.extend(said(&home, &format!("p{n}"), Author::Owner).posts);
    }
    let value = Some(Bytes::from_static(b"all of it"));
    batch.notes.push(Note { key: "cursor".to_owned(), value: value.clone(), is_secret: false });
    // The last piece can never be stored: what is before it is, and the cursor stays.
    let mut spoilt = batch.clone();
    spoilt.posts.last_mut().unwrap().remote_id = "x".repeat(600).as_str().into();
    let refused = life.ctx.far.commit(&network, spoilt).await;
    assert!(matches!(refused, Err(FarError::Invalid(_))), "{refused:?}");
    assert!(life.ctx.far.note(&network, "cursor").await.unwrap().is_none());
    let fates = life.ctx.far.commit(&network, batch).await.unwrap().posts;
    let kept = fates.iter().map(|fate| matches!(fate, PostFate::Kept(_))).collect::<Vec<_>>();
    assert_eq!(kept.len(), 100);
    assert_eq!(kept.iter().position(|kept| *kept), Some(96), "three pieces of 32 were known");
    assert!(life.ctx.far.note(&network, "cursor").await.unwrap().is_some());
    for n in 0..100 {
        assert_eq!(shown(&mut feed).await.post.remote_id.as_str(), format!("p{n}"));
    }
    // Whoever asks what it is about finds all of it.
    let told = tokio::time::timeout(PATIENCE, feed.recv()).await.unwrap();
    assert!(matches!(&told, Ok(FeedEvent::Asks(of)) if *of == network), "{told:?}");
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn a_panic_ends_one_run_and_the_open_delivery_comes_again() {
    let pipe = pipe().await;
    let mut lives = pipe.add("net:a", false);
    let mut other = pipe.add("net:b", false);
    let mut home = lives.recv().await.unwrap();
    let quiet = other.recv().await.unwrap();
    let face = pipe.add("face:x", true).recv().await.unwrap();
    let batch = said(&chat("net:a", "c"), "one", Author::Owner);
    face.ctx.far.commit(&face.ctx.network, batch).await.unwrap();
    let order = delivery(&mut home).await;
    assert!(home.end.send(Ending::Panic).is_ok());
    let mut home = tokio::time::timeout(PATIENCE, lives.recv()).await.unwrap().unwrap();
    let again = delivery(&mut home).await;
    assert_eq!((again.id, order.attempt, again.attempt), (order.id, 1, 2), "it may have been carried out");
    settle(&home, &again, sent("n1")).await;
    let batch = said(&chat("net:a", "c"), "two", Author::Owner);
    face.ctx.far.commit(&face.ctx.network, batch).await.unwrap();
    assert_eq!(delivery(&mut home).await.attempt, 1, "this one was in nobody's hands");
    assert_eq!(pipe.bridge.meter().restarts(), 1);
    assert!(!quiet.ctx.stop.is_stopping(), "the other network was disturbed");
    pipe.bridge.shutdown().await;
}

/// The stored orders become something that nobody can read; all else stays as it is.
fn damage(dir: &std::path::Path) {
    damage_all(dir, b"{\"job\":\"say\"", 0);
}

/// Wherever this is stored, the byte at that place of it becomes another one.
fn damage_all(dir: &std::path::Path, what: &[u8], place: usize) {
    let path = dir.join("wxgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(what)).collect();
    assert!(!places.is_empty(), "nothing of it is stored");
    places.into_iter().for_each(|at| bytes[at + place] = b'!');
    std::fs::write(path, bytes).unwrap();
}

impl Pipe {
    /// An orderly end, and the next start.
    async fn restart(self) -> Self {
        self.bridge.shutdown().await;
        self.crash().await
    }

    /// The next start after an end of which nobody knew.
    async fn crash(self) -> Self {
        self.bridge.store().close().await;
        drop(self.bridge);
        pipe_in(self.dir).await
    }

    async fn say(&self, there: &ChatRef, id: &str) {
        let face = self.add("face:x", true).recv().await.unwrap();
        face.ctx.far.commit(&face.ctx.network, said(there, id, Author::Owner)).await.unwrap();
        self.bridge.remove_network(&"face:x".into()).await;
    }

    async fn take(&self, network: &str) -> Delivery {
        let mut home = self.add(network, false).recv().await.unwrap();
        delivery(&mut home).await
    }
}

#[tokio::test]
async fn a_delivery_that_may_have_been_in_hand_at_an_end_says_so_and_no_other() {
    let first = pipe().await;
    first.say(&chat("net:a", "c"), "one").await;
    let second = first.restart().await;
    let order = second.take("net:a").await;
    assert_eq!((text(&order).as_str(), order.attempt), ("one", 1), "nobody had it");
    let third = second.restart().await;
    assert_eq!(third.take("net:a").await.attempt, 2, "its network had it at the orderly end");
    let fourth = third.restart().await;
    assert_eq!(fourth.take("net:a").await.attempt, 3, "and once more");
    let fifth = fourth.crash().await;
    assert_eq!(fifth.take("net:a").await.attempt, 2, "nobody knows");
    fifth.bridge.shutdown().await;
}

#[tokio::test]
async fn an_account_that_is_configured_twice_at_once_runs_once_each_time() {
    let (lives, mut runs) = mpsc::channel(4);
    let factory: AdapterFactory = Arc::new(move |row| {
        Arc::new(Puppet { network: row.network.clone(), browses: false, lives: lives.clone() })
    });
    let pipe = pipe_with(tempfile::tempdir().unwrap(), factory).await;
    let (account, owner) = (NetworkId::from("net:a"), UserName::new("ann"));
    pipe.bridge.store().add_user(&owner, None, false).await.unwrap();
    pipe.bridge.store().add_account(&account, &owner).await.unwrap();
    pipe.bridge.add_accounts().await.unwrap();
    let first = runs.recv().await.unwrap();
    let note = |value: &'static str| Note {
        key: "way".to_owned(),
        value: Some(Bytes::from_static(value.as_bytes())),
        is_secret: true,
    };
    let both = tokio::join!(
        pipe.bridge.configure(&account, note("one"), (None, "commands", "proxy-set")),
        pipe.bridge.configure(&account, note("two"), (None, "commands", "proxy-set")),
    );
    assert!(both.0.unwrap() && both.1.unwrap());
    let (second, third) = (runs.recv().await.unwrap(), tokio::time::timeout(PATIENCE, runs.recv()).await);
    let third = third.unwrap().unwrap();
    assert!(first.ctx.stop.is_stopping() && second.ctx.stop.is_stopping(), "two runs on one session");
    assert!(!third.ctx.stop.is_stopping());
    let kept = third.ctx.far.note(&account, "way").await.unwrap().unwrap();
    assert!(kept == "one" || kept == "two");
    pipe.bridge.shutdown().await;
    // Nobody would end what begins now.
    let late = pipe.bridge.configure(&account, note("late"), (None, "commands", "proxy-set")).await;
    assert!(late.is_err());
}

#[tokio::test]
async fn a_damaged_delivery_is_given_up_and_its_lane_goes_on() {
    let first = pipe().await;
    let there = chat("net:a", "c");
    first.say(&there, "one").await;
    first.bridge.shutdown().await;
    first.bridge.store().close().await;
    damage(first.dir.path());

    let second = pipe_in(first.dir).await;
    let mut feed = second.bridge.subscribe();
    let mut home = second.add("net:a", false).recv().await.unwrap();
    assert_given_up(&shown(&mut feed).await.fate);
    second.say(&there, "two").await;
    assert_eq!(text(&delivery(&mut home).await), "two", "the lane goes on");
    second.bridge.shutdown().await;
}

#[tokio::test]
async fn what_became_of_a_message_that_cannot_be_read_is_told_and_its_lane_goes_on() {
    let first = pipe().await;
    let there = chat("net:a", "c");
    first.say(&there, "one").await;
    first.say(&there, "two").await;
    first.bridge.shutdown().await;
    first.bridge.store().close().await;
    // In the orders too: the first is given up before anybody has it in hand.
    damage_all(first.dir.path(), b"{\"remote_id\":\"one\"", 0);

    let second = pipe_in(first.dir).await;
    let mut feed = second.bridge.subscribe();
    let mut home = second.add("net:a", false).recv().await.unwrap();
    let notice = shown(&mut feed).await;
    assert_eq!((&notice.post.chat, &notice.post.author), (&there, &Author::Gateway));
    let Body::Text { text: told } = &notice.post.body else { panic!("{notice:?}") };
    assert!(
        told.starts_with("a message in this chat that cannot be read any more was not delivered"),
        "{told}"
    );
    assert_eq!(text(&delivery(&mut home).await), "two", "the lane goes on");
    second.bridge.shutdown().await;
}

/// Holds the lock that one writer of the database has, as another process would, until it is ended.
/// Source: sqlite.org, "WAL-mode File Format", 2.3.1: the write lock is byte 120 of the index.
const HOLDER: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int n, char **arguments) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
    int fd = n == 2 ? open(arguments[1], O_RDWR) : -1;
    if (fd < 0 || fcntl(fd, F_SETLKW, &lock)) return 1;
    puts("held");
    fflush(stdout);
    for (;;) pause();
}
"#;

/// Another process that has the database.
struct Holder(std::process::Child);

impl Holder {
    fn of(dir: &std::path::Path) -> Self {
        use std::io::BufRead as _;
        let (source, program) = (dir.join("holder.c"), dir.join("holder"));
        std::fs::write(&source, HOLDER).unwrap();
        // The compiler that Rust links with.
        assert!(Command::new("cc").arg("-o").arg(&program).arg(&source).status().unwrap().success());
        let index = dir.join("wxgate.db-shm");
        let mut child = Command::new(program).arg(index).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_damaged_delivery_waits_while_another_process_holds_the_database() {
    let first = pipe().await;
    let there = chat("net:a", "c");
    first.say(&there, "one").await;
    first.bridge.shutdown().await;
    first.bridge.store().close().await;
    damage(first.dir.path());

    let second = pipe_in(first.dir).await;
    let holder = Holder::of(second.dir.path());
    let mut lives = second.add("net:a", false);
    let mut home = lives.recv().await.unwrap();
    let before = second.now_ms.load(Ordering::Relaxed);
    // The engine waits five seconds by itself; closing it has begun long before, and behind that it is as it was.
    let refused = home.ctx.far.commit(&home.ctx.network, said(&there, "meanwhile", Author::Owner)).await;
    assert!(matches!(refused, Err(FarError::Unavailable(_))), "{refused:?}");
    drop(holder);
    let (mut feed, mut told) = (second.bridge.subscribe(), second.bridge.subscribe());
    // Whether that is on disk nobody could tell: as soon as something is stored again, all look again.
    let note = Note { key: "k".to_owned(), value: Some(Bytes::from_static(b"v")), is_secret: false };
    let batch = Batch { notes: vec![note], ..Batch::default() };
    home.ctx.far.commit(&home.ctx.network, batch).await.unwrap();
    let missed = async { while !matches!(told.recv().await, Ok(FeedEvent::Missed)) {} };
    tokio::time::timeout(PATIENCE, missed).await.unwrap();
    // Its next try is a minute later.
    second.now_ms.store(before + 70_000, Ordering::Relaxed);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    second.say(&chat("net:a", "other"), "two").await;
    assert_eq!(text(&delivery(&mut home).await), "two");
    assert_given_up(&shown(&mut feed).await.fate);
    second.bridge.shutdown().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_lane_up() {
    let pipe = pipe().await;
    let mut home = pipe.add("net:a", false).recv().await.unwrap();
    let there = chat("net:a", "c");
    pipe.say(&there, "one").await;
    let order = delivery(&mut home).await;
    let later = Outcome::TryLater { after: Duration::from_secs(30), why: "busy".to_owned() };
    // Somebody sets the clock back by a day, and it is due a day later than it was meant.
    settle(&home, &order, later).await;
    let day = Duration::from_secs(86_400);
    pipe.now_ms.fetch_sub(i64::try_from(day.as_millis()).unwrap(), Ordering::Relaxed);
    // The lanes hear of it.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    assert_eq!(text(&delivery(&mut home).await), "one");
    pipe.bridge.shutdown().await;
}

fn assert_given_up(fate: &Fate) {
    let Fate::NotDelivered { why } = fate else { panic!("{fate:?}") };
    assert!(why.contains("damaged"), "{why}");
}

#[tokio::test]
async fn a_network_that_cannot_go_on_rests_and_says_why() {
    let pipe = pipe().await;
    let mut lives = pipe.add("net:a", false);
    let mut feed = pipe.bridge.subscribe();
    assert!(lives.recv().await.unwrap().end.send(Ending::Fatal).is_ok());
    let told = async {
        loop {
            // It is nobody's account.
            if let Ok(FeedEvent::Face(_, health)) = feed.recv().await {
                return health;
            }
        }
    };
    let health = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(*health, Health::Down { why: "the test says so".to_owned() });
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn what_did_not_reach_a_linked_chat_is_told_in_the_chat_it_was_said_in() {
    let pipe = pipe().await;
    let (here, there) = (chat("net:a", "c"), chat("net:b", "d"));
    pipe.bridge.store().add_link(&[here.clone(), there.clone()]).await.unwrap();
    let home = pipe.add("net:a", false).recv().await.unwrap();
    let mut far = pipe.add("net:b", false).recv().await.unwrap();
    let mut feed = pipe.bridge.subscribe();
    let anna = Author::Person { person: "p".into(), name: "Anna".to_owned() };
    home.ctx.far.commit(&home.ctx.network, said(&here, "hello", anna)).await.unwrap();
    let order = delivery(&mut far).await;
    match &order.job {
        Job::Say(say) => assert_eq!(say.author_prefix, "Anna"),
        other => panic!("{other:?}"),
    }
    settle(&far, &order, Outcome::Refused { why: "you are not a member".to_owned() }).await;
    assert_eq!(shown(&mut feed).await.post.body, Body::text("hello"));
    let notice = shown(&mut feed).await;
    assert_eq!((&notice.post.chat, &notice.post.author), (&here, &Author::Gateway));
    let wanted = "\"hello\" was not delivered to net:b, because you are not a member";
    assert_eq!(notice.post.body, Body::text(wanted));
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn stopping_waits_for_networks_and_a_removed_one_is_gone() {
    let pipe = pipe().await;
    let mut lives = pipe.add("net:a", false);
    let life = lives.recv().await.unwrap();
    pipe.bridge.remove_network(&"net:a".into()).await;
    assert!(life.ctx.stop.is_stopping());
    assert!(pipe.bridge.healths().is_empty());
    pipe.bridge.shutdown().await;
}

#[tokio::test]
async fn an_account_is_told_of_before_its_task_has_begun() {
    let pipe = pipe().await;
    let store = pipe.bridge.store();
    store.add_user(&"ann".into(), None, false).await.unwrap();
    store.add_account(&"net:late".into(), &"ann".into()).await.unwrap();
    let all = Directory::all_accounts(&*pipe.bridge).await.unwrap();
    let late = all.iter().find(|view| view.network.as_str() == "net:late").unwrap();
    assert_eq!((late.owner.as_str(), &late.health), ("ann", &Health::Starting));
}

#[tokio::test]
async fn what_people_change_is_in_the_audit_trail_and_what_failed_is_not() {
    use wxgate_contract::Command;
    let pipe = pipe().await;
    let store = pipe.bridge.store();
    store.add_user(&"ann".into(), None, false).await.unwrap();
    let fingerprint = "a".repeat(64);
    let trust = || Command::Trust { user: "ann".into(), fingerprint: fingerprint.clone() };
    let control = pipe.bridge.control("pages", None);
    control.run(Some("ann".into()), trust()).await.unwrap();
    control.run(Some("ann".into()), trust()).await.unwrap_err();
    let operator = pipe.bridge.control("api", Some("root".into()));
    let distrust = Command::Distrust { user: "ann".into(), fingerprint: fingerprint.clone() };
    operator.run(None, distrust).await.unwrap();
    let acts = store.acts(None, 10).await.unwrap();
    let told: Vec<_> = acts
        .iter()
        .map(|row| {
            (row.act.who.as_ref().map(UserName::as_str), &*row.act.door, &*row.act.what, &*row.act.about)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("root"), "api", "certificate-removed", "ann"),
            (Some("ann"), "pages", "certificate-added", "ann")
        ]
    );
}
