//! What was said among local users, in memory: it lives as long as the channel does.

use std::collections::VecDeque;

use wxgate_contract::Timestamp;

use super::talk::Spoken;
use super::{Event, Floor, UserId};
use crate::server::caps::Caps;
use crate::server::history::{Fault, Reference, Wanted};
use crate::server::room::Room;
use crate::server::search::Sought;
use crate::wire::casemap::{fold, is_same};

/// Entries of one channel or query, and about the bytes of their lines. Chosen.
const MAX_ENTRIES: usize = 1000;
const MAX_BYTES: usize = 512 * 1024;
mod queries;

pub(super) use queries::Logs;
use queries::MAX_TOTAL_BYTES;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(in crate::server) struct Entry {
    pub(super) event: Event,
    /// `None` for what is no message.
    pub(super) said: Option<Spoken>,
    pub(super) author: Owner,
    pub(super) is_redacted: bool,
}

impl Entry {
    /// About the bytes of its lines with all tags; it takes no more than that here.
    fn bytes(&self) -> usize {
        self.said.as_ref().map_or_else(|| self.event.bytes(), |said| said.bytes(&self.event))
    }

    /// Of whoever did it.
    fn nick(&self) -> &str {
        self.event.prefix.split('!').next().unwrap_or_default()
    }

    fn fits(&self, sought: &Sought) -> bool {
        let is_theirs = sought.from.as_deref().is_none_or(|from| is_same(from, self.nick()));
        let is_said = |said: &Spoken| is_theirs && sought.is_in(said.texts());
        sought.is_then(self.event.at) && self.said.as_ref().is_some_and(is_said)
    }

    /// Its lines for a client, each with this tag in front.
    pub(in crate::server) fn lines(&self, caps: Caps, extra: &str) -> Vec<String> {
        match &self.said {
            Some(said) => said.lines(&self.event, caps, extra),
            // Without tags nothing would be left of it.
            None if self.event.body.starts_with("TAGMSG ") && !caps.has(Caps::MESSAGE_TAGS) => Vec::new(),
            None if self.event.body.starts_with("RENAME ") && !caps.has(Caps::CHANNEL_RENAME) => Vec::new(),
            None if self.event.body.starts_with("REDACT ") && !caps.has(Caps::REDACTION) => Vec::new(),
            None => vec![self.event.line(caps, extra)],
        }
    }
}

/// Whose something is: the account, which outlives connections, else the connection's user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    Account(String),
    Guest(UserId),
}

#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Of all entries.
    bytes: usize,
}

impl Log {
    /// Everything up to now.
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }

    /// Takes in what another one has, each at its time.
    fn join(&mut self, other: Self) {
        let mut entries: Vec<Entry> = self.entries.drain(..).chain(other.entries).collect();
        entries.sort_by_key(|entry| entry.event.at);
        self.clear();
        entries.into_iter().for_each(|entry| self.push(entry));
    }

    pub(super) fn find(&mut self, msgid: &str) -> Option<&mut Entry> {
        let can_go = |entry: &Entry| entry.said.is_some() || entry.event.body.starts_with("TAGMSG ");
        self.entries.iter_mut().find(|entry| can_go(entry) && entry.event.msgid == msgid)
    }

    /// When the last thing happened.
    fn moved_at(&self) -> Option<Timestamp> {
        self.entries.back().map(|entry| entry.event.at)
    }

    fn last_at(&self) -> Option<Timestamp> {
        self.entries.iter().rev().find(|entry| entry.said.is_some()).map(|entry| entry.event.at)
    }

    /// The position of a reference: of the entry, or of the first one of that time.
    fn place(&self, reference: Reference<'_>) -> Result<usize, Fault> {
        match reference {
            Reference::Time(at) => Ok(self.entries.partition_point(|entry| entry.event.at < at)),
            Reference::Msgid(msgid) => {
                let found = self.entries.iter().position(|entry| entry.event.msgid == msgid);
                found.ok_or_else(|| ("MESSAGE_ERROR", "There is no message with this id".to_owned()))
            }
        }
    }

    /// Where what comes after a reference begins.
    fn behind(&self, reference: Reference<'_>) -> Result<usize, Fault> {
        match reference {
            Reference::Time(at) => Ok(self.entries.partition_point(|entry| entry.event.at <= at)),
            Reference::Msgid(_) => Ok(self.place(reference)? + 1),
        }
    }

    fn select(
        &self,
        wanted: Wanted<'_>,
        room: Room,
        is_shown: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, Fault> {
        let is_wanted = |entry: &&Entry| !entry.is_redacted && is_shown(entry);
        let range = |from: usize, to: usize| -> Vec<&Entry> {
            self.entries.iter().take(to).skip(from).filter(is_wanted).collect()
        };
        let first = |from: usize, to: usize, room: Room| -> Vec<Entry> {
            let range = range(from, to);
            let held = room.holds(range.iter().map(|entry| entry.bytes()));
            range.into_iter().take(held).cloned().collect()
        };
        let last = |from: usize, to: usize, room: Room| -> Vec<Entry> {
            let range = range(from, to);
            let held = room.holds(range.iter().rev().map(|entry| entry.bytes()));
            let from = range.len().saturating_sub(held);
            range.into_iter().skip(from).cloned().collect()
        };
        let end = self.entries.len();
        Ok(match wanted {
            Wanted::Latest(None) => last(0, end, room),
            Wanted::Latest(Some(from)) => last(self.behind(from)?, end, room),
            Wanted::Before(to) => last(0, self.place(to)?, room),
            Wanted::After(from) => first(self.behind(from)?, end, room),
            Wanted::Around(at) => {
                let at = self.place(at)?;
                let mut found = last(0, at, Room { count: room.count / 2, ..room });
                let rest = first(at, end, Room { count: room.count - found.len(), ..room });
                found.extend(rest);
                found
            }
            Wanted::Between(from, to) => {
                let (from_at, to_at) = (self.place(from)?, self.place(to)?);
                if from_at <= to_at {
                    first(self.behind(from)?, to_at, room)
                } else {
                    last(self.behind(to)?, from_at, room)
                }
            }
        })
    }
}

impl Floor<'_> {
    pub(super) fn owner(&self, user: UserId) -> Owner {
        let account = self.state.user(user).and_then(|user| user.id.account.clone());
        account.map_or(Owner::Guest(user), Owner::Account)
    }

    /// Keeps something that is no message.
    pub(super) fn log_event(&mut self, folded: &str, event: &Event) {
        let author = self.owner(self.act.me);
        let entry = Entry { event: event.clone(), said: None, author, is_redacted: false };
        self.log_entry(folded, entry);
    }

    fn log_entry(&mut self, folded: &str, entry: Entry) {
        self.state.make_room(&entry, MAX_TOTAL_BYTES);
        if let Some(channel) = self.state.channels.get_mut(folded) {
            channel.log.push(entry);
        }
    }

    /// Keeps a message to a channel.
    pub(super) fn log_said(&mut self, folded: &str, event: &Event, said: &Spoken) {
        let author = self.owner(self.act.me);
        let entry = Entry { event: event.clone(), said: Some(said.clone()), author, is_redacted: false };
        self.log_entry(folded, entry);
    }

    /// Keeps what was sent to a user.
    pub(super) fn log_private(&mut self, user: UserId, event: &Event, said: Option<&Spoken>) {
        let (author, other) = (self.owner(self.act.me), self.owner(user));
        let (event, said) = (event.clone(), said.cloned());
        let entry = Entry { event, said, author: author.clone(), is_redacted: false };
        self.state.make_room(&entry, MAX_TOTAL_BYTES);
        for id in [self.act.me, user] {
            let (owner, nick) = (self.owner(id), self.state.user(id).map(|user| user.id.nick.clone()));
            self.state.queries.is_called(owner, nick.unwrap_or_default());
        }
        self.state.queries.push(author, other, entry);
    }

    /// The log of a channel that the acting user is in, or of a query.
    pub(super) fn log_of(&mut self, name: &str) -> Option<&mut Log> {
        let folded = fold(name);
        if self.state.channels.contains_key(&folded) {
            self.my_status(&folded)?;
            return self.state.channels.get_mut(&folded).map(|channel| &mut channel.log);
        }
        let (me, other) = (self.owner(self.act.me), self.correspondent(name)?);
        self.state.queries.get(me, other)
    }

    /// Whose nick this is: of somebody who is here, or of an account that the acting user has spoken with and that has
    /// no connection now.
    fn correspondent(&self, name: &str) -> Option<Owner> {
        let here = self.state.find(name).map(|(user, _)| self.owner(user));
        here.or_else(|| {
            self.state.queries.others(&self.owner(self.act.me)).find_map(|(other, _)| {
                let is_it = self.called(other).is_some_and(|nick| is_same(&nick, name));
                is_it.then(|| other.clone())
            })
        })
    }

    /// What the acting user knows somebody as whom they have spoken with; of an account without a connection what it was
    /// called then, if nobody is called so now.
    fn called(&self, other: &Owner) -> Option<String> {
        if let Some((id, user)) = self.state.users.iter().find(|(id, _)| self.owner(**id) == *other) {
            return self.sees(*id, user).then(|| user.id.nick.clone());
        }
        let nick = self.state.queries.nick_of(other)?;
        let is_taken =
            self.state.find(nick).is_some() || self.me().is_some_and(|me| me.has_contact(nick, self.act.now));
        (!is_taken).then(|| nick.to_owned())
    }

    /// True when the acting user may ask for the history of this target.
    pub(in crate::server) fn may_read(&self, name: &str) -> bool {
        let folded = fold(name);
        self.my_status(&folded).is_some() || self.correspondent(name).is_some()
    }

    /// A target as it spells itself.
    pub(in crate::server) fn spelling(&self, name: &str) -> String {
        let channel = self.state.channels.get(&fold(name)).map(|channel| channel.name.clone());
        let nick = || self.state.find(name).map(|(_, user)| user.id.nick.clone());
        channel.or_else(nick).unwrap_or_else(|| name.to_owned())
    }

    /// A part of the history of a channel or query.
    pub(in crate::server) fn history(
        &mut self,
        name: &str,
        wanted: Wanted<'_>,
        room: Room,
    ) -> Result<Vec<Entry>, Fault> {
        let with_events = self.act.caps.has(Caps::EVENT_PLAYBACK);
        let is_seen = self.seen_entries();
        let is_shown = |entry: &Entry| (with_events || entry.said.is_some()) && is_seen(entry);
        self.log_of(name).map_or_else(|| Ok(Vec::new()), |log| log.select(wanted, room, is_shown))
    }

    /// Tells what the acting user sees of what was said: not that of others who were called like a contact of theirs.
    fn seen_entries(&self) -> impl Fn(&Entry) -> bool + use<> {
        let (me, now) = (self.owner(self.act.me), self.act.now);
        let known = self.me().map(|me| std::sync::Arc::clone(&me.known)).unwrap_or_default();
        move |entry| entry.author == me || !known.people.has(entry.nick(), now)
    }

    /// What fits of the channels that the acting user is in and of their queries, oldest first.
    pub(in crate::server) fn search(&self, sought: &Sought) -> Vec<Entry> {
        let me = self.owner(self.act.me);
        let channels = self
            .my_channels()
            .into_iter()
            .filter_map(|(folded, name)| Some((name, &self.state.channels.get(&folded)?.log)));
        let queries = self.state.queries.others(&me);
        let queries = queries.filter_map(|(other, log)| Some((self.called(other)?, log)));
        let is_there = |name: &str| sought.place.as_deref().is_none_or(|place| is_same(place, name));
        let is_seen = self.seen_entries();
        let mut found: Vec<&Entry> = channels
            .chain(queries)
            .filter(|(name, _)| is_there(name))
            .flat_map(|(_, log)| log.entries.iter())
            .filter(|entry| !entry.is_redacted && entry.fits(sought) && is_seen(entry))
            .collect();
        found.sort_by_key(|entry| entry.event.at);
        let mut found = VecDeque::from(found);
        sought.trim(&mut found, |entry| entry.bytes());
        found.into_iter().cloned().collect()
    }

    /// Where something was said, with the time of the last message.
    pub(in crate::server) fn spoken(&self) -> Vec<(Timestamp, String)> {
        let mine = self.my_channels().into_iter().filter_map(|(folded, name)| {
            let channel = self.state.channels.get(&folded)?;
            Some((channel.log.last_at()?, name))
        });
        let me = self.owner(self.act.me);
        let queries = self.state.queries.others(&me);
        let queries = queries.filter_map(|(other, log)| Some((log.last_at()?, self.called(other)?)));
        mine.chain(queries).collect()
    }
}

#[cfg(test)]
mod tests;
