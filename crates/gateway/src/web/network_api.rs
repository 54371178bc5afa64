//! Networks that do not get anywhere, tried again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use wxgate_contract::{Health, NetworkId};

use super::api::{Answer, Caller, Refusal, Shared, ok};
use crate::wiring::ACCOUNT_KIND;

/// Runs a network again that rests because it was barred or cannot go on. Accounts have their own ways to come back.
pub(super) async fn retry(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administers()?;
    let network = NetworkId::from(name.as_str());
    let known = parts.bridge.health_of(&network).filter(|_| network.kind() != ACCOUNT_KIND);
    let none =
        || Refusal(StatusCode::NOT_FOUND, format!("there is no network {name}; see: wxgate network list"));
    let (_, health) = known.ok_or_else(none)?;
    if !parts.bridge.retry(&network) {
        let why = match health {
            Health::Up => "is connected".to_owned(),
            other => format!("is {} and goes on by itself", other.word()),
        };
        return Err(Refusal(StatusCode::CONFLICT, format!("{network} {why}")));
    }
    caller.record(&parts, "network-retried", &network).await;
    ok(&json!({}))
}
