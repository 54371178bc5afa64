//! What stands in for encryption in a build without it: rooms are not encrypted by the gateway, and what is
//! said in one that people encrypted is told not to cross.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_contract::{Note, Stop};

use crate::api::event::GetEvent;
use crate::client::CallError;
use crate::config::MatrixConfig;
use crate::inbound::event::Event;
use crate::management::answer::Answer;
use crate::media::Pieces;
use crate::shared::Shared;
use crate::speak::Speaker;
use crate::trouble::Trouble;

/// Nothing.
pub(crate) struct Crypto;

/// What became of an encrypted event.
pub(crate) enum Opened {
    /// Its type and content, and the note that it was taken.
    #[expect(dead_code, reason = "builds with encryption make it")]
    Read(String, Value, Option<Note>),
    /// Its key is not there yet.
    #[expect(dead_code, reason = "builds with encryption make it")]
    NoKey,
    /// It will not be read; why, as a clause for people.
    Never(String),
}

/// Something that was encrypted, and who says it.
pub(crate) struct Sealed {
    pub(crate) kind: &'static str,
    pub(crate) content: Value,
    pub(crate) speaker: Speaker,
}

impl Crypto {
    pub(crate) fn new(_: &MatrixConfig) -> Self {
        Self
    }

    pub(crate) fn keys_may_have_come(&self) {}

    /// Never ends: no keys come.
    pub(crate) async fn keys_came(&self) {
        std::future::pending().await
    }
}

/// Nothing is heard, until the end.
pub(crate) async fn run(_: Arc<Shared>, stop: Stop) {
    stop.stopping().await;
}

/// By what a device is recognised.
#[derive(Default)]
pub(crate) struct Fingerprint {
    pub(crate) device_id: String,
    pub(crate) device_key: String,
    pub(crate) master_key: Option<String>,
}

#[expect(clippy::unused_async, reason = "they wait in builds with encryption")]
impl Shared {
    pub(crate) async fn follow_encryption(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &Value,
    ) -> Result<(), Trouble> {
        Ok(())
    }

    pub(crate) async fn fingerprint(&self) -> Result<Fingerprint, Trouble> {
        Ok(Fingerprint::default())
    }

    /// Nobody is verified.
    #[expect(clippy::unused_self, reason = "it looks in builds with encryption")]
    pub(crate) fn take_step(&self, _: &Event) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "it looks in builds with encryption")]
    pub(crate) fn shown_to(&self, _: &str) -> Option<Answer> {
        None
    }

    pub(crate) async fn decide(&self, _: &str, _: bool) -> Result<bool, Trouble> {
        Ok(false)
    }

    pub(crate) async fn device_is_unknown(&self, _: &Speaker) {}

    pub(crate) async fn forget_device(&self, _: &str) -> Result<(), Trouble> {
        Ok(())
    }

    pub(crate) async fn seals(&self, _: &str) -> Result<bool, Trouble> {
        Ok(false)
    }

    pub(crate) async fn seal(
        &self,
        _: &str,
        _: &Speaker,
        _: &str,
        _: &Value,
    ) -> Result<Option<Sealed>, CallError> {
        Ok(None)
    }

    pub(crate) async fn unseal(&self, _: &str, _: &RawValue) -> Result<Opened, Trouble> {
        Ok(Opened::Never(
            "it is encrypted, and this build of the gateway cannot read encrypted rooms: it needs the feature \"encryption\""
                .to_owned(),
        ))
    }

    pub(crate) async fn is_spoken_to(&self, room_id: &str) -> Result<bool, Trouble> {
        Ok(self.chat_of(room_id).await?.is_some())
    }

    pub(crate) async fn upload_sealed(&self, _: u64, _: Pieces) -> Result<Value, CallError> {
        Err(CallError::NotSealed { why: "this build does not encrypt".to_owned() })
    }

    pub(crate) async fn event_of(&self, room_id: &str, event_id: &str) -> Result<Value, CallError> {
        let event = self.client.call(self.bot(), &GetEvent { room_id, event_id }).await?;
        Ok(self.opened(room_id, event).await)
    }
}

/// Reads a file as it comes: one that is not encrypted.
pub(crate) struct FileReader;

impl FileReader {
    /// For what an event tells about an encrypted file, if it is one.
    ///
    /// # Errors
    /// Why it cannot be read, as a clause for people.
    pub(crate) fn new(file: Option<&Value>) -> Result<Self, String> {
        match file {
            None => Ok(Self),
            Some(_) => Err("it is encrypted, and this build of the gateway cannot read encrypted files: it needs the feature \"encryption\"".to_owned()),
        }
    }

    pub(crate) fn piece(&mut self, piece: bytes::Bytes) -> bytes::Bytes {
        piece
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "builds with encryption look at a hash"
    )]
    pub(crate) fn finish(self) -> Result<(), String> {
        Ok(())
    }
}
