//! An instance that runs accounts for the leader.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use wxgate_contract::{
    Adapter, AdapterContext, Ask, Clock, Control, Directory, FarEnd, LinkTable, LinkedChats, MediaVault,
    NetworkId, Order, Stop, StopHandle,
};

use crate::leader::LineKey;
use crate::line::{HANDSHAKE, LineError, Reader, Side, Writer, agree};
use crate::remote::{Calls, Remote};
use crate::shared::GRACE;
use crate::words::{Ended, Reply, RunId, ToLeader, ToWorker};

/// Words for the leader that wait for the line. Chosen: a burst of batches; whoever says more waits.
const WORDS: usize = 1024;
/// Orders that wait for one account. Chosen: the supervisor hands out 64 deliveries at once, the leader as many questions
/// as `served::ASKS`, and somebody may sign in or out besides.
const ORDERS: usize = 128;
/// Of a lease, between two pings: three may be lost on a line that works.
const PINGS: u32 = 4;
/// For the last words on a line. Chosen.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Makes the adapter of an account.
pub type MakeAccount = Arc<dyn Fn(&NetworkId) -> Arc<dyn Adapter> + Send + Sync>;

/// What a worker is told.
pub struct WorkerConfig {
    /// How this instance is called.
    pub name: String,
    /// A number of chance, the same one for the life of the process.
    pub instance: u64,
    /// What all instances of a database know, and nobody else; asked for each line, because it may be replaced.
    pub key: LineKey,
    /// The program's version.
    pub version: &'static str,
    /// Makes the adapter of an account.
    pub factory: MakeAccount,
    /// Time of day, for the adapters.
    pub clock: Arc<dyn Clock>,
}

/// How a line came to its end. Nothing runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parted {
    /// As this instance was told to.
    Stopped,
    /// The leader takes it not in, for this reason.
    Refused(String),
    /// The line is gone, or none came to be, for this reason.
    Lost(String),
}

/// See the module.
pub struct Worker {
    config: WorkerConfig,
    /// The leader's name and how many accounts run here; `None` without a line.
    state: watch::Sender<Option<(String, usize)>>,
}

type Line = (Reader<OwnedReadHalf>, Writer<BufWriter<OwnedWriteHalf>>);

impl Worker {
    /// Without a line yet.
    #[must_use]
    pub fn new(config: WorkerConfig) -> Self {
        Self { config, state: watch::channel(None).0 }
    }

    /// For whom it works, and how many accounts it runs; `None` without a line.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Option<(String, usize)>> {
        self.state.subscribe()
    }

    /// Runs what the leader at `address` lends, until one of the two leaves or the line is gone.
    pub async fn work(&self, address: &str, stop: &Stop) -> Parted {
        let parted = match timeout(HANDSHAKE, self.connect(address)).await {
            Ok(Ok((line, leader, lease, said))) => {
                tracing::info!(leader, address, "runs accounts for the instance that has the database");
                self.state.send_replace(Some((leader, 0)));
                self.keep(line, (lease, said), stop).await
            }
            Ok(Err(parted)) => parted,
            Err(_) => Parted::Lost(format!("{address} did not answer in {} seconds", HANDSHAKE.as_secs())),
        };
        self.state.send_replace(None);
        parted
    }

    /// The line, the leader's name, the length of leases and when this instance said that it is there.
    async fn connect(&self, address: &str) -> Result<(Line, String, Duration, Instant), Parted> {
        let lost = |error: &dyn std::fmt::Display| Parted::Lost(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(|error| lost(&error))?;
        stream.set_nodelay(true).map_err(|error| lost(&error))?;
        let (reader, writer) = stream.into_split();
        let key = (self.config.key)().map_err(Parted::Refused)?;
        let agreed = agree((reader, BufWriter::new(writer)), &key, Side::Worker).await;
        let (mut reader, mut writer) = agreed.map_err(|error| {
            let why = "whether both have the same seal key is the first thing to look at";
            Parted::Lost(format!("{address} does not understand this instance ({error}); {why}"))
        })?;
        let hello = ToLeader::Hello {
            name: self.config.name.clone(),
            instance: self.config.instance,
            version: self.config.version.to_owned(),
        };
        let said = Instant::now();
        let answer = async {
            writer.say(&hello).await?;
            writer.flush().await?;
            reader.next().await
        };
        match answer.await.map_err(|error: LineError| lost(&error))? {
            ToWorker::Welcome { leader, lease_ms } => {
                Ok(((reader, writer), leader, Duration::from_millis(lease_ms), said))
            }
            ToWorker::Refused { why } => Err(Parted::Refused(why)),
            _ => Err(lost(&"it answers no greeting")),
        }
    }

    /// One line, from the first word to the last. Whatever runs is gone when it returns.
    async fn keep(
        &self,
        (mut reader, mut writer): Line,
        (lease, said): (Duration, Instant),
        stop: &Stop,
    ) -> Parted {
        let (out, mut words) = mpsc::channel(WORDS);
        let (heard, mut orders) = mpsc::channel(WORDS);
        let (answered, mut pongs) = watch::channel(0);
        let (ping, mut pings) = watch::channel(0);
        let mut house = House::new(self, out.clone());
        let calls = Arc::clone(&house.calls);
        let parted = tokio::select! {
            biased;
            // First: beyond the lease nothing may run.
            why = beat(&ping, &mut pongs, (lease, said)) => Parted::Lost(why),
            error = read(&mut reader, (&calls, &out), &answered, &heard) => Parted::Lost(error.to_string()),
            error = speak(&mut writer, &mut pings, &mut words, &calls) => Parted::Lost(error.to_string()),
            () = house.rule(&mut orders, stop) => Parted::Stopped,
        };
        house.end().await;
        if parted == Parted::Stopped {
            let bye = async {
                // What the last runs said.
                while let Ok(word) = words.try_recv() {
                    writer.say(&word).await?;
                }
                writer.say(&ToLeader::Bye).await?;
                writer.flush().await
            };
            // Without it the leader waits for the lease to be over.
            let _ = timeout(LAST_WORDS, bye).await;
        }
        parted
    }
}

/// Pings, and returns when the lease is over: so long after the last ping left that was answered.
async fn beat(
    pings: &watch::Sender<u64>,
    pongs: &mut watch::Receiver<u64>,
    (lease, said): (Duration, Instant),
) -> String {
    let mut sent: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut over = said + lease;
    let mut ticks = tokio::time::interval(lease / PINGS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(over) => {
                return "the instance that has the database said nothing for the whole of a lease".to_owned();
            }
            Ok(()) = pongs.changed() => {
                let answered = *pongs.borrow_and_update();
                while let Some((_, at)) = sent.pop_front_if(|(number, _)| *number <= answered) {
                    over = at + lease;
                }
            }
            _ = ticks.tick() => {
                number += 1;
                // The time before it waits for the line: it does not leave earlier.
                sent.push_back((number, Instant::now()));
                pings.send_replace(number);
            }
        }
    }
}

/// Says what there is to say, for as long as it is polled.
async fn speak(
    writer: &mut Writer<BufWriter<OwnedWriteHalf>>,
    pings: &mut watch::Receiver<u64>,
    words: &mut mpsc::Receiver<ToLeader>,
    calls: &Calls,
) -> LineError {
    loop {
        let word = tokio::select! {
            biased;
            // Before all else: a line that is full must not end its own lease.
            Ok(()) = pings.changed() => ToLeader::Ping(*pings.borrow_and_update()),
            Some(word) = words.recv() => word,
        };
        match (writer.say(&word).await, word) {
            (Ok(()), _) => {}
            // Nothing was said: the run that asked is told so, and all others go on.
            (Err(error @ (LineError::TooLong(_) | LineError::Word(_))), ToLeader::Call { call, .. }) => {
                drop(calls.answered(call, Reply::Impossible(error.to_string())));
            }
            (Err(error), _) => return error,
        }
        if words.is_empty()
            && let Err(error) = writer.flush().await
        {
            return error;
        }
    }
}

/// Reads what the leader says. Answers go where they are waited for, all else to `heard`.
async fn read(
    reader: &mut Reader<OwnedReadHalf>,
    (calls, out): (&Calls, &mpsc::Sender<ToLeader>),
    answered: &watch::Sender<u64>,
    heard: &mpsc::Sender<ToWorker>,
) -> LineError {
    loop {
        match reader.next().await {
            Ok(ToWorker::Pong(number)) => drop(answered.send_replace(number)),
            Ok(ToWorker::Answer { call, answer }) => {
                if let Some(word) = calls.answered(call, *answer) {
                    // A full line has not closed it before the run is over.
                    let _ = out.try_send(word);
                }
            }
            // Its other end lives as long as this does.
            Ok(word) => drop(heard.send(word).await),
            Err(error) => return error,
        }
    }
}

/// The accounts that run here.
struct House<'a> {
    worker: &'a Worker,
    out: mpsc::Sender<ToLeader>,
    calls: Arc<Calls>,
    tasks: JoinSet<RunId>,
    /// Who waits for an account's answer.
    asks: JoinSet<()>,
    runs: HashMap<RunId, Running>,
    is_leaving: bool,
}

struct Running {
    orders: mpsc::Sender<Order>,
    stop: StopHandle,
}

impl<'a> House<'a> {
    fn new(worker: &'a Worker, out: mpsc::Sender<ToLeader>) -> Self {
        let (tasks, asks) = (JoinSet::new(), JoinSet::new());
        Self { worker, out, calls: Arc::default(), tasks, asks, runs: HashMap::new(), is_leaving: false }
    }

    /// Does what the leader says, until this instance is told to stop and nothing runs any more.
    async fn rule(&mut self, words: &mut mpsc::Receiver<ToWorker>, stop: &Stop) {
        loop {
            if self.is_leaving && self.runs.is_empty() {
                return;
            }
            tokio::select! {
                () = stop.stopping(), if !self.is_leaving => {
                    self.is_leaving = true;
                    // Whoever cannot be told so ends all the same.
                    let _ = self.out.try_send(ToLeader::Leaving);
                    self.runs.values().for_each(|running| running.stop.stop());
                }
                Some(ended) = self.tasks.join_next() => {
                    match ended {
                        Ok(run) => drop(self.runs.remove(&run)),
                        Err(error) => tracing::error!(%error, "a bug ended a run, and nobody was told"),
                    }
                    self.tell();
                }
                Some(_) = self.asks.join_next() => {}
                Some(word) = words.recv() => self.heed(word),
            }
        }
    }

    fn tell(&self) {
        let count = self.runs.len();
        self.worker.state.send_if_modified(|state| {
            let Some((_, accounts)) = state else { return false };
            std::mem::replace(accounts, count) != count
        });
    }

    fn heed(&mut self, word: ToWorker) {
        match word {
            ToWorker::Run { run, network, seed } => self.begin(run, &network, seed),
            ToWorker::Stop { run } => {
                if let Some(running) = self.runs.get(&run) {
                    running.stop.stop();
                }
            }
            ToWorker::Deliver { run, delivery } => self.order(run, Order::Deliver(delivery)),
            ToWorker::SignIn { run } => self.order(run, Order::SignIn),
            ToWorker::SignOut { run } => self.order(run, Order::SignOut),
            ToWorker::Ask { run, ask, request } => {
                let (answer, mut answers) = mpsc::channel(1);
                self.order(run, Order::Ask(Ask { request, answer }));
                let out = self.out.clone();
                self.asks.spawn(async move {
                    // Without an answer the run is over, and the leader knows.
                    if let Some(answer) = answers.recv().await {
                        let _ = out.send(ToLeader::Answered { run, ask, answer }).await;
                    }
                });
            }
            // Heard elsewhere, or not to be said now.
            ToWorker::Welcome { .. }
            | ToWorker::Refused { .. }
            | ToWorker::Pong(_)
            | ToWorker::Answer { .. } => {
                tracing::warn!("the leader said something out of turn");
            }
        }
    }

    /// What a run is ordered. Those that are over have no use for it.
    fn order(&mut self, run: RunId, order: Order) {
        let Some(running) = self.runs.get(&run) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = running.orders.try_send(order) {
            // The leader hands out less than there is room for. Ended, the run gets all of it again.
            tracing::error!(run, "more orders than an account may have; it starts again");
            running.stop.stop();
        }
    }

    fn begin(&mut self, run: RunId, network: &NetworkId, seed: [u8; 32]) {
        let (orders, taken) = mpsc::channel(ORDERS);
        let (stop, stopping) = StopHandle::new();
        if self.is_leaving {
            stop.stop();
        }
        self.runs.insert(run, Running { orders, stop });
        self.tell();
        let remote = Remote::new(run, self.out.clone(), Arc::clone(&self.calls));
        let context = AdapterContext {
            network: network.clone(),
            far: Arc::new(remote.clone()) as Arc<dyn FarEnd>,
            media: Arc::new(remote.clone()) as Arc<dyn MediaVault>,
            directory: Arc::new(remote.clone()) as Arc<dyn Directory>,
            control: Arc::new(remote.clone()) as Arc<dyn Control>,
            orders: taken,
            clock: Arc::clone(&self.worker.config.clock),
            // An account is asked about its links by nobody.
            linked: LinkedChats::new(network.clone(), watch::channel(LinkTable::default()).1),
            seed,
            stop: stopping,
        };
        let adapter = (self.worker.config.factory)(network);
        let span = tracing::info_span!("network", %network);
        let life = live(run, adapter, context, remote, self.out.clone());
        self.tasks.spawn(tracing::Instrument::instrument(life, span));
    }

    /// Drops what still runs.
    async fn end(&mut self) {
        self.tasks.shutdown().await;
        self.asks.shutdown().await;
    }
}

/// One run, from its begin to its report.
async fn live(
    run: RunId,
    adapter: Arc<dyn Adapter>,
    context: AdapterContext,
    remote: Remote,
    out: mpsc::Sender<ToLeader>,
) -> RunId {
    let (network, stop) = (context.network.clone(), context.stop.clone());
    let grace = async {
        stop.stopping().await;
        tokio::time::sleep(GRACE).await;
    };
    let ran = AssertUnwindSafe(adapter.run(context)).catch_unwind();
    let how = tokio::select! {
        biased;
        ended = ran => match ended {
            Ok(Ok(_)) => Ended::Stopped,
            Ok(Err(error)) => Ended::Failed(error),
            Err(_) => Ended::Panicked,
        },
        () = remote.carry_news() => Ended::Stopped,
        () = grace => {
            tracing::warn!(%network, "did not stop within the grace period and was dropped");
            Ended::Stopped
        }
    };
    remote.flush_news().await;
    // A line that is gone ends all of them.
    let _ = out.send(ToLeader::Ended { run, network, how }).await;
    run
}
