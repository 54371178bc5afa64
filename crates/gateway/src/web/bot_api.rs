//! Signing the gateway's Matrix account in where the browser cannot come back to this machine.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use wxgate_matrix::WebSignIn;

use super::api::{Answer, Caller, Refusal, Shared, ok, read};
use crate::wiring::Parts;

/// Where to sign in; null when nobody is to.
pub(super) async fn link(State(parts): Shared, _: Caller) -> Answer {
    let link = page(&parts)?.link();
    ok(&json!({ "link": link.map(|link| link.to_string()) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// What the browser was sent to.
    address: String,
}

pub(super) async fn finish(State(parts): Shared, caller: Caller, body: Bytes) -> Answer {
    let Back { address } = read(&body)?;
    let done = page(&parts)?.came_back(&address).await;
    done.map_err(|why| Refusal(StatusCode::CONFLICT, why))?;
    caller.record(&parts, "matrix-account-signed-in", "").await;
    ok(&json!({}))
}

fn page(parts: &Parts) -> Result<&WebSignIn, Refusal> {
    let none = || {
        let why = "the Matrix account is not signed in on a page here (matrix.bot.oauth)";
        Refusal(StatusCode::NOT_FOUND, why.to_owned())
    };
    parts.web_sign_in.as_deref().ok_or_else(none)
}
