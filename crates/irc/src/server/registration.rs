//! From the first byte to the welcome: CAP, NICK, USER, PASS and AUTHENTICATE in any order.
//!
//! Source: Modern IRC, "Connection Registration"; IRCv3 sasl-3.1; the IRC notes, section 2.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use wxgate_contract::Credential;

use super::caps::{CapEffect, Caps, Negotiation};
use super::commands;
use super::connection::{Inside, Place, Read, Reader};
use super::metadata::{Early, Hearer};
use super::names;
use super::registry::{ClientId, Incoming};
use super::sasl::{self, By, Denial, Login, Sasl, Step};
use super::shared::Shared;
use crate::wire::casemap::is_same;
use crate::wire::message::{BadLine, Line, Message};
use crate::wire::numeric as n;

mod enter;

/// A client that is inside.
pub(super) struct Registered {
    pub(super) session: mpsc::Sender<Incoming>,
}

/// Leads one connection to its session; `None` when it ended on the way.
pub(super) async fn register<S: AsyncRead + AsyncWrite + Send + Unpin>(
    shared: &Arc<Shared>,
    reader: &mut Reader<'_, S>,
    id: ClientId,
    place: &mut Place<'_>,
    (is_secure, inside): (bool, &Inside),
) -> Option<Registered> {
    let mut desk = Desk {
        shared,
        queue: Arc::clone(&reader.queue),
        negotiation: Negotiation::new(place.sts(is_secure), sasl::mechanisms(place.fingerprint.is_some())),
        is_held: false,
        nick: None,
        user: None,
        password: None,
        sasl: Sasl::default(),
        from: place.address.ip(),
        fingerprint: place.fingerprint.clone(),
        login: None,
        away: None,
        bound: None,
        metadata: Early::default(),
    };
    loop {
        let line = match reader.next().await {
            Read::Line(line) => line,
            Read::BadText(line) => {
                desk.say(&bad_text(&shared.config.server_name, &line, None));
                desk.queue.wake();
                continue;
            }
            Read::TooLong => {
                desk.numeric(n::ERR_INPUTTOOLONG, ":Input line was too long");
                desk.queue.wake();
                continue;
            }
            Read::End(_) => return None,
        };
        match Message::parse(&line) {
            Ok(message) => desk.command(&message).await,
            Err(BadLine::Control) => {
                if let Some(answer) = bad_control(&shared.config.server_name, &line, None) {
                    desk.say(&answer);
                    desk.queue.wake();
                }
                continue;
            }
            Err(BadLine::Empty | BadLine::NoCommand) => continue,
        }
        if desk.queue.is_closed() {
            return None;
        }
        if desk.is_ready() {
            match desk.enter(id, place, (is_secure, inside)).await {
                Entered::Inside(registered) => return Some(registered),
                Entered::Ended => return None,
                // Somebody has the nick: the client may try another one.
                Entered::Again => {}
            }
        }
        desk.queue.wake();
    }
}

/// What is said about a line that is not UTF-8: also to clients without standard replies, because
/// a line that is dropped without a word is lost. Source: IRCv3 utf8-only.
pub(super) fn bad_text(server: &str, line: &str, label: Option<&str>) -> String {
    let command = Message::parse(line).map_or("*", |message| message.command).to_ascii_uppercase();
    let mut answer = Line::new();
    if let Some(label) = label {
        answer = answer.tag("label", label);
    }
    let answer = answer.source(server).command("FAIL").param(&command).param("INVALID_UTF8");
    answer.last("The line is not UTF-8 and was dropped").build()
}

/// What is said about a line with NUL or CR in it: it cannot be taken as it is, and is not dropped without
/// a word. `None` when there is no command in it.
pub(super) fn bad_control(server: &str, line: &str, label: Option<&str>) -> Option<String> {
    let readable = line.replace(['\0', '\r'], "\u{FFFD}");
    let message = Message::parse(&readable).ok()?;
    let mut answer = Line::new();
    if let Some(label) = label {
        answer = answer.tag("label", label);
    }
    let answer = answer.source(server).command("FAIL").param(&message.command.to_ascii_uppercase());
    let answer = answer.param("INVALID_PARAMS").last("The line contains NUL or CR and was dropped");
    Some(answer.build())
}

struct Desk<'a> {
    shared: &'a Arc<Shared>,
    queue: Arc<super::queue::SendQueue>,
    negotiation: Negotiation,
    is_held: bool,
    nick: Option<String>,
    /// User name and real name.
    user: Option<(String, String)>,
    password: Option<String>,
    sasl: Sasl,
    from: IpAddr,
    /// Of the client's certificate.
    fingerprint: Option<String>,
    /// Who it is, and with what it came in.
    login: Option<(Login, Credential)>,
    /// Source: IRCv3 draft/pre-away.
    away: Option<String>,
    /// The account that the client binds. Source: soju.im/bouncer-networks.
    bound: Option<String>,
    metadata: Early,
}

/// How far a client came.
enum Entered {
    Inside(Registered),
    Again,
    Ended,
}

impl Desk<'_> {
    fn is_ready(&self) -> bool {
        !self.is_held && self.nick.is_some() && self.user.is_some()
    }

    fn say(&self, line: &str) {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        self.queue.push(&bytes);
    }

    fn numeric(&self, code: u16, rest: &str) {
        let nick = self.nick.as_deref().unwrap_or("*");
        self.say(&format!(":{} {code:03} {nick} {rest}", self.shared.config.server_name));
    }

    fn end(&self, why: &str) {
        self.queue.close(format!("ERROR :Closing link: {why}\r\n").as_bytes());
    }

    async fn command(&mut self, message: &Message<'_>) {
        let word = message.command.to_ascii_uppercase();
        let first = message.param(0);
        match (word.as_str(), first) {
            ("CAP", Some(_)) => self.cap(message.params()),
            ("NICK", nick) => self.set_nick(nick.unwrap_or("")),
            ("USER", _) => self.set_user(message.params()),
            ("PASS", Some(password)) => self.password = Some(password.to_owned()),
            ("AUTHENTICATE", Some(data)) => self.authenticate(data).await,
            ("CAP" | "PASS" | "AUTHENTICATE", None) => {
                self.numeric(n::ERR_NEEDMOREPARAMS, &format!("{word} :Not enough parameters"));
            }
            ("PING", Some(token)) => {
                let server = &self.shared.config.server_name;
                let pong = Line::new().source(server).command("PONG").param(server).last(token);
                self.say(&pong.build());
            }
            ("PING", None) => self.numeric(n::ERR_NOORIGIN, ":No origin specified"),
            ("PONG", _) => {}
            ("AWAY", text) if self.negotiation.caps.has(Caps::PRE_AWAY) => self.set_away(text.unwrap_or("")),
            ("ISUPPORT", _) if self.negotiation.caps.has(Caps::EXTENDED_ISUPPORT) => self.isupport(),
            ("BOUNCER", Some(word)) if self.negotiation.caps.has(Caps::BOUNCER) => {
                self.bind(word, message.param(1).unwrap_or("")).await;
            }
            ("METADATA", _) if self.negotiation.caps.has(Caps::METADATA) => {
                let (nick, caps) = (self.nick.as_deref().unwrap_or("*"), self.negotiation.caps);
                let hearer = Hearer::new(caps, &self.shared.config.server_name, nick);
                let reference = caps.has(Caps::BATCH).then(|| format!("k{}", self.shared.next_number()));
                let answer = self.metadata.command(message.params(), &hearer, reference.as_deref());
                answer.iter().for_each(|line| self.say(line));
            }
            ("QUIT", _) => self.end("client quit"),
            _ if commands::is_known(&word) => self.numeric(n::ERR_NOTREGISTERED, ":You have not registered"),
            _ => {
                let word = Line::new().command("").param(message.command).build();
                self.numeric(n::ERR_UNKNOWNCOMMAND, &format!("{} :Unknown command", word.trim()));
            }
        }
    }

    fn cap(&mut self, params: &[&str]) {
        let mut reply = Vec::new();
        let effect = self.negotiation.command(params, &mut reply);
        let nick = self.nick.as_deref().unwrap_or("*");
        for rest in reply {
            self.say(&format!(":{} CAP {nick} {rest}", self.shared.config.server_name));
        }
        match effect {
            CapEffect::Hold => self.is_held = true,
            CapEffect::Release => {
                self.is_held = false;
                if self.sasl.abort() {
                    self.numeric(n::ERR_SASLABORTED, ":SASL authentication aborted");
                }
            }
            CapEffect::None => {}
            CapEffect::Unknown(word) => {
                let word = Line::new().command("").param(&word).build();
                self.numeric(n::ERR_INVALIDCAPCMD, &format!("{} :Invalid CAP command", word.trim()));
            }
        }
    }

    fn set_nick(&mut self, nick: &str) {
        if nick.is_empty() {
            self.numeric(n::ERR_NONICKNAMEGIVEN, ":No nickname given");
        } else if !names::is_valid_nick(nick) {
            let shown = Line::new().command("").param(nick).build();
            self.numeric(n::ERR_ERRONEUSNICKNAME, &format!("{} :Erroneous nickname", shown.trim()));
        } else if is_same(nick, &self.shared.config.service_nick) {
            self.numeric(n::ERR_NICKNAMEINUSE, &format!("{nick} :Nickname is already in use"));
        } else {
            self.nick = Some(nick.to_owned());
        }
    }

    fn set_user(&mut self, params: &[&str]) {
        let (Some(user), Some(realname)) = (params.first(), params.get(3)) else {
            return self.numeric(n::ERR_NEEDMOREPARAMS, "USER :Not enough parameters");
        };
        // Source: Modern IRC, "USER message": neither of the two may be empty.
        if user.is_empty() || realname.is_empty() {
            return self.numeric(n::ERR_NEEDMOREPARAMS, "USER :Not enough parameters");
        }
        let realname = names::cut_text(realname, names::REALNAME_BYTES).to_owned();
        self.user = Some(((*user).to_owned(), realname));
    }

    async fn authenticate(&mut self, data: &str) {
        if self.login.is_some() {
            return self.numeric(n::ERR_SASLALREADY, ":You have already authenticated using SASL");
        }
        let by = By { from: self.from, certificate: self.fingerprint.as_deref() };
        match self.sasl.line(self.shared, by, data).await {
            Step::Collecting => {}
            Step::Say(lines) => lines.iter().for_each(|line| self.say(line)),
            Step::Aborted => self.numeric(n::ERR_SASLABORTED, ":SASL authentication aborted"),
            Step::TooLong => self.numeric(n::ERR_SASLTOOLONG, ":SASL message too long"),
            Step::NoMechanism => {
                let mechanisms = sasl::mechanisms(self.fingerprint.is_some());
                self.numeric(n::RPL_SASLMECHS, &format!("{mechanisms} :are available SASL mechanisms"));
                self.numeric(n::ERR_SASLFAIL, ":SASL authentication failed");
            }
            Step::In(login, credential) => self.logged_in(login, credential),
            Step::Failed(why) => {
                self.numeric(n::ERR_SASLFAIL, &format!(":SASL authentication failed: {why}"));
                if why == Denial::TooOften {
                    let has_replies = self.negotiation.caps.has(Caps::STANDARD_REPLIES);
                    let nick = self.nick.as_deref().unwrap_or("*");
                    self.say(&sasl::wait(&self.shared.config.server_name, nick, has_replies));
                }
                if self.sasl.is_hopeless() {
                    self.end("too many failed logins");
                }
            }
        }
    }

    fn logged_in(&mut self, login: Login, credential: Credential) {
        let nick = self.nick.clone().unwrap_or_else(|| "*".to_owned());
        let username = self.user.as_ref().map_or("", |(user, _)| user.as_str());
        let user = names::own_user(username, login.user.as_str());
        let account = Line::new().command("").param(login.user.as_str()).build();
        let account = account.trim();
        let rest = format!("{nick}!{user}@wxgate {account} :You are now logged in as {account}");
        self.numeric(n::RPL_LOGGEDIN, &rest);
        self.numeric(n::RPL_SASLSUCCESS, ":SASL authentication successful");
        self.login = Some((login, credential));
    }

    /// Source: IRCv3 draft/extended-isupport.
    fn isupport(&self) {
        let server = &self.shared.config.server_name;
        let reference = format!("i{}", self.shared.next_number());
        let caps = self.negotiation.caps;
        let nick = self.nick.as_deref().unwrap_or("*");
        if caps.has(Caps::BATCH) {
            self.say(&format!(":{server} BATCH +{reference} draft/isupport"));
        }
        for line in super::isupport::lines(&self.shared.config, self.from.is_loopback()) {
            let tag = if caps.has(Caps::BATCH) { format!("@batch={reference} ") } else { String::new() };
            self.say(&format!("{tag}:{server} 005 {nick} {line}"));
        }
        if caps.has(Caps::BATCH) {
            self.say(&format!(":{server} BATCH -{reference}"));
        }
    }

    /// `BOUNCER BIND netid`, after the login and before the end of the registration.
    async fn bind(&mut self, word: &str, netid: &str) {
        let fail = |desk: &Self, code: &str, context: &[&str], text: &str| {
            let line = Line::new().source(&desk.shared.config.server_name).command("FAIL").param("BOUNCER");
            let line = context.iter().fold(line.param(code), |line, word| line.param(word));
            desk.say(&line.last(text).build());
        };
        if !word.eq_ignore_ascii_case("BIND") {
            return self.numeric(n::ERR_NOTREGISTERED, ":You have not registered");
        }
        let Some((login, _)) = &self.login else {
            return fail(self, "ACCOUNT_REQUIRED", &["BIND"], "Log in first");
        };
        let accounts = self.shared.directory.accounts(&login.user).await.unwrap_or_default();
        if !accounts.iter().any(|view| view.network.name() == netid) {
            return fail(self, "INVALID_NETID", &["BIND", netid], "You have no such account");
        }
        self.bound = Some(netid.to_owned());
    }

    fn set_away(&mut self, text: &str) {
        let text: String = text.chars().take(commands::AWAY_CHARS).collect();
        match text.is_empty() {
            false => self.numeric(n::RPL_NOWAWAY, ":You have been marked as being away"),
            true => self.numeric(n::RPL_UNAWAY, ":You are no longer marked as being away"),
        }
        // A star says that nobody sits in front of the client, not where they are.
        self.away = Some(text).filter(|text| !text.is_empty() && text != "*");
    }
}
