//! Reads what was encrypted.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;
use wxgate_contract::Note;
use wxgate_e2ee::{Decrypted, Fingerprint, MachineError, Origin, Unreadable};

use super::devices::Device;
use crate::account::{Opening, is_said};
use crate::api::event::GetEvent;
use crate::api::keys::Ask;
use crate::client::{Actor, CallError};
use crate::inbound::REPEATED;
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How long it is waited for one sender's devices, while everything else that is said waits. Chosen: a homeserver waits
/// ten seconds for another one. Source: client-server API, "/keys/query": `timeout` is 10 seconds by default.
const ASKED_FOR: Duration = Duration::from_secs(15);
/// Senders of whom it is remembered that their devices were asked for. Chosen: whoever has more users with strange devices
/// is asked for again.
const ASKED: usize = 256;
/// Until somebody whose devices could not be told is asked for again. Chosen: their homeserver is back, or the next of
/// their words waits for it once more.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Told of something that somebody else's device encrypted.
const NOT_THEIRS: &str = "the device that encrypted it is not one of yours";
/// Told whoever has other keys than those that were verified.
const OTHER_KEYS: &str = "your keys are not those that were verified here: verify me again, and say \
    \"verify yes\" in a room that is not encrypted";

/// Told whoever's client does not give its keys; with the protocol's word for why.
fn withheld(code: &str) -> String {
    format!(
        "your client does not give this gateway the key to it ({code}): does it leave out devices that it has not verified?"
    )
}

/// What became of an encrypted event.
pub(crate) enum Opened {
    /// Its type and content, and the note that it was taken, where it was not before.
    Read(String, Value, Option<Note>),
    /// Its key is not there yet.
    NoKey,
    /// It will not be read; why, as a clause for people.
    Never(String),
}

/// Senders whose devices were asked for, so that each is asked for once until somebody's change.
#[derive(Default)]
pub(super) struct Asked {
    // Locked for the length of a lookup.
    since: Mutex<AskedSince>,
}

#[derive(Default)]
struct AskedSince {
    /// The count of changes, and the device that asked: another one knows nobody yet.
    changes: u64,
    device_id: String,
    /// Until when nobody asks again, where nothing was learnt.
    senders: HashMap<String, Option<Instant>>,
}

impl Asked {
    /// Remembers it; false when it was so before.
    fn note(&self, changes: u64, device_id: &str, sender: &str) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.changes != changes || since.device_id != device_id || since.senders.len() >= ASKED {
            *since = AskedSince { changes, device_id: device_id.to_owned(), senders: HashMap::new() };
        }
        let is_asked = |again: &Option<Instant>| again.is_none_or(|again| Instant::now() < again);
        if since.senders.get(sender).is_some_and(is_asked) {
            return false;
        }
        since.senders.insert(sender.to_owned(), None);
        true
    }

    /// Nothing was learnt: it is asked again, but not with the next word.
    fn failed(&self, sender: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = since.senders.get_mut(sender) {
            *again = Some(Instant::now() + ASK_AGAIN);
        }
    }

    /// It was not asked after all.
    fn forget(&self, sender: &str) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).senders.remove(sender);
    }
}

/// True when the answer about devices says that somebody's homeserver did not give its part. Source: client-server API,
/// `POST /keys/query`, `failures`.
fn fails(answer: &RawValue, sender: &str) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        failures: HashMap<String, serde::de::IgnoredAny>,
    }
    let server = sender.split_once(':').map_or("", |(_, server)| server);
    serde_json::from_str::<Answer>(answer.get()).is_ok_and(|answer| answer.failures.contains_key(server))
}

/// Whose event it is, as the homeserver says.
#[derive(Deserialize)]
struct Head {
    event_id: String,
    sender: String,
}

impl Shared {
    /// Reads an encrypted event of a person.
    pub(crate) async fn unseal(&self, room_id: &str, raw: &RawValue) -> Result<Opened, Trouble> {
        if let Some(account) = &self.config.account {
            return Ok(opened_by(account.open_event(room_id, raw.to_owned()).await));
        }
        if !self.crypto.is_on {
            return Ok(Opened::Never(
                "it is encrypted, and this gateway is set not to read encrypted rooms".to_owned(),
            ));
        }
        let head = match serde_json::from_str::<Head>(raw.get()) {
            Ok(head) => head,
            Err(error) => return Ok(Opened::Never(broken(&error))),
        };
        let device = self.device(self.names.bot()).await?;
        let origin = self.persons_device();
        let mut read = device.machine.decrypt(room_id, raw, origin).await;
        // Who speaks to us first may only not be known yet.
        if matches!(read, Err(Unreadable::NotSigned)) && self.know_sender(&device, &head.sender).await? {
            read = device.machine.decrypt(room_id, raw, origin).await;
        }
        match read {
            Ok(read) => self.opened_once(&device, room_id, &head, read).await,
            Err(Unreadable::NoKey) => Ok(Opened::NoKey),
            Err(Unreadable::Withheld(code)) => Ok(Opened::Never(withheld(&code))),
            Err(Unreadable::NotSigned) => {
                Ok(Opened::Never("the device that you sent it from is not verified by yourself".to_owned()))
            }
            Err(Unreadable::NotTheirs) => {
                tracing::warn!(room_id, head.event_id, head.sender, "somebody else encrypted an event");
                Ok(Opened::Never(NOT_THEIRS.to_owned()))
            }
            Err(Unreadable::OtherKeys) => {
                tracing::warn!(room_id, head.event_id, head.sender, "whoever was verified has other keys");
                Ok(Opened::Never(OTHER_KEYS.to_owned()))
            }
            Err(Unreadable::Broken(why)) => Ok(Opened::Never(broken(&why))),
            Err(Unreadable::Machine(error)) => Err(error.into()),
        }
    }

    /// What counts as a person's device.
    fn persons_device(&self) -> Origin {
        if self.config.only_signed_devices { Origin::SignedBySender } else { Origin::Sender }
    }

    /// A homeserver that gives something a second time gives it another id.
    async fn opened_once(
        &self,
        device: &Device,
        room_id: &str,
        head: &Head,
        read: Decrypted,
    ) -> Result<Opened, Trouble> {
        let Decrypted { kind, content, place } = read;
        let taken = match device.machine.taken_at(room_id, &place).await? {
            None => Some(device.machine.taken_note(room_id, &place, &head.event_id)),
            Some(first) if first == head.event_id => None,
            Some(first) => {
                tracing::warn!(room_id, head.event_id, head.sender, first, "an encrypted event was repeated");
                return Ok(Opened::Never(REPEATED.to_owned()));
            }
        };
        Ok(Opened::Read(kind, content, taken))
    }

    /// Learns the devices of whoever sent an event, and by whom they are signed; true when something was learnt. This
    /// is done while everything that anybody says waits, so it is done once for each count of changes, and what goes wrong with
    /// one sender alone leaves them unknown.
    async fn know_sender(&self, device: &Device, sender: &str) -> Result<bool, Trouble> {
        let changes = self.crypto.changes.load(Ordering::Relaxed);
        if !self.crypto.asked.note(changes, device.machine.device_id(), sender) {
            return Ok(false);
        }
        match self.ask_for_sender(device, sender).await {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.crypto.asked.failed(sender);
                Ok(false)
            }
            Err(error) => {
                self.crypto.asked.forget(sender);
                Err(error)
            }
        }
    }

    async fn ask_for_sender(&self, device: &Device, sender: &str) -> Result<bool, Trouble> {
        let _turn = device.turn.lock().await;
        let query = device.machine.query(&[sender.to_owned()]);
        let actor = Actor::As { user_id: &device.user_id, device_id: Some(device.machine.device_id()) };
        let unknown = |why: &dyn std::fmt::Display| {
            tracing::warn!(sender, %why, "the devices of somebody who said something cannot be learnt");
            Ok(false)
        };
        let answer = match tokio::time::timeout(ASKED_FOR, self.client.call(actor, &Ask(&query))).await {
            Ok(Ok(answer)) => answer,
            // Whoever keeps it waiting for one sender's devices is not away.
            Err(_) | Ok(Err(CallError::TimedOut { .. })) => return unknown(&"it takes too long"),
            Ok(Err(error)) if error.is_of_all() => return Err(error.into()),
            Ok(Err(error)) => return unknown(&error),
        };
        match device.machine.answered(&query, answer.get().as_bytes()).await {
            Ok(()) if fails(&answer, sender) => unknown(&"their homeserver does not answer"),
            Ok(()) => Ok(true),
            Err(error @ MachineError::Store(_)) => Err(error.into()),
            Err(error) => unknown(&error),
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
        if self.config.account.is_none() && !self.crypto.is_on {
            return Ok(false);
        }
        let is_alone = match self.config.account {
            Some(_) => self.is_private(room_id).await.map_err(Trouble::from),
            None => self.readers(room_id).await.map(|readers| readers.count() <= 1),
        };
        match is_alone {
            // A room that the homeserver cannot list must not hold up all the others.
            Err(Trouble::Call(error)) if !error.is_of_all() => Ok(false),
            is_alone => is_alone,
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
        let Ok(raw) = serde_json::value::to_raw_value(&event) else { return Ok(event) };
        let read = match self.names.who(sender) {
            Who::Human => self.read_of_person(room_id, event_id, &raw).await,
            Who::Bot => self.read_of_ours(self.names.bot(), room_id, &raw).await,
            // Where it has no device of its own, or had none then, the bot's spoke for it.
            Who::Ghost => match self.read_by_own(sender, room_id, &raw).await {
                None => self.read_of_ours(self.names.bot(), room_id, &raw).await,
                read => read,
            },
        };
        if let Some(Decrypted { kind, content, .. }) = read.filter(|read| is_said(&read.kind)) {
            (event["type"], event["content"]) = (kind.into(), content);
        }
        Ok(event)
    }

    async fn read_of_person(&self, room_id: &str, event_id: &str, raw: &RawValue) -> Option<Decrypted> {
        let machine = &self.device(self.names.bot()).await.ok()?.machine;
        let read = machine.decrypt(room_id, raw, self.persons_device()).await.ok()?;
        let first = machine.taken_at(room_id, &read.place).await.ok()?;
        first.is_none_or(|first| first == event_id).then_some(read)
    }

    async fn read_of_ours(&self, user_id: &str, room_id: &str, raw: &RawValue) -> Option<Decrypted> {
        let device = self.device(user_id).await.ok()?;
        device.machine.decrypt(room_id, raw, Origin::Ours).await.ok()
    }

    /// A ghost's words, by its own device. None is made for that: it would know nothing.
    async fn read_by_own(&self, ghost: &str, room_id: &str, raw: &RawValue) -> Option<Decrypted> {
        self.device_of(ghost).await.ok()??;
        self.read_of_ours(ghost, room_id, raw).await
    }
}

fn broken(why: &impl std::fmt::Display) -> String {
    format!("it cannot be decrypted ({why})")
}

/// What an ordinary account made of an event.
fn opened_by(opening: Opening) -> Opened {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        content: Value,
    }
    match opening {
        Opening::Read(event) => match serde_json::from_str::<Said>(event.get()) {
            Ok(said) => Opened::Read(said.kind, said.content, None),
            Err(error) => Opened::Never(broken(&error)),
        },
        Opening::NoKey => Opened::NoKey,
        Opening::Withheld(code) => Opened::Never(withheld(&code)),
        Opening::NotTheirs => Opened::Never(NOT_THEIRS.to_owned()),
        Opening::OtherKeys => Opened::Never(OTHER_KEYS.to_owned()),
        Opening::Broken(why) => Opened::Never(broken(&why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_senders_is_bounded_and_of_one_device() {
        let asked = Asked::default();
        assert!(asked.note(1, "A", "@ann:test") && !asked.note(1, "A", "@ann:test"));
        assert!(asked.note(2, "A", "@ann:test"), "something changed");
        assert!(asked.note(2, "B", "@ann:test"), "another device knows nobody");
        asked.forget("@ann:test");
        assert!(asked.note(2, "B", "@ann:test"));
        asked.failed("@ann:test");
        assert!(!asked.note(2, "B", "@ann:test"));
        tokio::time::advance(ASK_AGAIN).await;
        assert!(
            asked.note(2, "B", "@ann:test") && !asked.note(2, "B", "@ann:test"),
            "its homeserver may be back"
        );
        let answer =
            RawValue::from_string(r#"{"failures":{"x.test":{}},"device_keys":{}}"#.to_owned()).unwrap();
        assert!(fails(&answer, "@ann:x.test") && !fails(&answer, "@ann:y.test"));
        for n in 0..=ASKED {
            asked.note(2, "B", &n.to_string());
        }
        assert!(asked.since.lock().unwrap().senders.len() <= ASKED);
    }

    #[test]
    fn what_an_account_could_not_open_waits_for_its_key_or_is_told_why() {
        let raw = |text: &str| Opening::Read(RawValue::from_string(text.to_owned()).unwrap());
        let read = opened_by(raw("{\"type\":\"m.room.message\",\"content\":{\"body\":\"x\"}}"));
        assert!(
            matches!(read, Opened::Read(kind, content, None) if kind == "m.room.message" && content["body"] == "x")
        );
        assert!(matches!(opened_by(Opening::NoKey), Opened::NoKey));
        assert!(matches!(opened_by(raw("{\"type\":7}")), Opened::Never(_)));
        let why = |opening| match opened_by(opening) {
            Opened::Never(why) => why,
            _ => panic!("it is no clause"),
        };
        assert!(
            why(Opening::Withheld("m.unverified".to_owned())).contains("(m.unverified): does it leave out")
        );
        assert!(why(Opening::NotTheirs).contains("not one of yours"));
        assert!(why(Opening::OtherKeys).contains("verify me again"));
    }
}
