//! A backup of the running gateway, as a stream.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::api::{Answer, Caller, Refusal, Shared};
use crate::backup::write::{Archive, Secrets, WithKey};
use crate::clock;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    with_key: bool,
}

pub(super) async fn backup(State(parts): Shared, caller: Caller, Query(wanted): Query<Wanted>) -> Answer {
    let snapshot = parts.bridge.store().snapshot().await?;
    let secrets = Secrets {
        data_dir: &parts.data_dir,
        seal_key_file: &parts.seal_key_file,
        with_key: if wanted.with_key { WithKey::Yes } else { WithKey::No },
    };
    let archive = Archive::new(snapshot, &secrets, clock::now())
        .map_err(|failure| Refusal(StatusCode::INTERNAL_SERVER_ERROR, failure.message))?;
    let size_bytes = archive.size_bytes();
    caller.record(&parts, if wanted.with_key { "backup-taken-with-key" } else { "backup-taken" }, "").await;
    tracing::info!(size_bytes, with_key = wanted.with_key, "a backup is taken");
    let head = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, size_bytes.to_string()),
    ];
    Ok((head, Body::from_stream(archive.pieces())).into_response())
}
