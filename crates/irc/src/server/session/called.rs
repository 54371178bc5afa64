//! Whom WeChat means by a name in a line of its own, which is all that such a line says of somebody.

use super::Session;
use crate::server::roster::{ChannelIx, PersonIx};

/// Somebody whom a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Called {
    /// The owner of the account.
    Own,
    /// Somebody else.
    Person(PersonIx),
}

impl Session {
    /// Who goes by this name in a group; `None` where nobody does, or more than one.
    pub(in crate::server) fn called(&self, channel: ChannelIx, name: &str) -> Option<Called> {
        let is_own = !name.is_empty() && name == self.own_name;
        match (is_own, self.roster.called(channel, name)) {
            (true, None) => Some(Called::Own),
            (false, Some(person)) => Some(Called::Person(person)),
            _ => None,
        }
    }
}
