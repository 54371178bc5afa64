//! The way out of one account towards WeChat. For administrators: where a gateway connects to is not for its users to say.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use wxgate_contract::CommandError;
use wxgate_wechat::{WayOut, WayOutError};

use super::api::{Answer, Caller, Refusal, Shared, network, ok, read};

fn unreadable(error: &WayOutError) -> Refusal {
    let status = match error {
        WayOutError::Far(_) => StatusCode::SERVICE_UNAVAILABLE,
        WayOutError::Unreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal(status, error.to_string())
}

pub(super) async fn show(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administers()?;
    let account = network(&name);
    if parts.bridge.store().account(&account).await?.is_none() {
        return Err(CommandError::NoSuchAccount(name).into());
    }
    let way = WayOut::of(&*parts.bridge, &account).await.map_err(|error| unreadable(&error))?;
    ok(&json!({ "proxy": way.shown() }))
}

#[derive(Deserialize)]
struct Wanted {
    proxy: String,
}

pub(super) async fn set(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    caller.administers()?;
    let Wanted { proxy } = read(&body)?;
    let way =
        WayOut::parse(&proxy).map_err(|why| Refusal(StatusCode::BAD_REQUEST, format!("proxy: {why}")))?;
    let by = (caller.user(), caller.door(), "proxy-set");
    if !parts.bridge.configure(&network(&name), way.note(), by).await? {
        return Err(CommandError::NoSuchAccount(name).into());
    }
    ok(&json!({ "proxy": way.shown() }))
}
