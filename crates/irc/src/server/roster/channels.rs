//! Groups, their names as channels, and who is in them.

use wxgate_contract::{ChatKey, ChatKind, ChatProfile, Member, Note, PersonKey, Timestamp};

use super::{
    Changed, Channel, ChannelIx, Membership, Person, PersonIx, Rank, Renamed, Roster, Stored, Titled,
};
use crate::server::names;

impl Roster {
    /// A channel name as it was stored.
    pub(in crate::server) fn load_channel(&mut self, key: &str, value: &[u8]) {
        let Some(stored) = Stored::read(value) else { return };
        let chat = ChatKey::new(key);
        if self.by_chat.contains_key(&chat) {
            return;
        }
        let ix = self.push_channel(chat, stored.name, stored.base);
        if let Some((old, until)) = stored.retired {
            self.known.groups.load_retired(&old, ix, until);
        }
    }

    /// A group as the directory has it now; its members are left alone.
    pub(in crate::server) fn update_channel(
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

    pub(super) fn rename_channel(&mut self, ix: ChannelIx, base: String, now: Timestamp) -> Option<Renamed> {
        let channel = self.channels.get(ix.0)?;
        if channel.base == base {
            return None;
        }
        let old = channel.name.clone();
        self.known.groups.take(&old);
        let is_taken = |folded: &str| self.is_channel_taken(folded, Some(ix), now);
        let new = names::free_name(&base, names::CHANNEL_BYTES, is_taken);
        self.known.groups.give(&new, ix);
        if let Some(channel) = self.channels.get_mut(ix.0) {
            channel.name.clone_from(&new);
            channel.base = base;
            channel.topic_at = now;
        }
        if new == old {
            self.save_channel(ix, None);
            return None;
        }
        let until = self.known.groups.retire(&old, ix, now);
        self.save_channel(ix, Some((&old, until)));
        Some(Renamed { old_prefix: old.clone(), old, new })
    }

    /// The complete member list of a group: what is otherwise now. The first one is no change.
    pub(in crate::server) fn set_members(
        &mut self,
        ix: ChannelIx,
        owner: Option<&PersonKey>,
        members: &[Member],
        now: Timestamp,
    ) -> Changed {
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
        let Some(channel) = self.channels.get_mut(ix.0) else { return Changed::default() };
        let Some(before) = channel.members.replace(next.clone()) else { return Changed::default() };
        let find = |list: &[Membership], ix| {
            let at = list.binary_search_by_key(&ix, |m: &Membership| m.person).ok()?;
            list.get(at).map(|member| member.rank)
        };
        let went = before.iter().filter(|m| find(&next, m.person).is_none()).cloned().collect();
        let mut changed = Changed { went, ..Changed::default() };
        for member in next {
            match find(&before, member.person) {
                None => changed.came.push(member),
                Some(rank) if rank != member.rank => changed.ranked.push((member, rank)),
                Some(_) => {}
            }
        }
        changed
    }

    /// Somebody became a contact, or is none any more: the groups in which they stand otherwise now, with the rank
    /// before. Who owns a group stays its owner.
    pub(in crate::server) fn rank_contact(&mut self, person: PersonIx) -> Vec<(ChannelIx, Rank)> {
        let is_contact = self.person(person).is_some_and(|person| person.is_contact);
        let rank = if is_contact { Rank::Voice } else { Rank::None };
        let mut changed = Vec::new();
        for (at, channel) in self.channels.iter_mut().enumerate() {
            let members = channel.members.as_deref_mut().unwrap_or_default();
            let found = members.binary_search_by_key(&person, |member| member.person).ok();
            if let Some(member) = found.and_then(|at| members.get_mut(at))
                && member.rank != rank
                && member.rank != Rank::Op
            {
                changed.push((ChannelIx(at), std::mem::replace(&mut member.rank, rank)));
            }
        }
        changed
    }

    /// True when a name in one of WeChat's own lines may be this member's: there it is their remark, how the group calls
    /// them, or their own.
    pub(in crate::server) fn is_called(&self, member: &Membership, name: &str) -> bool {
        self.person(member.person).is_some_and(|person| {
            [&member.alias, &person.realname, &person.nick].into_iter().any(|known| known == name)
                || self.nick_base(name, &person.key) == person.base
        })
    }

    /// Somebody gave a group a title; what was said before says nothing of it any more.
    pub(in crate::server) fn set_titled(&mut self, ix: ChannelIx, titled: Titled) {
        let Some(channel) = self.channels.get_mut(ix.0) else { return };
        if channel.titled.as_ref().is_some_and(|known| known.at >= titled.at) {
            return;
        }
        let (chat, value) = (channel.chat.clone(), titled.write());
        channel.titled = Some(titled);
        let key = self.note_key("topic", chat.as_str());
        self.unsaved.push(Note { key, value: Some(value), is_secret: false });
    }

    /// The same, as it was stored.
    pub(in crate::server) fn load_titled(&mut self, chat: &ChatKey, value: &[u8]) {
        let ix = self.by_chat(chat);
        if let Some(channel) = ix.and_then(|ix| self.channels.get_mut(ix.0)) {
            channel.titled = Titled::read(value);
        }
    }

    /// Whom one of WeChat's own lines means by a name: the member who goes by it, else somebody who was one; `None` where
    /// nobody or more than one does.
    pub(in crate::server) fn called(&self, channel: ChannelIx, name: &str) -> Option<PersonIx> {
        if name.is_empty() {
            return None;
        }
        let base = self.nick_base(name, &PersonKey::new(""));
        let is_theirs = |person: &Person, alias: &str| {
            [alias, &person.realname, &person.nick].contains(&name) || person.base == base
        };
        let members = self.channel(channel)?.members.as_deref().unwrap_or_default();
        let is_it = |member: &&Membership| {
            self.person(member.person).is_some_and(|person| is_theirs(person, &member.alias))
        };
        let mut found = members.iter().filter(is_it).map(|member| member.person);
        if let Some(first) = found.next() {
            return found.next().is_none().then_some(first);
        }
        let mut found = self.people().filter(|(_, person)| is_theirs(person, "")).map(|(ix, _)| ix);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Takes somebody out of a group's list; false when they are not in it.
    pub(in crate::server) fn remove_member(&mut self, channel: ChannelIx, person: PersonIx) -> bool {
        let members = self.channels.get_mut(channel.0).and_then(|channel| channel.members.as_mut());
        let Some(members) = members else { return false };
        let before = members.len();
        members.retain(|member| member.person != person);
        members.len() < before
    }

    fn is_channel_taken(&self, folded: &str, by: Option<ChannelIx>, now: Timestamp) -> bool {
        self.known.groups.is_taken(folded, by, now)
            || self.place.as_ref().is_some_and(|(hall, me)| hall.is_in(*me, folded))
    }

    fn push_channel(&mut self, chat: ChatKey, name: String, base: String) -> ChannelIx {
        let ix = ChannelIx(self.channels.len());
        self.known.groups.give(&name, ix);
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
            is_wanted: false,
            members: None,
            topic_at: Timestamp::default(),
            titled: None,
            last_post: None,
        });
        ix
    }

    fn save_channel(&mut self, ix: ChannelIx, retired: Option<(&str, Timestamp)>) {
        let Some(channel) = self.channel(ix) else { return };
        let value = Stored::write(&channel.name, &channel.base, retired);
        let key = self.note_key("chan", channel.chat.as_str());
        self.unsaved.push(Note { key, value: Some(value), is_secret: false });
    }
}
