//! Coming and going, topics, and lists of local channels.

use std::collections::BTreeMap;

use super::modes::{Modes, Status};
use super::{Channel, Event, Floor, Log, MAX_CHANNELS, Topic, UserId, shown};
use crate::server::caps::Caps;
use crate::server::names::{CHANNEL_BYTES, cut_text};
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

/// Longest topic; announced as TOPICLEN.
pub(in crate::server) const TOPIC_BYTES: usize = 390;

/// Channels of one NAMES without a name. Chosen.
const MAX_NAMED: usize = 100;

/// One local channel as LIST tells it.
pub(in crate::server) struct Listed {
    pub(in crate::server) name: String,
    pub(in crate::server) members: usize,
    pub(in crate::server) topic: String,
    /// Seconds since the epoch.
    pub(in crate::server) created: i64,
    pub(in crate::server) topic_at: Option<i64>,
}

/// True for what can be the name of a local channel, sign included.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(['#', '&'])
        && name.len() > 1
        && name.len() <= CHANNEL_BYTES
        && !name.chars().any(|c| c.is_control() || matches!(c, ' ' | ',' | ':'))
}

impl Floor<'_> {
    /// Joins a local channel, which is made when it does not exist; true when somebody came in.
    pub(in crate::server) fn join(&mut self, name: &str, key: Option<&str>) -> bool {
        let (me, folded) = (self.act.me, fold(name));
        if !is_name(name) {
            self.numeric(n::ERR_NOSUCHCHANNEL, &format!("{} :No such channel", shown(name)));
            return false;
        }
        if self.my_status(&folded).is_some() {
            return false;
        }
        if self.me().is_none_or(|user| user.channels.len() >= MAX_CHANNELS) {
            self.numeric(n::ERR_TOOMANYCHANNELS, &format!("{name} :You have joined too many channels"));
            return false;
        }
        if let Some((code, why)) = self.barrier(&folded, key) {
            self.numeric(code, &format!("{name} :Cannot join channel ({why})"));
            return false;
        }
        let now = self.act.now;
        self.state.next += 1;
        let id = self.state.next;
        let channel = self.state.channels.entry(folded.clone()).or_insert_with(|| Channel {
            id,
            name: name.to_owned(),
            created: now,
            topic: None,
            modes: Modes::new(),
            members: BTreeMap::new(),
            metadata: super::Values::new(),
            log: Log::default(),
        });
        let status = if channel.members.is_empty() { Status::OP } else { Status::default() };
        channel.members.insert(me, status);
        let name = channel.name.clone();
        if let Some(user) = self.state.users.get_mut(&me) {
            user.channels.insert(folded.clone());
            user.invites.remove(&folded);
        }
        let event = self.event(format!("JOIN {name}"));
        self.log_event(&folded, &event);
        let members = self.members(&folded);
        self.show_join(&event, &name, &members);
        self.tell_values(&members);
        true
    }

    /// What keeps the acting user out.
    fn barrier(&self, folded: &str, key: Option<&str>) -> Option<(u16, &'static str)> {
        let channel = self.state.channels.get(folded)?;
        let me = self.me()?;
        let modes = &channel.modes;
        let is_invited = me.invites.contains(folded);
        if modes.invite_only && !is_invited {
            return Some((n::ERR_INVITEONLYCHAN, "+i"));
        }
        if modes.key.as_deref().is_some_and(|wanted| key != Some(wanted)) {
            return Some((n::ERR_BADCHANNELKEY, "+k"));
        }
        if modes.bans(&me.prefix()) && !is_invited {
            return Some((n::ERR_BANNEDFROMCHAN, "+b"));
        }
        if modes.limit.is_some_and(|limit| channel.members.len() >= limit) {
            return Some((n::ERR_CHANNELISFULL, "+l"));
        }
        None
    }

    /// Shows members that the acting user came in, and that they are away.
    pub(super) fn show_join(&mut self, event: &Event, name: &str, members: &[UserId]) {
        let Some(me) = self.me() else { return };
        let account = me.id.account.as_deref().unwrap_or("*");
        let extended = Event { body: format!("JOIN {name} {account} :{}", me.id.realname), ..event.clone() };
        let away = me.away.clone();
        self.tell(members.iter().copied(), &|caps| {
            let event = if caps.has(Caps::EXTENDED_JOIN) { &extended } else { event };
            Some(event.line(caps, ""))
        });
        if let Some(away) = away {
            let event = Event { body: format!("AWAY :{away}"), msgid: String::new(), ..event.clone() };
            let me = self.act.me;
            let others = members.iter().copied().filter(|member| *member != me);
            self.tell(others, &|caps| caps.has(Caps::AWAY_NOTIFY).then(|| event.line(caps, "")));
        }
    }

    /// Shows a channel to another connection of its user, as if it had joined.
    pub(in crate::server) fn joined_line(&mut self, folded: &str) -> Option<String> {
        let (channel, me) = (self.state.channels.get(folded)?, self.me()?);
        let name = &channel.name;
        let body = if self.act.caps.has(Caps::EXTENDED_JOIN) {
            let account = me.id.account.as_deref().unwrap_or("*");
            format!("JOIN {name} {account} :{}", me.id.realname)
        } else {
            format!("JOIN {name}")
        };
        let join = Event { msgid: String::new(), ..self.event(body) };
        Some(join.line(self.act.caps, ""))
    }

    /// The local channels that the acting user is in: folded form and name.
    pub(in crate::server) fn my_channels(&self) -> Vec<(String, String)> {
        let folded = self.me().map(|me| me.channels.clone()).unwrap_or_default();
        folded
            .into_iter()
            .filter_map(|folded| {
                let name = self.state.channels.get(&folded)?.name.clone();
                Some((folded, name))
            })
            .collect()
    }

    /// The same: which it is, its name, and what opens it; `None` of somebody who is not here any more.
    pub(in crate::server) fn my_channels_with_keys(&self) -> Option<Vec<(u64, String, Option<String>)>> {
        let channels = self.me()?.channels.iter().filter_map(|folded| self.state.channels.get(folded));
        Some(channels.map(|channel| (channel.id, channel.name.clone(), channel.modes.key.clone())).collect())
    }

    pub(in crate::server) fn part(&mut self, name: &str, reason: &str) {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get(&folded) else {
            return self.numeric(n::ERR_NOSUCHCHANNEL, &format!("{} :No such channel", shown(name)));
        };
        let name = channel.name.clone();
        if self.my_status(&folded).is_none() {
            return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
        }
        let body = if reason.is_empty() { format!("PART {name}") } else { format!("PART {name} :{reason}") };
        let event = self.event(body);
        self.log_event(&folded, &event);
        let members = self.members(&folded);
        self.tell(members, &|caps| Some(event.line(caps, "")));
        self.leave(&folded, self.act.me);
    }

    /// Takes somebody out of a channel, which goes with its last member.
    pub(super) fn leave(&mut self, folded: &str, user: UserId) {
        if let Some(user) = self.state.users.get_mut(&user) {
            user.channels.remove(folded);
        }
        if let Some(channel) = self.state.channels.get_mut(folded) {
            channel.members.remove(&user);
            if channel.members.is_empty() {
                self.state.channels.remove(folded);
                self.state.users.values_mut().for_each(|user| {
                    user.invites.remove(folded);
                });
            }
        }
    }

    pub(in crate::server) fn topic(&mut self, name: &str, text: Option<&str>) {
        let folded = fold(name);
        let Some(channel) = self.state.channels.get(&folded) else {
            return self.numeric(n::ERR_NOSUCHCHANNEL, &format!("{} :No such channel", shown(name)));
        };
        let (name, locked, secret) = (channel.name.clone(), channel.modes.topic_lock, channel.modes.secret);
        let status = self.my_status(&folded);
        let Some(text) = text else {
            if status.is_none() && secret {
                return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
            }
            if channel.topic.is_none() {
                return self.numeric(n::RPL_NOTOPIC, &format!("{name} :No topic is set"));
            }
            return self.show_topic(&folded);
        };
        let Some(status) = status else {
            return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
        };
        if locked && !status.may_moderate() {
            return self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        let text = cut_text(text, TOPIC_BYTES).to_owned();
        let (by, at) = (self.me().map(super::User::prefix).unwrap_or_default(), self.act.now);
        if let Some(channel) = self.state.channels.get_mut(&folded) {
            channel.topic = (!text.is_empty()).then(|| Topic { text: text.clone(), by, at });
        }
        let event = self.event(format!("TOPIC {name} :{text}"));
        self.log_event(&folded, &event);
        let members = self.members(&folded);
        self.tell_done(members, &event);
    }

    /// 332 and 333, or nothing.
    pub(in crate::server) fn show_topic(&mut self, folded: &str) {
        let Some(channel) = self.state.channels.get(folded) else { return };
        let Some(topic) = &channel.topic else { return };
        let lines = [
            (n::RPL_TOPIC, format!("{} :{}", channel.name, topic.text)),
            (n::RPL_TOPICWHOTIME, format!("{} {} {}", channel.name, topic.by, topic.at.seconds())),
        ];
        lines.into_iter().for_each(|(code, rest)| self.numeric(code, &rest));
    }

    /// 353 and 366.
    pub(in crate::server) fn names(&mut self, name: &str) {
        let folded = fold(name);
        let is_member = self.my_status(&folded).is_some();
        let channel = self.state.channels.get(&folded).filter(|channel| is_member || !channel.modes.secret);
        let Some(channel) = channel else {
            return self.numeric(n::RPL_ENDOFNAMES, &format!("{} :End of /NAMES list", shown(name)));
        };
        let name = channel.name.clone();
        self.name_lines(&folded);
        self.numeric(n::RPL_ENDOFNAMES, &format!("{name} :End of /NAMES list"));
    }

    /// The names of all channels that the acting user may know of, without the end.
    pub(in crate::server) fn all_names(&mut self) {
        let channels = self.state.channels.iter();
        let visible = channels.filter(|(_, c)| !c.modes.secret || c.members.contains_key(&self.act.me));
        let visible: Vec<String> = visible.map(|(folded, _)| folded.clone()).take(MAX_NAMED).collect();
        visible.iter().for_each(|folded| self.name_lines(folded));
    }

    /// 353 of one channel.
    fn name_lines(&mut self, folded: &str) {
        let is_member = self.my_status(folded).is_some();
        let with_all = self.act.caps.has(Caps::MULTI_PREFIX);
        let with_hosts = self.act.caps.has(Caps::USERHOST_IN_NAMES);
        let Some(channel) = self.state.channels.get(folded) else { return };
        let (name, sign) = (channel.name.clone(), if channel.modes.secret { '@' } else { '=' });
        let members: Vec<String> = channel
            .members
            .iter()
            .filter_map(|(id, status)| {
                let user = self.state.user(*id)?;
                let shown = if with_hosts { user.prefix() } else { user.id.nick.clone() };
                let is_shown = (is_member || !user.is_invisible) && self.sees(*id, user);
                is_shown.then(|| format!("{}{shown}", status.shown(with_all)))
            })
            .collect();
        let room = 499usize.saturating_sub(self.act.server.len() + self.nick().len() + name.len());
        for line in filled(members.into_iter(), ' ', room) {
            self.numeric(n::RPL_NAMREPLY, &format!("{sign} {name} :{line}"));
        }
    }

    /// Local channels that the acting user may know of.
    pub(in crate::server) fn listed(&self) -> Vec<Listed> {
        let channels = self.state.channels.values();
        let visible = channels.filter(|c| !c.modes.secret || c.members.contains_key(&self.act.me));
        visible
            .map(|channel| Listed {
                name: channel.name.clone(),
                members: channel.members.len(),
                topic: channel.topic.as_ref().map(|topic| topic.text.clone()).unwrap_or_default(),
                created: channel.created.seconds(),
                topic_at: channel.topic.as_ref().map(|topic| topic.at.seconds()),
            })
            .collect()
    }

    /// The folded name of a local channel; says so when there is none.
    pub(in crate::server) fn channel(&mut self, name: &str) -> Option<String> {
        let folded = fold(name);
        if !self.state.channels.contains_key(&folded) {
            self.numeric(n::ERR_NOSUCHCHANNEL, &format!("{} :No such channel", shown(name)));
            return None;
        }
        Some(folded)
    }
}

/// Words in as few lines as they fit.
pub(in crate::server) fn filled(
    words: impl Iterator<Item = String>,
    separator: char,
    room: usize,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= room => {
                line.push(separator);
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}
