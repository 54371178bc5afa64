//! Puts a backup into an empty data directory.
//!
//! Everything is written aside and compared with the sums at the archive's end first; then it is moved into
//! place, the database last. A marker lies in the directory from before the first of it until after the last: no gateway
//! starts beside it, and a restore that finds it removes what the one before has left.

mod target;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use ring::digest::{Context, SHA256};
use wxgate_store::{DUMP, SealKey, files, keep, load_dump};

use super::tar::{BLOCK, Header, padding};
use super::{
    ABOUT, DATABASE, LAYOUT, MEDIA, PIECE_BYTES, RESTORED, SEAL_KEY, SEALED, SECRETS, SMALL_BYTES, SUMS, hex,
};
use crate::failure::Failure;
use crate::wiring::store_failure;

pub(crate) use target::{Database, Target};

/// Where everything lies until it is known to be whole.
const ASIDE: &str = "restore.tmp";
/// How the copy of a file ends that has to cross the border of a file system.
const CROSSING: &str = "restoring";

/// What was restored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) attachments: u64,
    /// False when the sealed secrets could not be opened: no key was there.
    pub(crate) has_key: bool,
}

/// Restores `archive`; `progress` is told how many bytes have been read.
pub(crate) fn restore(
    archive: &Path,
    target: &Target,
    mut progress: impl FnMut(u64),
) -> Result<Restored, Failure> {
    let file = File::open(archive).map_err(|e| cannot("open", archive, &e))?;
    if target.begun()?.is_none() {
        target.assert_empty()?;
    }
    files::make_dir(&target.data_dir, &target.data_dir).map_err(|e| cannot("make", &target.data_dir, &e))?;
    let _kept = keep(&target.url(), &target.data_dir).map_err(store_failure)?;
    if let Some(database) = target.begun()? {
        target.clear(&database)?;
    }
    target.assert_empty()?;
    target.begin()?;
    let had_key = target.seal_key_file.exists();
    let aside = target.data_dir.join(ASIDE);
    // Left over from a restore of before there were markers.
    let _ = fs::remove_dir_all(&aside);
    let done = files::make_dir(&aside, &target.data_dir)
        .map_err(|e| cannot("make", &aside, &e).message)
        .and_then(|()| unpack(file, &aside, &target.data_dir, &mut progress))
        .and_then(|small| target.put(&aside, &small));
    let failed = |why: &str| Failure::asked(format!("{} was not restored: {why}", archive.display()));
    if let Err(why) = &done {
        // As empty as it was, for whoever tries again.
        target.clear(&target.named()).map_err(|left| failed(&format!("{why}; {left}")))?;
        if !had_key {
            let _ = fs::remove_file(&target.seal_key_file);
        }
    }
    let _ = fs::remove_dir_all(&aside);
    let ended = target.end();
    done.and_then(|restored| ended.map(|()| restored)).map_err(|why| failed(&why))
}

impl Target {
    /// Everything was read and is whole: into place with it.
    fn put(&self, aside: &Path, small: &HashMap<String, Vec<u8>>) -> Result<Restored, String> {
        let (name, other) = match &self.database {
            Database::File(_) => {
                (DATABASE, "the database of a PostgreSQL server, and store.url names a file")
            }
            Database::Server(_) => (DUMP, "a database file, and store.url names a PostgreSQL server"),
        };
        if !aside.join(name).is_file() {
            return Err(format!("it holds {other}"));
        }
        let key = self.put_key(aside, small.get(SEAL_KEY))?;
        let mut restored = Restored { attachments: 0, has_key: key.is_some() };
        for name in SECRETS {
            let (Some(sealed), Some(key)) = (small.get(&format!("{SEALED}{name}")), &key) else { continue };
            let bytes = base64::engine::general_purpose::STANDARD.decode(sealed.trim_ascii()).ok();
            let plain = bytes.and_then(|bytes| key.open_file(name, &bytes)).ok_or_else(|| {
                format!("the seal key {} is not the one of this backup", self.seal_key_file.display())
            })?;
            self.secret(&self.data_dir.join(name), &plain)?;
        }
        let media = aside.join(MEDIA.trim_end_matches('/'));
        if media.is_dir() {
            restored.attachments = count(&media).map_err(|e| e.to_string())?;
            move_to(&media, &self.data_dir.join(MEDIA.trim_end_matches('/')), &self.data_dir)?;
        }
        if let Database::File(path) = &self.database
            && let Some(dir) = path.parent()
        {
            files::make_dir(dir, &self.data_dir)
                .map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        }
        // What was said since the backup is gone: nothing may go on as if it had not been said.
        let word = crate::clock::random::<8>().map_err(|failure| failure.message)?;
        self.secret(&self.data_dir.join(RESTORED), hex(&word).as_bytes())?;
        sync_dir(&self.data_dir)?;
        match &self.database {
            Database::File(path) => {
                move_to(&aside.join(name), path, &self.data_dir)?;
                sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
            }
            Database::Server(url) => {
                load_dump(url, &aside.join(name)).map_err(|error| store_failure(error).message)?;
            }
        }
        Ok(restored)
    }

    /// The key that is there, else the archive's: whole or not at all, for it stays where a restore is cut short.
    fn put_key(&self, aside: &Path, inside: Option<&Vec<u8>>) -> Result<Option<SealKey>, String> {
        if !self.seal_key_file.exists() {
            let Some(text) = inside else { return Ok(None) };
            let key = aside.join(SEAL_KEY);
            self.secret(&key, text)?;
            if let Some(dir) = self.seal_key_file.parent() {
                files::make_dir(dir, &self.data_dir)
                    .map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
            }
            move_to(&key, &self.seal_key_file, &self.data_dir)?;
        }
        SealKey::load_or_create(&self.seal_key_file).map(Some).map_err(|e| store_failure(e).message)
    }

    fn secret(&self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        let mut file = create(path, &self.data_dir)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|e| format!("cannot write {}: {e}", path.display()))
    }
}

/// Writes all large entries below `aside` and returns the small ones. Nothing is trusted before the sums
/// at the end were compared.
fn unpack(
    mut archive: File,
    aside: &Path,
    data_dir: &Path,
    progress: &mut impl FnMut(u64),
) -> Result<HashMap<String, Vec<u8>>, String> {
    let (mut small, mut sums, mut read) = (HashMap::new(), HashMap::new(), 0_u64);
    loop {
        let mut block = [0; BLOCK];
        archive.read_exact(&mut block).map_err(|e| broken(&e))?;
        let Some(header) = Header::read(&block)? else { break };
        if small.is_empty() && header.name != ABOUT {
            return Err("this is no backup of wxgate".to_owned());
        }
        let mut hash = Context::new(&SHA256);
        match place(&header.name)? {
            Place::Small if header.size_bytes > SMALL_BYTES => {
                return Err(format!("{} is longer than {SMALL_BYTES} bytes", header.name));
            }
            Place::Small | Place::Sums => {
                let mut bytes = Vec::new();
                copy(&mut archive, &mut bytes, header.size_bytes, &mut hash, &mut |_| {})?;
                if header.name == ABOUT {
                    check_layout(&bytes)?;
                }
                small.insert(header.name.clone(), bytes);
            }
            Place::File(path) => {
                let mut file = create(&aside.join(path), data_dir)?;
                let before = read;
                copy(&mut archive, &mut file, header.size_bytes, &mut hash, &mut |n| progress(before + n))?;
                file.sync_all().map_err(|e| format!("cannot write {}: {e}", header.name))?;
            }
        }
        let mut rest = vec![0; padding(header.size_bytes)];
        archive.read_exact(&mut rest).map_err(|e| broken(&e))?;
        read += (BLOCK + rest.len()) as u64 + header.size_bytes;
        progress(read);
        if header.name != SUMS && sums.insert(header.name.clone(), hex(hash.finish().as_ref())).is_some() {
            return Err(format!("{} is there twice", header.name));
        }
    }
    compare(&small.remove(SUMS).unwrap_or_default(), &sums)?;
    Ok(small)
}

enum Place {
    Small,
    /// As long as the archive has files.
    Sums,
    File(PathBuf),
}

/// Where an entry belongs; names that no backup has are refused, so that nothing is written elsewhere.
fn place(name: &str) -> Result<Place, String> {
    let is_hash = |name: &str| name.split('/').all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_secret = |name: &str| SECRETS.contains(&name);
    match (name, name.split_once('/')) {
        (ABOUT | SEAL_KEY, _) => Ok(Place::Small),
        (SUMS, _) => Ok(Place::Sums),
        (DATABASE | DUMP, _) => Ok(Place::File(name.into())),
        (_, Some(("sealed", secret))) if is_secret(secret) => Ok(Place::Small),
        (_, Some(("media", hash))) if hash.len() > 3 && hash.get(2..3) == Some("/") && is_hash(hash) => {
            Ok(Place::File(name.into()))
        }
        _ => Err(format!("{name:?} belongs into no backup")),
    }
}

fn check_layout(about: &[u8]) -> Result<(), String> {
    let value: serde_json::Value = serde_json::from_slice(about).unwrap_or_default();
    match value["layout"].as_u64() {
        Some(LAYOUT) => Ok(()),
        Some(newer) => {
            Err(format!("it has layout {newer}, this program reads {LAYOUT}; use a newer program"))
        }
        None => Err("this is no backup of wxgate".to_owned()),
    }
}

fn compare(told: &[u8], found: &HashMap<String, String>) -> Result<(), String> {
    let text = String::from_utf8_lossy(told);
    let told: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("  ")).map(|(hash, name)| (name, hash)).collect();
    if !told.contains_key(DATABASE) && !told.contains_key(DUMP) {
        return Err("it is not whole: the end is missing".to_owned());
    }
    if let Some(name) = told.keys().find(|name| !found.contains_key(**name)) {
        return Err(format!("it is not whole: {name} is missing"));
    }
    match found.iter().find(|(name, hash)| told.get(name.as_str()) != Some(&hash.as_str())) {
        Some((name, _)) => Err(format!("{name} is damaged")),
        None => Ok(()),
    }
}

fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    size_bytes: u64,
    hash: &mut Context,
    progress: &mut impl FnMut(u64),
) -> Result<(), String> {
    let (mut buffer, mut done) = (vec![0; PIECE_BYTES], 0);
    while done < size_bytes {
        let most = usize::try_from(size_bytes - done).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let piece = buffer.get_mut(..most).unwrap_or_default();
        from.read_exact(piece).map_err(|e| broken(&e))?;
        hash.update(piece);
        to.write_all(piece).map_err(|e| format!("cannot write: {e}"))?;
        done += most as u64;
        progress(done);
    }
    Ok(())
}

/// A file that was not there, for whoever has `data_dir`.
fn create(path: &Path, data_dir: &Path) -> Result<File, String> {
    let dir = path.parent().map_or(Ok(()), |dir| files::make_dir(dir, data_dir));
    dir.and_then(|()| files::make(path, data_dir))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Into place, over the border of file systems too.
fn move_to(from: &Path, to: &Path, data_dir: &Path) -> Result<(), String> {
    let failed = |e: io::Error| format!("cannot write {}: {e}", to.display());
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && from.is_file() => {
            let aside = to.with_extension(CROSSING);
            // Left over from a restore that was cut short.
            let _ = fs::remove_file(&aside);
            let mut copy = files::make(&aside, data_dir).map_err(failed)?;
            File::open(from)
                .and_then(|mut whole| io::copy(&mut whole, &mut copy))
                .and_then(|_| copy.sync_all())
                .map_err(failed)?;
            fs::rename(&aside, to).map_err(failed)
        }
        moved => moved.map_err(failed),
    }
}

fn sync_dir(dir: &Path) -> Result<(), String> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| format!("cannot sync {}: {e}", dir.display()))
}

fn count(media: &Path) -> io::Result<u64> {
    let mut files = 0;
    for shelf in fs::read_dir(media)? {
        files += fs::read_dir(shelf?.path())?.count() as u64;
    }
    Ok(files)
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is not whole: the end is missing".to_owned(),
        _ => format!("cannot read it: {error}"),
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::environment(format!("cannot {what} {}: {error}", path.display()))
}
