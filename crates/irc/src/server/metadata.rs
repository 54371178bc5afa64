//! METADATA: pictures, names and whatever people say of themselves by keys.
//!
//! What is of WeChat can be read and not changed: `display-name` is the name as it stands there,
//! `status` the signature, `avatar` a link to the picture, which is fetched when somebody asks for it or
//! a subscriber sees the person speak. Source: IRCv3 draft/metadata-2.

use bytes::Bytes;
use wxgate_contract::{Batch, Note};

use super::answer::Step;
use super::caps::Caps;
use super::commands::Turn;
use super::hall::{lines_of, told};
use super::registry::ClientId;
use super::roster::{ChannelIx, PersonIx};
use super::session::Session;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::numeric as n;

mod early;
mod subscriptions;
mod values;

pub(super) use early::Early;
pub(super) use subscriptions::MAX_SUBS;

/// Keys that a user or a channel may have; announced.
pub(super) const MAX_KEYS: usize = 20;
/// Longest value, so that a line holds it with the longest names; announced.
pub(super) const VALUE_BYTES: usize = 300;
/// Longest key. Chosen.
const KEY_BYTES: usize = 64;

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
            let text = "There is no such subcommand";
            return self.fails(id, "METADATA", "SUBCOMMAND_INVALID", &[turn.param(1)], text);
        }
        if keys.is_empty() && ["GET", "SET", "SUB", "UNSUB"].contains(&word.as_str()) {
            return self.numeric(id, n::ERR_NEEDMOREPARAMS, "METADATA :Not enough parameters");
        }
        let Some(about) = self.about(target) else {
            return self.fails(id, "METADATA", "INVALID_TARGET", &[target], "There is no such target");
        };
        match (word.as_str(), about) {
            ("GET", about) => self.get_values(id, target, &about, &keys).await,
            ("LIST", about) => self.list_values(id, target, &about).await,
            ("SET", about) => self.set_value(id, target, &about, keys.first(), keys.get(1)).await,
            ("CLEAR", about) => self.clear_values(id, target, &about).await,
            ("SYNC", about) => self.sync_values(id, target, &about).await,
            ("SUB", About::Me) => self.subscribe(id, &keys),
            ("UNSUB", About::Me) => self.unsubscribe(id, &keys),
            ("SUBS", About::Me) => self.subscriptions(id),
            _ => self.fails(id, "METADATA", "INVALID_TARGET", &[target], "Only your own subscriptions"),
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
        let values = self.values_of(about).await;
        let batch = self.open_values(id, target);
        let shown = word(target);
        for key in keys {
            let line = match values.get(*key) {
                _ if !is_key(key) => self.failure("KEY_INVALID", &[key], "This is no key"),
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

    async fn set_value(
        &mut self,
        id: ClientId,
        target: &str,
        about: &About,
        key: Option<&&str>,
        value: Option<&&str>,
    ) {
        let key = key.copied().unwrap_or("");
        if !is_key(key) {
            return self.fails(id, "METADATA", "KEY_INVALID", &[key], "This is no key");
        }
        if !self.may_set(about) {
            let text = "This is not yours to change";
            return self.fails(id, "METADATA", "KEY_NO_PERMISSION", &[target, key], text);
        }
        if value.is_some_and(|value| value.len() > VALUE_BYTES) {
            return self.fails(id, "METADATA", "VALUE_INVALID", &[], "The value is too long");
        }
        let values = self.values_of(about).await;
        match value {
            None if !values.contains_key(key) => {
                return self.fails(id, "METADATA", "KEY_NOT_SET", &[target, key], "The key is not set");
            }
            Some(_) if values.len() >= MAX_KEYS && !values.contains_key(key) => {
                return self.fails(id, "METADATA", "LIMIT_REACHED", &[target], "There are too many keys");
            }
            _ => {}
        }
        self.store_value(id, about, key, value.copied()).await;
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
        let line = told(&self.shared.config.server_name, &self.nick, key, value);
        for (other, client) in &mut self.clients {
            if *other != id && client.hears(key) {
                client.line(&line);
            }
        }
        self.keep_value(key, value).await;
    }

    /// Of somebody with an account it outlives the connection.
    async fn keep_value(&self, key: &str, value: Option<&str>) {
        if self.account().is_none() {
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
            let text = "This is not yours to change";
            return self.fails(id, "METADATA", "KEY_NO_PERMISSION", &[target, "*"], text);
        }
        let values = self.values_of(about).await;
        let batch = self.open_values(id, target);
        for (key, value) in values {
            self.store_value(id, about, &key, None).await;
            let line = self.numeric_line(n::RPL_KEYVALUE, &format!("{} {key} * :{value}", word(target)));
            self.in_values(id, &batch, &line);
        }
        self.close_values(id, &batch);
    }

    async fn sync_values(&mut self, id: ClientId, target: &str, about: &About) {
        let keys = self.clients.get(&id).map(|client| client.subscribed.clone()).unwrap_or_default();
        let server = self.shared.config.server_name.clone();
        let lines = match about {
            About::Channel(name) => {
                self.on_floor(id, |floor| floor.values_around(name, &keys)).unwrap_or_default()
            }
            About::Group(ix) => {
                if let Err(error) = self.load_members(*ix).await {
                    tracing::warn!(%error, "the members of a group could not be read");
                }
                self.group_lines(*ix, &keys)
            }
            About::Me => lines_of(&server, &self.nick, &self.metadata, &keys),
            about => {
                let values = self.values_of(about).await;
                lines_of(&server, target, &values, &keys)
            }
        };
        let batch = self.open_values(id, target);
        let mut steps: Vec<Step> =
            lines.into_iter().map(|line| Step::Line(values_line(&batch, &line))).collect();
        if !batch.is_empty() {
            steps.push(Step::Line(format!(":{server} BATCH -{batch}")));
        }
        self.answer_in_steps(id, steps, None);
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

    fn failure(&self, code: &str, context: &[&str], text: &str) -> String {
        let line = Line::new().source(&self.shared.config.server_name).command("FAIL").param("METADATA");
        context.iter().fold(line.param(code), |line, word| line.param(word)).last(text).build()
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
