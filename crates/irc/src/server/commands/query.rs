//! Commands about people.

use crate::server::answer::Step;
use crate::server::commands::Turn;
use crate::server::commands::connection::Who;
use crate::server::registry::ClientId;
use crate::server::roster::{ChannelIx, PersonIx};
use crate::server::session::{Session, one_line};
use crate::wire::casemap::{fold, is_same, matches_mask};
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Nicks of one ISON or USERHOST. Source: Modern IRC, "USERHOST message".
const MAX_USERHOST: usize = 5;
/// Matches of one WHO by mask; more would be a download of the address book.
const MAX_WHO: usize = 500;

fn shown(name: &str) -> String {
    Line::new().command("").param(name).build().trim().to_owned()
}

pub(super) fn ison(session: &mut Session, turn: &Turn<'_>) {
    let nicks = turn.message.params().iter().flat_map(|param| param.split_ascii_whitespace());
    let here: Vec<String> = nicks
        .filter_map(|nick| session.who_is(nick))
        .filter(|who| who.person.is_none() || session.health_is_up())
        .map(|who| who.nick)
        .collect();
    session.numeric(turn.client, n::RPL_ISON, &format!(":{}", here.join(" ")));
}

pub(super) fn userhost(session: &mut Session, turn: &Turn<'_>) {
    let nicks =
        turn.message.params().iter().flat_map(|param| param.split_ascii_whitespace()).take(MAX_USERHOST);
    let found: Vec<String> = nicks
        .filter_map(|nick| session.who_is(nick))
        .map(|who| {
            let (oper, here) =
                (if who.is_oper { "*" } else { "" }, if who.away.is_some() { '-' } else { '+' });
            format!("{}{oper}={here}{}@{}", who.nick, who.user, who.host)
        })
        .collect();
    session.numeric(turn.client, n::RPL_USERHOST, &format!(":{}", found.join(" ")));
}

/// What WHOX asks for: fields in their fixed order, and the token that comes back.
#[derive(Clone, Debug)]
pub(in crate::server) struct Fields {
    wanted: String,
    token: String,
}

impl Fields {
    /// `%tcuihsnfdlaor,token`. Source: the WHOX description of ircu.
    fn parse(param: &str) -> Option<Self> {
        let (_, fields) = param.split_once('%')?;
        let (wanted, token) = fields.split_once(',').unwrap_or((fields, "0"));
        let token: String = token.chars().filter(char::is_ascii_digit).take(3).collect();
        Some(Self { wanted: wanted.to_ascii_lowercase(), token })
    }

    /// What is asked for of somebody.
    fn of(&self, server: &str, (channel, rank): (&str, &str), who: &Who) -> String {
        let Self { wanted, token } = self;
        let flags = who_flags(who, rank);
        let account = if who.account.is_empty() { "0" } else { &who.account };
        let values = [
            ('t', token.as_str()),
            ('c', channel),
            ('u', &who.user),
            ('i', "255.255.255.255"),
            ('h', &who.host),
            ('s', server),
            ('n', &who.nick),
            ('f', &flags),
            ('d', "0"),
            ('l', "0"),
            ('a', account),
            ('o', "n/a"),
        ];
        let asked = values.into_iter().filter(|(field, _)| wanted.contains(*field));
        let mut words: Vec<String> = asked.map(|(_, value)| shown(value)).collect();
        if wanted.contains('r') {
            words.push(format!(":{}", who.realname));
        }
        words.join(" ")
    }
}

pub(super) async fn who(session: &mut Session, turn: &Turn<'_>) {
    let mask = turn.param(0);
    let fields = Fields::parse(turn.param(1));
    // Only operators of the server. Source: Modern IRC, "WHO message".
    let wants_operators = turn.param(1).split('%').next().is_some_and(|flags| flags.contains('o'));
    if wants_operators {
        who_operators(session, turn, mask, fields.as_ref());
    } else if session.is_local(mask) {
        local_who(session, turn, mask, fields.as_ref());
    } else if mask.starts_with(['#', '&']) {
        if let Some(ix) = session.roster.by_name(mask, session.shared.clock.now()) {
            return who_channel(session, turn, ix, fields).await;
        }
    } else if mask.is_empty() || mask == "0" || mask.contains(['*', '?']) {
        local_who(session, turn, mask, fields.as_ref());
        let matches = |who: &Who| {
            let Who { nick, user, host, realname, .. } = who;
            let is_everybody = mask.is_empty() || mask == "0";
            is_everybody || [nick, user, host, realname].into_iter().any(|text| matches_mask(mask, text))
        };
        let mut nicks: Vec<String> = Vec::new();
        if session.local.is_none() {
            nicks.push(session.nick.clone());
        }
        if session.key.guest.is_none() {
            nicks.push(session.shared.config.service_nick.clone());
        }
        nicks.extend(session.roster.people().map(|(_, person)| person.nick.clone()));
        let found = nicks.iter().filter_map(|nick| session.who_is(nick)).filter(matches).take(MAX_WHO);
        for who in found.collect::<Vec<_>>() {
            session.who_line(turn.client, ("*", ""), &who, fields.as_ref());
        }
    } else if let Some(who) = session.who_is(mask) {
        let channel = who.person.and_then(|person| session.roster.shared_channels(person).first().copied());
        let name = channel.map_or_else(|| "*".to_owned(), |ix| session.channel_name(ix));
        session.who_line(turn.client, (&name, ""), &who, fields.as_ref());
    }
    let end = if mask.is_empty() { "*".to_owned() } else { shown(mask) };
    session.numeric(turn.client, n::RPL_ENDOFWHO, &format!("{end} :End of WHO list"));
}

fn who_operators(session: &mut Session, turn: &Turn<'_>, mask: &str, fields: Option<&Fields>) {
    let rows = session.on_floor(turn.client, |floor| floor.who(mask)).unwrap_or_default();
    for (channel, signs, who) in rows.into_iter().filter(|(_, _, who)| who.is_oper) {
        session.who_line(turn.client, (&channel, &signs), &who, fields);
    }
}

/// Users of the gateway.
fn local_who(session: &mut Session, turn: &Turn<'_>, mask: &str, fields: Option<&Fields>) {
    let rows = session.on_floor(turn.client, |floor| floor.who(mask)).unwrap_or_default();
    // What is of the account comes first, and once.
    for (channel, signs, who) in rows {
        if is_same(&who.nick, &session.nick) || session.target(&who.nick).is_none() {
            session.who_line(turn.client, (&channel, &signs), &who, fields);
        }
    }
}

async fn who_channel(session: &mut Session, turn: &Turn<'_>, ix: ChannelIx, fields: Option<Fields>) {
    let mut steps = Vec::new();
    match session.load_members(ix).await {
        Ok(()) => {
            let Some(channel) = session.roster.channel(ix) else { return };
            steps.push(Step::Who(ix, None, channel.own_rank()));
            let members = channel.members.iter().flatten();
            steps.extend(members.map(|member| Step::Who(ix, Some(member.person), member.rank)));
        }
        Err(error) => tracing::warn!(%error, "the members of a group could not be read"),
    }
    steps.push(Step::Numeric(n::RPL_ENDOFWHO, format!("{} :End of WHO list", shown(turn.param(0)))));
    session.answer_in_steps(turn.client, steps, fields);
}

impl Session {
    /// Somebody as WHO tells them, with the name of a channel and their sign there.
    pub(in crate::server) fn who_line(
        &mut self,
        id: ClientId,
        place: (&str, &str),
        who: &Who,
        fields: Option<&Fields>,
    ) {
        let rest = match fields {
            None => plain_who(&self.shared.config.server_name, place, who),
            Some(fields) => fields.of(&self.shared.config.server_name, place, who),
        };
        let code = if fields.is_some() { n::RPL_WHOSPCRPL } else { n::RPL_WHOREPLY };
        self.numeric(id, code, &rest);
    }
}

fn who_flags(who: &Who, rank: &str) -> String {
    // Source: Modern IRC, RPL_WHOREPLY: away, operator, the sign in the channel, then modes.
    let (here, bot) = (if who.away.is_some() { 'G' } else { 'H' }, if who.is_bot { "B" } else { "" });
    format!("{here}{}{rank}{bot}", if who.is_oper { "*" } else { "" })
}

fn plain_who(server: &str, (channel, rank): (&str, &str), who: &Who) -> String {
    let Who { user, host, nick, realname, .. } = who;
    format!("{channel} {user} {host} {server} {nick} {} :0 {realname}", who_flags(who, rank))
}

pub(super) async fn whois(session: &mut Session, turn: &Turn<'_>) {
    let id = turn.client;
    let nick = turn.message.params().last().copied().unwrap_or("");
    if nick.is_empty() {
        return session.numeric(id, n::ERR_NONICKNAMEGIVEN, ":No nickname given");
    }
    if session.is_local(nick) {
        return whois_local(session, turn, nick);
    }
    let Some(who) = session.who_is(nick) else {
        session.numeric(id, n::ERR_NOSUCHNICK, &format!("{} :No such nick/channel", shown(nick)));
        return session.numeric(id, n::RPL_ENDOFWHOIS, &format!("{} :End of /WHOIS list", shown(nick)));
    };
    let name = who.nick.clone();
    session.numeric(id, n::RPL_WHOISUSER, &format!("{name} {} {} * :{}", who.user, who.host, who.realname));
    let channels = channels_of(session, who.person, is_same(&name, &session.nick));
    for line in channels {
        session.numeric(id, n::RPL_WHOISCHANNELS, &format!("{name} :{line}"));
    }
    let server = session.shared.config.server_name.clone();
    session.numeric(id, n::RPL_WHOISSERVER, &format!("{name} {server} :wxgate"));
    if let Some(away) = &who.away {
        session.numeric(id, n::RPL_AWAY, &format!("{name} :{away}"));
    }
    if !who.account.is_empty() {
        session.numeric(id, n::RPL_WHOISACCOUNT, &format!("{name} {} :is logged in as", who.account));
    }
    if who.is_bot {
        session.numeric(id, n::RPL_WHOISBOT, &format!("{name} :is a bot"));
    }
    if is_same(&name, &session.nick)
        && let Some(client) = session.clients.get(&id)
    {
        let (address, is_secure) = (client.address, client.is_secure);
        session.numeric(id, n::RPL_WHOISHOST, &format!("{name} :is connecting from *@{address} {address}"));
        let print = client_fingerprint(session, id);
        if is_secure {
            session.numeric(id, n::RPL_WHOISSECURE, &format!("{name} :is using a secure connection"));
        }
        if let Some(print) = print {
            let rest = format!("{name} :has client certificate fingerprint {print}");
            session.numeric(id, n::RPL_WHOISCERTFP, &rest);
        }
    }
    if let Some(person) = who.person {
        whois_profile(session, turn, &name, person).await;
    }
    session.whois_values(id, &name);
    session.numeric(id, n::RPL_ENDOFWHOIS, &format!("{name} :End of /WHOIS list"));
}

fn client_fingerprint(session: &Session, id: ClientId) -> Option<String> {
    session.clients.get(&id).and_then(|client| client.fingerprint.clone())
}

/// A user of the gateway; of oneself the groups of the account as well, and the connection.
fn whois_local(session: &mut Session, turn: &Turn<'_>, nick: &str) {
    let (mut groups, mut facts) = (Vec::new(), Vec::new());
    if is_same(nick, &session.nick)
        && let Some(client) = session.clients.get(&turn.client)
    {
        let address = client.address;
        facts.push((n::RPL_WHOISHOST, format!(":is connecting from *@{address} {address}")));
        if client.is_secure {
            facts.push((n::RPL_WHOISSECURE, ":is using a secure connection".to_owned()));
        }
        if let Some(print) = &client.fingerprint {
            facts.push((n::RPL_WHOISCERTFP, format!(":has client certificate fingerprint {print}")));
        }
        let joined = session.roster.joined().into_iter().filter_map(|ix| session.roster.channel(ix));
        groups.extend(joined.map(|channel| format!("{}{}", channel.own_rank().symbol(), channel.name)));
    }
    session.on_floor(turn.client, |floor| floor.whois(nick, groups, &facts));
}

/// The channels somebody is in, as lines that fit.
fn channels_of(session: &Session, person: Option<PersonIx>, is_self: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for ix in session.roster.joined() {
        let Some(channel) = session.roster.channel(ix) else { continue };
        let rank = match person {
            Some(person) => session.roster.membership(ix, person).map(|member| member.rank),
            None => is_self.then(|| channel.own_rank()),
        };
        let Some(rank) = rank else { continue };
        let word = format!("{}{}", rank.symbol(), channel.name);
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 380 => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// What the person's profile says, in 320 lines.
async fn whois_profile(session: &mut Session, turn: &Turn<'_>, nick: &str, person: PersonIx) {
    let Some(key) = session.roster.person(person).map(|person| person.key.clone()) else { return };
    let Some(account) = session.account().cloned() else { return };
    let people =
        session.shared.directory.people(&account, std::slice::from_ref(&key)).await.unwrap_or_default();
    let aliases: Vec<String> = session
        .roster
        .joined()
        .into_iter()
        .filter_map(|ix| {
            let member = session.roster.membership(ix, person)?;
            let realname = &session.roster.person(person)?.realname;
            let is_other = !member.alias.is_empty() && member.alias != *realname;
            is_other.then(|| format!("{} in {}", member.alias, session.channel_name(ix)))
        })
        .take(10)
        .collect();
    let mut lines: Vec<(&str, String)> = Vec::new();
    if let Some(profile) = people.first() {
        lines.push(("nickname", one_line(&profile.nickname)));
        lines.push(("remark", one_line(&profile.remark)));
        lines.push(("WeChat id", one_line(&profile.public_id)));
        lines.push(("region", one_line(&profile.region)));
        lines.push(("signature", one_line(&profile.signature)));
    }
    lines.push(("called", aliases.join(", ")));
    for (what, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        session.numeric(turn.client, n::RPL_WHOISSPECIAL, &format!("{nick} :{what}: {value}"));
    }
}

pub(super) fn whowas(session: &mut Session, turn: &Turn<'_>) {
    let id = turn.client;
    let nick = turn.param(0);
    if nick.is_empty() {
        return session.numeric(id, n::ERR_NONICKNAMEGIVEN, ":No nickname given");
    }
    let limit = turn.message.param(1).and_then(|count| count.parse().ok()).filter(|count| *count > 0);
    let folded = fold(nick);
    let server = session.shared.config.server_name.clone();
    let local = session.on_floor(id, |floor| floor.whowas(nick)).unwrap_or_default();
    let found: Vec<(String, String)> = session
        .roster
        .was
        .iter()
        .filter(|was| fold(&was.nick) == folded)
        .map(|was| {
            let user = format!("{} {} {} * :{}", was.nick, was.user, was.host, one_line(&was.realname));
            (user, format!("{} {server} :is called {} now", was.nick, was.now))
        })
        .collect();
    let local = local.into_iter().map(|[(_, user), (_, seen)]| (user, seen));
    let found: Vec<(String, String)> =
        found.into_iter().chain(local).take(limit.unwrap_or(usize::MAX)).collect();
    if found.is_empty() {
        session.numeric(id, n::ERR_WASNOSUCHNICK, &format!("{} :There was no such nickname", shown(nick)));
    }
    for (user, now) in found {
        session.numeric(id, n::RPL_WHOWASUSER, &user);
        session.numeric(id, n::RPL_WHOISSERVER, &now);
    }
    session.numeric(id, n::RPL_ENDOFWHOWAS, &format!("{} :End of WHOWAS", shown(nick)));
}
