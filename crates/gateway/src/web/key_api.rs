//! Replacing the seal key of the running gateway.

use axum::extract::State;
use serde_json::json;

use super::api::{Answer, Caller, Shared, ok};

pub(super) async fn rotate(State(parts): Shared, caller: Caller) -> Answer {
    let path = parts.seal_key_file.clone();
    // Done to its end, whoever waits: in between both keys open everything, the one that is to go among them.
    let done = parts.bridge.replace_seal_key(path, (caller.user(), caller.door())).await??;
    ok(&json!({ "resealed": done.resealed, "unreadable": done.unreadable }))
}
