//! One chat that several accounts show.
//!
//! Two accounts of one instance in the same group hear the same messages under the same numbers
//! (docs/decisions/0020). Linked with each other or with one channel, each thing would be told twice, and each
//! account would say in the group what the other one heard there. Chats that heard one number are therefore
//! taken for one: whoever hears something first tells it, and of several ways into the group one is taken.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use wxgate_contract::{Body, ChatRef, RemoteId};
use wxgate_store::RouteInput;

use crate::route::{By, Noted};

/// Numbers and texts that are remembered per chat. Chosen: more than one account hears while the other one
/// polls.
const PER_CHAT: usize = 64;
/// How long words that an owner typed are known again by nothing but their text. Chosen: longer than a lane is
/// usually busy. Once they are delivered their number is known; what waits longer may be told twice, if the other
/// account is quicker than our own answer, which is better than somebody else's same words that are swallowed.
const TYPED_AGE: Duration = Duration::from_secs(300);

/// What chats with a namesake in their link lately heard. In memory: which chats are one is learned from the
/// store again at the next start.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    pairs: DashMap<ChatRef, Vec<ChatRef>>,
    heard: DashMap<ChatRef, VecDeque<(RemoteId, By)>>,
    /// What owners typed: it has no number yet when the other account hears it.
    typed: DashMap<ChatRef, VecDeque<Typed>>,
}

/// Words of an owner that have no number yet.
#[derive(Debug)]
struct Typed {
    key: u64,
    at: Instant,
    by: By,
    /// What was typed once is heard once: by this post.
    taken_by: Option<By>,
}

impl Twins {
    /// True for two chats that are one.
    pub(crate) fn are(&self, one: &ChatRef, other: &ChatRef) -> bool {
        self.pairs.get(one).is_some_and(|twins| twins.contains(other))
    }

    pub(crate) fn learn(&self, one: &ChatRef, other: &ChatRef) {
        if self.are(one, other) {
            return;
        }
        tracing::info!(
            one = %one.network,
            other = %other.network,
            "two chats of a link are one: what is said there is told once"
        );
        for (one, other) in [(one, other), (other, one)] {
            self.pairs.entry(one.clone()).or_default().push(other.clone());
        }
    }

    /// Those of a link's chats that may be one with another of them, which is not known.
    pub(crate) fn open<'a>(&self, members: &'a [ChatRef]) -> Vec<&'a ChatRef> {
        let is_open =
            |one: &&ChatRef| members.iter().any(|other| may_be_one(one, other) && !self.are(one, other));
        members.iter().filter(is_open).collect()
    }

    /// Learns which chats are one: those that heard a number that another one heard too.
    pub(crate) fn compare(&self, heard: &[(&ChatRef, HashSet<RemoteId>)]) {
        for (at, (one, numbers)) in heard.iter().enumerate() {
            for (other, others) in heard.iter().skip(at + 1) {
                if may_be_one(one, other) && !numbers.is_disjoint(others) {
                    self.learn(one, other);
                }
            }
        }
    }

    /// True when one of these chats, on another account of the same kind, heard it before. Asked again about the
    /// same post it says the same.
    pub(crate) fn knows<'a>(
        &self,
        input: &RouteInput<'_>,
        linked: impl Iterator<Item = &'a ChatRef>,
        noted: &mut Noted,
    ) -> bool {
        let (chat, ids) = (&input.post.chat, input.native_ids);
        let others: Vec<&ChatRef> = linked.filter(|other| may_be_one(chat, other)).collect();
        if others.is_empty() {
            return false;
        }
        let text = match &input.post.body {
            Body::Text { text } => Some(key(text)),
            _ => None,
        };
        if ids.is_empty() {
            if let Some(key) = text {
                self.note_typed(chat, key, noted.by(chat));
            }
            return false;
        }
        let heard = |other: &ChatRef| {
            self.heard.get(other).is_some_and(|known| known.iter().any(|(id, _)| ids.contains(id)))
        };
        if let Some(other) = others.iter().find(|other| heard(other)) {
            self.learn(chat, other);
            return true;
        }
        let mut twins = others.iter().filter(|other| self.are(chat, other));
        if let Some(key) = text
            && twins.any(|twin| self.take_typed(twin, key, noted))
        {
            return true;
        }
        for id in ids {
            self.note_heard(chat, id, noted.by(chat));
        }
        false
    }

    fn note_typed(&self, chat: &ChatRef, key: u64, by: By) {
        let mut typed = self.typed.entry(chat.clone()).or_default();
        if !typed.iter().any(|known| known.by == by) {
            typed.push_back(Typed { key, at: Instant::now(), by, taken_by: None });
            shorten(&mut typed);
        }
    }

    fn note_heard(&self, chat: &ChatRef, id: &RemoteId, by: By) {
        let mut heard = self.heard.entry(chat.clone()).or_default();
        if !heard.iter().any(|(known, _)| known == id) {
            heard.push_back((id.clone(), by));
            shorten(&mut heard);
        }
    }

    fn take_typed(&self, chat: &ChatRef, key: u64, noted: &mut Noted) -> bool {
        let Some(mut typed) = self.typed.get_mut(chat) else { return false };
        let by = noted.by(chat);
        let is_it = |known: &&mut Typed| {
            let is_free = known.taken_by.as_ref().is_none_or(|taken| *taken == by);
            known.key == key && is_free && known.at.elapsed() <= TYPED_AGE
        };
        let Some(known) = typed.iter_mut().find(is_it) else { return false };
        known.taken_by = Some(by);
        true
    }

    /// What an owner typed was delivered: it is known by its number from now on.
    pub(crate) fn numbered(&self, chat: &ChatRef, by: &By, id: &RemoteId) {
        let is_typed = self.typed.get(chat).is_some_and(|typed| typed.iter().any(|known| known.by == *by));
        if is_typed {
            // In this order: whoever hears it in this moment finds the one or the other.
            self.note_heard(chat, id, by.clone());
            if let Some(mut typed) = self.typed.get_mut(chat) {
                typed.retain(|known| known.by != *by);
            }
        }
    }

    /// Nothing came of a post: what it left here goes, and what it took comes back.
    pub(crate) fn forget(&self, chat: &ChatRef, by: &By) {
        if let Some(mut heard) = self.heard.get_mut(chat) {
            heard.retain(|(_, known)| known != by);
        }
        if let Some(mut typed) = self.typed.get_mut(chat) {
            typed.retain(|known| known.by != *by);
            typed.iter_mut().filter(|known| known.taken_by.as_ref() == Some(by)).for_each(|known| {
                known.taken_by = None;
            });
        }
    }
}

/// True for chats of two networks of one kind.
pub(crate) fn may_be_one(one: &ChatRef, other: &ChatRef) -> bool {
    one.network != other.network && one.network.kind() == other.network.kind()
}

fn shorten<T>(recent: &mut VecDeque<T>) {
    while recent.len() > PER_CHAT {
        recent.pop_front();
    }
}

/// A number for a text, so that no text is kept.
fn key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.trim_end().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(network: &str, chat: &str) -> ChatRef {
        ChatRef { network: network.into(), chat: chat.into() }
    }

    #[test]
    fn only_chats_that_may_be_one_with_another_are_read_and_only_until_that_is_known() {
        let twins = Twins::default();
        let mut members: Vec<ChatRef> = (0..50).map(|n| chat(&format!("net:{n}"), "g")).collect();
        // No account is a twin of a channel, nor of another chat of its own.
        assert_eq!(
            twins.open(&[chat("net:1", "g"), chat("far:x", "#g"), chat("net:1", "h")]),
            Vec::<&ChatRef>::new()
        );
        members.push(chat("far:x", "#g"));
        let open = twins.open(&members);
        assert_eq!(open, members.iter().take(50).collect::<Vec<_>>(), "each is read once");
        // All but the last one heard the same.
        let number = |n: usize| HashSet::from([RemoteId::from(if n < 49 { "1" } else { "2" })]);
        let heard: Vec<_> = open.into_iter().enumerate().map(|(n, chat)| (chat, number(n))).collect();
        twins.compare(&heard);
        assert!(twins.are(&members[0], &members[48]) && twins.are(&members[48], &members[0]));
        assert!(!twins.are(&members[0], &members[49]));
        assert_eq!(twins.open(&members[..49]), Vec::<&ChatRef>::new(), "it is known of all of them");
    }
}
