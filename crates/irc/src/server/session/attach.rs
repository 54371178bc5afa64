//! The welcome.

use std::collections::{HashSet, VecDeque};

use wxgate_contract::{ChatKey, Health};

use super::Session;
use super::updates::one_line;
use crate::server::caps::Caps;
use crate::server::choices::Join;
use crate::server::client::{Mode, Piece};
use crate::server::isupport;
use crate::server::registry::ClientId;
use crate::server::replay::Gathered;
use crate::server::roster::ChannelIx;
use crate::server::stamp;
use crate::wire::numeric as n;

/// With at most this many groups all are joined. Chosen: so many NAMES lists are nothing.
const FEW_GROUPS: usize = 50;
/// With more, those that spoke within this time. Source: the IRC notes, section 4.
const TRAFFIC_MS: i64 = 30 * 86_400_000;
/// Chats asked for their last line. Chosen: more than anybody has.
const MAX_CHATS: usize = 10_000;

impl Session {
    pub(super) async fn welcome(&mut self, id: ClientId, requested: &str) {
        if requested != self.nick {
            // Clients of one account share a nick; the numerics say which.
            let line = format!(":{requested}!{}@wxgate NICK {}", self.own_user(), self.nick);
            self.to(id, &line);
        }
        let server = self.shared.config.server_name.clone();
        let version = concat!("wxgate-", env!("CARGO_PKG_VERSION"));
        let modes = isupport::modes(&self.shared.config);
        let started = stamp::long(self.shared.started);
        let prefix = self.own_prefix();
        self.numeric(id, n::RPL_WELCOME, &format!(":Welcome to the WeChat Network, {prefix}"));
        self.numeric(id, n::RPL_YOURHOST, &format!(":Your host is {server}, running version {version}"));
        self.numeric(id, n::RPL_CREATED, &format!(":This server was started {started}"));
        self.numeric(id, n::RPL_MYINFO, &format!("{server} {version} {modes}"));
        self.isupport(id);
        self.lusers(id);
        self.greet_with_values(id);
        self.motd(id);
        if self.on_floor(id, |floor| floor.user_mode(None)).is_none() {
            self.numeric(id, n::RPL_UMODEIS, "+i");
        }
        self.show_networks(id).await;
        self.show_local_channels(id);
        if let Some(client) = self.clients.get(&id) {
            client.queue.release();
        }
        self.prepare_backlog(id).await;
        self.pump(id).await;
        self.greet(id).await;
    }

    /// 005, in a batch of its own to clients that take it so. Source: IRCv3 draft/extended-isupport.
    pub(in crate::server) fn isupport(&mut self, id: ClientId) {
        let client = self.clients.get(&id);
        let caps = client.map(|client| client.caps()).unwrap_or_default();
        let is_here = client.is_some_and(|client| client.address.is_loopback());
        let mut lines = isupport::lines(&self.shared.config, is_here);
        if let (true, Some(account)) = (caps.has(Caps::BOUNCER), self.account()) {
            lines.push(format!("BOUNCER_NETID={} :are supported by this server", account.name()));
        }
        if !(caps.has(Caps::EXTENDED_ISUPPORT) && caps.has(Caps::BATCH)) {
            return lines.iter().for_each(|line| self.numeric(id, n::RPL_ISUPPORT, line));
        }
        let (server, nick) = (self.shared.config.server_name.clone(), self.nick.clone());
        let reference = format!("i{}", self.shared.next_number());
        self.to(id, &format!(":{server} BATCH +{reference} draft/isupport"));
        for line in lines {
            self.to(id, &format!("@batch={reference} :{server} 005 {nick} {line}"));
        }
        self.to(id, &format!(":{server} BATCH -{reference}"));
    }

    pub(in crate::server) fn lusers(&mut self, id: ClientId) {
        let counts = self.shared.registry.counts();
        let contacts = self.roster.people().filter(|(_, person)| person.is_contact).count();
        let (users, max) = (counts.clients.max(1), counts.max_clients.max(1));
        let mut channels = self.roster.channels().len();
        let (mut visible, mut invisible) = (users, contacts);
        let mut operators = 0;
        if let Some(hall) = &self.shared.hall {
            operators = hall.operators();
            let (here, hidden, local) = hall.counts();
            (visible, invisible, channels) = (here, contacts + hidden, channels + local);
        }
        let everybody = visible + invisible;
        self.most_people = self.most_people.max(everybody).max(max);
        let most = self.most_people;
        for (code, rest) in [
            (
                n::RPL_LUSERCLIENT,
                format!(":There are {visible} users and {invisible} invisible on 1 servers"),
            ),
            (n::RPL_LUSEROP, format!("{operators} :operator(s) online")),
            (n::RPL_LUSERUNKNOWN, format!("{} :unknown connection(s)", counts.unregistered)),
            (n::RPL_LUSERCHANNELS, format!("{channels} :channels formed")),
            (n::RPL_LUSERME, format!(":I have {users} clients and 0 servers")),
            (n::RPL_LOCALUSERS, format!("{users} {max} :Current local users {users}, max {max}")),
            (n::RPL_GLOBALUSERS, format!("{everybody} {most} :Current global users {everybody}, max {most}")),
        ] {
            self.numeric(id, code, &rest);
        }
    }

    pub(in crate::server) fn motd(&mut self, id: ClientId) {
        // Read each time, so that the operator can change it: a few lines, and rarely asked for.
        let text = self.shared.config.motd_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let Some(text) = text else {
            return self.numeric(id, n::ERR_NOMOTD, ":MOTD File is missing");
        };
        let server = self.shared.config.server_name.clone();
        self.numeric(id, n::RPL_MOTDSTART, &format!(":- {server} Message of the day -"));
        for line in text.lines().take(200) {
            for piece in crate::wire::split::split(line, 400) {
                self.numeric(id, n::RPL_MOTD, &format!(":- {piece}"));
            }
        }
        self.numeric(id, n::RPL_ENDOFMOTD, ":End of /MOTD command");
    }

    async fn prepare_backlog(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else { return };
        let (name, caps) = (client.name.clone(), client.caps());
        let cursor = self.cursor(&name).await;
        let mut replay = self.gather(cursor, caps.has(Caps::BATCH)).await;
        for piece in &replay.pieces {
            if let Piece::Item(item, _) = piece {
                self.note_title(item);
            }
        }
        if caps.has(Caps::CHATHISTORY) {
            // It asks for what it wants. Source: IRCv3 draft/chathistory, "Server Considerations".
            replay.pieces.clear();
        }
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => self.begin_cursor(&name, &replay).await,
        };
        self.join_automatically(replay.active.iter().cloned().collect()).await;
        let mut pieces: VecDeque<Piece> = self.roster.joined().into_iter().map(Piece::Join).collect();
        pieces.extend(replay.pieces);
        self.last_seq = self.last_seq.max(replay.top_seq);
        if let Some(client) = self.clients.get_mut(&id) {
            client.mode = Mode::Backlog(pieces);
            client.floor_seq = replay.top_seq;
            client.confirmed_seq = cursor;
            client.asked_seq = client.confirmed_seq;
        }
    }

    /// Gives a new client name its place before the first line is shown to it. Without one, a kill
    /// before the first confirmation would make it a new name again, which is shown a few lines of
    /// each chat and never the rest of what it had missed.
    async fn begin_cursor(&mut self, name: &str, replay: &Gathered) -> i64 {
        let shown = replay.pieces.iter().filter_map(|piece| match piece {
            Piece::Item(item, _) => Some(item.seq),
            _ => None,
        });
        let begin = shown.min().map_or(replay.top_seq, |first| first - 1);
        self.keep_cursor(name, begin);
        self.save_cursors().await;
        begin
    }

    /// Joins what is to be joined without being asked, for this session; the arriving client gets
    /// it from its backlog, the others now. `active` spoke while it was away.
    async fn join_automatically(&mut self, mut active: HashSet<ChatKey>) {
        let channels = self.roster.channels();
        let are_few = channels.len() <= FEW_GROUPS;
        if self.choices.join == Join::Auto && !are_few {
            active.extend(self.with_traffic().await);
        }
        let wanted: Vec<ChannelIx> = channels
            .into_iter()
            .filter(|(_, channel)| !channel.is_hidden && !channel.is_joined)
            .filter(|(_, channel)| match self.choices.join {
                _ if channel.is_wanted => true,
                Join::Manual => false,
                Join::All => true,
                Join::Auto => are_few || active.contains(&channel.chat),
            })
            .map(|(ix, _)| ix)
            .collect();
        for ix in wanted {
            if let Err(error) = self.load_members(ix).await {
                tracing::warn!(%error, "the members of a group could not be read");
                continue;
            }
            if let Some(channel) = self.roster.channel_mut(ix) {
                channel.is_joined = true;
            }
        }
    }

    /// Chats that spoke within [`TRAFFIC_MS`].
    async fn with_traffic(&self) -> Vec<ChatKey> {
        let Some(account) = self.account() else { return Vec::new() };
        let since = self.shared.clock.now().ms() - TRAFFIC_MS;
        match self.shared.directory.spoken(account, MAX_CHATS).await {
            Ok(spoken) => spoken
                .into_iter()
                .filter(|spoken| spoken.at.ms() >= since)
                .map(|spoken| spoken.chat)
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "which groups have traffic could not be read");
                Vec::new()
            }
        }
    }

    /// Joins every group that its owner did not leave, for all clients.
    pub(in crate::server) async fn join_all(&mut self) {
        let channels = self.roster.channels().into_iter();
        let wanted: Vec<ChannelIx> = channels
            .filter(|(_, channel)| channel.is_real && !channel.is_hidden && !channel.is_joined)
            .map(|(ix, _)| ix)
            .collect();
        for ix in wanted {
            self.join(ix).await;
        }
    }

    /// Joins a group for all clients.
    pub(in crate::server) async fn join(&mut self, ix: ChannelIx) {
        if let Err(error) = self.load_members(ix).await {
            tracing::warn!(%error, "the members of a group could not be read");
        }
        if let Some(channel) = self.roster.channel_mut(ix) {
            channel.is_joined = true;
            channel.is_hidden = false;
        }
        for id in self.client_ids() {
            self.show_joined(id, ix);
        }
    }

    /// JOIN, topic and names, for one client.
    pub(in crate::server) fn show_joined(&mut self, id: ClientId, ix: ChannelIx) {
        let (name, user) = (self.channel_name(ix), self.key.user.clone());
        let Some(caps) = self.clients.get(&id).map(|client| client.caps()) else { return };
        let join = self.own_deed(match caps.has(Caps::EXTENDED_JOIN) {
            true => format!("JOIN {name} {user} :{}", one_line(&self.realname)),
            false => format!("JOIN {name}"),
        });
        self.to(id, &join.line(caps, ""));
        self.send_topic(id, ix);
        self.send_mark(id, ix);
        // Source: IRCv3 draft/no-implicit-names.
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::NO_IMPLICIT_NAMES)) {
            self.send_names(id, ix);
        }
        self.tell_channel_values(id, &name);
    }

    /// 332 and 333, or nothing.
    pub(in crate::server) fn send_topic(&mut self, id: ClientId, ix: ChannelIx) {
        let Some(channel) = self.roster.channel(ix) else { return };
        let (name, topic) = (channel.name.clone(), one_line(&channel.topic()));
        if topic.is_empty() {
            return;
        }
        self.numeric(id, n::RPL_TOPIC, &format!("{name} :{topic}"));
        let (by, at) = self.topic_setter(ix);
        self.numeric(id, n::RPL_TOPICWHOTIME, &format!("{name} {by} {}", at.seconds()));
    }

    /// 353 lines by the size formula, then 366.
    pub(in crate::server) fn send_names(&mut self, id: ClientId, ix: ChannelIx) {
        let Some(client) = self.clients.get(&id) else { return };
        let with_hosts = client.has(Caps::USERHOST_IN_NAMES);
        let Some(channel) = self.roster.channel(ix) else { return };
        let name = channel.name.clone();
        let own = if with_hosts { self.own_prefix() } else { self.nick.clone() };
        let mut names = vec![format!("{}{own}", channel.own_rank().symbol())];
        for member in channel.members.as_deref().unwrap_or_default() {
            if let Some(person) = self.roster.person(member.person) {
                let shown = if with_hosts { person.prefix() } else { person.nick.clone() };
                names.push(format!("{}{shown}", member.rank.symbol()));
            }
        }
        // Source: the IRC notes, section 1: 499 less server, nick and channel.
        let room =
            499usize.saturating_sub(self.shared.config.server_name.len() + self.nick.len() + name.len());
        let mut line = String::new();
        for shown in names {
            if !line.is_empty() && line.len() + 1 + shown.len() > room {
                self.numeric(id, n::RPL_NAMREPLY, &format!("= {name} :{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&shown);
        }
        if !line.is_empty() {
            self.numeric(id, n::RPL_NAMREPLY, &format!("= {name} :{line}"));
        }
        self.numeric(id, n::RPL_ENDOFNAMES, &format!("{name} :End of /NAMES list"));
    }

    /// What a person has to know first, from the service.
    async fn greet(&mut self, id: ClientId) {
        if self.key.guest.is_some() {
            return;
        }
        self.tell_closed_channels(id);
        for text in self.ill_elsewhere() {
            self.service_says(id, &text);
        }
        if self.account().is_none() {
            self.service(id, "accounts").await;
            self.service_says(
                id,
                "log in as user/account to see one of them; say \"help\" for what I can do",
            );
        } else if !matches!(self.health, Health::Starting | Health::Up)
            && let Some(account) = self.account().cloned()
        {
            let text = self.account_says(&account, &self.health);
            self.service_says(id, &text);
        }
    }
}
