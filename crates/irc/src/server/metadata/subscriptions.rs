//! Who is told of which keys: subscriptions, and what a client hears without asking again.

use std::collections::BTreeSet;

use super::{ALL, About, Dialect, Fault, is_key};
use crate::server::caps::Caps;
use crate::server::hall::lines_of;
use crate::server::inbound::Target;
use crate::server::registry::ClientId;
use crate::server::session::Session;
use crate::wire::numeric as n;

/// Keys that one client may subscribe to; announced.
pub(in crate::server) const MAX_SUBS: usize = 50;
/// Values told without being asked again; beyond it the client asks channel by channel. Chosen.
const MAX_TOLD: usize = 1_000;

impl Session {
    pub(super) fn subscribe(&mut self, id: ClientId, keys: &[&str]) {
        let (mut taken, mut new, mut faults) = (Vec::new(), BTreeSet::new(), Vec::new());
        let Some(client) = self.clients.get_mut(&id) else { return };
        for key in keys {
            if !is_key(key) {
                faults.push(Fault::OneKey(key));
            } else if client.subscribed.len() >= MAX_SUBS && !client.subscribed.contains(*key) {
                faults.push(Fault::TooManySubs(key));
                break;
            } else {
                if client.subscribed.insert((*key).to_owned()) {
                    new.insert((*key).to_owned());
                }
                taken.push(*key);
            }
        }
        if !taken.is_empty() {
            self.numeric(id, n::RPL_METADATASUBOK, &taken.join(" "));
        }
        for fault in faults {
            self.metadata_fails(id, fault);
        }
        self.local_subscribe(id);
        match self.dialect(id) {
            Dialect::Two => {
                let keys: BTreeSet<String> = taken.into_iter().map(str::to_owned).collect();
                self.tell_all_values(id, &keys);
            }
            Dialect::Three if new.is_empty() => {}
            // It asks once for all that it subscribes to.
            Dialect::Three => {
                let line = self.hearer(id).later(ALL);
                self.to(id, &line);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: ClientId, keys: &[&str]) {
        let (good, bad): (Vec<&str>, Vec<&str>) = keys.iter().copied().partition(|key| is_key(key));
        if let Some(client) = self.clients.get_mut(&id) {
            client.subscribed.retain(|key| !good.contains(&key.as_str()));
        }
        if !good.is_empty() {
            self.numeric(id, n::RPL_METADATAUNSUBOK, &good.join(" "));
        }
        for key in bad {
            self.metadata_fails(id, Fault::OneKey(key));
        }
        self.local_subscribe(id);
    }

    pub(super) fn subscriptions(&mut self, id: ClientId) {
        let keys = self.clients.get(&id).map(|client| client.subscribed.clone()).unwrap_or_default();
        let reference = format!("k{}", self.shared.next_number());
        let server = self.shared.config.server_name.clone();
        self.to(id, &format!(":{server} BATCH +{reference} metadata-subs"));
        for line in crate::server::hall::filled(keys.into_iter(), ' ', 400) {
            let line = self.numeric_line(n::RPL_METADATASUBS, &line);
            self.to(id, &format!("@batch={reference} {line}"));
        }
        self.to(id, &format!(":{server} BATCH -{reference}"));
    }

    /// What a client is to know from now on of everybody it sees.
    fn tell_all_values(&mut self, id: ClientId, keys: &BTreeSet<String>) {
        let (lines, later) = self.everything_seen(id, keys);
        lines.iter().for_each(|line| self.to(id, line));
        for name in later {
            let line = self.hearer(id).later(&name);
            self.to(id, &line);
        }
    }

    /// The same in a batch, as the answer to a question. Source: draft/metadata-3, "METADATA SYNC".
    pub(super) fn sync_everything(&mut self, id: ClientId) {
        let keys = self.subscribed(id);
        let (mut lines, later) = self.everything_seen(id, &keys);
        lines.extend(later.iter().map(|name| self.hearer(id).later(name)));
        self.answer_with_values(id, ALL, lines);
    }

    /// Values of everybody and everything that a client sees, and groups that are too large to be told of unasked.
    fn everything_seen(&mut self, id: ClientId, keys: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
        if keys.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut lines: Vec<String> = Vec::new();
        let hearer = self.hearer(id);
        let contacts = self.roster.people().filter(|(_, person)| person.is_contact);
        for (ix, person) in contacts {
            lines.extend(lines_of(&hearer, &person.nick, &self.known_values(ix), keys));
        }
        lines.extend(lines_of(&hearer, &self.nick, &self.metadata, keys));
        for name in self.local_channels() {
            lines.extend(self.on_floor(id, |floor| floor.values_around(&name, keys)).unwrap_or_default());
        }
        for nick in self.monitored_users(id) {
            lines.extend(self.values_of_user(id, &nick, keys));
        }
        let mut later = Vec::new();
        for ix in self.roster.joined() {
            let more = self.group_lines(&self.hearer(id), ix, keys);
            if lines.len() + more.len() > MAX_TOLD {
                later.push(self.channel_name(ix));
            } else {
                lines.extend(more);
            }
        }
        let mut told = BTreeSet::new();
        lines.truncate(MAX_TOLD);
        lines.retain(|line| told.insert(line.clone()));
        (lines, later)
    }

    /// Users of the gateway that a client watches.
    fn monitored_users(&self, id: ClientId) -> Vec<String> {
        let watched = self.clients.get(&id).into_iter().flat_map(|client| client.monitored.values());
        watched.filter(|nick| self.is_local(nick)).cloned().collect()
    }

    fn values_of_user(&mut self, id: ClientId, nick: &str, keys: &BTreeSet<String>) -> Vec<String> {
        let values = self.on_floor(ClientId(0), |floor| floor.user_values(nick)).flatten();
        lines_of(&self.hearer(id), nick, &values.unwrap_or_default(), keys)
    }

    /// Of a channel that was just joined.
    pub(in crate::server) fn tell_channel_values(&mut self, id: ClientId, name: &str) {
        let (keys, dialect) = (self.subscribed(id), self.dialect(id));
        let is_aware = self.clients.get(&id).is_some_and(|client| client.has(Caps::METADATA));
        if !is_aware || (keys.is_empty() && dialect == Dialect::Two) {
            return;
        }
        let lines = if self.is_local(name) {
            self.on_floor(id, |floor| floor.values_around(name, &keys)).unwrap_or_default()
        } else {
            match self.target(name) {
                Some(Target::Channel(ix)) => self.group_lines(&self.hearer(id), ix, &keys),
                _ => Vec::new(),
            }
        };
        self.tell_at_once(id, name, &lines);
    }

    /// Of those who are watched from now on and are there.
    pub(in crate::server) fn tell_watched_values(&mut self, id: ClientId, nicks: &[String]) {
        let (keys, dialect) = (self.subscribed(id), self.dialect(id));
        let is_aware = self.clients.get(&id).is_some_and(|client| client.has(Caps::METADATA));
        if !is_aware || (keys.is_empty() && dialect == Dialect::Two) {
            return;
        }
        for nick in nicks {
            let lines = match self.about(nick) {
                Some(About::User(nick)) => self.values_of_user(id, &nick, &keys),
                Some(About::Person(ix)) if self.health_is_up() || dialect == Dialect::Two => {
                    lines_of(&self.hearer(id), nick, &self.known_values(ix), &keys)
                }
                Some(About::Me) if dialect == Dialect::Three => {
                    lines_of(&self.hearer(id), nick, &self.metadata, &keys)
                }
                _ => continue,
            };
            self.tell_at_once(id, nick, &lines);
        }
    }

    /// Lines about a target that came into sight: as they are, or in a batch, where that is the way.
    fn tell_at_once(&mut self, id: ClientId, target: &str, lines: &[String]) {
        if lines.len() > MAX_TOLD {
            let line = self.hearer(id).later(target);
            return self.to(id, &line);
        }
        let batch = match self.dialect(id) {
            Dialect::Two => String::new(),
            Dialect::Three => self.open_values(id, target),
        };
        lines.iter().for_each(|line| self.in_values(id, &batch, line));
        self.close_values(id, &batch);
    }

    /// What WHOIS says besides of somebody, to who knows what it means. Source: draft/metadata-2, `RPL_WHOISKEYVALUE`.
    pub(in crate::server) fn whois_values(&mut self, id: ClientId, nick: &str) {
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::METADATA)) {
            return;
        }
        let values = match self.about(nick) {
            Some(About::Me) => self.metadata.clone(),
            Some(About::Person(ix)) => self.known_values(ix),
            _ => return,
        };
        for (key, value) in values {
            self.numeric(id, n::RPL_WHOISKEYVALUE, &format!("{nick} {key} * :{value}"));
        }
    }

    /// One's own, in the welcome.
    pub(in crate::server) fn greet_with_values(&mut self, id: ClientId) {
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::METADATA)) {
            return;
        }
        let (hearer, nick) = (self.hearer(id), self.nick.clone());
        let lines: Vec<String> =
            self.metadata.iter().map(|(key, value)| hearer.told(&nick, key, Some(value))).collect();
        let batch = self.open_values(id, &nick);
        lines.iter().for_each(|line| self.in_values(id, &batch, line));
        self.close_values(id, &batch);
    }

    pub(super) fn subscribed(&self, id: ClientId) -> BTreeSet<String> {
        let client = self.clients.get(&id).filter(|client| client.has(Caps::METADATA));
        client.map(|client| client.subscribed.clone()).unwrap_or_default()
    }
}
