//! The store: what it is made of, how it is opened, and the two calls of the pipe.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use wxgate_contract::{Batch, Clock, DeliveryId, NetworkId, Outcome, Timestamp};

use crate::engine::{Address, Engine, lock};
use crate::error::{Doing, Sql, StoreError};
use crate::files;
use crate::leader::{self, Instance};
use crate::media::Used;
use crate::migrate::{HEAD, migrate};
use crate::names::Names;
use crate::prepare;
use crate::put_back;
use crate::report::{CommitReport, Route, SettleReport};
use crate::seal::SealKey;
use crate::snapshot;
use crate::sole::{Held, Hold};
use crate::url::StoreUrl;
use crate::users::HASHING;
use crate::writer::numbers::Numbers;
use crate::writer::{CommitRequest, LastFailure, Number, Request, SettleRequest, Writer, WriterHandle};

/// What a store needs to open.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Which database.
    pub url: StoreUrl,
    /// Where media files, and by default the database, live.
    pub data_dir: PathBuf,
    /// Seals secrets.
    pub seal_key: SealKey,
    /// Longest attachment that is accepted.
    pub max_media_bytes: u64,
    /// How this gateway is known to others that share the database.
    pub instance: Instance,
    /// Says that the database was put back as it once was: a word, another one each time; empty where it never was.
    /// The first opening with a word goes on beyond all numbers that were given since.
    pub restored: String,
}

/// Everything durable. Cheap to clone; the last clone that goes away closes it.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    // Taken away by `close`. A lock and not a message, because it is what messages go through;
    // held for a clone only.
    writer: Mutex<Option<WriterHandle>>,
    /// True when the writer has ended in order.
    end: watch::Receiver<bool>,
    pub(crate) readers: AnyPool,
    pub(crate) names: Arc<Names>,
    pub(crate) key: SealKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) engine: Engine,
    pub(crate) url: StoreUrl,
    held: watch::Receiver<Held>,
    pub(crate) data_dir: PathBuf,
    failure: LastFailure,
    copy_failure: LastFailure,
    pub(crate) max_media_bytes: u64,
    /// Between a file's arrival under its hash and its row, nobody may remove the file as unnamed
    /// (and the other way round). A lock, because the two sides are calls of different tasks that
    /// share only the file system; it is held for a rename and one commit.
    pub(crate) media_gate: tokio::sync::Mutex<()>,
    /// How full the vault is.
    pub(crate) media_used: watch::Sender<Used>,
    /// One at a time replaces the seal key.
    pub(crate) replacing: Arc<tokio::sync::Mutex<()>>,
    /// One at a time copies everything.
    pub(crate) copying: Arc<tokio::sync::Mutex<()>>,
    /// The copy that is being made. A lock and not a message: held for handing it over.
    pub(crate) copies: Mutex<JoinSet<()>>,
    /// Places for working at passwords.
    pub(crate) hashing: Arc<Semaphore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.engine).finish()
    }
}

/// How far ahead of our clock a message may say it was written; one that says more is taken for that. Chosen: clocks of
/// servers are minutes off, time zones that somebody forgot are hours.
const AHEAD: Duration = Duration::from_secs(86_400);

impl Store {
    /// Opens the database, brings its schema up to date and starts the writer.
    ///
    /// # Errors
    /// `Conflict` when another process has the SQLite file or another gateway the PostgreSQL database, `Schema` when the database is newer
    /// than this program, `Invalid` for a bad address, `Unavailable` for the rest.
    pub async fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_at(config, clock, HEAD).await
    }

    /// Opens with an older schema; for tests of migrations.
    #[doc(hidden)]
    pub async fn open_at(config: StoreConfig, clock: Arc<dyn Clock>, head: i64) -> Result<Self, StoreError> {
        files::make_dir(&config.data_dir, &config.data_dir).doing("creating the data directory")?;
        let address = Address::new(&config.url, &config.data_dir)?;
        let lock = lock(&address.engine, &config.data_dir)?;
        snapshot::sweep(&config.data_dir);
        let mut hold = Hold::new(&config.instance);
        let mut conn = address.writer(&mut hold).await?;
        migrate(&mut conn, &address.engine, head, clock.now().ms()).await?;
        if matches!(address.engine, Engine::Postgres) {
            if head == HEAD {
                leader::check_key(&mut conn, &config.seal_key).await?;
            }
            hold.confirm(&mut conn).await?;
        }
        put_back::leap(&mut conn, &config.restored, clock.now().ms()).await?;
        let held = hold.watch();
        let names = Arc::new(Names::default());
        names.load(&mut conn).await?;
        let readers = address.readers();
        let engine = address.engine.clone();
        let (conn, writer_names) = (Some(conn), Arc::clone(&names));
        let (failure, copy_failure) = (LastFailure::default(), LastFailure::default());
        let writer = Writer {
            numbers: Numbers::new(&address.engine),
            address,
            conn,
            names: writer_names,
            clock: Arc::clone(&clock),
            lock,
            hold,
            is_warm: true,
            failure: failure.clone(),
            copying: copy_failure.clone(),
        };
        let (writer, end) = writer.start()?;
        let store = Self(Arc::new(Inner {
            writer: Mutex::new(Some(writer)),
            end,
            readers,
            names,
            key: config.seal_key,
            clock,
            engine,
            url: config.url,
            held,
            data_dir: config.data_dir,
            failure,
            copy_failure,
            max_media_bytes: config.max_media_bytes,
            media_gate: tokio::sync::Mutex::new(()),
            media_used: watch::channel(Used::default()).0,
            replacing: Arc::default(),
            copying: Arc::default(),
            copies: Mutex::default(),
            hashing: Arc::new(Semaphore::new(HASHING)),
        }));
        Ok(store)
    }

    /// When a commit last failed because the database could not be used, and why; `None` when none has.
    pub fn last_failure(&self) -> Option<(Timestamp, String)> {
        self.0.failure.get()
    }

    /// When SQLite's log last could not be copied into the database's file, and why; `None` when it always could. The
    /// log keeps everything meanwhile, and grows.
    pub fn last_copy_failure(&self) -> Option<(Timestamp, String)> {
        self.0.copy_failure.get()
    }

    /// True while this gateway surely has the database: its session stands. Noticed within some seconds.
    #[must_use]
    pub fn has_database(&self) -> bool {
        *self.0.held.borrow() == Held::Ours
    }

    /// Waits until the database is another gateway's, and says why. Whoever hears it must not go on: what it
    /// knows is no longer true. Dropping the future loses nothing.
    pub async fn lost(&self) -> String {
        let mut held = self.0.held.clone();
        match held.wait_for(|held| matches!(held, Held::Lost(_))).await.as_deref() {
            Ok(Held::Lost(why)) => why.clone(),
            // The store was closed: nobody can take it away any more.
            _ => std::future::pending().await,
        }
    }

    /// Waits until a bug has ended what writes, and says so: nothing can be stored from then on. Dropping the future
    /// loses nothing.
    pub async fn broke(&self) -> String {
        match self.0.end.clone().wait_for(|has_ended| *has_ended).await {
            // The store was closed.
            Ok(_) => std::future::pending().await,
            Err(_) => "a bug ended the thread that writes to the database".to_owned(),
        }
    }

    /// Fails while it is not certain that the database is this gateway's: what another one may carry out must
    /// not be handed out here.
    pub(crate) fn check_held(&self, doing: &'static str) -> Result<(), StoreError> {
        match &*self.0.held.borrow() {
            Held::Ours => Ok(()),
            Held::Unknown => {
                Err(StoreError::unavailable(doing, "the connection that keeps the database broke"))
            }
            Held::Lost(why) => Err(StoreError::unavailable(doing, why.clone())),
        }
    }

    /// Finishes what is waiting, closes the database and gives its lock back. Later calls of any
    /// clone fail.
    pub async fn close(&self) {
        self.0.readers.close().await;
        drop(self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        // An error means that a bug has ended it already.
        let _ = self.0.end.clone().wait_for(|has_ended| *has_ended).await;
    }

    pub(crate) fn writer(&self) -> Result<WriterHandle, StoreError> {
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .clone()
            .ok_or_else(|| StoreError::unavailable("writing to the database", "the store is closed"))
    }

    /// A connection for reading.
    pub(crate) async fn reader(
        &self,
        doing: &'static str,
    ) -> Result<impl std::ops::DerefMut<Target = AnyConnection>, StoreError> {
        self.0.readers.acquire().await.sql(doing)
    }

    /// The number of a network, given now if it has none.
    pub(crate) async fn number(&self, network: &NetworkId) -> Result<i64, StoreError> {
        if let Some(number) = self.0.names.known(network) {
            return Ok(number);
        }
        crate::limits::check_network(network)?;
        let (names, network) = (Arc::clone(&self.0.names), network.clone());
        self.writer()?.ask(|answer| Request::Step(Box::new(Number { names, network, answer }))).await
    }

    /// The number of a network for reading; `None` when the store has nothing of it.
    pub(crate) async fn find(&self, network: &NetworkId) -> Result<Option<i64>, StoreError> {
        self.0.names.find(&self.0.readers, network).await
    }

    /// Makes a batch durable, whole or not at all. `route` is asked once per new post.
    ///
    /// # Errors
    /// `Invalid` when the batch can never be stored, `Unavailable` when nothing was changed (or,
    /// when the failure was in the commit itself, nobody can tell; hand the batch over again).
    pub async fn commit_batch(
        &self,
        network: &NetworkId,
        mut batch: Batch,
        route: Arc<dyn Route>,
    ) -> Result<CommitReport, StoreError> {
        prepare::check(network, &batch)?;
        // Or one message from the year 2100 would keep whatever follows it for as long.
        let latest = self.0.clock.now().after(AHEAD);
        batch.posts.iter_mut().for_each(|post| post.at = post.at.min(latest));
        for name in prepare::networks(network, &batch) {
            if self.0.names.known(name).is_none() {
                self.number(name).await?;
            }
        }
        // Until it is committed: what replaces the key has to find it.
        let _sealing = self.0.key.sealing().await;
        let ready = prepare::prepare(network, batch, &self.0.names, &self.0.key)?;
        self.writer()?.ask(|answer| Request::Commit(Box::new(CommitRequest { ready, route, answer }))).await
    }

    /// Records what became of a delivery. An unknown or closed delivery changes nothing. `route` is
    /// asked when a face's post becomes visible by it.
    ///
    /// # Errors
    /// `Unavailable` when nothing was changed, `Invalid` for remote ids that cannot be stored.
    pub async fn settle(
        &self,
        network: &NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
        route: Arc<dyn Route>,
    ) -> Result<SettleReport, StoreError> {
        if let Outcome::Sent { remote_ids } = &outcome {
            for id in remote_ids {
                crate::limits::check_id("the id of a post", id.as_str())?;
            }
        }
        let Some(number) = self.find(network).await? else { return Ok(SettleReport::default()) };
        self.writer()?
            .ask(|answer| {
                Request::Settle(Box::new(SettleRequest { number, delivery, outcome, route, answer }))
            })
            .await
    }
}
