//! What local users and channels say of themselves by keys. Source: IRCv3 draft/metadata-2.

use std::collections::{BTreeMap, BTreeSet};

use super::{Floor, UserId};
use crate::server::caps::Caps;
use crate::server::metadata::Hearer;
use crate::server::registry::ClientId;
use crate::wire::casemap::fold;

/// Keys with their values.
pub(in crate::server) type Values = BTreeMap<String, String>;

impl super::Hall {
    /// The keys that a connection wants to hear of.
    pub(in crate::server) fn subscribe(&self, user: UserId, client: ClientId, keys: BTreeSet<String>) {
        let mut state = self.lock();
        let seats = state.users.get_mut(&user).map(|user| &mut user.seats);
        if let Some(seat) = seats.into_iter().flatten().find(|seat| seat.client == client) {
            seat.subscribed = keys;
        }
    }
}

impl Floor<'_> {
    /// The values of a user.
    pub(in crate::server) fn user_values(&self, nick: &str) -> Option<Values> {
        self.state.find(nick).map(|(_, user)| user.metadata.clone())
    }

    /// The values of a channel, to those who may know of it: who could not come in reads nothing.
    pub(in crate::server) fn channel_values(&self, name: &str) -> Option<Values> {
        let channel = self.state.channels.get(&fold(name))?;
        let modes = &channel.modes;
        let is_open = !modes.secret && !modes.invite_only && modes.key.is_none();
        (is_open || channel.members.contains_key(&self.act.me)).then(|| channel.metadata.clone())
    }

    /// Operators look after the values of their channel.
    pub(in crate::server) fn may_describe(&self, name: &str) -> bool {
        self.my_status(&fold(name)).is_some_and(|status| status.may_moderate())
    }

    /// Changes a value of the acting user and tells those who see them.
    pub(in crate::server) fn set_own_value(&mut self, key: &str, value: Option<&str>) {
        let me = self.act.me;
        let Some(user) = self.state.users.get_mut(&me) else { return };
        change(&mut user.metadata, key, value);
        let (nick, folded) = (user.id.nick.clone(), fold(&user.id.nick));
        let neighbours = self.state.neighbours(me);
        for (id, user) in self.state.users.iter().filter(|(id, _)| **id != me) {
            for seat in &user.seats {
                let is_near = neighbours.contains(id) || seat.watched.contains(&folded);
                if seat.hears(key) && is_near && self.is_seen_by(*id) {
                    let hearer = Hearer::new(seat.caps, self.act.server, &user.id.nick);
                    super::push_line(&seat.queue, &hearer.told(&nick, key, value));
                }
            }
        }
    }

    /// Changes a value of a channel and tells its members.
    pub(in crate::server) fn set_channel_value(&mut self, name: &str, key: &str, value: Option<&str>) {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get_mut(&folded) else { return };
        change(&mut channel.metadata, key, value);
        let name = channel.name.clone();
        for user in self.members(&folded).into_iter().filter_map(|user| self.state.user(user)) {
            for seat in &user.seats {
                if seat.client != self.act.client && seat.hears(key) {
                    let hearer = Hearer::new(seat.caps, self.act.server, &user.id.nick);
                    super::push_line(&seat.queue, &hearer.told(&name, key, value));
                }
            }
        }
    }

    /// What the acting connection is to know of a channel and its members, of these keys. Who is invisible is so to
    /// those outside, as in NAMES and WHO.
    pub(in crate::server) fn values_around(&self, name: &str, keys: &BTreeSet<String>) -> Vec<String> {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get(&folded) else { return Vec::new() };
        let nick = self.nick();
        let hearer = Hearer::new(self.act.caps, self.act.server, &nick);
        let is_member = channel.members.contains_key(&self.act.me);
        let members = channel.members.keys().filter_map(|id| Some((*id, self.state.user(*id)?)));
        let members = members.filter(|(id, user)| (is_member || !user.is_invisible) && self.sees(*id, user));
        let all = std::iter::once((&channel.name, &channel.metadata));
        all.chain(members.map(|(_, user)| (&user.id.nick, &user.metadata)))
            .flat_map(|(target, values)| lines_of(&hearer, target, values, keys))
            .collect()
    }

    /// What users who want to know are told of the acting user, who came in where they are.
    pub(super) fn tell_values(&self, users: &[UserId]) {
        let Some(me) = self.me().filter(|me| !me.metadata.is_empty()) else { return };
        let others = users.iter().filter(|user| **user != self.act.me && self.is_seen_by(**user));
        for user in others.filter_map(|user| self.state.user(*user)) {
            for seat in user.seats.iter().filter(|seat| seat.caps.has(Caps::METADATA)) {
                let hearer = Hearer::new(seat.caps, self.act.server, &user.id.nick);
                for line in lines_of(&hearer, &me.id.nick, &me.metadata, &seat.subscribed) {
                    super::push_line(&seat.queue, &line);
                }
            }
        }
    }
}

fn change(values: &mut Values, key: &str, value: Option<&str>) {
    match value {
        Some(value) => values.insert(key.to_owned(), value.to_owned()),
        None => values.remove(key),
    };
}

/// The values under these keys, as lines.
pub(in crate::server) fn lines_of(
    hearer: &Hearer<'_>,
    target: &str,
    values: &Values,
    keys: &BTreeSet<String>,
) -> Vec<String> {
    let wanted = values.iter().filter(|(key, _)| keys.contains(*key));
    wanted.map(|(key, value)| hearer.told(target, key, Some(value))).collect()
}
