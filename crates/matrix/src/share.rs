//! Rooms that several accounts share. Each of them hears the group, and the room shows it once.
//!
//! A message has one number in all accounts (docs/decisions/0020). Before a lane says a message it writes down,
//! under that number, that it does; the other lanes wait for what comes of it and take the event for theirs.
//! An event can be the id of one post only, so all lanes but the one whose people are shown know it by an
//! alias.

mod join;
mod keep;
mod leave;
mod say;
mod who;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wxgate_contract::{ChatRef, NetworkId, PersonRef, RemoteId, Timestamp};

use crate::memory::{Recent, Room};
use crate::names::hex;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Parts of the table of turns: lanes of different messages seldom wait for each other.
const TURNS: usize = 16;

/// Which chats share a room. Stays when all but one have left, because what was shared must be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sharing {
    /// Names it for good, whatever room it has.
    pub(crate) key: String,
    /// The first one leads: its people are shown, its group names the room.
    pub(crate) chats: Vec<ChatRef>,
}

impl Sharing {
    pub(crate) fn lead(&self) -> Option<&ChatRef> {
        self.chats.first()
    }

    pub(crate) fn has(&self, network: &NetworkId) -> bool {
        self.chat_of(network).is_some()
    }

    pub(crate) fn chat_of(&self, network: &NetworkId) -> Option<&ChatRef> {
        self.chats.iter().find(|chat| chat.network == *network)
    }

    fn others<'a>(&'a self, chat: &'a ChatRef) -> impl Iterator<Item = &'a ChatRef> {
        self.chats.iter().filter(move |other| *other != chat)
    }

    fn told_key(&self, number: &RemoteId) -> String {
        format!("{}/{number}", self.key)
    }
}

/// Whose words something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Voice {
    /// The group's own notices.
    Network,
    /// The owner of an account.
    Owner(NetworkId),
    /// Somebody as an account knows them.
    Person(PersonRef),
}

/// A message that is said in a shared room, or on its way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The chat whose lane says it.
    pub(crate) lane: ChatRef,
    /// Who says it in the room.
    pub(crate) voice: Voice,
    /// Who says it in the group: another one for what was carried there from elsewhere.
    pub(crate) author: Voice,
    /// Its events; none while it is on its way.
    pub(crate) events: Vec<String>,
    /// The chat whose post has the events' ids as they are.
    pub(crate) holder: Option<ChatRef>,
    /// When, in milliseconds.
    pub(crate) at: i64,
}

impl Told {
    /// What the message is called in the lane of a chat.
    fn ids_for(&self, chat: &ChatRef) -> Vec<RemoteId> {
        let is_holder = self.holder.as_ref() == Some(chat);
        self.events
            .iter()
            .map(|event| if is_holder { event.as_str().into() } else { alias(event, chat) })
            .collect()
    }
}

/// What somebody typed in a shared room, until it is known under which number it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Typed {
    pub(crate) by: NetworkId,
    /// Hash of the words.
    pub(crate) words: String,
    pub(crate) at: i64,
}

/// The id of an event in the lane of a chat whose post is another than the event's own.
pub(crate) fn alias(event_id: &str, chat: &ChatRef) -> RemoteId {
    const CHARS: usize = 16;
    let mut lane = hex(format!("{}/{}", chat.network, chat.chat).as_bytes());
    lane.truncate(CHARS);
    // Ids of events hold no space. Source: Matrix specification, appendices, "Event IDs".
    RemoteId::new(format!("{event_id} {lane}"))
}

/// The event behind an id that may be an alias.
pub(crate) fn event_of(remote_id: &RemoteId) -> &str {
    let text = remote_id.as_str();
    text.split_once(' ').map_or(text, |(event_id, _)| event_id)
}

/// What is known in one run alone.
#[derive(Default)]
pub(crate) struct Turns {
    /// Held over a look at a message and the note that somebody says it.
    turns: [tokio::sync::Mutex<()>; TURNS],
    // Locked for the length of a lookup.
    since: Mutex<Recent<Timestamp>>,
    /// Who said a message in the eyes of the accounts that heard it and could not say it yet.
    heard: Mutex<Recent<Vec<(NetworkId, Voice)>>>,
    /// Messages that were told.
    told: std::sync::atomic::AtomicUsize,
}

impl Turns {
    fn turn(&self, key: &str) -> &tokio::sync::Mutex<()> {
        let at = key.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        &self.turns[at % TURNS]
    }

    /// An account heard a message from somebody; gives who that is in the eyes of the others that did.
    fn hear(&self, what: &str, account: &NetworkId, author: &Voice) -> Vec<Voice> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = heard.get(what).map(|all| (*all).clone()).unwrap_or_default();
        if !all.iter().any(|(known, _)| known == account) {
            all.push((account.clone(), author.clone()));
            heard.put(what.to_owned(), std::sync::Arc::new(all.clone()));
        }
        all.into_iter().filter(|(other, _)| other != account).map(|(_, voice)| voice).collect()
    }

    /// How long something has been waited for, in this run.
    fn waited(&self, what: &str, now: Timestamp) -> Duration {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match since.get(what) {
            Some(begun) => now.since(*begun),
            None => {
                since.put(what.to_owned(), std::sync::Arc::new(now));
                Duration::ZERO
            }
        }
    }
}

impl Shared {
    /// With whom a room is shared.
    pub(crate) async fn sharing(&self, room: &Room) -> Result<Option<std::sync::Arc<Sharing>>, Trouble> {
        Ok(self.memory.sharing_of(room).await?)
    }

    /// The same for the room of a chat, if it is this one.
    pub(crate) async fn sharing_in(
        &self,
        chat: &ChatRef,
        room_id: &str,
    ) -> Result<Option<std::sync::Arc<Sharing>>, Trouble> {
        match self.memory.room_of(chat).await?.filter(|room| room.room_id == room_id) {
            Some(room) => self.sharing(&room).await,
            None => Ok(None),
        }
    }

    /// Which chat somebody speaks in through a room: that of their own account, where they have one there.
    pub(crate) async fn chat_for(
        &self,
        room_id: &str,
        user_id: &str,
    ) -> Result<Option<std::sync::Arc<ChatRef>>, Trouble> {
        let Some(lead) = self.chat_of(room_id).await? else { return Ok(None) };
        let Some(sharing) = self.sharing_in(&lead, room_id).await? else { return Ok(Some(lead)) };
        for chat in &sharing.chats {
            if self.owners.owns(user_id, &chat.network).await? {
                return Ok(Some(std::sync::Arc::new(chat.clone())));
            }
        }
        for chat in &sharing.chats {
            if self.memory.room_of(chat).await?.is_some_and(|room| room.relay) {
                return Ok(Some(std::sync::Arc::new(chat.clone())));
            }
        }
        Ok(Some(lead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(account: &str) -> ChatRef {
        ChatRef { network: NetworkId::from(account), chat: "g1".into() }
    }

    #[test]
    fn an_event_has_another_id_in_each_lane_and_leads_back_to_the_event() {
        let told = Told {
            lane: chat("wechat:a"),
            voice: Voice::Network,
            author: Voice::Network,
            events: vec!["$one".to_owned(), "$two".to_owned()],
            holder: Some(chat("wechat:a")),
            at: 0,
        };
        let (own, other, third) = (
            told.ids_for(&chat("wechat:a")),
            told.ids_for(&chat("wechat:b")),
            told.ids_for(&chat("wechat:c")),
        );
        assert_eq!(own, ["$one".into(), "$two".into()]);
        assert_ne!(other, own);
        assert_ne!(other, third);
        assert_eq!(other.iter().map(event_of).collect::<Vec<_>>(), ["$one", "$two"]);
    }

    #[test]
    fn waiting_begins_when_something_is_first_waited_for() {
        let turns = Turns::default();
        assert_eq!(turns.waited("a", Timestamp(1_000)), Duration::ZERO);
        assert_eq!(turns.waited("a", Timestamp(3_000)), Duration::from_secs(2));
        assert_eq!(turns.waited("b", Timestamp(3_000)), Duration::ZERO);
    }
}
