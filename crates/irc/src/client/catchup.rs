//! What was said while we were away, where the network keeps it.
//!
//! After a channel is entered, everything behind the last line that was heard there is asked for. What comes
//! meanwhile waits, so that the order of the channel is kept; what comes twice is known by its id. Source:
//! IRCv3 draft/chathistory, batch.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;
use wxgate_contract::{ChatKey, Post, Timestamp};

use super::session::Session;
use crate::server::stamp;
use crate::wire::message::{Line, Message};

/// Lines of one answer. Chosen: a server may give fewer, and says so.
const PAGE: usize = 100;
/// Answers for one channel: two thousand lines of an absence. Chosen: more would flood the other side, and
/// is read where it was said.
const PAGES: usize = 20;
/// Lines that wait for an answer. Chosen: seconds of the busiest channel; beyond it they go on at once.
const HELD: usize = 500;
/// Answers that are coming at once. Chosen: a server gives them one after the other.
const BATCHES: usize = 64;

/// A channel that is being caught up with.
struct CatchUp {
    /// When the present question went out; it may wait for its turn.
    asked: Option<Instant>,
    limit: usize,
    pages: usize,
    /// Up to where the channel was heard before.
    since: Timestamp,
    /// Lines of the present answer, and the time of the newest.
    count: usize,
    newest: Timestamp,
    held: Vec<(Post, Option<Timestamp>)>,
    /// Nothing waits for the answer any more. It is taken when it comes all the same.
    is_late: bool,
}

/// All of them, by folded name of the channel.
#[derive(Default)]
pub(super) struct CatchUps {
    channels: HashMap<String, CatchUp>,
    /// Those whose next question has not gone out.
    questions: VecDeque<String>,
    /// Answers that are coming: reference of the batch to folded channel.
    batches: HashMap<String, String>,
}

impl CatchUps {
    pub(super) fn has_questions(&self) -> bool {
        !self.questions.is_empty()
    }

    /// What was asked waits for its answer from here on.
    pub(super) fn excuse(&mut self, now: Instant) {
        for waiting in self.channels.values_mut() {
            waiting.asked = waiting.asked.map(|_| now);
        }
    }

    fn ask(&mut self, folded: &str) {
        if !self.questions.iter().any(|waiting| waiting == folded) {
            self.questions.push_back(folded.to_owned());
        }
    }
}

impl Session<'_> {
    /// Asks for what was said in a channel since we last heard of it, as soon as it is its turn.
    pub(super) fn catch_up(&mut self, folded: &str) {
        let Some(room) = self.relay.rooms.0.get(folded) else { return };
        let chat = room.key.clone();
        if !(self.caps.batch && self.caps.tags) {
            return;
        }
        let Some(seen) = self.relay.seen(&chat) else {
            // From here on we know what we have missed.
            let now = self.relay.clock.now();
            return self.relay.saw(&chat, now);
        };
        // Others tell by themselves, or not at all.
        if !self.caps.history {
            return;
        }
        let limit = PAGE.min(self.support.history.unwrap_or(PAGE)).max(1);
        // What waited for the answer of an earlier stay waits for this one.
        let held = self.catch_ups.channels.remove(folded).map(|before| before.held).unwrap_or_default();
        let waiting = CatchUp {
            asked: None,
            limit,
            pages: 1,
            count: 0,
            since: seen,
            newest: seen,
            held,
            is_late: false,
        };
        self.catch_ups.channels.insert(folded.to_owned(), waiting);
        self.catch_ups.ask(folded);
    }

    /// The question whose turn it is. The network is waited for from now on, not from when the question arose.
    pub(super) fn next_question(&mut self, now: Instant) -> Option<String> {
        while let Some(folded) = self.catch_ups.questions.pop_front() {
            let name = self.relay.rooms.0.get(&folded).map(|room| room.name.clone());
            let (Some(name), Some(waiting)) = (name, self.catch_ups.channels.get_mut(&folded)) else {
                self.caught_up(&folded);
                continue;
            };
            waiting.asked = Some(now);
            let line = Line::new().command("CHATHISTORY").param("AFTER").param(&name);
            let line = line.param(&format!("timestamp={}", stamp::server_time(waiting.newest)));
            return Some(line.param(&waiting.limit.to_string()).build());
        }
        None
    }

    /// BATCH: an answer begins or ends.
    pub(super) fn batch(&mut self, message: &Message<'_>) {
        let param = |at: usize| message.param(at).unwrap_or("");
        let (sign, reference) = param(0).split_at_checked(1).unwrap_or_default();
        if sign == "+" && param(1) == "chathistory" {
            // Also one that nobody waits for any more: its lines are not said now.
            let folded = self.support.fold(param(2));
            if self.relay.rooms.0.contains_key(&folded) && self.catch_ups.batches.len() < BATCHES {
                self.catch_ups.batches.insert(reference.to_owned(), folded);
            }
        } else if sign == "-"
            && let Some(folded) = self.catch_ups.batches.remove(reference)
        {
            self.answer_ended(&folded);
        } else {
            self.multiline(message);
        }
    }

    /// True when a line belongs to an answer.
    pub(super) fn is_history(&self, message: &Message<'_>) -> bool {
        let batch = message.tags.get("batch");
        batch.is_some_and(|batch| self.catch_ups.batches.contains_key(&*batch))
    }

    /// A line of an answer is looked at. True when it was said after what we heard last, and is news: a server may
    /// tell of more, asked or not, and of what was said before the link it tells nobody.
    pub(super) fn count_history(&mut self, message: &Message<'_>, at: Option<Timestamp>) -> bool {
        let batch = message.tags.get("batch").unwrap_or_default();
        let Some(folded) = self.catch_ups.batches.get(&*batch) else { return false };
        let since = match self.catch_ups.channels.get_mut(folded) {
            Some(waiting) => {
                waiting.count += 1;
                waiting.newest = waiting.newest.max(at.unwrap_or(waiting.newest));
                Some(waiting.since)
            }
            None => self.relay.rooms.0.get(folded).and_then(|room| self.relay.seen(&room.key)),
        };
        since.zip(at).is_some_and(|(since, at)| at > since)
    }

    /// Hands a line over in its place: at once, or behind the answer that is asked for.
    pub(super) fn heard_live(&mut self, post: Post, at: Option<Timestamp>) {
        let folded = self.support.fold(post.chat.chat.as_str());
        match self.catch_ups.channels.get_mut(&folded).filter(|waiting| !waiting.is_late) {
            Some(waiting) if waiting.held.len() < HELD => waiting.held.push((post, at)),
            Some(_) => {
                self.let_go(&folded);
                self.keep(post, at);
            }
            None => self.keep(post, at),
        }
    }

    fn keep(&mut self, post: Post, at: Option<Timestamp>) {
        let chat = post.chat.chat.clone();
        self.relay.heard(post);
        if let Some(at) = at.filter(|_| self.caps.batch) {
            self.relay.saw(&chat, at);
        }
    }

    fn answer_ended(&mut self, folded: &str) {
        let Some(waiting) = self.catch_ups.channels.get_mut(folded) else { return };
        let is_full = waiting.count >= waiting.limit && waiting.pages < PAGES;
        let newest = waiting.newest;
        (waiting.asked, waiting.count) = (None, 0);
        waiting.pages += 1;
        let room = self.relay.rooms.0.get(folded).map(|room| room.key.clone());
        let Some(chat) = room else { return self.caught_up(folded) };
        self.relay.saw(&chat, newest);
        match is_full {
            true => self.catch_ups.ask(folded),
            false => self.caught_up(folded),
        }
    }

    /// Nothing more comes of the past: what waited goes on.
    fn caught_up(&mut self, folded: &str) {
        self.let_go(folded);
        self.catch_ups.channels.remove(folded);
    }

    /// What waited goes on, whatever may come of the past.
    fn let_go(&mut self, folded: &str) {
        let Some(waiting) = self.catch_ups.channels.get_mut(folded) else { return };
        waiting.is_late = true;
        let held = std::mem::take(&mut waiting.held);
        held.into_iter().for_each(|(post, at)| self.keep(post, at));
    }

    /// The network does not tell: of the channels that it names, or of any.
    pub(super) fn no_history(&mut self, message: &Message<'_>) {
        let named = message.params().iter().skip(2).map(|param| self.support.fold(param));
        let mut refused: Vec<String> =
            named.filter(|folded| self.catch_ups.channels.contains_key(folded)).collect();
        if refused.is_empty() {
            refused = self.catch_ups.channels.keys().cloned().collect();
        }
        refused.iter().for_each(|folded| self.caught_up(folded));
    }

    /// Answers that do not come are not waited for.
    pub(super) fn check_history(&mut self, now: Instant) {
        let answer = self.relay.config.limits.answer;
        let is_late = |one: &CatchUp| !one.is_late && one.asked.is_some_and(|asked| now >= asked + answer);
        let late = self.catch_ups.channels.iter().filter(|(_, waiting)| is_late(waiting));
        let late: Vec<String> = late.map(|(folded, _)| folded.clone()).collect();
        late.iter().for_each(|folded| self.let_go(folded));
    }

    /// The connection is gone: what waited is handed over. The position stays where it was, so that the next
    /// connection asks for the whole of it again.
    pub(super) fn give_up_history(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.catch_ups).channels {
            waiting.held.into_iter().for_each(|(post, _)| self.relay.heard(post));
        }
    }
}

/// Begins the key of a note about how far a channel was heard; its key follows.
pub(super) const NOTE: &str = "seen/";

/// How far channels were heard, as their notes have it.
pub(super) fn read(notes: Vec<(String, bytes::Bytes)>) -> HashMap<ChatKey, Timestamp> {
    let one = |(key, value): (String, bytes::Bytes)| {
        let at = std::str::from_utf8(&value).ok()?.parse().ok()?;
        Some((ChatKey::new(key.strip_prefix(NOTE)?), Timestamp(at)))
    };
    notes.into_iter().filter_map(one).collect()
}
