//! A question to the homeserver by somebody who looks for mistakes: does it know our token, and is it the one that
//! the settings speak of?

use crate::api::account::WhoAmI;
use crate::client::{Actor, CallError, Client};
use crate::config::MatrixConfig;

/// What is wrong between us and the homeserver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It does not answer as a homeserver does.
    #[error("{0}")]
    Away(String),
    /// It does not know the token.
    #[error("the homeserver does not know the as_token")]
    Stranger,
    /// It serves another domain.
    #[error("the homeserver serves {theirs}, and the settings say {ours}")]
    Domain {
        /// Its domain.
        theirs: String,
        /// That of the settings.
        ours: String,
    },
}

/// Asks who we are there; the user that the homeserver says.
///
/// # Errors
/// The first thing that is wrong.
pub async fn probe(config: &MatrixConfig) -> Result<String, ProbeError> {
    let away = |error: &dyn std::fmt::Display| ProbeError::Away(error.to_string());
    let client = Client::new(config).map_err(|error| away(&error))?;
    let me = match client.call(Actor::Service, &WhoAmI).await {
        Ok(me) => me.user_id,
        Err(error) => return Err(judged(&error)),
    };
    let theirs = me.split_once(':').map_or("", |(_, domain)| domain);
    match theirs == config.domain {
        true => Ok(me),
        false => Err(ProbeError::Domain { theirs: theirs.to_owned(), ours: config.domain.clone() }),
    }
}

fn judged(error: &CallError) -> ProbeError {
    match error.code() {
        "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => ProbeError::Stranger,
        _ => ProbeError::Away(error.to_string()),
    }
}
