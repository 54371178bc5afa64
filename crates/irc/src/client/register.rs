//! From connecting to the welcome: capabilities, sign-in, a free nick.
//!
//! Source: "Connection Registration" in Modern IRC; IRCv3 capability-negotiation and sasl-3.2.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::multiline::{self, Bounds};
use super::sasl::{Account, Exchange, PIECE_BYTES, mechanisms, pieces};
use super::session::{End, Phase, Session};
use super::words;
use crate::wire::message::{Line, Message};

/// What we have a use for. Nothing is asked for that would only be ignored.
const WANTED: [&str; 16] = [
    "sasl",
    "server-time",
    "message-tags",
    "batch",
    "echo-message",
    "labeled-response",
    "account-tag",
    "multi-prefix",
    "extended-join",
    "chghost",
    "cap-notify",
    "draft/message-redaction",
    "draft/relaymsg",
    "draft/chathistory",
    "draft/channel-rename",
    multiline::NAME,
];
/// Bytes of names in one CAP REQ.
const REQ_BYTES: usize = 400;
/// Bytes of a whole challenge. Chosen: ten times the longest honest one.
const CHALLENGE_BYTES: usize = 16 * 1024;
/// How often another nick is tried during registration.
const NICK_TRIES: usize = 8;
/// How long NickServ may take before channels are entered that let only known nicks in.
const NICKSERV: Duration = Duration::from_secs(5);

/// The secrets, read from their files when the run began.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    pub(super) server: Option<String>,
    /// `Some(None)`: by our certificate.
    pub(super) sasl: Option<Option<Account>>,
    pub(super) nickserv: Option<String>,
}

/// How far registration is.
pub(super) struct Registration {
    pub(super) secrets: Secrets,
    offered: Vec<(String, String)>,
    /// Requests that are not answered.
    asked: usize,
    mechanisms: Vec<&'static str>,
    exchange: Option<Exchange>,
    challenge: String,
    /// The network began the exchange.
    has_answered: bool,
    /// It was shown what only we can have.
    has_shown: bool,
    is_signed_in: bool,
    has_ended: bool,
    tries: usize,
}

impl Registration {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            offered: Vec::new(),
            asked: 0,
            mechanisms: Vec::new(),
            exchange: None,
            challenge: String::new(),
            has_answered: false,
            has_shown: false,
            is_signed_in: false,
            has_ended: false,
            tries: 0,
        }
    }
}

/// Our user name, from the nick that is wanted.
pub(super) fn user_of(nick: &str) -> String {
    let user: String = nick.chars().filter(char::is_ascii_alphanumeric).take(9).collect();
    if user.is_empty() { "wxgate".to_owned() } else { user }
}

impl Session<'_> {
    fn registration(&mut self) -> Option<&mut Registration> {
        match &mut self.phase {
            Phase::Registering(registration) => Some(registration),
            Phase::Joining { .. } | Phase::Ready => None,
        }
    }

    /// There is nobody to sign in with, which passes: networks offer SASL only while their services are linked.
    /// Source: Solanum's and InspIRCd's `m_sasl`, where the capability comes and goes with the services.
    fn no_services(&mut self, why: &str) {
        self.finish(&format!("{why}; where it never has it, take sasl out, or use nickserv_password_file"));
    }

    pub(super) fn fatal(&mut self, why: impl Into<String>) {
        self.end.get_or_insert(End::Fatal(why.into()));
    }

    /// The first words.
    pub(super) fn register(&mut self) {
        self.send("CAP LS 302");
        let password = self.registration().and_then(|r| r.secrets.server.clone());
        if let Some(password) = password {
            self.send(&Line::new().command("PASS").last(&password).build());
        }
        let nick = self.me.nick.clone();
        self.send(&Line::new().command("NICK").param(&nick).build());
        let user = user_of(&self.relay.config.nick);
        self.send(
            &Line::new().command("USER").param(&user).param("0").param("*").last("wxgate relay").build(),
        );
    }

    /// Lines that matter before the welcome is over. True when nothing else need look at it.
    pub(super) fn registering(&mut self, message: &Message<'_>) -> bool {
        let param = |at: usize| message.param(at).unwrap_or("");
        match message.command {
            "CAP" => self.cap(param(1), message),
            "AUTHENTICATE" => self.challenged(param(0)),
            "900" => self.me.account = message.param(2).map(str::to_owned),
            "903" | "907" => self.signed_in(),
            "902" | "904" | "905" => self.sign_in_failed(message.params().last().unwrap_or(&"")),
            "906" => self.no_services("the network broke the sign-in off (SASL)"),
            // Names the mechanisms that would have done; 904 follows.
            "908" => {}
            "001" => {
                param(0).clone_into(&mut self.me.nick);
                // A server without CAP never asked for a sign-in.
                let unsigned =
                    self.registration().is_some_and(|r| r.secrets.sasl.is_some() && !r.is_signed_in);
                if unsigned {
                    self.fatal("the network has no SASL; take sasl out, or use nickserv_password_file");
                }
            }
            "432" => {
                let nick = self.me.nick.clone();
                self.fatal(format!("the network takes no nick {nick}"));
            }
            "433" | "436" | "437" => self.another_nick(),
            "464" => self.fatal("the server wants another password"),
            // ERROR follows, and says the same.
            "465" => self.banned(&words::from_server(message.params().last().unwrap_or(&""))),
            "376" | "422" => self.welcomed(),
            _ => return false,
        }
        true
    }

    fn cap(&mut self, verb: &str, message: &Message<'_>) {
        let has_more = message.param(2) == Some("*");
        let list = message.params().last().copied().unwrap_or("");
        match verb {
            "LS" => {
                let Some(registration) = self.registration() else { return };
                for cap in list.split_whitespace() {
                    let (name, value) = cap.split_once('=').unwrap_or((cap, ""));
                    registration.offered.push((name.to_owned(), value.to_owned()));
                }
                if !has_more {
                    self.request();
                }
            }
            "ACK" => {
                for cap in list.split_whitespace() {
                    self.learn_cap(cap);
                }
                self.requested(list.split_whitespace().any(|cap| cap == "sasl"));
            }
            "NAK" => self.requested(false),
            "DEL" => list.split_whitespace().for_each(|cap| self.learn_cap(&format!("-{cap}"))),
            _ => {}
        }
    }

    fn learn_cap(&mut self, cap: &str) {
        let (name, is_on) = cap.strip_prefix('-').map_or((cap, true), |name| (name, false));
        if name == multiline::NAME {
            let offered = self.registration().and_then(|r| r.offered.iter().find(|(cap, _)| cap == name));
            let bounds = offered.and_then(|(_, value)| Bounds::parse(value));
            self.caps.multiline = bounds.filter(|_| is_on);
            return;
        }
        let slot = match name {
            "message-tags" => &mut self.caps.tags,
            "echo-message" => &mut self.caps.echo,
            "labeled-response" => &mut self.caps.labels,
            "draft/message-redaction" => &mut self.caps.redaction,
            "draft/relaymsg" => &mut self.caps.relaymsg,
            "draft/chathistory" => &mut self.caps.history,
            "batch" => &mut self.caps.batch,
            "account-tag" => &mut self.caps.accounts,
            _ => return,
        };
        *slot = is_on;
    }

    fn request(&mut self) {
        let Some(registration) = self.registration() else { return };
        let offered = &registration.offered;
        let sasl = offered.iter().find(|(name, _)| name == "sasl").map(|(_, value)| value.clone());
        let wants_sasl = registration.secrets.sasl.is_some();
        if let Some(account) = &registration.secrets.sasl {
            let list = sasl.as_deref().filter(|list| !list.is_empty());
            registration.mechanisms = mechanisms(account.is_some(), list);
            if sasl.is_none() {
                return self.no_services("the network offers no SASL now");
            }
            if registration.mechanisms.is_empty() {
                return self.fatal("the network offers no way of signing in that fits what is configured");
            }
        }
        let is_wanted = |name: &str| WANTED.contains(&name) && (name != "sasl" || wants_sasl);
        let mut requests: Vec<String> = Vec::new();
        for (name, _) in registration.offered.iter().filter(|(name, _)| is_wanted(name)) {
            match requests.last_mut().filter(|line| line.len() + name.len() < REQ_BYTES) {
                Some(line) => {
                    line.push(' ');
                    line.push_str(name);
                }
                None => requests.push(name.clone()),
            }
        }
        registration.asked = requests.len();
        if requests.is_empty() {
            return self.end_negotiation();
        }
        for names in requests {
            self.send(&Line::new().command("CAP").param("REQ").last(&names).build());
        }
    }

    fn requested(&mut self, has_sasl: bool) {
        let Some(registration) = self.registration() else { return };
        registration.asked = registration.asked.saturating_sub(1);
        let is_answered = registration.asked == 0;
        if has_sasl {
            return self.begin_sign_in();
        }
        let Some(registration) = self.registration() else { return };
        match (is_answered, &registration.secrets.sasl, registration.exchange.is_some()) {
            (true, Some(_), false) => self.no_services("the network did not let us sign in (SASL)"),
            (true, None, _) => self.end_negotiation(),
            _ => {}
        }
    }

    fn end_negotiation(&mut self) {
        let Some(registration) = self.registration() else { return };
        if !std::mem::replace(&mut registration.has_ended, true) {
            self.send("CAP END");
        }
    }

    fn begin_sign_in(&mut self) {
        let nonce: String = self.relay.dice.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let Some(registration) = self.registration() else { return };
        if registration.mechanisms.is_empty() {
            return self.fatal("the network refuses every way of signing in");
        }
        let mechanism = registration.mechanisms.remove(0);
        let account = registration.secrets.sasl.clone().flatten();
        registration.exchange = Some(Exchange::new(mechanism, account, nonce));
        registration.challenge.clear();
        (registration.has_answered, registration.has_shown) = (false, false);
        self.send(&format!("AUTHENTICATE {mechanism}"));
    }

    fn challenged(&mut self, piece: &str) {
        let Some(registration) = self.registration() else { return };
        if piece != "+" {
            registration.challenge.push_str(piece);
        }
        if registration.challenge.len() > CHALLENGE_BYTES {
            return self.fatal("the network's sign-in has no end");
        }
        if piece.len() == PIECE_BYTES {
            return;
        }
        let challenge = STANDARD.decode(std::mem::take(&mut registration.challenge));
        let Some(exchange) = &mut registration.exchange else { return };
        if challenge.as_ref().is_ok_and(|challenge| exchange.is_declined(challenge)) {
            return;
        }
        match challenge
            .map_err(|_| "a challenge that is not base64".to_owned())
            .and_then(|c| exchange.answer(&c))
        {
            Ok(answer) => {
                (registration.has_answered, registration.has_shown) = (true, exchange.has_shown());
                for piece in pieces(&answer) {
                    self.send(&format!("AUTHENTICATE {piece}"));
                }
            }
            Err(why) => self.fatal(format!("signing in failed: {why}")),
        }
    }

    fn signed_in(&mut self) {
        let Some(registration) = self.registration() else { return };
        if registration.exchange.as_ref().is_some_and(|exchange| !exchange.is_proved()) {
            return self.fatal("the server could not prove that it knows the password");
        }
        registration.is_signed_in = true;
        self.end_negotiation();
    }

    /// Another mechanism is tried; the same password is not: that would be hammering.
    fn sign_in_failed(&mut self, why: &str) {
        let why = why.to_owned();
        let Some(registration) = self.registration() else { return };
        match (registration.has_shown, registration.mechanisms.is_empty()) {
            // The mechanism itself was refused, or the account has nothing for it (a password that is kept in another
            // form than SCRAM needs), before any secret was used.
            (false, false) => self.begin_sign_in(),
            (true, _) => self.fatal(format!("the network refuses the account: {why}")),
            (false, true) if registration.has_answered => {
                self.fatal(format!("the network refuses the account: {why}"));
            }
            (false, true) => self.no_services("the network does not begin to sign us in (SASL)"),
        }
    }

    fn another_nick(&mut self) {
        let Some(registration) = self.registration() else { return };
        registration.tries += 1;
        let tries = registration.tries;
        if tries > NICK_TRIES {
            return self.finish("no nick is free");
        }
        let wanted = self.relay.config.nick.clone();
        self.me.nick = match tries {
            1..=2 => wanted + &"_".repeat(tries),
            _ => {
                let [byte, ..] = self.relay.dice.bytes();
                format!("{}{byte}", wanted.chars().take(6).collect::<String>())
            }
        };
        let line = Line::new().command("NICK").param(&self.me.nick).build();
        self.send(&line);
    }

    /// The welcome is over.
    fn welcomed(&mut self) {
        let Some(registration) = self.registration() else { return };
        self.nickserv = registration.secrets.nickserv.clone().filter(|_| !registration.is_signed_in);
        let now = Instant::now();
        self.learn_rate();
        if let Some(bot) = self.support.bot {
            let line = Line::new().command("MODE").param(&self.me.nick).param(&format!("+{bot}")).build();
            self.queue.push_back(line);
        }
        let mut not_before = now;
        if self.nickserv.is_some() {
            self.identify();
            not_before += NICKSERV;
        }
        self.watch_nick();
        self.relay.is_called(self.support.fold(&self.me.nick));
        tracing::info!(network = %self.relay.network, nick = %self.me.nick, "registered");
        self.phase = Phase::Joining { not_before };
    }
}
