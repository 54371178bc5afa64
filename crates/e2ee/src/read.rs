//! Reads what was encrypted for a room: whether its key is there, whose words it is, and at which place of its session
//! it stands, by which an event is told from its repetition.

use bytes::Bytes;
use matrix_sdk_common::deserialized_responses::{
    AlgorithmInfo, EncryptionInfo, VerificationLevel, VerificationState,
};
use matrix_sdk_crypto::types::events::room::encrypted::{EncryptedEvent, RoomEventEncryptionScheme};
use matrix_sdk_crypto::{DecryptionSettings, MegolmError, TrustRequirement};
use ruma::serde::Raw;
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_contract::Note;

use crate::machine::{Machine, MachineError, room};
use crate::store::kind;
use crate::verify::step_of;

/// Why something that was said cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its key is not there; it may come.
    #[error("its key has not come")]
    NoKey,
    /// Its sender's client keeps the key from this gateway; why, in the protocol's word.
    #[error("the sender's client keeps its key back ({0})")]
    Withheld(String),
    /// Its sender's device is not signed by its owner, and that was asked for.
    #[error("it was sent by a device that its owner has not signed")]
    NotSigned,
    /// Somebody else's device encrypted it, or another one of ours.
    #[error("it was encrypted by a device that is not its sender's")]
    NotTheirs,
    /// Its sender was verified once, and has other keys since then.
    #[error("its sender has other keys than those that were verified")]
    OtherKeys,
    /// It is no encrypted event, or was changed on its way.
    #[error("it cannot be decrypted: {0}")]
    Broken(String),
    /// The state of the device cannot be read now.
    #[error(transparent)]
    Machine(MachineError),
}

/// Whose device may have encrypted what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One of its sender's, or one of which nobody knows whose it is.
    Sender,
    /// One of its sender's that they have signed.
    SignedBySender,
    /// One of its sender's, or the one that reads it: in large rooms that of the bot encrypts for all.
    Ours,
}

/// Something that was decrypted.
#[derive(Debug)]
pub struct Decrypted {
    /// The event's type.
    pub kind: String,
    /// Its content.
    pub content: Value,
    /// Where it stands.
    pub place: Place,
}

/// Where something stands that was encrypted: at one step of one session. Nobody encrypts two things there, so what
/// stands at the same place is a repetition.
/// Source: client-server API, "Megolm": clients must guard against replay attacks by keeping track of the ratchet
/// indices of Megolm sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    session_id: String,
    index: u32,
}

impl Place {
    /// Of an event that the SDK has read, by the same reader: JSON that says something twice is not read in two ways.
    fn of(event: &EncryptedEvent) -> Option<Self> {
        let RoomEventEncryptionScheme::MegolmV1AesSha2(content) = &event.content.scheme else { return None };
        Some(Self { session_id: content.session_id.clone(), index: content.ciphertext.message_index() })
    }
}

impl Machine {
    /// Reads an encrypted event.
    ///
    /// # Errors
    /// `NoKey` when it may become readable later.
    pub async fn decrypt(
        &self,
        room_id: &str,
        event: &RawValue,
        origin: Origin,
    ) -> Result<Decrypted, Unreadable> {
        let room_id = room(room_id).map_err(Unreadable::Machine)?;
        let raw = Raw::<EncryptedEvent>::from_json(event.to_owned());
        // Who may have sent it is judged here, after it was read: a step of a verification proves that by itself.
        let settings = DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted };
        let read = self.olm.decrypt_room_event(&raw, &room_id, &settings).await.map_err(unreadable)?;
        let place = raw.deserialize().ok().as_ref().and_then(Place::of);
        let place = place.ok_or_else(|| Unreadable::Broken("it stands nowhere".to_owned()))?;
        let broken = |_| Unreadable::Broken("there is no event in it".to_owned());
        let event: Value = read.event.deserialize_as_unchecked().map_err(broken)?;
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type").to_owned();
        let content = event.get("content").cloned().unwrap_or_default();
        let is_step = step_of(&kind, text("event_id"), &content).is_some();
        if let VerificationState::Unverified(level) = &read.encryption_info.verification_state {
            judge(level, origin, self.has_encrypted(&read.encryption_info), is_step)?;
        }
        // Whoever has other keys may have those verified.
        if !is_step {
            self.compare(text("sender"), origin).await?;
        }
        Ok(Decrypted { kind, content, place })
    }

    fn has_encrypted(&self, info: &EncryptionInfo) -> bool {
        let own = self.olm.identity_keys().curve25519.to_base64();
        matches!(&info.algorithm_info, AlgorithmInfo::MegolmV1AesSha2 { curve25519_key, .. } if *curve25519_key == own)
    }

    /// The event that was taken first of those that stand at a place; `None` before one was.
    ///
    /// # Errors
    /// `Store`.
    pub async fn taken_at(&self, room_id: &str, place: &Place) -> Result<Option<String>, MachineError> {
        let index = place.index.to_string();
        Ok(self.rows.read(kind::TAKEN, &[room_id, &place.session_id, &index]).await?)
    }

    /// The note that says so: it belongs in the commit that takes the event. It goes with the key of its session.
    pub fn taken_note(&self, room_id: &str, place: &Place, event_id: &str) -> Note {
        let index = place.index.to_string();
        let key = self.rows.key(kind::TAKEN, &[room_id, &place.session_id, &index]);
        let value = Some(Bytes::from(Value::from(event_id).to_string()));
        Note { key, value, is_secret: true }
    }
}

/// Whether something counts whose sender's keys nobody has verified.
fn judge(level: &VerificationLevel, origin: Origin, is_own: bool, is_step: bool) -> Result<(), Unreadable> {
    match level {
        VerificationLevel::UnverifiedIdentity => Ok(()),
        VerificationLevel::MismatchedSender if origin == Origin::Ours && is_own => Ok(()),
        VerificationLevel::MismatchedSender => Err(Unreadable::NotTheirs),
        // Whoever has other keys may have those verified.
        VerificationLevel::VerificationViolation if is_step => Ok(()),
        VerificationLevel::VerificationViolation => Err(Unreadable::OtherKeys),
        VerificationLevel::UnsignedDevice | VerificationLevel::None(_) => match origin {
            Origin::SignedBySender => Err(Unreadable::NotSigned),
            Origin::Sender | Origin::Ours => Ok(()),
        },
    }
}

fn unreadable(error: MegolmError) -> Unreadable {
    use matrix_sdk_crypto::vodozemac::megolm::DecryptionError;
    match error {
        MegolmError::MissingRoomKey(None)
        // A key that begins later than the event; one that begins earlier may come.
        | MegolmError::Decryption(DecryptionError::UnknownMessageIndex(..)) => Unreadable::NoKey,
        MegolmError::MissingRoomKey(Some(code)) => Unreadable::Withheld(code.as_str().to_owned()),
        MegolmError::Store(error) => Unreadable::Machine(error.into()),
        error => Unreadable::Broken(error.to_string()),
    }
}
