//! Rooms in which more than one person and the bot are, so that plain words there are not meant for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::event::Event;
use crate::api::membership::JoinedMembers;
use crate::client::CallError;
use crate::memory::Recent;
use crate::names::Who;
use crate::shared::Shared;

/// People and the bot in a room of one person and the bot.
const ALONE: usize = 2;
/// How long it is waited to hear who is in a room before something said there is taken. Chosen: everything else that
/// was said waits as well, and the desk asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many are in such a room at least.
#[derive(Default)]
pub(crate) struct Crowds {
    // Locked for the length of a lookup.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    at_least: Recent<usize>,
    /// Counts who left anywhere: what was asked for before may be of before that.
    left: u64,
}

impl Crowds {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody may have left, as far as is known. Who comes makes no crowd smaller and is not counted; an event that
    /// comes twice is, which has the room looked at sooner.
    pub(super) fn follow(&self, event: &Event, is_bot: bool) {
        if event.kind != "m.room.member" {
            return;
        }
        let membership = event.content.get("membership").and_then(Value::as_str);
        let mut known = self.known();
        if is_bot {
            // It missed who left while it was out.
            known.at_least.remove(&event.room_id);
        } else if membership != Some("join") && membership != Some("invite") {
            known.left += 1;
            let fewer = known.at_least.get(&event.room_id).map(|count| count.saturating_sub(1));
            match fewer {
                Some(count) if count > ALONE => known.at_least.put(event.room_id.clone(), Arc::new(count)),
                _ => known.at_least.remove(&event.room_id),
            }
        }
    }

    fn has(&self, room_id: &str) -> bool {
        self.known().at_least.get(room_id).is_some()
    }

    fn left(&self) -> u64 {
        self.known().left
    }

    /// `left` is the count from before it was asked.
    fn note(&self, room_id: &str, members: usize, left: u64) {
        let mut known = self.known();
        if members > ALONE && known.left == left {
            known.at_least.put(room_id.to_owned(), Arc::new(members));
        }
    }
}

impl Shared {
    /// True when nobody but one person and the bot is in the room.
    pub(crate) async fn is_private(&self, room_id: &str) -> Result<bool, CallError> {
        if self.crowds.has(room_id) {
            return Ok(false);
        }
        let left = self.crowds.left();
        let members = self.client.call(self.bot(), &JoinedMembers { room_id }).await?.joined.len();
        self.crowds.note(room_id, members, left);
        Ok(members <= ALONE)
    }

    /// True where plain words may be meant for the bot.
    pub(super) async fn may_be_asked(&self, room_id: &str) -> bool {
        match tokio::time::timeout(PATIENCE, self.is_private(room_id)).await {
            Ok(Ok(is_private)) => is_private,
            Ok(Err(error)) => error.is_passing(),
            Err(_) => true,
        }
    }

    /// Somebody came or went.
    pub(super) fn follow_crowd(&self, event: &Event) {
        let is_bot = event.state_key.as_deref().is_some_and(|key| self.names.who(key) == Who::Bot);
        self.crowds.follow(event, is_bot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(membership: &str) -> Event {
        let event = serde_json::json!({
            "event_id": "$1", "room_id": "!r:x", "sender": "@a:x", "type": "m.room.member", "state_key": "@a:x",
            "content": { "membership": membership },
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_crowd_is_one_until_so_many_have_left() {
        let crowds = Crowds::default();
        crowds.note("!r:x", 2, 0);
        assert!(!crowds.has("!r:x"));
        crowds.note("!r:x", 4, 0);
        for (membership, is_crowd) in [("join", true), ("leave", true), ("invite", true), ("ban", false)] {
            crowds.follow(&member(membership), false);
            assert_eq!(crowds.has("!r:x"), is_crowd, "{membership}");
        }
    }

    #[test]
    fn what_was_asked_before_somebody_left_is_not_counted_on() {
        let crowds = Crowds::default();
        let left = crowds.left();
        crowds.follow(&member("leave"), false);
        crowds.note("!r:x", 3, left);
        assert!(!crowds.has("!r:x"));
        crowds.note("!r:x", 30, crowds.left());
        crowds.follow(&member("join"), true);
        assert!(!crowds.has("!r:x"), "the bot came back");
    }
}
