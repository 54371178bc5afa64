//! Logging in by SASL, before the registration or after it: the lines of one AUTHENTICATE exchange.
//!
//! Source: IRCv3 sasl-3.1; RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 4422 (EXTERNAL).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wxgate_contract::{Command, CommandError, Reply, ScramVerifier, UserName};

use super::registry::Shared;
use super::scram;

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

/// Asks whether the password is right; the error is for people.
pub(super) async fn check(shared: &Arc<Shared>, login: Login, password: &str) -> Result<Login, String> {
    let command = Command::Authenticate { user: login.user.clone(), password: password.to_owned() };
    match shared.control.run(None, command).await {
        Ok(_) => Ok(login),
        Err(CommandError::Denied) => {
            // Guessing is slow: with few unregistered connections per address.
            tokio::time::sleep(shared.config.limits.failed_login_pause).await;
            Err("wrong user or password".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// How far an exchange is.
#[derive(Debug)]
enum Stage {
    Plain,
    External,
    ScramFirst,
    ScramFinal(Box<scram::Exchange>, Login),
    /// The client has proved itself and agrees that we have, too.
    ScramDone(Login),
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
    /// Logged in.
    In(Login),
    /// Not, and why.
    Failed(String),
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

    /// `AUTHENTICATE data`; `certificate` is the fingerprint of the client's, where it showed one.
    pub(super) async fn line(&mut self, shared: &Arc<Shared>, certificate: Option<&str>, data: &str) -> Step {
        let step = self.step(shared, certificate, data).await;
        self.failures += u32::from(matches!(step, Step::Failed(_)));
        step
    }

    async fn step(&mut self, shared: &Arc<Shared>, certificate: Option<&str>, data: &str) -> Step {
        if data == "*" {
            self.open = None;
            return Step::Aborted;
        }
        if data.len() > PIECE_BYTES {
            self.open = None;
            return Step::TooLong;
        }
        let Some(open) = &mut self.open else { return self.begin(data, certificate) };
        if data != "+" {
            open.collected.push_str(data);
        }
        if open.collected.len() > MAX_BYTES {
            self.open = None;
            return Step::TooLong;
        }
        if data.len() == PIECE_BYTES {
            return Step::Collecting;
        }
        let Some(open) = self.open.take() else { return Step::Aborted };
        let Some(text) =
            STANDARD.decode(&open.collected).ok().and_then(|bytes| String::from_utf8(bytes).ok())
        else {
            return Step::Failed("the data is not text in base64".to_owned());
        };
        match open.stage {
            Stage::Plain => plain(shared, &text).await,
            Stage::External => external(shared, certificate.unwrap_or_default(), &text).await,
            Stage::ScramFirst => self.challenge(shared, &text).await,
            Stage::ScramFinal(exchange, login) => self.prove(shared, &exchange, login, &text).await,
            Stage::ScramDone(login) if text.is_empty() => Step::In(login),
            Stage::ScramDone(_) => Step::Failed("nothing was to be said any more".to_owned()),
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

    async fn challenge(&mut self, shared: &Arc<Shared>, text: &str) -> Step {
        let first = match scram::First::parse(text) {
            Ok(first) => first,
            Err(why) => return Step::Failed(why.to_owned()),
        };
        let login = Login::parse(&first.user);
        let verifier = match shared.control.run(None, Command::Scram { user: login.user.clone() }).await {
            Ok(Reply::Scram(verifier)) => verifier,
            // Whether somebody is called so is not told: a proof that nobody can give is asked for.
            Ok(_) | Err(CommandError::Denied) => decoy(shared, &login),
            Err(error) => return Step::Failed(error.to_string()),
        };
        let (challenge, exchange) = first.challenge(verifier, &shared.nonce());
        self.say(Stage::ScramFinal(Box::new(exchange), login), &challenge)
    }

    async fn prove(
        &mut self,
        shared: &Arc<Shared>,
        exchange: &scram::Exchange,
        login: Login,
        text: &str,
    ) -> Step {
        match exchange.answer(text) {
            Some(proof) => self.say(Stage::ScramDone(login), &proof),
            None => {
                tokio::time::sleep(shared.config.limits.failed_login_pause).await;
                Step::Failed("wrong user or password".to_owned())
            }
        }
    }
}

/// What is asked of somebody who does not exist, the same each time.
fn decoy(shared: &Arc<Shared>, login: &Login) -> ScramVerifier {
    let derived = |what: &str| shared.derive(&format!("{what}\0{}", login.user.as_str()));
    let salt = derived("salt").into_iter().take(16).collect();
    ScramVerifier { rounds: 10_000, salt, stored_key: derived("stored"), server_key: derived("server") }
}

async fn plain(shared: &Arc<Shared>, text: &str) -> Step {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Step::Failed("the data is not that of PLAIN".to_owned());
    };
    if !authzid.is_empty() && authzid != authcid {
        return Step::Failed("acting for somebody else is not possible".to_owned());
    }
    check(shared, Login::parse(authcid), password).await.map_or_else(Step::Failed, Step::In)
}

/// The certificate says who it is; what the client says besides may name the account and the client.
async fn external(shared: &Arc<Shared>, fingerprint: &str, authzid: &str) -> Step {
    let command = Command::Recognise { fingerprint: fingerprint.to_owned() };
    let user = match shared.control.run(None, command).await {
        Ok(Reply::User(user)) => user,
        Ok(_) | Err(CommandError::Denied) => {
            return Step::Failed(
                "this certificate opens no door; log in and say: certificate add".to_owned(),
            );
        }
        Err(error) => return Step::Failed(error.to_string()),
    };
    let login = match authzid {
        "" => Login::parse(user.as_str()),
        authzid => Login::parse(authzid),
    };
    match login.user == user {
        true => Step::In(login),
        false => Step::Failed("acting for somebody else is not possible".to_owned()),
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
