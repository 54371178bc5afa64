//! Logging in by SASL, before the registration or after it: the lines of one AUTHENTICATE exchange.
//!
//! Source: IRCv3 sasl-3.1; RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 4422 (EXTERNAL).

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wxgate_contract::{Command, CommandError, Credential, Reply, ScramVerifier, UserName};

use super::scram;
use super::shared::Shared;
use crate::wire::message::Line;

/// A piece of SASL data; exactly this many bytes mean that more follows. Source: IRCv3 sasl-3.1.
const PIECE_BYTES: usize = 400;
/// All pieces together: a name and a password are never longer. Chosen.
const MAX_BYTES: usize = 4096;
/// Wrong passwords on one connection. Chosen.
const MAX_FAILURES: u32 = 3;
/// What can be asked for, as 908 and the value of the capability list it.
const MECHANISMS: &str = "PLAIN,SCRAM-SHA-256";
/// With a certificate of the client's.
const WITH_CERTIFICATE: &str = "PLAIN,SCRAM-SHA-256,EXTERNAL";

/// What one connection may ask for.
pub(super) fn mechanisms(has_certificate: bool) -> &'static str {
    if has_certificate { WITH_CERTIFICATE } else { MECHANISMS }
}

/// Who logged in, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: UserName,
    pub(super) account: Option<String>,
    pub(super) client: String,
}

impl Login {
    /// `user`, `user/account`, `user@client`, `user/account@client`.
    pub(super) fn parse(text: &str) -> Self {
        let (rest, client) = text.split_once('@').unwrap_or((text, ""));
        let (user, account) =
            rest.split_once('/').map_or((rest, None), |(user, account)| (user, Some(account)));
        Self {
            user: UserName::from(user),
            account: account.filter(|name| !name.is_empty()).map(str::to_owned),
            client: client
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
                .take(32)
                .collect(),
        }
    }
}

/// Why somebody is not let in, for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// Wrong user or password; which of the two is not told.
    Wrong,
    /// Not even looked at: too many wrong attempts came before.
    TooOften,
    /// Anything else.
    Because(String),
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wrong => f.write_str("wrong user or password"),
            Self::TooOften => CommandError::TooOften.fmt(f),
            Self::Because(why) => f.write_str(why),
        }
    }
}

impl From<CommandError> for Denial {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Denied => Self::Wrong,
            CommandError::TooOften => Self::TooOften,
            other => Self::Because(other.to_string()),
        }
    }
}

/// Asks whether the password is that of one of these logins.
pub(super) async fn check(
    shared: &Arc<Shared>,
    from: IpAddr,
    logins: Vec<Login>,
    password: &str,
) -> Result<(Login, Credential), Denial> {
    let names = logins.iter().map(|login| login.user.clone()).collect();
    let command = Command::Authenticate { names, password: password.to_owned(), from: Some(from) };
    let opened = match shared.control.run(None, command).await {
        Ok(Reply::Opened(user, credential)) => {
            logins.into_iter().find(|login| login.user == user).map(|login| (login, credential))
        }
        Ok(_) => None,
        Err(error) => return Err(denied(shared, error).await),
    };
    opened.ok_or_else(|| Denial::Because("the gateway gave no answer".to_owned()))
}

/// Guessing is slow: with few unregistered connections per address.
async fn denied(shared: &Arc<Shared>, error: CommandError) -> Denial {
    if matches!(error, CommandError::Denied | CommandError::TooOften) {
        tokio::time::sleep(shared.config.limits.failed_login_pause).await;
    }
    error.into()
}

/// What a client is told beside the numeric, which many do not show to anybody.
pub(super) fn wait(server: &str, nick: &str, has_replies: bool) -> String {
    let line = Line::new().source(server);
    let line = match has_replies {
        true => line.command("FAIL").param("AUTHENTICATE").param("TOO_MANY_ATTEMPTS"),
        false => line.command("NOTICE").param(nick),
    };
    line.last(&Denial::TooOften.to_string()).build()
}

/// How far an exchange is.
#[derive(Debug)]
enum Stage {
    Plain,
    External,
    ScramFirst,
    ScramFinal(Box<scram::Exchange>, Login, Credential),
    /// The client has proved itself and agrees that we have, too.
    ScramDone(Login, Credential),
}

/// An exchange on its way.
#[derive(Debug)]
struct Open {
    stage: Stage,
    /// What came of the answer so far, in base64.
    collected: String,
}

/// The exchanges of one connection, one at a time.
#[derive(Debug, Default)]
pub(super) struct Sasl {
    open: Option<Open>,
    failures: u32,
}

/// What a line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More is to come.
    Collecting,
    /// To be said as it is.
    Say(Vec<String>),
    /// The client gave up.
    Aborted,
    /// Too much of it.
    TooLong,
    /// There is no such mechanism.
    NoMechanism,
    /// Logged in, and with what.
    In(Login, Credential),
    /// Not, and why.
    Failed(Denial),
}

/// Who a client is before it says so.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    /// From where it comes.
    pub(super) from: IpAddr,
    /// The fingerprint of its certificate, where it showed one.
    pub(super) certificate: Option<&'a str>,
}

impl Sasl {
    /// Gives the exchange up; true when there was one.
    pub(super) fn abort(&mut self) -> bool {
        self.open.take().is_some()
    }

    /// Too many failures: the connection is to be closed.
    pub(super) fn is_hopeless(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    /// `AUTHENTICATE data`; `by` says who the client is.
    pub(super) async fn line(&mut self, shared: &Arc<Shared>, by: By<'_>, data: &str) -> Step {
        let step = self.step(shared, by, data).await;
        self.failures += u32::from(matches!(step, Step::Failed(_)));
        step
    }

    async fn step(&mut self, shared: &Arc<Shared>, by: By<'_>, data: &str) -> Step {
        if data == "*" {
            self.open = None;
            return Step::Aborted;
        }
        if data.len() > PIECE_BYTES {
            self.open = None;
            return Step::TooLong;
        }
        let Some(open) = &mut self.open else { return self.begin(data, by.certificate) };
        if data != "+" {
            open.collected.push_str(data);
        }
        if open.collected.len() > MAX_BYTES {
            self.open = None;
            // Each line was short enough: what is too long is the answer. Source: IRCv3 sasl 3.1, 905 is about a line.
            return failed("the answer is too long");
        }
        if data.len() == PIECE_BYTES {
            return Step::Collecting;
        }
        let Some(open) = self.open.take() else { return Step::Aborted };
        let Some(text) =
            STANDARD.decode(&open.collected).ok().and_then(|bytes| String::from_utf8(bytes).ok())
        else {
            return failed("the data is not text in base64");
        };
        match open.stage {
            Stage::Plain => plain(shared, by.from, &text).await,
            Stage::External => external(shared, by.certificate.unwrap_or_default(), &text).await,
            Stage::ScramFirst => self.challenge(shared, by.from, &text).await,
            Stage::ScramFinal(exchange, login, credential) => {
                self.prove(shared, by.from, (&exchange, login, credential), &text).await
            }
            Stage::ScramDone(login, credential) if text.is_empty() => Step::In(login, credential),
            Stage::ScramDone(..) => failed("nothing was to be said any more"),
        }
    }

    fn begin(&mut self, mechanism: &str, certificate: Option<&str>) -> Step {
        let stage = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Stage::Plain,
            "SCRAM-SHA-256" => Stage::ScramFirst,
            "EXTERNAL" if certificate.is_some() => Stage::External,
            _ => return Step::NoMechanism,
        };
        self.open = Some(Open { stage, collected: String::new() });
        Step::Say(vec!["AUTHENTICATE +".to_owned()])
    }

    /// Says what is to be said and waits for the answer to it.
    fn say(&mut self, stage: Stage, text: &str) -> Step {
        self.open = Some(Open { stage, collected: String::new() });
        let text = STANDARD.encode(text);
        let mut lines: Vec<String> = Vec::new();
        let mut rest = text.as_str();
        while let Some((piece, tail)) = rest.split_at_checked(PIECE_BYTES) {
            lines.push(format!("AUTHENTICATE {piece}"));
            rest = tail;
        }
        // A whole last piece needs an empty one behind it.
        lines.push(format!("AUTHENTICATE {}", if rest.is_empty() { "+" } else { rest }));
        Step::Say(lines)
    }

    async fn challenge(&mut self, shared: &Arc<Shared>, from: IpAddr, text: &str) -> Step {
        let first = match scram::First::parse(text) {
            Ok(first) => first,
            Err(why) => return failed(why),
        };
        let login = Login::parse(&first.user);
        let command = Command::Scram { user: login.user.clone(), from: Some(from) };
        let verifier = match shared.control.run(None, command).await {
            Ok(Reply::Scram(verifier)) => verifier,
            // Whether somebody is called so is not told: a proof that nobody can give is asked for.
            Ok(_) | Err(CommandError::Denied) => decoy(shared, &login),
            Err(error) => return Step::Failed(denied(shared, error).await),
        };
        let credential = verifier.credential.clone();
        let (challenge, exchange) = first.challenge(verifier, &shared.nonce());
        self.say(Stage::ScramFinal(Box::new(exchange), login, credential), &challenge)
    }

    async fn prove(
        &mut self,
        shared: &Arc<Shared>,
        from: IpAddr,
        (exchange, login, credential): (&scram::Exchange, Login, Credential),
        text: &str,
    ) -> Step {
        let proof = exchange.answer(text);
        let (user, is_right) = (login.user.clone(), proof.is_some());
        // Whether it was right says nothing yet: too many wrong ones may have come before.
        match shared.control.run(None, Command::Proved { user, from: Some(from), is_right }).await {
            Ok(_) => match proof {
                Some(proof) => self.say(Stage::ScramDone(login, credential), &proof),
                None => Step::Failed(Denial::Wrong),
            },
            Err(error) => Step::Failed(denied(shared, error).await),
        }
    }
}

/// Not logged in, for a reason that has nothing to do with a password.
fn failed(why: &str) -> Step {
    Step::Failed(Denial::Because(why.to_owned()))
}

/// What is asked of somebody who does not exist, the same each time.
fn decoy(shared: &Arc<Shared>, login: &Login) -> ScramVerifier {
    let derived = |what: &str| shared.derive(&format!("{what}\0{}", login.user.as_str()));
    let salt = derived("salt").into_iter().take(16).collect();
    let (stored_key, server_key) = (derived("stored"), derived("server"));
    // Nobody has it.
    let credential = Credential::Password(String::new());
    ScramVerifier { rounds: 10_000, salt, stored_key, server_key, credential }
}

async fn plain(shared: &Arc<Shared>, from: IpAddr, text: &str) -> Step {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return failed("the data is not that of PLAIN");
    };
    if !authzid.is_empty() && authzid != authcid {
        return failed("acting for somebody else is not possible");
    }
    match check(shared, from, vec![Login::parse(authcid)], password).await {
        Ok((login, credential)) => Step::In(login, credential),
        Err(denial) => Step::Failed(denial),
    }
}

/// The certificate says who it is; what the client says besides may name the account and the client.
async fn external(shared: &Arc<Shared>, fingerprint: &str, authzid: &str) -> Step {
    let command = Command::Recognise { fingerprint: fingerprint.to_owned() };
    let user = match shared.control.run(None, command).await {
        Ok(Reply::User(user)) => user,
        Ok(_) | Err(CommandError::Denied) => {
            return failed("this certificate opens no door; log in and say: certificate add");
        }
        Err(error) => return Step::Failed(error.into()),
    };
    let login = match authzid {
        "" => Login::parse(user.as_str()),
        authzid => Login::parse(authzid),
    };
    match login.user == user {
        true => Step::In(login, Credential::Certificate(fingerprint.to_owned())),
        false => failed("acting for somebody else is not possible"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_names_user_account_and_client() {
        let parts = |text: &str| {
            let login = Login::parse(text);
            (login.user.to_string(), login.account.unwrap_or_default(), login.client)
        };
        assert_eq!(parts("ann"), ("ann".into(), String::new(), String::new()));
        assert_eq!(parts("ann/work@phone"), ("ann".into(), "work".into(), "phone".into()));
        assert_eq!(parts("ann@ph/one"), ("ann".into(), String::new(), "phone".into()));
    }
}
