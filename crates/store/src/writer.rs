//! The one thread that writes. Whoever waits at the same time shares one transaction and one fsync.
//!
//! It never waits for more work to come: a lonely commit costs what it would cost alone, and the
//! more accounts are busy, the more of them share. See docs/decisions/0003.

mod checkpoint;
mod fanout;
mod group;
mod intake;
mod known;
pub(crate) mod numbers;
mod profiles;
mod relayed;
mod settle;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{AnyConnection, Connection, Executor as _};
use tokio::sync::{mpsc, oneshot, watch};
use wxgate_contract::{BoxFuture, Clock, DeliveryId, NetworkId, Outcome, Timestamp};

use crate::engine::{Address, Engine, Lock};
use crate::error::{Doing as _, StoreError};
use crate::names::Names;
use crate::prepare::Ready;
use crate::report::{CommitReport, Route, SettleReport};
use crate::sole::{BEAT, Hold};
use crate::tx;
use checkpoint::Checkpoints;
use numbers::Numbers;

/// Requests that may wait. More than accounts that can be in one group, so that nobody is held
/// up by the channel itself; each entry is one boxed request.
const WAITING: usize = 1024;
/// One group takes at most this many rows and bytes (unless a single batch has more), so that
/// nobody's commit waits behind an endless transaction.
const GROUP_ROWS: usize = 4096;
const GROUP_BYTES: usize = 8 << 20;

/// What a step counts for, as its rows are not known: most write a few, a removal thousands.
const ROWS_OF_A_STEP: usize = 64;

/// Without work for this long, the writer gives its page cache back: the 2 MiB serve bursts, and a
/// quiet instance need not carry them. The next burst reads its pages from the system's cache. Chosen.
const CALM: Duration = Duration::from_secs(2);

/// How long a server may take to say that it is there.
const PING: Duration = Duration::from_secs(10);

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(crate) enum Request {
    Commit(Box<CommitRequest>),
    Settle(Box<SettleRequest>),
    Step(Box<dyn Step>),
}

pub(crate) struct CommitRequest {
    pub(crate) ready: Ready,
    pub(crate) route: Arc<dyn Route>,
    pub(crate) answer: Answer<CommitReport>,
}

pub(crate) struct SettleRequest {
    pub(crate) number: i64,
    pub(crate) delivery: DeliveryId,
    pub(crate) outcome: Outcome,
    pub(crate) route: Arc<dyn Route>,
    pub(crate) answer: Answer<SettleReport>,
}

/// Anything else that writes: rare, in a transaction of its own.
pub(crate) trait Step: Send {
    /// Runs and answers. False when the connection must not be used again.
    fn run<'a>(self: Box<Self>, conn: &'a mut AnyConnection) -> BoxFuture<'a, bool>;
    /// Answers that it was not done.
    fn fail(self: Box<Self>, error: StoreError);
}

struct Transaction<F, T> {
    work: F,
    doing: &'static str,
    answer: Answer<T>,
}

impl<F, T> Step for Transaction<F, T>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn run<'a>(self: Box<Self>, conn: &'a mut AnyConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Self { work, doing, answer } = *self;
            let result = tx::whole(conn, doing, work).await;
            let is_sound = result.as_ref().is_ok_and(|_| true) || rolled_back(conn).await;
            // An error means that nobody waits for the answer any more.
            let _ = answer.send(result);
            is_sound
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}

/// After a failure: is the connection out of its transaction and alive?
///
/// In plain words to the engine, never through the driver's own transactions: SQLite ends a transaction by
/// itself when the disk is full, the driver's counter does not hear of it, and its next `begin` would be a
/// savepoint that a later commit only releases.
async fn rolled_back(conn: &mut AnyConnection) -> bool {
    // Fails where there is nothing left to roll back.
    let _ = conn.execute(sqlx::raw_sql("ROLLBACK")).await;
    for probe in ["BEGIN", "ROLLBACK"] {
        if conn.execute(sqlx::raw_sql(probe)).await.is_err() {
            return false;
        }
    }
    true
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct WriterHandle(mpsc::Sender<Request>);

impl WriterHandle {
    /// Sends a request and waits for its answer.
    pub(crate) async fn ask<T>(&self, make: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = |()| StoreError::unavailable("writing to the database", "the store is closed or gave up");
        self.0.send(make(answer)).await.map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }

    /// Runs `work` in a transaction of its own.
    pub(crate) async fn transaction<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.ask(|answer| Request::Step(Box::new(Transaction { work, doing, answer }))).await
    }
}

/// The writing task's own things.
pub(crate) struct Writer {
    pub(crate) address: Address,
    pub(crate) conn: Option<AnyConnection>,
    pub(crate) names: Arc<Names>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held until the connection is closed.
    pub(crate) lock: Lock,
    /// What is known of the lock on a server.
    pub(crate) hold: Hold,
    /// Something was done since the page cache was last given back.
    pub(crate) is_warm: bool,
    pub(crate) numbers: Numbers,
    pub(crate) failure: LastFailure,
    /// When the log could not be copied last.
    pub(crate) copying: LastFailure,
}

/// When a commit, or a copying of the log, last failed for want of the database, and why. A lock and not a message: written when something
/// is wrong anyway, read by whoever asks how the program is doing; nothing awaits inside.
#[derive(Clone, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<(Timestamp, String)>>>);

impl LastFailure {
    fn note(&self, at: Timestamp, error: &StoreError) {
        if error.is_unavailable() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, error.to_string()));
        }
    }

    pub(crate) fn get(&self) -> Option<(Timestamp, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Writer {
    /// Starts it. It ends when the last handle is gone, and becomes true then; where a bug ends it the sender goes
    /// without a word.
    ///
    /// It has a thread and a runtime of its own, so that SQLite's thread wakes it and nothing else: a
    /// task of the program's runtime is woken through the event loop and takes a second worker along,
    /// twice per statement. And what it has begun does not depend on that runtime's end.
    pub(crate) fn start(self) -> Result<(WriterHandle, watch::Receiver<bool>), StoreError> {
        const DOING: &str = "starting the thread that writes";
        let (tx, rx) = mpsc::channel(WAITING);
        let (ended, end) = watch::channel(false);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time();
        if matches!(self.address.engine, Engine::Postgres) {
            runtime.enable_io();
        }
        let runtime = runtime.build().doing(DOING)?;
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let work = move || {
            runtime.block_on(self.run(rx));
            ended.send_replace(true);
        };
        thread.spawn(work).doing(DOING)?;
        Ok((WriterHandle(tx), end))
    }

    /// The next request. After a quiet while the page cache is given back.
    async fn next(&mut self, rx: &mut mpsc::Receiver<Request>) -> Option<Request> {
        while self.is_warm {
            let calm = match self.address.engine {
                Engine::Sqlite { .. } => CALM,
                Engine::Postgres => BEAT,
            };
            match tokio::time::timeout(calm, rx.recv()).await {
                Ok(next) => return next,
                Err(_) => self.cool().await,
            }
        }
        let next = rx.recv().await;
        self.is_warm = true;
        next
    }

    /// Nothing to do for a while: a file's cache is given back, a server is asked whether the database is
    /// still ours. What fails here fails again where somebody hears of it.
    async fn cool(&mut self) {
        match (&self.address.engine, &mut self.conn) {
            (Engine::Postgres, _) => drop(self.connection().await),
            (Engine::Sqlite { .. }, conn) => {
                self.is_warm = false;
                if let Some(conn) = conn {
                    let _ = conn.execute(sqlx::raw_sql("PRAGMA shrink_memory")).await;
                }
            }
        }
    }

    /// The connection must not be used again.
    fn broke(&mut self) {
        self.conn = None;
        if matches!(self.address.engine, Engine::Postgres) {
            self.hold.broke();
        }
    }

    async fn run(mut self, mut rx: mpsc::Receiver<Request>) {
        let mut was_shared = false;
        let mut checkpoints =
            Checkpoints::start(&self.address, (self.copying.clone(), Arc::clone(&self.clock)));
        while let Some(first) = self.next(&mut rx).await {
            let (mut commits, mut settles, mut step) = (Vec::new(), Vec::new(), None);
            let (mut rows, mut bytes) = (0, 0);
            let mut next = Some(first);
            // Those who were answered by the last group are ready to run but have not run yet;
            // letting them come first makes groups whole. This is a turn, not a wait.
            if was_shared {
                std::thread::yield_now();
            }
            while let Some(request) = next {
                match request {
                    Request::Commit(commit) => {
                        rows += commit.ready.rows();
                        bytes += commit.ready.bytes;
                        commits.push(*commit);
                    }
                    Request::Settle(settle) => {
                        rows += 1;
                        settles.push(*settle);
                    }
                    Request::Step(other) => step = Some(other),
                }
                let is_full = rows >= GROUP_ROWS || bytes >= GROUP_BYTES || step.is_some();
                next = if is_full { None } else { rx.try_recv().ok() };
            }
            was_shared = commits.len() + settles.len() > 1;
            if !commits.is_empty() || !settles.is_empty() {
                self.group(commits, settles).await;
            }
            if let Some(step) = step {
                self.step(step).await;
                rows += ROWS_OF_A_STEP;
            }
            // Everybody has an answer; whoever comes now waits for a few pages.
            checkpoints.after(rows);
            checkpoints.finish(self.conn.as_mut()).await;
        }
        checkpoints.end().await;
        if let Some(conn) = self.conn.take() {
            // Copies the log into the main file. A failure here loses nothing: the log stays.
            let _ = conn.close().await;
        }
        drop(self.lock);
    }

    async fn step(&mut self, step: Box<dyn Step>) {
        let patience = self.address.engine.patience();
        match self.connection().await {
            Ok(conn) => {
                let is_sound = match patience {
                    None => step.run(conn).await,
                    // Who waits sees the answer's channel close, which is an error as well.
                    Some(patience) => tokio::time::timeout(patience, step.run(conn)).await.unwrap_or(false),
                };
                if !is_sound {
                    self.broke();
                }
            }
            Err(error) => step.fail(error),
        }
    }

    /// The connection, opened again when the last one broke.
    async fn connection(&mut self) -> Result<&mut AnyConnection, StoreError> {
        // A server may have gone and come back since the last group; asking first means that
        // nobody's commit fails for it.
        if let (Engine::Postgres, Some(conn)) = (&self.address.engine, &mut self.conn)
            && !matches!(tokio::time::timeout(PING, conn.ping()).await, Ok(Ok(())))
        {
            self.broke();
        }
        if self.conn.is_none() {
            let mut conn = self.address.writer(&mut self.hold).await?;
            if matches!(self.address.engine, Engine::Postgres) {
                self.hold.confirm(&mut conn).await?;
            }
            self.conn = Some(conn);
        }
        self.conn.as_mut().ok_or_else(|| StoreError::unavailable("opening the database", "no connection"))
    }
}

/// Gives a network its number.
pub(crate) struct Number {
    pub(crate) names: Arc<Names>,
    pub(crate) network: NetworkId,
    pub(crate) answer: Answer<i64>,
}

impl Step for Number {
    fn run<'a>(self: Box<Self>, conn: &'a mut AnyConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let result = self.names.give(conn, &self.network).await;
            let is_sound = result.is_ok() || rolled_back(conn).await;
            let _ = self.answer.send(result);
            is_sound
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}
