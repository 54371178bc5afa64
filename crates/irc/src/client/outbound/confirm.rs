//! How the server confirms what was said: by label, by echo, by the PONG behind it; and what it refuses.
//!
//! Source: IRCv3 labeled-response, echo-message; the IRC notes, section 8.

use tokio::time::Instant;
use wxgate_contract::{DeliveryId, Job, Outcome, RemoteId};

use super::{BARRIER, LATER};
use crate::client::answers::{Answer, Refusal};
use crate::client::flights::{Flight, Proof, Step};
use crate::client::rooms::Presence;
use crate::client::session::Session;
use crate::client::words;
use crate::wire::format::strip;

/// How often a line is tried that the network swallows without a word. Chosen: a flood passes, a filter does not.
const SILENT_TRIES: u32 = 3;

impl Session<'_> {
    /// Asks for the confirmation of lines that carry no label.
    pub(super) fn ask_barrier(&mut self, now: Instant) {
        let is_unasked = |flight: &Flight| matches!(flight.step, Step::Sent { proof: Proof::Unasked, .. });
        if !self.relay.flights.all.iter().any(is_unasked) {
            return;
        }
        let token = self.token();
        for flight in self.relay.flights.all.iter_mut().filter(|flight| is_unasked(flight)) {
            flight.step = Step::Sent { proof: Proof::Pong(token), since: now };
        }
        self.pace.force(BARRIER, now);
        self.send(&format!("PING :w{token}"));
    }

    pub(super) fn check_time(&mut self, now: Instant) {
        let answer = self.relay.config.limits.answer;
        let is_late = |flight: &Flight| match flight.step {
            // Of a puppet's lines its own connection knows.
            Step::Sent { proof: Proof::Puppet(..), .. } => false,
            Step::Sent { since, .. } => now >= since + answer,
            _ => false,
        };
        if self.relay.flights.all.iter().any(is_late) {
            self.finish("the server does not confirm what was said");
        }
    }

    /// PONG: everything before it has been seen by the server.
    pub(in crate::client) fn ponged(&mut self, token: &str) {
        let Some(number) = token.strip_prefix('w').and_then(|n| n.parse::<u64>().ok()) else { return };
        let is_answered = |flight: &Flight| match flight.step {
            Step::Sent { proof: Proof::Pong(asked), .. } => asked <= number,
            _ => false,
        };
        if self.caps.echo && self.echoes.prove() {
            let is_swallowed =
                |flight: &&Flight| is_answered(flight) && !flight.is_echoed && self.has_echo(flight);
            let swallowed = self.relay.flights.all.iter().filter(is_swallowed);
            let swallowed: Vec<DeliveryId> = swallowed.map(|flight| flight.delivery.id).collect();
            swallowed.into_iter().for_each(|id| self.swallowed(id));
        }
        self.confirm(is_answered);
    }

    /// The server shows us what it says, where it says it at once: in a channel, under our own name, and not what is
    /// taken back.
    fn has_echo(&self, flight: &Flight) -> bool {
        let is_said = matches!(flight.delivery.job, Job::Say(_)) && !flight.is_spoofed;
        is_said && self.support.is_channel(flight.chat().as_str())
    }

    /// The server has read a line, and neither says it nor says why.
    fn swallowed(&mut self, id: DeliveryId) {
        let Some(flight) = self.relay.flights.all.iter().find(|f| f.delivery.id == id) else { return };
        let why = "the network dropped the line without a word".to_owned();
        let outcome = match flight.delivery.attempt < SILENT_TRIES {
            true => Outcome::TryLater { after: LATER, why },
            false => flight.given_up(why),
        };
        if matches!(outcome, Outcome::TryLater { .. }) || !self.each_alone(id) {
            self.relay.settle(id, outcome);
        }
    }

    /// The line with a link to many messages does not get through, and is none of them: each has its own turn there
    /// from now on. False where it is no such line, or may have been said before.
    fn each_alone(&mut self, id: DeliveryId) -> bool {
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else {
            return false;
        };
        if !flight.is_backlog() || flight.at > 0 || flight.is_repeat {
            return false;
        }
        let chat = flight.chat().clone();
        (flight.step, flight.goes_alone) = (Step::Fresh, true);
        flight.pieces.clear();
        flight.behind.clear();
        if let Some(room) = self.relay.rooms.by_key_mut(&chat) {
            room.no_backlog = true;
        }
        true
    }

    /// An answer with our label: the echo, an ACK, or an error. False when nothing waits for it.
    pub(in crate::client) fn answered(&mut self, answer: Answer) -> bool {
        let Some(number) = answer.label.strip_prefix('w').and_then(|n| n.parse::<u64>().ok()) else {
            return false;
        };
        let is_meant = |f: &Flight| f.step.is_sent_with(Proof::Label(number));
        let Some(flight) = self.relay.flights.all.iter_mut().find(|flight| is_meant(flight)) else {
            return false;
        };
        if let Some(refusal) = answer.error {
            let id = flight.delivery.id;
            self.refused(id, &refusal);
            return true;
        }
        flight.ids.extend(answer.msgid.as_deref().map(RemoteId::from));
        let flight = self.relay.flights.all.iter().find(|flight| is_meant(flight));
        if answer.is_echo {
            self.echoes.came_in_time();
        }
        let is_swallowed = |flight: &&Flight| !answer.is_echo && self.echoes.prove() && self.has_echo(flight);
        let swallowed = flight.filter(is_swallowed);
        match swallowed.map(|flight| flight.delivery.id) {
            Some(id) => self.swallowed(id),
            None => self.confirm(is_meant),
        }
        true
    }

    /// Our own line came back, without a label: it has an id now. The barrier confirms it.
    pub(in crate::client) fn echoed(&mut self, target: &str, text: &str, msgid: Option<&str>) {
        // Where only operators hear us now it comes back as `@#c` (Solanum's `sendto_channel_opmod`).
        let room = self.relay.rooms.0.get(&self.support.fold(self.support.without_signs(target)));
        let is_channel = room.is_some();
        let key = room.map_or_else(|| target.to_ascii_lowercase().into(), |room| room.key.clone());
        let Some(flight) = self.relay.flights.gone_to(&key) else {
            if is_channel {
                self.echoes.came_late();
            }
            return;
        };
        flight.is_echoed = true;
        flight.ids.extend(msgid.map(RemoteId::from));
        let piece = flight.pieces.get(flight.at).map(|piece| strip(piece));
        if is_channel && piece.is_some_and(|piece| strip(text).ends_with(&*piece)) {
            self.echoes.came_in_time();
        }
    }

    pub(in crate::client) fn confirm(&mut self, is_meant: impl Fn(&Flight) -> bool) {
        let (mut notes, mut done) = (Vec::new(), Vec::new());
        for flight in self.relay.flights.all.iter_mut().filter(|flight| is_meant(flight)) {
            flight.at += 1;
            flight.is_repeat = false;
            if flight.at < flight.pieces.len() {
                flight.step = Step::Noting;
                notes.push(flight.note());
            } else {
                // What stands for many is none of them, and is not taken back with one.
                let is_it = matches!(flight.delivery.job, Job::Say(_)) && !flight.is_backlog();
                let remote_ids = if is_it { flight.ids.clone() } else { Vec::new() };
                done.push((flight.delivery.id, Outcome::Sent { remote_ids }));
            }
        }
        notes.into_iter().for_each(|note| self.relay.note(note));
        done.into_iter().for_each(|(id, outcome)| self.relay.settle(id, outcome));
    }

    /// The server says that something could not be said to `target`.
    pub(in crate::client) fn cannot_say(&mut self, target: &str, refusal: &Refusal) {
        let key = self.relay.rooms.0.get(&self.support.fold(target)).map(|room| room.key.clone());
        let key = key.unwrap_or_else(|| target.to_ascii_lowercase().into());
        if let Some(id) = self.relay.flights.gone_to(&key).map(|flight| flight.delivery.id) {
            self.refused(id, refusal);
        }
    }

    fn refused(&mut self, id: DeliveryId, refusal: &Refusal) {
        let why = refusal.why.as_str();
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else { return };
        let chat = flight.chat().clone();
        if refusal.passes {
            return self.relay.settle(id, Outcome::TryLater { after: LATER, why: words::from_server(why) });
        }
        if flight.is_spoofed {
            // Then the relay speaks for itself; nothing was said yet.
            (flight.step, flight.is_spoofed, flight.no_relaymsg) = (Step::Clear, false, true);
            if let Some(room) = self.relay.rooms.by_key_mut(&chat).filter(|_| refusal.is_of_command) {
                room.no_relaymsg = true;
            }
            return;
        }
        let had_colours = self.relay.config.colours
            && self.relay.rooms.by_key(&chat).is_some_and(|room| !room.is_plain)
            && why.to_ascii_lowercase().contains("colo");
        if had_colours {
            flight.step = Step::Clear;
            if let Some(room) = self.relay.rooms.by_key_mut(&chat) {
                room.is_plain = true;
            }
            return;
        }
        if flight.is_whole {
            // Line by line the network says whether it is the form that it refuses.
            return self.takes_lines_only();
        }
        let why = words::from_server(why);
        // We were thrown out while it was under way, and are in again in a moment.
        let is_out = self.relay.rooms.by_key(&chat).is_some_and(|room| match room.presence {
            Presence::In => false,
            Presence::Out | Presence::Joining(_) => true,
            Presence::Barred { is_final, .. } => !is_final,
        });
        let outcome = match is_out {
            true => Outcome::TryLater { after: LATER, why },
            false => flight.given_up(why),
        };
        if is_out || !self.each_alone(id) {
            self.relay.settle(id, outcome);
        }
    }
}
