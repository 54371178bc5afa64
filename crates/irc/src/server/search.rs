//! SEARCH in what was said, and the same in plain words through the service. Source: soju.im/search.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{Author, Body, ChatKey, Fate, HistoryRange, TimelineItem, Timestamp};

use super::commands::Turn;
use super::history::Fault;
use super::inbound::Target;
use super::outbound::Rendered;
use super::registry::ClientId;
use super::room::Room;
use super::roster::PersonIx;
use super::session::Session;
use super::stamp;
use crate::wire::casemap::{fold, is_same};
use crate::wire::tags::Tags;

/// Messages of one answer without and at most with a limit of the client's. Chosen.
const MESSAGES: usize = 50;
const MAX_MESSAGES: usize = 500;
/// Items looked at, and time taken, for one answer: the session waits meanwhile. Chosen.
const MAX_SCANNED: usize = 50_000;
const PATIENCE: Duration = Duration::from_secs(2);
/// Items read at once.
const PAGE: usize = 500;
/// Lines that the service shows.
const SERVICE_LINES: usize = 20;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sought {
    /// The chat.
    pub(super) place: Option<String>,
    /// The nick.
    pub(super) from: Option<String>,
    pub(super) after: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
    /// Folded; empty fits everything.
    pub(super) text: String,
    /// How much of it is wanted.
    pub(super) room: Room,
}

impl Sought {
    /// `from=nick;in=#chat;after=time;before=time;text=words;limit=n`; what is not understood otherwise. The answer
    /// is bounded by bytes besides.
    fn parse(attributes: &str, max_bytes: usize) -> Result<Self, String> {
        let mut sought = Self { room: Room { count: MESSAGES, bytes: max_bytes }, ..Self::default() };
        let tags = Tags::parse(attributes);
        for (key, raw) in tags.iter() {
            let value = crate::wire::tags::unescape(raw);
            let odd = || format!("{key}={raw}");
            match key {
                "in" if !value.is_empty() => sought.place = Some(value.into_owned()),
                "from" if !value.is_empty() => sought.from = Some(value.into_owned()),
                "after" => sought.after = Some(stamp::parse(&value).ok_or_else(odd)?),
                "before" => sought.before = Some(stamp::parse(&value).ok_or_else(odd)?),
                "text" => sought.text = fold(&value),
                "limit" => sought.room.count = value.parse().map_err(|_| odd())?,
                _ => return Err(odd()),
            }
        }
        sought.room.count = sought.room.count.clamp(1, MAX_MESSAGES);
        Ok(sought)
    }

    pub(super) fn is_then(&self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at <= before)
    }

    pub(super) fn is_in<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        self.text.is_empty() || texts.any(|text| fold(text).contains(&self.text))
    }

    /// Keeps as many as there is room for, from a time on the first, else the last ones; true when there is room for
    /// no more.
    pub(super) fn trim<T>(&self, found: &mut VecDeque<T>, bytes: impl Fn(&T) -> usize) -> bool {
        let all = found.len();
        let held = match self.after {
            Some(_) => self.room.holds(found.iter().map(bytes)),
            None => self.room.holds(found.iter().rev().map(bytes)),
        };
        match self.after {
            Some(_) => found.truncate(held),
            None => drop(found.drain(..all - held)),
        }
        held < all || held >= self.room.count
    }
}

/// Whose words are looked for.
enum Speaker {
    Anybody,
    Owner,
    Person(PersonIx),
    Nobody,
}

impl Session {
    /// `SEARCH attributes`.
    pub(super) async fn search(&mut self, turn: &Turn<'_>) {
        let id = turn.client;
        let sought = match Sought::parse(turn.param(0), self.shared.config.limits.answer_bytes()) {
            Ok(sought) => sought,
            Err(odd) => {
                return self.fails(
                    id,
                    "SEARCH",
                    "INVALID_PARAMS",
                    &[&odd],
                    "This attribute is not understood",
                );
            }
        };
        let found = match self.find(id, &sought).await {
            Ok(found) => found,
            Err((code, text)) => return self.fails(id, "SEARCH", code, &[], &text),
        };
        let room = sought.room.behind(found.iter().map(|(_, rendered)| rendered.bytes()));
        let rest = Sought { room, ..sought };
        let local = self.on_floor(id, |floor| floor.search(&rest)).unwrap_or_default();
        let server = self.shared.config.server_name.clone();
        let with_batch = self.clients.get(&id).is_some_and(|client| client.has(super::caps::Caps::BATCH));
        let reference = with_batch.then(|| format!("s{}", self.shared.next_number()));
        if let Some(reference) = &reference {
            self.to(id, &format!(":{server} BATCH +{reference} soju.im/search"));
        }
        for (_, rendered) in &found {
            self.give_in_batch(id, rendered, reference.as_deref());
        }
        let extra = reference.as_ref().map(|reference| format!("batch={reference}")).unwrap_or_default();
        if let Some(client) = self.clients.get_mut(&id) {
            let caps = client.caps();
            let lines = local.iter().flat_map(|entry| entry.lines(caps, &extra));
            lines.for_each(|line| client.line(&line));
        }
        if let Some(reference) = reference {
            self.to(id, &format!(":{server} BATCH -{reference}"));
        }
    }

    /// What fits of the account's timeline, oldest first.
    async fn find(
        &mut self,
        id: ClientId,
        sought: &Sought,
    ) -> Result<VecDeque<(TimelineItem, Rendered)>, Fault> {
        let mut found = VecDeque::new();
        let Some(account) = self.account().cloned() else { return Ok(found) };
        let chat: Option<ChatKey> = match &sought.place {
            None => None,
            Some(name) => match self.target(name).and_then(|target| self.chat_of(target)) {
                Some(chat) => Some(chat),
                None => return Ok(found),
            },
        };
        let speaker = self.speaker(sought.from.as_deref());
        let until = Instant::now() + PATIENCE;
        let (mut scanned, mut before) = (0, i64::MAX);
        while scanned < MAX_SCANNED && Instant::now() < until {
            let range = HistoryRange::Before(before);
            let read = self.shared.directory.history(&account, chat.as_ref(), range, PAGE).await;
            let page = read.map_err(|error| ("INTERNAL_ERROR", format!("Not readable now: {error}")))?;
            let Some(first) = page.first() else { break };
            let is_last = page.len() < PAGE || sought.after.is_some_and(|after| first.post.at < after);
            before = first.seq;
            scanned += page.len();
            for item in page.into_iter().rev() {
                if let Some(rendered) = self.fitting_item(id, &item, sought, &speaker).await {
                    found.push_front((item, rendered));
                }
            }
            let is_full = sought.trim(&mut found, |(_, rendered)| rendered.bytes());
            // From a time on it is the oldest ones that are wanted, which are still to be read.
            if is_last || (is_full && sought.after.is_none()) {
                break;
            }
        }
        Ok(found)
    }

    fn speaker(&self, nick: Option<&str>) -> Speaker {
        let Some(nick) = nick else { return Speaker::Anybody };
        if is_same(nick, &self.nick) {
            return Speaker::Owner;
        }
        match self.target(nick) {
            Some(Target::Person(ix)) => Speaker::Person(ix),
            _ => Speaker::Nobody,
        }
    }

    async fn fitting_item(
        &mut self,
        id: ClientId,
        item: &TimelineItem,
        sought: &Sought,
        speaker: &Speaker,
    ) -> Option<Rendered> {
        let is_message = !matches!(item.post.body, Body::Recall { .. } | Body::Event { .. });
        let is_theirs = match (speaker, &item.post.author) {
            (Speaker::Anybody, _) | (Speaker::Owner, Author::Owner) => true,
            (Speaker::Person(ix), Author::Person { person, .. }) => self.roster.by_key(person) == Some(*ix),
            _ => false,
        };
        if !is_message || !is_theirs || item.fate != Fate::Said || !sought.is_then(item.post.at) {
            return None;
        }
        let rendered = self.of_history(id, item).await?;
        sought.is_in(rendered.texts()).then_some(rendered)
    }

    /// `find words`, said to the service, or `find #group words`.
    pub(super) async fn find_for_service(&mut self, id: ClientId, words: &[&str]) {
        let (place, words) = match words {
            [place, rest @ ..] if !rest.is_empty() && self.target(place).is_some() => (Some(*place), rest),
            words => (None, words),
        };
        if words.is_empty() {
            return self.service_says(id, "say: find [#group or nick] <words>");
        }
        let room = Room { count: SERVICE_LINES, bytes: self.shared.config.limits.answer_bytes() };
        let (place, text) = (place.map(str::to_owned), fold(&words.join(" ")));
        let sought = Sought { place, text, room, ..Sought::default() };
        let found = match self.find(id, &sought).await {
            Ok(found) => found,
            Err((_, text)) => return self.service_says(id, &text),
        };
        if found.is_empty() {
            return self.service_says(id, "nothing was said with these words");
        }
        for (item, rendered) in found {
            let name = self.window_name(&item.post.chat.chat);
            let text = rendered.texts().next().unwrap_or_default().to_owned();
            let (at, who) = (stamp::short(item.post.at), rendered.nick());
            self.service_says(id, &format!("{at} {name} <{who}> {text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let sought = Sought::parse("from=张三;in=#a;text=Two\\sWords;limit=5", 9).unwrap();
        assert_eq!((sought.from.as_deref(), sought.place.as_deref()), (Some("张三"), Some("#a")));
        assert_eq!((sought.text.as_str(), sought.room), ("two words", Room { count: 5, bytes: 9 }));
        assert_eq!(Sought::parse("", 9).unwrap().room.count, MESSAGES);
        assert_eq!(Sought::parse("limit=0", 9).unwrap().room.count, 1);
        for odd in ["after=yesterday", "limit=x", "colour=red", "in="] {
            assert_eq!(Sought::parse(odd, 9).unwrap_err(), odd.to_owned(), "{odd}");
        }
    }
}
