//! Networks that do not get anywhere, tried again.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use wxgate_contract::{CommandError, Health, NetworkId};

use super::api::{Answer, Caller, Refusal, Shared, ok};
use crate::wiring::ACCOUNT_KIND;

/// How long a network may take to say what it tries again. Chosen: one that is connected says so at once, and one that
/// is not has nothing to say.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a network again that rests because it was barred or cannot go on, or lets one that runs try again what it gave
/// up, such as a channel. Accounts have their own ways to come back.
pub(super) async fn retry(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administers()?;
    let network = NetworkId::from(name.as_str());
    let known = parts.bridge.health_of(&network).filter(|_| network.kind() != ACCOUNT_KIND);
    let none =
        || Refusal(StatusCode::NOT_FOUND, format!("there is no network {name}; see: wxgate network list"));
    let (_, health) = known.ok_or_else(none)?;
    let mut again = String::new();
    if !parts.bridge.retry(&network) {
        let within = tokio::time::timeout(PATIENCE, parts.bridge.retry_within(&network)).await;
        match within {
            Ok(Ok(what)) => again = what,
            Ok(Err(CommandError::Refused(_))) | Err(_) => return Err(needless(&network, &health)),
            Ok(Err(error)) => return Err(error.into()),
        }
    }
    caller.record(&parts, "network-retried", &network).await;
    ok(&json!({ "again": again }))
}

/// There is nothing to try again.
fn needless(network: &NetworkId, health: &Health) -> Refusal {
    let why = match health {
        Health::Up => "is connected".to_owned(),
        other => format!("is {} and goes on by itself", other.word()),
    };
    Refusal(StatusCode::CONFLICT, format!("{network} {why}"))
}
