//! Our own words, heard again.
//!
//! Two accounts of one instance may be in the same group, which each of them shows as a chat of its own.
//! Whatever the one says there for somebody else, the other hears as somebody's words. Linked with each
//! other, or with the same channel, they would say it to each other for ever. What a chat hears is therefore
//! compared with what was lately said, with a name in front, into the other members of its link; it stays in
//! its own timeline and goes no further.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use dashmap::DashMap;
use wxgate_contract::{Body, ChatRef, Say};

use crate::route::By;

/// Texts that are remembered per chat. Chosen: more than a lane has in hand while an account is busy; twice as
/// many would only remember longer.
const PER_CHAT: usize = 64;

/// What was lately said for others, by the chat that it was said in. In memory: after a restart one round of an
/// echo may pass before it is known again.
#[derive(Debug, Default)]
pub(crate) struct Echoes(DashMap<ChatRef, VecDeque<(u64, By)>>);

impl Echoes {
    /// Something is going to be said in a chat under somebody else's name.
    pub(crate) fn said(&self, chat: &ChatRef, say: &Say, by: By) {
        let (name, Body::Text { text }) = (say.author_prefix.as_str(), &say.post.body) else { return };
        if name.is_empty() {
            return;
        }
        let mut recent = self.0.entry(chat.clone()).or_default();
        let said = (key(&format!("{name}: {text}")), by);
        if !recent.contains(&said) {
            recent.push_back(said);
        }
        if recent.len() > PER_CHAT {
            recent.pop_front();
        }
    }

    /// It is not going to be said: nothing came of the post.
    pub(crate) fn forget(&self, chat: &ChatRef, by: &By) {
        if let Some(mut recent) = self.0.get_mut(chat) {
            recent.retain(|(_, known)| known != by);
        }
    }

    /// True when a text is what was lately said in one of these chats.
    pub(crate) fn knows<'a>(&self, body: &Body, mut chats: impl Iterator<Item = &'a ChatRef>) -> bool {
        let Body::Text { text } = body else { return false };
        let wanted = key(text);
        chats.any(|chat| {
            self.0.get(chat).is_some_and(|recent| recent.iter().any(|(known, _)| *known == wanted))
        })
    }
}

/// A number for a text, so that no text is kept.
fn key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Trailing spaces are lost on some ways.
    text.trim_end().hash(&mut hasher);
    hasher.finish()
}
