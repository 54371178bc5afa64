//! Copying SQLite's log into the main file beside the writer, and not in the middle of somebody's commit.
//!
//! A checkpoint of its own accord runs on the connection that commits, inside the commit that makes the log too
//! long: 16 to 20 ms for 16 MiB, during which every account waits. Here a second connection copies (`PASSIVE`: it
//! waits for nobody and nobody for it), and the writer itself copies only what was appended meanwhile: the log is
//! begun anew when all of it is copied at the moment of a commit, and with a busy writer that moment has to be
//! made. Source: sqlite.org/wal.html, "Checkpointing" and "Avoiding Excessively Large WAL Files".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use wxgate_contract::Clock;

use super::LastFailure;
use crate::engine::{Address, Engine};
use crate::error::StoreError;

/// Work between two checkpoints, in rows; each commit counts some besides. Chosen by measuring the others beside a
/// flood: their p99 is 8 to 13 ms with some 2 MiB to copy, and 17 to 18 ms with the 16 MiB of SQLite's own threshold,
/// which keep the disk from the commits beside them.
const ROWS: usize = 1_024;
/// What a transaction costs beyond its rows: it touches the end of each tree, however little it brings.
const PER_GROUP: usize = 4;
/// Pages that may be left for the writer. Copied once more beside it while there are more, a few times at most.
const REST: i64 = 200;
const ROUNDS: usize = 3;

const DOING: &str = "copying the log into the database";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
// FULL: the log is synced before it is copied and the main file after it, or a power cut could leave pages of
// which neither has all. This connection never copies on its own.
const PRAGMAS: &str = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -64";

/// What the writer and the copier tell each other.
#[derive(Default)]
struct Signs {
    /// Look: there is something to copy, or it is over.
    look: Notify,
    is_over: AtomicBool,
    /// Nearly everything is copied; the writer does the rest.
    is_nearly_done: AtomicBool,
}

/// The writer's end. Does nothing on a server, which looks after its own log.
#[derive(Default)]
pub(super) struct Checkpoints {
    signs: Option<Arc<Signs>>,
    /// The copier.
    task: JoinSet<()>,
    rows: usize,
}

impl Checkpoints {
    /// To be called in the writer's own runtime, which the copier shares: it only awaits SQLite's thread.
    pub(super) fn start(address: &Address, copying: (LastFailure, Arc<dyn Clock>)) -> Self {
        match address.engine {
            Engine::Postgres => Self::default(),
            Engine::Sqlite { .. } => {
                let signs = Arc::new(Signs::default());
                let mut task = JoinSet::new();
                task.spawn(copy(address.clone(), Arc::clone(&signs), copying));
                Self { signs: Some(signs), task, rows: 0 }
            }
        }
    }

    /// A transaction of `rows` rows is over.
    pub(super) fn after(&mut self, rows: usize) {
        self.rows += rows + PER_GROUP;
        if self.rows >= ROWS
            && let Some(signs) = &self.signs
        {
            self.rows = 0;
            signs.look.notify_one();
        }
    }

    /// Copies the rest when nearly everything is copied. What fails here is in the log as before.
    pub(super) async fn finish(&self, conn: Option<&mut AnyConnection>) {
        if let (Some(signs), Some(conn)) = (&self.signs, conn)
            && signs.is_nearly_done.swap(false, Ordering::Relaxed)
        {
            let _ = conn.execute(sqlx::raw_sql(PASSIVE)).await;
        }
    }

    /// Ends the copier and waits until its connection is closed: whoever closes last empties the log.
    pub(super) async fn end(mut self) {
        if let Some(signs) = self.signs {
            signs.is_over.store(true, Ordering::Relaxed);
            signs.look.notify_one();
        }
        // An error is a panic of it, which ends it as well.
        while self.task.join_next().await.is_some() {}
    }
}

/// Copies whenever it is asked to, on a connection of its own.
async fn copy(address: Address, signs: Arc<Signs>, (copying, clock): (LastFailure, Arc<dyn Clock>)) {
    let mut conn = None;
    loop {
        signs.look.notified().await;
        if signs.is_over.load(Ordering::Relaxed) {
            break;
        }
        if conn.is_none() {
            conn = open(&address).await;
        }
        let Some(open) = &mut conn else { continue };
        match until_little_is_left(open).await {
            Ok(()) => signs.is_nearly_done.store(true, Ordering::Relaxed),
            // The log stays and keeps everything, and grows until the next attempt succeeds.
            Err(error) => {
                copying.note(clock.now(), &StoreError::unavailable(DOING, error));
                conn = None;
            }
        }
    }
    if let Some(conn) = conn {
        let _ = conn.close().await;
    }
}

async fn until_little_is_left(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let mut copied = 0;
    for _ in 0..ROUNDS {
        // Columns: whether it was kept from it, pages in the log, pages of them copied, since the log was begun.
        let pages: i64 = conn.fetch_one(sqlx::raw_sql(PASSIVE)).await?.try_get(1)?;
        if pages - copied <= REST {
            break;
        }
        copied = pages;
    }
    Ok(())
}

async fn open(address: &Address) -> Option<AnyConnection> {
    let mut conn = address.plain().await.ok()?;
    conn.execute(sqlx::raw_sql(PRAGMAS)).await.ok()?;
    Some(conn)
}
