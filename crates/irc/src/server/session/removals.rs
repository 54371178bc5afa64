//! Who was put out of a group by whom: WeChat says so in a line of its own, and the list of members says only that
//! somebody is gone.

use wxgate_contract::{Body, GroupEvent, TimelineItem};

use super::Session;
use crate::server::hall::Event;
use crate::server::outbound::Window;
use crate::server::roster::{ChannelIx, Membership};

/// Lines that wait for the list to change. Chosen: it does within seconds.
const MAX_WAITING: usize = 50;

/// Somebody was put out of a group.
#[derive(Debug)]
pub(super) struct Removal {
    channel: ChannelIx,
    name: String,
    by: String,
}

impl Session {
    /// A line may be about that.
    pub(in crate::server) fn note_removals(&mut self, window: Option<Window>, item: &TimelineItem) {
        let (Some(Window::Channel(channel)), Body::Event { event: GroupEvent::Removed { names, by }, .. }) =
            (window, &item.post.body)
        else {
            return;
        };
        // Who is gone already was seen to go: a KICK of one's own comes before WeChat's line about it.
        let members =
            self.roster.channel(channel).and_then(|channel| channel.members.as_deref()).unwrap_or_default();
        let is_here = |name: &&String| members.iter().any(|member| self.roster.is_called(member, name));
        let removal = |name: &String| Removal { channel, name: name.clone(), by: by.clone() };
        self.removals.extend(names.iter().filter(is_here).map(removal));
        let excess = self.removals.len().saturating_sub(MAX_WAITING);
        self.removals.drain(..excess);
    }

    /// What clients see when somebody is gone from a group: KICK where it is known who put them out, else PART.
    pub(super) fn departure(&mut self, ix: ChannelIx, member: &Membership) -> Event {
        let channel = self.channel_name(ix);
        let is_theirs =
            |removal: &Removal| removal.channel == ix && self.roster.is_called(member, &removal.name);
        let found = self.removals.iter().position(is_theirs).and_then(|at| self.removals.remove(at));
        let Some(Removal { by, .. }) = found else {
            return self.deed_of(member.person, format!("PART {channel}"));
        };
        let nick = self.roster.person(member.person).map(|person| person.nick.as_str()).unwrap_or_default();
        let kick = format!("KICK {channel} {nick}");
        let members =
            self.roster.channel(ix).and_then(|channel| channel.members.as_deref()).unwrap_or_default();
        match members.iter().find(|other| self.roster.is_called(other, &by)) {
            _ if by.is_empty() => self.service_deed(kick),
            Some(other) => self.deed_of(other.person, kick),
            // WeChat tells it to whoever did it.
            None => self.own_deed(kick),
        }
    }
}
