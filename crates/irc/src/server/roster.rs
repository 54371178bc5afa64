//! Who and what an account's clients see, by which name. In memory only while somebody is
//! attached; the names themselves are notes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wxgate_contract::{
    ChatKey, ChatKind, ChatProfile, Member, NetworkId, Note, PersonKey, PersonKind, PersonProfile, PostId,
    Timestamp,
};

use super::names::{self, Style};
use crate::wire::casemap::fold;

mod style;

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
    /// The others, by nick; `None` until somebody needs them.
    pub(super) members: Option<Vec<Membership>>,
    pub(super) topic_at: Timestamp,
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
    by_nick: HashMap<String, PersonIx>,
    by_chat: HashMap<ChatKey, ChannelIx>,
    by_name: HashMap<String, ChannelIx>,
    by_private_chat: HashMap<ChatKey, PersonIx>,
    retired_nicks: HashMap<String, Retired<PersonIx>>,
    retired_channels: HashMap<String, Retired<ChannelIx>>,
    /// Folded nicks that nobody in here may have: the service, the user.
    reserved: Vec<String>,
    pub(super) was: VecDeque<Was>,
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
            by_nick: HashMap::new(),
            by_chat: HashMap::new(),
            by_name: HashMap::new(),
            by_private_chat: HashMap::new(),
            retired_nicks: HashMap::new(),
            retired_channels: HashMap::new(),
            reserved: Vec::new(),
            was: VecDeque::new(),
            unsaved: Vec::new(),
        }
    }

    /// Keeps these nicks free of people: the service's and the user's own.
    pub(super) fn reserve(&mut self, nicks: &[&str]) {
        self.reserved = nicks.iter().map(|nick| fold(nick)).collect();
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
        let folded = fold(nick);
        if let Some(ix) = self.by_nick.get(&folded) {
            return Some((*ix, IsRetired(false)));
        }
        let retired = self.retired_nicks.get(&folded).filter(|retired| retired.until > now)?;
        Some((retired.to, IsRetired(true)))
    }

    pub(super) fn by_chat(&self, chat: &ChatKey) -> Option<ChannelIx> {
        self.by_chat.get(chat).copied()
    }

    /// A channel that exists, by name; a retired name still finds it.
    pub(super) fn by_name(&self, name: &str, now: Timestamp) -> Option<ChannelIx> {
        let folded = fold(name);
        let retired = || self.retired_channels.get(&folded).filter(|r| r.until > now).map(|r| r.to);
        let ix = self.by_name.get(&folded).copied().or_else(retired)?;
        self.channel(ix).filter(|channel| channel.is_real).map(|_| ix)
    }

    /// The person of a conversation with one person.
    pub(super) fn by_private_chat(&self, chat: &ChatKey) -> Option<PersonIx> {
        let known = self.by_private_chat.get(chat).copied();
        known.or_else(|| self.by_key(&PersonKey::new(chat.as_str())))
    }

    pub(super) fn set_private_chat(&mut self, ix: PersonIx, chat: &ChatKey) {
        if self.by_private_chat.get(chat) != Some(&ix) {
            self.by_private_chat.insert(chat.clone(), ix);
        }
        if let Some(person) = self.people.get_mut(ix.0)
            && person.chat.as_ref() != Some(chat)
        {
            person.chat = Some(chat.clone());
        }
    }

    /// A nick as it was stored.
    pub(super) fn load_nick(&mut self, key: &str, value: &[u8]) {
        let Some(stored) = Stored::read(value) else { return };
        let key = PersonKey::new(key);
        if self.by_key.contains_key(&key) {
            return;
        }
        let ix = self.push_person(key, stored.name, stored.base);
        if let Some((old, until)) = stored.retired {
            self.retired_nicks.insert(fold(&old), Retired { to: ix, until });
        }
    }

    /// A channel name as it was stored.
    pub(super) fn load_channel(&mut self, key: &str, value: &[u8]) {
        let Some(stored) = Stored::read(value) else { return };
        let chat = ChatKey::new(key);
        if self.by_chat.contains_key(&chat) {
            return;
        }
        let ix = self.push_channel(chat, stored.name, stored.base);
        if let Some((old, until)) = stored.retired {
            self.retired_channels.insert(fold(&old), Retired { to: ix, until });
        }
    }

    /// A person as the directory has them now.
    pub(super) fn update_person(
        &mut self,
        profile: &PersonProfile,
        now: Timestamp,
    ) -> (PersonIx, Option<Renamed>) {
        // A built-in account has one name everywhere: `filehelper`, not its title in some language.
        let is_built_in = profile.kind == PersonKind::System && !profile.person.as_str().is_empty();
        let name = if is_built_in { profile.person.as_str() } else { profile.display_name() };
        let ix = self.name_person(&profile.person, name, now);
        let mut renamed = None;
        // A profile glitch (no name) renames nobody; a mere member keeps the nick they came with.
        if !name.is_empty() && profile.is_contact {
            renamed = self.rename_person(ix, name, now);
        }
        if let Some(person) = self.people.get_mut(ix.0) {
            person.kind = profile.kind;
            person.host = if profile.kind == PersonKind::Official { "biz.wechat" } else { "wechat" };
            person.is_contact = profile.is_contact;
            if !profile.nickname.is_empty() {
                person.realname.clone_from(&profile.nickname);
            }
        }
        (ix, renamed)
    }

    /// Somebody of whom only a name is known: gets a nick if there is none yet.
    pub(super) fn name_person(&mut self, key: &PersonKey, name: &str, now: Timestamp) -> PersonIx {
        if let Some(ix) = self.by_key.get(key) {
            return *ix;
        }
        let base = self.nick_base(name, key);
        let nick = names::free_name(&base, names::NICK_BYTES, |folded| self.is_nick_taken(folded, None, now));
        let ix = self.push_person(key.clone(), nick, base);
        if let Some(person) = self.people.get_mut(ix.0)
            && !name.is_empty()
        {
            name.clone_into(&mut person.realname);
        }
        self.save_nick(ix, None);
        ix
    }

    fn rename_person(&mut self, ix: PersonIx, name: &str, now: Timestamp) -> Option<Renamed> {
        let person = self.people.get(ix.0)?;
        let base = self.nick_base(name, &person.key);
        if base == person.base {
            return None;
        }
        let (old, old_prefix) = (person.nick.clone(), person.prefix());
        let was = Was {
            nick: old.clone(),
            user: person.user.clone(),
            host: person.host,
            realname: person.realname.clone(),
            now: String::new(),
        };
        self.by_nick.remove(&fold(&old));
        let is_taken = |folded: &str| self.is_nick_taken(folded, Some(ix), now);
        let new = names::free_name(&base, names::NICK_BYTES, is_taken);
        self.retired_nicks.remove(&fold(&new));
        self.by_nick.insert(fold(&new), ix);
        if let Some(person) = self.people.get_mut(ix.0) {
            person.nick.clone_from(&new);
            person.base = base;
        }
        if new == old {
            self.save_nick(ix, None);
            return None;
        }
        let until = now.after(RETIRED_FOR);
        self.retired_nicks.retain(|_, retired| retired.until > now);
        self.retired_nicks.insert(fold(&old), Retired { to: ix, until });
        self.save_nick(ix, Some((&old, until)));
        self.was.push_front(Was { now: new.clone(), ..was });
        self.was.truncate(MAX_WHOWAS);
        Some(Renamed { old, old_prefix, new })
    }

    /// A group as the directory has it now; its members are left alone.
    pub(super) fn update_channel(
        &mut self,
        profile: &ChatProfile,
        now: Timestamp,
    ) -> (ChannelIx, Option<Renamed>) {
        let wanted = self.channel_base(&profile.title);
        let ix = self.by_chat(&profile.chat).unwrap_or_else(|| {
            let base = wanted.clone().unwrap_or_else(|| self.untitled(profile, now));
            let name = names::free_name(&base, names::CHANNEL_BYTES, |f| self.is_channel_taken(f, None, now));
            let ix = self.push_channel(profile.chat.clone(), name, base);
            self.save_channel(ix, None);
            ix
        });
        let renamed = wanted.and_then(|base| self.rename_channel(ix, base, now));
        if let Some(channel) = self.channels.get_mut(ix.0) {
            channel.is_real = profile.kind == ChatKind::Group && !profile.is_gone;
            channel.is_owned = profile.is_owned;
            channel.title.clone_from(&profile.title);
            channel.announcement.clone_from(&profile.topic);
        }
        (ix, renamed)
    }

    /// A name for a group without a title: its first three members.
    fn untitled(&mut self, profile: &ChatProfile, now: Timestamp) -> String {
        let members = profile.members.as_deref().unwrap_or_default();
        let others = members.iter().filter(|member| !member.is_self).take(3);
        let nicks: Vec<String> = others
            .map(|member| self.name_person(&member.person, &member.name, now))
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|ix| self.person(ix).map(|person| person.nick.clone()))
            .collect();
        names::channel_from(&nicks.join("_"))
            .unwrap_or_else(|| format!("#group_{:08x}", names::stable_hash(profile.chat.as_str())))
    }

    fn rename_channel(&mut self, ix: ChannelIx, base: String, now: Timestamp) -> Option<Renamed> {
        let channel = self.channels.get(ix.0)?;
        if channel.base == base {
            return None;
        }
        let old = channel.name.clone();
        self.by_name.remove(&fold(&old));
        let is_taken = |folded: &str| self.is_channel_taken(folded, Some(ix), now);
        let new = names::free_name(&base, names::CHANNEL_BYTES, is_taken);
        self.retired_channels.remove(&fold(&new));
        self.by_name.insert(fold(&new), ix);
        if let Some(channel) = self.channels.get_mut(ix.0) {
            channel.name.clone_from(&new);
            channel.base = base;
            channel.topic_at = now;
        }
        if new == old {
            self.save_channel(ix, None);
            return None;
        }
        let until = now.after(RETIRED_FOR);
        self.retired_channels.retain(|_, retired| retired.until > now);
        self.retired_channels.insert(fold(&old), Retired { to: ix, until });
        self.save_channel(ix, Some((&old, until)));
        Some(Renamed { old_prefix: old.clone(), old, new })
    }

    /// The complete member list of a group: who came, who went.
    pub(super) fn set_members(
        &mut self,
        ix: ChannelIx,
        owner: Option<&PersonKey>,
        members: &[Member],
        now: Timestamp,
    ) -> (Vec<Membership>, Vec<Membership>) {
        let mut next: Vec<Membership> = members
            .iter()
            .filter(|member| !member.is_self)
            .map(|member| {
                let person = self.name_person(&member.person, &member.name, now);
                let is_contact = member.is_contact || self.person(person).is_some_and(|p| p.is_contact);
                let rank = match owner {
                    Some(owner) if *owner == member.person => Rank::Op,
                    _ if is_contact => Rank::Voice,
                    _ => Rank::None,
                };
                Membership { person, rank, alias: member.name.clone() }
            })
            .collect();
        next.sort_by_key(|member| member.person);
        next.dedup_by_key(|member| member.person);
        let Some(channel) = self.channels.get_mut(ix.0) else { return (Vec::new(), Vec::new()) };
        let Some(before) = channel.members.replace(next.clone()) else { return (Vec::new(), Vec::new()) };
        let is_in =
            |list: &[Membership], ix| list.binary_search_by_key(&ix, |m: &Membership| m.person).is_ok();
        let came = next.iter().filter(|m| !is_in(&before, m.person)).cloned().collect();
        let went = before.iter().filter(|m| !is_in(&next, m.person)).cloned().collect();
        (came, went)
    }

    /// Takes somebody out of a group's list; false when they are not in it.
    pub(super) fn remove_member(&mut self, channel: ChannelIx, person: PersonIx) -> bool {
        let members = self.channels.get_mut(channel.0).and_then(|channel| channel.members.as_mut());
        let Some(members) = members else { return false };
        let before = members.len();
        members.retain(|member| member.person != person);
        members.len() < before
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
        let key = format!("{kind}/{}/{id}", self.account);
        if key.len() <= MAX_NOTE_KEY_BYTES {
            return key;
        }
        // Nobody reads such an id back from the key: its owner just gets a new name after a restart.
        format!("{kind}-long/{}/{:08x}", self.account, names::stable_hash(id))
    }

    /// Whether a name is not to be had by `by`; what they had themselves before they may have again.
    fn is_nick_taken(&self, folded: &str, by: Option<PersonIx>, now: Timestamp) -> bool {
        let retired = self.retired_nicks.get(folded);
        self.by_nick.contains_key(folded)
            || self.reserved.iter().any(|reserved| reserved == folded)
            || retired.is_some_and(|retired| retired.until > now && Some(retired.to) != by)
    }

    fn is_channel_taken(&self, folded: &str, by: Option<ChannelIx>, now: Timestamp) -> bool {
        let retired = self.retired_channels.get(folded);
        self.by_name.contains_key(folded)
            || retired.is_some_and(|retired| retired.until > now && Some(retired.to) != by)
    }

    fn push_person(&mut self, key: PersonKey, nick: String, base: String) -> PersonIx {
        let ix = PersonIx(self.people.len());
        self.by_nick.insert(fold(&nick), ix);
        self.by_key.insert(key.clone(), ix);
        self.people.push(Person {
            user: names::user_part(key.as_str()),
            key,
            realname: base.clone(),
            nick,
            base,
            host: "wechat",
            kind: PersonKind::Human,
            is_contact: false,
            chat: None,
        });
        ix
    }

    fn push_channel(&mut self, chat: ChatKey, name: String, base: String) -> ChannelIx {
        let ix = ChannelIx(self.channels.len());
        self.by_name.insert(fold(&name), ix);
        self.by_chat.insert(chat.clone(), ix);
        self.channels.push(Channel {
            chat,
            name,
            base,
            title: String::new(),
            announcement: String::new(),
            is_owned: false,
            is_real: false,
            is_joined: false,
            is_hidden: false,
            members: None,
            topic_at: Timestamp::default(),
            last_post: None,
        });
        ix
    }

    fn save_nick(&mut self, ix: PersonIx, retired: Option<(&str, Timestamp)>) {
        let Some(person) = self.person(ix) else { return };
        let value = Stored::write(&person.nick, &person.base, retired);
        let key = self.note_key("nick", person.key.as_str());
        self.unsaved.push(Note { key, value: Some(value), is_secret: false });
    }

    fn save_channel(&mut self, ix: ChannelIx, retired: Option<(&str, Timestamp)>) {
        let Some(channel) = self.channel(ix) else { return };
        let value = Stored::write(&channel.name, &channel.base, retired);
        let key = self.note_key("chan", channel.chat.as_str());
        self.unsaved.push(Note { key, value: Some(value), is_secret: false });
    }
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
