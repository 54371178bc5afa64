//! What could not be read when it came. A client shows it once its key, or whose device it is, is known: both may
//! come with the same answer of the homeserver, or after it.

use matrix_sdk::Client;
use matrix_sdk::deserialized_responses::TimelineEventKind;
use matrix_sdk::ruma::OwnedRoomId;
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::sync::RoomUpdates;
use serde_json::Value;

use crate::shown;

/// Events that wait. Chosen: more than any story says before it looks.
const MOST: usize = 2_000;

/// Events that wait.
#[derive(Default)]
pub(crate) struct Shut(Vec<(OwnedRoomId, Raw<OriginalSyncRoomEncryptedEvent>)>);

impl Shut {
    /// Takes what of an answer could not be read.
    pub(crate) fn note(&mut self, rooms: &RoomUpdates) {
        for (room_id, room) in &rooms.joined {
            for event in &room.timeline.events {
                if matches!(event.kind, TimelineEventKind::UnableToDecrypt { .. }) && self.0.len() < MOST {
                    self.0.push((room_id.clone(), event.raw().clone().cast_unchecked()));
                }
            }
        }
    }

    /// Reads what can be read by now; its lines.
    pub(crate) async fn try_again(&mut self, who: &str, client: &Client) -> Vec<Value> {
        let (mut lines, mut left) = (Vec::new(), Vec::new());
        for (room_id, raw) in self.0.drain(..) {
            let Some(room) = client.get_room(&room_id) else { continue };
            match room.decrypt_event(&raw, None).await {
                Ok(event) if matches!(event.kind, TimelineEventKind::Decrypted(_)) => {
                    lines.push(shown::later(who, room_id.as_str(), event.raw()));
                }
                _ => left.push((room_id, raw)),
            }
        }
        self.0 = left;
        lines
    }
}
