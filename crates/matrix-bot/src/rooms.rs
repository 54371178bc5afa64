//! Says things in rooms, and reads what is encrypted.

use std::time::Duration;

use matrix_sdk::config::RequestConfig;
use matrix_sdk::deserialized_responses::{
    TimelineEvent, TimelineEventKind, UnableToDecryptReason, VerificationLevel, VerificationState,
};
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::events::room::member::MembershipState;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{RoomId, TransactionId, UserId};
use matrix_sdk::{Client, Room};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_matrix::{CallError, Opening};

use crate::SdkAccount;
use crate::wrong;

/// Until a room that was just made or joined is in an answer of the homeserver. Chosen: such an answer
/// comes at once; a homeserver that takes longer is busy.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
/// One send. Source: as `Timings::call_timeout` of the adapter.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Enough of an event to know whether it is encrypted.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    content: Marked,
}

/// The mark of what stands in for words that do not count.
const REFUSED: &str = "wxgate.refused";

#[derive(Default, Deserialize)]
struct Marked {
    #[serde(default, rename = "wxgate.refused")]
    refused: Option<Refused>,
}

/// Why words do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Refused {
    /// Somebody else's device encrypted them.
    NotTheirs,
    /// Their sender was verified once, and has other keys since then.
    OtherKeys,
}

impl SdkAccount {
    /// Says something, encrypted where the room is. Repeats nothing: the lane does.
    pub(crate) async fn say(
        &self,
        room_id: &str,
        kind: &str,
        txn_id: &str,
        content: &Value,
    ) -> Result<String, CallError> {
        let client = self.open_client("send")?;
        let room = known_room(&client, room_id).await?;
        let patience = RequestConfig::new().disable_retry().timeout(SEND_TIMEOUT);
        let said = room
            .send_raw(kind, content.clone())
            .with_transaction_id(<&TransactionId>::from(txn_id))
            .with_request_config(patience)
            .await;
        match said {
            Ok(said) => Ok(said.response.event_id.to_string()),
            Err(error) => Err(wrong::send(&error)),
        }
    }

    /// Reads an event.
    pub(crate) async fn unseal(&self, room_id: &str, event: Box<RawValue>) -> Opening {
        let head = serde_json::from_str::<Head>(event.get()).ok();
        let Some(head) = head.filter(|head| head.kind == "m.room.encrypted") else {
            return Opening::Read(event);
        };
        match head.content.refused {
            Some(Refused::NotTheirs) => return Opening::NotTheirs,
            Some(Refused::OtherKeys) => return Opening::OtherKeys,
            None => {}
        }
        let room = self.client().zip(RoomId::parse(room_id).ok());
        let Some(room) = room.and_then(|(client, id)| client.get_room(&id)) else { return Opening::NoKey };
        let raw = Raw::<OriginalSyncRoomEncryptedEvent>::from_json(event);
        match room.decrypt_event(&raw, None).await {
            Ok(opened) => opening(opened.kind),
            Err(error) => {
                tracing::warn!(room_id, error = %error, "an event could not be decrypted");
                Opening::NoKey
            }
        }
    }

    pub(crate) async fn encrypts(&self, room_id: &str) -> Option<bool> {
        let room = self.client()?.get_room(&RoomId::parse(room_id).ok()?)?;
        room.latest_encryption_state().await.ok().map(|state| state.is_encrypted())
    }

    pub(crate) async fn has_member(&self, room_id: &str, user_id: &str) -> bool {
        let member = async {
            let room = self.client()?.get_room(&RoomId::parse(room_id).ok()?)?;
            let user = UserId::parse(user_id).ok()?;
            room.get_member_no_sync(&user).await.ok()?
        };
        member.await.is_some_and(|member| {
            matches!(member.membership(), MembershipState::Join | MembershipState::Invite)
        })
    }
}

/// The room, waited for when it was only just made.
async fn known_room(client: &Client, room_id: &str) -> Result<Room, CallError> {
    let id = RoomId::parse(room_id).map_err(|_| wrong::refused("send", "M_INVALID_PARAM", "no room's id"))?;
    if let Some(room) = client.get_room(&id) {
        return Ok(room);
    }
    match tokio::time::timeout(ROOM_PATIENCE, client.await_room_remote_echo(&id)).await {
        Ok(room) => Ok(room),
        // The adapter asks the homeserver whether that is so.
        Err(_) => Err(wrong::refused("send", "M_FORBIDDEN", "the account is not in the room")),
    }
}

/// An event of the SDK as the adapter takes it; `None` for one that nobody can say in a ciphertext.
pub(crate) fn as_meant(event: TimelineEvent) -> Option<Box<RawValue>> {
    let TimelineEventKind::Decrypted(read) = &event.kind else { return Some(event.into_raw().into_json()) };
    let raw = event.raw().json();
    if !wxgate_matrix::may_be_sealed(raw) {
        return None;
    }
    match refused(&read.encryption_info.verification_state, raw) {
        Some(why) => stand_in(raw, why),
        None => Some(event.into_raw().into_json()),
    }
}

/// What an event that was asked about is.
fn opening(kind: TimelineEventKind) -> Opening {
    match kind {
        TimelineEventKind::Decrypted(read) => {
            let raw = read.event.json();
            match refused(&read.encryption_info.verification_state, raw) {
                Some(Refused::NotTheirs) => Opening::NotTheirs,
                Some(Refused::OtherKeys) => Opening::OtherKeys,
                None => Opening::Read(raw.to_owned()),
            }
        }
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => match utd_info.reason {
            UnableToDecryptReason::MissingMegolmSession { withheld_code: Some(code) } => {
                Opening::Withheld(code.as_str().to_owned())
            }
            UnableToDecryptReason::MissingMegolmSession { withheld_code: None }
            // Its key begins later; one that begins earlier may come.
            | UnableToDecryptReason::UnknownMegolmMessageIndex
            | UnableToDecryptReason::Unknown => Opening::NoKey,
            reason => Opening::Broken(format!("{reason:?}")),
        },
        TimelineEventKind::PlainText { event } => Opening::Read(event.into_json()),
    }
}

/// Why something that was read is not taken for its sender's words.
fn refused(state: &VerificationState, event: &RawValue) -> Option<Refused> {
    match state {
        VerificationState::Unverified(VerificationLevel::MismatchedSender) => Some(Refused::NotTheirs),
        // Whoever has other keys may have those verified.
        VerificationState::Unverified(VerificationLevel::VerificationViolation) => {
            (!wxgate_matrix::is_step(event)).then_some(Refused::OtherKeys)
        }
        _ => None,
    }
}

/// What the adapter hears instead: that something encrypted was sent, and nothing of it. When it asks for the words, it
/// is told why it does not get them.
fn stand_in(event: &RawValue, why: Refused) -> Option<Box<RawValue>> {
    let mut event: Value = serde_json::from_str(event.get()).ok()?;
    event["type"] = "m.room.encrypted".into();
    event["content"] = serde_json::json!({ "algorithm": "m.megolm.v1.aes-sha2", REFUSED: why });
    serde_json::value::to_raw_value(&event).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use matrix_sdk::deserialized_responses::{
        AlgorithmInfo, DecryptedRoomEvent, EncryptionInfo, UnableToDecryptInfo, WithheldCode,
    };
    use serde_json::json;

    use super::*;

    fn raw<T>(event: &Value) -> Raw<T> {
        Raw::from_json(serde_json::value::to_raw_value(event).unwrap())
    }

    fn decrypted(content: Value, level: VerificationLevel) -> TimelineEvent {
        let event = json!({
            "type": "m.room.message", "event_id": "$1", "sender": "@ann:test", "room_id": "!r:test",
            "origin_server_ts": 1, "content": content,
        });
        let info = EncryptionInfo {
            sender: "@ann:test".try_into().unwrap(),
            sender_device: None,
            forwarder: None,
            algorithm_info: AlgorithmInfo::MegolmV1AesSha2 {
                curve25519_key: "k".to_owned(),
                sender_claimed_keys: std::collections::BTreeMap::new(),
                session_id: None,
            },
            verification_state: VerificationState::Unverified(level),
        };
        let read = DecryptedRoomEvent {
            event: raw(&event),
            encryption_info: Arc::new(info),
            unsigned_encryption_info: None,
        };
        TimelineEvent::from_decrypted(read, None)
    }

    fn text() -> Value {
        json!({ "msgtype": "m.text", "body": "send the money" })
    }

    fn account() -> SdkAccount {
        SdkAccount::new(crate::AccountConfig {
            homeserver: "http://127.0.0.1:1".parse().unwrap(),
            user: "@bot:test".to_owned(),
            entrance: crate::Entrance::Token(wxgate_matrix::Secret::new("t")),
            recovery_key_file: std::path::PathBuf::new(),
            store: std::path::PathBuf::new(),
        })
    }

    #[tokio::test]
    async fn words_of_somebody_elses_device_are_nobodys() {
        for (level, why) in [
            (VerificationLevel::MismatchedSender, Refused::NotTheirs),
            (VerificationLevel::VerificationViolation, Refused::OtherKeys),
        ] {
            let heard = as_meant(decrypted(text(), level.clone())).unwrap();
            assert!(!heard.get().contains("money"), "{heard}");
            let told = account().unseal("!r:test", heard).await;
            let asked = opening(decrypted(text(), level).kind);
            for opening in [told, asked] {
                match why {
                    Refused::NotTheirs => assert!(matches!(opening, Opening::NotTheirs), "{opening:?}"),
                    Refused::OtherKeys => assert!(matches!(opening, Opening::OtherKeys), "{opening:?}"),
                }
            }
        }
        for level in [VerificationLevel::UnverifiedIdentity, VerificationLevel::UnsignedDevice] {
            let heard = as_meant(decrypted(text(), level)).unwrap();
            assert!(heard.get().contains("money"), "{heard}");
        }
    }

    #[test]
    fn other_keys_may_be_verified() {
        let request = json!({ "msgtype": "m.key.verification.request", "body": "verify" });
        let request = |level| as_meant(decrypted(request.clone(), level)).unwrap();
        assert!(
            request(VerificationLevel::VerificationViolation).get().contains("m.key.verification.request")
        );
        assert!(!request(VerificationLevel::MismatchedSender).get().contains("m.key.verification.request"));
    }

    #[test]
    fn a_key_that_is_kept_back_is_not_waited_for() {
        let event = json!({ "type": "m.room.encrypted", "event_id": "$1", "content": {} });
        let shut = |reason| {
            let utd_info = UnableToDecryptInfo { session_id: None, reason };
            opening(TimelineEvent::from_utd(raw(&event), utd_info).kind)
        };
        let withheld_code = Some(WithheldCode::Unverified);
        let kept = shut(UnableToDecryptReason::MissingMegolmSession { withheld_code });
        assert!(matches!(kept, Opening::Withheld(code) if code == "m.unverified"));
        let late = shut(UnableToDecryptReason::MissingMegolmSession { withheld_code: None });
        assert!(matches!(late, Opening::NoKey));
        assert!(matches!(shut(UnableToDecryptReason::UnknownMegolmMessageIndex), Opening::NoKey));
        assert!(matches!(shut(UnableToDecryptReason::MegolmDecryptionFailure), Opening::Broken(_)));
    }
}
