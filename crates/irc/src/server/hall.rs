//! The users of the gateway among themselves: local nicks and local channels.
//!
//! A lock and not an owner task: all effects of a line have to be queued to everybody before the
//! sender's next PING is answered, and a message to another task would be answered after it. What
//! is done under the lock is memory only: changing a table, copying lines into send queues.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wxgate_contract::Timestamp;

use super::caps::Caps;
use super::queue::SendQueue;
use super::registry::ClientId;
use super::roster::Known;
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

mod channels;
mod event;
mod log;
mod metadata;
mod moderate;
mod modes;
mod operators;
mod people;
mod query;
mod rename;
mod sight;
mod table;
mod talk;

pub(super) use channels::{TOPIC_BYTES, filled};
pub(super) use event::Event;
use log::{Log, Logs};
pub(super) use metadata::{Values, lines_of};
pub(super) use moderate::KICK_BYTES;
pub(super) use modes::{KEY_BYTES, MAX_BANS, MAX_CHANGES};
use modes::{Modes, Status};
pub(super) use talk::{Spoken, saying as talk_of, status_target};

/// The host of everybody who is connected here: where somebody sits is nobody's business.
pub(super) const HOST: &str = "wxgate";
/// Gone users that WHOWAS remembers. Chosen.
const MAX_WAS: usize = 500;
/// Local channels that one user may be in; announced as CHANLIMIT. Chosen.
pub(super) const MAX_CHANNELS: usize = 250;

/// A user, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct UserId(pub(super) u64);

/// One connection of a user.
#[derive(Debug)]
struct Seat {
    client: ClientId,
    caps: Caps,
    queue: Arc<SendQueue>,
    /// Folded nicks that it watches.
    watched: BTreeSet<String>,
    /// Keys of METADATA that it wants to hear of.
    subscribed: BTreeSet<String>,
}

impl Seat {
    fn hears(&self, key: &str) -> bool {
        self.caps.has(Caps::METADATA) && self.subscribed.contains(key)
    }
}

/// Who somebody is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) nick: String,
    pub(super) user: String,
    pub(super) realname: String,
    /// `None` for guests.
    pub(super) account: Option<String>,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Identity,
    pub(super) away: Option<String>,
    pub(super) is_bot: bool,
    pub(super) is_invisible: bool,
    pub(super) is_oper: bool,
    hears_wallops: bool,
    since: Timestamp,
    active: Timestamp,
    seats: Vec<Seat>,
    /// Folded names of the channels they are in.
    channels: BTreeSet<String>,
    /// Folded names of the channels they were invited to.
    invites: BTreeSet<String>,
    metadata: Values,
    /// What their WeChat account knows by name: they see nobody in here who is called so, and no channel.
    known: Arc<Known>,
}

impl User {
    pub(super) fn prefix(&self) -> String {
        format!("{}!{}@{HOST}", self.id.nick, self.id.user)
    }
}

#[derive(Debug)]
struct Topic {
    text: String,
    by: String,
    at: Timestamp,
}

#[derive(Debug)]
struct Channel {
    /// Its own for the life of the process, whatever its name becomes.
    id: u64,
    name: String,
    created: Timestamp,
    topic: Option<Topic>,
    modes: Modes,
    members: BTreeMap<UserId, Status>,
    metadata: Values,
    log: Log,
}

/// Somebody who is gone, or was called otherwise.
#[derive(Debug)]
struct Was {
    id: Identity,
    at: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    users: HashMap<UserId, User>,
    by_nick: HashMap<String, UserId>,
    channels: BTreeMap<String, Channel>,
    was: VecDeque<Was>,
    queries: Logs,
    /// Bytes said since it was looked whether all that is remembered is too much.
    said_bytes: usize,
    next: u64,
}

/// Everybody who is connected, where people may see each other.
#[derive(Debug, Default)]
pub(super) struct Hall {
    state: Mutex<State>,
    /// In front of every `msgid`: another one at each start.
    run_id: String,
}

impl Hall {
    pub(super) fn new(run_id: &str) -> Self {
        Self { state: Mutex::default(), run_id: run_id.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves tables that are whole: each change of two of them is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody new; `None` when the nick is taken.
    pub(super) fn enter(
        &self,
        id: Identity,
        known: Arc<Known>,
        server: &str,
        now: Timestamp,
    ) -> Option<UserId> {
        let mut state = self.lock();
        let folded = fold(&id.nick);
        if state.by_nick.contains_key(&folded) {
            return None;
        }
        state.next += 1;
        let user = UserId(state.next);
        let prefix = format!("{}!{}@{HOST}", id.nick, id.user);
        state.by_nick.insert(folded.clone(), user);
        let (seats, channels, invites) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (is_bot, is_invisible, is_oper, hears_wallops, away) = (false, false, false, false, None);
        let metadata = Values::new();
        let (since, active) = (now, now);
        let new = User {
            id,
            away,
            is_bot,
            is_invisible,
            is_oper,
            hears_wallops,
            since,
            active,
            seats,
            channels,
            invites,
            metadata,
            known,
        };
        state.users.insert(user, new);
        state.tell_watchers((server, now), &folded, n::RPL_MONONLINE, &prefix, user);
        Some(user)
    }

    /// One more connection of a user.
    pub(super) fn sit(&self, user: UserId, client: ClientId, caps: Caps, queue: Arc<SendQueue>) {
        if let Some(user) = self.lock().users.get_mut(&user) {
            let (watched, subscribed) = (BTreeSet::new(), BTreeSet::new());
            user.seats.push(Seat { client, caps, queue, watched, subscribed });
        }
    }

    /// A connection is gone; the user stays.
    pub(super) fn stand_up(&self, user: UserId, client: ClientId) {
        if let Some(user) = self.lock().users.get_mut(&user) {
            user.seats.retain(|seat| seat.client != client);
        }
    }

    /// A connection negotiated anew.
    pub(super) fn set_caps(&self, user: UserId, client: ClientId, caps: Caps) {
        let mut state = self.lock();
        let seats = state.users.get_mut(&user).map(|user| &mut user.seats);
        for seat in seats.into_iter().flatten().filter(|seat| seat.client == client) {
            seat.caps = caps;
        }
    }

    /// What a connection watches from now on.
    pub(super) fn watch(&self, user: UserId, client: ClientId, watched: BTreeSet<String>) {
        let mut state = self.lock();
        let seats = state.users.get_mut(&user).map(|user| &mut user.seats);
        if let Some(seat) = seats.into_iter().flatten().find(|seat| seat.client == client) {
            seat.watched = watched;
        }
    }

    pub(super) fn is_taken(&self, nick: &str) -> bool {
        self.lock().by_nick.contains_key(&fold(nick))
    }

    /// The user is in the channel with this folded name.
    pub(super) fn is_in(&self, user: UserId, folded: &str) -> bool {
        self.lock().user(user).is_some_and(|user| user.channels.contains(folded))
    }

    /// As whom the user with this nick is logged in.
    pub(super) fn account_of(&self, nick: &str) -> Option<String> {
        self.lock().find(nick).and_then(|(_, user)| user.id.account.clone())
    }

    /// How many operators are here.
    pub(super) fn operators(&self) -> usize {
        self.lock().users.values().filter(|user| user.is_oper).count()
    }

    /// How many users and channels there are.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let invisible = state.users.values().filter(|user| user.is_invisible).count();
        (state.users.len() - invisible, invisible, state.channels.len())
    }

    /// For one command of one connection.
    pub(super) fn floor<'a>(&'a self, act: Act<'a>) -> Floor<'a> {
        Floor { state: self.lock(), run_id: &self.run_id, act, out: Vec::new() }
    }
}

/// Who acts, and where the answers go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act<'a> {
    pub(super) me: UserId,
    pub(super) client: ClientId,
    pub(super) caps: Caps,
    pub(super) server: &'a str,
    pub(super) now: Timestamp,
}

/// The hall while one command is carried out. What the acting connection itself is to be told is
/// collected, because it may belong to a labelled answer.
pub(super) struct Floor<'a> {
    state: MutexGuard<'a, State>,
    run_id: &'a str,
    act: Act<'a>,
    out: Vec<String>,
}

fn push_line(queue: &SendQueue, line: &str) {
    queue.push_from_others(&super::queue::whole(line));
}

impl Floor<'_> {
    /// What the acting connection is told. To be queued before the floor is given back: what others do after it comes
    /// after it.
    pub(super) fn answers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out)
    }

    fn me(&self) -> Option<&User> {
        self.state.user(self.act.me)
    }

    fn nick(&self) -> String {
        self.me().map(|me| me.id.nick.clone()).unwrap_or_default()
    }

    fn numeric(&mut self, code: u16, rest: &str) {
        let nick = self.nick();
        self.out.push(format!(":{} {code:03} {nick} {rest}", self.act.server));
    }

    /// Something that the acting user does, now.
    fn event(&mut self, body: String) -> Event {
        self.state.next += 1;
        let msgid = format!("{}-{}", self.run_id, self.state.next);
        let me = self.me();
        Event {
            prefix: me.map(User::prefix).unwrap_or_default(),
            account: me.and_then(|me| me.id.account.clone()),
            is_bot: me.is_some_and(|me| me.is_bot),
            at: self.act.now,
            msgid,
            tags: String::new(),
            body,
        }
    }

    /// Tells users what the acting user does, where they see that; the acting connection gets it among its answers.
    fn tell(&mut self, users: impl IntoIterator<Item = UserId>, line: &dyn Fn(Caps) -> Option<String>) {
        for user in users {
            if !self.is_seen_by(user) {
                continue;
            }
            self.state.push(user, self.act.client, line);
            if user == self.act.me {
                self.out.extend(line(self.act.caps));
            }
        }
    }

    fn members(&self, folded: &str) -> Vec<UserId> {
        self.state.channels.get(folded).map(|c| c.members.keys().copied().collect()).unwrap_or_default()
    }

    fn status(&self, folded: &str, user: UserId) -> Option<Status> {
        self.state.channels.get(folded)?.members.get(&user).copied()
    }

    fn my_status(&self, folded: &str) -> Option<Status> {
        self.status(folded, self.act.me)
    }
}

/// A name as it may stand in the middle of a line.
fn shown(name: &str) -> String {
    let mut out = String::new();
    crate::wire::message::push_middle(&mut out, name);
    out
}

#[cfg(test)]
mod tests;
