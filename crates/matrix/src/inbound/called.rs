//! What people are called in the rooms that they speak in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::event::Event;
use crate::api::room::GetState;
use crate::memory::Recent;
use crate::shared::Shared;

/// Names by room and user.
#[derive(Default)]
pub(crate) struct Called {
    // Locked for the length of a lookup.
    names: Mutex<Recent<String>>,
}

/// Ids of rooms hold no space. Source: Matrix specification, appendices, "Room IDs".
fn key(room_id: &str, user_id: &str) -> String {
    format!("{room_id} {user_id}")
}

impl Called {
    fn names(&self) -> MutexGuard<'_, Recent<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody's membership changed, and their name with it.
    pub(super) fn follow(&self, event: &Event) {
        if let ("m.room.member", Some(user_id)) = (event.kind.as_str(), event.state_key.as_deref()) {
            self.names().remove(&key(&event.room_id, user_id));
        }
    }
}

impl Shared {
    /// The name that somebody has in a room; empty for none. Their profile is their own homeserver's, which may be far
    /// away or gone; their name in the room is known here.
    pub(super) async fn name_in(&self, room_id: &str, user_id: &str) -> String {
        let key = key(room_id, user_id);
        let known = self.called.names().get(&key);
        if let Some(name) = known {
            return (*name).clone();
        }
        let question = GetState { room_id, kind: "m.room.member", state_key: user_id };
        let name = match self.client.call(self.bot(), &question).await {
            Ok(member) => member.get("displayname").and_then(Value::as_str).unwrap_or_default().to_owned(),
            // What they say does not wait for it.
            Err(error) if error.is_passing() => return String::new(),
            Err(_) => String::new(),
        };
        self.called.names().put(key, Arc::new(name.clone()));
        name
    }
}
