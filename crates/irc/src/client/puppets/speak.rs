//! What people say through their puppets, and take back.

use tokio::time::Instant;
use wxgate_contract::ChatKey;

use super::Puppets;
use crate::client::flights::{Proof, Step};
use crate::client::multiline::Part;
use crate::client::puppet::{PuppetId, Word};
use crate::client::session::Session;
use crate::wire::split;

/// Lines of puppets whose speaker is remembered, who alone can take them back. Chosen: WeChat's are taken back within
/// two minutes.
const SPOKEN: usize = 1000;
/// What user and host of a puppet take, while they are not known: see `outbound.rs`.
const UNKNOWN_HOST: usize = 63;

impl Puppets {
    /// Remembers who said a line.
    pub(super) fn has_said(&mut self, msgid: &str, id: PuppetId) {
        self.spoken.push_back((msgid.to_owned(), id));
        if self.spoken.len() > SPOKEN {
            self.spoken.pop_front();
        }
    }
}

impl Session<'_> {
    /// Who said the line with this id and can take it back.
    pub(in crate::client) fn speaker(&self, msgid: &str) -> Option<PuppetId> {
        let (_, id) = self.puppets.spoken.iter().find(|(said, _)| said == msgid)?;
        let puppet = self.puppets.all.iter().find(|puppet| puppet.id == *id)?;
        let can = puppet.is_ready && puppet.words.capacity() > 0 && !puppet.words.is_closed();
        can.then_some(*id)
    }

    /// Takes a line back through the puppet that said it; false when it cannot.
    pub(in crate::client) fn take_back_as(
        &mut self,
        id: PuppetId,
        target: &str,
        msgid: &str,
        now: Instant,
    ) -> bool {
        let number = self.token();
        let (target, msgid) = (target.to_owned(), msgid.to_owned());
        self.tell_puppet(id, Word::TakeBack { number, target, msgid }, Proof::Puppet(id, number), now)
    }

    fn tell_puppet(&mut self, id: PuppetId, word: Word, proof: Proof, now: Instant) -> bool {
        let is_told = self.puppets.get(id).is_some_and(|puppet| puppet.words.try_send(word).is_ok());
        if let Some(flight) = self.relay.flights.all.first_mut().filter(|_| is_told) {
            (flight.step, flight.is_whole) = (Step::Sent { proof, since: now }, false);
        }
        is_told
    }

    /// Says something through a puppet; false when it cannot.
    pub(in crate::client) fn say_as(
        &mut self,
        id: PuppetId,
        (target, parts, reply): (&str, Vec<Part>, Option<String>),
        now: Instant,
    ) -> bool {
        let number = self.token();
        let is_whole = parts.len() > 1;
        let word = Word::Say { number, target: target.to_owned(), parts, reply };
        let is_told = self.tell_puppet(id, word, Proof::Puppet(id, number), now);
        if let Some(flight) = self.relay.flights.all.first_mut() {
            flight.is_whole = is_told && is_whole;
        }
        is_told
    }

    /// Bytes of text for which a puppet's line has room.
    pub(in crate::client) fn puppet_budget(&mut self, id: PuppetId, target: &str) -> usize {
        let line_len = self.support.line_len;
        let Some(puppet) = self.puppets.get(id) else { return split::MIN_BUDGET_BYTES };
        let assumed = || format!("{}!~uxxxxxxxx@{}", puppet.nick, "x".repeat(UNKNOWN_HOST));
        let prefix = puppet.prefix.clone().unwrap_or_else(assumed);
        split::budget(&prefix, "PRIVMSG", target) + (line_len - 512)
    }

    /// Whom a puppet stands for, and how it is called: the people of the channel may address them so.
    pub(in crate::client) fn remember_puppet(&mut self, id: PuppetId, chat: &ChatKey) {
        let Some(puppet) = self.puppets.get(id) else { return };
        if let Some(key) = puppet.key.clone() {
            let nick = puppet.nick.clone();
            self.relay.remember_name(chat, &nick, key);
        }
    }
}
