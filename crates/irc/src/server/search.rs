//! SEARCH in what was said, and the same in plain words through the service. Source: soju.im/search.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{Author, Body, ChatKey, Fate, HistoryRange, NetworkId, TimelineItem, Timestamp};

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
/// Time taken for one answer: the session waits meanwhile. Chosen.
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

/// What was found, oldest first.
type Found = VecDeque<(TimelineItem, Rendered)>;

/// How far it was looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Everywhere, or until there was room for no more.
    Whole,
    /// Up to what was said then; the rest would have taken too long.
    Until(Timestamp),
}

/// Where it is looked.
#[derive(Clone, Copy)]
struct Place<'a> {
    account: &'a NetworkId,
    chat: Option<&'a ChatKey>,
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
        let (found, reach) = match self.find(id, &sought).await {
            Ok(found) => found,
            Err((code, text)) => return self.fails(id, "SEARCH", code, &[], &text),
        };
        let room = sought.room.behind(found.iter().map(|(_, rendered)| rendered.bytes()));
        let rest = Sought { room, ..sought };
        let local = self.on_floor(id, |floor| floor.search(&rest)).unwrap_or_default();
        let (is_empty, is_forward) = (found.is_empty() && local.is_empty(), rest.after.is_some());
        if let (Reach::Until(at), true) = (reach, is_empty) {
            return self.tell_reach(id, "FAIL", at, is_forward);
        }
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
        if let Reach::Until(at) = reach {
            self.tell_reach(id, "WARN", at, is_forward);
        }
    }

    /// An answer that ends early says so: what is not in it may have been said all the same.
    fn tell_reach(&mut self, id: ClientId, kind: &str, at: Timestamp, is_forward: bool) {
        let (server, at) = (&self.shared.config.server_name, stamp::server_time(at));
        let (word, side) = if is_forward { ("after", "later") } else { ("before", "earlier") };
        let text = format!("Nothing {side} was looked at: go on with {word}={at}");
        let line = format!(":{server} {kind} SEARCH INCOMPLETE {word}={at} :{text}");
        self.to(id, &line);
    }

    /// What fits of the account's timeline, oldest first, and how far it was looked at.
    async fn find(&mut self, id: ClientId, sought: &Sought) -> Result<(Found, Reach), Fault> {
        let mut found = Found::new();
        let Some(account) = self.account().cloned() else { return Ok((found, Reach::Whole)) };
        let chat: Option<ChatKey> = match &sought.place {
            None => None,
            Some(name) => match self.target(name).and_then(|target| self.chat_of(target)) {
                Some(chat) => Some(chat),
                None => return Ok((found, Reach::Whole)),
            },
        };
        let speaker = self.speaker(sought.from.as_deref());
        let until = Instant::now() + PATIENCE;
        let place = Place { account: &account, chat: chat.as_ref() };
        let mut range = self.begin(place, sought).await?;
        let (mut scanned, mut reach) = (0, None);
        while scanned < self.shared.config.limits.searched_items && Instant::now() < until {
            let mut page = self.page(place, range, PAGE).await?;
            scanned += page.len();
            let is_last = page.len() < PAGE;
            // In the order in which it is looked at.
            if matches!(range, HistoryRange::Before(_)) {
                page.reverse();
            }
            let Some(last) = page.last().map(|item| (item.seq, item.post.at)) else {
                return Ok((found, Reach::Whole));
            };
            for item in page {
                if let Some(rendered) = self.fitting_item(id, &item, sought, &speaker).await {
                    match range {
                        HistoryRange::Before(_) => found.push_front((item, rendered)),
                        HistoryRange::After(_) => found.push_back((item, rendered)),
                    }
                }
            }
            let is_full = sought.trim(&mut found, |(_, rendered)| rendered.bytes());
            let is_past = match range {
                HistoryRange::Before(_) => false,
                HistoryRange::After(_) => sought.before.is_some_and(|before| last.1 > before),
            };
            if is_last || is_full || is_past {
                return Ok((found, Reach::Whole));
            }
            reach = Some(last.1);
            range = match range {
                HistoryRange::Before(_) => HistoryRange::Before(last.0),
                HistoryRange::After(_) => HistoryRange::After(last.0),
            };
        }
        Ok((found, reach.map_or(Reach::Whole, Reach::Until)))
    }

    /// Where to begin: from a time on it is the oldest ones that are wanted, else the newest.
    async fn begin(&self, place: Place<'_>, sought: &Sought) -> Result<HistoryRange, Fault> {
        Ok(match (sought.after, sought.before) {
            (Some(after), _) => HistoryRange::After(self.first_since(place, after).await? - 1),
            (None, Some(before)) => {
                HistoryRange::Before(self.first_since(place, Timestamp(before.ms().saturating_add(1))).await?)
            }
            (None, None) => HistoryRange::Before(i64::MAX),
        })
    }

    /// The place of the first item at this time or later, behind the last one where there is none. Times are taken to
    /// grow along the timeline, as [`Directory::locate`] takes them, which knows single chats only.
    ///
    /// [`Directory::locate`]: wxgate_contract::Directory::locate
    async fn first_since(&self, place: Place<'_>, at: Timestamp) -> Result<i64, Fault> {
        let newest = self.page(place, HistoryRange::Before(i64::MAX), 1).await?;
        let Some(newest) = newest.first().filter(|item| item.post.at >= at) else { return Ok(i64::MAX) };
        // All before `low` is earlier; at `high` it is that time or later.
        let (mut low, mut high) = (0, newest.seq);
        while low < high {
            let middle = low.midpoint(high);
            // The first at the middle or behind it.
            match self.page(place, HistoryRange::After(middle.saturating_sub(1)), 1).await?.first() {
                Some(item) if item.post.at < at => low = item.seq + 1,
                _ => high = middle,
            }
        }
        Ok(high)
    }

    async fn page(
        &self,
        place: Place<'_>,
        range: HistoryRange,
        limit: usize,
    ) -> Result<Vec<TimelineItem>, Fault> {
        let read = self.shared.directory.history(place.account, place.chat, range, limit).await;
        read.map_err(|error| ("INTERNAL_ERROR", format!("Not readable now: {error}")))
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

    /// `find words`, said to the service, or `find #group words`, or either with `before date` behind it.
    pub(super) async fn find_for_service(&mut self, id: ClientId, words: &[&str]) {
        let (before, words) = match words {
            [rest @ .., "before", date] if !rest.is_empty() && day(date).is_some() => (day(date), rest),
            words => (None, words),
        };
        let (place, words) = match words {
            [place, rest @ ..] if !rest.is_empty() && self.target(place).is_some() => (Some(*place), rest),
            words => (None, words),
        };
        if words.is_empty() {
            return self.service_says(id, "say: find [#group or nick] <words> [before <date>]");
        }
        let room = Room { count: SERVICE_LINES, bytes: self.shared.config.limits.answer_bytes() };
        let said = place.into_iter().chain(words.iter().copied()).collect::<Vec<_>>().join(" ");
        let (place, text) = (place.map(str::to_owned), fold(&words.join(" ")));
        let sought = Sought { place, text, room, before, ..Sought::default() };
        let (found, reach) = match self.find(id, &sought).await {
            Ok(found) => found,
            Err((_, text)) => return self.service_says(id, &text),
        };
        match reach {
            Reach::Until(at) => {
                let at = stamp::server_time(at);
                self.service_says(
                    id,
                    &format!("I looked back to {at}; to go on say: find {said} before {at}"),
                );
            }
            Reach::Whole if found.is_empty() => {
                return self.service_says(id, "nothing was said with these words");
            }
            Reach::Whole => {}
        }
        for (item, rendered) in found {
            let name = self.window_name(&item.post.chat.chat);
            let text = rendered.texts().next().unwrap_or_default().to_owned();
            let (at, who) = (stamp::short(item.post.at), rendered.nick());
            self.service_says(id, &format!("{at} {name} <{who}> {text}"));
        }
    }
}

/// `2026-11-24`, or a time as IRC writes it.
fn day(text: &str) -> Option<Timestamp> {
    stamp::parse(text).or_else(|| stamp::parse(&format!("{text}T00:00:00Z")))
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
