//! Who sees whom. To a client a nick is one party: a local user who is called like a contact would stand in that contact's
//! window, and a NICK of theirs would carry it over to them. So whoever has a contact of that nick sees nothing of the user.

use std::collections::BTreeSet;

use wxgate_contract::Timestamp;

use super::{Event, Floor, User, UserId};

impl User {
    /// True when they would take somebody of this nick for a contact of theirs.
    pub(super) fn has_contact(&self, nick: &str, now: Timestamp) -> bool {
        self.known.people.has(nick, now)
    }
}

impl Floor<'_> {
    /// True when a user sees somebody else who has this nick; the acting user is told of what they do in any case.
    pub(super) fn is_seen_as(&self, nick: &str, viewer: UserId) -> bool {
        let has_contact = |user: &User| user.has_contact(nick, self.act.now);
        viewer == self.act.me || !self.state.user(viewer).is_some_and(has_contact)
    }

    /// True when a user sees what the acting user does.
    pub(super) fn is_seen_by(&self, viewer: UserId) -> bool {
        self.is_seen_as(&self.nick(), viewer)
    }

    /// True when the acting user sees this one.
    pub(super) fn sees(&self, id: UserId, user: &User) -> bool {
        id == self.act.me || !self.me().is_some_and(|me| me.has_contact(&user.id.nick, self.act.now))
    }

    /// Somebody whom the acting user may write to: not who has a contact of that nick, and would take the one
    /// for the other.
    pub(super) fn reachable(&self, nick: &str) -> Option<(UserId, &User)> {
        self.state.find(nick).filter(|(id, _)| self.is_seen_by(*id))
    }

    /// Tells users of something that changes what they see. To those who do not see the acting user the server did it.
    pub(super) fn tell_done(&mut self, users: impl IntoIterator<Item = UserId>, event: &Event) {
        let (seeing, others): (Vec<_>, Vec<_>) = users.into_iter().partition(|user| self.is_seen_by(*user));
        self.tell(seeing, &|caps| Some(event.line(caps, "")));
        let (prefix, account) = (self.act.server.to_owned(), None);
        let unsigned = Event { prefix, account, is_bot: false, ..event.clone() };
        for user in others {
            self.state.push(user, self.act.client, &|caps| Some(unsigned.line(caps, "")));
        }
    }

    /// Tells everybody who sees the acting user that they are called otherwise from now on; `change` does it. Who has a
    /// contact of the new nick sees them gone, who has one of the old nick sees them come.
    pub(super) fn tell_nick(&mut self, wanted: &str, change: impl FnOnce(&mut Self)) {
        let old = self.nick();
        let mut audience = self.state.neighbours(self.act.me);
        audience.insert(self.act.me);
        let seeing = |floor: &Self, nick: &str| -> BTreeSet<UserId> {
            audience.iter().copied().filter(|viewer| floor.is_seen_as(nick, *viewer)).collect()
        };
        let (before, after) = (seeing(self, &old), seeing(self, wanted));
        let event = |floor: &mut Self, body: String| Event { msgid: String::new(), ..floor.event(body) };
        let renamed = event(self, format!("NICK {wanted}"));
        self.tell(&before & &after, &|caps| Some(renamed.line(caps, "")));
        let gone = event(self, "QUIT :is called otherwise now".to_owned());
        self.tell(&before - &after, &|caps| Some(gone.line(caps, "")));
        change(self);
        for viewer in &after - &before {
            self.appear_to(viewer);
        }
    }

    /// Shows the acting user to somebody who did not see them until now, in the channels that both are in.
    fn appear_to(&mut self, viewer: UserId) {
        let (me, nick) = (self.act.me, self.nick());
        for (folded, name) in self.my_channels() {
            if self.status(&folded, viewer).is_none() {
                continue;
            }
            let join = Event { msgid: String::new(), ..self.event(format!("JOIN {name}")) };
            self.show_join(&join, &name, &[viewer]);
            let modes = self.status(&folded, me).map(super::modes::Status::letters).unwrap_or_default();
            if !modes.is_empty() {
                let nicks = vec![nick.as_str(); modes.len()].join(" ");
                let line = format!(":{} MODE {name} +{modes} {nicks}", self.act.server);
                self.state.push(viewer, self.act.client, &|_| Some(line.clone()));
            }
        }
        self.tell_values(&[viewer]);
    }
}
