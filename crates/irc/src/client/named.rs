//! Whom the people of a channel may mean by a name: those whose words were carried there, and the members of the groups
//! that it is linked with, who may not have spoken yet. Who it was is on disk, so that a restart forgets nobody; members
//! are read anew.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wxgate_contract::{ChatKey, ChatRef, Directory, PersonKey, PostId};

use super::nicks;
use super::relay::{Done, Relay};

/// Begins the key of a note about a chat; the chat's key follows.
pub(super) const NOTE: &str = "named/";
/// People per chat who spoke. Chosen.
const SPOKE: usize = 200;
/// Members of one group. Chosen: twice what a group of WeChat holds.
const MEMBERS: usize = 1000;
/// Groups of one chat. Chosen: a link that joins more is none that people read.
const HOMES: usize = 8;
/// Posts of which it is known who said them, for when they are recalled. Chosen: WeChat lets that be done within two
/// minutes.
const SAID: usize = 1000;
/// With the next words from there, members that were read longer ago are read anew. Chosen.
const FRESH: Duration = Duration::from_secs(600);

/// A name as it is shown, and who it is over here.
pub(super) type Name = (String, PersonKey);

/// What is on disk of a chat.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    /// Who spoke, the last first.
    spoke: VecDeque<Name>,
    /// Where words came from.
    homes: Vec<ChatRef>,
}

#[derive(Default)]
struct Known {
    saved: Saved,
    /// Members of the homes, and when they were read.
    members: HashMap<ChatRef, (Instant, Vec<Name>)>,
}

impl Known {
    fn note(&self, chat: &ChatKey) -> (String, Bytes) {
        // Names and keys cannot fail to be written.
        let value = serde_json::to_vec(&self.saved).unwrap_or_default();
        (format!("{NOTE}{chat}"), value.into())
    }
}

/// Of all chats.
#[derive(Default)]
pub(super) struct Named(HashMap<ChatKey, Known>);

impl Named {
    /// As the last run left it.
    pub(super) fn resume(notes: Vec<(String, Bytes)>) -> Self {
        let read = |(key, value): (String, Bytes)| {
            let saved: Saved = serde_json::from_slice(&value).ok()?;
            let known = Known { saved, members: HashMap::new() };
            Some((ChatKey::new(key.strip_prefix(NOTE)?), known))
        };
        Self(notes.into_iter().filter_map(read).collect())
    }

    /// Somebody speaks in a chat under a name. Gives the note of it where that is news.
    pub(super) fn spoke(&mut self, chat: &ChatKey, name: &str, person: PersonKey) -> Option<(String, Bytes)> {
        let known = self.0.entry(chat.clone()).or_default();
        let spoke = &mut known.saved.spoke;
        let before = spoke.iter().position(|(_, known)| *known == person).and_then(|at| spoke.remove(at));
        let is_news = before.is_none_or(|(before, _)| before != name);
        spoke.push_front((name.to_owned(), person));
        spoke.truncate(SPOKE);
        is_news.then(|| known.note(chat))
    }

    /// Words come from there: whether its members have to be read, and the note where that place is news.
    pub(super) fn came_from(
        &mut self,
        chat: &ChatKey,
        home: &ChatRef,
        now: Instant,
    ) -> (bool, Option<(String, Bytes)>) {
        let known = self.0.entry(chat.clone()).or_default();
        let is_news = !known.saved.homes.contains(home);
        if is_news {
            known.saved.homes.insert(0, home.clone());
            for gone in known.saved.homes.split_off(HOMES.min(known.saved.homes.len())) {
                known.members.remove(&gone);
            }
        }
        let is_old = known.members.get(home).is_none_or(|(read, _)| now >= *read + FRESH);
        if is_old {
            // Nobody reads them twice meanwhile.
            known.members.entry(home.clone()).or_insert((now, Vec::new())).0 = now;
        }
        (is_old, is_news.then(|| known.note(chat)))
    }

    /// Chats and where words came from in earlier runs.
    pub(super) fn homes(&self) -> Vec<(ChatKey, ChatRef)> {
        let of = |(chat, known): (&ChatKey, &Known)| {
            known.saved.homes.iter().map(|home| (chat.clone(), home.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The members of a home were read.
    pub(super) fn members_are(&mut self, chat: &ChatKey, home: ChatRef, members: Vec<Name>, now: Instant) {
        if let Some(known) = self.0.get_mut(chat).filter(|known| known.saved.homes.contains(&home)) {
            known.members.insert(home, (now, members));
        }
    }

    /// Of chats that are not linked any more nobody is known; the keys of their notes.
    pub(super) fn forget_unlinked(&mut self, linked: &BTreeSet<ChatKey>) -> Vec<String> {
        let gone: Vec<ChatKey> = self.0.keys().filter(|chat| !linked.contains(*chat)).cloned().collect();
        gone.iter().for_each(|chat| drop(self.0.remove(chat)));
        gone.iter().map(|chat| format!("{NOTE}{chat}")).collect()
    }

    /// Whom a name at the beginning of `text` means; the longest name counts, and of one name who spoke last.
    pub(super) fn find(&self, chat: &ChatKey, text: &str) -> Option<(usize, &PersonKey)> {
        let known = self.0.get(chat)?;
        let members = known.members.values().flat_map(|(_, members)| members);
        let mut found: Option<(usize, &PersonKey)> = None;
        for (name, person) in known.saved.spoke.iter().chain(members) {
            let rest = strip_name(text, name);
            let fits = rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
            if fits && found.is_none_or(|(length, _)| name.len() > length) {
                found = Some((name.len(), person));
            }
        }
        found
    }
}

fn strip_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(name.len())?;
    (!name.is_empty() && head.to_lowercase() == name.to_lowercase()).then_some(rest)
}

/// The members of a group as they are called there; `None` when they cannot be read now.
async fn members_of(directory: Arc<dyn Directory>, home: &ChatRef) -> Option<Vec<Name>> {
    let profile = match directory.chat(home).await {
        Ok(profile) => profile?,
        Err(error) => {
            tracing::debug!(%error, "the members of a linked chat cannot be read now");
            return None;
        }
    };
    let members = profile.members.unwrap_or_default().into_iter().filter(|member| !member.is_self);
    let named =
        members.map(|member| (nicks::clean(&member.name), member.person.seen_from_elsewhere(&home.network)));
    Some(named.filter(|(name, _)| !name.is_empty()).take(MEMBERS).collect())
}

impl Relay {
    /// Remembers under which name somebody speaks in a channel.
    pub(super) fn remember_name(&mut self, chat: &ChatKey, name: &str, person: PersonKey) {
        if let Some(note) = self.named.spoke(chat, name, person) {
            self.note(note);
        }
    }

    /// Something is to be said here: who it was is known if it is recalled.
    pub(super) fn remember_said(&mut self, post: PostId, by: String) {
        self.said.push_front((post, by));
        self.said.truncate(SAID);
    }

    /// Who said a post here in this run.
    pub(super) fn said_by(&self, post: PostId) -> Option<&str> {
        self.said.iter().find(|(said, _)| *said == post).map(|(_, by)| by.as_str())
    }

    /// Words of a chat elsewhere are said in a channel: its members may be meant there too.
    pub(super) fn remember_home(&mut self, chat: &ChatKey, home: &ChatRef) {
        let (is_old, note) = self.named.came_from(chat, home, Instant::now());
        if let Some(note) = note {
            self.note(note);
        }
        if is_old {
            self.look_up_members(chat.clone(), home.clone());
        }
    }

    fn look_up_members(&mut self, chat: ChatKey, home: ChatRef) {
        let directory = Arc::clone(&self.directory);
        self.work.push(Box::pin(async move {
            let members = members_of(directory, &home).await;
            Done::Members { chat, home, members }
        }));
    }

    /// The members of a chat elsewhere were read; those that were known stay where they cannot be.
    pub(super) fn members_are(&mut self, chat: &ChatKey, home: ChatRef, members: Option<Vec<Name>>) {
        if let Some(members) = members {
            self.named.members_are(chat, home, members, Instant::now());
        }
    }

    /// Whom earlier runs knew by name; who else is where their words came from is looked up.
    pub(super) fn knew(&mut self, named: Named) {
        self.named = named;
        for (chat, home) in self.named.homes() {
            self.look_up_members(chat, home);
        }
    }

    /// Whom a name at the beginning of `text` means; the longest name counts.
    pub(super) fn named(&self, chat: &ChatKey, text: &str) -> Option<(usize, &PersonKey)> {
        self.named.find(chat, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> ChatRef {
        ChatRef { network: "wechat:a".into(), chat: "g".into() }
    }

    #[test]
    fn the_longest_name_counts_and_who_spoke_before_who_is_only_there() {
        let (mut named, chat, now) = (Named::default(), ChatKey::new("#c"), Instant::now());
        named.came_from(&chat, &home(), now);
        let members = vec![("Bo".to_owned(), "m-bo".into()), ("Bo Bei".to_owned(), "m-bei".into())];
        named.members_are(&chat, home(), members, now);
        named.spoke(&chat, "bo", "s-bo".into());
        let find = |text: &str| named.find(&chat, text).map(|(length, person)| (length, person.as_str()));
        assert_eq!(find("bo: hi"), Some((2, "s-bo")));
        assert_eq!(find("BO BEI, hi"), Some((6, "m-bei")));
        assert_eq!(find("bob: hi"), None);
        assert_eq!(named.find(&ChatKey::new("#d"), "bo: hi"), None);
    }

    #[test]
    fn what_is_known_is_written_when_it_is_news_and_read_again() {
        let (mut named, chat, now) = (Named::default(), ChatKey::new("#c"), Instant::now());
        let (is_old, note) = named.came_from(&chat, &home(), now);
        assert!(is_old && note.is_some());
        assert!(named.spoke(&chat, "Bo", "bo".into()).is_some());
        let last = named.spoke(&chat, "Anna", "anna".into()).unwrap();
        assert!(named.spoke(&chat, "Bo", "bo".into()).is_none(), "no news");
        let (is_old, note) = named.came_from(&chat, &home(), now);
        assert!(!is_old && note.is_none(), "no news");
        assert!(named.came_from(&chat, &home(), now + FRESH).0, "read anew after a while");
        let mut named = Named::resume(vec![last, (format!("{NOTE}#d"), Bytes::from_static(b"broken"))]);
        assert_eq!(named.find(&chat, "Bo hi"), Some((2, &"bo".into())));
        assert_eq!(named.homes(), [(chat.clone(), home())]);
        assert_eq!(named.forget_unlinked(&BTreeSet::new()), ["named/#c"]);
        assert_eq!(named.find(&chat, "Bo hi"), None);
    }
}
