//! Reads what was encrypted.

use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_e2ee::{Decrypted, Fingerprint, Unreadable};

use super::devices::Device;
use crate::account::is_said;
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
        if let Some(account) = &self.config.account {
            return Ok(opened_by(account.open_event(room_id, raw.to_owned()).await.as_ref()));
        }
        if !self.crypto.is_on {
            return Ok(Opened::Never(
                "it is encrypted, and this gateway is set not to read encrypted rooms".to_owned(),
            ));
        }
        let device = self.device(self.names.bot()).await?;
        let only_signed = self.config.only_signed_devices;
        let mut read = device.machine.decrypt(room_id, raw, only_signed).await;
        if matches!(read, Err(Unreadable::NotSigned)) {
            // Who speaks to us first may only not be known yet.
            self.know_sender(&device, raw).await?;
            read = device.machine.decrypt(room_id, raw, only_signed).await;
        }
        match read {
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

    /// Learns the devices of whoever sent an event, and by whom they are signed.
    async fn know_sender(&self, device: &Device, raw: &RawValue) -> Result<(), Trouble> {
        #[derive(serde::Deserialize)]
        struct Sent {
            sender: String,
        }
        let Ok(Sent { sender }) = serde_json::from_str(raw.get()) else { return Ok(()) };
        let _turn = device.turn.lock().await;
        self.carry(&device.user_id, &device.machine, &device.machine.query(&[sender])).await.map(drop)
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
        if self.config.account.is_some() {
            return Ok(self.is_private(room_id).await?);
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
        if let Ok(Decrypted { kind, content }) = device.machine.decrypt(room_id, &raw, false).await
            && is_said(&kind)
        {
            (event["type"], event["content"]) = (kind.into(), content);
        }
        Ok(event)
    }
}

/// What an ordinary account made of an event: the same again while its key is not there.
fn opened_by(event: &RawValue) -> Opened {
    #[derive(serde::Deserialize)]
    struct Said {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        content: Value,
    }
    match serde_json::from_str::<Said>(event.get()) {
        Ok(said) if said.kind != "m.room.encrypted" => Opened::Read(said.kind, said.content),
        Ok(_) => Opened::NoKey,
        Err(error) => Opened::Never(format!("it cannot be decrypted ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_could_not_open_waits_for_its_key() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let read = opened_by(&raw("{\"type\":\"m.room.message\",\"content\":{\"body\":\"x\"}}"));
        assert!(
            matches!(read, Opened::Read(kind, content) if kind == "m.room.message" && content["body"] == "x")
        );
        let shut = opened_by(&raw("{\"type\":\"m.room.encrypted\",\"content\":{}}"));
        assert!(matches!(shut, Opened::NoKey));
        assert!(matches!(opened_by(&raw("{\"type\":7}")), Opened::Never(_)));
    }
}
