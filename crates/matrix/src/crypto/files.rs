//! Files of encrypted rooms, piece by piece in both directions.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use wxgate_e2ee::{Decryptor, EncryptedFile, Encryptor};

use crate::client::{CallError, Outgoing};
use crate::media::Pieces;
use crate::shared::Shared;

impl Shared {
    /// Encrypts a file as it is uploaded; gives what an event has to tell about it. Neither its name nor what
    /// it is can be told from the upload.
    pub(crate) async fn upload_sealed(&self, bytes: u64, pieces: Pieces) -> Result<Value, CallError> {
        let encryptor = Encryptor::new().map_err(|error| CallError::NotSealed { why: error.to_string() })?;
        // Used by one piece after the other, and taken back when all are gone.
        let encryptor = Arc::new(Mutex::new(Some(encryptor)));
        let sealing = Arc::clone(&encryptor);
        let sealed = pieces.map(move |piece| {
            piece.map(|piece| {
                let mut piece = Vec::from(piece);
                if let Some(encryptor) = sealing.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    encryptor.apply(&mut piece);
                }
                Bytes::from(piece)
            })
        });
        let pieces = sealed.boxed();
        let outgoing = Outgoing { name: "", mime: "application/octet-stream", bytes, pieces };
        let url = self.client.upload(self.bot(), outgoing).await?;
        let encryptor = encryptor.lock().unwrap_or_else(PoisonError::into_inner).take();
        match encryptor {
            Some(encryptor) => Ok(encryptor.finish().at(&url)),
            None => Err(CallError::NotSealed { why: "the file was taken back".to_owned() }),
        }
    }
}

/// Reads a file as it comes.
pub(crate) struct FileReader(Option<Decryptor>);

impl FileReader {
    /// For what an event tells about an encrypted file, if it is one.
    ///
    /// # Errors
    /// Why it cannot be read, as a clause for people.
    pub(crate) fn new(file: Option<&Value>) -> Result<Self, String> {
        let decryptor = file.map(|file| Decryptor::new(&EncryptedFile::new(file.clone()))).transpose();
        decryptor.map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn piece(&mut self, piece: Bytes) -> Bytes {
        match &mut self.0 {
            None => piece,
            Some(decryptor) => {
                let mut piece = Vec::from(piece);
                decryptor.apply(&mut piece);
                piece.into()
            }
        }
    }

    /// Whether it was what its sender sent.
    ///
    /// # Errors
    /// Why not, as a clause for people.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.0.map_or(Ok(()), Decryptor::finish).map_err(|error| error.to_string())
    }
}
