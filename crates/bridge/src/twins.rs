//! One chat that several accounts show.
//!
//! Two accounts of one instance in the same group hear the same messages under the same numbers
//! (docs/decisions/0020). Linked with each other or with one channel, each thing would be told twice, and each
//! account would say in the group what the other one heard there. Chats that heard one number are therefore
//! taken for one: whoever hears something first tells it, and of several ways into the group one is taken.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use dashmap::DashMap;
use wxgate_contract::{Body, ChatRef, RemoteId};

/// Numbers and texts that are remembered per chat. Chosen: more than one account hears while the other one
/// polls.
const PER_CHAT: usize = 64;

/// What chats with a namesake in their link lately heard. In memory: which chats are one is learned from the
/// store again at the next start.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    pairs: DashMap<ChatRef, Vec<ChatRef>>,
    heard: DashMap<ChatRef, VecDeque<RemoteId>>,
    /// What owners typed: it has no number yet when the other account hears it.
    typed: DashMap<ChatRef, VecDeque<u64>>,
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

    /// True when one of these chats, on another account of the same kind, heard it before.
    pub(crate) fn knows<'a>(
        &self,
        chat: &ChatRef,
        ids: &[RemoteId],
        body: &Body,
        linked: impl Iterator<Item = &'a ChatRef>,
    ) -> bool {
        let others: Vec<&ChatRef> = linked.filter(|other| may_be_one(chat, other)).collect();
        if others.is_empty() {
            return false;
        }
        if ids.is_empty() {
            if let Body::Text { text } = body {
                push(&self.typed, chat, key(text));
            }
            return false;
        }
        let heard = |other: &ChatRef| {
            self.heard.get(other).is_some_and(|known| known.iter().any(|id| ids.contains(id)))
        };
        if let Some(other) = others.iter().find(|other| heard(other)) {
            self.learn(chat, other);
            return true;
        }
        let twins = others.iter().filter(|other| self.are(chat, other));
        if let Body::Text { text } = body
            && twins.into_iter().any(|twin| self.take_typed(twin, key(text)))
        {
            return true;
        }
        for id in ids {
            push(&self.heard, chat, id.clone());
        }
        false
    }

    /// What was typed once is heard once.
    fn take_typed(&self, chat: &ChatRef, key: u64) -> bool {
        let Some(mut typed) = self.typed.get_mut(chat) else { return false };
        let at = typed.iter().position(|known| *known == key);
        at.and_then(|at| typed.remove(at)).is_some()
    }
}

/// True for chats of two networks of one kind.
pub(crate) fn may_be_one(one: &ChatRef, other: &ChatRef) -> bool {
    one.network != other.network && one.network.kind() == other.network.kind()
}

fn push<T>(recent: &DashMap<ChatRef, VecDeque<T>>, chat: &ChatRef, item: T) {
    let mut recent = recent.entry(chat.clone()).or_default();
    recent.push_back(item);
    if recent.len() > PER_CHAT {
        recent.pop_front();
    }
}

/// A number for a text, so that no text is kept.
fn key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.trim_end().hash(&mut hasher);
    hasher.finish()
}
