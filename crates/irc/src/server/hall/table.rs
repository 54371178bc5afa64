//! Looking things up in the table of users and channels, and telling people.

use std::collections::BTreeSet;

use wxgate_contract::Timestamp;

use super::{State, User, UserId, push_line};
use crate::server::caps::Caps;
use crate::server::metadata::Hearer;
use crate::server::registry::ClientId;
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

impl State {
    pub(super) fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    pub(super) fn find(&self, nick: &str) -> Option<(UserId, &User)> {
        let id = *self.by_nick.get(&fold(nick))?;
        Some((id, self.users.get(&id)?))
    }

    /// Everybody who shares a channel with `user`, without them.
    pub(super) fn neighbours(&self, user: UserId) -> BTreeSet<UserId> {
        let channels = self.user(user).map(|user| &user.channels);
        let members = channels
            .into_iter()
            .flatten()
            .filter_map(|folded| self.channels.get(folded))
            .flat_map(|channel| channel.members.keys().copied());
        members.filter(|member| *member != user).collect()
    }

    /// Queues a line for every connection of a user but one.
    pub(super) fn push(&self, user: UserId, but: ClientId, line: &dyn Fn(Caps) -> Option<String>) {
        for seat in self.user(user).map(|user| &user.seats).into_iter().flatten() {
            if seat.client != but
                && let Some(line) = line(seat.caps)
            {
                push_line(&seat.queue, &line);
            }
        }
    }

    /// Tells who watches a nick, except the one it is about and who watches a contact of that nick.
    pub(super) fn tell_watchers(
        &self,
        (server, now): (&str, Timestamp),
        folded: &str,
        code: u16,
        shown: &str,
        about: UserId,
    ) {
        for user in self.users.iter().filter(|(id, _)| **id != about).map(|(_, user)| user) {
            let watching: Vec<_> = user.seats.iter().filter(|seat| seat.watched.contains(folded)).collect();
            if watching.is_empty() || user.has_contact(folded, now) {
                continue;
            }
            for seat in watching {
                push_line(&seat.queue, &format!(":{server} {code} {} :{shown}", user.id.nick));
                if code == n::RPL_MONONLINE && seat.caps.has(Caps::METADATA_3) {
                    // Source: IRCv3 draft/metadata-3, "Automatic synchronization".
                    let nick = shown.split('!').next().unwrap_or_default();
                    push_line(&seat.queue, &Hearer::new(seat.caps, server, &user.id.nick).later(nick));
                }
            }
        }
    }
}
