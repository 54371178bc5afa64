//! Commands about the server.

use wxgate_contract::{Command, CommandError, UserName};

use crate::server::commands::{COMMANDS, Turn};
use crate::server::session::Session;
use crate::server::stamp;
use crate::wire::casemap::matches_mask;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// True when the command may go on: no server was named, or this one, by a mask or by somebody who is on it.
/// Source: RFC 2812, section 3.4: wildcards are allowed in the target.
fn is_here(session: &mut Session, turn: &Turn<'_>) -> bool {
    let name = turn.param(0);
    let is_ours = matches_mask(name, &session.shared.config.server_name);
    if name.is_empty() || is_ours || session.who_is(name).is_some() {
        return true;
    }
    let shown = Line::new().command("").param(name).build();
    session.numeric(turn.client, n::ERR_NOSUCHSERVER, &format!("{} :No such server", shown.trim()));
    false
}

pub(super) fn motd(session: &mut Session, turn: &Turn<'_>) {
    if is_here(session, turn) {
        session.motd(turn.client);
    }
}

/// There is no other server.
pub(super) fn links(session: &mut Session, turn: &Turn<'_>) {
    let server = session.shared.config.server_name.clone();
    session.numeric(turn.client, n::RPL_LINKS, &format!("{server} {server} :0 a gateway to WeChat"));
    session.numeric(turn.client, n::RPL_ENDOFLINKS, "* :End of /LINKS list");
}

/// Administrators of the instance, with the name and the password that they have there. Where users do not see each
/// other there is nothing to be an operator of.
pub(super) async fn oper(session: &mut Session, turn: &Turn<'_>) {
    let (id, shared) = (turn.client, std::sync::Arc::clone(&session.shared));
    if session.local.is_none() {
        return session.numeric(id, n::ERR_NOOPERHOST, ":No O-lines for your host");
    }
    let (user, password) = (UserName::from(turn.param(0)), turn.param(1).to_owned());
    let from = session.clients.get(&id).map(|client| client.address);
    match shared.control.run(None, Command::Administer { user, password, from }).await {
        Ok(_) => {
            session.on_floor(id, |floor| floor.become_operator());
        }
        Err(CommandError::Denied) => {
            // Guessing is slow, as at the door.
            tokio::time::sleep(shared.config.limits.failed_login_pause).await;
            session.numeric(id, n::ERR_PASSWDMISMATCH, ":Password incorrect");
        }
        Err(error) => session.numeric(id, n::ERR_NOOPERHOST, &format!(":Not now: {error}")),
    }
}

pub(super) fn kill(session: &mut Session, turn: &Turn<'_>) {
    let (nick, reason) = (turn.param(0), turn.param(1));
    if session.on_floor(turn.client, |floor| floor.is_operator()) != Some(true) {
        return operators_only(session, turn);
    }
    if session.target(nick).is_some() || session.is_service(nick) {
        let text = ":Permission Denied- They are not connected here";
        return session.numeric(turn.client, n::ERR_NOPRIVILEGES, text);
    }
    session.on_floor(turn.client, |floor| floor.kill(nick, reason));
}

pub(super) fn wallops(session: &mut Session, turn: &Turn<'_>) {
    if session.on_floor(turn.client, |floor| floor.is_operator()) != Some(true) {
        return operators_only(session, turn);
    }
    session.on_floor(turn.client, |floor| floor.wallops(turn.param(0)));
}

pub(super) fn operators_only(session: &mut Session, turn: &Turn<'_>) {
    session.numeric(turn.client, n::ERR_NOPRIVILEGES, ":Permission Denied- You're not an IRC operator");
}

/// `u` is for everybody, the rest is for operators of the server.
pub(super) fn stats(session: &mut Session, turn: &Turn<'_>) {
    let query = turn.param(0);
    if query.is_empty() {
        return session.numeric(turn.client, n::ERR_NEEDMOREPARAMS, "STATS :Not enough parameters");
    }
    if query == "u" {
        let up = session.shared.clock.now().since(session.shared.started).as_secs();
        let (days, hours, minutes, seconds) = (up / 86_400, up / 3600 % 24, up / 60 % 60, up % 60);
        let rest = format!(":Server Up {days} days {hours}:{minutes:02}:{seconds:02}");
        session.numeric(turn.client, n::RPL_STATSUPTIME, &rest);
    }
    let shown = Line::new().command("").param(query).build();
    session.numeric(turn.client, n::RPL_ENDOFSTATS, &format!("{} :End of /STATS report", shown.trim()));
}

pub(super) fn lusers(session: &mut Session, turn: &Turn<'_>) {
    session.lusers(turn.client);
}

pub(super) fn version(session: &mut Session, turn: &Turn<'_>) {
    if is_here(session, turn) {
        let server = session.shared.config.server_name.clone();
        let version = env!("CARGO_PKG_VERSION");
        session.numeric(
            turn.client,
            n::RPL_VERSION,
            &format!("wxgate-{version} {server} :a gateway to WeChat"),
        );
        session.isupport(turn.client);
    }
}

/// Source: IRCv3 draft/extended-isupport.
pub(super) fn isupport(session: &mut Session, turn: &Turn<'_>) {
    session.isupport(turn.client);
}

pub(super) fn time(session: &mut Session, turn: &Turn<'_>) {
    if is_here(session, turn) {
        let (server, now) = (session.shared.config.server_name.clone(), session.shared.clock.now());
        session.numeric(turn.client, n::RPL_TIME, &format!("{server} :{}", stamp::long(now)));
    }
}

pub(super) fn admin(session: &mut Session, turn: &Turn<'_>) {
    if is_here(session, turn) {
        let server = session.shared.config.server_name.clone();
        session.numeric(turn.client, n::RPL_ADMINME, &format!("{server} :Administrative info"));
        session.numeric(turn.client, n::RPL_ADMINLOC1, ":wxgate, a gateway to WeChat");
        session.numeric(turn.client, n::RPL_ADMINLOC2, ":Ask whoever runs this instance");
        session.numeric(turn.client, n::RPL_ADMINEMAIL, ":none is configured");
    }
}

pub(super) fn info(session: &mut Session, turn: &Turn<'_>) {
    if is_here(session, turn) {
        let started = stamp::long(session.shared.started);
        session.numeric(turn.client, n::RPL_INFO, &format!(":wxgate {}", env!("CARGO_PKG_VERSION")));
        session.numeric(turn.client, n::RPL_INFO, ":Contacts are nicks, groups are channels.");
        session.numeric(turn.client, n::RPL_INFO, &format!(":Running since {started}"));
        session.numeric(turn.client, n::RPL_ENDOFINFO, ":End of /INFO list");
    }
}

pub(super) fn help(session: &mut Session, turn: &Turn<'_>) {
    let subject = turn.param(0).to_ascii_uppercase();
    let service = session.shared.config.service_nick.clone();
    if !subject.is_empty() && !COMMANDS.iter().any(|command| command.name == subject) {
        let shown = Line::new().command("").param(turn.param(0)).build();
        return session.numeric(
            turn.client,
            n::ERR_HELPNOTFOUND,
            &format!("{} :No help available on this topic", shown.trim()),
        );
    }
    let topic = if subject.is_empty() { "*".to_owned() } else { subject };
    session.numeric(
        turn.client,
        n::RPL_HELPSTART,
        &format!("{topic} :Contacts are nicks, groups are channels"),
    );
    // Source: Modern IRC, "HELP message": the line behind the title is empty.
    session.numeric(turn.client, n::RPL_HELPTXT, &format!("{topic} :"));
    let text = format!("What the gateway itself can do: /msg {service} help");
    session.numeric(turn.client, n::RPL_HELPTXT, &format!("{topic} :{text}"));
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    session.numeric(turn.client, n::RPL_HELPTXT, &format!("{topic} :Commands: {}", names.join(" ")));
    session.numeric(turn.client, n::RPL_ENDOFHELP, &format!("{topic} :End of /HELP"));
}
