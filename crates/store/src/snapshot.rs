//! A consistent copy of everything durable, while the store goes on working.
//!
//! The database is copied by the engine itself, in one read transaction that keeps no writer waiting.
//! Attachments are named by their content and never change, so a second name of the file (a hard link) is a
//! copy; they are named before and after the database is copied, so that whatever its rows name is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use sqlx::{AnyConnection, Connection};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::engine::{Address, Engine, Lock, hold, lock};
use crate::error::{Doing, Sql, StoreError};
use crate::files;
use crate::leader::Instance;
use crate::seal::{Place, SealKey};
use crate::sole::Hold;
#[cfg(feature = "postgres")]
use crate::sql::Columns as _;
use crate::sql::{self, row};
use crate::store::Store;
use crate::url::StoreUrl;

const DOING: &str = "making a snapshot";
/// The database of a server inside a snapshot, as `pg_dump --format=custom` writes it.
pub const DUMP: &str = "wxgate.pgdump";
#[cfg(not(feature = "postgres"))]
const WITHOUT: &str = "this program was built without PostgreSQL; build it with the cargo feature `postgres`";
/// Where a snapshot lies inside the data directory while it is read. One at a time.
const ASIDE: &str = "snapshot.tmp";
/// The database inside a snapshot.
const DATABASE: &str = "wxgate.db";
const MEDIA: &str = "media";

/// A copy that nobody changes. Dropping it removes it.
#[derive(Debug)]
pub struct Snapshot {
    files: Vec<SnapshotFile>,
    key: SealKey,
    /// While it is there the seal key is not replaced.
    steady: Option<OwnedMutexGuard<()>>,
    _aside: Aside,
    /// Of a gateway that does not run: nobody starts one meanwhile, which would sweep the copy away.
    _lock: Option<Lock>,
}

/// A file of a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    /// Its place in a data directory: `wxgate.db`, `media/ab/cdef…`.
    pub name: String,
    /// Where it can be read.
    pub path: PathBuf,
    /// How long it is.
    pub size_bytes: u64,
}

impl Snapshot {
    /// Attachments first, the database last: whoever puts them into place in this order never has rows
    /// without their files.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Whoever wanted the seal key file beside the copy has read it: the key may be replaced again.
    pub fn let_key_change(&mut self) {
        self.steady = None;
    }

    /// Seals a secret file of the data directory for its way into a backup.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal_file(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.seal(&Place::File { name }, plain)
    }
}

/// A directory that goes away, and with it the place of whoever made it.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
    /// Of a gateway that runs: one copy at a time.
    _place: Option<OwnedMutexGuard<()>>,
}

impl Aside {
    /// Whoever calls this is alone, by the store's lock or by the place in it.
    fn make(data_dir: &Path, place: Option<OwnedMutexGuard<()>>) -> Result<Self, StoreError> {
        let path = data_dir.join(ASIDE);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // What could not be removed when it was done with.
            removed => removed.doing(DOING)?,
        }
        fs::DirBuilder::new().mode(0o700).create(&path).doing(DOING)?;
        let aside = Self { path, _place: place };
        // Or what is left of it after a kill could not be removed by the gateway's user.
        files::hand_over(&aside.path, data_dir).doing(DOING)?;
        Ok(aside)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What could not be removed is removed by the next snapshot.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what a snapshot left behind when the program was killed. Whoever calls this holds the store's lock, so
/// nobody reads it.
pub(crate) fn sweep(data_dir: &Path) {
    // What could not be removed is removed by the next snapshot.
    let _ = fs::remove_dir_all(data_dir.join(ASIDE));
}

impl Store {
    /// Copies everything durable as it is at one moment. When nobody waits for it any more, what is under way is brought
    /// to its end and put away; until then there is no other.
    ///
    /// # Errors
    /// `Conflict` while another snapshot is made or read, `Unavailable` when the disk or the database does not let us,
    /// or `pg_dump` is needed and not there.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let Ok(place) = Arc::clone(&self.0.copying).try_lock_owned() else {
            return Err(StoreError::conflict(
                "a backup is being made already; one that was broken off is put away in a moment",
            ));
        };
        let (tell, told) = oneshot::channel();
        let store = self.clone();
        // In a task of its own: what the engine and threads have begun goes on when whoever asked for it is gone, and
        // must not come upon the directory of the next copy.
        let copy = async move {
            let made = store.copy(place, &tell).await;
            // An error means that nobody waits for it any more: it goes away with the answer.
            let _ = tell.send(made);
        };
        {
            let mut copies = self.0.copies.lock().unwrap_or_else(PoisonError::into_inner);
            while copies.try_join_next().is_some() {}
            copies.spawn(copy);
        }
        told.await.doing(DOING)?
    }

    async fn copy(&self, place: OwnedMutexGuard<()>, asked: &Asked) -> Result<Snapshot, StoreError> {
        let aside = Aside::make(&self.0.data_dir, Some(place))?;
        // What the key of the moment opens: a replacement is waited for, and the next one waits.
        let steady = Arc::clone(&self.0.replacing).lock_owned().await;
        link_all_media(&self.0.data_dir, &aside).await?;
        still(asked)?;
        let database = match &self.0.engine {
            Engine::Sqlite { path } => copy_database(path, &aside).await?,
            Engine::Postgres => {
                let mut conn = self.reader(DOING).await?;
                dump(&mut conn, &self.0.url, &aside).await?
            }
        };
        still(asked)?;
        let mut files = link_all_media(&self.0.data_dir, &aside).await?;
        files.push(database);
        Ok(Snapshot { files, key: self.0.key.clone(), steady: Some(steady), _aside: aside, _lock: None })
    }
}

/// Whoever waits for a snapshot.
type Asked = oneshot::Sender<Result<Snapshot, StoreError>>;

/// Fails when nobody waits any more.
fn still(asked: &Asked) -> Result<(), StoreError> {
    match asked.is_closed() {
        true => Err(StoreError::unavailable(DOING, "nobody waits for it any more")),
        false => Ok(()),
    }
}

/// Keeps a gateway and other commands away from a store while something is put there. Given back when it is dropped.
#[derive(Debug)]
pub struct Kept {
    _lock: Lock,
}

/// Takes the lock of a store, as a gateway that runs has it: beside the SQLite file, or in the data directory. The
/// directory of the lock is made where it is missing, the database is not.
///
/// # Errors
/// `Conflict` when another process has it, `Unavailable` when the system does not let us.
pub fn keep(url: &StoreUrl, data_dir: &Path) -> Result<Kept, StoreError> {
    let address = Address::new(url, data_dir)?;
    Ok(Kept { _lock: hold(&address.engine, data_dir)? })
}

/// Copies everything durable of a gateway that does not run. Nothing of it is brought up to date: a database of an older
/// program is copied as that left it. Whether there is a database is for [`inspect`](crate::inspect) to say.
///
/// # Errors
/// `Conflict` when another process has the SQLite file or the data directory, or another gateway the PostgreSQL
/// database; otherwise as [`Store::snapshot`].
pub async fn snapshot_of(url: &StoreUrl, data_dir: &Path, key: SealKey) -> Result<Snapshot, StoreError> {
    let address = Address::new(url, data_dir)?;
    files::make_dir(data_dir, data_dir).doing(DOING)?;
    let lock = lock(&address.engine, data_dir)?;
    let aside = Aside::make(data_dir, None)?;
    let database = match &address.engine {
        Engine::Sqlite { path } => copy_database(path, &aside).await?,
        Engine::Postgres => {
            // Kept until it is copied: a gateway of another machine that starts now might bring it up to date.
            let mut hold = Hold::new(&Instance::default());
            let mut conn = address.writer(&mut hold).await?;
            dump(&mut conn, url, &aside).await?
        }
    };
    let mut files = link_all_media(data_dir, &aside).await?;
    files.push(database);
    Ok(Snapshot { files, key, steady: None, _aside: aside, _lock: Some(lock) })
}

/// The server's own program writes the database, in a transaction of its own.
#[cfg(feature = "postgres")]
async fn dump(conn: &mut AnyConnection, url: &StoreUrl, aside: &Aside) -> Result<SnapshotFile, StoreError> {
    let rows = sql::fetch(conn, DOING, "SELECT CAST(current_schema() AS TEXT)", []).await?;
    let schema: String = rows.first().map_or_else(|| Ok("public".to_owned()), |row| row.at(0))?;
    let (url, path) = (url.clone(), aside.path.join(DUMP));
    let to = path.clone();
    tokio::task::spawn_blocking(move || crate::dump::dump(&url, &schema, &to)).await.doing(DOING)??;
    file(DUMP.to_owned(), path).doing(DOING)
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "it waits in builds with PostgreSQL")]
async fn dump(_: &mut AnyConnection, _: &StoreUrl, _: &Aside) -> Result<SnapshotFile, StoreError> {
    Err(StoreError::invalid(WITHOUT))
}

async fn link_all_media(data_dir: &Path, aside: &Aside) -> Result<Vec<SnapshotFile>, StoreError> {
    let (from, to, data_dir) = (data_dir.join(MEDIA), aside.path.join(MEDIA), data_dir.to_owned());
    tokio::task::spawn_blocking(move || link_media(&from, &to, &data_dir)).await.doing(DOING)?.doing(DOING)
}

/// Puts the dump of a snapshot into a PostgreSQL database that has none of its tables, as a whole or not at all. Works
/// as long as the server's program does, which it waits for.
///
/// # Errors
/// `Invalid` when the address is none of a PostgreSQL database, `Unavailable` when `pg_restore` is not there, and with its
/// own words when it failed.
#[cfg(feature = "postgres")]
pub fn load_dump(url: &StoreUrl, from: &Path) -> Result<(), StoreError> {
    crate::dump::load_dump(url, from)
}

/// There is no such store in this program.
///
/// # Errors
/// `Invalid`, with the feature that it lacks.
#[cfg(not(feature = "postgres"))]
pub fn load_dump(_: &StoreUrl, _: &Path) -> Result<(), StoreError> {
    Err(StoreError::invalid(WITHOUT))
}

/// The engine itself copies a database file.
async fn copy_database(from: &Path, aside: &Aside) -> Result<SnapshotFile, StoreError> {
    let path = aside.path.join(DATABASE);
    let Some(to) = path.to_str() else {
        return Err(StoreError::invalid(format!("the path {} is not UTF-8", path.display())));
    };
    let address = Address::new(&StoreUrl::Sqlite(Some(from.to_path_buf())), Path::new(""))?;
    let mut conn: AnyConnection = address.plain().await?;
    sql::run(&mut conn, DOING, "VACUUM INTO $1", row![to]).await?;
    conn.close().await.sql(DOING)?;
    file(DATABASE.to_owned(), path).doing(DOING)
}

/// Gives every attachment a second name below `to`, and lists all that have one.
fn link_media(from: &Path, to: &Path, data_dir: &Path) -> io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for shelf in entries(from)?.into_iter().filter(|name| is_hex(name) && name.len() == 2) {
        files::make_dir(&to.join(&shelf), data_dir)?;
        for rest in entries(&from.join(&shelf))?.into_iter().filter(|name| is_hex(name)) {
            let (source, target) = (from.join(&shelf).join(&rest), to.join(&shelf).join(&rest));
            match fs::hard_link(&source, &target) {
                // Already linked, or pruned a moment ago.
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
                linked => linked?,
            }
        }
        for rest in entries(&to.join(&shelf))? {
            files.push(file(format!("{MEDIA}/{shelf}/{rest}"), to.join(&shelf).join(&rest))?);
        }
    }
    Ok(files)
}

fn file(name: String, path: PathBuf) -> io::Result<SnapshotFile> {
    let size_bytes = fs::metadata(&path)?.len();
    Ok(SnapshotFile { name, path, size_bytes })
}

/// The names in a directory, in order; none when there is no directory.
fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let read = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let names = read.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

fn is_hex(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl SealKey {
    /// Opens what [`Snapshot::seal_file`] sealed; `None` when that was under another name or with another key.
    pub fn open_file(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.open(&Place::File { name }, sealed)
    }
}
