//! Commands about channels.

use bytes::Bytes;
use wxgate_contract::{Batch, Note};

use crate::server::answer::Step;
use crate::server::caps::Caps;
use crate::server::commands::Turn;
use crate::server::roster::ChannelIx;
use crate::server::session::Session;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// People of one KICK; announced as TARGMAX.
const MAX_KICKED: usize = 4;

fn shown(name: &str) -> String {
    Line::new().command("").param(name).build().trim().to_owned()
}

fn find(session: &mut Session, turn: &Turn<'_>, name: &str) -> Option<ChannelIx> {
    let found = session.roster.by_name(name, session.shared.clock.now());
    if found.is_none() {
        session.numeric(turn.client, n::ERR_NOSUCHCHANNEL, &format!("{} :No such channel", shown(name)));
    }
    found
}

fn is_joined(session: &Session, ix: ChannelIx) -> bool {
    session.roster.channel(ix).is_some_and(|channel| channel.is_joined)
}

pub(super) async fn join(session: &mut Session, turn: &Turn<'_>) {
    if turn.param(0) == "0" {
        let all: Vec<String> =
            session.roster.joined().into_iter().map(|ix| session.channel_name(ix)).collect();
        for name in all.into_iter().chain(session.local_channels()) {
            part_one(session, turn, &name).await;
        }
        return;
    }
    if turn.param(0).split(',').all(str::is_empty) {
        return session.numeric(turn.client, n::ERR_NEEDMOREPARAMS, "JOIN :Not enough parameters");
    }
    let mut keys = turn.param(1).split(',');
    for name in turn.param(0).split(',').filter(|name| !name.is_empty()) {
        let key = keys.next().filter(|key| !key.is_empty());
        if session.is_local(name) {
            session.join_local(turn.client, name, key);
            continue;
        }
        let Some(ix) = find(session, turn, name) else { continue };
        if is_joined(session, ix) {
            continue;
        }
        if !keep(session, turn, ix, Kept::In).await {
            continue;
        }
        session.join(ix).await;
    }
}

/// What somebody said about a group for good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// JOIN
    In,
    /// PART
    Out,
}

/// What is said by JOIN and PART outlives restarts: on disk before it is shown.
async fn keep(session: &mut Session, turn: &Turn<'_>, ix: ChannelIx, kept: Kept) -> bool {
    let Some(channel) = session.roster.channel(ix) else { return false };
    let note = |kind: &str, is_set: bool| Note {
        key: session.roster.note_key(kind, channel.chat.as_str()),
        value: is_set.then(|| Bytes::from_static(b"1")),
        is_secret: false,
    };
    let notes = vec![note("part", kept == Kept::Out), note("in", kept == Kept::In)];
    match session.commit(Batch { notes, ..Batch::default() }).await {
        Ok(()) => {
            if let Some(channel) = session.roster.channel_mut(ix) {
                (channel.is_hidden, channel.is_wanted) = (kept == Kept::Out, kept == Kept::In);
            }
            true
        }
        Err(error) => {
            let name = session.channel_name(ix);
            session.service_says(turn.client, &format!("{name} stays as it is: {error}"));
            false
        }
    }
}

pub(super) async fn part(session: &mut Session, turn: &Turn<'_>) {
    if turn.param(0).split(',').all(str::is_empty) {
        return session.numeric(turn.client, n::ERR_NEEDMOREPARAMS, "PART :Not enough parameters");
    }
    for name in turn.param(0).split(',').filter(|name| !name.is_empty()) {
        part_one(session, turn, name).await;
    }
}

async fn part_one(session: &mut Session, turn: &Turn<'_>, name: &str) {
    if session.is_local(name) {
        let reason = turn.param(1).to_owned();
        session.on_floor(turn.client, |floor| floor.part(name, &reason));
        session.note_local_channels();
        return;
    }
    let Some(ix) = find(session, turn, name) else { return };
    let name = session.channel_name(ix);
    if !is_joined(session, ix) {
        let rest = format!("{name} :You're not on that channel");
        return session.numeric(turn.client, n::ERR_NOTONCHANNEL, &rest);
    }
    if !keep(session, turn, ix, Kept::Out).await {
        return;
    }
    if let Some(channel) = session.roster.channel_mut(ix) {
        channel.is_joined = false;
    }
    let reason = turn.param(1);
    let line = Line::new().command("PART").param(&name);
    let line = if reason.is_empty() { line.build() } else { line.last(reason).build() };
    let part = session.own_deed(line);
    session.tell_deed(&part, |_| true);
    explain_part(session, turn, &name).await;
}

/// Said once per account: PART does not leave the group.
async fn explain_part(session: &mut Session, turn: &Turn<'_>, name: &str) {
    let key = session.roster.note_key("told", "part");
    let far = &session.shared.far;
    if !matches!(far.note(&session.shared.network, &key).await, Ok(None)) {
        return;
    }
    let text = format!(
        "{name} is hidden and muted until you JOIN it again; you are still a member of the group in WeChat. \
         To leave it there too say to me: leave {name}"
    );
    session.service_says(turn.client, &text);
    let notes = vec![Note { key, value: Some(Bytes::from_static(b"1")), is_secret: false }];
    if let Err(error) = session.commit(Batch { notes, ..Batch::default() }).await {
        tracing::debug!(%error, "the explanation of PART will be given again");
    }
}

pub(super) async fn topic(session: &mut Session, turn: &Turn<'_>) {
    if session.is_local(turn.param(0)) {
        session.on_floor(turn.client, |floor| floor.topic(turn.param(0), turn.message.param(1)));
        return;
    }
    let Some(ix) = find(session, turn, turn.param(0)) else { return };
    let name = session.channel_name(ix);
    if turn.message.param(1).is_some() {
        if !is_joined(session, ix) {
            let rest = format!("{name} :You're not on that channel");
            return session.numeric(turn.client, n::ERR_NOTONCHANNEL, &rest);
        }
        let is_owned = session.roster.channel(ix).is_some_and(|channel| channel.is_owned);
        if !is_owned {
            return not_owner(session, turn, &name);
        }
        session.retitle(turn, ix, turn.param(1));
        return;
    }
    let has_topic = session.roster.channel(ix).is_some_and(|channel| !channel.topic().is_empty());
    if has_topic {
        session.send_topic(turn.client, ix);
    } else {
        session.numeric(turn.client, n::RPL_NOTOPIC, &format!("{name} :No topic is set"));
    }
}

fn not_owner(session: &mut Session, turn: &Turn<'_>, name: &str) {
    let now = session.shared.clock.now();
    let ix = session.roster.by_name(name, now);
    let is_owned = ix.and_then(|ix| session.roster.channel(ix)).is_some_and(|channel| channel.is_owned);
    let why = if is_owned { "This can only be changed on the phone" } else { "You're not channel operator" };
    session.numeric(turn.client, n::ERR_CHANOPRIVSNEEDED, &format!("{name} :{why}"));
}

pub(super) async fn names(session: &mut Session, turn: &Turn<'_>) {
    if turn.param(0).split(',').all(str::is_empty) {
        if turn.param(0).is_empty() {
            session.on_floor(turn.client, |floor| floor.all_names());
        }
        return session.numeric(turn.client, n::RPL_ENDOFNAMES, "* :End of /NAMES list");
    }
    let names = turn.param(0).split(',').filter(|name| !name.is_empty());
    let steps: Vec<Step> = names
        .map(|name| match session.roster.by_name(name, session.shared.clock.now()) {
            _ if session.is_local(name) => Step::LocalNames(name.to_owned()),
            Some(ix) if is_joined(session, ix) => Step::Names(ix),
            _ => Step::Numeric(n::RPL_ENDOFNAMES, format!("{} :End of /NAMES list", shown(name))),
        })
        .collect();
    session.answer_in_steps(turn.client, steps, None);
}

pub(super) fn mode(session: &mut Session, turn: &Turn<'_>) {
    let (id, target, modes) = (turn.client, turn.param(0), turn.message.param(1));
    if !target.starts_with(['#', '&']) {
        return user_mode(session, turn, target, modes);
    }
    if session.is_local(target) {
        let params = turn.message.params().get(1..).unwrap_or_default();
        session.on_floor(id, |floor| {
            if let Some(folded) = floor.channel(target) {
                floor.mode(&folded, params);
            }
        });
        return;
    }
    let Some(ix) = find(session, turn, target) else { return };
    let name = session.channel_name(ix);
    match modes.unwrap_or("") {
        "" => session.numeric(id, n::RPL_CHANNELMODEIS, &format!("{name} +nt")),
        "b" | "+b" if turn.message.param(2).is_none() => {
            session.numeric(id, n::RPL_ENDOFBANLIST, &format!("{name} :End of channel ban list"));
        }
        modes => match modes.chars().find(|c| !"+-bhiklmnostv".contains(*c)) {
            Some(unknown) => {
                let rest = format!("{} :is unknown mode char to me", shown(&unknown.to_string()));
                session.numeric(id, n::ERR_UNKNOWNMODE, &rest);
            }
            None => {
                not_owner(session, turn, &name);
                // Source: the IRC notes, section 4. The numeric means an operator could.
                if session.clients.get(&id).is_some_and(|client| client.has(Caps::STANDARD_REPLIES)) {
                    let text = "WeChat groups have no modes to change";
                    session.fails(id, "MODE", "MODE_UNSUPPORTED", &[&name, modes], text);
                }
            }
        },
    }
}

fn user_mode(session: &mut Session, turn: &Turn<'_>, target: &str, modes: Option<&str>) {
    let id = turn.client;
    if !is_same(target, &session.nick) {
        let known = session.who_is(target).is_some();
        return if known {
            session.numeric(id, n::ERR_USERSDONTMATCH, ":Cant change mode for other users");
        } else {
            session.numeric(id, n::ERR_NOSUCHNICK, &format!("{} :No such nick/channel", shown(target)));
        };
    }
    if session.on_floor(id, |floor| floor.user_mode(modes)).is_some() {
        return;
    }
    match modes {
        None => session.numeric(id, n::RPL_UMODEIS, "+i"),
        // Invisible is what everybody is; nothing else exists.
        Some(modes) if modes.chars().all(|c| "+-i".contains(c)) => {}
        Some(_) => session.numeric(id, n::ERR_UMODEUNKNOWNFLAG, ":Unknown MODE flag"),
    }
}

pub(super) fn invite(session: &mut Session, turn: &Turn<'_>) {
    let (nick, name) = (turn.param(0), turn.param(1));
    if turn.message.params().is_empty() && session.on_floor(turn.client, |floor| floor.invites()).is_some() {
        return;
    }
    if name.is_empty() {
        return session.numeric(turn.client, n::ERR_NEEDMOREPARAMS, "INVITE :Not enough parameters");
    }
    if session.is_local(name) {
        session.on_floor(turn.client, |floor| floor.invite(nick, name));
        return;
    }
    if session.who_is(nick).is_none() {
        let rest = format!("{} :No such nick/channel", shown(nick));
        return session.numeric(turn.client, n::ERR_NOSUCHNICK, &rest);
    }
    let Some(ix) = find(session, turn, name) else { return };
    let name = session.channel_name(ix);
    if !is_joined(session, ix) {
        let rest = format!("{name} :You're not on that channel");
        return session.numeric(turn.client, n::ERR_NOTONCHANNEL, &rest);
    }
    match session.who_is(nick).and_then(|who| who.person) {
        Some(person) if session.roster.membership(ix, person).is_none() => session.bring(turn, person, ix),
        _ => {
            let rest = format!("{} {name} :is already on channel", shown(nick));
            session.numeric(turn.client, n::ERR_USERONCHANNEL, &rest);
        }
    }
}

/// One channel and several people, or as many channels as people. Source: RFC 2812, "Kick command".
pub(super) fn kick(session: &mut Session, turn: &Turn<'_>) {
    let words = |at: usize| turn.param(at).split(',').filter(|word| !word.is_empty());
    let (channels, nicks) = (words(0).count(), words(1).count());
    if nicks > MAX_KICKED {
        let rest = format!("{} :Too many targets", shown(turn.param(1)));
        return session.numeric(turn.client, n::ERR_TOOMANYTARGETS, &rest);
    }
    if channels == 0 || nicks == 0 || (channels > 1 && channels != nicks) {
        return session.numeric(turn.client, n::ERR_NEEDMOREPARAMS, "KICK :Not enough parameters");
    }
    let mut names: Vec<&str> = words(0).collect();
    names.resize(nicks, names.first().copied().unwrap_or_default());
    for (name, nick) in names.into_iter().zip(words(1)) {
        if session.is_local(name) {
            session.on_floor(turn.client, |floor| floor.kick(name, nick, turn.param(2)));
        } else {
            kick_member(session, turn, name, nick);
        }
    }
}

/// Of a WeChat group.
fn kick_member(session: &mut Session, turn: &Turn<'_>, name: &str, nick: &str) {
    let Some(ix) = find(session, turn, name) else { return };
    let name = session.channel_name(ix);
    if !is_joined(session, ix) {
        let rest = format!("{name} :You're not on that channel");
        return session.numeric(turn.client, n::ERR_NOTONCHANNEL, &rest);
    }
    let Some(who) = session.who_is(nick) else {
        let rest = format!("{} :No such nick/channel", shown(nick));
        return session.numeric(turn.client, n::ERR_NOSUCHNICK, &rest);
    };
    let is_member =
        who.person.map_or(is_same(nick, &session.nick), |p| session.roster.membership(ix, p).is_some());
    let is_owned = session.roster.channel(ix).is_some_and(|channel| channel.is_owned);
    if let (true, true, Some(person)) = (is_member, is_owned, who.person) {
        session.remove(turn, person, ix, turn.param(2));
    } else if is_member {
        not_owner(session, turn, &name);
    } else {
        let rest = format!("{} {name} :They aren't on that channel", shown(nick));
        session.numeric(turn.client, n::ERR_USERNOTINCHANNEL, &rest);
    }
}

/// `RENAME #old #new [:reason]`: of a group it is the title. Source: IRCv3 draft/channel-rename.
pub(super) fn rename(session: &mut Session, turn: &Turn<'_>) {
    let (old, new) = (turn.param(0), turn.param(1));
    let fails = |session: &mut Session, code: &str, text: &str| {
        session.fails(turn.client, "RENAME", code, &[old, new], text);
    };
    if session.is_local(old) {
        if !session.shared.config.is_local_name(new) {
            return fails(session, "CANNOT_RENAME", "This is no name of a local channel");
        }
        if session.target(new).is_some() {
            return fails(session, "CHANNEL_NAME_IN_USE", "One of your groups has this name");
        }
        let renamed = session.on_floor(turn.client, |floor| floor.rename_channel(old, new, turn.param(2)));
        if let Some(Err(Some((code, text)))) = renamed {
            fails(session, code, text);
        }
        session.note_local_channels();
        return;
    }
    let Some(ix) = find(session, turn, old) else { return };
    let name = session.channel_name(ix);
    if !is_joined(session, ix) {
        let rest = format!("{name} :You're not on that channel");
        return session.numeric(turn.client, n::ERR_NOTONCHANNEL, &rest);
    }
    if !session.roster.channel(ix).is_some_and(|channel| channel.is_owned) {
        return not_owner(session, turn, &name);
    }
    match new.strip_prefix('#').filter(|title| !title.is_empty()) {
        Some(title) => session.retitle(turn, ix, title),
        None => fails(session, "CANNOT_RENAME", "The name of a group begins with #"),
    }
}
