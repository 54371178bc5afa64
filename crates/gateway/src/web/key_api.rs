//! Replacing the seal key of the running gateway.

use axum::extract::State;
use serde_json::json;

use super::api::{Answer, Caller, Shared, ok};

pub(super) async fn rotate(State(parts): Shared, caller: Caller) -> Answer {
    let done = parts.bridge.store().replace_seal_key(&parts.seal_key_file).await?;
    caller.record(&parts, "seal-key-replaced", "").await;
    tracing::info!(resealed = done.resealed, unreadable = done.unreadable, "the seal key was replaced");
    ok(&json!({ "resealed": done.resealed, "unreadable": done.unreadable }))
}
