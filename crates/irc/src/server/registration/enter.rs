//! From a client that has said who it is to its session.

use std::sync::Arc;

use tokio::sync::oneshot;
use wxgate_contract::{Credential, UserName};

use super::{Desk, Entered, Registered};
use crate::server::caps::Caps;
use crate::server::config::Guests;
use crate::server::connection::{Inside, Place};
use crate::server::registry::{Arrival, ClientId, Refusal, SessionKey};
use crate::server::sasl::{self, Denial, Login};
use crate::wire::numeric as n;

impl Desk<'_> {
    /// The login of a client without SASL: `PASS user/account@client:password`, or a plain password
    /// with the user in USER or NICK.
    async fn login_by_password(&self, given: &str) -> Result<(Login, Credential), Denial> {
        if let Some((login, password)) = given.split_once(':') {
            return sasl::check(self.shared, self.from, vec![Login::parse(login)], password).await;
        }
        let user = self.user.as_ref().map(|(user, _)| user.as_str());
        let mut logins: Vec<Login> = Vec::new();
        for login in user.into_iter().chain(self.nick.as_deref()).map(Login::parse) {
            if logins.iter().all(|known| known.user != login.user) {
                logins.push(login);
            }
        }
        sasl::check(self.shared, self.from, logins, given).await
    }

    /// Somebody without a password, where that is allowed.
    fn is_guest(&self, place: &Place<'_>) -> bool {
        let may = match self.shared.config.guests {
            Guests::Off => false,
            Guests::Loopback => place.address.ip().is_loopback() && !place.is_web,
            Guests::Anywhere => true,
        };
        may && self.login.is_none() && self.password.is_none()
    }

    pub(super) async fn enter(
        &mut self,
        id: ClientId,
        place: &mut Place<'_>,
        (is_secure, inside): (bool, &Inside),
    ) -> Entered {
        let (key, client_name) = if self.is_guest(place) {
            if !place.be_guest() {
                self.end("too many guests from your address");
                return Entered::Ended;
            }
            (SessionKey { user: UserName::from("guest"), account: None, guest: Some(id) }, String::new())
        } else {
            let (login, credential) = match (self.login.clone(), &self.password) {
                (Some(login), _) => login,
                (None, None) => {
                    self.ask_for_login();
                    return Entered::Ended;
                }
                (None, Some(password)) => match self.login_by_password(password).await {
                    Ok(login) => login,
                    Err(why) => {
                        self.refuse(&why);
                        return Entered::Ended;
                    }
                },
            };
            let key = match self.choose(&login).await {
                Ok(key) => key,
                Err(why) => {
                    self.end(&why);
                    return Entered::Ended;
                }
            };
            self.login = Some((login.clone(), credential));
            (key, login.client)
        };
        // A session that ends at this moment closes its door; the next one opens.
        for _ in 0..3 {
            let (taken, answer) = oneshot::channel();
            let arrival = Arrival {
                id,
                negotiation: std::mem::take(&mut self.negotiation),
                nick: self.nick.clone().unwrap_or_default(),
                username: self.user.as_ref().map(|(user, _)| user.clone()).unwrap_or_default(),
                realname: self.user.as_ref().map(|(_, realname)| realname.clone()).unwrap_or_default(),
                away: self.away.clone(),
                metadata: self.metadata.clone(),
                client_name: client_name.clone(),
                queue: Arc::clone(&self.queue),
                address: place.address.ip(),
                is_secure,
                fingerprint: place.fingerprint.clone(),
                credential: self.login.as_ref().map(|(_, credential)| credential.clone()),
                taken,
            };
            let negotiation = arrival.negotiation.clone();
            if let Some(session) = self.shared.attach(&key, arrival).await {
                // From here on it may be taken, whether or not the connection lives to hear of it.
                inside.set(&session);
                match answer.await {
                    Ok(Ok(())) => {
                        place.enter();
                        return Entered::Inside(Registered { session });
                    }
                    Ok(Err(Refusal::NickInUse)) => {
                        let nick = self.nick.clone().unwrap_or_default();
                        self.negotiation = negotiation;
                        self.nick = None;
                        self.numeric(n::ERR_NICKNAMEINUSE, &format!("{nick} :Nickname is already in use"));
                        return Entered::Again;
                    }
                    Ok(Err(Refusal::Why(why))) => {
                        self.end(&why);
                        return Entered::Ended;
                    }
                    Err(_) => {}
                }
            }
            self.negotiation = negotiation;
        }
        self.end("the gateway cannot show this account now");
        Entered::Ended
    }

    fn ask_for_login(&self) {
        let server = &self.shared.config.server_name;
        if self.negotiation.caps.has(Caps::STANDARD_REPLIES) {
            self.say(&format!(":{server} FAIL * ACCOUNT_REQUIRED :You have to log in to use this server"));
        } else {
            let hint = "Password required: PASS user:password, or SASL PLAIN";
            self.numeric(n::ERR_PASSWDMISMATCH, &format!(":{hint}"));
        }
        self.end("login required");
    }

    fn refuse(&self, why: &Denial) {
        match why {
            Denial::TooOften => self.numeric(n::ERR_PASSWDMISMATCH, &format!(":{why}")),
            Denial::Wrong | Denial::Because(_) => {
                self.numeric(n::ERR_PASSWDMISMATCH, ":Password incorrect");
            }
        }
        self.end(&why.to_string());
    }

    /// Which of the user's accounts is shown: the one that was named, or the only one.
    async fn choose(&self, login: &Login) -> Result<SessionKey, String> {
        let accounts = self
            .shared
            .directory
            .accounts(&login.user)
            .await
            .map_err(|error| format!("cannot read accounts: {error}"))?;
        // A client that lists networks and binds none wants the list.
        let wants_list = self.negotiation.caps.has(Caps::BOUNCER);
        let account = match self.bound.as_ref().or(login.account.as_ref()) {
            Some(name) => {
                let named =
                    |network: &wxgate_contract::NetworkId| network.name() == name || network.as_str() == name;
                let found = accounts.iter().find(|account| named(&account.network));
                Some(found.ok_or_else(|| format!("you have no account {name}"))?.network.clone())
            }
            None if wants_list => None,
            None => match accounts.as_slice() {
                [only] => Some(only.network.clone()),
                _ => None,
            },
        };
        Ok(SessionKey { user: login.user.clone(), account, guest: None })
    }
}
