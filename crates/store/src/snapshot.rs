//! A consistent copy of everything durable, while the store goes on working.
//!
//! The database is copied by the engine itself, in one read transaction that keeps no writer waiting.
//! Attachments are named by their content and never change, so a second name of the file (a hard link) is a
//! copy; they are named before and after the database is copied, so that whatever its rows name is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, Connection};

use crate::engine::{Address, Engine};
use crate::error::{Doing, Sql, StoreError};
use crate::seal::{Place, SealKey};
use crate::sql::{self, row};
use crate::store::Store;
use crate::url::StoreUrl;

const DOING: &str = "making a snapshot";
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
    _aside: Aside,
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

    /// Seals a secret file of the data directory for its way into a backup.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal_file(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.seal(&Place::File { name }, plain)
    }
}

/// A directory that goes away.
#[derive(Debug)]
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // What could not be removed is removed by the next snapshot.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Store {
    /// Copies everything durable as it is at one moment.
    ///
    /// # Errors
    /// `Conflict` while another snapshot is read, `Invalid` on PostgreSQL, whose own tools do this,
    /// `Unavailable` when the disk or the database does not let us.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let Engine::Sqlite { path } = &self.0.engine else {
            return Err(StoreError::invalid(
                "the store is a PostgreSQL database: back it up with pg_dump, and the data directory with it \
                 (docs/backup.md)",
            ));
        };
        let aside = self.aside()?;
        self.link_media(&aside).await?;
        copy_database(path, &aside.0.join(DATABASE)).await?;
        let mut files = self.link_media(&aside).await?;
        files.push(file(DATABASE.to_owned(), aside.0.join(DATABASE)).doing(DOING)?);
        Ok(Snapshot { files, key: self.0.key.clone(), _aside: aside })
    }

    async fn link_media(&self, aside: &Aside) -> Result<Vec<SnapshotFile>, StoreError> {
        let (from, to) = (self.media_dir(), aside.0.join(MEDIA));
        tokio::task::spawn_blocking(move || link_media(&from, &to)).await.doing(DOING)?.doing(DOING)
    }

    fn aside(&self) -> Result<Aside, StoreError> {
        let path = self.0.data_dir.join(ASIDE);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::conflict("a backup is being made already"))
            }
            made => made.map(|()| Aside(path)).doing(DOING),
        }
    }

    /// Removes what a snapshot left behind when the program was killed. Whoever calls this holds the
    /// store's lock, so nobody reads it.
    pub(crate) fn sweep_snapshot(data_dir: &Path) {
        drop(Aside(data_dir.join(ASIDE)));
    }
}

async fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let Some(to) = to.to_str() else {
        return Err(StoreError::invalid(format!("the path {} is not UTF-8", to.display())));
    };
    let address = Address::new(&StoreUrl::Sqlite(Some(from.to_path_buf())), Path::new(""))?;
    let mut conn: AnyConnection = address.plain().await?;
    sql::run(&mut conn, DOING, "VACUUM INTO $1", row![to]).await?;
    conn.close().await.sql(DOING)
}

/// Gives every attachment a second name below `to`, and lists all that have one.
fn link_media(from: &Path, to: &Path) -> io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for shelf in entries(from)?.into_iter().filter(|name| is_hex(name) && name.len() == 2) {
        fs::create_dir_all(to.join(&shelf))?;
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
