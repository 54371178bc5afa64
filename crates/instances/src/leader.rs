//! The instance that has the database: who is connected to it, and which of its accounts run there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::BufWriter;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use wxgate_contract::{
    Adapter, BoxFuture, Clock, Health, NetworkId, SignInStep, Stop, StopHandle, Timestamp,
};

use crate::InstanceView;
use crate::book::{Book, Place, WorkerId};
use crate::line::{HANDSHAKE, LineError, Reader, Side, Writer, agree};
use crate::peer::{Line, Urgent, refuse, speak};
use crate::shared::{GRACE, Shared};
use crate::words::{Ended, Reply, RunId, ToLeader, ToWorker};

/// Workers at once. Chosen: far beyond what one database serves.
const WORKERS: usize = 64;
/// Whoever has not said yet who they are, beside those. Chosen.
const STRANGERS: usize = 16;
/// Between two accounts that had to wait for a lease. Chosen: as at a start.
const BETWEEN: Duration = Duration::from_millis(2);
/// Words for a worker that wait for the line. Chosen: a burst of deliveries; whoever says more waits.
const WORDS: usize = 1024;
/// Questions of one worker that are answered at once; it asks no more. Chosen: as many as the store answers in a second.
pub(crate) const CALLS: usize = 1024;
/// Between two looks at leases and shares. Chosen: short beside any lease.
const LOOK: Duration = Duration::from_secs(1);

/// Makes it durable that accounts may run elsewhere from now on, so that a next leader waits for their leases.
pub trait Lent: Send + Sync {
    /// Durable when it returns.
    fn lent(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// What a leader is told.
pub struct LeaderConfig {
    /// How this instance is called.
    pub name: String,
    /// What all instances of a database know, and nobody else; asked for each line, because it may be replaced.
    pub key: LineKey,
    /// How long a worker that is silent keeps its accounts.
    pub lease: Duration,
    /// The program's version; workers of another one are sent away.
    pub version: &'static str,
    /// No account runs before this is over, at this instance or another: the leases of an earlier leader.
    pub wait: Duration,
    /// Asked before the first account is lent.
    pub lent: Arc<dyn Lent>,
    /// Whether this instance surely has the database. While it has not no ping is answered, so that what was lent comes to
    /// its end: another instance may have it.
    pub leads: Arc<dyn Fn() -> bool + Send + Sync>,
    /// For `InstanceView::since`.
    pub clock: Arc<dyn Clock>,
}

/// The key of lines, or why there is none.
pub type LineKey = Arc<dyn Fn() -> Result<[u8; 32], String> + Send + Sync>;

/// See the module.
pub struct Leader {
    pub(crate) config: LeaderConfig,
    since: Timestamp,
    state: Mutex<State>,
    runs: AtomicU64,
    /// A place became free.
    changed: Notify,
    /// When the next account may run that had to wait.
    turn: Mutex<Instant>,
    /// True when it has lent accounts and did not have the database for the whole of a lease.
    is_cut_off: watch::Sender<bool>,
}

struct State {
    book: Book,
    next: WorkerId,
    lines: HashMap<WorkerId, Arc<Line>>,
    /// What moves an account that runs now.
    moving: HashMap<NetworkId, Arc<Notify>>,
    /// Since when it does not surely have the database.
    unsure: Option<Instant>,
    /// Somebody has taken part.
    has_lent: bool,
    /// How far accounts' sign-ins are, and their health: both have to be at rest before an account moves.
    rest: HashMap<NetworkId, Rest>,
}

#[derive(Default)]
struct Rest {
    is_steady: bool,
    signs_in: bool,
}

impl Leader {
    /// With nobody connected yet.
    #[must_use]
    pub fn new(config: LeaderConfig) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            book: Book::new((config.lease, GRACE + LOOK), now + config.wait),
            next: 0,
            lines: HashMap::new(),
            moving: HashMap::new(),
            unsure: None,
            has_lent: false,
            rest: HashMap::new(),
        };
        let since = config.clock.now();
        Arc::new(Self {
            config,
            since,
            state: Mutex::new(state),
            runs: AtomicU64::new(0),
            changed: Notify::new(),
            turn: Mutex::new(now),
            is_cut_off: watch::channel(false).0,
        })
    }

    /// The account of `local`, at whichever instance has its lease.
    #[must_use]
    pub fn share(self: &Arc<Self>, local: Arc<dyn Adapter>) -> Arc<dyn Adapter> {
        Arc::new(Shared { leader: Arc::clone(self), local })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All instances, the leader first, then by name.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceView> {
        let state = self.state();
        let counts: HashMap<Place, usize> = state.book.counts().collect();
        let count = |place| counts.get(&place).copied().unwrap_or_default();
        let mut all: Vec<_> = state.lines.values().collect();
        all.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        let workers = all.into_iter().map(|line| InstanceView {
            name: line.name.clone(),
            is_leader: false,
            address: line.address.to_string(),
            since: line.since,
            accounts: count(Place::There(line.id)),
        });
        let leader = InstanceView {
            name: self.config.name.clone(),
            is_leader: true,
            address: String::new(),
            since: self.since,
            accounts: count(Place::Here),
        };
        std::iter::once(leader).chain(workers).collect()
    }

    /// The name of the instance that runs an account; `None` while none does.
    #[must_use]
    pub fn instance_of(&self, network: &NetworkId) -> Option<String> {
        let state = self.state();
        match state.book.place(network)? {
            Place::Here => Some(self.config.name.clone()),
            Place::There(worker) => state.lines.get(&worker).map(|line| line.name.clone()),
        }
    }

    /// True when nobody else has an account, or may still have one.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.state().book.is_clear(Instant::now())
    }

    /// Takes workers in until `stop`; then their lines are cut. The runs have to be over by then: who is cut off in the
    /// middle ends them without finishing anything.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: Stop) {
        let mut lines = JoinSet::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.stopping() => break,
                _ = look.tick() => self.look(),
                Some(ended) = lines.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a bug ended the line to an instance");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) if lines.len() < WORKERS + STRANGERS => {
                        lines.spawn(Arc::clone(&self).attend(stream, peer));
                    }
                    Ok((_, peer)) => tracing::warn!(%peer, "too many connect, and say nothing"),
                    Err(error) => {
                        tracing::warn!(%error, "an instance cannot be taken in");
                        tokio::time::sleep(LOOK).await;
                    }
                },
            }
        }
        lines.shutdown().await;
    }

    /// Waits until it has lent accounts and has not had the database for the whole of a lease: another instance may have
    /// it, and what runs here may run there.
    pub async fn cut_off(&self) {
        // Its sender is ours.
        let _ = self.is_cut_off.subscribe().wait_for(|is_cut_off| *is_cut_off).await;
    }

    /// Ends leases that are over, and shares accounts out.
    fn look(&self) {
        let mut state = self.state();
        let now = Instant::now();
        state.unsure = if (self.config.leads)() { None } else { state.unsure.or(Some(now)) };
        if state.has_lent && state.unsure.is_some_and(|since| since + self.config.lease <= now) {
            self.is_cut_off.send_replace(true);
        }
        for worker in state.book.expired(Instant::now()) {
            if let Some(line) = state.lines.get(&worker) {
                tracing::warn!(instance = line.name, "the instance was silent for the whole of its lease");
                line.cut.stop();
            }
        }
        for network in state.book.shed() {
            if let Some(moving) = state.moving.get(&network) {
                moving.notify_one();
            }
        }
    }

    /// One line, from the first word to the last.
    async fn attend(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let greeted = timeout(HANDSHAKE, self.greet(stream)).await;
        let (mut reader, mut writer, name, instance) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => {
                tracing::warn!(%peer, %error, "somebody connected who is no instance of this database");
                return;
            }
            Err(_) => {
                tracing::warn!(%peer, "somebody connected and said nothing");
                return;
            }
        };
        let others = self.state().lines.len();
        let lent = match others {
            WORKERS.. => Err(format!("there are {WORKERS} instances already")),
            _ => self
                .config
                .lent
                .lent()
                .await
                .map_err(|error| format!("the database cannot be written: {error}")),
        };
        if let Err(why) = lent {
            tracing::warn!(%peer, why, "an instance cannot be taken in");
            let _ = refuse(&mut writer, why).await;
            return;
        }
        let (out, mut words) = mpsc::channel(WORDS);
        let (cut, is_cut) = StopHandle::new();
        let line = self.join((name, instance, peer), (out, cut));
        // Also when a bug ends this task.
        let mut parting = Parting { leader: &self, line: &line, in_order: false };
        tracing::info!(instance = line.name, %peer, "an instance takes part");
        let lease_ms = u64::try_from(self.config.lease.as_millis()).unwrap_or(u64::MAX);
        let hears = self.hear(&line, &mut reader);
        let says = async {
            writer.say(&ToWorker::Welcome { leader: self.config.name.clone(), lease_ms }).await?;
            writer.flush().await?;
            speak(&mut writer, &line.first, &mut words).await
        };
        let gone = tokio::select! {
            gone = hears => gone,
            gone = says => gone.map(|()| Goodbye::None),
            () = is_cut.stopping() => Ok(Goodbye::None),
        };
        parting.in_order = matches!(gone, Ok(Goodbye::Said));
        match gone {
            Ok(Goodbye::Said) => tracing::info!(instance = line.name, "the instance has left"),
            Ok(Goodbye::None) => tracing::warn!(instance = line.name, "the line to the instance was cut"),
            Err(error) => tracing::warn!(instance = line.name, %error, "the line to the instance is gone"),
        }
    }

    /// Agrees on keys and hears who it is.
    async fn greet(
        &self,
        stream: TcpStream,
    ) -> Result<(Reader<OwnedReadHalf>, Writer<BufWriter<OwnedWriteHalf>>, String, u64), LineError> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let line = (reader, BufWriter::new(writer));
        let key = (self.config.key)().map_err(LineError::Word)?;
        let (mut reader, mut writer) = agree(line, &key, Side::Leader).await?;
        let ToLeader::Hello { name, instance, version } = reader.next().await? else {
            return Err(LineError::Word("not a greeting".to_owned()));
        };
        if version != self.config.version {
            let ours = self.config.version;
            let why = format!("it is version {version} and {} is version {ours}", self.config.name);
            refuse(&mut writer, why.clone()).await?;
            return Err(LineError::Word(why));
        }
        Ok((reader, writer, name, instance))
    }

    fn join(
        &self,
        (name, instance, address): (String, u64, SocketAddr),
        (out, cut): (mpsc::Sender<ToWorker>, StopHandle),
    ) -> Arc<Line> {
        let mut state = self.state();
        state.has_lent = true;
        state.next += 1;
        let id = state.next;
        let line = Line {
            id,
            name,
            address,
            since: self.config.clock.now(),
            out,
            first: Urgent::default(),
            runs: Mutex::new(Some(HashMap::new())),
            is_leaving: AtomicBool::new(false),
            cut,
        };
        let line = Arc::new(line);
        state.book.joined(id, instance, Instant::now());
        state.lines.insert(id, Arc::clone(&line));
        drop(state);
        self.changed.notify_waiters();
        line
    }

    fn part(&self, line: &Line, in_order: bool) {
        let mut state = self.state();
        state.lines.remove(&line.id);
        state.book.gone(line.id, in_order);
        drop(state);
        // Whoever waits for a run there hears that nobody will say how it ended.
        drop(line.runs().take());
        self.changed.notify_waiters();
    }

    async fn hear(&self, line: &Arc<Line>, reader: &mut Reader<OwnedReadHalf>) -> Result<Goodbye, LineError> {
        let mut calls = JoinSet::new();
        loop {
            let word = reader.next().await?;
            while calls.try_join_next().is_some() {}
            match word {
                ToLeader::Hello { .. } => return Err(LineError::Word("a second greeting".to_owned())),
                ToLeader::Ping(number) => {
                    self.state().book.heard(line.id, Instant::now());
                    if (self.config.leads)() {
                        line.first.pong(number);
                    }
                }
                ToLeader::Call { .. } if calls.len() >= CALLS => {
                    return Err(LineError::Word("more questions than a worker may have".to_owned()));
                }
                ToLeader::Call { run, call, what } => {
                    let Some(served) = line.served(run) else {
                        // Nobody waits for it; it goes on where it did not hear so. It is answered all the same: a
                        // worker has room for so many questions.
                        line.first.stop(run);
                        let line = Arc::clone(line);
                        calls.spawn(async move {
                            let over = Box::new(Reply::Impossible("that run is over".to_owned()));
                            line.say(ToWorker::Answer { call, answer: over }).await;
                        });
                        continue;
                    };
                    // What is written is written in the order in which it was asked.
                    let Some(mut next) = served.begin(call, *what) else { continue };
                    let line = Arc::clone(line);
                    calls.spawn(async move {
                        loop {
                            let (call, what) = next;
                            let writes = what.writes();
                            let reply = AssertUnwindSafe(served.answer(what)).catch_unwind().await;
                            let reply =
                                reply.unwrap_or_else(|_| Reply::Impossible("a bug ended it".to_owned()));
                            line.say(ToWorker::Answer { call, answer: Box::new(reply) }).await;
                            // Whoever only read is nobody's turn.
                            let Some(more) = writes.then(|| served.next()).flatten() else { break };
                            next = more;
                        }
                    });
                }
                ToLeader::Health { run, health } => {
                    if let Some(served) = line.served(run) {
                        self.note_health(&served.network, &health);
                        served.far.health(&served.network, health);
                    }
                }
                ToLeader::Step { run, step } => {
                    if let Some(served) = line.served(run) {
                        self.note_step(&served.network, &step);
                        served.far.sign_in(&served.network, step);
                    }
                }
                ToLeader::Loading { run, how } => {
                    if let Some(served) = line.served(run) {
                        served.far.loading(&served.network, how);
                    }
                }
                ToLeader::Answered { run, ask, answer } => {
                    if let Some(served) = line.served(run) {
                        served.answered(ask, answer);
                    }
                }
                ToLeader::Ended { run, network, how } => self.ended(line, run, &network, how),
                ToLeader::Leaving => {
                    line.is_leaving.store(true, Ordering::Relaxed);
                    self.state().book.leaving(line.id);
                }
                ToLeader::Bye => return Ok(Goodbye::Said),
            }
        }
    }

    fn ended(&self, line: &Line, run: RunId, network: &NetworkId, how: Ended) {
        match line.take(run) {
            // Whoever waited may be gone in this very moment, and takes the account out of the book itself.
            Some(waiting) => drop(waiting.ended.send(how)),
            None => {
                self.state().book.ended_late(network, line.id);
                self.changed.notify_waiters();
            }
        }
    }
}

/// Takes a line out of the book, however its task ends.
struct Parting<'a> {
    leader: &'a Leader,
    line: &'a Line,
    in_order: bool,
}

impl Drop for Parting<'_> {
    fn drop(&mut self) {
        self.leader.part(self.line, self.in_order);
    }
}

/// Where an account runs, and what tells it to move.
pub(crate) struct Taken {
    pub(crate) place: Place,
    pub(crate) line: Option<Arc<Line>>,
    pub(crate) moving: Arc<Notify>,
}

/// What runs of accounts need.
impl Leader {
    pub(crate) fn next_run(&self) -> RunId {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits until an account may run, and says where; `None` when it must not any more.
    pub(crate) async fn take(&self, network: &NetworkId, stop: &Stop) -> Option<Taken> {
        loop {
            if let Ok(taken) = self.try_take(network) {
                return Some(taken);
            }
            tracing::debug!(%network, "waits for a lease to be over");
            loop {
                let changed = self.changed.notified();
                let Some(until) = self.state().book.held_until(network, Instant::now()) else { break };
                tokio::select! {
                    () = stop.stopping() => return None,
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                }
            }
            // One after the other: the leases of thousands are over at one instant.
            let turn = self.turn();
            tokio::select! {
                () = stop.stopping() => return None,
                () = tokio::time::sleep_until(turn) => {}
            }
        }
    }

    /// When an account that had to wait may go on.
    fn turn(&self) -> Instant {
        let mut next = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next + BETWEEN).max(Instant::now());
        *next
    }

    fn try_take(&self, network: &NetworkId) -> Result<Taken, Instant> {
        let mut state = self.state();
        let place = state.book.take(network, Instant::now())?;
        let line = match place {
            Place::Here => None,
            Place::There(worker) => state.lines.get(&worker).cloned(),
        };
        let moving = Arc::new(Notify::new());
        state.moving.insert(network.clone(), Arc::clone(&moving));
        state.rest.insert(network.clone(), Rest::default());
        Ok(Taken { place, line, moving })
    }

    /// A run is over where it was.
    pub(crate) fn over(&self, network: &NetworkId, place: Place) {
        let mut state = self.state();
        state.book.ended(network, place);
        state.moving.remove(network);
        state.rest.remove(network);
    }

    /// Nobody waits for a run elsewhere any more.
    pub(crate) fn left_behind(&self, network: &NetworkId, worker: WorkerId) {
        let mut state = self.state();
        state.book.left_behind(network, worker, Instant::now());
        state.moving.remove(network);
        state.rest.remove(network);
    }

    pub(crate) fn note_health(&self, network: &NetworkId, health: &Health) {
        let is_steady = health.works() || matches!(health, Health::Down { .. }) || health.is_signed_out();
        self.note(network, |rest| rest.is_steady = is_steady);
    }

    pub(crate) fn note_step(&self, network: &NetworkId, step: &SignInStep) {
        let signs_in = !matches!(step, SignInStep::Done | SignInStep::Failed { .. });
        self.note(network, |rest| rest.signs_in = signs_in);
    }

    fn note(&self, network: &NetworkId, what: impl FnOnce(&mut Rest)) {
        let mut state = self.state();
        let Some(rest) = state.rest.get_mut(network) else { return };
        what(rest);
        let is_settled = rest.is_steady && !rest.signs_in;
        state.book.settle(network, is_settled);
    }
}

/// Whether a worker said that it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    Said,
    None,
}
