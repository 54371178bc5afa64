//! How a room begins to be shared. Nobody claims a group by its name: what proves it is a message that both
//! accounts heard under one number.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;
use wxgate_contract::{
    AccountView, Author, ChatKey, ChatKind, ChatRef, HistoryRange, Note, PersonRef, TimelineItem,
};

use super::keep::words;
use super::{Sharing, Told, Voice};
use crate::api::event::Newest;
use crate::api::room::DeleteAlias;
use crate::chores::Chore;
use crate::memory::Room;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, derived_txn_id, notice, txn_id};
use crate::trouble::Trouble;

/// Messages of a room that are looked at. Chosen: what people may still answer to, and what the newcomer's
/// account may bring a second time.
const RECENT: usize = 200;
/// Messages of all chats of the newcomer's account among which those of the room are looked for. Chosen.
const NEWCOMERS: usize = 1_000;
/// Parts of one message that are looked for. Chosen: longer ones are files.
const PARTS: usize = 64;

/// That two accounts are in one group.
pub(crate) struct Evidence {
    /// The group as the newcomer's account calls it.
    pub(crate) chat: ChatRef,
    /// Who is the same person, here and in the room's account.
    pairs: Vec<(Voice, Voice)>,
    /// What the room's account heard lately.
    heard: Vec<TimelineItem>,
}

impl Shared {
    /// The group among somebody's accounts that heard what the chat of a room heard.
    pub(crate) async fn same_group(
        &self,
        lead: &ChatRef,
        accounts: &[AccountView],
    ) -> Result<Option<Evidence>, Trouble> {
        let newest = HistoryRange::Before(i64::MAX);
        let there = self.directory.history(&lead.network, Some(&lead.chat), newest, RECENT).await?;
        for view in accounts.iter().filter(|view| view.network != lead.network) {
            let here = self.directory.history(&view.network, None, newest, NEWCOMERS).await?;
            let Some((chat, pairs)) = in_both(&there, &here) else { continue };
            let chat = ChatRef { network: view.network.clone(), chat };
            let is_group = |profile: wxgate_contract::ChatProfile| profile.kind == ChatKind::Group;
            if self.directory.chat(&chat).await?.is_some_and(is_group) {
                return Ok(Some(Evidence { chat, pairs, heard: there }));
            }
        }
        Ok(None)
    }

    /// From now on another account speaks and hears in a room as well.
    pub(crate) async fn join_sharing(&self, room: &Room, evidence: Evidence) -> Result<bool, Trouble> {
        let now = self.clock.now().ms();
        let shared = self.sharing(room).await?;
        let mut sharing = match &shared {
            Some(sharing) => (**sharing).clone(),
            None => {
                let parts =
                    ["sharing", room.chat.network.as_str(), room.chat.chat.as_str(), &now.to_string()];
                Sharing { key: derived_txn_id(&parts), chats: vec![room.chat.clone()] }
            }
        };
        let is_new = sharing.chats.len() == 1;
        sharing.chats.push(evidence.chat.clone());
        let mut told = Vec::new();
        if is_new {
            told = self.shown_lately(&sharing, room, &evidence.heard).await?;
        }
        let guest =
            Room::new(room.room_id.clone(), evidence.chat.clone(), false, String::new(), String::new());
        let guest = Room { shared: sharing.key.clone(), is_guest: true, since: now, ..guest };
        let same: Vec<(&PersonRef, &Voice)> =
            evidence.pairs.iter().filter_map(|(here, there)| sharing.pair(here, there)).collect();
        let memory = &self.memory;
        let mut notes: Vec<Note> =
            same.iter().flat_map(|(who, shown)| self.same_notes(&sharing, who, shown)).collect();
        notes.extend(told.iter().map(|(key, told)| memory.told.note(key, told)));
        let before = memory.room_of(&evidence.chat).await?;
        if !memory.begin_sharing(room, (shared.as_deref(), &sharing), guest, notes).await? {
            return Ok(false);
        }
        for (who, shown) in same {
            self.keep_same(&sharing, who, shown);
        }
        for (key, told) in told {
            memory.told.keep(&key, told);
        }
        if let Some(before) = before.filter(|before| before.room_id != room.room_id) {
            self.leave_for(&before, &room.room_id).await?;
        }
        sharing.chats.into_iter().for_each(|chat| self.chores.add(Chore::Room(chat)));
        Ok(true)
    }

    /// Where the last messages of a room stand, by their numbers.
    async fn shown_lately(
        &self,
        sharing: &Sharing,
        room: &Room,
        heard: &[TimelineItem],
    ) -> Result<Vec<(String, Told)>, Trouble> {
        let limit = u32::try_from(RECENT).unwrap_or(u32::MAX);
        let newest = Newest { room_id: &room.room_id, limit };
        let events = self.client.call(self.bot(), &newest).await?.chunk;
        let marks: BTreeMap<String, String> = events.iter().filter_map(|event| self.mark_of(event)).collect();
        let mut told = Vec::new();
        for item in heard {
            let Some(number) = &item.native_id else { continue };
            let events: Vec<String> = match item.origin == self.network {
                true => vec![item.post.remote_id.as_str().to_owned()],
                false => {
                    let part = |n: usize| marks.get(&txn_id(&item.post, &n.to_string())).cloned();
                    (0..PARTS).map_while(part).collect()
                }
            };
            if events.is_empty() {
                continue;
            }
            let author = author_of(item);
            let (lane, holder) = (room.chat.clone(), Some(room.chat.clone()));
            let at = self.clock.now().ms();
            told.push((
                sharing.told_key(number),
                Told { lane, voice: author.clone(), author, events, holder, at },
            ));
        }
        Ok(told)
    }

    /// Tells in the room that a chat had so far where it is now.
    async fn leave_for(&self, before: &Room, room_id: &str) -> Result<(), Trouble> {
        let text = "This group is shown in a room that is shared with others now.";
        let what = Utterance {
            kind: "m.room.message",
            content: notice(text),
            txn_id: derived_txn_id(&["shared", &before.room_id, room_id]),
            at: None,
        };
        if before.is_handed_over {
            self.say_as_bot(&before.room_id, &what).await.map(drop)?;
            return Ok(());
        }
        let alias = self.names.full_alias(&self.names.alias(&before.chat));
        match self.client.call(self.bot(), &DeleteAlias { alias: &alias }).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            _ => {}
        }
        let content = json!({ "body": text, "replacement_room": room_id });
        match self.set_state(&before.room_id, "m.room.tombstone", "", content).await {
            Err(error) if error.is_passing() => Err(error.into()),
            // A room that is lost to the bot needs no sign to another one.
            _ => Ok(()),
        }
    }
}

/// Whose words an item of a timeline is in the group.
fn author_of(item: &TimelineItem) -> Voice {
    let network = item.post.chat.network.clone();
    match &item.post.author {
        _ if item.origin != network => Voice::Owner(network),
        Author::Person { person, .. } => Voice::Person(PersonRef { network, person: person.clone() }),
        Author::Owner => Voice::Owner(network),
        Author::Network | Author::Gateway => Voice::Network,
    }
}

/// Which chat of one timeline has messages of the other under the same numbers, and whose they are in both. A
/// number that stands in two chats or has other words proves that numbers prove nothing.
fn in_both(there: &[TimelineItem], here: &[TimelineItem]) -> Option<(ChatKey, Vec<(Voice, Voice)>)> {
    let number = |item: &TimelineItem| item.native_id.as_ref().map(|id| id.as_str().to_owned());
    let known: HashMap<String, &TimelineItem> =
        there.iter().filter_map(|item| Some((number(item)?, item))).collect();
    let mut found: Option<(ChatKey, Vec<(Voice, Voice)>)> = None;
    for item in here {
        let Some(other) = number(item).and_then(|number| known.get(&number).copied()) else { continue };
        let is_heard = |item: &TimelineItem| item.origin == item.post.chat.network;
        if is_heard(item) && is_heard(other) && words(&item.post.body) != words(&other.post.body) {
            return None;
        }
        let pair = (author_of(item), author_of(other));
        match &mut found {
            Some((chat, _)) if *chat != item.post.chat.chat => return None,
            Some((_, pairs)) => pairs.push(pair),
            None => found = Some((item.post.chat.chat.clone(), vec![pair])),
        }
    }
    found
}

impl Shared {
    /// Who speaks for the owner of an account.
    pub(crate) async fn speaker_of_owner(
        &self,
        network: &wxgate_contract::NetworkId,
    ) -> Result<Speaker, Trouble> {
        let ghost = self.own_ghost(network).await?;
        Ok(match self.puppet_of_owner(network).await? {
            Some(puppet) => Speaker::Puppet(puppet, ghost),
            None => Speaker::Ghost(ghost),
        })
    }

    /// The others in a shared room, for those who are told.
    pub(crate) async fn sharers_of(&self, sharing: &Arc<Sharing>) -> Result<Vec<String>, Trouble> {
        let mut names = Vec::new();
        for chat in &sharing.chats {
            if let Some(user_id) = self.owners.id_of_owner(&chat.network).await? {
                names.push(user_id);
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxgate_contract::{Body, Fate, Post, PostId, Timestamp};

    fn item(account: &str, chat: &str, number: &str, author: Author, text: &str) -> TimelineItem {
        let post = Post {
            remote_id: number.into(),
            chat: ChatRef { network: account.into(), chat: chat.into() },
            author,
            at: Timestamp(0),
            body: Body::text(text),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        TimelineItem {
            seq: 1,
            post_id: PostId(1),
            origin: account.into(),
            post,
            fate: Fate::Said,
            target: None,
            native_id: Some(number.into()),
            is_recalled: false,
        }
    }

    fn by(key: &str) -> Author {
        Author::Person { person: key.into(), name: String::new() }
    }

    #[test]
    fn one_number_with_the_same_words_is_one_group() {
        let there = [item("w:a", "g1", "7", by("a-bob"), "hi"), item("w:a", "g1", "8", by("a-eve"), "ok")];
        let here = [item("w:b", "x9", "7", by("b-bob"), "hi "), item("w:b", "x2", "9", by("b-eve"), "ok")];
        let (chat, pairs) = in_both(&there, &here).unwrap();
        assert_eq!((chat.as_str(), pairs.len()), ("x9", 1));
        let voice = |account: &str, key: &str| {
            Voice::Person(PersonRef { network: account.into(), person: key.into() })
        };
        assert_eq!(pairs[0], (voice("w:b", "b-bob"), voice("w:a", "a-bob")));
    }

    #[test]
    fn other_words_another_chat_or_no_number_prove_nothing() {
        let there = [item("w:a", "g1", "7", by("a-bob"), "hi"), item("w:a", "g1", "8", by("a-eve"), "ok")];
        assert!(in_both(&there, &[item("w:b", "x9", "7", by("b-bob"), "no")]).is_none());
        let two = [item("w:b", "x9", "7", by("b-bob"), "hi"), item("w:b", "x8", "8", by("b-eve"), "ok")];
        assert!(in_both(&there, &two).is_none());
        assert!(in_both(&there, &[item("w:b", "x9", "5", by("b-bob"), "hi")]).is_none());
    }
}
