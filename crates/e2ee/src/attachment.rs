//! Files of encrypted rooms: AES in counter mode, piece by piece, and a hash over what was encrypted.
//!
//! Source: client-server API, "Sending encrypted attachments".

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ctr::Ctr128BE;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;
/// The other half counts, from zero. Source: as above, "the counter part should be initialised to 0".
const RANDOM_IV_BYTES: usize = 8;

/// Why a file cannot be read, or not be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// What the event tells about the file is no key.
    #[error("the event does not tell how it is encrypted: {0}")]
    Key(&'static str),
    /// It is not what was sent.
    #[error("it was changed on its way")]
    Changed,
    /// The system gave no random bytes.
    #[error("there is no randomness")]
    Random,
}

/// What an event tells about an encrypted file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EncryptedFile(serde_json::Value);

impl EncryptedFile {
    /// As it stands in an event.
    #[must_use]
    pub fn new(value: serde_json::Value) -> Self {
        Self(value)
    }

    /// Where the file is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.word("/url")
    }

    /// The same file somewhere.
    #[must_use]
    pub fn at(mut self, url: &str) -> serde_json::Value {
        self.0["url"] = json!(url);
        self.0
    }

    fn word(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    fn bytes<const N: usize>(&self, pointer: &str, what: &'static str) -> Result<[u8; N], FileError> {
        // Some clients pad, and some use the other alphabet.
        let word = self.word(pointer).trim_end_matches('=').replace('-', "+").replace('_', "/");
        let bytes = STANDARD_NO_PAD.decode(word).map_err(|_| FileError::Key(what))?;
        bytes.try_into().map_err(|_| FileError::Key(what))
    }
}

/// Encrypts one file.
pub struct Encryptor {
    cipher: Ctr128BE<Aes256>,
    hash: Sha256,
    key: [u8; KEY_BYTES],
    iv: [u8; IV_BYTES],
}

impl Encryptor {
    /// With a key of its own.
    ///
    /// # Errors
    /// `Random`.
    pub fn new() -> Result<Self, FileError> {
        let (mut key, mut iv) = ([0; KEY_BYTES], [0; IV_BYTES]);
        let random = SystemRandom::new();
        random.fill(&mut key).map_err(|_| FileError::Random)?;
        random.fill(&mut iv[..RANDOM_IV_BYTES]).map_err(|_| FileError::Random)?;
        Ok(Self { cipher: Ctr128BE::new(&key.into(), &iv.into()), hash: Sha256::new(), key, iv })
    }

    /// The next piece, in its place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        self.cipher.apply_keystream(piece);
        self.hash.update(&*piece);
    }

    /// What the event has to tell, but for the address.
    #[must_use]
    pub fn finish(self) -> EncryptedFile {
        EncryptedFile(json!({
            "v": "v2",
            "key": {
                "kty": "oct", "alg": "A256CTR", "ext": true, "key_ops": ["encrypt", "decrypt"],
                "k": URL_SAFE_NO_PAD.encode(self.key),
            },
            "iv": STANDARD_NO_PAD.encode(self.iv),
            "hashes": { "sha256": STANDARD_NO_PAD.encode(self.hash.finalize()) },
        }))
    }
}

/// Decrypts one file.
pub struct Decryptor {
    cipher: Ctr128BE<Aes256>,
    hash: Sha256,
    expected: [u8; 32],
}

impl Decryptor {
    /// As the event tells.
    ///
    /// # Errors
    /// `Key` when it does not.
    pub fn new(file: &EncryptedFile) -> Result<Self, FileError> {
        if file.word("/v") != "v2" {
            return Err(FileError::Key("another version"));
        }
        let key: [u8; KEY_BYTES] = file.bytes("/key/k", "no key")?;
        let iv: [u8; IV_BYTES] = file.bytes("/iv", "no initial counter")?;
        let expected = file.bytes("/hashes/sha256", "no hash")?;
        Ok(Self { cipher: Ctr128BE::new(&key.into(), &iv.into()), hash: Sha256::new(), expected })
    }

    /// The next piece, in its place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        self.hash.update(&*piece);
        self.cipher.apply_keystream(piece);
    }

    /// Whether all of it was what was sent. Nothing of it counts before.
    ///
    /// # Errors
    /// `Changed` when it was not.
    pub fn finish(self) -> Result<(), FileError> {
        match self.hash.finalize()[..] == self.expected {
            true => Ok(()),
            false => Err(FileError::Changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(text: &[u8]) -> (Vec<u8>, EncryptedFile) {
        let mut bytes = text.to_vec();
        let mut encryptor = Encryptor::new().unwrap();
        let middle = bytes.len() / 3;
        let (one, two) = bytes.split_at_mut(middle);
        encryptor.apply(one);
        encryptor.apply(two);
        (bytes, encryptor.finish())
    }

    #[test]
    fn a_file_comes_out_as_it_went_in_however_it_is_cut() {
        let text: Vec<u8> = (0..100_003_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (mut bytes, file) = encrypted(&text);
        assert_ne!(bytes, text);
        let mut decryptor = Decryptor::new(&file).unwrap();
        bytes.chunks_mut(4093).for_each(|piece| decryptor.apply(piece));
        assert_eq!((decryptor.finish(), bytes), (Ok(()), text));
    }

    #[test]
    fn a_changed_file_is_not_taken() {
        let (mut bytes, file) = encrypted(b"ten apples");
        bytes[3] ^= 1;
        let mut decryptor = Decryptor::new(&file).unwrap();
        decryptor.apply(&mut bytes);
        assert_eq!(decryptor.finish(), Err(FileError::Changed));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let (_, file) = encrypted(b"x");
        let value = file.at("mxc://x/y");
        for (pointer, what) in
            [("/key/k", "no key"), ("/iv", "no initial counter"), ("/hashes/sha256", "no hash")]
        {
            let mut broken = value.clone();
            *broken.pointer_mut(pointer).unwrap() = json!("AAAA");
            assert_eq!(Decryptor::new(&EncryptedFile::new(broken)).err(), Some(FileError::Key(what)));
        }
        assert_eq!(EncryptedFile::new(value).url(), "mxc://x/y");
        assert!(Decryptor::new(&EncryptedFile::new(json!({}))).is_err());
    }

    /// Source: the plain text and its encrypted form in matrix-sdk-crypto's `AttachmentEncryptor`, which reads it.
    #[test]
    fn other_clients_read_it() {
        use std::io::Read;
        let (bytes, file) = encrypted("今天 also".as_bytes());
        let info: matrix_sdk_crypto::MediaEncryptionInfo = serde_json::from_value(json!({
            "v": file.0["v"], "key": file.0["key"], "iv": file.0["iv"], "hashes": file.0["hashes"],
        }))
        .unwrap();
        let mut cursor = std::io::Cursor::new(bytes);
        let mut plain = String::new();
        matrix_sdk_crypto::AttachmentDecryptor::new(&mut cursor, info)
            .unwrap()
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain, "今天 also");
    }
}
