//! How this account's names are written, and writing them anew.

use wxgate_contract::{PersonKey, Timestamp};

use super::{PersonIx, Renamed, Roster};
use crate::server::names::{self, Style};

impl Roster {
    pub(in crate::server) fn style(&self) -> Style {
        self.style
    }

    /// Names that are given from here on are written so.
    pub(in crate::server) fn set_style(&mut self, style: Style) {
        self.style = style;
    }

    pub(super) fn nick_base(&self, name: &str, key: &PersonKey) -> String {
        names::nick_from(&self.style.write(name), key.as_str())
    }

    pub(super) fn channel_base(&self, title: &str) -> Option<String> {
        names::channel_from(&self.style.write(title))
    }

    /// People whose names do not come with the list of contacts.
    pub(in crate::server) fn strangers(&self) -> Vec<PersonKey> {
        self.people().filter(|(_, person)| !person.is_contact).map(|(_, person)| person.key.clone()).collect()
    }

    /// Gives strangers a nick in the present style: they keep the name they came with, which is their real
    /// name here.
    pub(in crate::server) fn rewrite_members(&mut self, now: Timestamp) -> Vec<Renamed> {
        let strangers: Vec<(PersonIx, String)> = self
            .people()
            .filter(|(_, person)| !person.is_contact && !person.realname.is_empty())
            .map(|(ix, person)| (ix, person.realname.clone()))
            .collect();
        strangers.into_iter().filter_map(|(ix, name)| self.rename_person(ix, &name, now)).collect()
    }
}
