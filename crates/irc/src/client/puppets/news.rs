//! What puppets tell: that they are there, in a channel, heard, refused, addressed or gone.

use tokio::time::Instant;
use wxgate_contract::{ChatKey, Job, RemoteId};

use super::FORMER;
use crate::client::flights::{Flight, Proof, Step};
use crate::client::inbound::NOT_THEIRS;
use crate::client::puppet::{Gone, News, PuppetId, Query, Word};
use crate::client::session::Session;

/// People whom a puppet has told that nobody reads their query. Chosen: an end, whoever writes.
const TOLD: usize = 100;

impl Session<'_> {
    pub(in crate::client) fn puppet_news(&mut self, id: PuppetId, news: News) {
        match news {
            News::Called(nick) => self.puppet_called(id, nick),
            News::BadNick => self.bad_nick(id),
            News::In { channel, prefix } => {
                let folded = self.support.fold(&channel);
                if let Some(puppet) = self.puppets.get(id) {
                    if !puppet.asked.contains(&folded) {
                        // Somebody moved it there (a forward, SAJOIN): it has nothing to say there.
                        let _ = puppet.words.try_send(Word::Part(channel));
                        return;
                    }
                    puppet.prefix = Some(prefix);
                    puppet.barred.remove(&folded);
                    puppet.inside.insert(folded);
                }
            }
            News::Out { channel } => {
                let folded = self.support.fold(&channel);
                if let Some(puppet) = self.puppets.get(id) {
                    puppet.inside.remove(&folded);
                    // Out of one that is not linked any more it is because we said so.
                    if puppet.asked.contains(&folded) {
                        puppet.barred.insert(folded);
                    }
                }
            }
            News::Said { number, msgid } => {
                let is_meant = |f: &Flight| f.step.is_sent_with(Proof::Puppet(id, number));
                if let Some(msgid) = &msgid {
                    self.puppets.has_said(msgid, id);
                }
                if let Some(flight) = self.relay.flights.all.iter_mut().find(|flight| is_meant(flight)) {
                    flight.ids.extend(msgid.as_deref().map(RemoteId::from));
                    self.confirm(is_meant);
                }
            }
            News::NotSaid { number, passes } => self.puppet_refused(id, number, passes),
            News::Query(query) => self.puppet_query(id, query),
            News::Gone(gone) => self.puppet_gone(id, gone),
        }
    }

    fn puppet_called(&mut self, id: PuppetId, nick: String) {
        self.relay.is_called(self.support.fold(&nick));
        let Some(puppet) = self.puppets.get(id) else { return };
        puppet.takes_nick(&nick);
        puppet.is_ready = true;
        let chats: Vec<ChatKey> = puppet.chats.keys().cloned().collect();
        self.puppets.failures = 0;
        for chat in chats {
            let Some(channel) = self.relay.rooms.by_key(&chat).map(|room| room.name.clone()) else {
                continue;
            };
            let folded = self.support.fold(&channel);
            if let Some(puppet) = self.puppets.get(id)
                && puppet.asked.insert(folded)
            {
                let _ = puppet.words.try_send(Word::Join(channel));
            }
        }
    }

    /// The network does not take it from the puppet; the relay says it.
    fn puppet_refused(&mut self, id: PuppetId, number: u64, passes: bool) {
        let is_meant = |f: &&mut Flight| f.step.is_sent_with(Proof::Puppet(id, number));
        let Some(flight) = self.relay.flights.all.iter_mut().find(is_meant) else { return };
        flight.step = Step::Clear;
        if matches!(flight.delivery.job, Job::Recall { .. }) {
            // Perhaps the relay may take it back.
            let msgid = flight.pieces.get(flight.at).cloned().unwrap_or_default();
            return self.puppets.spoken.retain(|(said, _)| *said != msgid);
        }
        if passes {
            flight.by_relay = true;
            return;
        }
        if flight.is_whole {
            // Line by line the network says whether it is the form that it refuses.
            self.caps.multiline = None;
            return;
        }
        let chat = flight.chat().clone();
        let channel = self.relay.rooms.by_key(&chat).map_or(chat.to_string(), |room| room.name.clone());
        let folded = self.support.fold(&channel);
        if let Some(puppet) = self.puppets.get(id) {
            puppet.inside.remove(&folded);
            puppet.barred.insert(folded);
        }
    }

    pub(super) fn puppet_gone(&mut self, id: PuppetId, gone: Gone) {
        let now = Instant::now();
        let Some(at) = self.puppets.all.iter().position(|puppet| puppet.id == id) else { return };
        let puppet = self.puppets.all.remove(at);
        if puppet.is_ready {
            self.puppets.former.push_back((self.support.fold(&puppet.nick), now));
            if self.puppets.former.len() > FORMER {
                self.puppets.former.pop_front();
            }
        }
        let (network, person) = (&self.relay.network, &puppet.person);
        match gone {
            Gone::Left => {}
            Gone::Lost(why) => {
                tracing::debug!(%network, %person, %why, "a puppet is gone");
                self.puppets.failures = (self.puppets.failures + 1).min(16);
            }
            Gone::Throttled(why) => {
                let limits = &self.relay.config.limits;
                self.puppets.next_connect = now + limits.throttled_pause;
                self.puppets.most = self.puppets.most.min(self.puppets.all.len().max(1));
                let most = self.puppets.most;
                tracing::warn!(%network, %why, most, "the network bears no more puppets");
            }
            Gone::Barred(why) => match self.puppets.barred(person) {
                true => tracing::warn!(%network, %person, %why, "the network does not take this puppet"),
                false => {
                    tracing::warn!(%network, %why, "the network takes no puppets; the relay speaks for everybody");
                    self.puppets.most = 0;
                }
            },
        }
        if !puppet.is_ready && self.puppets.failures > 0 {
            let limits = &self.relay.config.limits;
            let pause = limits.first_pause * 2u32.saturating_pow(self.puppets.failures);
            self.puppets.next_connect = now + pause.min(limits.longest_pause);
        }
        // A line that it took along and nobody confirmed may have been said.
        for flight in &mut self.relay.flights.all {
            if matches!(flight.step, Step::Sent { proof: Proof::Puppet(by, _), .. } if by == id) {
                (flight.step, flight.is_repeat) = (Step::Clear, true);
            }
        }
    }

    /// Words to a puppet alone: for the person behind it, where the owner linked the query, else for
    /// nobody, which is told once. Source: docs/decisions/0017-queries-to-puppets.md.
    fn puppet_query(&mut self, id: PuppetId, query: Query) {
        let folded = self.support.fold(&query.nick);
        let linked = self.relay.linked.now();
        let chat = linked.into_iter().find(|chat| self.support.fold(chat.as_str()) == folded);
        if let Some(ctcp) = query.text.strip_prefix('\x01').filter(|ctcp| !ctcp.starts_with("ACTION ")) {
            let answer = self.ctcp_answer(ctcp.trim_end_matches('\x01')).filter(|_| !query.is_notice);
            if let (Some(text), Some(puppet)) = (answer, self.puppets.get(id)) {
                let _ = puppet.words.try_send(Word::Notice { nick: query.nick, text });
            }
            return;
        }
        let is_theirs = chat.as_ref().is_none_or(|chat| self.is_theirs(chat, query.account.as_deref()));
        let Some(puppet) = self.puppets.get(id) else { return };
        // Who writes is there to be written to, whatever was before.
        puppet.barred.remove(&folded);
        match chat.filter(|chat| puppet.chats.contains_key(chat)) {
            Some(chat) if is_theirs => self.heard_query(chat, query),
            _ if query.is_notice || puppet.told.len() >= TOLD || !puppet.told.insert(folded) => {}
            Some(_) => {
                let _ = puppet.words.try_send(Word::Notice { nick: query.nick, text: NOT_THEIRS.to_owned() });
            }
            None => {
                let text = "I am on WeChat and not here: what is said to me alone reaches nobody. \
                            Say it in the channel, with my nick in front.";
                let _ = puppet.words.try_send(Word::Notice { nick: query.nick, text: text.to_owned() });
            }
        }
    }
}
