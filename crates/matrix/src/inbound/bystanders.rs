//! Who may not speak in a room and does: how often they are told, where one account says everything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wxgate_contract::Timestamp;

use super::event::Event;
use crate::config::Level;
use crate::memory::Recent;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How long somebody is not told the same in the same room again. Chosen: a conversation.
const WHILE: Duration = Duration::from_secs(3600);
/// Between two such words, whoever they are for. Chosen: a twelfth of what Synapse lets an account say.
/// Source: Synapse 1.163, `rc_message`: 0.2 events in a second.
const BETWEEN: Duration = Duration::from_secs(60);

/// What was told lately.
#[derive(Default)]
pub(crate) struct Bystanders {
    // Locked for the length of a lookup.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    last: Option<Timestamp>,
    /// By room, person and reason: about which event, and when.
    lately: Recent<(String, Timestamp)>,
}

impl Bystanders {
    /// Whether somebody is told why `event` does not cross. Asking twice gives the same.
    fn hear(&self, event: &Event, why: &str, now: Timestamp) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{} {} {why}", event.room_id, event.sender);
        if let Some(known) = told.lately.get(&key)
            && now.since(known.1) < WHILE
        {
            return known.0 == event.event_id;
        }
        if told.last.is_some_and(|last| now.since(last) < BETWEEN) {
            return false;
        }
        told.last = Some(now);
        told.lately.put(key, Arc::new((event.event_id.clone(), now)));
        true
    }
}

impl Shared {
    /// Whether the sender of something that does not cross hears why. An application service tells everybody each
    /// time; an account, whose homeserver counts its words, tells owners of accounts, and others now and then.
    pub(super) async fn hears_why(&self, event: &Event, why: &str) -> Result<bool, Trouble> {
        if self.config.account.is_none() {
            return Ok(true);
        }
        match self.chat_for(&event.room_id, &event.sender).await? {
            Some(chat) if self.owners.owns(&event.sender, &chat.network).await? => return Ok(true),
            // They speak here through somebody's account.
            Some(chat)
                if self.config.permissions.of(&event.sender) > Level::Nobody
                    && self.memory.room_of(&chat).await?.is_some_and(|room| room.relay) =>
            {
                return Ok(true);
            }
            Some(chat) if !self.choices_of_owner(&chat.network).await?.gives_notice(self) => {
                return Ok(false);
            }
            Some(_) => {}
            None if self.config.permissions.of(&event.sender) > Level::Nobody => return Ok(true),
            None => {}
        }
        // What the account may say now is for those who have one here.
        Ok(self.client.pause().is_none() && self.bystanders.hear(event, why, self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sender: &str, event_id: &str) -> Event {
        let event = serde_json::json!({
            "event_id": event_id, "room_id": "!r:x", "sender": sender, "type": "m.room.message",
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn who_may_not_speak_is_told_once_and_all_of_them_seldom() {
        let bystanders = Bystanders::default();
        let hear = |sender: &str, id: &str, why: &str, seconds: i64| {
            bystanders.hear(&event(sender, id), why, Timestamp(seconds * 1000))
        };
        assert!(hear("@a:x", "$1", "no", 0));
        assert!(hear("@a:x", "$1", "no", 1), "a transaction that is taken again says the same");
        assert!(!hear("@a:x", "$2", "no", 120));
        assert!(hear("@a:x", "$3", "too large", 120), "another reason");
        assert!(!hear("@b:x", "$4", "no", 130), "somebody was told just now");
        assert!(hear("@b:x", "$5", "no", 181));
        assert!(hear("@a:x", "$6", "no", 3601));
        let told = (0..36_000).filter(|n| hear(&format!("@{n}:x"), &format!("${n}"), "no", 7200 + n / 10));
        assert_eq!(told.count(), 60, "ten strangers a second for an hour");
    }
}
