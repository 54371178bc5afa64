//! Says things in rooms, and reads what is encrypted.

use std::time::Duration;

use matrix_sdk::config::RequestConfig;
use matrix_sdk::deserialized_responses::{TimelineEvent, TimelineEventKind};
use matrix_sdk::ruma::events::AnySyncTimelineEvent;
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::events::room::member::MembershipState;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{RoomId, TransactionId, UserId};
use matrix_sdk::{Client, Room};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_matrix::CallError;

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
            Err(error) => Err(wrong::call("send", &error)),
        }
    }

    /// An event as it was meant; as it is where it is not encrypted or its key is not there.
    pub(crate) async fn unseal(&self, room_id: &str, event: Box<RawValue>) -> Box<RawValue> {
        let is_sealed =
            serde_json::from_str::<Head>(event.get()).is_ok_and(|head| head.kind == "m.room.encrypted");
        let room = self.client().zip(RoomId::parse(room_id).ok());
        let Some(room) = room.and_then(|(client, id)| client.get_room(&id)).filter(|_| is_sealed) else {
            return event;
        };
        let raw = Raw::<OriginalSyncRoomEncryptedEvent>::from_json(event.clone());
        match room.decrypt_event(&raw, None).await {
            Ok(opened) => match opened.kind {
                TimelineEventKind::Decrypted(_) => json_of(opened.into_raw()),
                _ => event,
            },
            Err(error) => {
                tracing::warn!(room_id, error = %error, "an event could not be decrypted");
                event
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
    let was_sealed = matches!(event.kind, TimelineEventKind::Decrypted(_));
    let raw = json_of(event.into_raw());
    (!was_sealed || wxgate_matrix::may_be_sealed(&raw)).then_some(raw)
}

fn json_of(raw: Raw<AnySyncTimelineEvent>) -> Box<RawValue> {
    raw.into_json()
}
