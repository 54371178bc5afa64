//! What people of this session do, with the tags that belong to every command of theirs.
//!
//! Source: IRCv3 account-tag ("to all commands sent by a user"), bot-mode, server-time.

use super::Session;
use crate::server::client::Client;
use crate::server::hall::Event;
use crate::server::roster::PersonIx;

impl Session {
    /// Something that one does oneself.
    pub(in crate::server) fn own_deed(&self, body: String) -> Event {
        let is_bot = self.local_who(&self.nick).is_some_and(|who| who.is_bot);
        self.deed(self.own_prefix(), self.account_name().map(str::to_owned), is_bot, body)
    }

    /// Something that the gateway itself does.
    pub(in crate::server) fn service_deed(&self, body: String) -> Event {
        self.deed(self.service_prefix(), None, true, body)
    }

    /// Something that somebody of WeChat does.
    pub(in crate::server) fn deed_of(&self, person: PersonIx, body: String) -> Event {
        match self.roster.person(person) {
            Some(person) => self.deed(person.prefix(), Some(person.user.clone()), person.is_official(), body),
            None => self.service_deed(body),
        }
    }

    fn deed(&self, prefix: String, account: Option<String>, is_bot: bool, body: String) -> Event {
        let (at, msgid, tags) = (self.shared.clock.now(), String::new(), String::new());
        Event { prefix, account, is_bot, at, msgid, tags, body }
    }

    /// Words, which have an id of their own.
    pub(in crate::server) fn spoken(&self, deed: Event) -> Event {
        Event { msgid: self.shared.next_remote_id().to_string(), ..deed }
    }

    /// Tells the clients that are to know of it.
    pub(in crate::server) fn tell_deed(&mut self, deed: &Event, is_told: impl Fn(&Client) -> bool) {
        for client in self.clients.values_mut() {
            if is_told(client) {
                let line = deed.line(client.caps(), "");
                client.line(&line);
            }
        }
    }
}
