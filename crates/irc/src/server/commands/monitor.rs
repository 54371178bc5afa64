//! MONITOR. Source: IRCv3 monitor.

use crate::server::commands::Turn;
use crate::server::names::NICK_BYTES;
use crate::server::session::Session;
use crate::wire::casemap::fold;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Nicks that one client may watch; announced as MONITOR.
const MAX_MONITORED: usize = 200;
/// Bytes of nicks on one answer line.
const LINE_BYTES: usize = 380;

pub(super) fn monitor(session: &mut Session, turn: &Turn<'_>) {
    let id = turn.client;
    match turn.param(0).to_ascii_uppercase().as_str() {
        "+" | "-" if turn.param(1).is_empty() => {
            return session.numeric(id, n::ERR_NEEDMOREPARAMS, "MONITOR :Not enough parameters");
        }
        "+" => add(session, turn),
        "-" => {
            let Some(client) = session.clients.get_mut(&id) else { return };
            for nick in turn.param(1).split(',') {
                client.monitored.remove(&fold(nick));
            }
        }
        "C" => {
            if let Some(client) = session.clients.get_mut(&id) {
                client.monitored.clear();
            }
        }
        "L" => {
            let all = watched(session, turn);
            answer(session, turn, n::RPL_MONLIST, &all);
            session.numeric(id, n::RPL_ENDOFMONLIST, ":End of MONITOR list");
        }
        "S" => {
            let all = watched(session, turn);
            tell(session, turn, &all);
        }
        _ => {}
    }
    session.local_watch(id);
}

fn watched(session: &Session, turn: &Turn<'_>) -> Vec<String> {
    let client = session.clients.get(&turn.client);
    client.map(|client| client.monitored.values().cloned().collect()).unwrap_or_default()
}

fn add(session: &mut Session, turn: &Turn<'_>) {
    let Some(client) = session.clients.get_mut(&turn.client) else { return };
    let mut added = Vec::new();
    let (mut refused, mut too_long) = (Vec::new(), Vec::new());
    for nick in
        turn.param(1).split(',').filter(|nick| !nick.is_empty() && !nick.contains(['*', '?', '!', '@']))
    {
        if nick.len() > NICK_BYTES {
            too_long.push(nick.to_owned());
            continue;
        }
        let folded = fold(nick);
        if !client.monitored.contains_key(&folded) && client.monitored.len() >= MAX_MONITORED {
            refused.push(nick.to_owned());
            continue;
        }
        client.monitored.insert(folded, nick.to_owned());
        added.push(nick.to_owned());
    }
    for nick in too_long {
        let shown = Line::new().command("").param(&nick).build();
        session.numeric(
            turn.client,
            n::ERR_ERRONEUSNICKNAME,
            &format!("{} :Erroneous nickname", shown.trim()),
        );
    }
    tell(session, turn, &added);
    session.tell_watched_values(turn.client, &added);
    if !refused.is_empty() {
        let rest = format!("{MAX_MONITORED} {} :Monitor list is full", refused.join(","));
        session.numeric(turn.client, n::ERR_MONLISTFULL, &rest);
    }
}

fn tell(session: &mut Session, turn: &Turn<'_>, nicks: &[String]) {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    for nick in nicks {
        let found = session.who_is(nick).filter(|who| who.person.is_none() || session.health_is_up());
        match found.filter(|who| fold(&who.nick) == fold(nick)) {
            Some(who) => online.push(format!("{}!{}@{}", who.nick, who.user, who.host)),
            None => offline.push(nick.clone()),
        }
    }
    answer(session, turn, n::RPL_MONONLINE, &online);
    answer(session, turn, n::RPL_MONOFFLINE, &offline);
}

/// The nicks in as many lines as they take.
fn answer(session: &mut Session, turn: &Turn<'_>, code: u16, nicks: &[String]) {
    let mut line = String::new();
    for nick in nicks {
        if !line.is_empty() && line.len() + 1 + nick.len() > LINE_BYTES {
            session.numeric(turn.client, code, &format!(":{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(',');
        }
        line.push_str(nick);
    }
    if !line.is_empty() {
        session.numeric(turn.client, code, &format!(":{line}"));
    }
}
