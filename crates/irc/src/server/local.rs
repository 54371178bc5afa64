//! A session among the users of the gateway: what it does in the hall.

use std::collections::BTreeSet;
use std::sync::Arc;

use wxgate_contract::Timestamp;

use super::caps::Caps;
use super::client::Client;
use super::commands::{Turn, Who};
use super::hall::{Act, Floor, Identity};
use super::history::Wanted;
use super::inbound::Typed;
use super::names;
use super::registry::{ClientId, Refusal};
use super::room::Room;
use super::session::{Session, one_line};
use crate::server::hall::talk_of;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;

impl Session {
    /// Does something in the hall for one connection, which gets the answers; `None` without a hall.
    pub(super) fn on_floor<T>(&mut self, id: ClientId, act: impl FnOnce(&mut Floor<'_>) -> T) -> Option<T> {
        let me = self.local?;
        let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
        let shared = Arc::clone(&self.shared);
        let hall = shared.hall.as_ref()?;
        let now = shared.clock.now();
        let mut floor = hall.floor(Act { me, client: id, caps, server: &shared.config.server_name, now });
        let result = act(&mut floor);
        if let Some(client) = self.clients.get_mut(&id) {
            floor.answers().iter().for_each(|line| client.line(line));
        }
        Some(result)
    }

    /// Another account of the same person has the nick among the users of the gateway: this one takes the next,
    /// as it does where a contact has it. Of somebody else's nick the client is told, and chooses.
    pub(super) fn step_aside(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (Some(hall), Some(me)) = (&shared.hall, self.account_name()) else { return };
        if hall.account_of(&self.nick).is_some_and(|owner| owner == me) {
            let (roster, now) = (&self.roster, shared.clock.now());
            let taken = |folded: &str| hall.is_taken(folded) || roster.by_nick(folded, now).is_some();
            self.nick = names::free_name(&self.nick, names::NICK_BYTES, taken);
            self.roster.reserve(&[&shared.config.service_nick, &self.nick]);
        }
    }

    /// Takes its place among the others, or tells why there is none. For people with an account there always is one:
    /// guests cannot keep them from their chats.
    pub(super) fn enter_hall(&mut self) -> Result<(), Refusal> {
        let shared = Arc::clone(&self.shared);
        let Some(hall) = &shared.hall else { return Ok(()) };
        if self.local.is_some() {
            return Ok(());
        }
        let id = Identity {
            nick: self.nick.clone(),
            user: self.own_user(),
            realname: one_line(&self.realname),
            account: self.account_name().map(str::to_owned),
        };
        let (visible, invisible, _) = hall.counts();
        if self.key.guest.is_some() && visible + invisible >= shared.config.limits.users_in_hall {
            return Err(Refusal::Why("too many guests are here".to_owned()));
        }
        let known = Arc::clone(self.roster.known());
        self.local = hall.enter(id, known, &shared.config.server_name, shared.clock.now());
        self.roster.set_place(self.local.map(|me| (Arc::clone(hall), me)));
        for (key, value) in self.metadata.clone() {
            self.on_floor(ClientId(0), |floor| floor.set_own_value(&key, Some(&value)));
        }
        if let Some(away) = self.away.clone() {
            self.on_floor(ClientId(0), |floor| floor.away(Some(away)));
        }
        self.local.map(|_| ()).ok_or(Refusal::NickInUse)
    }

    /// Takes a place for a connection. What others say reaches it once it was welcomed and knows its channels.
    pub(super) fn sit(&self, client: &Client) {
        if let (Some(hall), Some(me)) = (&self.shared.hall, self.local) {
            client.queue.hold();
            hall.sit(me, client.id, client.caps(), Arc::clone(&client.queue));
        }
    }

    /// A connection is gone; with the last one the user leaves.
    pub(super) fn stand_up(&mut self, id: ClientId, reason: &str) {
        if let (Some(hall), Some(me)) = (&self.shared.hall, self.local) {
            hall.stand_up(me, id);
        }
        if self.clients.is_empty() {
            self.leave_hall(id, reason);
        }
    }

    pub(super) fn leave_hall(&mut self, id: ClientId, reason: &str) {
        self.note_local_channels();
        self.on_floor(id, |floor| floor.quit(reason));
        self.local = None;
        self.roster.set_place(None);
    }

    pub(super) fn local_caps(&self, id: ClientId, caps: Caps) {
        if let (Some(hall), Some(me)) = (&self.shared.hall, self.local) {
            hall.set_caps(me, id, caps);
        }
    }

    pub(super) fn local_watch(&self, id: ClientId) {
        if let (Some(hall), Some(me), Some(client)) = (&self.shared.hall, self.local, self.clients.get(&id)) {
            hall.watch(me, id, client.monitored.keys().cloned().collect::<BTreeSet<_>>());
        }
    }

    pub(super) fn local_subscribe(&self, id: ClientId) {
        if let (Some(hall), Some(me), Some(client)) = (&self.shared.hall, self.local, self.clients.get(&id)) {
            hall.subscribe(me, id, client.subscribed.clone());
        }
    }

    pub(super) fn is_service(&self, name: &str) -> bool {
        is_same(name, &self.shared.config.service_nick)
    }

    /// True for a channel or a user of the gateway itself. What is of the account comes first.
    pub(super) fn is_local(&self, name: &str) -> bool {
        let name = super::hall::status_target(name).map_or(name, |(_, channel)| channel);
        if self.local.is_none() || self.is_service(name) || self.target(name).is_some() {
            return false;
        }
        if name.starts_with(['#', '&']) {
            return self.shared.config.is_local_name(name);
        }
        self.local_who(name).is_some()
    }

    /// Somebody with an account whom one has spoken with, and who may be away now.
    pub(super) fn is_remembered(&self, nick: &str) -> bool {
        let is_else = nick.starts_with(['#', '&']) || self.is_service(nick) || self.target(nick).is_some();
        let (Some(hall), Some(me), false) = (&self.shared.hall, self.local, is_else) else { return false };
        let (server, now) = (&self.shared.config.server_name, self.shared.clock.now());
        hall.floor(Act { me, client: ClientId(0), caps: Caps::NONE, server, now }).may_read(nick)
    }

    /// A user of the gateway by nick.
    pub(super) fn local_who(&self, nick: &str) -> Option<Who> {
        let (hall, me) = (self.shared.hall.as_ref()?, self.local?);
        let (server, now) = (&self.shared.config.server_name, self.shared.clock.now());
        let act = Act { me, client: ClientId(0), caps: Caps::NONE, server, now };
        hall.floor(act).who_is(nick)
    }

    /// One is in this local channel.
    pub(super) fn local_who_has(&mut self, name: &str) -> bool {
        self.local_channels().iter().any(|joined| is_same(joined, name))
    }

    /// The names of the local channels that one is in.
    pub(super) fn local_channels(&mut self) -> Vec<String> {
        let channels = self.on_floor(ClientId(0), |floor| floor.my_channels()).unwrap_or_default();
        channels.into_iter().map(|(_, name)| name).collect()
    }

    /// Joins for all connections of the user.
    pub(super) fn join_local(&mut self, id: ClientId, name: &str, key: Option<&str>) {
        if self.on_floor(id, |floor| floor.join(name, key)) != Some(true) {
            return;
        }
        self.note_local_channels();
        for client in self.client_ids() {
            self.show_local(client, name);
        }
    }

    /// Topic, mark and names of a channel, behind its JOIN.
    pub(super) fn show_local(&mut self, id: ClientId, name: &str) {
        let folded = crate::wire::casemap::fold(name);
        self.on_floor(id, |floor| floor.show_topic(&folded));
        self.send_local_mark(id, name);
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::NO_IMPLICIT_NAMES)) {
            self.on_floor(id, |floor| floor.names(name));
        }
        self.tell_channel_values(id, name);
    }

    /// The local channels of the user, for a connection that comes later.
    pub(super) fn show_local_channels(&mut self, id: ClientId) {
        let channels = self.on_floor(id, |floor| floor.my_channels()).unwrap_or_default();
        for (folded, name) in channels {
            if let Some(Some(line)) = self.on_floor(id, |floor| floor.joined_line(&folded)) {
                self.to(id, &line);
                self.show_local(id, &name);
            }
        }
    }

    pub(super) fn say_local(&mut self, id: ClientId, typed: &Typed) {
        // Tags go to those who take them, from those who may send them.
        let may_tag = self.clients.get(&id).is_some_and(|client| client.has(Caps::MESSAGE_TAGS));
        let tags = if may_tag { typed.tags.as_str() } else { "" };
        let saying = talk_of(typed.verb(), &typed.target, &typed.parts, tags);
        self.on_floor(id, |floor| floor.say(saying));
    }

    pub(super) fn local_history(
        &mut self,
        turn: &Turn<'_>,
        word: &str,
        name: &str,
        wanted: Wanted<'_>,
        limit: usize,
    ) {
        let id = turn.client;
        let room = Room { count: limit, bytes: self.shared.config.limits.answer_bytes() };
        let found = self.on_floor(id, |floor| match floor.may_read(name) {
            true => floor.history(name, wanted, room),
            false => Err(("INVALID_TARGET", "Messages could not be retrieved".to_owned())),
        });
        let entries = match found {
            Some(Ok(entries)) => entries,
            Some(Err((code, text))) => return self.fails(id, "CHATHISTORY", code, &[word, name], &text),
            None => Vec::new(),
        };
        let server = self.shared.config.server_name.clone();
        let reference = format!("h{}", self.shared.next_number());
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (caps, with_batch) = (client.caps(), client.has(Caps::BATCH));
        let extra = if with_batch { format!("batch={reference}") } else { String::new() };
        if with_batch {
            let line = Line::new().source(&server).command("BATCH").param(&format!("+{reference}"));
            client.line(&line.param("chathistory").param(name).build());
        }
        entries.iter().flat_map(|entry| entry.lines(caps, &extra)).for_each(|line| client.line(&line));
        if with_batch {
            client.line(&format!(":{server} BATCH -{reference}"));
        }
    }

    pub(super) fn local_spoken(&mut self) -> Vec<(Timestamp, String)> {
        self.on_floor(ClientId(0), |floor| floor.spoken()).unwrap_or_default()
    }
}
