//! Where a backup goes: what may lie there before, and what a restore that was cut short has left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wxgate_store::{StoreUrl, files};

use super::super::{MEDIA, RESTORED, RESTORING, SECRETS};
use super::{ASIDE, CROSSING, cannot, sync_dir};
use crate::failure::Failure;

/// Made by whoever makes an ext file system, in its top directory. Source: mklost+found(8).
const LOST_AND_FOUND: &str = "lost+found";

/// Where the database goes.
pub(crate) enum Database {
    /// A file that is not there yet.
    File(PathBuf),
    /// A PostgreSQL database without our tables.
    Server(StoreUrl),
}

/// Where a backup goes.
pub(crate) struct Target {
    pub(crate) data_dir: PathBuf,
    pub(crate) database: Database,
    pub(crate) seal_key_file: PathBuf,
}

/// A database file and what SQLite keeps beside it. An old log would be played into whatever file lies there next:
/// it does not say which one it belongs to. Source: sqlite.org/howtocorrupt.html, "Unlinking or renaming a database
/// file while in use".
fn beside(database: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|end| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

impl Target {
    pub(super) fn url(&self) -> StoreUrl {
        match &self.database {
            Database::File(path) => StoreUrl::Sqlite(Some(path.clone())),
            Database::Server(url) => url.clone(),
        }
    }

    /// The database file as the marker names it, from wherever it is asked; empty for a server.
    pub(super) fn named(&self) -> String {
        match &self.database {
            Database::File(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
            }
            Database::Server(_) => String::new(),
        }
    }

    /// The database of the restore that was begun here and did not end.
    pub(super) fn begun(&self) -> Result<Option<String>, Failure> {
        let marker = self.data_dir.join(RESTORING);
        match fs::read_to_string(&marker) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(cannot("read", &marker, &e)),
        }
    }

    pub(in crate::backup) fn begin(&self) -> Result<(), Failure> {
        let marker = self.data_dir.join(RESTORING);
        let text = format!("{}\n", self.named());
        files::write_whole(&marker, text.as_bytes(), &self.data_dir).map_err(|e| cannot("write", &marker, &e))
    }

    pub(super) fn end(&self) -> Result<(), String> {
        let marker = self.data_dir.join(RESTORING);
        fs::remove_file(&marker).map_err(|e| format!("cannot remove {}: {e}", marker.display()))?;
        sync_dir(&self.data_dir)
    }

    /// Removes what a restore left that put its database at `database`: a marker was written where nothing of it was.
    /// The seal key stays, which may be the only one.
    pub(super) fn clear(&self, database: &str) -> Result<(), Failure> {
        let in_dir = |name: &str| self.data_dir.join(name);
        let names = SECRETS.iter().chain(&[RESTORED]).map(|name| in_dir(name));
        let mut left: Vec<PathBuf> = names.collect();
        left.push(self.seal_key_file.with_extension(CROSSING));
        if let Database::File(path) = &self.database
            && self.named() == database
        {
            left.extend(beside(path));
            left.push(path.with_extension(CROSSING));
        }
        let dirs = [in_dir(ASIDE), in_dir(MEDIA.trim_end_matches('/'))];
        let removed = dirs.iter().map(|dir| (dir, fs::remove_dir_all(dir)));
        let removed = removed.chain(left.iter().map(|file| (file, fs::remove_file(file))));
        for (path, removed) in removed {
            match removed {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(cannot("remove", path, &e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// What may lie here before: it is of nobody's gateway.
    fn is_harmless(&self, path: &Path) -> bool {
        let lock = match &self.database {
            Database::File(database) => {
                let mut name = database.as_os_str().to_owned();
                name.push(".lock");
                PathBuf::from(name)
            }
            Database::Server(_) => self.data_dir.join("wxgate.lock"),
        };
        let called = path.file_name().unwrap_or_default().to_string_lossy();
        let is_made_by_the_system = path == self.data_dir.join(LOST_AND_FOUND) && path.is_dir();
        is_made_by_the_system
            || is_same(path, &self.seal_key_file)
            || is_same(path, &lock)
            || [ASIDE, RESTORING].iter().any(|name| path == self.data_dir.join(name))
            // The marker, cut short while it was written.
            || called.starts_with(&format!(".{RESTORING}."))
    }

    /// A gateway may live here already; it is not ours to overwrite.
    pub(super) fn assert_empty(&self) -> Result<(), Failure> {
        let refuse = |path: &Path| {
            Err(Failure::asked(format!(
                "{} exists already; restore into an empty directory (only the seal key may lie there)",
                path.display()
            )))
        };
        match fs::read_dir(&self.data_dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(|e| cannot("read", &self.data_dir, &e))? {
                    let path = entry.map_err(|e| cannot("read", &self.data_dir, &e))?.path();
                    if !self.is_harmless(&path) {
                        return refuse(&path);
                    }
                }
            }
        }
        match &self.database {
            Database::File(path) => {
                beside(path).iter().find(|path| path.exists()).map_or(Ok(()), |path| refuse(path))
            }
            // The server's program says what is in the way, before anything is changed.
            Database::Server(_) => Ok(()),
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).ok().is_some_and(|one| fs::canonicalize(other).ok() == Some(one))
}
