//! From what was typed to a post. Source: the IRC notes, section 5.

use tokio::time::Instant;
use wxgate_contract::{Author, Batch, Body, Mention, PersonKey, Post, RemoteId};

use super::caps::Caps;
use super::held::{self, Held};
use super::multiline::Part;
use super::outbound::excerpt;
use super::registry::ClientId;
use super::roster::{ChannelIx, PersonIx};
use super::session::{Pending, Session, Unstored};
use crate::wire::casemap::{fold, is_same};
use crate::wire::format::strip;

/// Where a typed line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Channel(ChannelIx),
    Person(PersonIx),
}

/// Something typed for a chat.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    pub(super) target: String,
    pub(super) text: String,
    /// The lines that the client made of it.
    pub(super) parts: Vec<Part>,
    /// Client-only tags.
    pub(super) tags: String,
    /// Labels of the lines in it.
    pub(super) labels: Vec<String>,
    /// The `msgid` that it answers to.
    pub(super) reply: Option<String>,
    /// A NOTICE, which nothing answers and nothing joins.
    pub(super) is_notice: bool,
}

impl Typed {
    pub(super) fn verb(&self) -> &'static str {
        if self.is_notice { "NOTICE" } else { "PRIVMSG" }
    }
}

/// A note of the post may be on disk.
#[derive(Clone, Copy, Debug)]
struct Noted;

impl Session {
    /// Takes one typed line for a chat; it may wait for the rest of what the client cut.
    pub(super) async fn typed(&mut self, id: ClientId, typed: Typed) {
        let now = Instant::now();
        let limits = self.shared.config.limits.clone();
        let cuts_itself = self.clients.get(&id).is_some_and(|client| !client.caps().takes_multiline());
        // Each is told apart from the others: by what it answers to, by its label, by its kind, by its files.
        let is_alone = typed.reply.is_some()
            || !typed.labels.is_empty()
            || typed.is_notice
            || self.cut_at_files(&typed.text).len() > 1;
        if limits.hold.is_zero() || !cuts_itself || is_alone || typed.text.starts_with('\x01') {
            self.flush_held(id).await;
            return self.say(id, typed).await;
        }
        let Typed { target, text, .. } = typed;
        if !self.joins_held(id, &target, &text).await {
            self.flush_held(id).await;
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let shows_echo = client.has(Caps::ECHO_MESSAGE);
        match &mut client.held {
            Some(held) => held.join(&text, now, &limits),
            none => {
                let remote_id = self.shared.next_remote_id();
                *none = Some(Held::new(target, &text, remote_id, (now, &limits), shows_echo));
            }
        }
        self.note_held(id).await;
    }

    /// True when a line can be joined to what waits. One that has a meaning by what it begins with, and a file, begin
    /// anew, unless the client cut them off the line before.
    async fn joins_held(&self, id: ClientId, target: &str, text: &str) -> bool {
        let Some(held) = self.clients.get(&id).and_then(|client| client.held.as_ref()) else { return false };
        if fold(&held.target) != fold(target) || !held.has_room(text.len()) {
            return false;
        }
        let has_file = self.has_file(text);
        if held.goes_on_with(text) {
            return !has_file || !self.has_file(&held.text);
        }
        let Some(target) = self.target(target).filter(|_| !has_file) else { return false };
        let names_somebody = match target {
            Target::Channel(ix) => self.named_first(ix, text).is_some(),
            Target::Person(_) => false,
        };
        let answers = match self.chat_of(target).filter(|_| !names_somebody) {
            Some(chat) => self.answers_by_id(&chat, text).await,
            None => names_somebody,
        };
        !answers
    }

    /// Makes durable what waits: from here on a crash does not take it along.
    async fn note_held(&mut self, id: ClientId) {
        let Some(held) = self.clients.get(&id).and_then(|client| client.held.as_ref()) else { return };
        let (target, text, remote_id) = (held.target.clone(), held.text.clone(), held.remote_id.clone());
        // What cannot be said is told when it would have been.
        let Ok(Some(post)) = self.compose(&target, &text, None, remote_id).await else { return };
        let notes = held::note_of(&post).into_iter().collect();
        let noted = self.commit(Batch { notes, ..Batch::default() }).await;
        if let Err(error) = &noted {
            tracing::debug!(%error, "a line that waits could not be written down");
        }
        if !matches!(noted, Err(Unstored::Not(_)))
            && let Some(held) = self.clients.get_mut(&id).and_then(|client| client.held.as_mut())
        {
            held.is_noted = true;
            tracing::debug!(id = %held.remote_id, "a typed line waits for the rest and is on disk");
        }
    }

    /// Says what waits. What is to be told of it answers no command that is being carried out.
    pub(super) async fn flush_held(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(Held { target, text, remote_id, is_noted, .. }) = client.held.take() else { return };
        let capture = client.capture.take();
        let typed = Typed { target, text, ..Typed::default() };
        self.say_as(id, typed, remote_id, is_noted.then_some(Noted)).await;
        if let Some(client) = self.clients.get_mut(&id) {
            client.capture = capture;
        }
    }

    pub(super) async fn flush_all_held(&mut self) {
        for id in self.client_ids() {
            self.flush_held(id).await;
        }
    }

    pub(super) fn target(&self, name: &str) -> Option<Target> {
        let now = self.shared.clock.now();
        if name.starts_with('#') {
            return self.roster.by_name(name, now).map(Target::Channel);
        }
        self.roster.by_nick(name, now).map(|(ix, _)| Target::Person(ix))
    }

    /// Commits a post, or one for each file that it has; the echoes follow when their fates are known.
    pub(super) async fn say(&mut self, id: ClientId, mut typed: Typed) {
        let text = std::mem::take(&mut typed.text);
        let texts = if text.starts_with('\x01') { vec![text.as_str()] } else { self.cut_at_files(&text) };
        for text in texts {
            // The label and what it answers to are the first one's.
            let (labels, reply) = (std::mem::take(&mut typed.labels), typed.reply.take());
            let one = Typed {
                text: text.to_owned(),
                labels,
                reply,
                target: typed.target.clone(),
                ..Typed::default()
            };
            let remote_id = self.shared.next_remote_id();
            self.say_as(id, one, remote_id, None).await;
        }
    }

    async fn say_as(&mut self, id: ClientId, typed: Typed, remote_id: RemoteId, noted: Option<Noted>) {
        let Typed { target, text, labels, reply, .. } = typed;
        let excerpt = excerpt(&text);
        let composed = self.compose(&target, &text, reply.as_deref(), remote_id.clone()).await;
        let pending = Pending { client: id, labels, target, excerpt, redacts: None };
        let post = match composed {
            Ok(Some(post)) => post,
            Ok(None) => {
                self.forget(&remote_id, noted).await;
                return;
            }
            Err(why) => {
                let verdict = self.forget(&remote_id, noted).await;
                return self.tell_failure(&pending, &format!("{verdict}, because {why}"));
            }
        };
        let notes = noted.iter().map(|_| held::gone(&remote_id)).collect();
        match self.commit(Batch { posts: vec![post], notes, ..Batch::default() }).await {
            Ok(()) => self.expect_fate(remote_id, pending),
            Err(error @ Unstored::Not(_)) => {
                tracing::warn!(%error, "a line typed on IRC could not be stored");
                let verdict = self.forget(&remote_id, noted).await;
                self.tell_failure(&pending, &format!("{verdict}, because {error}"));
            }
            Err(error @ Unstored::Perhaps) => {
                tracing::warn!(%error, "a line typed on IRC is not known to be stored");
                self.tell_failure(&pending, &format!("may not have been delivered: {error}"));
            }
        }
    }

    /// A line that is given up must not be said after a restart; where its note cannot be taken away, nobody
    /// can promise that.
    async fn forget(&mut self, remote_id: &RemoteId, noted: Option<Noted>) -> &'static str {
        let notes: Vec<_> = noted.iter().map(|_| held::gone(remote_id)).collect();
        if notes.is_empty() || self.commit(Batch { notes, ..Batch::default() }).await.is_ok() {
            "was not delivered"
        } else {
            "may not have been delivered"
        }
    }

    /// The post that a text becomes; `None` when nothing is left of it, an error when it cannot be said.
    async fn compose(
        &self,
        name: &str,
        text: &str,
        reply: Option<&str>,
        remote_id: RemoteId,
    ) -> Result<Option<Post>, &'static str> {
        let target = self.target(name).ok_or("nobody has that name any more")?;
        if !self.health_is_up() {
            // Nothing is queued for hours behind somebody's back.
            return Err("WeChat is logged out");
        }
        let place = self.chat_of(target).and_then(|key| Some((key.clone(), self.chat_ref(&key)?)));
        let Some((key, chat)) = place else { return Ok(None) };
        let (quote, text) = self.quoted(&key, text, reply).await;
        let Some((body, mentions)) = self.body(target, text).await else { return Ok(None) };
        let (author, at) = (Author::Owner, self.shared.clock.now());
        Ok(Some(Post { remote_id, chat, author, at, body, quote, mentions, echo_of: None }))
    }

    /// What a text means; `None` when nothing is left of it.
    async fn body(&self, target: Target, text: &str) -> Option<(Body, Vec<Mention>)> {
        if let Some(action) = text.strip_prefix("\x01ACTION ") {
            let text = strip(action.trim_end_matches('\x01')).trim().to_owned();
            return (!text.is_empty()).then_some((Body::Action { text }, Vec::new()));
        }
        let plain = strip(text);
        if let Some(mut file) = self.file_with_words(&plain).await {
            let mentions;
            (file.caption, mentions) = self.named_in(target, &file.caption);
            return Some((Body::Attachment(file), mentions));
        }
        let (text, mentions) = self.named_in(target, &plain);
        (!text.trim().is_empty()).then_some((Body::Text { text }, mentions))
    }

    /// A text with those of its group who are named in it.
    fn named_in(&self, target: Target, text: &str) -> (String, Vec<Mention>) {
        match target {
            Target::Channel(ix) => self.find_mentions(ix, text),
            Target::Person(_) => (text.to_owned(), Vec::new()),
        }
    }

    /// A member of a group by nick, with the name in it.
    fn member(&self, channel: ChannelIx, nick: &str) -> Option<(PersonKey, String)> {
        let (ix, _) = self.roster.by_nick(nick, self.shared.clock.now())?;
        let membership = self.roster.membership(channel, ix)?;
        Some((self.roster.person(ix)?.key.clone(), membership.alias.clone()))
    }

    /// The member whose nick stands in front of a line, that nick, and what is said to them.
    fn named_first<'a>(
        &self,
        channel: ChannelIx,
        text: &'a str,
    ) -> Option<((PersonKey, String), &'a str, &'a str)> {
        let (word, tail) = text.split_once([':', ',', '：', '，'])?;
        if word.contains(char::is_whitespace) || word.starts_with('@') {
            return None;
        }
        Some((self.member(channel, word)?, word, tail))
    }

    /// `nick: hi` at the start and `@nick` anywhere become mentions of members.
    fn find_mentions(&self, channel: ChannelIx, text: &str) -> (String, Vec<Mention>) {
        let mut out = String::with_capacity(text.len());
        let mut mentions = Vec::new();
        let mut add = |out: &mut String, (person, alias): (PersonKey, String), nick: &str| {
            let start = out.len();
            out.push('@');
            out.push_str(if alias.is_empty() { nick } else { &alias });
            mentions.push(Mention { person: Some(person), is_owner: false, range: (start, out.len()) });
        };
        let mut rest = text;
        if let Some((found, word, tail)) = self.named_first(channel, text) {
            add(&mut out, found, word);
            out.push(' ');
            rest = tail.trim_start_matches(' ');
        }
        while let Some(at) = rest.find('@') {
            let (before, sign) = rest.split_at(at);
            out.push_str(before);
            let tail = sign.get(1..).unwrap_or("");
            let word: &str = tail.split(|c: char| c.is_whitespace()).next().unwrap_or("");
            // The longest beginning of the word that is somebody's nick: marks may follow it.
            let starts_word = !out.ends_with(|c: char| c.is_ascii_alphanumeric());
            let ends = word.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            let found = ends
                .filter(|_| starts_word)
                .filter_map(|end| word.get(..end))
                .find_map(|nick| self.member(channel, nick).map(|found| (nick, found)));
            match found {
                Some((nick, found)) => {
                    add(&mut out, found, nick);
                    rest = tail.get(nick.len()..).unwrap_or("");
                }
                None => {
                    out.push('@');
                    rest = tail;
                }
            }
        }
        out.push_str(rest);
        (out, mentions)
    }

    /// Says that a CTCP request reaches nobody.
    fn refuse_ctcp(&mut self, id: ClientId, target: &str, word: &str) {
        let mut text = format!("CTCP {word} is not carried to WeChat");
        if word == "DCC" {
            text.push_str(match self.shared.config.filehost {
                Some(_) => "; hand files over as your client's uploads (FILEHOST)",
                None => "; files cannot be handed over here",
            });
        }
        if self.clients.get(&id).is_some_and(|client| client.has(Caps::STANDARD_REPLIES)) {
            return self.fails(id, "PRIVMSG", "CTCP_UNSUPPORTED", &[target], &text);
        }
        self.service_says(id, &text);
    }

    /// A CTCP request to somebody else than a channel is answered here: nobody else could.
    pub(super) fn ctcp(&mut self, id: ClientId, target: &str, request: &str) {
        let (word, rest) = request.split_once(' ').unwrap_or((request, ""));
        let answer = match word.to_ascii_uppercase().as_str() {
            "VERSION" => format!("VERSION wxgate {}", env!("CARGO_PKG_VERSION")),
            "PING" => format!("PING {rest}"),
            "TIME" => format!("TIME {}", super::stamp::long(self.shared.clock.now())),
            "CLIENTINFO" => "CLIENTINFO ACTION PING TIME VERSION".to_owned(),
            word => return self.refuse_ctcp(id, target, word),
        };
        let nick = self.nick.clone();
        let prefix = match self.target(target) {
            Some(Target::Person(ix)) => self.roster.person(ix).map(super::roster::Person::prefix),
            _ => None,
        };
        let prefix = prefix.unwrap_or_else(|| {
            if is_same(target, &nick) { self.own_prefix() } else { self.service_prefix() }
        });
        self.to(id, &format!(":{prefix} NOTICE {nick} :\x01{answer}\x01"));
    }
}
