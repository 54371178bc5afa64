//! Who calls: a local user by their token, a user of another server by an OpenID token, or somebody
//! with the shared secret who says for whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest;
use serde::Deserialize;
use wxgate_contract::Timestamp;

use super::{Provisioning, Refusal};
use crate::api::account::WhoAmI;
use crate::api::server::OpenIdUser;
use crate::client::{Actor, CallError};
use crate::config::Level;
use crate::listen::bearer;
use crate::secret::Secret;
use crate::shared::Shared;

/// How long a checked token is taken for good. Chosen: a page asks many things within seconds; a
/// token that was taken back works a minute longer.
const HOLDS: Duration = Duration::from_secs(60);
/// Tokens at hand; beyond it all are checked again. Chosen: pages that are open at once.
const TOKENS: usize = 1024;
/// Longest token. Chosen: ten times what homeservers give out.
const TOKEN_BYTES: usize = 4096;
/// What stands before an OpenID token.
/// Source: mautrix-go, bridgev2/matrix/provisioning.go (facts only), 2025.
const OPENID: &str = "openid:";

/// Somebody with permission to sign in.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(super) user_id: String,
    pub(super) shared: Arc<Shared>,
}

/// Whose tokens were checked lately, by the hash of the token.
#[derive(Default)]
pub(crate) struct Callers {
    // Locked for the length of a lookup.
    known: Mutex<HashMap<[u8; 32], (Timestamp, String)>>,
}

impl Callers {
    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Timestamp, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose it was when it was last checked, and whether that still holds.
    fn get(&self, token: &str, now: Timestamp) -> Option<(String, bool)> {
        let known = self.known();
        let (at, user_id) = known.get(&hash(token))?;
        Some((user_id.clone(), now.since(*at) < HOLDS))
    }

    fn forget(&self, token: &str) {
        self.known().remove(&hash(token));
    }

    fn put(&self, token: &str, user_id: &str, now: Timestamp) {
        let mut known = self.known();
        if known.len() >= TOKENS {
            known.clear();
        }
        known.insert(hash(token), (now, user_id.to_owned()));
    }
}

fn hash(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    // SHA-256 has 32 bytes.
    digest.as_ref().try_into().unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    user_id: Option<String>,
}

/// Lets in who may sign in, and says who it is.
pub(super) async fn admit(
    State(api): State<Arc<Provisioning>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(shared) = api.run() else {
        return Refusal::away("the gateway is not connected to the homeserver now").into_response();
    };
    let presented = Presented::read(&request);
    let admitted = match caller(&api, &shared, presented).await {
        Ok(user_id) => api.places.take(&user_id).map(|place| (user_id, place)),
        Err(refusal) => Err(refusal),
    };
    match admitted {
        Ok((user_id, _place)) => {
            request.extensions_mut().insert(Caller { user_id, shared });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What a request says about its caller.
struct Presented {
    token: Option<String>,
    said: Option<String>,
}

impl Presented {
    fn read(request: &Request) -> Self {
        let token = bearer(request).map(str::trim);
        let token = token.filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES);
        let said = Query::<Said>::try_from_uri(request.uri()).map(|Query(said)| said.user_id);
        Self { token: token.map(str::to_owned), said: said.unwrap_or_default() }
    }
}

async fn caller(api: &Provisioning, shared: &Shared, presented: Presented) -> Result<String, Refusal> {
    let Presented { token, said } = presented;
    let Some(token) = token else {
        let error = "the request carries no token";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", error));
    };
    let token = token.as_str();
    let user_id = match (shared.config.provisioning_secret.is(token), said) {
        (true, Some(user_id)) => user_id,
        (true, None) => {
            let error = "with the shared secret a request must say for whom: ?user_id=@…";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", error));
        }
        (false, said) => {
            let owner = owner(api, shared, token, said.as_deref()).await?;
            if said.is_some_and(|said| said != owner) {
                return Err(strange("the token belongs to somebody else"));
            }
            owner
        }
    };
    if shared.config.permissions.of(&user_id) < Level::User {
        let error = "you have no permission to use this gateway";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", error));
    }
    Ok(user_id)
}

/// Whose token it is.
async fn owner(
    api: &Provisioning,
    shared: &Shared,
    token: &str,
    said: Option<&str>,
) -> Result<String, Refusal> {
    let now = shared.clock.now();
    // Whose token was good a while ago is no stranger: they wait for the homeserver in a place of their own.
    let known = api.callers.get(token, now);
    let (_own, _strange) = match known {
        Some((user_id, true)) => return Ok(user_id),
        Some((user_id, false)) => (Some(api.places.take(&user_id)?), None),
        None => (None, Some(api.places.stranger()?)),
    };
    let found = match token.strip_prefix(OPENID) {
        Some(token) => {
            let domain =
                said.and_then(|id| id.split_once(':')).map_or(shared.config.domain.as_str(), |(_, d)| d);
            if domain != shared.config.domain {
                return Err(strange("tokens of other homeservers cannot be checked here"));
            }
            let user = shared.client.call(Actor::Nobody, &OpenIdUser { access_token: token }).await;
            // A homeserver can vouch for its own users alone.
            match user.map(|user| user.sub) {
                Ok(sub) if shared.names.localpart_of(&sub).is_none() => {
                    return Err(strange("the token belongs to a user of another homeserver"));
                }
                sub => sub,
            }
        }
        None => shared.client.call(Actor::Token(&Secret::new(token)), &WhoAmI).await.map(|me| me.user_id),
    };
    match found {
        Ok(user_id) => {
            api.callers.put(token, &user_id, now);
            Ok(user_id)
        }
        Err(CallError::Refused { .. }) => {
            api.callers.forget(token);
            Err(strange("the homeserver does not know the token"))
        }
        Err(error) => Err(error.into()),
    }
}

fn strange(error: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", error)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // Every route stands behind `admit`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| strange("nobody was let in"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checked_token_holds_for_a_minute() {
        let callers = Callers::default();
        callers.put("token", "@ann:x", Timestamp(0));
        let ann = || "@ann:x".to_owned();
        assert_eq!(callers.get("token", Timestamp(59_999)), Some((ann(), true)));
        assert_eq!(callers.get("token", Timestamp(60_000)), Some((ann(), false)));
        assert_eq!(callers.get("other", Timestamp(0)), None);
        callers.forget("token");
        assert_eq!(callers.get("token", Timestamp(0)), None);
        for n in 0..TOKENS * 2 {
            callers.put(&n.to_string(), "@x:x", Timestamp(0));
        }
        assert!(callers.known().len() <= TOKENS);
    }
}
