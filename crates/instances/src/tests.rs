//! A leader and its workers over loopback, with the double of the contract as what the leader's supervisor hands out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use wxgate_contract::conformance::stories::PATIENCE;
use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, Answer, Ask, Author, Batch, Body, BoxFuture, Capabilities,
    ChatRef, Clock, CommandError, Health, MediaId, MediaOwner, NetworkId, Note, Order, Outcome, Post,
    Request, SignInStep, StopHandle, Stopped, Timestamp,
};

use crate::line::{Side, agree};
use crate::served::Served;
use crate::words::{Call, Reply, ToLeader, ToWorker};
use crate::{Leader, LeaderConfig, Lent, Parted, Worker, WorkerConfig};

const LEASE: Duration = Duration::from_millis(800);
const KEY: [u8; 32] = [9; 32];

/// Where accounts run at this moment. Two at once is what must never be.
#[derive(Default)]
struct Alive(Mutex<HashMap<NetworkId, &'static str>>);

struct Runs<'a>(&'a Alive, NetworkId);

impl Alive {
    fn begin(&self, network: &NetworkId, place: &'static str) -> Runs<'_> {
        let before = self.0.lock().unwrap().insert(network.clone(), place);
        assert_eq!(before, None, "{network} runs twice");
        Runs(self, network.clone())
    }

    fn at(&self, place: &str) -> usize {
        self.0.lock().unwrap().values().filter(|at| **at == place).count()
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

/// An account that says where it runs.
struct Account {
    network: NetworkId,
    place: &'static str,
    alive: Arc<Alive>,
}

impl Adapter for Account {
    fn network(&self) -> &NetworkId {
        &self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: false,
            max_text_chars: 1,
            carries_files: false,
            can_recall: false,
            shows_authors: false,
        }
    }

    fn run(&self, mut ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(async move {
            let _runs = self.alive.begin(&self.network, self.place);
            let runs = ctx.far.note(&self.network, "runs").await.unwrap().map_or(0, |note| note.len());
            let note = Note {
                key: "runs".to_owned(),
                value: Some(Bytes::from(vec![255; runs + 1])),
                is_secret: false,
            };
            let post = post(&self.network, &format!("{}-{runs}", self.place));
            ctx.far
                .commit(&self.network, Batch { posts: vec![post], notes: vec![note], ..Batch::default() })
                .await
                .unwrap();
            ctx.far.health(&self.network, Health::Up);
            loop {
                let order = tokio::select! {
                    () = ctx.stop.stopping() => return Ok(Stopped),
                    Some(order) = ctx.orders.recv() => order,
                };
                match order {
                    Order::Deliver(delivery) => {
                        let sent = Outcome::Sent { remote_ids: vec![self.place.into()] };
                        ctx.far.settle(&self.network, delivery.id, sent).await.unwrap();
                    }
                    Order::SignIn => ctx.far.sign_in(&self.network, SignInStep::Done),
                    Order::SignOut => return Err(AdapterError::Fatal("signed out".to_owned())),
                    Order::Ask(Ask { request: Request::Retry, .. }) => {
                        // Without the hook that prints a backtrace.
                        std::panic::resume_unwind(Box::new("the test says so"))
                    }
                    Order::Ask(ask) => {
                        let file = copied(&ctx).await;
                        ask.answer.try_send(Ok(Answer::Text(file))).unwrap();
                    }
                }
            }
        })
    }
}

/// Puts a file into the vault, piece by piece, and reads it from the middle.
async fn copied(ctx: &AdapterContext) -> String {
    let media = MediaId([3; 16]);
    let owner = MediaOwner::Network(ctx.network.clone());
    let mut writer = ctx.media.writer(media, "a.txt", "text/plain", owner).await.unwrap();
    for piece in ["one ", "two ", "three"] {
        writer.write(Bytes::from(piece)).await.unwrap();
    }
    writer.finish().await.unwrap();
    let mut reader = ctx.media.reader(media, 4).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = reader.read().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

fn post(network: &NetworkId, id: &str) -> Post {
    Post {
        remote_id: id.into(),
        chat: ChatRef { network: network.clone(), chat: "chat".into() },
        author: Author::Owner,
        at: Timestamp(1),
        body: Body::Text { text: id.to_owned() },
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

#[derive(Default)]
struct TimesLent(AtomicU64);

impl Lent for TimesLent {
    fn lent(&self) -> BoxFuture<'_, Result<(), String>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn clock() -> Arc<dyn Clock> {
    FixedClock::at(1)
}

/// A leader, and the supervisor's part of some accounts.
struct Stage {
    leader: Arc<Leader>,
    address: SocketAddr,
    double: Double,
    alive: Arc<Alive>,
    lent: Arc<TimesLent>,
    leads: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    _serving: StopHandle,
}

impl Stage {
    async fn new() -> Self {
        Self::waiting(Duration::ZERO).await
    }

    async fn waiting(wait: Duration) -> Self {
        let lent = Arc::<TimesLent>::default();
        let leads = Arc::new(AtomicBool::new(true));
        let leader = Leader::new(LeaderConfig {
            name: "first".to_owned(),
            key: Arc::new(|| Ok(KEY)),
            lease: LEASE,
            version: "1",
            wait,
            lent: Arc::clone(&lent) as Arc<dyn Lent>,
            leads: {
                let leads = Arc::clone(&leads);
                Arc::new(move || leads.load(Ordering::Relaxed))
            },
            clock: clock(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (serving, stop) = StopHandle::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&leader).serve(listener, stop));
        Self {
            leader,
            address,
            double: Double::new(),
            alive: Arc::default(),
            lent,
            leads,
            tasks,
            _serving: serving,
        }
    }

    /// Keeps an account as the supervisor does: what moved goes on at once. Returns how its last run ended.
    fn keep(&mut self, n: usize) -> (Running, mpsc::Receiver<Result<Stopped, AdapterError>>) {
        let network: NetworkId = format!("wechat:{n}").into();
        let local = Account { network: network.clone(), place: "first", alive: Arc::clone(&self.alive) };
        let shared = self.leader.share(Arc::new(local));
        let double = self.double.clone();
        let (orders, mut taken) = mpsc::channel(16);
        let (handle, stop) = StopHandle::new();
        let (over, ended) = mpsc::channel(1);
        self.tasks.spawn(async move {
            loop {
                let (ctx, running) = double.context(&network, clock());
                let run = shared.run(ctx);
                tokio::pin!(run);
                let result = loop {
                    tokio::select! {
                        result = &mut run => break result,
                        () = stop.stopping() => {
                            running.stop.stop();
                            break run.await;
                        }
                        Some(order) = taken.recv() => running.orders.send(order).await.unwrap(),
                    }
                };
                if !matches!(result, Err(AdapterError::Moved(_))) {
                    let _ = over.send(result).await;
                    return;
                }
            }
        });
        (Running { orders, stop: handle }, ended)
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waits = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let counts = || self.leader.instances();
        assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "never: {what}; {:?}", counts());
    }
}

/// One worker, in a task of its own: aborted, its process is gone.
fn worker(stage: &Stage, place: &'static str, address: SocketAddr) -> (JoinHandle<Parted>, StopHandle) {
    worker_with(stage, place, address, KEY, "1")
}

fn worker_with(
    stage: &Stage,
    place: &'static str,
    address: SocketAddr,
    key: [u8; 32],
    version: &'static str,
) -> (JoinHandle<Parted>, StopHandle) {
    let alive = Arc::clone(&stage.alive);
    let worker = Worker::new(WorkerConfig {
        name: place.to_owned(),
        instance: place.len() as u64,
        key: Arc::new(move || Ok(key)),
        version,
        factory: Arc::new(move |network| {
            Arc::new(Account { network: network.clone(), place, alive: Arc::clone(&alive) })
        }),
        clock: clock(),
    });
    let (handle, stop) = StopHandle::new();
    #[allow(clippy::disallowed_methods, reason = "the test aborts it, which is what it is about")]
    let task = tokio::spawn(async move { worker.work(&address.to_string(), &stop).await });
    (task, handle)
}

#[tokio::test]
async fn an_account_elsewhere_does_what_it_does_here() {
    let mut stage = Stage::new().await;
    let (_worker, _stop) = worker(&stage, "second", stage.address);
    stage.until("a worker", |stage| stage.leader.instances().len() == 2).await;
    assert_eq!(stage.lent.0.load(Ordering::Relaxed), 1, "durable before anything is lent");
    let (_one, _) = stage.keep(1);
    stage.until("one runs", |stage| stage.alive.at("first") == 1).await;
    let (two, mut ended) = stage.keep(2);
    stage.until("two runs", |stage| stage.alive.at("second") == 1).await;
    let network: NetworkId = "wechat:2".into();
    assert_eq!(stage.leader.instance_of(&network).as_deref(), Some("second"));
    let post = post(&network, "x");
    let delivery = stage.double.delivery(&"chat".into(), post);
    let id = delivery.id;
    two.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
    two.orders.send(Order::SignIn).await.unwrap();
    let (answer, mut answers) = mpsc::channel(1);
    two.orders.send(Order::Ask(Ask { request: Request::Questions, answer })).await.unwrap();
    assert_eq!(answers.recv().await, Some(Ok(Answer::Text("two three".to_owned()))));
    let double = stage.double.clone();
    double.wait_for(PATIENCE, |state| (!state.steps.is_empty()).then_some(())).await;
    {
        let state = stage.double.state();
        assert_eq!(state.outcomes, [(id, Outcome::Sent { remote_ids: vec!["second".into()] })]);
        assert_eq!(state.health.get(&network), Some(&Health::Up));
        assert_eq!(state.steps, [(network.clone(), SignInStep::Done)]);
    }
    two.orders.send(Order::SignOut).await.unwrap();
    assert_eq!(ended.recv().await, Some(Err(AdapterError::Fatal("signed out".to_owned()))));
}

#[tokio::test]
async fn who_asks_an_account_that_a_bug_ends_is_not_left_waiting_and_the_bug_is_told_as_one() {
    let mut stage = Stage::new().await;
    let (_worker, _stop) = worker(&stage, "second", stage.address);
    stage.until("a worker", |stage| stage.leader.instances().len() == 2).await;
    let (_one, _) = stage.keep(1);
    stage.until("one runs", |stage| stage.alive.at("first") == 1).await;
    let (two, mut ended) = stage.keep(2);
    stage.until("two runs", |stage| stage.alive.at("second") == 1).await;
    let (answer, mut answers) = mpsc::channel::<Result<Answer, CommandError>>(1);
    two.orders.send(Order::Ask(Ask { request: Request::Retry, answer })).await.unwrap();
    assert_eq!(answers.recv().await, None);
    // Its task ended by a panic, as that of a run on this instance would have.
    assert_eq!(ended.recv().await, None);
}

#[tokio::test]
async fn accounts_are_shared_out_when_a_worker_comes_and_come_back_when_it_leaves() {
    let mut stage = Stage::new().await;
    let kept: Vec<_> = (0..6).map(|n| stage.keep(n)).collect();
    stage.until("all here", |stage| stage.alive.at("first") == 6).await;
    let (task, stop) = worker(&stage, "second", stage.address);
    stage.until("shared out", |stage| (stage.alive.at("first"), stage.alive.at("second")) == (3, 3)).await;
    stop.stop();
    assert_eq!(task.await.unwrap(), Parted::Stopped);
    stage.until("all back", |stage| stage.alive.at("first") == 6).await;
    assert!(stage.leader.is_clear(), "who left in order holds nothing");
    for (running, mut ended) in kept {
        running.stop.stop();
        assert_eq!(ended.recv().await, Some(Ok(Stopped)));
    }
}

#[tokio::test]
async fn what_a_killed_worker_had_goes_on_when_its_lease_is_over_and_not_before() {
    let mut stage = Stage::new().await;
    let (task, _stop) = worker(&stage, "second", stage.address);
    stage.until("a worker", |stage| stage.leader.instances().len() == 2).await;
    let _kept: Vec<_> = (0..4).map(|n| stage.keep(n)).collect();
    stage.until("shared", |stage| (stage.alive.at("first"), stage.alive.at("second")) == (2, 2)).await;
    task.abort();
    stage.until("it is gone", |stage| stage.leader.instances().len() == 1).await;
    assert_eq!(stage.alive.at("first"), 2, "its lease is not over");
    assert!(!stage.leader.is_clear());
    stage.until("all here", |stage| stage.alive.at("first") == 4).await;
}

/// Carries bytes between a worker and the leader, until it is frozen: then nothing arrives, and nothing closes.
async fn wire(leader: SocketAddr, mut frozen: watch::Receiver<bool>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(leader).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = frozen.wait_for(|frozen| *frozen) => {}
        }
        std::future::pending::<()>().await;
        drop((near, far));
    });
    (address, tasks)
}

#[tokio::test]
async fn a_worker_that_is_cut_off_stops_by_its_own_clock_before_anybody_else_begins() {
    let mut stage = Stage::new().await;
    let (freeze, frozen) = watch::channel(false);
    let (address, _wire) = wire(stage.address, frozen).await;
    let (task, _stop) = worker(&stage, "second", address);
    stage.until("a worker", |stage| stage.leader.instances().len() == 2).await;
    let _kept: Vec<_> = (0..4).map(|n| stage.keep(n)).collect();
    stage.until("shared", |stage| (stage.alive.at("first"), stage.alive.at("second")) == (2, 2)).await;
    freeze.send_replace(true);
    // `Alive` fails the test when an account runs twice.
    stage.until("all here", |stage| stage.alive.at("first") == 4).await;
    assert_eq!(stage.alive.at("second"), 0);
    assert!(matches!(task.await.unwrap(), Parted::Lost(why) if why.contains("said nothing")));
}

#[tokio::test]
async fn only_who_has_the_key_and_the_version_takes_part() {
    let stage = Stage::new().await;
    let (stranger, _stop) = worker_with(&stage, "second", stage.address, [1; 32], "1");
    assert!(matches!(stranger.await.unwrap(), Parted::Lost(why) if why.contains("seal key")));
    let (older, _stop) = worker_with(&stage, "second", stage.address, KEY, "0");
    let refused = "it is version 0 and first is version 1".to_owned();
    assert_eq!(older.await.unwrap(), Parted::Refused(refused));
    // Somebody who speaks something else.
    let mut other = TcpStream::connect(stage.address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    other.shutdown().await.unwrap();
    assert_eq!(stage.leader.instances().len(), 1);
}

#[tokio::test]
async fn a_new_leader_waits_for_the_leases_of_an_earlier_one() {
    let began = tokio::time::Instant::now();
    let mut stage = Stage::waiting(LEASE).await;
    let _kept = stage.keep(1);
    stage.until("it runs", |stage| stage.alive.at("first") == 1).await;
    assert!(began.elapsed() >= LEASE);
}

#[tokio::test]
async fn a_leader_without_the_database_lends_no_longer_than_a_lease_and_says_so() {
    let mut stage = Stage::new().await;
    let (task, _stop) = worker(&stage, "second", stage.address);
    stage.until("a worker", |stage| stage.leader.instances().len() == 2).await;
    let _kept: Vec<_> = (0..4).map(|n| stage.keep(n)).collect();
    stage.until("shared", |stage| (stage.alive.at("first"), stage.alive.at("second")) == (2, 2)).await;
    stage.leads.store(false, Ordering::Relaxed);
    assert!(matches!(task.await.unwrap(), Parted::Lost(why) if why.contains("said nothing")));
    assert_eq!(stage.alive.at("second"), 0);
    tokio::time::timeout(PATIENCE, stage.leader.cut_off()).await.expect("it does not say that it is cut off");
}

#[tokio::test]
async fn what_a_run_writes_is_written_in_its_order() {
    let double = Double::new();
    let (ctx, _running) = double.context(&"wechat:a".into(), clock());
    let served = Served::new(ctx.network, ctx.far, ctx.media, ctx.directory);
    let write = || Call::Commit(Box::default());
    let read = || Call::Note("key".to_owned());
    assert!(served.begin(1, write()).is_some());
    assert!(served.begin(2, write()).is_none() && served.begin(3, write()).is_none(), "one at a time");
    assert!(served.begin(4, read()).is_some(), "reading waits for nobody");
    let next = || served.next().map(|(call, _)| call);
    assert_eq!([next(), next(), next()], [Some(2), Some(3), None]);
    assert!(served.begin(5, write()).is_some());
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_told_to_stop_and_its_questions_are_answered() {
    let stage = Stage::new().await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut reader, mut writer) = agree(stream.into_split(), &KEY, Side::Worker).await.unwrap();
    let hello = ToLeader::Hello { name: "second".to_owned(), instance: 1, version: "1".to_owned() };
    writer.say(&hello).await.unwrap();
    writer.flush().await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), ToWorker::Welcome { .. }));
    let what = Box::new(Call::Note("key".to_owned()));
    writer.say(&ToLeader::Call { run: 99, call: 7, what }).await.unwrap();
    writer.flush().await.unwrap();
    let mut said = [reader.next().await.unwrap(), reader.next().await.unwrap()];
    said.sort_by_key(|word| matches!(word, ToWorker::Answer { .. }));
    let [ToWorker::Stop { run: 99 }, ToWorker::Answer { call: 7, answer }] = said else { panic!("{said:?}") };
    assert!(matches!(*answer, Reply::Impossible(_)));
}
