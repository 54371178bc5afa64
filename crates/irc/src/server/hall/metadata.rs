//! What local users and channels say of themselves by keys. Source: IRCv3 draft/metadata-2.

use std::collections::{BTreeMap, BTreeSet};

use super::{Floor, UserId};
use crate::server::caps::Caps;
use crate::server::registry::ClientId;
use crate::wire::casemap::fold;
use crate::wire::message::Line;

/// Keys with their values.
pub(in crate::server) type Values = BTreeMap<String, String>;

/// One value as those who see it are told: of whom, key, value; `None` when it is gone.
pub(in crate::server) fn told(server: &str, target: &str, key: &str, value: Option<&str>) -> String {
    let line = Line::new().source(server).command("METADATA").param(target).param(key).param("*");
    value.map_or_else(|| line.clone().build(), |value| line.clone().last(value).build())
}

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

    /// The values of a channel, to those who may know of it.
    pub(in crate::server) fn channel_values(&self, name: &str) -> Option<Values> {
        let channel = self.state.channels.get(&fold(name))?;
        let is_seen = !channel.modes.secret || channel.members.contains_key(&self.act.me);
        is_seen.then(|| channel.metadata.clone())
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
        let line = told(self.act.server, &nick, key, value);
        for (id, user) in self.state.users.iter().filter(|(id, _)| **id != me) {
            for seat in &user.seats {
                if seat.hears(key) && (neighbours.contains(id) || seat.watched.contains(&folded)) {
                    super::push_line(&seat.queue, &line);
                }
            }
        }
    }

    /// Changes a value of a channel and tells its members.
    pub(in crate::server) fn set_channel_value(&mut self, name: &str, key: &str, value: Option<&str>) {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get_mut(&folded) else { return };
        change(&mut channel.metadata, key, value);
        let line = told(self.act.server, &channel.name, key, value);
        for user in self.members(&folded) {
            for seat in self.state.user(user).map(|user| &user.seats).into_iter().flatten() {
                if seat.client != self.act.client && seat.hears(key) {
                    super::push_line(&seat.queue, &line);
                }
            }
        }
    }

    /// What the acting connection is to know of a channel and its members, of these keys.
    pub(in crate::server) fn values_around(&self, name: &str, keys: &BTreeSet<String>) -> Vec<String> {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get(&folded) else { return Vec::new() };
        let members = channel.members.keys().filter_map(|id| self.state.user(*id));
        let all = std::iter::once((&channel.name, &channel.metadata));
        all.chain(members.map(|user| (&user.id.nick, &user.metadata)))
            .flat_map(|(target, values)| lines_of(self.act.server, target, values, keys))
            .collect()
    }

    /// What the members of a channel who want to know are told of the acting user, who came in.
    pub(super) fn tell_values(&self, folded: &str) {
        let Some(me) = self.me().filter(|me| !me.metadata.is_empty()) else { return };
        for user in self.members(folded).into_iter().filter(|user| *user != self.act.me) {
            for seat in self.state.user(user).map(|user| &user.seats).into_iter().flatten() {
                if seat.caps.has(Caps::METADATA) {
                    for line in lines_of(self.act.server, &me.id.nick, &me.metadata, &seat.subscribed) {
                        super::push_line(&seat.queue, &line);
                    }
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
    server: &str,
    target: &str,
    values: &Values,
    keys: &BTreeSet<String>,
) -> Vec<String> {
    let wanted = values.iter().filter(|(key, _)| keys.contains(*key));
    wanted.map(|(key, value)| told(server, target, key, Some(value))).collect()
}
