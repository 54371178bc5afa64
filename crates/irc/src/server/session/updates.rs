//! What changes while clients are attached: names, members, health.

use std::sync::Arc;

use tokio::time::Instant;
use wxgate_contract::{ChatKey, Health, JOURNEY, PersonKey, TimelineItem};

use super::Session;
use crate::server::caps::Caps;
use crate::server::choices::Join;
use crate::server::hall::Event;
use crate::server::metadata::Hearer;
use crate::server::registry::ClientId;
use crate::server::roster::{Changed, Channel, ChannelIx, PersonIx, Rank, Renamed};
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

/// What contacts are while the account is not online.
const LOGGED_OUT: &str = "WeChat is logged out";

impl Session {
    /// Shows what is new, and tells tracers.
    pub(super) async fn show_new(&mut self, item: Arc<TimelineItem>) {
        let (began, post) = (Instant::now(), item.post_id.0);
        self.show(item).await;
        if let Some(network) = self.account() {
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let clients = self.clients.len();
            tracing::trace!(target: JOURNEY, step = "show", post, %network, took_us, clients);
        }
    }

    pub(super) async fn chats_changed(&mut self, chats: &[ChatKey]) {
        for chat in chats {
            let Some(chat) = self.chat_ref(chat) else { return };
            let profile = match self.shared.directory.chat(&chat).await {
                Ok(Some(profile)) => profile,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a changed chat could not be read");
                    return;
                }
            };
            let before = self.roster.by_chat(&chat.chat).and_then(|ix| self.roster.channel(ix));
            let topic_before = before.map(|channel| (channel.is_joined, channel.topic(), channel.own_rank()));
            let is_gone = profile.is_gone;
            let Ok(Some((ix, renamed))) = self.take_chat(profile).await else { continue };
            if topic_before.is_none() && !is_gone && self.choices.join == Join::All {
                self.join(ix).await;
            }
            let Some((true, topic_before, rank_before)) = topic_before else { continue };
            if is_gone {
                self.channel_gone(ix);
                continue;
            }
            match renamed {
                Some(renamed) => self.channel_renamed(ix, &renamed),
                None => self.topic_changed(ix, &topic_before),
            }
            self.own_rank_changed(ix, rank_before);
            self.members_changed(ix).await;
        }
    }

    /// Groups change hands.
    pub(super) fn own_rank_changed(&mut self, ix: ChannelIx, before: Rank) {
        let now = self.roster.channel(ix).map_or(Rank::None, Channel::own_rank);
        if let Some(change) = before.change(now, &self.nick) {
            self.tell_mode(ix, &change);
        }
    }

    fn rank_changed(&mut self, ix: ChannelIx, person: PersonIx, before: Rank) {
        let rank = self.roster.membership(ix, person).map(|member| member.rank);
        let nick = self.roster.person(person).map(|person| person.nick.as_str());
        if let (Some(rank), Some(nick)) = (rank, nick)
            && let Some(change) = before.change(rank, nick)
        {
            self.tell_mode(ix, &change);
        }
    }

    fn tell_mode(&mut self, ix: ChannelIx, change: &str) {
        if self.roster.channel(ix).is_some_and(|channel| channel.is_joined) {
            let server = &self.shared.config.server_name;
            let line = format!(":{server} MODE {} {change}", self.channel_name(ix));
            self.tell_all(&line);
        }
    }

    pub(super) async fn members_changed(&mut self, ix: ChannelIx) {
        let Some(channel) = self.roster.channel(ix) else { return };
        if channel.members.is_none() {
            return;
        }
        let Some(chat) = self.chat_ref(&channel.chat) else { return };
        let name = channel.name.clone();
        let Ok(Some(profile)) = self.shared.directory.chat(&chat).await else { return };
        if profile.members.is_none() {
            return;
        }
        let Ok(Changed { came, went, ranked }) = self.take_members(ix, &chat, &profile).await else { return };
        if !self.roster.channel(ix).is_some_and(|channel| channel.is_joined) {
            return;
        }
        for member in went {
            let departure = self.departure(ix, &member);
            self.tell_deed(&departure, |_| true);
        }
        for member in came {
            let Some(person) = self.roster.person(member.person) else { continue };
            let (account, realname) = (person.user.clone(), one_line(&person.realname));
            let plain = self.deed_of(member.person, format!("JOIN {name}"));
            let extended = Event { body: format!("JOIN {name} {account} :{realname}"), ..plain.clone() };
            self.tell_deed(&plain, |client| !client.has(Caps::EXTENDED_JOIN));
            self.tell_deed(&extended, |client| client.has(Caps::EXTENDED_JOIN));
            self.rank_changed(ix, member.person, Rank::None);
        }
        for (member, before) in ranked {
            self.rank_changed(ix, member.person, before);
        }
    }

    fn topic_changed(&mut self, ix: ChannelIx, before: &str) {
        let now = self.shared.clock.now();
        let Some(channel) = self.roster.channel_mut(ix) else { return };
        let topic = one_line(&channel.topic());
        if topic == one_line(before) {
            return;
        }
        channel.topic_at = now;
        let topic = self.service_deed(format!("TOPIC {} :{topic}", self.channel_name(ix)));
        self.tell_deed(&topic, |_| true);
    }

    /// Clients without draft/channel-rename see the channel left and entered under its new name.
    pub(super) fn channel_renamed(&mut self, ix: ChannelIx, renamed: &Renamed) {
        if !self.roster.channel(ix).is_some_and(|channel| channel.is_joined) {
            return;
        }
        let left = self.own_deed(format!("PART {} :renamed to {}", renamed.old, renamed.new));
        // Source: IRCv3 draft/channel-rename.
        let rename =
            self.titling_deed(ix, format!("RENAME {} {} :The group was renamed", renamed.old, renamed.new));
        for id in self.client_ids() {
            let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
            if caps.has(Caps::CHANNEL_RENAME) {
                self.to(id, &rename.line(caps, ""));
                self.send_topic(id, ix);
            } else {
                self.to(id, &left.line(caps, ""));
                self.show_joined(id, ix);
            }
        }
    }

    fn channel_gone(&mut self, ix: ChannelIx) {
        let name = self.channel_name(ix);
        if let Some(channel) = self.roster.channel_mut(ix) {
            channel.is_joined = false;
        }
        let kick = self.service_deed(format!("KICK {name} {} :You are no longer in this group", self.nick));
        self.tell_deed(&kick, |_| true);
    }

    pub(super) async fn people_changed(&mut self, people: &[PersonKey]) {
        let Some(account) = self.account().cloned() else { return };
        let profiles = match self.shared.directory.people(&account, people).await {
            Ok(profiles) => profiles,
            Err(error) => {
                tracing::warn!(%error, "changed people could not be read");
                return;
            }
        };
        let now = self.shared.clock.now();
        people.iter().for_each(|person| self.faces.forget(person));
        for profile in profiles {
            // Somebody that nobody here ever saw gets a nick when they are seen.
            if !profile.is_contact && self.roster.by_key(&profile.person).is_none() {
                continue;
            }
            let is_new = self.roster.by_key(&profile.person).is_none();
            let before = self.roster.by_key(&profile.person).and_then(|ix| self.roster.person(ix));
            let realname_before = before.map(|person| person.realname.clone());
            let was_contact = before.map(|person| person.is_contact);
            let (ix, renamed) = self.roster.update_person(&profile, now);
            let ranked = match was_contact {
                Some(was) if was != profile.is_contact => self.roster.rank_contact(ix),
                _ => Vec::new(),
            };
            let Some(person) = self.roster.person(ix) else { continue };
            let (nick, prefix, realname) = (person.nick.clone(), person.prefix(), person.realname.clone());
            if let Some(renamed) = renamed {
                self.nick_changed(&renamed);
            } else if is_new {
                self.tell_monitors(&nick, &prefix, self.health_is_up());
            } else if realname_before.is_some_and(|before| before != realname) {
                let renamed = self.deed_of(ix, format!("SETNAME :{}", one_line(&realname)));
                self.tell_deed(&renamed, |client| client.has(Caps::SETNAME));
            }
            ranked.into_iter().for_each(|(channel, before)| self.rank_changed(channel, ix, before));
        }
        self.tell_moved();
    }

    /// Somebody turned out to be an official account, or none: they have another host. Clients without chghost learn it
    /// with the next line; that somebody quits and comes back would be no better news. Source: IRCv3 chghost.
    pub(super) fn tell_moved(&mut self) {
        for (ix, prefix) in std::mem::take(&mut self.roster.moved) {
            let Some(person) = self.roster.person(ix) else { continue };
            let folded = fold(&person.nick);
            let deed = self.deed_of(ix, format!("CHGHOST {} {}", person.user, person.host));
            let deed = Event { prefix, ..deed };
            let is_near = !self.roster.shared_channels(ix).is_empty();
            self.tell_deed(&deed, |client| {
                let watches = client.has(Caps::EXTENDED_MONITOR) && client.monitored.contains_key(&folded);
                client.has(Caps::CHGHOST) && (is_near || watches)
            });
        }
    }

    pub(in crate::server) fn nick_changed(&mut self, renamed: &Renamed) {
        let (old, new) = (fold(&renamed.old), fold(&renamed.new));
        let ix = self.roster.by_nick(&renamed.new, self.shared.clock.now()).map(|(ix, _)| ix);
        let is_seen = ix.is_some_and(|ix| !self.roster.shared_channels(ix).is_empty());
        let body = format!("NICK {}", renamed.new);
        let deed = ix.map_or_else(|| self.service_deed(body.clone()), |ix| self.deed_of(ix, body.clone()));
        let deed = Event { prefix: renamed.old_prefix.clone(), ..deed };
        self.tell_deed(&deed, |client| {
            is_seen || client.monitored.contains_key(&old) || client.monitored.contains_key(&new)
        });
        if old == new {
            return;
        }
        let prefix = ix.and_then(|ix| self.roster.person(ix)).map(super::super::roster::Person::prefix);
        self.tell_monitors(&renamed.old, &renamed.old, false);
        if self.health_is_up() {
            self.tell_monitors(&renamed.new, &prefix.unwrap_or_default(), true);
        }
    }

    /// Tells the clients that watch `nick`.
    fn tell_monitors(&mut self, nick: &str, shown: &str, is_online: bool) {
        let folded = fold(nick);
        let code = if is_online { n::RPL_MONONLINE } else { n::RPL_MONOFFLINE };
        let shown = if is_online { shown } else { nick };
        let line = format!(":{} {code:03} {} :{shown}", self.shared.config.server_name, self.nick);
        for client in self.clients.values_mut().filter(|client| client.monitored.contains_key(&folded)) {
            client.line(&line);
            if is_online && client.has(Caps::METADATA_3) {
                // Source: IRCv3 draft/metadata-3, "Automatic synchronization".
                let hearer = Hearer::new(client.caps(), &self.shared.config.server_name, &self.nick);
                let line = hearer.later(nick);
                client.line(&line);
            }
        }
    }

    /// Contacts are reachable while the account is.
    pub(in crate::server) fn health_is_up(&self) -> bool {
        !matches!(self.health, Health::NeedsHuman { .. } | Health::Down { .. })
    }

    pub(super) fn health_changed(&mut self, health: &Health) {
        let was_up = self.health_is_up();
        self.health = health.clone();
        let is_up = self.health_is_up();
        if was_up == is_up {
            return;
        }
        let seen: Vec<(String, String)> =
            self.roster.people().map(|(_, person)| (person.nick.clone(), person.prefix())).collect();
        for (nick, prefix) in &seen {
            self.tell_monitors(nick, prefix, is_up);
        }
        let joined = self.roster.joined();
        let is_near = |ix| joined.iter().any(|channel| self.roster.membership(*channel, ix).is_some());
        let people = self.roster.people().map(|(ix, person)| (ix, fold(&person.nick), is_near(ix)));
        for (ix, folded, is_near) in people.collect::<Vec<_>>() {
            let body = if is_up { "AWAY".to_owned() } else { format!("AWAY :{LOGGED_OUT}") };
            let deed = self.deed_of(ix, body);
            self.tell_deed(&deed, |client| {
                // Source: IRCv3 away-notify, extended-monitor.
                let watches = client.has(Caps::EXTENDED_MONITOR) && client.monitored.contains_key(&folded);
                client.has(Caps::AWAY_NOTIFY) && (is_near || watches)
            });
        }
    }

    /// What WHOIS and a query say about a contact of an account that is not online.
    pub(in crate::server) fn contacts_away(&self) -> Option<&'static str> {
        (!self.health_is_up()).then_some(LOGGED_OUT)
    }

    pub(super) async fn accounts_changed(&mut self) {
        let user = self.key.user.clone();
        let Ok(accounts) = self.shared.directory.accounts(&user).await else { return };
        self.accounts_are(&accounts);
        if let Some(account) = self.account()
            && !accounts.iter().any(|view| view.network == *account)
        {
            for client in self.clients.values() {
                client.queue.close(b"ERROR :Closing link: the account was removed\r\n");
            }
            return;
        }
        if self.account().is_none() {
            let names: Vec<&str> = accounts.iter().map(|view| view.network.name()).collect();
            let text = format!(
                "your accounts: {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            );
            for id in self.client_ids() {
                self.service_says(id, &text);
            }
        }
    }

    pub(in crate::server) fn client_ids(&self) -> Vec<ClientId> {
        self.clients.keys().copied().collect()
    }

    pub(in crate::server) fn tell_all(&mut self, line: &str) {
        for client in self.clients.values_mut() {
            client.line(line);
        }
    }

    pub(in crate::server) fn channel_name(&self, ix: ChannelIx) -> String {
        self.roster.channel(ix).map(|channel| channel.name.clone()).unwrap_or_default()
    }
}

/// Health for people.
pub(in crate::server) fn state_word(health: &Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Up => "online",
        Health::Partial { .. } => "online in part",
        Health::Limited { .. } | Health::Degraded { .. } => "in trouble",
        Health::NeedsHuman { .. } => "signed out",
        Health::Down { .. } => "down",
    }
}

/// A text of somebody else's as part of one line.
pub(in crate::server) fn one_line(text: &str) -> String {
    let text = crate::wire::format::strip(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
