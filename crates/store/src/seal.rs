//! Secrets at rest: sealed with a key that is not in the database.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Doing, StoreError};

/// The key that seals secret notes and media sources.
#[derive(Clone)]
pub struct SealKey(Arc<LessSafeKey>);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl SealKey {
    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes)
            .map_err(|_| StoreError::invalid("a seal key has 32 bytes"))?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Reads the key file, or makes one (mode 0600) when there is none. A file that others may
    /// read is refused: whoever reads it can open every stored session.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        match fs::File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(StoreError::unavailable("reading the seal key file", error)),
        }
    }

    fn load(path: &Path, file: fs::File) -> Result<Self, StoreError> {
        let mode = file.metadata().doing("reading the seal key file")?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(StoreError::invalid(format!(
                "the seal key file {path} can be read by others (mode {:03o}); run chmod 600 on it",
                mode & 0o777
            )));
        }
        let text = io::read_to_string(io::Read::take(file, 4096)).doing("reading the seal key file")?;
        let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let Some(bytes) = bytes else {
            return Err(StoreError::invalid(format!(
                "the seal key file {} does not hold 32 bytes in base64",
                path.display()
            )));
        };
        Self::from_bytes(&bytes)
    }

    fn create(path: &Path) -> Result<Self, StoreError> {
        const DOING: &str = "creating the seal key file";
        let mut bytes = [0_u8; 32];
        random(&mut bytes)?;
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).doing(DOING)?;
        }
        // Written aside and linked into place: a crash leaves no half key, and of two processes
        // that start at once one wins and the other reads the winner's key.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .doing(DOING)?;
        let written = file
            .write_all(format!("{}\n", STANDARD.encode(bytes)).as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| match fs::hard_link(&aside, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            });
        let _ = fs::remove_file(&aside);
        written.doing(DOING)?;
        Self::load(path, fs::File::open(path).doing(DOING)?)
    }

    /// Seals `plain` for one place; it opens nowhere else.
    pub(crate) fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0_u8; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = plain.to_vec();
        self.0
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
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let mut bytes = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.0.open_in_place(nonce, Aad::from(place.bytes()), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
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
