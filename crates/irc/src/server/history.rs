//! What was said, on request. Source: IRCv3 draft/chathistory; the IRC notes, section 6.

use wxgate_contract::{Body, ChatKey, ChatRef, HistoryRange, Landmark, TimelineItem, Timestamp};

use super::caps::Caps;
use super::commands::Turn;
use super::outbound::{Rendered, Replay, Window};
use super::quote::post_of;
use super::registry::ClientId;
use super::session::Session;
use super::stamp;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;

/// Messages of one answer; announced as CHATHISTORY.
pub(super) const MAX_MESSAGES: usize = 500;
/// Items looked at for one answer: in a stretch of what shows nothing the answer ends early. Chosen.
const MAX_SCANNED: usize = 5_000;
/// Chats looked at for TARGETS. Chosen: more than anybody has.
const MAX_TARGETS: usize = 10_000;

/// A place that a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    Msgid(&'a str),
    Time(Timestamp),
}

impl<'a> Reference<'a> {
    fn parse(word: &'a str) -> Option<Self> {
        let (kind, value) = word.split_once('=')?;
        match kind {
            "msgid" if !value.is_empty() => Some(Self::Msgid(value)),
            "timestamp" => stamp::parse(value).map(Self::Time),
            _ => None,
        }
    }
}

/// A reference of a kind that does not exist here. Source: IRCv3 draft/chathistory, INVALID_MSGREFTYPE.
fn is_odd_kind(reference: &str) -> bool {
    reference.split_once('=').is_some_and(|(kind, _)| !matches!(kind, "msgid" | "timestamp"))
}

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// The newest, down to a place.
    Latest(Option<Reference<'a>>),
    Before(Reference<'a>),
    After(Reference<'a>),
    Around(Reference<'a>),
    /// From the first to the second, beginning at the first.
    Between(Reference<'a>, Reference<'a>),
}

/// Which part of the timeline that is; the borders do not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    above: i64,
    below: i64,
    is_backwards: bool,
}

/// Why there is no answer: code, and words for people.
pub(super) type Fault = (&'static str, String);

impl Session {
    /// `CHATHISTORY subcommand …`.
    pub(super) async fn chathistory(&mut self, turn: &Turn<'_>) {
        let word = turn.param(0).to_ascii_uppercase();
        let params = turn.message.params().get(1..).unwrap_or_default();
        let needed = match word.as_str() {
            "LATEST" | "BEFORE" | "AFTER" | "AROUND" | "TARGETS" => 3,
            "BETWEEN" => 4,
            _ => {
                let text = "There is no such subcommand";
                return self.history_fails(turn, "INVALID_PARAMS", &[&word], text);
            }
        };
        if params.len() < needed {
            return self.history_fails(turn, "INVALID_PARAMS", &[&word], "Missing parameters");
        }
        if params.len() > needed {
            return self.history_fails(turn, "INVALID_PARAMS", &[&word], "Too many parameters");
        }
        let limit = params.get(needed - 1).and_then(|limit| limit.parse::<usize>().ok());
        let references = params.get(usize::from(word != "TARGETS")..needed - 1).unwrap_or_default();
        let Some(limit) = limit else {
            return self.history_fails(turn, "INVALID_PARAMS", &[&word], "The limit is no number");
        };
        let limit = if limit == 0 { MAX_MESSAGES } else { limit.min(MAX_MESSAGES) };
        let Some(wanted) = wanted(&word, references) else {
            let odd = references.iter().find(|reference| is_odd_kind(reference));
            if let (Some(odd), false) = (odd, word == "TARGETS") {
                let text = "References are msgid and timestamp";
                let name = params.first().copied().unwrap_or("");
                return self.history_fails(turn, "INVALID_MSGREFTYPE", &[&word, name, odd], text);
            }
            let text = "A reference is msgid=… or timestamp=…";
            let bad = references.iter().find(|reference| Reference::parse(reference).is_none());
            let context: Vec<&str> = std::iter::once(word.as_str()).chain(bad.copied()).collect();
            return self.history_fails(turn, "INVALID_PARAMS", &context, text);
        };
        if let (true, Wanted::Between(from, to)) = (word == "TARGETS", wanted) {
            return self.targets(turn, from, to, limit).await;
        }
        let name = params.first().copied().unwrap_or("");
        if self.is_local(name) || self.is_remembered(name) {
            return self.local_history(turn, &word, name, wanted, limit);
        }
        let Some(chat) = self.target(name).and_then(|target| self.chat_of(target)) else {
            if self.who_is(name).is_some() || self.is_service(name) {
                // A window of the service or of oneself: nothing of it is kept.
                return self.give_history(turn.client, name, &[]);
            }
            let text = "Messages could not be retrieved";
            return self.history_fails(turn, "INVALID_TARGET", &[&word, name], text);
        };
        // As it was asked for, unless it has another name now.
        let now = self.window_name(&chat);
        let name = if is_same(name, &now) { name.to_owned() } else { now };
        match self.collect(turn.client, &chat, wanted, limit).await {
            Ok(found) => self.give_history(turn.client, &name, &found),
            Err((code, text)) => self.history_fails(turn, code, &[&word, &name], &text),
        }
    }

    fn history_fails(&mut self, turn: &Turn<'_>, code: &str, context: &[&str], text: &str) {
        self.fails(turn.client, "CHATHISTORY", code, context, text);
    }

    /// An answer; without anything in it too. Clients without batches get the lines alone.
    fn give_history(&mut self, id: ClientId, name: &str, found: &[Rendered]) {
        let server = self.shared.config.server_name.clone();
        let with_batch = self.clients.get(&id).is_some_and(|client| client.has(Caps::BATCH));
        let reference = with_batch.then(|| format!("h{}", self.shared.next_number()));
        if let Some(reference) = &reference {
            let line = Line::new().source(&server).command("BATCH").param(&format!("+{reference}"));
            let line = line.param("chathistory").param(name).build();
            self.to(id, &line);
        }
        for rendered in found {
            self.give_in_batch(id, rendered, reference.as_deref());
        }
        if let Some(reference) = reference {
            self.to(id, &format!(":{server} BATCH -{reference}"));
        }
    }

    /// What is wanted of a chat, oldest first.
    async fn collect(
        &mut self,
        id: ClientId,
        chat: &ChatKey,
        wanted: Wanted<'_>,
        limit: usize,
    ) -> Result<Vec<Rendered>, Fault> {
        let Some(chat) = self.chat_ref(chat) else { return Ok(Vec::new()) };
        if let Wanted::Around(place) = wanted {
            let seq = self.place(&chat, place).await?;
            let before = Part { above: 0, below: seq, is_backwards: true };
            let mut found = self.part(id, &chat, before, limit / 2).await?;
            let from = Part { above: seq.saturating_sub(1), below: i64::MAX, is_backwards: false };
            found.extend(self.part(id, &chat, from, limit - found.len().min(limit)).await?);
            return Ok(found);
        }
        let part = self.part_of(&chat, wanted).await?;
        self.part(id, &chat, part, limit).await
    }

    async fn part_of(&self, chat: &ChatRef, wanted: Wanted<'_>) -> Result<Part, Fault> {
        Ok(match wanted {
            Wanted::Latest(None) => Part { above: 0, below: i64::MAX, is_backwards: true },
            Wanted::Latest(Some(from)) => {
                Part { above: self.end(chat, from).await?, below: i64::MAX, is_backwards: true }
            }
            Wanted::Before(to) | Wanted::Around(to) => {
                Part { above: 0, below: self.place(chat, to).await?, is_backwards: true }
            }
            Wanted::After(from) => {
                Part { above: self.end(chat, from).await?, below: i64::MAX, is_backwards: false }
            }
            Wanted::Between(from, to) => {
                let (first, second) = (self.place(chat, from).await?, self.place(chat, to).await?);
                if first <= second {
                    Part { above: self.end(chat, from).await?, below: second, is_backwards: false }
                } else {
                    Part { above: self.end(chat, to).await?, below: first, is_backwards: true }
                }
            }
        })
    }

    /// The position of a reference: of the message, or of the first one of that time.
    async fn place(&self, chat: &ChatRef, reference: Reference<'_>) -> Result<i64, Fault> {
        let directory = &self.shared.directory;
        let failed =
            |error: wxgate_contract::FarError| ("MESSAGE_ERROR", format!("Not readable now: {error}"));
        match reference {
            Reference::Time(at) => {
                let found = directory.locate(chat, Landmark::Since(at)).await.map_err(failed)?;
                Ok(found.unwrap_or(i64::MAX))
            }
            Reference::Msgid(msgid) => {
                let unknown = || ("MESSAGE_ERROR", "There is no message with this id".to_owned());
                let post = post_of(msgid).ok_or_else(unknown)?;
                directory.locate(chat, Landmark::Post(post)).await.map_err(failed)?.ok_or_else(unknown)
            }
        }
    }

    /// The last position that belongs to a reference: behind it begins what comes after.
    async fn end(&self, chat: &ChatRef, reference: Reference<'_>) -> Result<i64, Fault> {
        match reference {
            Reference::Msgid(_) => self.place(chat, reference).await,
            Reference::Time(at) => {
                let next = self.place(chat, Reference::Time(Timestamp(at.ms().saturating_add(1)))).await?;
                Ok(next.saturating_sub(1))
            }
        }
    }

    /// As many messages of a part as fit, oldest first.
    async fn part(
        &mut self,
        id: ClientId,
        chat: &ChatRef,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Rendered>, Fault> {
        let mut found: Vec<Rendered> = Vec::new();
        let max_bytes = self.shared.config.limits.answer_bytes();
        let (mut lines, mut bytes, mut scanned) = (0, 0, 0);
        let mut at = if part.is_backwards { part.below } else { part.above };
        'pages: while lines < limit && scanned < MAX_SCANNED {
            let range = if part.is_backwards { HistoryRange::Before(at) } else { HistoryRange::After(at) };
            let count = limit - lines;
            let read = self.shared.directory.history(&chat.network, Some(&chat.chat), range, count).await;
            let mut page = read.map_err(|error| ("MESSAGE_ERROR", format!("Not readable now: {error}")))?;
            let is_last = page.len() < count;
            scanned += page.len();
            if part.is_backwards {
                page.reverse();
            }
            for item in page {
                at = item.seq;
                if item.seq <= part.above || item.seq >= part.below {
                    break 'pages;
                }
                let Some(rendered) = self.of_history(id, &item).await else { continue };
                let count = self.clients.get(&id).map_or(1, |client| rendered.lines_for(client.caps()));
                bytes += rendered.bytes();
                if (lines + count > limit || bytes > max_bytes) && lines > 0 {
                    break 'pages;
                }
                lines += count;
                found.push(rendered);
            }
            if is_last {
                break;
            }
        }
        if part.is_backwards {
            found.reverse();
        }
        Ok(found)
    }

    /// One item of a history; `None` when it shows nothing (any more) to this client.
    pub(super) async fn of_history(&mut self, id: ClientId, item: &TimelineItem) -> Option<Rendered> {
        let client = self.clients.get(&id)?;
        // What happened in a group is a NOTICE to clients that take messages only.
        let is_event = matches!(item.post.body, Body::Recall { .. });
        if is_event && !client.has(Caps::EVENT_PLAYBACK) {
            return None;
        }
        let window = self.window(item).await?;
        self.render_whole(item, window, Replay(true)).await
    }

    /// Which chats spoke between two times.
    async fn targets(&mut self, turn: &Turn<'_>, from: Reference<'_>, to: Reference<'_>, limit: usize) {
        let (Reference::Time(from), Reference::Time(to)) = (from, to) else {
            let text = "TARGETS takes timestamps only";
            return self.history_fails(turn, "INVALID_PARAMS", &["TARGETS"], text);
        };
        // Source: IRCv3 draft/chathistory, TARGETS: counted from the first time on, as of BETWEEN.
        let is_backwards = from > to;
        let (from, to) = (from.min(to), from.max(to));
        let spoken = match self.account() {
            Some(account) => self.shared.directory.spoken(account, MAX_TARGETS).await,
            None => Ok(Vec::new()),
        };
        let spoken = match spoken {
            Ok(spoken) => spoken,
            Err(error) => {
                let text = format!("Not readable now: {error}");
                return self.history_fails(turn, "MESSAGE_ERROR", &["TARGETS"], &text);
            }
        };
        let mut found: Vec<(Timestamp, String)> = spoken
            .into_iter()
            .filter(|spoken| from < spoken.at && spoken.at < to && self.is_shown(&spoken.chat))
            .map(|spoken| (spoken.at, self.window_name(&spoken.chat)))
            .filter(|(_, name)| name != "*")
            .collect();
        found.extend(self.local_spoken().into_iter().filter(|(at, _)| from < *at && *at < to));
        found.sort();
        let beyond = found.len().saturating_sub(limit);
        found.drain(if is_backwards { 0..beyond } else { limit.min(found.len())..found.len() });
        self.give_targets(turn.client, &found);
    }

    /// A group that was left with PART keeps out of the way, and so does who is muted.
    pub(super) fn is_shown(&self, chat: &ChatKey) -> bool {
        if let Some(channel) = self.roster.by_chat(chat).and_then(|ix| self.roster.channel(ix)) {
            return channel.is_joined;
        }
        let query = self.roster.by_private_chat(chat).map(Window::Query);
        !query.is_some_and(|window| self.is_muted_window(window))
    }

    fn give_targets(&mut self, id: ClientId, found: &[(Timestamp, String)]) {
        let server = self.shared.config.server_name.clone();
        let with_batch = self.clients.get(&id).is_some_and(|client| client.has(Caps::BATCH));
        let reference = with_batch.then(|| format!("h{}", self.shared.next_number()));
        if let Some(reference) = &reference {
            self.to(id, &format!(":{server} BATCH +{reference} draft/chathistory-targets"));
        }
        for (at, name) in found {
            let mut line = Line::new();
            if let Some(reference) = &reference {
                line = line.tag("batch", reference);
            }
            let line = line.source(&server).command("CHATHISTORY").param("TARGETS").param(name);
            self.to(id, &line.param(&stamp::server_time(*at)).build());
        }
        if let Some(reference) = reference {
            self.to(id, &format!(":{server} BATCH -{reference}"));
        }
    }
}

/// What the words behind the target mean; for TARGETS the two times.
fn wanted<'a>(word: &str, references: &[&'a str]) -> Option<Wanted<'a>> {
    let first = references.first().copied()?;
    let second = || references.get(1).copied().and_then(Reference::parse);
    Some(match word {
        "LATEST" if first == "*" => Wanted::Latest(None),
        "LATEST" => Wanted::Latest(Some(Reference::parse(first)?)),
        "BEFORE" => Wanted::Before(Reference::parse(first)?),
        "AFTER" => Wanted::After(Reference::parse(first)?),
        "AROUND" => Wanted::Around(Reference::parse(first)?),
        _ => Wanted::Between(Reference::parse(first)?, second()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_by_kind() {
        assert_eq!(Reference::parse("msgid=wx5"), Some(Reference::Msgid("wx5")));
        let time = Reference::parse("timestamp=1970-01-01T00:00:01.000Z");
        assert_eq!(time, Some(Reference::Time(Timestamp(1000))));
        for bad in ["*", "wx5", "msgid=", "timestamp=x", "seq=5"] {
            assert_eq!(Reference::parse(bad), None, "{bad}");
        }
        assert_eq!(wanted("LATEST", &["*"]), Some(Wanted::Latest(None)));
        assert_eq!(wanted("BEFORE", &["*"]), None);
        assert_eq!(wanted("BETWEEN", &["msgid=a"]), None);
    }
}
