//! Channels: entering, being thrown out, who else is there.

use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{Answer, ChatKey, CommandError};

use super::inbound::shown;
use super::rooms::Presence;
use super::session::{Phase, Session};
use super::words;
use crate::wire::message::{Line, Message};

/// Between two JOINs. Source: the IRC notes, section 8.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// Refusals that do not pass by themselves: no such channel, closed by the network, sent on to another, invited people
/// only, banned, a key, no such name, known nicks only, TLS only. Source: "Numerics" in Modern IRC; 448: UnrealIRCd;
/// 470 and 479: Solanum; 489, 520 and 926: InspIRCd.
const FINAL: [&str; 12] =
    ["403", "448", "470", "473", "474", "475", "476", NEEDS_ACCOUNT, "479", "489", "520", "926"];
/// Known nicks only. Source: "ERR_NEEDREGGEDNICK" of Solanum, UnrealIRCd and InspIRCd.
const NEEDS_ACCOUNT: &str = "477";

impl Session<'_> {
    /// Takes part where there is a link, and nowhere else.
    pub(super) fn link(&mut self) {
        if !matches!(self.phase, Phase::Ready) {
            return;
        }
        let linked = self.relay.linked.now();
        self.relay.forget_unlinked(&linked);
        let channels: Vec<(String, ChatKey)> = linked
            .into_iter()
            .filter(|chat| self.support.is_channel(chat.as_str()))
            .map(|chat| (self.support.fold(chat.as_str()), chat))
            .collect();
        for name in self.relay.rooms.link(channels) {
            self.puppets_leave(&name);
            self.queue.push_back(Line::new().command("PART").param(&name).last("unlinked").build());
        }
    }

    /// Enters what is to be entered, a few channels at a time.
    pub(super) fn enter_rooms(&mut self, now: Instant) {
        let (answer, rejoin) = (self.relay.config.limits.answer, self.relay.config.limits.rejoin);
        for room in self.relay.rooms.0.values_mut() {
            match &room.presence {
                Presence::Barred { is_final: false, again_at, .. } if now >= *again_at => {
                    room.presence = Presence::Out;
                }
                // A server that said nothing to our JOIN is asked again.
                Presence::Joining(since) if now >= *since + answer => {
                    let why = "the network does not answer when the channel is entered".to_owned();
                    tracing::warn!(network = %self.relay.network, channel = %room.key, %why, "not in a channel");
                    room.presence = Presence::Barred { why, is_final: false, again_at: now + rejoin };
                }
                _ => {}
            }
        }
        // One channel after the other, each with what follows of it: a JOIN that waits long would count as unanswered.
        if now < self.next_join || self.has_commands() {
            return;
        }
        let mut names: Vec<&String> = Vec::new();
        for room in self.relay.rooms.0.values_mut().filter(|room| room.presence == Presence::Out) {
            let length: usize = names.iter().map(|name| name.len() + 1).sum();
            if names.len() >= self.support.joins || length + room.name.len() > 400 {
                break;
            }
            room.presence = Presence::Joining(now);
            names.push(&room.name);
        }
        if names.is_empty() {
            return;
        }
        let list = names.into_iter().map(String::as_str).collect::<Vec<_>>().join(",");
        self.next_join = now + JOIN_PAUSE;
        self.queue.push_back(Line::new().command("JOIN").param(&list).build());
    }

    /// Enters again where we were thrown out or not let in, as if it had not been.
    pub(super) fn forgive(&mut self) -> Result<Answer, CommandError> {
        let mut names: Vec<String> = Vec::new();
        for room in self.relay.rooms.0.values_mut() {
            if room.forgive() {
                names.push(room.name.clone());
            }
        }
        if names.is_empty() {
            return Err(CommandError::Refused("is in all its channels".to_owned()));
        }
        names.sort();
        tracing::info!(network = %self.relay.network, channels = ?names, "entering channels again");
        Ok(Answer::Text(names.join(", ")))
    }

    pub(super) fn is_joining(&self, name: &str) -> bool {
        let room = self.relay.rooms.0.get(&self.support.fold(name));
        room.is_some_and(|room| matches!(room.presence, Presence::Joining(_)))
    }

    fn is_in(&self, name: &str) -> bool {
        let room = self.relay.rooms.0.get(&self.support.fold(name));
        room.is_some_and(|room| room.presence == Presence::In)
    }

    pub(super) fn not_let_in(&mut self, numeric: &str, name: &str, why: &str) {
        let again_at = Instant::now() + self.relay.config.limits.rejoin;
        // NickServ knows us in a moment, or when we have our nick again.
        let may_pass = numeric == NEEDS_ACCOUNT && self.nickserv.is_some();
        let is_final = FINAL.contains(&numeric) && !may_pass;
        if let Some(room) = self.relay.rooms.0.get_mut(&self.support.fold(name)) {
            let why = words::from_server(why);
            tracing::warn!(network = %self.relay.network, channel = %room.key, %why, "not let into a channel");
            room.presence = Presence::Barred { why, is_final, again_at };
        }
    }

    /// Who is there changes.
    pub(super) fn room_news(&mut self, message: &Message<'_>) {
        let source = message.source.unwrap_or("");
        let (nick, mask) = source.split_once('!').unwrap_or((source, ""));
        let param = |at: usize| message.param(at).unwrap_or("");
        let is_me = self.is_me(nick);
        match message.command {
            "JOIN" => self.joined(nick, mask, param(0), is_me),
            "PART" if is_me && self.is_in(param(0)) => self.thrown_out(param(0), "taken", param(1)),
            // One that a JOIN of ours has overtaken is of an earlier link.
            "PART" if is_me => {}
            "PART" => self.gone(nick, param(0)),
            "KICK" => self.kicked(param(0), param(1), message.param(2).unwrap_or("")),
            "QUIT" => self.quit(nick),
            "NICK" => self.renamed(nick, param(0), is_me),
            "CHGHOST" if is_me => {
                (self.me.user, self.me.host) = (Some(param(0).to_owned()), Some(param(1).to_owned()));
            }
            "324" => self.modes(param(1), param(2)),
            "MODE" => self.modes(param(0), param(1)),
            "332" => self.topic(param(1), param(2)),
            "TOPIC" => self.topic(param(0), param(1)),
            "353" => self.names(param(2), message.params().last().unwrap_or(&"")),
            "366" => {
                let folded = self.support.fold(param(1));
                self.look_around(&folded);
                self.describe(&folded);
            }
            _ => {}
        }
    }

    fn joined(&mut self, nick: &str, mask: &str, channel: &str, is_me: bool) {
        let folded = self.support.fold(channel);
        if is_me {
            if let Some((user, host)) = mask.split_once('@') {
                (self.me.user, self.me.host) = (Some(user.to_owned()), Some(host.to_owned()));
            }
            let Some(room) = self.relay.rooms.0.get_mut(&folded) else {
                // Somebody moved us there (a forward, SAJOIN): it is none of ours.
                self.queue.push_back(Line::new().command("PART").param(channel).build());
                return;
            };
            room.entered();
            channel.clone_into(&mut room.name);
            tracing::info!(network = %self.relay.network, %channel, "in the channel");
            self.queue.push_back(Line::new().command("MODE").param(channel).build());
            self.catch_up(&folded);
        }
        let member = self.support.fold(nick);
        let Some(room) = self.relay.rooms.0.get_mut(&folded) else { return };
        room.members.insert(member, nick.to_owned());
        let key = room.key.clone();
        if !is_me && !self.is_puppet(nick) {
            self.look_around(&folded);
            self.say_news(key, format!("{} joined", shown(nick)));
        }
    }

    fn gone(&mut self, nick: &str, channel: &str) {
        let (folded, member) = (self.support.fold(channel), self.support.fold(nick));
        let Some(room) = self.relay.rooms.0.get_mut(&folded) else { return };
        room.members.remove(&member);
        let key = room.key.clone();
        self.look_around(&folded);
        if self.is_puppet(nick) {
            return;
        }
        self.say_news(key, format!("{} left", shown(nick)));
    }

    fn kicked(&mut self, channel: &str, nick: &str, why: &str) {
        match self.is_me(nick) {
            true => self.thrown_out(channel, "kicked", why),
            false => self.gone(nick, channel),
        }
    }

    /// Somebody put us out of a channel: by KICK, or by a PART that is not ours, since what is left by our own will has
    /// no room any more. Source: REMOVE of Solanum's `m_remove.c`; SAPART and SVSPART of UnrealIRCd and InspIRCd.
    fn thrown_out(&mut self, channel: &str, how: &str, why: &str) {
        let rejoin = self.relay.config.limits.rejoin;
        if let Some(room) = self.relay.rooms.0.get_mut(&self.support.fold(channel)) {
            let why = format!("we were {how} out of the channel ({})", words::from_server(why));
            tracing::warn!(network = %self.relay.network, %channel, %why, "not in a channel any more");
            room.kicked(why, rejoin, Instant::now());
        }
    }

    /// A channel has another name, and people are there: nobody is left under the old one. Which chat is linked is the
    /// operator's to say. Source: IRCv3 draft/channel-rename.
    pub(super) fn channel_renamed(&mut self, old: &str, new: &str) {
        let (from, to) = (self.support.fold(old), self.support.fold(new));
        if let Some(room) = self.relay.rooms.0.get_mut(&from) {
            if from == to {
                return new.clone_into(&mut room.name);
            }
            let why = format!("it was renamed to {}; link that", shown(new));
            tracing::warn!(network = %self.relay.network, channel = %old, %why, "not in a channel any more");
            room.members.clear();
            room.presence = Presence::Barred { why, is_final: true, again_at: Instant::now() };
            // Where it is linked too it is entered like every other.
            self.queue.push_back(Line::new().command("PART").param(new).build());
        }
    }

    fn quit(&mut self, nick: &str) {
        let member = self.support.fold(nick);
        let rooms = self.relay.rooms.0.iter_mut();
        let left: Vec<(String, ChatKey)> = rooms
            .filter_map(|(folded, room)| {
                room.members.remove(&member).map(|_| (folded.clone(), room.key.clone()))
            })
            .collect();
        for (folded, key) in left {
            self.look_around(&folded);
            if !self.is_puppet(nick) {
                self.say_news(key, format!("{} left", shown(nick)));
            }
        }
        if member == self.support.fold(&self.relay.config.nick) && !self.is_me(nick) {
            self.take_nick();
        }
    }

    fn renamed(&mut self, old: &str, new: &str, is_me: bool) {
        let (from, to) = (self.support.fold(old), self.support.fold(new));
        for room in self.relay.rooms.0.values_mut() {
            if room.members.remove(&from).is_some() {
                room.members.insert(to.clone(), new.to_owned());
            }
        }
        self.puppet_renamed(&from, new);
        if is_me {
            new.clone_into(&mut self.me.nick);
            let wanted = self.support.fold(&self.relay.config.nick);
            let has_wanted = to == wanted;
            if from == wanted && !has_wanted {
                self.wanted_nick.taken(self.relay.config.limits.rejoin, Instant::now());
            }
            self.relay.is_called(to);
            match has_wanted {
                true => {
                    self.wanted_nick.got(Instant::now());
                    self.identify();
                }
                false => self.watch_nick(),
            }
        } else if from == self.support.fold(&self.relay.config.nick) && to != from {
            self.take_nick();
        }
    }

    /// `c` and `S` keep or strip colours, nearly everywhere; a letter with another meaning costs
    /// only the colours. `D` hides who enters until they speak: delayed join of ircu, UnrealIRCd and InspIRCd.
    fn modes(&mut self, channel: &str, change: &str) {
        let Some(room) = self.relay.rooms.0.get_mut(&self.support.fold(channel)) else { return };
        let mut is_set = true;
        for letter in change.chars() {
            match letter {
                '+' => is_set = true,
                '-' => is_set = false,
                'c' | 'S' => room.is_plain = is_set,
                'D' => room.hides_joins = is_set,
                _ => {}
            }
        }
    }

    fn topic(&mut self, channel: &str, topic: &str) {
        let folded = self.support.fold(channel);
        if let Some(room) = self.relay.rooms.0.get_mut(&folded) {
            topic.clone_into(&mut room.topic);
            self.describe(&folded);
        }
    }

    fn names(&mut self, channel: &str, list: &str) {
        let names: Vec<(String, String)> = list
            .split_whitespace()
            .map(|name| name.trim_start_matches(|c: char| self.support.signs.contains(c)))
            .map(|name| name.split_once('!').map_or(name, |(nick, _)| nick))
            .map(|nick| (self.support.fold(nick), nick.to_owned()))
            .collect();
        if let Some(room) = self.relay.rooms.0.get_mut(&self.support.fold(channel)) {
            room.members.extend(names);
        }
    }

    fn look_around(&mut self, folded: &str) {
        let own = self.own_nicks();
        if let Some(room) = self.relay.rooms.0.get_mut(folded) {
            room.look_around(&own, Instant::now());
        }
    }
}
