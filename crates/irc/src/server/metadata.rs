//! METADATA: pictures, names and whatever people say of themselves by keys.
//!
//! What is of WeChat can be read and not changed: `display-name` is the name as it stands there,
//! `status` the signature, `avatar` a link to the picture, which is fetched when somebody asks for it or
//! a subscriber sees the person speak. Source: IRCv3 draft/metadata-2 and draft/metadata-3.

use bytes::Bytes;
use wxgate_contract::{Batch, Note};

use super::answer::Step;
use super::caps::Caps;
use super::commands::Turn;
use super::hall::lines_of;
use super::registry::ClientId;
use super::roster::{ChannelIx, PersonIx};
use super::session::Session;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::numeric as n;

mod dialect;
mod early;
mod subscriptions;
mod values;

pub(super) use dialect::Hearer;
use dialect::{Dialect, Fault};
pub(super) use early::Early;
pub(super) use subscriptions::MAX_SUBS;

/// Keys that a user or a channel may have; announced.
pub(super) const MAX_KEYS: usize = 20;
/// Longest value, so that a line holds it with the longest names; announced.
pub(super) const VALUE_BYTES: usize = 300;
/// Longest key; announced. Chosen.
pub(super) const KEY_BYTES: usize = 64;

/// Everybody and everything that a client sees. Source: draft/metadata-3, "METADATA SYNC".
const ALL: &str = "*ALL";

/// Whom a command is about.
#[derive(Clone, Debug)]
enum About {
    Me,
    User(String),
    Channel(String),
    Person(PersonIx),
    Group(ChannelIx),
}

/// Source: IRCv3 draft/metadata-2, "Keys and Values".
fn is_key(key: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'/' | b'-');
    !key.is_empty() && key.len() <= KEY_BYTES && key.bytes().all(fits)
}

impl Session {
    /// `METADATA target subcommand …`.
    pub(super) async fn metadata(&mut self, turn: &Turn<'_>) {
        let (id, target) = (turn.client, turn.param(0));
        let keys: Vec<&str> = turn.message.params().get(2..).unwrap_or_default().to_vec();
        let word = turn.param(1).to_ascii_uppercase();
        let is_known =
            ["GET", "LIST", "SET", "CLEAR", "SUB", "UNSUB", "SUBS", "SYNC"].contains(&word.as_str());
        if !is_known {
            return self.metadata_fails(id, Fault::Subcommand(turn.param(1)));
        }
        if keys.is_empty() && ["GET", "SET", "SUB", "UNSUB"].contains(&word.as_str()) {
            return self.numeric(id, n::ERR_NEEDMOREPARAMS, "METADATA :Not enough parameters");
        }
        let dialect = self.dialect(id);
        if word == "SYNC" && target == ALL && dialect == Dialect::Three {
            return self.sync_everything(id);
        }
        let Some(about) = self.about(target) else {
            return self.metadata_fails(id, Fault::Target(target, "There is no such target"));
        };
        let target = self.spelled(dialect, target, &about);
        let target = target.as_str();
        match (word.as_str(), about) {
            ("GET", about) => self.get_values(id, target, &about, &keys).await,
            ("LIST", about) => self.list_values(id, target, &about).await,
            ("SET", about) => self.set_value(id, target, &about, &keys).await,
            ("CLEAR", about) => self.clear_values(id, target, &about).await,
            ("SYNC", about) => self.sync_values(id, target, &about).await,
            ("SUB", About::Me) => self.subscribe(id, &keys),
            ("UNSUB", About::Me) => self.unsubscribe(id, &keys),
            ("SUBS", About::Me) => self.subscriptions(id),
            _ => self.metadata_fails(id, Fault::Target(target, "Only your own subscriptions")),
        }
    }

    fn dialect(&self, id: ClientId) -> Dialect {
        Dialect::of(self.clients.get(&id).map(|client| client.caps()).unwrap_or_default())
    }

    fn metadata_fails(&mut self, id: ClientId, fault: Fault<'_>) {
        let line = self.dialect(id).fault(&self.shared.config.server_name, fault);
        self.to(id, &line);
    }

    /// A target as answers name it: as it was given, or as it spells itself.
    fn spelled(&mut self, dialect: Dialect, target: &str, about: &About) -> String {
        match (dialect, about) {
            (Dialect::Two, _) => target.to_owned(),
            (Dialect::Three, About::Me) => self.nick.clone(),
            (Dialect::Three, About::User(name) | About::Channel(name)) => {
                self.on_floor(ClientId(0), |floor| floor.spelling(name)).unwrap_or_else(|| name.clone())
            }
            (Dialect::Three, About::Person(ix)) => {
                self.roster.person(*ix).map_or_else(|| target.to_owned(), |person| person.nick.clone())
            }
            (Dialect::Three, About::Group(ix)) => self.channel_name(*ix),
        }
    }

    fn about(&mut self, target: &str) -> Option<About> {
        if target == "*" || is_same(target, &self.nick) {
            return Some(About::Me);
        }
        if self.is_local(target) {
            if !target.starts_with(['#', '&']) {
                return Some(About::User(target.to_owned()));
            }
            let seen = self.on_floor(ClientId(0), |floor| floor.channel_values(target)).flatten();
            return seen.map(|_| About::Channel(target.to_owned()));
        }
        match self.target(target)? {
            super::inbound::Target::Person(ix) => Some(About::Person(ix)),
            super::inbound::Target::Channel(ix) => Some(About::Group(ix)),
        }
    }

    async fn get_values(&mut self, id: ClientId, target: &str, about: &About, keys: &[&str]) {
        if let (About::Person(ix), true) = (about, keys.contains(&"avatar")) {
            self.want_face(*ix);
        }
        let (values, dialect) = (self.values_of(about).await, self.dialect(id));
        let batch = self.open_values(id, target);
        let shown = word(target);
        for key in keys {
            let line = match values.get(*key) {
                _ if !is_key(key) => dialect.fault(&self.shared.config.server_name, Fault::OneKey(key)),
                Some(value) => self.numeric_line(n::RPL_KEYVALUE, &format!("{shown} {key} * :{value}")),
                None => self.numeric_line(n::RPL_KEYNOTSET, &format!("{shown} {key} :key not set")),
            };
            self.in_values(id, &batch, &line);
        }
        self.close_values(id, &batch);
    }

    async fn list_values(&mut self, id: ClientId, target: &str, about: &About) {
        if let About::Person(ix) = about {
            self.want_face(*ix);
        }
        let values = self.values_of(about).await;
        let batch = self.open_values(id, target);
        for (key, value) in values {
            let line = self.numeric_line(n::RPL_KEYVALUE, &format!("{} {key} * :{value}", word(target)));
            self.in_values(id, &batch, &line);
        }
        self.close_values(id, &batch);
    }

    async fn set_value(&mut self, id: ClientId, target: &str, about: &About, params: &[&str]) {
        let (key, mut value) = (params.first().copied().unwrap_or(""), params.get(1).copied());
        let dialect = self.dialect(id);
        if dialect == Dialect::Three {
            // Source: draft/metadata-3: the empty value takes the key away, and what is away may be taken away.
            value = value.filter(|value| !value.is_empty());
        }
        if !is_key(key) {
            return self.metadata_fails(id, Fault::Key(key));
        }
        if !self.may_set(about) {
            return self.metadata_fails(id, Fault::Permission(target, key));
        }
        if value.is_some_and(|value| value.len() > VALUE_BYTES) {
            return self.metadata_fails(id, Fault::Value(key));
        }
        let values = self.values_of(about).await;
        let is_set = values.contains_key(key);
        match value {
            None if !is_set && dialect == Dialect::Two => {
                return self.metadata_fails(id, Fault::NotSet(target, key));
            }
            Some(_) if values.len() >= MAX_KEYS && !is_set => {
                return self.metadata_fails(id, Fault::TooManyKeys(target));
            }
            _ => {}
        }
        if is_set || value.is_some() {
            self.store_value(id, about, key, value).await;
        }
        match value {
            Some(value) => {
                self.numeric(id, n::RPL_KEYVALUE, &format!("{} {key} * :{value}", word(target)));
            }
            None => self.numeric(id, n::RPL_KEYNOTSET, &format!("{} {key} :key not set", word(target))),
        }
    }

    /// What a client said of itself before it was here.
    pub(super) async fn take_early(&mut self, id: ClientId, early: Early) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.subscribed = early.subscribed;
        }
        self.local_subscribe(id);
        for (key, value) in early.values {
            self.store_value(id, &About::Me, &key, value.as_deref()).await;
        }
    }

    fn may_set(&mut self, about: &About) -> bool {
        match about {
            About::Me => true,
            About::Channel(name) => {
                self.on_floor(ClientId(0), |floor| floor.may_describe(name)).unwrap_or(false)
            }
            About::User(_) | About::Person(_) | About::Group(_) => false,
        }
    }

    async fn store_value(&mut self, id: ClientId, about: &About, key: &str, value: Option<&str>) {
        if let About::Channel(name) = about {
            self.on_floor(id, |floor| floor.set_channel_value(name, key, value));
            return;
        }
        match value {
            Some(value) => self.metadata.insert(key.to_owned(), value.to_owned()),
            None => self.metadata.remove(key),
        };
        self.on_floor(id, |floor| floor.set_own_value(key, value));
        for (other, client) in &mut self.clients {
            if *other != id && client.hears(key) {
                let hearer = Hearer::new(client.caps(), &self.shared.config.server_name, &self.nick);
                let line = hearer.told(&self.nick, key, value);
                client.line(&line);
            }
        }
        self.keep_value(key, value).await;
    }

    /// Of somebody with an account it outlives the connection.
    async fn keep_value(&self, key: &str, value: Option<&str>) {
        if self.key.guest.is_some() {
            return;
        }
        let key = self.roster.note_key("meta", key);
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let notes = vec![Note { key, value, is_secret: false }];
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            tracing::warn!(%error, "a value of METADATA could not be stored");
        }
    }

    async fn clear_values(&mut self, id: ClientId, target: &str, about: &About) {
        if !self.may_set(about) {
            return self.metadata_fails(id, Fault::Permission(target, "*"));
        }
        let values = self.values_of(about).await;
        let batch = self.open_values(id, target);
        for key in values.into_keys() {
            self.store_value(id, about, &key, None).await;
            let line = self.numeric_line(n::RPL_KEYNOTSET, &format!("{} {key} :key not set", word(target)));
            self.in_values(id, &batch, &line);
        }
        self.close_values(id, &batch);
    }

    async fn sync_values(&mut self, id: ClientId, target: &str, about: &About) {
        let keys = self.subscribed(id);
        if let About::Group(ix) = about
            && let Err(error) = self.load_members(*ix).await
        {
            tracing::warn!(%error, "the members of a group could not be read");
        }
        let values = self.values_of(about).await;
        let lines = match about {
            About::Channel(name) => {
                self.on_floor(id, |floor| floor.values_around(name, &keys)).unwrap_or_default()
            }
            About::Group(ix) => self.group_lines(&self.hearer(id), *ix, &keys),
            About::Me => lines_of(&self.hearer(id), &self.nick, &values, &keys),
            _ => lines_of(&self.hearer(id), target, &values, &keys),
        };
        self.answer_with_values(id, target, lines);
    }

    /// Lines in a batch of their own, however many.
    fn answer_with_values(&mut self, id: ClientId, target: &str, lines: Vec<String>) {
        let batch = self.open_values(id, target);
        let mut steps: Vec<Step> =
            lines.into_iter().map(|line| Step::Line(values_line(&batch, &line))).collect();
        if !batch.is_empty() {
            steps.push(Step::Line(format!(":{} BATCH -{batch}", self.shared.config.server_name)));
        }
        self.answer_in_steps(id, steps, None);
    }

    /// A client as one that is told of values.
    fn hearer(&self, id: ClientId) -> Hearer<'_> {
        let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
        Hearer::new(caps, &self.shared.config.server_name, &self.nick)
    }

    pub(super) fn load_value(&mut self, key: &str, value: &[u8]) {
        if let (true, Ok(value)) = (is_key(key), std::str::from_utf8(value)) {
            self.metadata.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Opens the batch of an answer; its reference, or nothing without the capability for batches.
    fn open_values(&mut self, id: ClientId, target: &str) -> String {
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::BATCH)) {
            return String::new();
        }
        let reference = format!("k{}", self.shared.next_number());
        let line = Line::new().source(&self.shared.config.server_name).command("BATCH");
        let line = line.param(&format!("+{reference}")).param("metadata").param(target).build();
        self.to(id, &line);
        reference
    }

    fn in_values(&mut self, id: ClientId, reference: &str, line: &str) {
        self.to(id, &values_line(reference, line));
    }

    fn close_values(&mut self, id: ClientId, reference: &str) {
        if !reference.is_empty() {
            let server = self.shared.config.server_name.clone();
            self.to(id, &format!(":{server} BATCH -{reference}"));
        }
    }

    fn numeric_line(&self, code: u16, rest: &str) -> String {
        format!(":{} {code:03} {} {rest}", self.shared.config.server_name, self.nick)
    }
}

/// A line of an answer, in its batch where there is one.
fn values_line(reference: &str, line: &str) -> String {
    if reference.is_empty() { line.to_owned() } else { format!("@batch={reference} {line}") }
}

/// A target as it may stand in a line.
fn word(target: &str) -> String {
    Line::new().command("").param(target).build().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_small_letters_and_few_signs() {
        for key in ["avatar", "display-name", "a", "draft/x_1.y"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "Avatar", "a b", "名", ":x", "a$", &"k".repeat(65)] {
            assert!(!is_key(key), "{key}");
        }
    }
}
