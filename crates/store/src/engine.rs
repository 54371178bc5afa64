//! The two engines: how to connect, and who may.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor};

use crate::error::{Doing, Sql, StoreError};
use crate::files;
use crate::sole::Hold;
use crate::url::{StoreUrl, sqlite_address};

/// Which engine.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// One file; this process is the only one that may open it.
    Sqlite { path: PathBuf },
    /// A server; a lock of it keeps other gateways away from the database.
    Postgres,
}

impl Engine {
    /// How long a transaction may take before the server is given up. A file has no such limit:
    /// a slow disk is slow for everybody, and there is nobody else to ask.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres => Some(Duration::from_secs(60)),
        }
    }
}

const OPENING: &str = "opening the database";
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) engine: Engine,
    write: AnyConnectOptions,
    read: AnyConnectOptions,
}

/// Readers of one process. SQLite readers never wait for the writer; four keep two cores busy.
const READERS: u32 = 4;

// FULL: a commit is on disk when it returns. The log is copied beside the writer (`writer::checkpoint`); the
// threshold (64 MiB) is for when that fails, and the limit gives the space back afterwards. FAST: what is deleted
// or moved is written over in pages that are written anyway; without it an account that is removed leaves
// pieces of its messages between those of others.
const WRITER_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA wal_autocheckpoint = 16000; PRAGMA journal_size_limit = 33554432; \
    PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = FAST";
// Readers look up single rows; what they need again is in the system's cache.
const READER_PRAGMAS: &str = "PRAGMA query_only = 1; PRAGMA cache_size = -512";

impl Address {
    pub(crate) fn new(url: &StoreUrl, data_dir: &Path) -> Result<Self, StoreError> {
        // Registers the drivers this program was built with; later calls change nothing.
        sqlx::any::install_default_drivers();
        let parse = |text: &str| {
            let options = AnyConnectOptions::from_str(text);
            // The driver's own message may repeat the address, and with it a password.
            options
                .map(ConnectOptions::disable_statement_logging)
                .map_err(|_| StoreError::invalid("the store address cannot be understood"))
        };
        match url {
            StoreUrl::Postgres(text) => {
                let options = parse(text)?;
                Ok(Self { engine: Engine::Postgres, write: options.clone(), read: options })
            }
            StoreUrl::Sqlite(_) => {
                let path = url.sqlite_path(data_dir).unwrap_or_default();
                let write = parse(&sqlite_address(&path, "rwc")?)?;
                let read = parse(&sqlite_address(&path, "rw")?)?;
                Ok(Self { engine: Engine::Sqlite { path }, write, read })
            }
        }
    }

    /// The one connection that writes. On a server it has the database for this gateway alone.
    pub(crate) async fn writer(&self, hold: &mut Hold) -> Result<AnyConnection, StoreError> {
        let mut conn = connect(&self.write).await?;
        match self.engine {
            Engine::Sqlite { .. } => {
                conn.execute(sqlx::raw_sql(WRITER_PRAGMAS)).await.sql(OPENING)?;
            }
            Engine::Postgres => hold.claim(&mut conn).await?,
        }
        Ok(conn)
    }

    /// A connection with nothing set.
    pub(crate) async fn plain(&self) -> Result<AnyConnection, StoreError> {
        connect(&self.read).await
    }

    /// Connections that only read.
    pub(crate) fn readers(&self) -> AnyPool {
        let is_sqlite = matches!(self.engine, Engine::Sqlite { .. });
        AnyPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(CONNECT)
            // A file does not go away; a server does, and then the pool must notice.
            .test_before_acquire(!is_sqlite)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    if is_sqlite {
                        conn.execute(sqlx::raw_sql(READER_PRAGMAS)).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(self.read.clone())
    }
}

async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    let conn = tokio::time::timeout(CONNECT, AnyConnection::connect_with(options)).await;
    let silent = |_| StoreError::unavailable(OPENING, format!("no answer in {} seconds", CONNECT.as_secs()));
    conn.map_err(silent)?.sql(OPENING)
}

/// Keeps other gateways away from a data directory, until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// Closing alone is not enough: a program that is being started at this moment (a converter, say) has the
    /// file until its own begins, and with it the lock. Source: flock(2), "duplicates of the descriptor".
    fn drop(&mut self) {
        // A failure here leaves what closing does.
        let _ = self.0.unlock();
    }
}

/// Held as long as the store is open. SQLite itself would let a second process in, and both would then deliver
/// the same lanes; with a server elsewhere it keeps the attachments and the sockets of the data directory apart.
pub(crate) fn lock(engine: &Engine, data_dir: &Path) -> Result<Lock, StoreError> {
    let lock = hold(engine, data_dir)?;
    if let Engine::Sqlite { path } = engine {
        // Made here, because SQLite would let others read it; its other files take its mode.
        files::make_missing(path, data_dir).doing(OPENING)?;
    }
    Ok(lock)
}

/// Keeps other gateways away from a data directory whose database is on a server, for one that does not have that.
///
/// # Errors
/// `Conflict` when another process has it, `Unavailable` when the system does not let us.
pub fn hold_data_dir(data_dir: &Path) -> Result<Lock, StoreError> {
    lock(&Engine::Postgres, data_dir)
}

/// The same, without a database file where there is none.
pub(crate) fn hold(engine: &Engine, data_dir: &Path) -> Result<Lock, StoreError> {
    let (what, name) = match engine {
        Engine::Sqlite { path } => {
            files::make_dir(files::dir_of(path), data_dir).doing(OPENING)?;
            // SQLite follows a link, and so must the lock: one database has one, whatever it is called.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let mut name = real.into_os_string();
            name.push(".lock");
            (path.as_path(), PathBuf::from(name))
        }
        Engine::Postgres => (data_dir, data_dir.join("wxgate.lock")),
    };
    files::make_missing(&name, data_dir).doing(OPENING)?;
    let mut file = OpenOptions::new().read(true).write(true).open(&name).doing(OPENING)?;
    match file.try_lock() {
        Ok(()) => {
            // For whoever looks at the file; the lock itself is what counts. A full disk must not
            // keep the gateway from starting, so a failure here changes nothing.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(Lock(file))
        }
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&name).unwrap_or_default();
            let holder = holder.trim();
            let by = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            let rule = match engine {
                Engine::Sqlite { .. } => "one SQLite file serves one process",
                Engine::Postgres => "one data directory serves one process",
            };
            Err(StoreError::conflict(format!(
                "{} is open in another wxgate process{by}; {rule}, stop the other one or give this one a store of \
                 its own",
                what.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::unavailable("locking the database", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As between the start of another program and its first own instruction.
    #[test]
    fn the_lock_is_free_although_somebody_has_a_duplicate_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(&Engine::Postgres, dir.path()).unwrap();
        let duplicate = first.0.try_clone().unwrap();
        assert!(lock(&Engine::Postgres, dir.path()).is_err(), "it is held");
        drop(first);
        assert!(lock(&Engine::Postgres, dir.path()).is_ok());
        drop(duplicate);
    }

    #[test]
    fn a_database_is_locked_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("wx.db"), dir.path().join("other.db"));
        let held = lock(&Engine::Sqlite { path: path.clone() }, dir.path()).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(lock(&Engine::Sqlite { path: link }, dir.path()).is_err(), "it is the same database");
        drop(held);
    }
}
