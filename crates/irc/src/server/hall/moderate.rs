//! KICK and INVITE in local channels.

use super::{Event, Floor, shown};
use crate::server::caps::Caps;
use crate::server::names::cut_text;
use crate::wire::numeric as n;

/// Longest reason; announced as KICKLEN. Chosen.
pub(in crate::server) const KICK_BYTES: usize = 300;
/// Invitations that one user may hold. Chosen; the oldest by name makes room.
const MAX_INVITES: usize = 50;

impl Floor<'_> {
    pub(in crate::server) fn kick(&mut self, name: &str, nick: &str, reason: &str) {
        let Some(folded) = self.channel(name) else { return };
        let name = self.state.channels.get(&folded).map(|c| c.name.clone()).unwrap_or_default();
        let Some(my) = self.my_status(&folded) else {
            return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
        };
        if !my.may_moderate() {
            return self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        let Some((user, nick)) = self.state.find(nick).map(|(id, user)| (id, user.id.nick.clone())) else {
            return self.numeric(n::ERR_NOSUCHNICK, &format!("{} :No such nick/channel", shown(nick)));
        };
        let Some(theirs) = self.status(&folded, user) else {
            let rest = format!("{nick} {name} :They aren't on that channel");
            return self.numeric(n::ERR_USERNOTINCHANNEL, &rest);
        };
        if !my.outranks(theirs) {
            return self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        let by = self.nick();
        let reason = if reason.is_empty() { by.as_str() } else { cut_text(reason, KICK_BYTES) };
        let event = self.event(format!("KICK {name} {nick} :{reason}"));
        self.log_event(&folded, &event);
        // Who has a contact of that nick saw nobody who could be put out.
        let mut members = self.members(&folded);
        members.retain(|viewer| *viewer == user || self.is_seen_as(&nick, *viewer));
        self.tell_done(members, &event);
        self.leave(&folded, user);
    }

    pub(in crate::server) fn invite(&mut self, nick: &str, name: &str) {
        let Some((user, nick)) = self.reachable(nick).map(|(id, user)| (id, user.id.nick.clone())) else {
            return self.numeric(n::ERR_NOSUCHNICK, &format!("{} :No such nick/channel", shown(nick)));
        };
        let Some(folded) = self.channel(name) else { return };
        let channel = self.state.channels.get(&folded);
        let (name, invite_only) = channel.map(|c| (c.name.clone(), c.modes.invite_only)).unwrap_or_default();
        let Some(my) = self.my_status(&folded) else {
            return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
        };
        if self.status(&folded, user).is_some() {
            let rest = format!("{nick} {name} :is already on channel");
            return self.numeric(n::ERR_USERONCHANNEL, &rest);
        }
        if invite_only && !my.may_moderate() {
            return self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        if let Some(user) = self.state.users.get_mut(&user) {
            if user.invites.len() >= MAX_INVITES {
                user.invites.pop_first();
            }
            user.invites.insert(folded.clone());
        }
        self.numeric(n::RPL_INVITING, &format!("{nick} {name}"));
        let away = self.state.user(user).and_then(|user| user.away.clone());
        if let Some(away) = away {
            self.numeric(n::RPL_AWAY, &format!("{nick} :{away}"));
        }
        let event = Event { msgid: String::new(), ..self.event(format!("INVITE {nick} {name}")) };
        self.tell([user], &|caps| Some(event.line(caps, "")));
        // Source: IRCv3 invite-notify.
        let members: Vec<_> = self.members(&folded).into_iter().filter(|m| *m != self.act.me).collect();
        self.tell(members, &|caps| caps.has(Caps::INVITE_NOTIFY).then(|| event.line(caps, "")));
    }

    /// `INVITE` alone: where the acting user was invited to.
    pub(in crate::server) fn invites(&mut self) {
        let invites = self.me().map(|me| me.invites.clone()).unwrap_or_default();
        for folded in invites {
            if let Some(name) = self.state.channels.get(&folded).map(|channel| channel.name.clone()) {
                self.numeric(n::RPL_INVITELIST, &name);
            }
        }
        self.numeric(n::RPL_ENDOFINVITELIST, ":End of /INVITE list");
    }
}
