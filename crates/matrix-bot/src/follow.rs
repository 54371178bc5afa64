//! What happens in the account's rooms.

use std::sync::PoisonError;
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::config::{SyncSettings, SyncToken};
use matrix_sdk::ruma::api::client::filter::FilterDefinition;
use matrix_sdk::ruma::presence::PresenceState;
use matrix_sdk::ruma::{OwnedRoomId, uint};
use matrix_sdk::store::StateStoreDataKey;
use matrix_sdk::sync::{SyncResponse, Timeline};
use serde_json::value::RawValue;
use wxgate_matrix::{CallError, Happened, InRoom};

use crate::SdkAccount;
use crate::rooms::as_meant;
use crate::wrong;

/// How long the homeserver holds a question when nothing happens. Source: client-server API, "Syncing";
/// the SDK's own default.
const HELD: Duration = Duration::from_secs(30);
/// The least of it, where tokens are over soon. Chosen: one question a second costs nobody much.
const SHORTEST: Duration = Duration::from_secs(1);

impl SdkAccount {
    /// Waits for what happens after `since`.
    pub(crate) async fn follow(&self, since: Option<&str>) -> Result<Happened, CallError> {
        let Some(open) = self.open_now() else { return Err(CallError::Network { endpoint: "sync" }) };
        let client = open.client;
        open.tokens.see_to(&client).await?;
        // A store that is new has to learn of the rooms first, wherever the adapter is.
        let is_new = !has_position(&client).await;
        if let (Some(_), true) = (since, is_new) {
            ask(&client, None, Duration::ZERO).await?;
        }
        let held = open.tokens.time_left().map_or(HELD, |left| left.clamp(SHORTEST, HELD));
        let told = ask(&client, since, held).await?;
        if since.is_some() {
            self.forget_left(&client, &told).await;
        }
        Ok(happened(told))
    }

    /// Has the store and the homeserver forget rooms that the account is not in any more: the SDK keeps them for good
    /// otherwise. Not those that this answer tells of: what was said there last is not safe yet, and is in the next
    /// answer again until it is. What does not work is tried again by another run.
    async fn forget_left(&self, client: &Client, told: &SyncResponse) {
        for room in client.left_rooms() {
            let room_id = room.room_id();
            let is_new = !told.rooms.left.contains_key(room_id)
                && self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).insert(room_id.to_owned());
            if is_new && let Err(error) = room.forget().await {
                tracing::info!(%room_id, %error, "a room that the account left cannot be forgotten yet");
            }
        }
    }
}

/// What a session does once, when it is opened: makes room on the disk.
pub(crate) async fn tidy(client: &Client) {
    if let Err(error) = client.optimize_stores().await {
        tracing::warn!(%error, "the store of the account cannot be made smaller");
    }
}

async fn has_position(client: &Client) -> bool {
    let known = client.state_store().get_kv_data(StateStoreDataKey::SyncToken).await;
    known.is_ok_and(|position| position.is_some())
}

async fn ask(client: &Client, since: Option<&str>, held: Duration) -> Result<SyncResponse, CallError> {
    let mut filter = FilterDefinition::default();
    filter.presence.types = Some(Vec::new());
    // What does not fit is read page by page. Chosen: a busy half minute.
    filter.room.timeline.limit = Some(uint!(50));
    let settings = SyncSettings::new().filter(filter.into()).set_presence(PresenceState::Offline);
    let settings = match since {
        Some(since) => settings.token(since).timeout(held),
        None => settings.token(SyncToken::NoToken).timeout(Duration::ZERO),
    };
    client.sync_once(settings).await.map_err(|error| wrong::call("sync", &error))
}

fn happened(told: SyncResponse) -> Happened {
    let in_room = |room_id: OwnedRoomId, timeline: Timeline, ephemeral: Vec<Box<RawValue>>| {
        let events = timeline.events.into_iter().filter_map(as_meant).collect();
        (room_id.to_string(), InRoom { events, is_limited: timeline.limited, ephemeral })
    };
    let joined = told.rooms.joined.into_iter().map(|(room_id, room)| {
        let ephemeral = room.ephemeral.into_iter().map(|event| event.into_json()).collect();
        in_room(room_id, room.timeline, ephemeral)
    });
    // What was said before the account was sent away.
    let left = told.rooms.left.into_iter().map(|(room_id, room)| in_room(room_id, room.timeline, Vec::new()));
    let invited = told.rooms.invited.into_iter().map(|(room_id, room)| {
        let state = room.invite_state.events.iter();
        let state = state.filter_map(|event| serde_json::from_str(event.json().get()).ok());
        (room_id.to_string(), state.collect())
    });
    Happened { next: told.next_batch, rooms: joined.chain(left).collect(), invited: invited.collect() }
}
