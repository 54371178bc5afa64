//! By which names a session speaks, and lines without tags.

use wxgate_contract::{ChatKey, NetworkId, UserName};

use super::Session;
use crate::server::registry::ClientId;

impl Session {
    /// The chats and people of this session live here.
    pub(in crate::server) fn account(&self) -> Option<&NetworkId> {
        self.key.account.as_ref()
    }

    pub(in crate::server) fn own_prefix(&self) -> String {
        format!("{}!{}@wxgate", self.nick, self.own_user())
    }

    pub(in crate::server) fn own_user(&self) -> String {
        self.user.clone()
    }

    /// Whom one is logged in as; `None` for guests.
    pub(in crate::server) fn account_name(&self) -> Option<&str> {
        match self.key.guest {
            Some(_) => self.known_as.as_ref().map(UserName::as_str),
            None => Some(self.key.user.as_str()),
        }
    }

    pub(in crate::server) fn service_prefix(&self) -> String {
        let service = &self.shared.config.service_nick;
        format!("{service}!{service}@{}", self.shared.config.server_name)
    }

    /// Sends `:server NNN nick rest`, cut at a character border when it would be too long.
    pub(in crate::server) fn numeric(&mut self, id: ClientId, code: u16, rest: &str) {
        let line = format!(":{} {code:03} {} {rest}", self.shared.config.server_name, self.nick);
        self.to(id, &line);
    }

    /// Sends one line without tags.
    pub(in crate::server) fn to(&mut self, id: ClientId, line: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.line(line);
        }
    }

    pub(in crate::server) fn chat_ref(&self, chat: &ChatKey) -> Option<wxgate_contract::ChatRef> {
        let network = self.account()?.clone();
        Some(wxgate_contract::ChatRef { network, chat: chat.clone() })
    }
}
