//! Rooms that the homeserver is still making.
//!
//! A homeserver writes a room's alias down before anybody is in the room. Whoever asked for the room may have died
//! meanwhile, or have waited too long; the next attempt then finds an alias that leads to a room without the bot,
//! as one does that the bot was thrown out of. Who was in a room once may still ask how they left it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use wxgate_contract::Timestamp;

use crate::api::room::GetState;
use crate::memory::Recent;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How long a room that the bot was never in is taken for one that is being made. Chosen: as long as a call may
/// take; a homeserver that was asked for a room and is busier than that answers nothing else either.
const PATIENCE: Duration = Duration::from_secs(60);

/// When rooms were first found to be without the bot, by room id.
#[derive(Default)]
pub(crate) struct Making {
    // Locked for the length of a lookup.
    since: Mutex<Recent<Timestamp>>,
}

impl Making {
    fn since(&self, room_id: &str, now: Timestamp) -> Timestamp {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = since.get(room_id) {
            return *since;
        }
        since.put(room_id.to_owned(), Arc::new(now));
        now
    }
}

impl Shared {
    /// Whether a room that the bot is not in may be one that it is about to be in.
    pub(crate) async fn is_being_made(&self, room_id: &str) -> Result<bool, Trouble> {
        let own = GetState { room_id, kind: "m.room.member", state_key: self.names.bot() };
        match self.client.call(self.bot(), &own).await {
            // It has come in between two questions, or it has left.
            Ok(own) => Ok(own.get("membership").and_then(Value::as_str) == Some("join")),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) => {
                let now = self.clock.now();
                Ok(now.since(self.making.since(room_id, now)) < PATIENCE)
            }
        }
    }
}
