//! Replacing the seal key of the running gateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::json;

use super::api::{Answer, Shared, ok};
use crate::wiring::Parts;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new().route("/api/v1/seal-key/rotate", post(rotate))
}

async fn rotate(State(parts): Shared) -> Answer {
    let done = parts.bridge.store().replace_seal_key(&parts.seal_key_file).await?;
    tracing::info!(resealed = done.resealed, unreadable = done.unreadable, "the seal key was replaced");
    ok(&json!({ "resealed": done.resealed, "unreadable": done.unreadable }))
}
