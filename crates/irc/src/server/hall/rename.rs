//! Other names for local channels. Source: IRCv3 draft/channel-rename.

use std::sync::Arc;

use super::channels::is_name;
use super::{Event, Floor, UserId};
use crate::server::caps::Caps;
use crate::server::queue::SendQueue;
use crate::server::registry::ClientId;
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

impl Floor<'_> {
    /// Gives a channel another name. Source: IRCv3 draft/channel-rename. Standard replies say why not: code
    /// and words; `None` for what a numeric has said.
    pub(in crate::server) fn rename_channel(
        &mut self,
        old: &str,
        new: &str,
        reason: &str,
    ) -> Result<(), Option<(&'static str, &'static str)>> {
        let Some(folded) = self.channel(old) else { return Err(None) };
        let Some(channel) = self.state.channels.get(&folded) else { return Err(None) };
        let old = channel.name.clone();
        let Some(status) = self.my_status(&folded) else {
            self.numeric(n::ERR_NOTONCHANNEL, &format!("{old} :You're not on that channel"));
            return Err(None);
        };
        if !status.may_moderate() {
            self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{old} :You're not channel operator"));
            return Err(None);
        }
        let target = fold(new);
        if !is_name(new) {
            return Err(Some(("CANNOT_RENAME", "This is no name of a channel")));
        }
        if target != folded && (self.state.channels.contains_key(&target) || self.is_a_group(&folded, new)) {
            // The same words for both: what groups the members have is not told.
            return Err(Some(("CHANNEL_NAME_IN_USE", "This name is taken")));
        }
        let Some(mut channel) = self.state.channels.remove(&folded) else { return Err(None) };
        new.clone_into(&mut channel.name);
        self.state.channels.insert(target.clone(), channel);
        for user in self.state.users.values_mut() {
            for names in [&mut user.channels, &mut user.invites] {
                if names.remove(&folded) {
                    names.insert(target.clone());
                }
            }
        }
        self.tell_renamed(&target, &old, new, reason);
        Ok(())
    }

    /// Some member of a channel has a WeChat group of this name: what they typed for the one would go to the other.
    fn is_a_group(&self, folded: &str, name: &str) -> bool {
        let members = self.state.channels.get(folded).map(|channel| channel.members.keys());
        let mut members = members.into_iter().flatten().filter_map(|id| self.state.user(*id));
        members.any(|member| member.known.groups.has(name, self.act.now))
    }

    /// Who does not know the command sees the channel left and entered under its new name; of another
    /// spelling of the same name nothing.
    fn tell_renamed(&mut self, folded: &str, old: &str, new: &str, reason: &str) {
        let words = if reason.is_empty() { String::new() } else { format!(" :{reason}") };
        let event = self.event(format!("RENAME {old} {new} :{reason}"));
        self.log_event(folded, &event);
        let act = self.act;
        let is_spelling = fold(old) == folded;
        let unsigned = Event { prefix: act.server.to_owned(), account: None, is_bot: false, ..event.clone() };
        for user in self.members(folded) {
            let event = if self.is_seen_by(user) { &event } else { &unsigned };
            let seats = self.state.user(user).map(|user| &user.seats).into_iter().flatten();
            let seats: Vec<(ClientId, Caps, Arc<SendQueue>)> =
                seats.map(|seat| (seat.client, seat.caps, Arc::clone(&seat.queue))).collect();
            for (client, caps, queue) in seats {
                let lines = if caps.has(Caps::CHANNEL_RENAME) {
                    vec![event.line(caps, "")]
                } else if is_spelling {
                    Vec::new()
                } else {
                    self.as_entered((user, client, caps), folded, &format!("PART {old}{words}"))
                };
                if client == act.client {
                    self.out.extend(lines);
                } else {
                    lines.iter().for_each(|line| super::push_line(&queue, line));
                }
            }
        }
    }

    /// What one connection of a member sees instead of a rename.
    fn as_entered(
        &mut self,
        (user, client, caps): (UserId, ClientId, Caps),
        folded: &str,
        part: &str,
    ) -> Vec<String> {
        let (act, out) = (self.act, std::mem::take(&mut self.out));
        self.act = super::Act { me: user, client, caps, ..act };
        let event = Event { msgid: String::new(), ..self.event(part.to_owned()) };
        self.out.push(event.line(caps, ""));
        let joined = self.joined_line(folded);
        self.out.extend(joined);
        self.show_topic(folded);
        let name = self.state.channels.get(folded).map(|channel| channel.name.clone()).unwrap_or_default();
        if !caps.has(Caps::NO_IMPLICIT_NAMES) {
            self.names(&name);
        }
        self.act = act;
        std::mem::replace(&mut self.out, out)
    }
}
