//! What happens in the account's rooms.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::config::{SyncSettings, SyncToken};
use matrix_sdk::ruma::api::client::filter::FilterDefinition;
use matrix_sdk::ruma::presence::PresenceState;
use matrix_sdk::ruma::{OwnedRoomId, RoomId, uint};
use matrix_sdk::store::StateStoreDataKey;
use matrix_sdk::sync::{SyncResponse, Timeline};
use serde_json::value::RawValue;
use tokio::time::Instant;
use wxgate_matrix::{CallError, Happened, InRoom};

use crate::SdkAccount;
use crate::rooms::as_meant;
use crate::wrong;

/// How long the homeserver holds a question when nothing happens. Source: client-server API, "Syncing";
/// the SDK's own default.
const HELD: Duration = Duration::from_secs(30);
/// From when a room was left until it is forgotten, and between two tries. Chosen: longer than what is encrypted waits for
/// its key.
const FORGET_AFTER: Duration = Duration::from_secs(900);
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
    /// otherwise.
    async fn forget_left(&self, client: &Client, told: &SyncResponse) {
        let rooms = client.left_rooms();
        let left = rooms.iter().map(|room| room.room_id().to_owned());
        let due = {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            leaving.due(left, |room_id| told.rooms.left.contains_key(room_id), Instant::now())
        };
        for room in rooms.iter().filter(|room| due.contains(room.room_id())) {
            if let Err(error) = room.forget().await {
                tracing::info!(room_id = %room.room_id(), %error, "a room that was left cannot be forgotten yet");
            }
        }
    }
}

/// Rooms that the account left, and when each is to be forgotten.
#[derive(Default)]
pub(crate) struct Leaving {
    at: HashMap<OwnedRoomId, Instant>,
}

impl Leaving {
    /// Which of the rooms that are left are to be forgotten now; those that cannot be are so again later. One that the
    /// homeserver tells of now is put off: what was said there last may wait for its key, which the SDK takes for rooms
    /// that it knows.
    fn due(
        &mut self,
        left: impl Iterator<Item = OwnedRoomId>,
        is_told: impl Fn(&RoomId) -> bool,
        now: Instant,
    ) -> HashSet<OwnedRoomId> {
        let before = std::mem::take(&mut self.at);
        let mut due = HashSet::new();
        for room_id in left {
            let at = before.get(&room_id).filter(|_| !is_told(&room_id)).copied();
            let is_due = at.is_some_and(|at| at <= now);
            if is_due {
                due.insert(room_id.clone());
            }
            let next = at.filter(|_| !is_due).unwrap_or(now + FORGET_AFTER);
            self.at.insert(room_id, next);
        }
        due
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_forgotten_some_time_after_it_was_left_and_as_often_as_it_is() {
        let room: OwnedRoomId = "!a:test".try_into().unwrap();
        let (mut leaving, begun) = (Leaving::default(), Instant::now());
        let mut is_due = |is_left: bool, is_told: bool, passed: Duration| {
            let left = is_left.then(|| room.clone());
            !leaving.due(left.into_iter(), |_| is_told, begun + passed).is_empty()
        };
        let second = Duration::from_secs(1);
        assert!(!is_due(true, true, Duration::ZERO));
        assert!(!is_due(true, true, 10 * second), "it is told once more");
        assert!(!is_due(true, false, FORGET_AFTER));
        assert!(is_due(true, false, FORGET_AFTER + 10 * second));
        // It could not be.
        assert!(!is_due(true, false, FORGET_AFTER + 11 * second));
        assert!(is_due(true, false, 3 * FORGET_AFTER));
        // Somebody asks the account in again, and it leaves again.
        assert!(!is_due(false, false, 4 * FORGET_AFTER));
        assert!(!is_due(true, true, 5 * FORGET_AFTER));
        assert!(is_due(true, false, 6 * FORGET_AFTER));
    }
}
