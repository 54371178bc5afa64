//! A sign-in on a page of the homeserver's, which is the only way in where it leaves accounts to a service of their own.
//!
//! Somebody opens a link, says yes there and comes back to this gateway with a code, which the SDK turns into tokens.
//! Source: client-server API 1.15, "OAuth 2.0 API"; matrix-sdk 0.18, `authentication::oauth`.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::authentication::oauth::error::OAuthDiscoveryError;
use matrix_sdk::authentication::oauth::registration::{
    ApplicationType, ClientMetadata, Localized, OAuthGrantType,
};
use matrix_sdk::authentication::oauth::{ClientRegistrationData, OAuthError};
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::utils::UrlOrQuery;
use tokio::time::Instant;
use url::{Host, Url};
use wxgate_matrix::{AccountError, CallError, Keep, WebSignIn};

use crate::session::{Kept, save};
use crate::{SdkAccount, wrong};

/// How the program is called where somebody is asked to let it in.
const NAME: &str = "wxgate";
/// How long a link is offered before another one is made. Chosen: a service may forget programs that nobody used.
const OFFERED: Duration = Duration::from_secs(3_600);
/// For how long a token is taken to be good: the SDK does not tell what the service said. Source: the default of
/// `access_token_ttl` of the Matrix Authentication Service. Where it is less, the token is renewed when it is refused.
const LIFE_MS: u64 = 300_000;

/// A way in by a page.
#[derive(Clone, Debug)]
pub struct PageEntrance {
    /// Where people begin, for sentences.
    pub begin: Url,
    /// Where they come back to.
    pub back: Url,
    /// Between us and the pages.
    pub page: Arc<WebSignIn>,
}

impl PageEntrance {
    /// What the service is told about this program. Source: client-server API 1.15, "Client registration".
    fn metadata(&self) -> Result<ClientRegistrationData, AccountError> {
        // What comes back to this machine alone is a program's; whatever has a name is a site's.
        let is_here = match self.back.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let kind = if is_here { ApplicationType::Native } else { ApplicationType::Web };
        let grant = OAuthGrantType::AuthorizationCode { redirect_uris: vec![self.back.clone()] };
        let mut home = self.back.clone();
        home.set_path("/");
        let mut metadata = ClientMetadata::new(kind, vec![grant], Localized::new(home, []));
        metadata.client_name = Some(Localized::new(NAME.to_owned(), []));
        let metadata = Raw::new(&metadata).map_err(|error| AccountError::Human(error.to_string()))?;
        Ok(metadata.into())
    }
}

/// A sign-in that somebody may come back from.
pub(crate) struct Begun {
    /// It has what proves that the code is ours.
    client: Client,
    kept: Kept,
    since: Instant,
}

/// Why it came to nothing.
enum Failed {
    /// Another account said yes.
    Other(String),
    Why(String),
}

impl SdkAccount {
    fn begun(&self) -> MutexGuard<'_, Option<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in with what somebody came back with, or offers them the page.
    pub(crate) async fn sign_in_by_page(
        &self,
        entrance: &PageEntrance,
        mut kept: Kept,
        keep: &Keep,
    ) -> Result<(Client, Kept), AccountError> {
        let begun = self.begun().take().filter(|begun| begun.kept.is_device_of(&kept));
        match (begun, entrance.page.answer()) {
            (Some(begun), Some(query)) => match self.finish(&begun, query).await {
                Ok(kept) => return Ok((begun.client, kept)),
                Err(failed) => {
                    drop(begun);
                    let why = match failed {
                        Failed::Why(why) => why,
                        Failed::Other(user) => {
                            // The SDK's store is another's now.
                            kept = self.fresh(kept.has_replaced()).await?;
                            save(keep, &kept).await?;
                            format!("it was {user} who signed in; sign in as {}", self.config.user)
                        }
                    };
                    tracing::warn!(why, "the sign-in on the homeserver's page came to nothing");
                    entrance.page.went(Err(why));
                }
            },
            // The gateway was started anew meanwhile, and what proves that the code is ours is gone.
            (None, Some(_)) => {
                entrance
                    .page
                    .went(Err("it was begun too long ago; begin anew with the present link".to_owned()));
            }
            (Some(begun), None) if begun.since.elapsed() < OFFERED && entrance.page.link().is_some() => {
                *self.begun() = Some(begun);
                return Err(self.wanted(entrance));
            }
            (_, None) => {}
        }
        let client = self.build(&kept).await?;
        let device = kept.device().into();
        let login =
            client.oauth().login(entrance.back.clone(), Some(device), Some(entrance.metadata()?), None);
        let login = match self.config.user.as_str().try_into() {
            Ok(user) => login.user_id_hint(user),
            Err(_) => login,
        };
        let offered = login.build().await.map_err(|error| self.no_page(&error))?;
        *self.begun() = Some(Begun { client, kept, since: Instant::now() });
        entrance.page.offer(offered.url);
        Err(self.wanted(entrance))
    }

    async fn finish(&self, begun: &Begun, query: String) -> Result<Kept, Failed> {
        let oauth = begun.client.oauth();
        let done = oauth.finish_login(UrlOrQuery::Query(query)).await;
        done.map_err(|error| Failed::Why(format!("the homeserver did not take it: {error}")))?;
        let user = begun.client.user_id().map(ToString::to_string).unwrap_or_default();
        if user != self.config.user {
            // Nobody uses it: what does not answer lets it run out.
            let _ = oauth.logout().await;
            return Err(Failed::Other(user));
        }
        let none = || Failed::Why("the homeserver gave no session".to_owned());
        let session = oauth.full_session().ok_or_else(none)?;
        Ok(begun.kept.with(session.user.tokens).with_client(session.client_id.as_str(), LIFE_MS))
    }

    /// What somebody has to do.
    fn wanted(&self, entrance: &PageEntrance) -> AccountError {
        AccountError::Human(format!(
            "sign in as {} on the homeserver's page: open {}, or see: wxgate matrix sign-in",
            self.config.user, entrance.begin
        ))
    }

    fn no_page(&self, error: &OAuthError) -> AccountError {
        match error {
            OAuthError::Discovery(OAuthDiscoveryError::NotSupported) => AccountError::Human(
                "the homeserver signs nobody in on a page; set matrix.bot.password_file in the place of matrix.bot.oauth"
                    .to_owned(),
            ),
            OAuthError::Discovery(OAuthDiscoveryError::Http(error)) => wrong::http("auth metadata", error).into(),
            OAuthError::Discovery(_) | OAuthError::ClientRegistration(_) => AccountError::Human(format!(
                "the homeserver's sign-in service does not take this gateway: {error}"
            )),
            _ => CallError::Network { endpoint: "authorize" }.into(),
        }
    }
}
