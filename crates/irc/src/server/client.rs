//! One attached client, as its session sees it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{ChatKey, Credential, TimelineItem};

use super::answer::Answer;
use super::caps::{Caps, Negotiation};
use super::config::Limits;
use super::faces::Subscribed;
use super::held::Held;
use super::multiline::OpenBatch;
use super::queue::SendQueue;
use super::registry::ClientId;
use super::roster::ChannelIx;
use super::sasl::Sasl;
use crate::wire::tags::Tags;

/// A client in a steady stream has no pause: it is asked this long after the first line.
const CONFIRM_LATEST: Duration = Duration::from_secs(1);

/// Where a client is in the timeline.
#[derive(Debug)]
pub(super) enum Mode {
    /// It still gets what was prepared at its arrival.
    Backlog(VecDeque<Piece>),
    /// It reads the timeline behind `sent_seq`, as fast as it takes it.
    Reading,
    /// It gets what happens.
    Live,
}

/// What a client gets after its welcome.
#[derive(Debug)]
pub(super) enum Piece {
    Join(ChannelIx),
    BatchStart {
        reference: String,
        chat: ChatKey,
    },
    /// So many older lines of the chat are not shown.
    Older {
        chat: ChatKey,
        count: usize,
        /// It may be more than that.
        is_more: bool,
    },
    Item(Arc<TimelineItem>, Option<String>),
    BatchEnd(String),
}

/// Lines that are held back, to be labelled.
#[derive(Debug, Default)]
pub(super) struct Capture {
    pub(super) lines: Vec<String>,
    pub(super) bytes: usize,
}

impl Capture {
    fn push(&mut self, line: &str) {
        self.bytes += line.len();
        self.lines.push(line.to_owned());
    }
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) queue: Arc<SendQueue>,
    pub(super) negotiation: Negotiation,
    /// Keys the replay position.
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) is_secure: bool,
    /// Of its certificate, where it showed one.
    pub(super) fingerprint: Option<String>,
    /// With what it came in; `None` for a guest.
    pub(super) credential: Option<Credential>,
    pub(super) mode: Mode,
    /// The position up to which everything was queued.
    pub(super) sent_seq: i64,
    /// Events at or below this were read from the timeline.
    pub(super) floor_seq: i64,
    /// The position it was last asked to confirm.
    pub(super) asked_seq: i64,
    /// When it was asked.
    pub(super) asked_at: Option<Instant>,
    /// The position it has confirmed.
    pub(super) confirmed_seq: i64,
    /// When the first and the last line that it was not asked about yet were queued.
    pub(super) unasked: Option<(Instant, Instant)>,
    /// Nicks it watches: folded form and spelling.
    pub(super) monitored: BTreeMap<String, String>,
    /// Keys of METADATA that it wants to hear of.
    pub(super) subscribed: Subscribed,
    pub(super) sasl: Sasl,
    pub(super) held: Option<Held>,
    /// A message in several lines that the client is sending.
    pub(super) open_batch: Option<OpenBatch>,
    /// References of batches that came to nothing.
    pub(super) failed_batches: Vec<String>,
    /// Answers to a labelled command are collected here.
    pub(super) capture: Option<Capture>,
    /// The rest of an answer that is longer than what may wait for it.
    pub(super) answer: Option<Answer>,
    pub(super) is_dirty: bool,
}

impl Client {
    pub(super) fn caps(&self) -> Caps {
        self.negotiation.caps
    }

    pub(super) fn has(&self, cap: Caps) -> bool {
        self.negotiation.caps.has(cap)
    }

    /// Queues one line, without its end.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(capture) = &mut self.capture {
            return capture.push(line);
        }
        self.raw_line(line);
    }

    /// Queues one line past the collected answers.
    pub(super) fn raw_line(&mut self, line: &str) {
        self.queue.push_line(line);
        self.is_dirty = true;
    }

    /// Queues one line past the collected answers, within a batch where there is one.
    pub(super) fn batched_line(&mut self, batch: Option<&str>, line: &str) {
        let Some(batch) = batch else { return self.raw_line(line) };
        match line.strip_prefix('@') {
            // A batch within stays one.
            Some(rest)
                if rest.split(' ').next().is_some_and(|tags| Tags::parse(tags).get("batch").is_some()) =>
            {
                self.raw_line(line);
            }
            Some(rest) => self.raw_line(&format!("@batch={batch};{rest}")),
            None => self.raw_line(&format!("@batch={batch} {line}")),
        }
    }

    /// Queues whole lines with their ends.
    pub(super) fn lines(&mut self, lines: &str) {
        if let Some(capture) = &mut self.capture {
            return lines.split_terminator("\r\n").for_each(|line| capture.push(line));
        }
        self.queue.push(lines.as_bytes());
        self.is_dirty = true;
    }

    /// It was given everything up to `seq`.
    pub(super) fn gave(&mut self, seq: i64, now: Instant) {
        if seq > self.sent_seq {
            self.sent_seq = seq;
            let first = self.unasked.map_or(now, |(first, _)| first);
            self.unasked = Some((first, now));
        }
    }

    /// When it is to be asked whether everything arrived; `None` while there is nothing to ask.
    pub(super) fn ask_at(&self, limits: &Limits) -> Option<Instant> {
        let (first, last) = self.unasked?;
        let is_open = self.asked_seq > self.confirmed_seq;
        if is_open || matches!(self.mode, Mode::Backlog(_)) {
            return None;
        }
        let at = (last + limits.confirm_after).min(first + CONFIRM_LATEST);
        Some(self.asked_at.map_or(at, |asked| at.max(asked + limits.confirm_pause)))
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_asked_after_a_pause_and_not_too_often() {
        let (now, limits) = (Instant::now(), Limits::default());
        let mut client = Client {
            id: ClientId(1),
            queue: Arc::new(SendQueue::new(1000)),
            negotiation: Negotiation::default(),
            name: String::new(),
            address: IpAddr::from([127, 0, 0, 1]),
            is_secure: false,
            fingerprint: None,
            credential: None,
            mode: Mode::Live,
            sent_seq: 0,
            floor_seq: 0,
            asked_seq: 0,
            asked_at: None,
            confirmed_seq: 0,
            unasked: None,
            monitored: BTreeMap::new(),
            subscribed: Subscribed::new(),
            sasl: Sasl::default(),
            held: None,
            open_batch: None,
            failed_batches: Vec::new(),
            capture: None,
            answer: None,
            is_dirty: false,
        };
        assert_eq!(client.ask_at(&limits), None);
        client.gave(5, now);
        assert_eq!(client.ask_at(&limits), Some(now + limits.confirm_after));
        client.gave(6, now + CONFIRM_LATEST);
        assert_eq!(client.ask_at(&limits), Some(now + CONFIRM_LATEST), "a stream has no pause");
        (client.asked_seq, client.asked_at, client.unasked) = (6, Some(now), None);
        client.gave(7, now);
        assert_eq!(client.ask_at(&limits), None, "one question at a time");
        client.confirmed_seq = 6;
        assert_eq!(client.ask_at(&limits), Some(now + limits.confirm_pause));
        client.mode = Mode::Backlog(VecDeque::new());
        assert_eq!(client.ask_at(&limits), None, "what was prepared is one whole");
    }
}
