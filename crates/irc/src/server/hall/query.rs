//! Questions about local users.

use super::channels::filled;
use super::{Floor, HOST, User, UserId, Values};
use crate::server::caps::Caps;
use crate::server::commands::Who;
use crate::wire::casemap::{fold, matches_mask};
use crate::wire::numeric as n;

/// A row of WHO: the channel it is seen in, the signs there, and who.
pub(in crate::server) type WhoRow = (String, String, Who);

/// Matches of one WHO. Chosen.
const MAX_WHO: usize = 500;

impl Floor<'_> {
    fn profile(&self, user: &User) -> Who {
        Who {
            nick: user.id.nick.clone(),
            user: user.id.user.clone(),
            host: HOST.to_owned(),
            realname: user.id.realname.clone(),
            account: user.id.account.clone().unwrap_or_default(),
            away: user.away.clone(),
            person: None,
            is_bot: user.is_bot,
            is_oper: user.is_oper,
        }
    }

    /// Somebody by nick.
    pub(in crate::server) fn who_is(&self, nick: &str) -> Option<Who> {
        self.state.find(nick).map(|(_, user)| self.profile(user))
    }

    /// WHO of a channel, a nick or a mask.
    pub(in crate::server) fn who(&self, mask: &str) -> Vec<WhoRow> {
        let folded = fold(mask);
        if mask.starts_with(['#', '&']) {
            return self.who_channel(&folded);
        }
        if let Some((id, user)) = self.state.find(mask).filter(|(id, user)| self.sees(*id, user)) {
            // Asked for by name, nobody hides.
            return vec![self.who_row(id, user)];
        }
        let neighbours = self.state.neighbours(self.act.me);
        let is_visible = |id: UserId, user: &User| {
            (!user.is_invisible || id == self.act.me || neighbours.contains(&id)) && self.sees(id, user)
        };
        let fits = |user: &User| {
            mask.is_empty()
                || mask == "0"
                || [&user.id.nick, &user.id.user, &user.id.realname]
                    .iter()
                    .any(|text| matches_mask(mask, text))
                || matches_mask(mask, HOST)
        };
        let mut found: Vec<(&UserId, &User)> = self.state.users.iter().collect();
        found.sort_by_key(|(id, _)| **id);
        let found = found.into_iter().filter(|(id, user)| is_visible(**id, user) && fits(user));
        found.take(MAX_WHO).map(|(id, user)| self.who_row(*id, user)).collect()
    }

    fn who_channel(&self, folded: &str) -> Vec<WhoRow> {
        let is_member = self.my_status(folded).is_some();
        let channel = self.state.channels.get(folded).filter(|c| is_member || !c.modes.secret);
        let Some(channel) = channel else { return Vec::new() };
        let with_all = self.act.caps.has(Caps::MULTI_PREFIX);
        channel
            .members
            .iter()
            .filter_map(|(id, status)| {
                let user = self.state.user(*id)?;
                let is_shown = (is_member || !user.is_invisible) && self.sees(*id, user);
                is_shown.then(|| (channel.name.clone(), status.shown(with_all), self.profile(user)))
            })
            .collect()
    }

    /// With one channel that both can see, if there is one.
    fn who_row(&self, id: UserId, user: &User) -> WhoRow {
        let with_all = self.act.caps.has(Caps::MULTI_PREFIX);
        let seen = user.channels.iter().find_map(|folded| {
            let channel = self.state.channels.get(folded)?;
            let is_open = !channel.modes.secret || channel.members.contains_key(&self.act.me);
            is_open.then(|| (channel.name.clone(), channel.members.get(&id).copied().unwrap_or_default()))
        });
        match seen {
            Some((name, status)) => (name, status.shown(with_all), self.profile(user)),
            None => ("*".to_owned(), String::new(), self.profile(user)),
        }
    }

    /// The lines of WHOIS between the first and the last one; `more` are further channels.
    pub(in crate::server) fn whois(&mut self, nick: &str, more: Vec<String>, facts: &[(u16, String)]) {
        let Some((id, user)) = self.state.find(nick) else { return };
        let (who, since, active) = (self.profile(user), user.since, user.active);
        let is_invisible = user.is_invisible;
        let values = if self.act.caps.has(Caps::METADATA) { user.metadata.clone() } else { Values::new() };
        let is_self = id == self.act.me;
        let with_all = self.act.caps.has(Caps::MULTI_PREFIX);
        let mut channels = more;
        for folded in &user.channels {
            let Some(channel) = self.state.channels.get(folded) else { continue };
            let is_open = !channel.modes.secret && !is_invisible;
            if is_open || is_self || channel.members.contains_key(&self.act.me) {
                let status = channel.members.get(&id).copied().unwrap_or_default();
                channels.push(format!("{}{}", status.shown(with_all), channel.name));
            }
        }
        let name = who.nick;
        let rest = format!("{name} {} {} * :{}", who.user, who.host, who.realname);
        self.numeric(n::RPL_WHOISUSER, &rest);
        for line in filled(channels.into_iter(), ' ', 380) {
            self.numeric(n::RPL_WHOISCHANNELS, &format!("{name} :{line}"));
        }
        let server = self.act.server.to_owned();
        self.numeric(n::RPL_WHOISSERVER, &format!("{name} {server} :wxgate"));
        if let Some(away) = &who.away {
            self.numeric(n::RPL_AWAY, &format!("{name} :{away}"));
        }
        if !who.account.is_empty() {
            self.numeric(n::RPL_WHOISACCOUNT, &format!("{name} {} :is logged in as", who.account));
        }
        if who.is_bot {
            self.numeric(n::RPL_WHOISBOT, &format!("{name} :is a bot"));
        }
        if who.is_oper {
            self.numeric(n::RPL_WHOISOPERATOR, &format!("{name} :is an administrator of this gateway"));
        }
        let idle = self.act.now.since(active).as_secs();
        let rest = format!("{name} {idle} {} :seconds idle, signon time", since.seconds());
        self.numeric(n::RPL_WHOISIDLE, &rest);
        for (code, rest) in facts.iter().filter(|_| is_self) {
            self.numeric(*code, &format!("{name} {rest}"));
        }
        for (key, value) in values {
            self.numeric(n::RPL_WHOISKEYVALUE, &format!("{name} {key} * :{value}"));
        }
        self.numeric(n::RPL_ENDOFWHOIS, &format!("{name} :End of /WHOIS list"));
    }

    /// Users who were called so, the latest first: the two lines of each.
    pub(in crate::server) fn whowas(&self, nick: &str) -> Vec<[(u16, String); 2]> {
        let folded = fold(nick);
        let found = self.state.was.iter().filter(|was| fold(&was.id.nick) == folded);
        found
            .map(|was| {
                let id = &was.id;
                let user = format!("{} {} {HOST} * :{}", id.nick, id.user, id.realname);
                let seen = crate::server::stamp::long(was.at);
                [
                    (n::RPL_WHOWASUSER, user),
                    (n::RPL_WHOISSERVER, format!("{} {} :{seen}", id.nick, self.act.server)),
                ]
            })
            .collect()
    }
}
