//! Messages of several lines in one, where the network takes them: said, confirmed and taken back as one.
//!
//! Source: IRCv3 draft/multiline.

use tokio::time::Instant;
use wxgate_contract::{ChatKey, Say};

use super::{REPEATED, is_msgid};
use crate::client::flights::{Proof, Step};
use crate::client::multiline::{self, Part};
use crate::client::puppet::PuppetId;
use crate::client::session::Session;
use crate::wire::message::Line;

impl Session<'_> {
    /// The lines of a text that goes as one message; `None` where it cannot, and has to go line by line.
    pub(super) fn parts(
        &self,
        say: &Say,
        chat: &ChatKey,
        (text, is_repeat): (&str, bool),
        budget: usize,
        is_puppet: bool,
    ) -> Option<Vec<Part>> {
        // The echo has to say of the whole that it arrived.
        let bounds = self.caps.multiline.filter(|_| self.caps.labels && self.caps.echo && self.caps.batch)?;
        let mark = if is_repeat { REPEATED } else { "" };
        let parts = match is_puppet {
            true => multiline::cut(text, budget, mark),
            // RELAYMSG has no such thing.
            false if self.spoofed(say, chat).is_some() => return None,
            false => multiline::cut_with_name(text, budget, &format!("{}{mark}", self.name_of(say, chat))),
        };
        bounds.hold(&parts).then_some(parts)
    }

    /// What is said one after the other: the text as it is where it goes as one message, else its lines.
    pub(super) fn pieces(&self, say: &Say, chat: &ChatKey, text: String, lines: Vec<String>) -> Vec<String> {
        let budget = self.budget(say, chat.as_str());
        let is_whole = lines.len() > 1 && self.parts(say, chat, (&text, true), budget, false).is_some();
        if is_whole { vec![text] } else { lines }
    }

    /// Writes the text of the first flight as one message, confirmed by its label.
    pub(super) fn say_whole(&mut self, say: &Say, parts: &[Part], label: Option<u64>, now: Instant) -> bool {
        let Some(label) = label else { return false };
        let Some(flight) = self.relay.flights.all.first() else { return false };
        let (chat, is_first) = (flight.chat().clone(), flight.at == 0);
        if !self.pace.take(1.0, now) {
            return false;
        }
        let reference = format!("w{label}");
        let mut line = Line::new().tag("label", &reference);
        if let Some(quoted) = say.quoted_remote_id.as_ref().filter(|id| is_first && is_msgid(id)) {
            line = line.tag("+draft/reply", quoted.as_str());
        }
        let target = self.relay.rooms.by_key(&chat).map_or(chat.to_string(), |room| room.name.clone());
        let lines = multiline::batch(line, &reference, &target, parts);
        // The rest of them is paid for behind it: they belong together.
        lines.iter().skip(1).for_each(|_| self.pace.force(1.0, now));
        lines.iter().for_each(|line| self.send(line));
        if let Some(flight) = self.relay.flights.all.first_mut() {
            (flight.step, flight.is_whole) = (Step::Sent { proof: Proof::Label(label), since: now }, true);
            flight.is_spoofed = false;
        }
        self.remember(say, &chat);
        true
    }

    /// Writes lines of the first flight through the author's own connection.
    pub(super) fn say_through(
        &mut self,
        puppet: PuppetId,
        say: &Say,
        parts: Vec<Part>,
        now: Instant,
    ) -> bool {
        let Some(flight) = self.relay.flights.all.first() else { return false };
        let (chat, is_first) = (flight.chat().clone(), flight.at == 0);
        let target = self.relay.rooms.by_key(&chat).map_or(chat.to_string(), |room| room.name.clone());
        let reply = say.quoted_remote_id.as_ref().filter(|id| is_first && is_msgid(id));
        let reply = reply.map(ToString::to_string);
        let is_said = self.say_as(puppet, (&target, parts, reply), now);
        if is_said {
            self.remember_puppet(puppet, &chat);
        }
        is_said
    }

    /// The network does not take messages of several lines after all: what was sent so goes line by line. Nothing of
    /// it was said: a message is taken whole or not at all.
    pub(in crate::client) fn takes_lines_only(&mut self) {
        self.caps.multiline = None;
        for flight in self.relay.flights.all.iter_mut().filter(|flight| flight.is_whole) {
            if matches!(flight.step, Step::Sent { proof: Proof::Label(_), .. }) {
                flight.step = Step::Clear;
            }
        }
    }
}
