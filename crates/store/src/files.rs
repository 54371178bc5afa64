//! Files of the data directory and the secrets beside it: whole or not at all, for nobody else to read, and the
//! gateway's own whoever makes them.
//!
//! Root may run what the gateway's user runs. What root makes is given to whoever has the data directory, and a file
//! that is replaced keeps its owner and mode; or the gateway could not read what was made for it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells apart what one process writes aside at the same time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Makes a directory and those above it that are missing (mode 0700), for whoever has `data_dir`.
///
/// # Errors
/// What the system says; a file in its place is `AlreadyExists`.
pub fn make_dir(path: &Path, data_dir: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_dir(above, data_dir)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| hand_over(path, data_dir)),
    }
}

/// Makes a file (mode 0600), for whoever has `data_dir`.
///
/// # Errors
/// `AlreadyExists` when there is one, else what the system says.
pub fn make(path: &Path, data_dir: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give(&file, fs::metadata(data_dir).ok().as_ref())?;
    Ok(file)
}

/// The same, unless there is one.
pub(crate) fn make_missing(path: &Path, data_dir: &Path) -> io::Result<()> {
    match make(path, data_dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Writes a file whole or not at all. One that was there keeps its owner and mode; a new one has mode 0600 and belongs
/// to whoever has `data_dir`. Durable when it returns.
///
/// # Errors
/// What the system says; the file is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8], data_dir: &Path) -> io::Result<()> {
    let aside = write_aside(path, bytes, data_dir)?;
    let placed = fs::rename(&aside, path).and_then(|()| sync_dir(path));
    if placed.is_err() {
        let _ = fs::remove_file(&aside);
    }
    placed
}

/// What is to be the file, beside its place.
pub(crate) fn write_aside(path: &Path, bytes: &[u8], data_dir: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_file_name(format!(".{name}.{}-{number}", std::process::id()));
    // Left by a process of the same number that was killed. Removed and made anew and not written over: in the
    // directory of somebody else it may be a link to anywhere.
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let written =
        like(&file, path, data_dir).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written.map(|()| aside)
}

/// Gives `file` the owner and mode of the one at `path`, or the owner of `data_dir` where there is none.
fn like(file: &File, path: &Path, data_dir: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(old) => match give(file, Some(&old))? {
            // Of another group it would be read by others than the old one was.
            Given::No => Ok(()),
            Given::Yes => file.set_permissions(Permissions::from_mode(old.mode() & 0o777)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            give(file, fs::metadata(data_dir).ok().as_ref()).map(|_| ())
        }
        Err(error) => Err(error),
    }
}

/// Gives a file or directory that this process made to whoever has `data_dir`. Where this process is not root it
/// stays as it is.
///
/// # Errors
/// What the system says.
pub fn hand_over(path: &Path, data_dir: &Path) -> io::Result<()> {
    let Ok(owner) = fs::metadata(data_dir) else { return Ok(()) };
    let made = fs::symlink_metadata(path)?;
    if (made.uid(), made.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    allowed(lchown(path, Some(owner.uid()), Some(owner.gid()))).map(|_| ())
}

/// Whether a file has the owner that it should have.
enum Given {
    Yes,
    No,
}

fn give(file: &File, owner: Option<&Metadata>) -> io::Result<Given> {
    let Some(owner) = owner else { return Ok(Given::No) };
    let made = file.metadata()?;
    if (made.uid(), made.gid()) == (owner.uid(), owner.gid()) {
        return Ok(Given::Yes);
    }
    allowed(fchown(file, Some(owner.uid()), Some(owner.gid())))
}

/// Only root gives files away.
fn allowed(given: io::Result<()>) -> io::Result<Given> {
    match given {
        Ok(()) => Ok(Given::Yes),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Given::No),
        Err(error) => Err(error),
    }
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(dir_of(path))?.sync_all()
}

/// The directory of a file.
pub(crate) fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, lock};

    fn owner(path: &Path) -> (u32, u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    }

    #[test]
    fn what_root_makes_belongs_to_whoever_has_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        if lchown(&data, Some(1234), Some(1235)).is_err() {
            eprintln!("SKIPPED: only root gives files away");
            return;
        }
        make_dir(&data.join("a/b"), &data).unwrap();
        assert_eq!(owner(&data.join("a")), (1234, 1235, 0o700));
        assert_eq!(owner(&data.join("a/b")), (1234, 1235, 0o700));
        make(&data.join("made"), &data).unwrap();
        assert_eq!(owner(&data.join("made")), (1234, 1235, 0o600));
        // Also elsewhere: where the data lie says who reads it.
        let new = dir.path().join("new");
        write_whole(&new, b"one", &data).unwrap();
        assert_eq!(owner(&new), (1234, 1235, 0o600));
        // As in /etc: root has it, and the gateway's group reads it.
        let old = dir.path().join("old");
        fs::write(&old, "one").unwrap();
        lchown(&old, Some(0), Some(1235)).unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        write_whole(&old, b"two", &data).unwrap();
        assert_eq!((owner(&old), fs::read(&old).unwrap()), ((0, 1235, 0o640), b"two".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "something was left aside");
    }

    #[test]
    fn what_is_locked_belongs_to_whoever_has_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        if lchown(&data, Some(1234), Some(1235)).is_err() {
            eprintln!("SKIPPED: only root gives files away");
            return;
        }
        for engine in [Engine::Postgres, Engine::Sqlite { path: data.join("deep/wx.db") }] {
            let _lock = lock(&engine, &data).unwrap();
        }
        for name in ["wxgate.lock", "deep/wx.db", "deep/wx.db.lock"] {
            assert_eq!(owner(&data.join(name)), (1234, 1235, 0o600), "{name}");
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "the lock is elsewhere");
    }

    #[test]
    fn a_file_that_cannot_be_written_stays_and_a_link_beside_it_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("key"), dir.path().join("other"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(write_whole(&path, b"x", dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was left aside");
        fs::write(&other, "other").unwrap();
        for number in 0..100 {
            let aside = dir.path().join(format!(".new.{}-{number}", std::process::id()));
            std::os::unix::fs::symlink(&other, aside).unwrap();
        }
        write_whole(&dir.path().join("new"), b"secret", dir.path()).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"other");
    }
}
