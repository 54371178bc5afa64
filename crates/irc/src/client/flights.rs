//! Deliveries on their way. IRC has no key that would make a repetition harmless, so a line is
//! written only after a note on disk says that it is about to be, one line per chat at a time. What
//! a crash or a lost connection leaves unconfirmed is that one line: it comes again, marked.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wxgate_contract::{ChatKey, Delivery, DeliveryId, Note, Outcome, RemoteId};

use super::puppet::PuppetId;

/// Deliveries that are taken at once: what the bridge hands out (one per lane, 64 lanes). Chosen to
/// be more, so that the bound is the bridge's, and chats that wait for their channel hold up no others.
pub(super) const MOST: usize = 80;
/// Outcomes that are remembered, for orders that come again.
const RECENT: usize = 256;
/// Begins the key of a note about a line in flight; the chat's key follows.
pub(super) const NOTE: &str = "flight/";

/// How far a delivery is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Not cut into lines yet.
    Fresh,
    /// It is late, and what stands behind it is being read.
    Looking,
    /// Its full text is being stored.
    Storing,
    /// The note about its next line is being written.
    Noting,
    /// Its next line may go.
    Clear,
    /// Its line has gone.
    Sent { proof: Proof, since: Instant },
    /// Its outcome is being recorded.
    Settling,
}

/// What will say that a line has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// An answer with this label.
    Label(u64),
    /// A barrier that has not been asked for yet.
    Unasked,
    /// The PONG with this number.
    Pong(u64),
    /// What this puppet tells of the line with this number.
    Puppet(PuppetId, u64),
}

/// One delivery.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) delivery: Delivery,
    pub(super) step: Step,
    /// Its lines, without the author's name, or the ids to take back.
    pub(super) pieces: Vec<String>,
    /// Which is the next.
    pub(super) at: usize,
    pub(super) ids: Vec<RemoteId>,
    /// The next line may have been said before.
    pub(super) is_repeat: bool,
    /// What has gone is a message of several lines.
    pub(super) is_whole: bool,
    /// The server has shown us what has gone, without a label.
    pub(super) is_echoed: bool,
    /// Its author's own connection did not get it through: the relay says it.
    pub(super) by_relay: bool,
    /// It is a RELAYMSG.
    pub(super) is_spoofed: bool,
    /// The network refused it as a RELAYMSG.
    pub(super) no_relaymsg: bool,
    /// What stands behind it was read, and it goes by itself.
    pub(super) goes_alone: bool,
    /// What is said together with it, as one text; settled before it.
    pub(super) behind: Vec<DeliveryId>,
}

/// A flight as its note has it.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    d: i64,
    p: Vec<String>,
    n: usize,
    i: Vec<RemoteId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    b: Vec<i64>,
    /// The line was not said since. Only this run can know; of a line of another run nobody can tell.
    #[serde(skip)]
    is_unsaid: bool,
}

impl Step {
    pub(super) fn is_sent_with(&self, wanted: Proof) -> bool {
        matches!(self, Self::Sent { proof, .. } if *proof == wanted)
    }
}

impl Flight {
    pub(super) fn chat(&self) -> &ChatKey {
        &self.delivery.chat
    }

    /// The key and value of the note about the next line.
    pub(super) fn note(&self) -> (String, Bytes) {
        // Texts and numbers cannot fail to be written.
        let value = serde_json::to_vec(&self.saved()).unwrap_or_default();
        (note_key(self.chat()), value.into())
    }

    fn saved(&self) -> Saved {
        let (p, i) = (self.pieces.clone(), self.ids.clone());
        let b = self.behind.iter().map(|id| id.0).collect();
        Saved { d: self.delivery.id.0, p, n: self.at, i, b, is_unsaid: !self.is_repeat }
    }

    /// It stands for what waits behind it as well.
    pub(super) fn is_backlog(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Something of it was said, or may have been: it cannot begin anew.
    fn has_begun(&self) -> bool {
        self.at > 0 || self.is_repeat
    }

    /// What becomes of it when the rest is never going to be said.
    pub(super) fn given_up(&self, why: String) -> Outcome {
        let why = match self.at {
            0 => why,
            1 => format!("{why} (the first line was said)"),
            at => format!("{why} (the first {at} lines were said)"),
        };
        match self.is_repeat {
            true => Outcome::Uncertain { why },
            false => Outcome::Refused { why },
        }
    }
}

pub(super) fn note_key(chat: &ChatKey) -> String {
    format!("{NOTE}{chat}")
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    pub(super) all: Vec<Flight>,
    recent: VecDeque<(DeliveryId, Outcome)>,
    /// What the last run left in flight, and what this one had to put off, by the key of its note.
    saved: HashMap<String, Saved>,
}

impl Flights {
    /// With the notes of an earlier run.
    pub(super) fn resume(notes: Vec<(String, Bytes)>) -> Self {
        let read = |(key, value): (String, Bytes)| Some((key, serde_json::from_slice(&value).ok()?));
        Self { saved: notes.into_iter().filter_map(read).collect(), ..Self::default() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.all.len() < MOST
    }

    /// Takes an order; an outcome when it was carried out before.
    pub(super) fn take(&mut self, delivery: Delivery) -> Option<(DeliveryId, Outcome)> {
        if let Some(known) = self.recent.iter().find(|(id, _)| *id == delivery.id) {
            return Some(known.clone());
        }
        if self.all.iter().any(|flight| flight.delivery.id == delivery.id) {
            return None;
        }
        let saved = self.saved.remove(&note_key(&delivery.chat));
        let mut flight = Flight {
            delivery,
            step: Step::Fresh,
            pieces: Vec::new(),
            at: 0,
            ids: Vec::new(),
            is_repeat: false,
            is_whole: false,
            is_echoed: false,
            by_relay: false,
            is_spoofed: false,
            no_relaymsg: false,
            goes_alone: false,
            behind: Vec::new(),
        };
        // A note about another delivery is about one that was settled.
        if let Some(saved) = saved.filter(|saved| saved.d == flight.delivery.id.0 && saved.n < saved.p.len())
        {
            (flight.pieces, flight.at, flight.ids) = (saved.p, saved.n, saved.i);
            flight.behind = saved.b.into_iter().map(DeliveryId).collect();
            // The note is on disk already.
            (flight.step, flight.is_repeat) = (Step::Clear, !saved.is_unsaid);
        }
        self.all.push(flight);
        None
    }

    /// Notes are on disk: whoever waited for one of them may go on. Of a chat another note may have been written, or
    /// the one before taken away; that says nothing about the line that is next.
    pub(super) fn written(&mut self, notes: &[Note]) {
        for flight in self.all.iter_mut().filter(|flight| flight.step == Step::Noting) {
            let (key, value) = flight.note();
            if notes.iter().any(|note| note.key == key && note.value.as_ref() == Some(&value)) {
                flight.step = Step::Clear;
            }
        }
    }

    /// The key of the note that says nothing any more when this delivery is settled. None where the rest of it is
    /// put off, and where the next of its chat is here already: its note takes the place, and must not be taken away.
    pub(super) fn outlived_note(&self, id: DeliveryId, outcome: &Outcome) -> Option<String> {
        let flight = self.all.iter().find(|flight| flight.delivery.id == id)?;
        if matches!(outcome, Outcome::TryLater { .. }) && flight.has_begun() {
            return None;
        }
        let is_next = |other: &&Flight| other.delivery.id != id && other.chat() == flight.chat();
        let is_alone = !self.all.iter().any(|other| is_next(&other));
        (is_alone && !flight.pieces.is_empty()).then(|| note_key(flight.chat()))
    }

    /// Begins anew with a delivery of which nothing was said.
    pub(super) fn restart(&mut self, id: DeliveryId) {
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.delivery.id == id) {
            (flight.step, flight.pieces, flight.at) = (Step::Fresh, Vec::new(), 0);
            flight.behind.clear();
        }
    }

    /// The connection is gone: lines that nobody confirmed go again.
    pub(super) fn disconnected(&mut self) {
        for flight in &mut self.all {
            if matches!(flight.step, Step::Sent { .. }) {
                (flight.step, flight.is_repeat) = (Step::Clear, true);
            }
        }
    }

    /// What has gone waits for its proof from here on.
    pub(super) fn excuse(&mut self, now: Instant) {
        for flight in &mut self.all {
            if let Step::Sent { since, .. } = &mut flight.step {
                *since = now;
            }
        }
    }

    /// Its outcome is on disk.
    pub(super) fn settled(&mut self, id: DeliveryId, outcome: Outcome) {
        let at = self.all.iter().position(|flight| flight.delivery.id == id);
        let flight = at.map(|at| self.all.remove(at));
        if !matches!(outcome, Outcome::TryLater { .. }) {
            self.recent.push_back((id, outcome));
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        } else if let Some(flight) = flight.filter(Flight::has_begun) {
            // It goes on where it stood.
            self.saved.insert(note_key(flight.chat()), flight.saved());
        }
    }

    /// The oldest line of the relay's own to `chat` that has gone and is not confirmed, of those that nothing else
    /// tells of: what a label or a puppet tells is told by nobody else.
    pub(super) fn gone_to(&mut self, chat: &ChatKey) -> Option<&mut Flight> {
        let is_untold =
            |step: &Step| matches!(step, Step::Sent { proof: Proof::Unasked | Proof::Pong(_), .. });
        self.all.iter_mut().find(|flight| flight.chat() == chat && is_untold(&flight.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxgate_contract::{Job, PostId};

    fn delivery(id: i64, chat: &str) -> Delivery {
        let job = Job::Recall { post: PostId(1), remote_ids: Vec::new() };
        Delivery { id: DeliveryId(id), attempt: 1, chat: chat.into(), job }
    }

    #[test]
    fn what_a_crash_left_in_flight_comes_again_and_nothing_before_it() {
        let mut flights = Flights::default();
        flights.take(delivery(7, "#c"));
        let flight = flights.all.first_mut().unwrap();
        flight.pieces = vec!["one".into(), "two".into(), "three".into()];
        (flight.at, flight.ids) = (1, vec!["m1".into()]);
        let note = flight.note();
        let mut later = Flights::resume(vec![note.clone()]);
        assert_eq!(later.take(delivery(7, "#c")), None);
        let flight = &later.all[0];
        assert_eq!((flight.at, flight.is_repeat, &flight.step), (1, true, &Step::Clear));
        assert_eq!((flight.pieces.len(), flight.ids.len()), (3, 1));
        // Another delivery of the chat: the one of the note was settled.
        let mut later = Flights::resume(vec![note]);
        later.take(delivery(8, "#c"));
        assert_eq!((later.all[0].is_repeat, &later.all[0].step), (false, &Step::Fresh));
    }

    #[test]
    fn a_line_waits_for_its_own_note_and_no_other_takes_it_away() {
        let mut flights = Flights::default();
        for id in [7, 8] {
            flights.take(delivery(id, "#c"));
            let flight = flights.all.last_mut().unwrap();
            (flight.pieces, flight.step) = (vec![format!("text {id}")], Step::Noting);
        }
        flights.all[0].step = Step::Settling;
        let (key, value) = flights.all[1].note();
        let note = |value: Option<Bytes>| Note { key: key.clone(), value, is_secret: false };
        // That of the one before was taken away, or written late.
        flights.written(&[note(None)]);
        flights.written(&[note(Some(flights.all[0].note().1))]);
        assert_eq!(flights.all[1].step, Step::Noting);
        flights.written(&[note(Some(value))]);
        assert_eq!(flights.all[1].step, Step::Clear);
        // The first is settled when the second's note stands already.
        let sent = Outcome::Sent { remote_ids: Vec::new() };
        assert_eq!(flights.outlived_note(DeliveryId(7), &sent), None);
        flights.settled(DeliveryId(7), sent.clone());
        assert_eq!(flights.outlived_note(DeliveryId(8), &sent), Some(key));
    }

    #[test]
    fn what_is_said_of_a_chat_at_large_concerns_no_line_that_has_a_label_or_a_puppet() {
        let proofs = [Proof::Label(1), Proof::Puppet(PuppetId(1), 1), Proof::Unasked, Proof::Pong(1)];
        let found = proofs.map(|proof| {
            let mut flights = Flights::default();
            flights.take(delivery(7, "#c"));
            flights.all[0].step = Step::Sent { proof, since: Instant::now() };
            flights.gone_to(&"#c".into()).is_some()
        });
        assert_eq!(found, [false, false, true, true]);
    }

    #[test]
    fn what_is_put_off_goes_on_where_it_stood() {
        let later = Outcome::TryLater { after: std::time::Duration::ZERO, why: String::new() };
        for (at, is_repeat, is_kept) in
            [(0, false, false), (1, false, true), (0, true, true), (2, true, true)]
        {
            let mut flights = Flights::default();
            flights.take(delivery(7, "#c"));
            let flight = flights.all.first_mut().unwrap();
            flight.pieces = vec!["one".into(), "two".into(), "three".into()];
            (flight.at, flight.is_repeat) = (at, is_repeat);
            let refused = matches!(flight.given_up(String::new()), Outcome::Refused { .. });
            assert_eq!(refused, !is_repeat, "a line that may have been said was not refused");
            assert_eq!(flights.outlived_note(DeliveryId(7), &later).is_none(), is_kept, "{at} {is_repeat}");
            flights.settled(DeliveryId(7), later.clone());
            flights.take(delivery(7, "#c"));
            let flight = &flights.all[0];
            assert_eq!((flight.at, flight.is_repeat), (at, is_repeat));
            assert_eq!(flight.step, if is_kept { Step::Clear } else { Step::Fresh });
        }
    }

    #[test]
    fn an_order_that_comes_again_is_answered_and_not_carried_out() {
        let mut flights = Flights::default();
        flights.take(delivery(7, "#c"));
        let sent = Outcome::Sent { remote_ids: vec!["m".into()] };
        flights.settled(DeliveryId(7), sent.clone());
        assert_eq!(flights.take(delivery(7, "#c")), Some((DeliveryId(7), sent)));
        assert!(flights.all.is_empty());
        flights.take(delivery(8, "#c"));
        let later = Outcome::TryLater { after: std::time::Duration::ZERO, why: String::new() };
        flights.settled(DeliveryId(8), later);
        assert_eq!(flights.take(delivery(8, "#c")), None, "it has to be done now");
        assert_eq!(flights.all.len(), 1);
    }
}
