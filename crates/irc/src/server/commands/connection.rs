//! Commands about the connection and oneself.

use crate::server::caps::{CapEffect, Caps};
use crate::server::commands::Turn;
use crate::server::names;
use crate::server::registry::ClientId;
use crate::server::sasl::{self, By, Denial, Login, Step};
use crate::server::session::{Session, one_line};
use crate::wire::casemap::{fold, is_same};
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Longest away text; announced as AWAYLEN.
pub(in crate::server) const AWAY_CHARS: usize = 200;

pub(super) fn already(session: &mut Session, turn: &Turn<'_>) {
    session.numeric(turn.client, n::ERR_ALREADYREGISTERED, ":You may not reregister");
}

/// A guest may still say who they are; everybody else has.
pub(super) async fn authenticate(session: &mut Session, turn: &Turn<'_>) {
    let (id, shared) = (turn.client, std::sync::Arc::clone(&session.shared));
    if session.account_name().is_some() {
        return session.numeric(id, n::ERR_SASLALREADY, ":You have already authenticated using SASL");
    }
    let Some(client) = session.clients.get_mut(&id) else { return };
    let by = By { from: client.address, certificate: client.fingerprint.as_deref() };
    match client.sasl.line(&shared, by, turn.param(0)).await {
        Step::Collecting => {}
        Step::Say(lines) => lines.iter().for_each(|line| session.to(id, line)),
        Step::Aborted => session.numeric(id, n::ERR_SASLABORTED, ":SASL authentication aborted"),
        Step::TooLong => session.numeric(id, n::ERR_SASLTOOLONG, ":SASL message too long"),
        Step::NoMechanism => {
            let has_certificate = session.clients.get(&id).is_some_and(|client| client.fingerprint.is_some());
            let mechanisms = sasl::mechanisms(has_certificate);
            session.numeric(id, n::RPL_SASLMECHS, &format!("{mechanisms} :are available SASL mechanisms"));
            session.numeric(id, n::ERR_SASLFAIL, ":SASL authentication failed");
        }
        Step::In(login, credential) => {
            client.credential = Some(credential);
            identify(session, id, login).await;
        }
        Step::Failed(why) => {
            session.numeric(id, n::ERR_SASLFAIL, &format!(":SASL authentication failed: {why}"));
            if why == Denial::TooOften {
                let has_replies =
                    session.clients.get(&id).is_some_and(|client| client.has(Caps::STANDARD_REPLIES));
                let line = sasl::wait(&shared.config.server_name, &session.nick, has_replies);
                session.to(id, &line);
            }
            let client = session.clients.get_mut(&id);
            if client.is_some_and(|client| client.sasl.is_hopeless()) {
                let line = b"ERROR :Closing link: too many failed logins\r\n";
                session.clients.get(&id).into_iter().for_each(|client| client.queue.close(line));
            }
        }
    }
}

/// The guest is known from now on. Chats of an account are another session's: they need a login from the
/// beginning.
async fn identify(session: &mut Session, id: ClientId, login: Login) {
    let account = login.user.as_str().to_owned();
    let prefix = session.own_prefix();
    let rest = format!("{prefix} {account} :You are now logged in as {account}");
    session.numeric(id, n::RPL_LOGGEDIN, &rest);
    session.numeric(id, n::RPL_SASLSUCCESS, ":SASL authentication successful");
    session.on_floor(id, |floor| floor.identify(&account));
    let accounts = session.shared.directory.accounts(&login.user).await;
    session.known_as = Some(login.user);
    if accounts.is_ok_and(|accounts| !accounts.is_empty()) {
        session.service_says(id, "to see your chats, connect anew and log in before the registration ends");
    }
}

pub(super) fn cap(session: &mut Session, turn: &Turn<'_>) {
    let (server, nick) = (session.shared.config.server_name.clone(), session.nick.clone());
    let Some(client) = session.clients.get_mut(&turn.client) else { return };
    let (mut reply, before) = (Vec::new(), client.caps());
    let effect = client.negotiation.command(turn.message.params(), &mut reply);
    for rest in reply {
        client.line(&format!(":{server} CAP {nick} {rest}"));
    }
    let caps = client.caps();
    let unbatched = before.has(Caps::BATCH) && !caps.has(Caps::BATCH);
    if !caps.has(Caps::METADATA) || unbatched {
        // Source: IRCv3 draft/metadata-3: who gives either of them up hears nothing more.
        client.subscribed.clear();
    }
    session.local_caps(turn.client, caps);
    session.local_subscribe(turn.client);
    if let CapEffect::Unknown(word) = effect {
        let word = Line::new().command("").param(&word).build();
        session.numeric(turn.client, n::ERR_INVALIDCAPCMD, &format!("{} :Invalid CAP command", word.trim()));
    }
}

/// Everything typed before a PING is on disk and queued to every local client before its PONG:
/// held lines are said first (the dispatcher does that), and commits are waited for.
pub(super) async fn ping(session: &mut Session, turn: &Turn<'_>) {
    let Some(token) = turn.message.param(0) else {
        return session.numeric(turn.client, n::ERR_NOORIGIN, ":No origin specified");
    };
    let server = session.shared.config.server_name.clone();
    let pong = Line::new().source(&server).command("PONG").param(&server).last(token).build();
    session.to(turn.client, &pong);
}

pub(super) fn pong(session: &mut Session, turn: &Turn<'_>) {
    // Some clients put the server in front of the token.
    for param in turn.message.params() {
        if let Some(seq) = param.strip_prefix("wxgate-").and_then(|seq| seq.parse().ok()) {
            session.confirmed(turn.client, seq);
        }
    }
}

pub(super) async fn quit(session: &mut Session, turn: &Turn<'_>) {
    let reason = one_line(turn.param(0));
    if session.clients.len() == 1 {
        // Source: Modern IRC, "QUIT message": the words stand in front also of nothing.
        session.leave_hall(turn.client, &format!("Quit: {reason}"));
    }
    let reason = if reason.is_empty() { "client quit" } else { &reason };
    if let Some(client) = session.clients.get_mut(&turn.client) {
        let line = Line::new().command("ERROR").last(&format!("Closing link: {reason}")).build();
        client.capture = None;
        client.queue.close(format!("{line}\r\n").as_bytes());
    }
    // It may take a while until its end is written; somebody who comes back meanwhile comes in anew.
    session.left(turn.client).await;
}

pub(super) fn nick(session: &mut Session, turn: &Turn<'_>) {
    let wanted = turn.param(0);
    if wanted.is_empty() {
        return session.numeric(turn.client, n::ERR_NONICKNAMEGIVEN, ":No nickname given");
    }
    if !names::is_valid_nick(wanted) {
        let shown = Line::new().command("").param(wanted).build();
        return session.numeric(
            turn.client,
            n::ERR_ERRONEUSNICKNAME,
            &format!("{} :Erroneous nickname", shown.trim()),
        );
    }
    if wanted == session.nick {
        return;
    }
    let service = session.shared.config.service_nick.clone();
    let now = session.shared.clock.now();
    let is_own = is_same(wanted, &session.nick);
    if !is_own && (is_same(wanted, &service) || session.roster.by_nick(wanted, now).is_some()) {
        return session.numeric(
            turn.client,
            n::ERR_NICKNAMEINUSE,
            &format!("{wanted} :Nickname is already in use"),
        );
    }
    let renamed = session.on_floor(turn.client, |floor| floor.rename(wanted));
    if renamed == Some(false) {
        let rest = format!("{wanted} :Nickname is already in use");
        return session.numeric(turn.client, n::ERR_NICKNAMEINUSE, &rest);
    }
    let deed = session.own_deed(format!("NICK {wanted}"));
    session.nick = wanted.to_owned();
    session.roster.reserve(&[&service, wanted]);
    if renamed.is_none() {
        session.tell_deed(&deed, |_| true);
    }
}

pub(super) fn setname(session: &mut Session, turn: &Turn<'_>) {
    let server = session.shared.config.server_name.clone();
    let realname = one_line(turn.param(0));
    if realname.is_empty() || realname.len() > names::REALNAME_BYTES {
        // Source: IRCv3 setname: who did not negotiate it is told nothing.
        let speaks = session.clients.get(&turn.client).is_some_and(|client| client.has(Caps::SETNAME));
        let line = format!(":{server} FAIL SETNAME INVALID_REALNAME :Real name is not valid");
        return if speaks {
            session.to(turn.client, &line)
        };
    }
    session.on_floor(turn.client, |floor| floor.set_realname(&realname));
    session.realname = realname;
    let deed = session.own_deed(format!("SETNAME :{}", session.realname));
    session.tell_deed(&deed, |client| client.has(Caps::SETNAME));
}

pub(super) fn away(session: &mut Session, turn: &Turn<'_>) {
    let text: String = one_line(turn.param(0)).chars().take(AWAY_CHARS).collect();
    let may_be_idle = session.clients.get(&turn.client).is_some_and(|client| client.has(Caps::PRE_AWAY));
    if may_be_idle && text == "*" {
        // Nobody sits in front of this client; where they are it does not know. Source: IRCv3 draft/pre-away.
        return session.numeric(turn.client, n::RPL_NOWAWAY, ":You have been marked as being away");
    }
    let is_away = !text.is_empty();
    session.away = is_away.then_some(text);
    let away = session.away.clone();
    session.on_floor(turn.client, |floor| floor.away(away));
    if is_away {
        session.numeric(turn.client, n::RPL_NOWAWAY, ":You have been marked as being away");
    } else {
        session.numeric(turn.client, n::RPL_UNAWAY, ":You are no longer marked as being away");
    }
}

impl Session {
    /// Somebody by nick, for answers: nick, user, host, real name, away text.
    pub(in crate::server) fn who_is(&self, nick: &str) -> Option<Who> {
        let service = &self.shared.config.service_nick;
        if is_same(nick, &self.nick) {
            let local = self.local_who(nick);
            return Some(Who {
                nick: self.nick.clone(),
                user: self.own_user(),
                host: "wxgate".to_owned(),
                realname: one_line(&self.realname),
                account: self.account_name().unwrap_or_default().to_owned(),
                away: self.away.clone(),
                person: None,
                is_bot: local.as_ref().is_some_and(|who| who.is_bot),
                is_oper: local.is_some_and(|who| who.is_oper),
            });
        }
        if is_same(nick, service) {
            return Some(Who {
                nick: service.clone(),
                user: service.clone(),
                host: self.shared.config.server_name.clone(),
                realname: "the gateway itself".to_owned(),
                account: String::new(),
                away: None,
                person: None,
                is_bot: true,
                is_oper: false,
            });
        }
        let Some((ix, _)) = self.roster.by_nick(&fold(nick), self.shared.clock.now()) else {
            return self.local_who(nick);
        };
        let person = self.roster.person(ix)?;
        Some(Who {
            nick: person.nick.clone(),
            user: person.user.clone(),
            host: person.host.to_owned(),
            realname: one_line(&person.realname),
            account: person.user.clone(),
            away: self.contacts_away().map(str::to_owned),
            person: Some(ix),
            is_bot: person.is_official(),
            is_oper: false,
        })
    }
}

/// One party as WHO and WHOIS tell it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Who {
    pub(in crate::server) nick: String,
    pub(in crate::server) user: String,
    pub(in crate::server) host: String,
    pub(in crate::server) realname: String,
    /// Empty when there is none.
    pub(in crate::server) account: String,
    pub(in crate::server) away: Option<String>,
    pub(in crate::server) person: Option<crate::server::roster::PersonIx>,
    pub(in crate::server) is_bot: bool,
    pub(in crate::server) is_oper: bool,
}
