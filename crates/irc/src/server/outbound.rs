//! What was said, as lines for each client.

use std::sync::Arc;

use tokio::time::Instant;
use wxgate_contract::{Author, Body, Fate, PostId, TimelineItem, Timestamp};

use super::caps::{Caps, MULTILINE_BYTES, MULTILINE_LINES};
use super::choices::Join;
use super::client::{Client, Mode};
use super::multiline::{self, Part};
use super::registry::ClientId;
use super::roster::{ChannelIx, PersonIx};
use super::session::{Pending, Session};
use crate::wire::split;
use crate::wire::tags::escape_into;

mod give;
mod played;
mod shape;
mod text;

pub(super) use give::Giving;
use give::give;
use played::Played;
use shape::Shape;
pub(super) use text::excerpt;

/// Bytes that wait for a client above which it is no longer given what happens, but reads the
/// timeline at its own pace. A quarter of the queue's bound.
pub(super) const MAX_AHEAD_BYTES: usize = 256 * 1024;
/// What `[MM-DD HH:MM] ` takes.
const SHORT_STAMP_BYTES: usize = 14;
/// About what the gateway's own tags of a line take, and its verb.
pub(super) const TAG_BYTES: usize = 160;
/// What marks an own line in front of clients that cannot see own lines in queries.
const OWN_MARK: &str = "→ ";

/// Where a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Channel(ChannelIx),
    Query(PersonIx),
}

/// A line ready to be addressed to each client.
#[derive(Debug)]
pub(super) struct Rendered {
    id: PostId,
    at: Timestamp,
    prefix: String,
    verb: &'static str,
    target: String,
    /// The other side of a query with an own line, for clients that cannot show own lines.
    own_query: Option<String>,
    account: Option<String>,
    is_bot: bool,
    texts: Vec<String>,
    /// The same as one message in several lines, where that makes a difference and somebody wants it.
    parts: Vec<Part>,
    /// The same as the commands that it was, of what is no message.
    played: Vec<Played>,
    /// The post that it answers to.
    reply: Option<PostId>,
    /// What it takes back, for clients that understand it, and who does so where.
    redacted: Option<Redacted>,
    redacted_by: (String, String),
}

/// A message that is taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redacted {
    pub(super) post: PostId,
    /// Messages with ids of their own that it was shown as.
    pub(super) pieces: usize,
    /// Clients that take several lines as one message were shown one.
    pub(super) is_one: bool,
}

impl Rendered {
    /// Messages with ids of their own.
    pub(super) fn pieces(&self) -> usize {
        self.texts.len()
    }

    /// The lines as they are shown.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// Who said it.
    pub(super) fn nick(&self) -> &str {
        self.prefix.split('!').next().unwrap_or_default()
    }

    /// Messages that a client with these capabilities gets.
    pub(super) fn lines_for(&self, caps: Caps) -> usize {
        let played = self.played_for(caps).len();
        if played > 0 {
            return played;
        }
        if caps.takes_multiline() && !self.parts.is_empty() { 1 } else { self.texts.len() }
    }

    /// The commands that it is in a history of a client with these capabilities; without any it is a message.
    fn played_for(&self, caps: Caps) -> &[Played] {
        match caps.has(Caps::EVENT_PLAYBACK) && caps.has(Caps::BATCH) {
            true => &self.played,
            false => &[],
        }
    }

    /// About the bytes of its lines with all their tags.
    pub(super) fn bytes(&self) -> usize {
        let around = self.prefix.len() + self.target.len() + TAG_BYTES;
        let said: usize = self.texts.iter().map(|text| text.len() + around).sum();
        said.max(self.played.iter().map(|played| played.len() + TAG_BYTES).sum())
    }

    /// True when a client that takes several lines as one message is given one.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Makes it the recall of a message.
    pub(super) fn take_back(&mut self, redacted: Redacted) {
        self.redacted = Some(redacted);
    }

    /// True when a client with these capabilities is given a redaction and no message.
    pub(super) fn is_redaction_for(&self, caps: Caps) -> bool {
        self.redacted.is_some() && caps.has(Caps::REDACTION)
    }
}

impl Session {
    /// Shows something that became visible just now.
    pub(super) async fn show(&mut self, item: Arc<TimelineItem>) {
        self.last_seq = self.last_seq.max(item.seq);
        if let Author::Person { person, .. } = &item.post.author {
            self.want_face_of_speaker(person);
        }
        let own = self.typed_by(&item);
        let window = self.window(&item).await;
        self.note_title(&item);
        let rendered = match window {
            Some(window) if self.is_open(window).await && !self.is_muted(window, &item) => {
                self.render_whole(&item, window, Replay(false)).await
            }
            _ => None,
        };
        if let (Some(Window::Channel(ix)), Fate::Said) = (window, &item.fate)
            && let Some(channel) = self.roster.channel_mut(ix)
        {
            channel.last_post = Some(item.post_id);
        }
        self.note_removals(window, &item);
        let now = Instant::now();
        let is_known_failure =
            own.is_some_and(|id| self.clients.contains_key(&id)) && item.fate != Fate::Said;
        let mut buffer = String::new();
        let mut behind = Vec::new();
        for client in self.clients.values_mut() {
            if !client.is_live() && client.queue.len_bytes() == 0 {
                behind.push(client.id);
            }
            if !client.is_live() || item.seq <= client.floor_seq {
                continue;
            }
            if client.queue.is_ahead(MAX_AHEAD_BYTES) {
                client.mode = Mode::Reading;
                continue;
            }
            if own != Some(client.id)
                && !is_known_failure
                && let Some(rendered) = &rendered
            {
                give(client, rendered, Giving::default(), &self.nick, &mut buffer);
            }
            client.gave(item.seq, now);
        }
        // Who is behind, and be it since this very item, finds it in the timeline and is told there what became of it.
        let is_behind = |client: &Client| !client.is_live() && item.seq > client.sent_seq;
        let is_told = own.is_some_and(|id| !self.clients.get(&id).is_some_and(is_behind));
        if is_told && let Some(pending) = self.pending.remove(&item.post.remote_id) {
            self.tell_sender(&pending, &item, rendered.as_ref());
        }
        // A client that could not read the timeline before tries again.
        for id in behind {
            Box::pin(self.pump(id)).await;
        }
    }

    /// The client that typed it, while that has not been told what became of it.
    pub(super) fn typed_by(&self, item: &TimelineItem) -> Option<ClientId> {
        let is_ours = item.origin == self.shared.network;
        self.pending.get(&item.post.remote_id).filter(|_| is_ours).map(|pending| pending.client)
    }

    /// The echo or the failure, to the client that said it.
    pub(super) fn tell_sender(
        &mut self,
        pending: &Pending,
        item: &TimelineItem,
        rendered: Option<&Rendered>,
    ) {
        if let Some(why) = self.failure(&item.fate) {
            return self.tell_failure(pending, &why);
        }
        let nick = self.nick.clone();
        let server = self.shared.config.server_name.clone();
        let batch = format!("l{}", self.shared.next_number());
        let Some(client) = self.clients.get_mut(&pending.client) else { return };
        let mut labels = pending.labels.iter();
        let mut buffer = String::new();
        match rendered {
            Some(rendered) if client.has(Caps::ECHO_MESSAGE) => match labels.next() {
                Some(label) if rendered.lines_for(client.caps()) > 1 && client.has(Caps::BATCH) => {
                    let mut start = String::from("@label=");
                    escape_into(&mut start, label);
                    client.line(&format!("{start} :{server} BATCH +{batch} labeled-response"));
                    let giving = Giving { batch: Some(&batch), ..Giving::default() };
                    give(client, rendered, giving, &nick, &mut buffer);
                    client.line(&format!(":{server} BATCH -{batch}"));
                }
                label => {
                    let giving = Giving { label: label.map(String::as_str), ..Giving::default() };
                    give(client, rendered, giving, &nick, &mut buffer);
                }
            },
            _ => {}
        }
        for label in labels {
            let mut line = String::from("@label=");
            escape_into(&mut line, label);
            client.line(&format!("{line} :{server} ACK"));
        }
    }

    /// One honest sentence about a line that did not get through, where it was typed.
    pub(super) fn tell_failure(&mut self, pending: &Pending, why: &str) {
        let (server, nick) = (self.shared.config.server_name.clone(), self.nick.clone());
        let target = pending.target.clone();
        let now = self.shared.clock.now();
        let source = match self.roster.by_nick(&target, now).and_then(|(ix, _)| self.roster.person(ix)) {
            Some(person) => person.prefix(),
            None => self.service_prefix(),
        };
        let gateway = self.word("gateway", "网关");
        let Some(client) = self.clients.get_mut(&pending.client) else { return };
        let mut tags = String::new();
        // Where answers are collected they get the label together.
        if let Some(label) = pending.labels.first().filter(|_| client.capture.is_none()) {
            tags.push_str("@label=");
            escape_into(&mut tags, label);
            tags.push(' ');
        }
        if let Some(msgid) = &pending.redacts {
            client.line(&format!("{tags}:{server} FAIL REDACT REDACT_FORBIDDEN {target} {msgid} :{why}"));
        } else if client.has(Caps::STANDARD_REPLIES) {
            client.line(&format!(
                "{tags}:{server} FAIL PRIVMSG MESSAGE_NOT_DELIVERED {target} :\"{}\" {why}",
                pending.excerpt
            ));
        } else if target.starts_with('#') {
            client.line(&format!("{tags}:{source} NOTICE {target} :\"{}\" {why}", pending.excerpt));
        } else {
            let excerpt = &pending.excerpt;
            client.line(&format!("{tags}:{source} NOTICE {nick} :[{gateway}] \"{excerpt}\" {why}"));
        }
    }

    /// Where an item is shown; learns people and chats that are new.
    pub(super) async fn window(&mut self, item: &TimelineItem) -> Option<Window> {
        let now = self.shared.clock.now();
        let chat = &item.post.chat;
        let author = match &item.post.author {
            Author::Person { person, name } => {
                if self.roster.by_key(person).is_none()
                    && let Ok(profiles) =
                        self.shared.directory.people(&chat.network, std::slice::from_ref(person)).await
                    && let Some(profile) = profiles.first().filter(|p| !p.display_name().is_empty())
                {
                    self.roster.update_person(profile, now);
                }
                Some(self.roster.name_person(person, name, now))
            }
            Author::Owner | Author::Network | Author::Gateway => None,
        };
        if let Some(ix) = self.roster.by_chat(&chat.chat) {
            return Some(Window::Channel(ix));
        }
        if let Some(ix) = self.roster.by_private_chat(&chat.chat) {
            return Some(Window::Query(ix));
        }
        // A chat that nobody told us about.
        let profile = self.shared.directory.chat(chat).await.ok().flatten();
        if let Some(profile) = &profile
            && let Ok(Some((ix, _))) = self.take_chat(profile.clone()).await
        {
            return Some(Window::Channel(ix));
        }
        let person = author.or_else(|| {
            let profile = profile.as_ref()?;
            let members = profile.members.as_deref().unwrap_or_default();
            let other = members.iter().find(|member| !member.is_self)?;
            Some(self.roster.name_person(&other.person, &other.name, now))
        });
        let person = person.unwrap_or_else(|| {
            let title = profile.as_ref().map_or("", |profile| profile.title.as_str());
            self.roster.name_person(&chat.chat.as_str().into(), title, now)
        });
        self.roster.set_private_chat(person, &chat.chat);
        Some(Window::Query(person))
    }

    /// True when lines of this window are shown; joins a group that speaks.
    pub(super) async fn is_open(&mut self, window: Window) -> bool {
        let Window::Channel(ix) = window else { return true };
        let Some(channel) = self.roster.channel(ix) else { return false };
        if !channel.is_joined && !channel.is_hidden && channel.is_real && self.choices.join != Join::Manual {
            self.join(ix).await;
        }
        self.roster.channel(ix).is_some_and(|channel| channel.is_joined)
    }

    /// The lines of an item; `None` when it shows nothing, or nothing any more.
    pub(super) fn render(&mut self, item: &TimelineItem, window: Window, replay: Replay) -> Option<Rendered> {
        let is_own = item.post.author == Author::Owner;
        let author = match &item.post.author {
            Author::Person { person, .. } => self.roster.by_key(person),
            Author::Owner | Author::Network | Author::Gateway => None,
        };
        let content = self.content(item, window)?;
        let text_owned = content.text;
        let service = self.service_prefix();
        let own = self.own_prefix();
        let query = match window {
            Window::Query(ix) => self.roster.person(ix),
            Window::Channel(_) => None,
        };
        let by_author = content.speaker == text::Speaker::Author;
        let (prefix, target, own_query) = match (window, query) {
            _ if content.speaker == text::Speaker::Service => (service.clone(), self.nick.clone(), None),
            (Window::Channel(ix), _) => {
                let author = author.filter(|_| by_author).and_then(|ix| self.roster.person(ix));
                let prefix = match author {
                    Some(person) => person.prefix(),
                    None if is_own && by_author => own,
                    None => service.clone(),
                };
                (prefix, self.channel_name(ix), None)
            }
            (_, Some(person)) if is_own && by_author => (own, person.nick.clone(), Some(person.prefix())),
            (_, Some(person)) => (person.prefix(), self.nick.clone(), None),
            (_, None) => (service.clone(), self.nick.clone(), None),
        };
        let speaker = author.filter(|_| by_author).and_then(|ix| self.roster.person(ix));
        let is_bot = prefix == service || speaker.is_some_and(super::roster::Person::is_official);
        let account = author.and_then(|ix| self.roster.person(ix)).map(|person| person.user.clone());
        let own_account = || self.account_name().filter(|_| is_own).map(str::to_owned);
        let account = account.or_else(own_account).filter(|_| by_author);
        let mut budget = split::budget(&prefix, content.verb, &target);
        if let Some(contact) = &own_query {
            budget = budget.min(split::budget(contact, content.verb, &self.nick)) - OWN_MARK.len();
        }
        if replay.0 {
            budget -= SHORT_STAMP_BYTES;
        }
        let texts = shape::pieces(&text_owned, budget, content.shape);
        let wants_parts = texts.len() > 1
            && content.shape == Shape::Lines
            && text_owned.len() <= MULTILINE_BYTES
            && self.clients.values().any(|client| client.caps().takes_multiline());
        let parts = if wants_parts { multiline::parts(&text_owned, budget) } else { Vec::new() };
        let parts = if parts.len() <= MULTILINE_LINES { parts } else { Vec::new() };
        let played = if replay.0 { self.played(item, window) } else { Vec::new() };
        let redacted_by = match (&item.post.body, author.and_then(|ix| self.roster.person(ix))) {
            (Body::Recall { .. }, Some(person)) => person.prefix(),
            (Body::Recall { .. }, None) if is_own => self.own_prefix(),
            _ => String::new(),
        };
        let redacted_in = match query.filter(|_| is_own) {
            Some(person) => person.nick.clone(),
            None => target.clone(),
        };
        Some(Rendered {
            id: item.post_id,
            at: item.post.at,
            prefix,
            verb: content.verb,
            target,
            own_query,
            account,
            is_bot,
            texts,
            parts,
            played,
            reply: item.target.filter(|_| !matches!(item.post.body, Body::Recall { .. })),
            redacted: None,
            redacted_by: (redacted_by, redacted_in),
        })
    }

    /// Gives an item to one client.
    pub(super) fn give_item(&mut self, id: ClientId, rendered: &Rendered, giving: Giving<'_>) {
        let mut buffer = String::new();
        if let Some(client) = self.clients.get_mut(&id) {
            give(client, rendered, giving, &self.nick, &mut buffer);
        }
    }
}

/// The line is shown after the fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay(pub(super) bool);
