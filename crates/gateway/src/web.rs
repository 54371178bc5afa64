//! HTTP: the public face on `web.listen`, and the control API on the socket in the data directory.

pub(crate) mod allowance;
pub(crate) mod api;
mod backup_api;
pub(crate) mod board;
mod bot_api;
mod choice_api;
mod flowing;
pub(crate) mod forwarded;
mod identity;
mod instance_api;
pub(crate) mod invitations;
mod key_api;
mod link_api;
pub(crate) mod links;
mod loading;
mod markers;
pub(crate) mod media;
mod network_api;
mod own_api;
mod patience;
pub(crate) mod places;
pub(crate) mod range;
mod removal;
pub(crate) mod serve;
pub(crate) mod sessions;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use self::serve::{Peer, Relayed};
use crate::metrics;
use crate::wiring::{self, Parts};

/// Where it is told whether the gateway is ready, to anybody and to the operator.
pub(crate) const READY: &str = "/readyz";

/// What anybody who reaches `web.listen` may ask.
pub(crate) fn public(parts: Arc<Parts>) -> Router {
    let managers = parts.managers.clone().unwrap_or_default();
    Router::new()
        .merge(board::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .route(READY, get(ready))
        .route("/metrics", get(measures))
        .route("/media/{token}", get(media::fetch_bare))
        .route("/media/{token}/{name}", get(media::fetch))
        .merge(api::for_people())
        .route(upload::PATH, post(upload::upload).options(upload::options))
        .with_state(parts)
        .merge(managers)
}

/// What the owner of the socket may ask.
pub(crate) fn control(parts: Arc<Parts>) -> Router {
    api::for_the_operator().route(READY, get(ready)).fallback(api::nothing_here).with_state(parts)
}

/// The metrics, to whom `web.metrics_from` names, and to administrators with a token from everywhere.
async fn measures(
    State(parts): State<Arc<Parts>>,
    peer: Option<Extension<Peer>>,
    relayed: Option<Extension<Relayed>>,
    caller: Result<api::Caller, api::Refusal>,
) -> Response {
    let from = peer.and_then(|Extension(Peer(address))| address);
    let is_near = relayed.is_none() && from.is_some_and(|from| forwarded::is_of(from, &parts.metrics_from));
    if is_near || caller.is_ok_and(|caller| caller.administers().is_ok()) {
        return metrics::page(State(parts)).await;
    }
    let why = "metrics are told to the networks of web.metrics_from, and to tokens of administrators\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

/// Ready, or why not.
async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let mut reasons = Vec::new();
    if parts.stop.is_stopping() {
        reasons.push("the gateway is stopping".to_owned());
    }
    reasons.extend(metrics::store_troubles(&parts).await);
    reasons.extend(metrics::copy_trouble(&parts));
    for (network, owner, health) in parts.bridge.healths() {
        // Accounts are their owners' affair, and somebody else's network may be away; a face of our
        // own that is down is everybody's.
        let is_ours = owner.is_none() && !wiring::is_guest(&network);
        if is_ours && matches!(health.word(), "down" | "starting") {
            reasons.push(format!("{network} is {}: {}", health.word(), health.detail()));
        }
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}
