//! Logging in by SASL, before the registration or after it: the lines of one AUTHENTICATE exchange.
//!
//! Source: IRCv3 sasl-3.1; RFC 4616 (PLAIN).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wxgate_contract::{Command, CommandError, UserName};

use super::registry::Shared;

/// A piece of SASL data; exactly this many bytes mean that more follows. Source: IRCv3 sasl-3.1.
const PIECE_BYTES: usize = 400;
/// All pieces together: a name and a password are never longer. Chosen.
const MAX_BYTES: usize = 4096;
/// Wrong passwords on one connection. Chosen.
const MAX_FAILURES: u32 = 3;
/// What can be asked for, as 908 and the value of the capability list it.
pub(super) const MECHANISMS: &str = "PLAIN";

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

/// An exchange on its way.
#[derive(Debug)]
struct Open {
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
    Say(String),
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

    /// `AUTHENTICATE data`.
    pub(super) async fn line(&mut self, shared: &Arc<Shared>, data: &str) -> Step {
        let step = self.step(shared, data).await;
        self.failures += u32::from(matches!(step, Step::Failed(_)));
        step
    }

    async fn step(&mut self, shared: &Arc<Shared>, data: &str) -> Step {
        if data == "*" {
            self.open = None;
            return Step::Aborted;
        }
        if data.len() > PIECE_BYTES {
            self.open = None;
            return Step::TooLong;
        }
        let Some(open) = &mut self.open else { return self.begin(data) };
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
        match STANDARD.decode(&open.collected) {
            Ok(bytes) => plain(shared, &bytes).await,
            Err(_) => Step::Failed("the data is not base64".to_owned()),
        }
    }

    fn begin(&mut self, mechanism: &str) -> Step {
        if !mechanism.eq_ignore_ascii_case("PLAIN") {
            return Step::NoMechanism;
        }
        self.open = Some(Open { collected: String::new() });
        Step::Say("AUTHENTICATE +".to_owned())
    }
}

async fn plain(shared: &Arc<Shared>, bytes: &[u8]) -> Step {
    let text = String::from_utf8_lossy(bytes);
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
