//! Who gave a group its title: WeChat says so in a line of its own, by name, and 333 tells it.

use wxgate_contract::{Body, GroupEvent, TimelineItem, Timestamp};

use super::called::Called;
use super::{Session, one_line};
use crate::server::hall::Event;
use crate::server::roster::{ChannelIx, Person, Titled};

impl Session {
    /// A line may be about that.
    pub(in crate::server) fn note_title(&mut self, item: &TimelineItem) {
        let Body::Event { event: GroupEvent::Renamed { title, by }, .. } = &item.post.body else { return };
        if let Some(ix) = self.roster.by_chat(&item.post.chat.chat) {
            let titled = Titled { title: one_line(title), by: one_line(by), at: item.post.at };
            self.roster.set_titled(ix, titled);
        }
    }

    /// What the line said, while the group is called so.
    fn titled(&self, ix: ChannelIx) -> Option<&Titled> {
        let channel = self.roster.channel(ix)?;
        channel.titled.as_ref().filter(|titled| titled.title == one_line(&channel.title))
    }

    /// Who set the topic, and when; the gateway, where it is not known.
    pub(super) fn topic_setter(&self, ix: ChannelIx) -> (String, Timestamp) {
        let at = self.roster.channel(ix).map_or(self.shared.started, |channel| channel.topic_at);
        let Some(titled) = self.titled(ix) else {
            return (self.service_prefix(), if at.ms() == 0 { self.shared.started } else { at });
        };
        let prefix = match self.called(ix, &titled.by) {
            Some(Called::Own) => Some(self.own_prefix()),
            Some(Called::Person(person)) => self.roster.person(person).map(Person::prefix),
            None => None,
        };
        (prefix.unwrap_or_else(|| self.service_prefix()), titled.at)
    }

    /// Something that whoever gave the group its title does by it; the gateway, where that is not known yet.
    pub(super) fn titling_deed(&self, ix: ChannelIx, body: String) -> Event {
        match self.titled(ix).and_then(|titled| self.called(ix, &titled.by)) {
            Some(Called::Own) => self.own_deed(body),
            Some(Called::Person(person)) => self.deed_of(person, body),
            None => self.service_deed(body),
        }
    }
}
