//! Who and what an account's clients see, by which name. In memory only while somebody is
//! attached; the names themselves are notes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wxgate_contract::{ChatKey, NetworkId, Note, PersonKey, PersonKind, PostId, Timestamp};

use super::hall::{Hall, UserId};
use super::names::{self, Style};
use crate::wire::casemap::fold;

mod channels;
mod known;
mod people;
mod style;

pub(super) use known::Known;

/// How long a name that somebody had before a rename still reaches them. Source: the IRC notes, section 3.
const RETIRED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Renames that WHOWAS remembers. Chosen.
const MAX_WHOWAS: usize = 200;
/// Longest key of a note, from the contract.
const MAX_NOTE_KEY_BYTES: usize = 512;

/// The index of a person in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PersonIx(usize);

/// The index of a channel in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ChannelIx(usize);

#[derive(Debug)]
pub(super) struct Person {
    pub(super) key: PersonKey,
    pub(super) nick: String,
    /// What the nick was made from; only a change of this renames.
    base: String,
    pub(super) user: String,
    pub(super) host: &'static str,
    pub(super) realname: String,
    pub(super) kind: PersonKind,
    pub(super) is_contact: bool,
    /// The conversation with them, where it was seen; else it is called as they are.
    pub(super) chat: Option<ChatKey>,
}

impl Person {
    pub(super) fn prefix(&self) -> String {
        format!("{}!{}@{}", self.nick, self.user, self.host)
    }

    pub(super) fn private_chat(&self) -> ChatKey {
        self.chat.clone().unwrap_or_else(|| ChatKey::new(self.key.as_str()))
    }

    pub(super) fn is_official(&self) -> bool {
        self.kind == PersonKind::Official
    }
}

/// What stands in front of a member's nick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    None,
    Voice,
    Op,
}

impl Rank {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Voice => "+",
            Self::Op => "@",
        }
    }

    fn mode(self) -> Option<char> {
        match self {
            Self::None => None,
            Self::Voice => Some('v'),
            Self::Op => Some('o'),
        }
    }

    /// What MODE says of somebody who had this rank and has another one: `-o+v nick nick`; `None` when it is the same.
    pub(super) fn change(self, to: Self, nick: &str) -> Option<String> {
        let modes =
            [('-', self.mode()), ('+', to.mode())].into_iter().filter_map(|(sign, mode)| Some((sign, mode?)));
        let modes: Vec<String> = modes.map(|(sign, mode)| format!("{sign}{mode}")).collect();
        (self != to).then(|| format!("{}{}", modes.concat(), format!(" {nick}").repeat(modes.len())))
    }
}

/// What is otherwise in a list of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) came: Vec<Membership>,
    pub(super) went: Vec<Membership>,
    /// Who stayed and stands otherwise now, with the rank before.
    pub(super) ranked: Vec<(Membership, Rank)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) person: PersonIx,
    pub(super) rank: Rank,
    /// How this group calls them.
    pub(super) alias: String,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) chat: ChatKey,
    pub(super) name: String,
    base: String,
    pub(super) title: String,
    pub(super) announcement: String,
    pub(super) is_owned: bool,
    /// Known to the directory, and not gone.
    pub(super) is_real: bool,
    pub(super) is_joined: bool,
    /// The owner sent PART: hidden and muted until JOIN.
    pub(super) is_hidden: bool,
    /// The owner sent JOIN: it is joined whenever they are here, until PART.
    pub(super) is_wanted: bool,
    /// The others, by nick; `None` until somebody needs them.
    pub(super) members: Option<Vec<Membership>>,
    pub(super) topic_at: Timestamp,
    /// What WeChat said last of who gave it a title.
    pub(super) titled: Option<Titled>,
    /// The last line, so that a quote of it needs no repeating.
    pub(super) last_post: Option<PostId>,
}

impl Channel {
    /// `title — announcement`.
    pub(super) fn topic(&self) -> String {
        match (self.title.is_empty(), self.announcement.is_empty()) {
            (_, true) => self.title.clone(),
            (true, false) => self.announcement.clone(),
            (false, false) => format!("{} — {}", self.title, self.announcement),
        }
    }

    pub(super) fn own_rank(&self) -> Rank {
        if self.is_owned { Rank::Op } else { Rank::None }
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.as_ref().map_or(0, Vec::len) + 1
    }
}

/// A group got a title, each on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Titled {
    pub(super) title: String,
    /// From whom, as WeChat calls them there; may be empty.
    pub(super) by: String,
    pub(super) at: Timestamp,
}

impl Titled {
    fn write(&self) -> Bytes {
        Bytes::from(format!("{}\n{}\n{}", self.title, self.by, self.at.ms()))
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.split('\n');
        let (title, by) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { title, by, at: Timestamp(parts.next()?.parse().ok()?) })
    }
}

/// A name that somebody or something had until a rename.
#[derive(Debug)]
struct Retired<T> {
    to: T,
    until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Was {
    pub(super) nick: String,
    pub(super) user: String,
    pub(super) host: &'static str,
    pub(super) realname: String,
    pub(super) now: String,
}

/// A name changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) old: String,
    /// The prefix with the old name.
    pub(super) old_prefix: String,
    pub(super) new: String,
}

#[derive(Debug)]
pub(super) struct Roster {
    account: NetworkId,
    style: Style,
    people: Vec<Person>,
    channels: Vec<Channel>,
    by_key: HashMap<PersonKey, PersonIx>,
    known: Arc<Known>,
    by_chat: HashMap<ChatKey, ChannelIx>,
    by_private_chat: HashMap<ChatKey, PersonIx>,
    /// Folded nicks that nobody in here may have: the service, the user.
    reserved: Vec<String>,
    /// Oneself among the users of the gateway, while one is there: names that are new here do not collide with
    /// what one's clients see of them.
    place: Option<(Arc<Hall>, UserId)>,
    pub(super) was: VecDeque<Was>,
    /// Who has another host now, with the prefix that had the former one; clients are to be told.
    pub(super) moved: Vec<(PersonIx, String)>,
    /// Notes that wait to be committed.
    pub(super) unsaved: Vec<Note>,
}

impl Roster {
    pub(super) fn new(account: NetworkId) -> Self {
        Self {
            account,
            style: Style::default(),
            people: Vec::new(),
            channels: Vec::new(),
            by_key: HashMap::new(),
            known: Arc::default(),
            by_chat: HashMap::new(),
            by_private_chat: HashMap::new(),
            reserved: Vec::new(),
            place: None,
            was: VecDeque::new(),
            moved: Vec::new(),
            unsaved: Vec::new(),
        }
    }

    /// Keeps these nicks free of people: the service's and the user's own.
    pub(super) fn reserve(&mut self, nicks: &[&str]) {
        self.reserved = nicks.iter().map(|nick| fold(nick)).collect();
    }

    /// One has a place among the users of the gateway, or none any more.
    pub(super) fn set_place(&mut self, place: Option<(Arc<Hall>, UserId)>) {
        self.place = place;
    }

    /// The names of people and groups, for the hall.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    pub(super) fn person(&self, ix: PersonIx) -> Option<&Person> {
        self.people.get(ix.0)
    }

    pub(super) fn channel(&self, ix: ChannelIx) -> Option<&Channel> {
        self.channels.get(ix.0)
    }

    pub(super) fn channel_mut(&mut self, ix: ChannelIx) -> Option<&mut Channel> {
        self.channels.get_mut(ix.0)
    }

    pub(super) fn people(&self) -> impl Iterator<Item = (PersonIx, &Person)> {
        self.people.iter().enumerate().map(|(at, person)| (PersonIx(at), person))
    }

    /// Channels that exist, by name.
    pub(super) fn channels(&self) -> Vec<(ChannelIx, &Channel)> {
        let mut all: Vec<_> = self.channels.iter().enumerate().map(|(at, c)| (ChannelIx(at), c)).collect();
        all.retain(|(_, channel)| channel.is_real);
        all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        all
    }

    pub(super) fn joined(&self) -> Vec<ChannelIx> {
        self.channels().into_iter().filter(|(_, c)| c.is_joined).map(|(ix, _)| ix).collect()
    }

    pub(super) fn by_key(&self, key: &PersonKey) -> Option<PersonIx> {
        self.by_key.get(key).copied()
    }

    /// Somebody by nick; a retired nick still finds its person, and says so.
    pub(super) fn by_nick(&self, nick: &str, now: Timestamp) -> Option<(PersonIx, IsRetired)> {
        self.known.people.find(nick, now)
    }

    pub(super) fn by_chat(&self, chat: &ChatKey) -> Option<ChannelIx> {
        self.by_chat.get(chat).copied()
    }

    /// A channel that exists, by name; a retired name still finds it.
    pub(super) fn by_name(&self, name: &str, now: Timestamp) -> Option<ChannelIx> {
        let (ix, _) = self.known.groups.find(name, now)?;
        self.channel(ix).filter(|channel| channel.is_real).map(|_| ix)
    }

    /// The person of a conversation with one person.
    pub(super) fn by_private_chat(&self, chat: &ChatKey) -> Option<PersonIx> {
        let known = self.by_private_chat.get(chat).copied();
        known.or_else(|| self.by_key(&PersonKey::new(chat.as_str())))
    }

    /// The membership of somebody in a group.
    pub(super) fn membership(&self, channel: ChannelIx, person: PersonIx) -> Option<&Membership> {
        let members = self.channel(channel)?.members.as_ref()?;
        members.binary_search_by_key(&person, |member| member.person).ok().and_then(|at| members.get(at))
    }

    /// Joined channels that somebody is in.
    pub(super) fn shared_channels(&self, person: PersonIx) -> Vec<ChannelIx> {
        self.joined().into_iter().filter(|ix| self.membership(*ix, person).is_some()).collect()
    }

    /// A note of this account.
    pub(super) fn note_key(&self, kind: &str, id: &str) -> String {
        let key = account_note(&self.account, kind) + id;
        if key.len() <= MAX_NOTE_KEY_BYTES {
            return key;
        }
        // Nobody reads such an id back from the key: its owner just gets a new name after a restart.
        format!("{kind}-long/{}/{:08x}", self.account, names::stable_hash(id))
    }
}

/// The key of the one note of some kind that an account has, and how those begin of which it has many.
pub(super) fn account_note(account: &NetworkId, kind: &str) -> String {
    format!("{kind}/{account}/")
}

/// The name was somebody's before a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsRetired(pub(super) bool);

/// A name as a note: name, what it was made from, and the name before with the end of its life,
/// each on its own line (none of them can contain one).
struct Stored {
    name: String,
    base: String,
    retired: Option<(String, Timestamp)>,
}

impl Stored {
    fn write(name: &str, base: &str, retired: Option<(&str, Timestamp)>) -> Bytes {
        Bytes::from(match retired {
            Some((old, until)) => format!("{name}\n{base}\n{old}\n{}", until.ms()),
            None => format!("{name}\n{base}"),
        })
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(value).ok()?.lines();
        let (name, base) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        let retired = match (lines.next(), lines.next().map(str::parse)) {
            (Some(old), Some(Ok(ms))) => Some((old.to_owned(), Timestamp(ms))),
            _ => None,
        };
        (!name.is_empty()).then_some(Self { name, base, retired })
    }
}

#[cfg(test)]
mod tests;
