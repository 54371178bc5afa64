//! Who is told of which keys: subscriptions, and what a client hears without asking again.

use std::collections::BTreeSet;

use super::{About, is_key};
use crate::server::caps::Caps;
use crate::server::hall::{lines_of, told};
use crate::server::registry::ClientId;
use crate::server::session::Session;
use crate::wire::numeric as n;

/// Keys that one client may subscribe to; announced.
pub(in crate::server) const MAX_SUBS: usize = 50;
/// Values told without being asked again; beyond it the client asks channel by channel. Chosen.
const MAX_TOLD: usize = 1_000;

impl Session {
    pub(super) fn subscribe(&mut self, id: ClientId, keys: &[&str]) {
        let (mut taken, mut faults) = (Vec::new(), Vec::new());
        let Some(client) = self.clients.get_mut(&id) else { return };
        for key in keys {
            if !is_key(key) {
                faults.push(("KEY_INVALID", *key));
            } else if client.subscribed.len() >= MAX_SUBS && !client.subscribed.contains(*key) {
                faults.push(("TOO_MANY_SUBS", *key));
                break;
            } else {
                client.subscribed.insert((*key).to_owned());
                taken.push(*key);
            }
        }
        if !taken.is_empty() {
            self.numeric(id, n::RPL_METADATASUBOK, &taken.join(" "));
        }
        for (code, key) in faults {
            let text =
                if code == "KEY_INVALID" { "This is no key" } else { "There are too many subscriptions" };
            self.fails(id, "METADATA", code, &[key], text);
        }
        self.local_subscribe(id);
        let keys: BTreeSet<String> = taken.into_iter().map(str::to_owned).collect();
        self.tell_all_values(id, &keys);
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
            self.fails(id, "METADATA", "KEY_INVALID", &[key], "This is no key");
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
        if keys.is_empty() {
            return;
        }
        let server = self.shared.config.server_name.clone();
        let mut lines: Vec<String> = Vec::new();
        let contacts = self.roster.people().filter(|(_, person)| person.is_contact);
        for (ix, person) in contacts {
            lines.extend(lines_of(&server, &person.nick, &self.known_values(ix), keys));
        }
        for name in self.local_channels() {
            lines.extend(self.on_floor(id, |floor| floor.values_around(&name, keys)).unwrap_or_default());
        }
        lines.extend(lines_of(&server, &self.nick, &self.metadata, keys));
        let mut later = Vec::new();
        for ix in self.roster.joined() {
            let more = self.group_lines(ix, keys);
            if lines.len() + more.len() > MAX_TOLD {
                later.push(self.channel_name(ix));
            } else {
                lines.extend(more);
            }
        }
        let mut told = BTreeSet::new();
        for line in lines.into_iter().take(MAX_TOLD) {
            if told.insert(line.clone()) {
                self.to(id, &line);
            }
        }
        for name in later {
            self.numeric(id, n::RPL_METADATASYNCLATER, &name);
        }
    }

    /// Of a channel that was just joined.
    pub(in crate::server) fn tell_channel_values(&mut self, id: ClientId, name: &str) {
        let keys = self.subscribed(id);
        if keys.is_empty() {
            return;
        }
        let lines = if self.is_local(name) {
            self.on_floor(id, |floor| floor.values_around(name, &keys)).unwrap_or_default()
        } else {
            match self.target(name) {
                Some(crate::server::inbound::Target::Channel(ix)) => self.group_lines(ix, &keys),
                _ => Vec::new(),
            }
        };
        if lines.len() > MAX_TOLD {
            return self.numeric(id, n::RPL_METADATASYNCLATER, name);
        }
        lines.iter().for_each(|line| self.to(id, line));
    }

    /// Of somebody who is watched from now on.
    pub(in crate::server) fn tell_watched_values(&mut self, id: ClientId, nicks: &[String]) {
        let keys = self.subscribed(id);
        let server = self.shared.config.server_name.clone();
        for nick in nicks.iter().filter(|_| !keys.is_empty()) {
            let values = match self.about(nick) {
                Some(About::User(nick)) => self.on_floor(id, |floor| floor.user_values(&nick)).flatten(),
                Some(About::Person(ix)) => Some(self.known_values(ix)),
                _ => None,
            };
            for line in lines_of(&server, nick, &values.unwrap_or_default(), &keys) {
                self.to(id, &line);
            }
        }
    }

    /// One's own, in the welcome.
    pub(in crate::server) fn greet_with_values(&mut self, id: ClientId) {
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::METADATA)) {
            return;
        }
        let (server, nick) = (self.shared.config.server_name.clone(), self.nick.clone());
        let lines: Vec<String> =
            self.metadata.iter().map(|(key, value)| told(&server, &nick, key, Some(value))).collect();
        let batch = self.open_values(id, &nick);
        lines.iter().for_each(|line| self.in_values(id, &batch, line));
        self.close_values(id, &batch);
    }

    fn subscribed(&self, id: ClientId) -> BTreeSet<String> {
        let client = self.clients.get(&id).filter(|client| client.has(Caps::METADATA));
        client.map(|client| client.subscribed.clone()).unwrap_or_default()
    }
}
