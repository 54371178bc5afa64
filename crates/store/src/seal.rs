//! Secrets at rest: sealed with a key that is not in the database.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Doing, StoreError};
use crate::files;

/// Keys that one key file may hold: the present one, and the one before while it is being replaced.
const MAX_KEYS: usize = 2;

/// The key that seals secret notes and media sources; while it is being replaced, also the one before it.
/// Clones are one key: all see the replacement.
#[derive(Clone)]
pub struct SealKey(Arc<Ring>);

struct Ring {
    /// The present one first. A lock, because whoever seals has a clone of its own; held for a copy of the list.
    keys: RwLock<Vec<Arc<LessSafeKey>>>,
    /// Read from a seal to the commit of what was sealed, and written once to know that nothing that was
    /// sealed with an older key is still on its way.
    on_the_way: tokio::sync::RwLock<()>,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl SealKey {
    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, StoreError> {
        Ok(Self::of(vec![bare(bytes)?]))
    }

    fn of(keys: Vec<Arc<LessSafeKey>>) -> Self {
        Self(Arc::new(Ring { keys: RwLock::new(keys), on_the_way: tokio::sync::RwLock::default() }))
    }

    fn keys(&self) -> Vec<Arc<LessSafeKey>> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_keys(&self, keys: Vec<Arc<LessSafeKey>>) {
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Held by whoever seals, until the sealed thing is committed.
    pub(crate) async fn sealing(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.0.on_the_way.read().await
    }

    /// Puts a new key before the present one, in the file and then here, and waits until nothing that was
    /// sealed without it is on its way. Goes on with what an interrupted replacement has begun.
    pub(crate) async fn begin_replacing(&self, path: &Path) -> Result<(), StoreError> {
        let mut lines = lines_of(path, open_file(path)?)?;
        let probe = self.seal(&Place::File { name: "" }, b"")?;
        let present = lines.first().map(bare).transpose()?;
        if present.and_then(|present| opened(&present, &Place::File { name: "" }, &probe)).is_none() {
            return Err(StoreError::invalid(format!(
                "the seal key file {} holds another key than the one in use",
                path.display()
            )));
        }
        if lines.len() < MAX_KEYS {
            let mut bytes = [0_u8; 32];
            random(&mut bytes)?;
            lines.insert(0, bytes);
            write_file(path, &lines)?;
        }
        self.set_keys(lines.iter().map(bare).collect::<Result<_, _>>()?);
        drop(self.0.on_the_way.write().await);
        Ok(())
    }

    /// Forgets the keys before the present one, in the file and then here.
    pub(crate) fn end_replacing(&self, path: &Path) -> Result<(), StoreError> {
        let mut lines = lines_of(path, open_file(path)?)?;
        lines.truncate(1);
        write_file(path, &lines)?;
        self.set_keys(lines.iter().map(bare).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// A secret that everybody has who has the present key of a file, and that does not tell that key: for one purpose,
    /// which its name says.
    ///
    /// # Errors
    /// `Invalid` when everybody can read the file or it holds no key, `Unavailable` when it cannot be read.
    ///
    /// Source: RFC 5869.
    pub fn derived(path: &Path, purpose: &str) -> Result<[u8; 32], StoreError> {
        let lines = lines_of(path, open_file(path)?)?;
        let key = lines.first().ok_or_else(|| StoreError::invalid("the seal key file is empty"))?;
        let purpose = [purpose.as_bytes()];
        let random = Salt::new(HKDF_SHA256, b"wxgate").extract(key);
        let mut secret = [0; 32];
        let made = random.expand(&purpose, HKDF_SHA256).and_then(|made| made.fill(&mut secret));
        made.map_err(|_| StoreError::invalid("the seal key gives no other secrets"))?;
        Ok(secret)
    }

    /// Reads the key file, or makes one (mode 0600, for whoever has its directory) when there is none.
    ///
    /// # Errors
    /// `Invalid` when everybody can read the file or it holds no key, `Unavailable` when it cannot be read or made.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        match fs::File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(StoreError::unavailable("reading the seal key file", error)),
        }
    }

    fn load(path: &Path, file: fs::File) -> Result<Self, StoreError> {
        let lines = lines_of(path, file)?;
        Ok(Self::of(lines.iter().map(bare).collect::<Result<_, _>>()?))
    }

    fn create(path: &Path) -> Result<Self, StoreError> {
        const DOING: &str = "creating the seal key file";
        let mut bytes = [0_u8; 32];
        random(&mut bytes)?;
        files::make_dir(files::dir_of(path), files::dir_of(path)).doing(DOING)?;
        // Written aside and linked into place: a crash leaves no half key, and of two processes
        // that start at once one wins and the other reads the winner's key.
        let aside =
            files::write_aside(path, text_of(&[bytes]).as_bytes(), files::dir_of(path)).doing(DOING)?;
        let placed = match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        let _ = fs::remove_file(&aside);
        placed.and_then(|()| files::sync_dir(path)).doing(DOING)?;
        Self::load(path, fs::File::open(path).doing(DOING)?)
    }

    /// Seals `plain` for one place; it opens nowhere else.
    pub(crate) fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0_u8; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = plain.to_vec();
        let keys = self.keys();
        let newest = keys.first().ok_or_else(|| StoreError::invalid("there is no seal key"))?;
        newest
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.bytes()),
                &mut sealed,
            )
            .map_err(|_| StoreError::invalid("the secret is too long to be sealed"))?;
        sealed.splice(..0, nonce);
        Ok(sealed)
    }

    /// Opens what was sealed for this place; `None` when it was not, or with another key.
    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys().iter().find_map(|key| opened(key, place, sealed))
    }

    /// The same secret under the present key; `None` when it is already.
    pub(crate) fn reseal(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Resealed, StoreError> {
        let keys = self.keys();
        if keys.first().is_some_and(|newest| opened(newest, place, sealed).is_some()) {
            return Ok(Resealed::Is);
        }
        match keys.iter().skip(1).find_map(|key| opened(key, place, sealed)) {
            Some(plain) => Ok(Resealed::Now(self.seal(place, &plain)?)),
            None => Ok(Resealed::Never),
        }
    }
}

/// What became of a sealed thing under a new key.
pub(crate) enum Resealed {
    /// It has the present key.
    Is,
    /// It has the present key now.
    Now(Vec<u8>),
    /// No key opens it.
    Never,
}

fn bare(bytes: &[u8; 32]) -> Result<Arc<LessSafeKey>, StoreError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, bytes)
        .map_err(|_| StoreError::invalid("a seal key has 32 bytes"))?;
    Ok(Arc::new(LessSafeKey::new(key)))
}

fn opened(key: &LessSafeKey, place: &Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let mut bytes = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::from(place.bytes()), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn open_file(path: &Path) -> Result<fs::File, StoreError> {
    fs::File::open(path).doing("reading the seal key file")
}

/// The keys in a file, one a line, the present one first. A file that everybody may read is refused: whoever
/// reads it can open every stored session. The group may: that is how system services are given keys.
fn lines_of(path: &Path, file: fs::File) -> Result<Vec<[u8; 32]>, StoreError> {
    let mode = file.metadata().doing("reading the seal key file")?.permissions().mode();
    if mode & 0o007 != 0 {
        let path = path.display();
        return Err(StoreError::invalid(format!(
            "the seal key file {path} can be read by everybody (mode {:03o}); run chmod 600 on it",
            mode & 0o777
        )));
    }
    let text = io::read_to_string(io::Read::take(file, 4096)).doing("reading the seal key file")?;
    let key = |line: &str| STANDARD.decode(line).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let lines: Option<Vec<[u8; 32]>> = text.split_whitespace().map(key).collect();
    match lines {
        Some(lines) if (1..=MAX_KEYS).contains(&lines.len()) => Ok(lines),
        _ => Err(StoreError::invalid(format!(
            "the seal key file {} does not hold 32 bytes in base64",
            path.display()
        ))),
    }
}

/// Replaces a file of keys whole or not at all.
fn write_file(path: &Path, lines: &[[u8; 32]]) -> Result<(), StoreError> {
    let written = files::write_whole(path, text_of(lines).as_bytes(), files::dir_of(path));
    written.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => unwritable(path, &error),
        _ => StoreError::unavailable("writing the seal key file", error),
    })
}

/// The gateway may read the file and not replace it, as where a service manager keeps the system read-only.
fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    let why = format!(
        "nothing can be written to {} ({error}); stop the gateway and run `wxgate key rotate` as root, or move {} to a \
         directory of the gateway's own and name it in store.seal_key_file",
        files::dir_of(path).display(),
        path.display()
    );
    StoreError::unavailable("replacing the seal key file", why)
}

fn text_of(lines: &[[u8; 32]]) -> String {
    lines.iter().map(|bytes| format!("{}\n", STANDARD.encode(bytes))).collect()
}

/// Where a secret belongs, bound into the seal so that rows cannot be swapped.
pub(crate) enum Place<'a> {
    /// A note of a network.
    Note { network: &'a str, key: &'a str },
    /// How an attachment of a network is fetched.
    Media { network: &'a str, media: &'a str },
    /// What checks a person's password in SCRAM.
    Scram { user: &'a str },
    /// A secret file, inside a backup.
    File { name: &'a str },
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        // NUL is refused in names and keys, so the parts cannot run into each other.
        match self {
            Self::Note { network, key } => format!("note\0{network}\0{key}"),
            Self::Media { network, media } => format!("media\0{network}\0{media}"),
            Self::Scram { user } => format!("scram\0{user}"),
            Self::File { name } => format!("file\0{name}"),
        }
        .into_bytes()
    }
}

pub(crate) fn random(bytes: &mut [u8]) -> Result<(), StoreError> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| StoreError::unavailable("asking the system for random bytes", "it gave none"))
}

#[cfg(test)]
mod tests;
