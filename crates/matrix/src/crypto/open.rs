//! Reads what was encrypted.

use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_e2ee::{Decrypted, Fingerprint, Unreadable};

use crate::api::event::GetEvent;
use crate::client::CallError;
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What became of an encrypted event.
pub(crate) enum Opened {
    /// Its type and content.
    Read(String, Value),
    /// Its key is not there yet.
    NoKey,
    /// It will not be read; why, as a clause for people.
    Never(String),
}

impl Shared {
    /// Reads an encrypted event of a person.
    pub(crate) async fn unseal(&self, room_id: &str, raw: &RawValue) -> Result<Opened, Trouble> {
        if !self.crypto.is_on {
            return Ok(Opened::Never(
                "it is encrypted, and this gateway is set not to read encrypted rooms".to_owned(),
            ));
        }
        let device = self.device(self.names.bot()).await?;
        match device.machine.decrypt(room_id, raw, self.config.only_signed_devices).await {
            Ok(Decrypted { kind, content }) => Ok(Opened::Read(kind, content)),
            Err(Unreadable::NoKey) => Ok(Opened::NoKey),
            Err(Unreadable::Withheld(code)) => Ok(Opened::Never(format!(
                "your client does not give this gateway the key to it ({code}): does it leave out devices that it has not verified?"
            ))),
            Err(Unreadable::NotSigned) => {
                Ok(Opened::Never("the device that you sent it from is not verified by yourself".to_owned()))
            }
            Err(Unreadable::Broken(why)) => Ok(Opened::Never(format!("it cannot be decrypted ({why})"))),
            Err(Unreadable::Machine(error)) => Err(error.into()),
        }
    }

    /// By what the bot's device is recognised.
    pub(crate) async fn fingerprint(&self) -> Result<Fingerprint, Trouble> {
        Ok(self.device(self.names.bot()).await?.machine.fingerprint().await?)
    }

    /// True where whoever says something there expects an answer: in a chat's room, or alone with the bot.
    pub(crate) async fn is_spoken_to(&self, room_id: &str) -> Result<bool, Trouble> {
        if self.chat_of(room_id).await?.is_some() {
            return Ok(true);
        }
        if !self.crypto.is_on {
            return Ok(false);
        }
        match self.readers(room_id).await {
            Ok(readers) => Ok(readers.people.len() <= 1),
            Err(Trouble::Call(error)) if !error.is_passing() => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// An event of a room, decrypted where it can be.
    pub(crate) async fn event_of(&self, room_id: &str, event_id: &str) -> Result<Value, CallError> {
        let event = self.client.call(self.bot(), &GetEvent { room_id, event_id }).await?;
        let mut event = self.opened(room_id, event).await;
        if !self.crypto.is_on || event.get("type").is_none_or(|kind| kind != "m.room.encrypted") {
            return Ok(event);
        }
        let sender = event.get("sender").and_then(Value::as_str).unwrap_or_default();
        // What a ghost said is known to its own device alone.
        let reader = if self.names.who(sender) == Who::Ghost { sender } else { self.names.bot() };
        let Ok(device) = self.device(reader).await else { return Ok(event) };
        let Ok(raw) = serde_json::value::to_raw_value(&event) else { return Ok(event) };
        if let Ok(Decrypted { kind, content }) = device.machine.decrypt(room_id, &raw, false).await {
            (event["type"], event["content"]) = (kind.into(), content);
        }
        Ok(event)
    }
}
