//! What is known of people and groups, by keys.

use std::collections::BTreeSet;

use super::{About, Hearer, VALUE_BYTES};
use crate::server::hall::{Values, lines_of};
use crate::server::names;
use crate::server::registry::ClientId;
use crate::server::roster::{ChannelIx, PersonIx};
use crate::server::session::{Session, one_line};

impl Session {
    pub(super) async fn values_of(&mut self, about: &About) -> Values {
        match about {
            About::Me => self.metadata.clone(),
            About::User(nick) => {
                self.on_floor(ClientId(0), |floor| floor.user_values(nick)).flatten().unwrap_or_default()
            }
            About::Channel(name) => {
                self.on_floor(ClientId(0), |floor| floor.channel_values(name)).flatten().unwrap_or_default()
            }
            About::Person(ix) => self.person_values(*ix).await,
            About::Group(ix) => self.group_values(*ix),
        }
    }

    /// What is known of a contact without asking WeChat.
    pub(super) fn known_values(&self, ix: PersonIx) -> Values {
        let Some(person) = self.roster.person(ix) else { return Values::new() };
        let mut values = Values::from([("display-name".to_owned(), value(&person.realname))]);
        if let Some(link) = self.face_of(&person.key) {
            values.insert("avatar".to_owned(), link);
        }
        if person.is_official() {
            values.insert("bot".to_owned(), "WeChat official account".to_owned());
        }
        values
    }

    async fn person_values(&self, ix: PersonIx) -> Values {
        let mut values = self.known_values(ix);
        let key = self.roster.person(ix).map(|person| person.key.clone());
        if let (Some(account), Some(key)) = (self.account(), key) {
            let found = self.shared.directory.people(account, &[key]).await.unwrap_or_default();
            let signature = found.first().map(|profile| value(&profile.signature)).unwrap_or_default();
            if !signature.is_empty() {
                values.insert("status".to_owned(), signature);
            }
        }
        values
    }

    fn group_values(&self, ix: ChannelIx) -> Values {
        let title = self.roster.channel(ix).map(|channel| value(&channel.title)).unwrap_or_default();
        let named = (!title.is_empty()).then(|| ("display-name".to_owned(), title));
        named.into_iter().collect()
    }

    /// A group and its members, without asking anybody.
    pub(super) fn group_lines(
        &self,
        hearer: &Hearer<'_>,
        ix: ChannelIx,
        keys: &BTreeSet<String>,
    ) -> Vec<String> {
        let Some(channel) = self.roster.channel(ix) else { return Vec::new() };
        let mut lines = lines_of(hearer, &channel.name, &self.group_values(ix), keys);
        for member in channel.members.as_deref().unwrap_or_default() {
            if let Some(person) = self.roster.person(member.person) {
                lines.extend(lines_of(hearer, &person.nick, &self.known_values(member.person), keys));
            }
        }
        lines
    }
}

/// A text of somebody else's as a value.
fn value(text: &str) -> String {
    names::cut_text(&one_line(text), VALUE_BYTES).to_owned()
}
