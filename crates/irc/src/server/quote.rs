//! Earlier messages, by the ids that clients know them by: `msgid` tags, and short ids for people
//! who type. Source: the IRC notes, section 5; IRCv3 client-tags `+draft/reply`.

use wxgate_contract::{Author, Body, ChatKey, HistoryRange, Landmark, PostId, Quote, TimelineItem};

use super::inbound::Target;
use super::outbound::{Giving, Redacted, excerpt};
use super::registry::ClientId;
use super::session::Session;

/// Messages of a chat whose short ids are valid. Source: the IRC notes, section 5.
const SHORT_IDS: usize = 1000;
/// All short ids: four letters.
const SHORT_COUNT: i64 = 26 * 26 * 26 * 26;
/// Spreads neighbours over all letters; it has no factor in common with [`SHORT_COUNT`], so two
/// posts share a short id only when their ids differ by a multiple of it. Chosen.
const SPREAD: i64 = 182_059;
/// Lines of `show ids` without and at most with a number.
const SHOWN_IDS: usize = 20;
const MAX_SHOWN_IDS: usize = 200;

/// The post of a `msgid` of ours; further pieces of one message end with their number.
pub(super) fn post_of(msgid: &str) -> Option<PostId> {
    let number = msgid.strip_prefix("wx")?;
    let number = number.split_once('-').map_or(number, |(number, _)| number);
    number.parse().ok().map(PostId)
}

/// Four letters that stand for a post among its neighbours.
fn short_id(post: PostId) -> String {
    let mut rest = post.0.rem_euclid(SHORT_COUNT) * SPREAD % SHORT_COUNT;
    (0..4)
        .map(|_| {
            let letter = char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0));
            rest /= 26;
            letter
        })
        .collect()
}

/// `>xxxx text` as the short id and the text.
fn short_quote(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = text.strip_prefix('>')?.split_once(' ')?;
    let is_id = id.len() == 4 && id.bytes().all(|b| b.is_ascii_lowercase());
    (is_id && !rest.trim().is_empty()).then(|| (id, rest.trim_start()))
}

impl Session {
    /// One post of a chat, as its timeline has it.
    pub(super) async fn item(&self, chat: &ChatKey, post: PostId) -> Option<TimelineItem> {
        let chat = self.chat_ref(chat)?;
        let directory = &self.shared.directory;
        let seq = directory.locate(&chat, Landmark::Post(post)).await.ok()??;
        let range = HistoryRange::After(seq - 1);
        let found = directory.history(&chat.network, Some(&chat.chat), range, 1).await.ok()?;
        found.into_iter().next().filter(|item| item.post_id == post)
    }

    /// What a typed line answers to, and the line without its short id.
    pub(super) async fn quoted<'a>(
        &self,
        chat: &ChatKey,
        text: &'a str,
        reply: Option<&str>,
    ) -> (Option<Quote>, &'a str) {
        if let Some(post) = reply.and_then(post_of) {
            return (self.item(chat, post).await.map(|item| self.quote_of(&item)), text);
        }
        // What looks like a short id and is none is what somebody wrote.
        if let Some((id, rest)) = short_quote(text)
            && let Some(item) = self.by_short_id(chat, id).await
        {
            return (Some(self.quote_of(&item)), rest);
        }
        (None, text)
    }

    /// True when a line begins with the short id of a message in that chat.
    pub(super) async fn answers_by_id(&self, chat: &ChatKey, text: &str) -> bool {
        match short_quote(text) {
            Some((id, _)) => self.by_short_id(chat, id).await.is_some(),
            None => false,
        }
    }

    async fn by_short_id(&self, chat: &ChatKey, id: &str) -> Option<TimelineItem> {
        let account = self.account()?;
        let range = HistoryRange::Before(i64::MAX);
        let recent = self.shared.directory.history(account, Some(chat), range, SHORT_IDS).await.ok()?;
        recent.into_iter().rev().find(|item| short_id(item.post_id) == id)
    }

    fn quote_of(&self, item: &TimelineItem) -> Quote {
        let author_name = match &item.post.author {
            Author::Person { person, name } => {
                let known = self.roster.by_key(person).and_then(|ix| self.roster.person(ix));
                known.map_or_else(|| name.clone(), |person| person.realname.clone())
            }
            Author::Owner => self.nick.clone(),
            Author::Network | Author::Gateway => String::new(),
        };
        let target = item.native_id.clone().unwrap_or_else(|| item.post.remote_id.clone());
        Quote { target: Some(target), author_name, excerpt: Self::first_words(item) }
    }

    /// What a message begins with; empty for what has no words.
    pub(super) fn first_words(item: &TimelineItem) -> String {
        match &item.post.body {
            Body::Text { text } | Body::Action { text } => excerpt(text),
            Body::Attachment(file) if !file.name.is_empty() => format!("[{}]", file.name),
            Body::Card(card) => excerpt(&card.title),
            _ => String::new(),
        }
    }

    /// The last lines of a chat with their short ids, for clients that show no `msgid`.
    pub(super) async fn show_ids(&mut self, id: ClientId, name: &str, count: Option<&str>) {
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(SHOWN_IDS).clamp(1, MAX_SHOWN_IDS);
        let target = self.target(name);
        let (Some(chat), Some(account)) = (target.and_then(|t| self.chat_of(t)), self.account().cloned())
        else {
            return self.service_says(id, &format!("there is no chat {name}"));
        };
        let range = HistoryRange::Before(i64::MAX);
        let page = match self.shared.directory.history(&account, Some(&chat), range, count).await {
            Ok(page) => page,
            Err(error) => return self.service_says(id, &format!("the lines cannot be read: {error}")),
        };
        for item in &page {
            let (name, text) = match &item.post.body {
                _ if item.is_recalled && !self.keeps_recalled() => continue,
                Body::Recall { .. } | Body::Event { .. } => continue,
                _ => {
                    let quote = self.quote_of(item);
                    (quote.author_name, quote.excerpt)
                }
            };
            self.service_says(id, &format!("{} {name}: {text}", short_id(item.post_id)));
        }
        let hint = if page.is_empty() {
            "nothing was said there yet".to_owned()
        } else {
            let example = page.last().map_or_else(String::new, |item| short_id(item.post_id));
            format!("to answer to one of them, begin your line with its id: >{example} text")
        };
        self.service_says(id, &hint);
    }

    /// How a message was shown that is taken back now.
    pub(super) async fn redacted(&mut self, chat: &ChatKey, post: PostId) -> Redacted {
        let mut redacted = Redacted { post, pieces: 1, is_one: true };
        let Some(mut item) = self.item(chat, post).await else { return redacted };
        item.is_recalled = false;
        let Some(window) = self.window(&item).await else { return redacted };
        if let Some(rendered) = self.render(&item, window, super::outbound::Replay(false)) {
            redacted.pieces = rendered.pieces().max(1);
            redacted.is_one = rendered.has_parts();
        }
        redacted
    }

    pub(super) fn chat_of(&self, target: Target) -> Option<ChatKey> {
        match target {
            Target::Channel(ix) => self.roster.channel(ix).map(|channel| channel.chat.clone()),
            Target::Person(ix) => self.roster.person(ix).map(super::roster::Person::private_chat),
        }
    }

    /// Gives one item with an outer batch around it.
    pub(super) fn give_in_batch(
        &mut self,
        id: ClientId,
        rendered: &super::outbound::Rendered,
        batch: Option<&str>,
    ) {
        self.give_item(id, rendered, Giving { batch, is_replay: true, label: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn short_ids_of_neighbours_differ() {
        let ids: HashSet<String> = (0..20_000).map(|n| short_id(PostId(1_000_000_000 + n))).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.len() == 4 && id.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn ids_are_read_back() {
        assert_eq!(post_of("wx12"), Some(PostId(12)));
        assert_eq!(post_of("wx12-3"), Some(PostId(12)));
        assert_eq!(post_of("12"), None);
        assert_eq!(post_of("wxx"), None);
        assert_eq!(short_quote(">abcd hi there"), Some(("abcd", "hi there")));
        assert_eq!(short_quote("> abcd hi"), None);
        assert_eq!(short_quote(">abc hi"), None);
        assert_eq!(short_quote(">abcd "), None);
    }
}
