//! Our own words, heard again.
//!
//! Two accounts of one instance may be in the same group, which each of them shows as a chat of its own.
//! Whatever the one says there for somebody else, the other hears as somebody's words. Linked with each
//! other, or with the same channel, they would say it to each other for ever. What a chat hears is therefore
//! compared with what was lately said, with a name in front, by other accounts of its link; it stays in its own
//! timeline and goes no further. Each account hears once what was said once: the same words a second time are
//! somebody's own.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use wxgate_contract::{Body, ChatRef, Say};
use wxgate_store::RouteInput;

use crate::route::{By, Noted};
use crate::twins::may_be_one;

/// Texts that are remembered per chat. Chosen: more than a lane has in hand while an account is busy; twice as
/// many would only remember longer.
const PER_CHAT: usize = 64;

/// How long it is known again, from when it last went to the account. Chosen: longer than an account that takes turns
/// has it in hand, or a loop would begin; whoever says the same later says it themselves.
const AGE: Duration = Duration::from_secs(3600);

/// What was lately said for others, by the chat that it was said in. In memory: after a restart one round of an
/// echo may pass before it is known again.
#[derive(Debug, Default)]
pub(crate) struct Echoes(DashMap<ChatRef, VecDeque<Said>>);

/// Words that were said once under somebody else's name.
#[derive(Debug)]
struct Said {
    key: u64,
    at: Instant,
    by: By,
    /// The posts that were them, heard again: one for each account that hears.
    heard: Vec<By>,
}

impl Echoes {
    /// Something is going to be said in a chat of an account under somebody else's name.
    pub(crate) fn said(&self, chat: &ChatRef, say: &Say, by: By) {
        let Some(key) = key_of(say) else { return };
        let mut recent = self.0.entry(chat.clone()).or_default();
        if !recent.iter().any(|said| said.key == key && said.by == by) {
            recent.push_back(Said { key, at: Instant::now(), by, heard: Vec::new() });
        }
        if recent.len() > PER_CHAT {
            recent.pop_front();
        }
    }

    /// It goes to the account now: it may have waited for hours, and can be heard from here on.
    pub(crate) fn goes(&self, chat: &ChatRef, say: &Say) {
        let (Some(key), Some(mut recent)) = (key_of(say), self.0.get_mut(chat)) else { return };
        let is_it = |said: &&mut Said| said.key == key && said.by.id == say.post.remote_id;
        recent.iter_mut().filter(is_it).for_each(|said| said.at = Instant::now());
    }

    /// Nothing came of a post: it is not going to be said, and what it was taken for is not heard yet.
    pub(crate) fn forget(&self, chat: &ChatRef, by: &By) {
        if let Some(mut recent) = self.0.get_mut(chat) {
            recent.retain(|said| said.by != *by);
            recent.iter_mut().for_each(|said| said.heard.retain(|known| known != by));
        }
    }

    /// True when a post is what another account lately said in one of these chats. Asked again about the same post
    /// it says the same.
    pub(crate) fn knows<'a>(
        &self,
        input: &RouteInput<'_>,
        linked: impl Iterator<Item = &'a ChatRef>,
        noted: &mut Noted,
    ) -> bool {
        let Body::Text { text } = &input.post.body else { return false };
        // What was typed in a face has no number: no account heard it.
        if input.native_ids.is_empty() {
            return false;
        }
        let wanted = key(text);
        let mut others = linked.filter(|other| may_be_one(&input.post.chat, other));
        others.any(|other| self.take(other, wanted, noted))
    }

    fn take(&self, chat: &ChatRef, wanted: u64, noted: &mut Noted) -> bool {
        let Some(mut recent) = self.0.get_mut(chat) else { return false };
        let by = noted.by(chat);
        let is_free = |said: &Said| said.heard.iter().all(|known| known.origin != by.origin || *known == by);
        let is_it = |said: &&mut Said| said.key == wanted && said.at.elapsed() <= AGE && is_free(said);
        let Some(said) = recent.iter_mut().find(is_it) else { return false };
        if !said.heard.contains(&by) {
            said.heard.push(by);
        }
        true
    }
}

/// The number of what is said under somebody else's name.
fn key_of(say: &Say) -> Option<u64> {
    let (name, Body::Text { text }) = (say.author_prefix.as_str(), &say.post.body) else { return None };
    (!name.is_empty()).then(|| key(&format!("{name}: {text}")))
}

/// A number for a text, so that no text is kept.
fn key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Trailing spaces are lost on some ways.
    text.trim_end().hash(&mut hasher);
    hasher.finish()
}
