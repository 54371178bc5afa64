//! What one account has of its own where the others follow the configuration: its way out towards WeChat, and how often
//! it sends. For administrators: where a gateway connects to, and what it may do there, is not for its users to say.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use wxgate_contract::{CommandError, NetworkId, Note};
use wxgate_wechat::{OwnError, SendRate, WayOut};

use super::api::{Answer, Caller, Refusal, Shared, network, ok, read};
use crate::wiring::Parts;

fn unreadable(error: &OwnError) -> Refusal {
    let status = match error {
        OwnError::Far(_) => StatusCode::SERVICE_UNAVAILABLE,
        OwnError::Unreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal(status, error.to_string())
}

/// An account that is there, for an administrator.
async fn known(parts: &Parts, caller: &Caller, name: String) -> Result<NetworkId, Refusal> {
    caller.administers()?;
    let account = network(&name);
    match parts.bridge.store().account(&account).await? {
        Some(_) => Ok(account),
        None => Err(CommandError::NoSuchAccount(name).into()),
    }
}

/// Gives an account one of these and starts it anew.
async fn give(parts: &Parts, caller: &Caller, name: String, note: Note, act: &str) -> Result<(), Refusal> {
    let by = (caller.user(), caller.door(), act);
    match parts.bridge.configure(&network(&name), note, by).await? {
        true => Ok(()),
        false => Err(CommandError::NoSuchAccount(name).into()),
    }
}

/// The way out and the rate of an account.
pub(super) async fn of(parts: &Parts, account: &NetworkId) -> Result<(WayOut, SendRate), Refusal> {
    let way = WayOut::of(&*parts.bridge, account).await.map_err(|error| unreadable(&error))?;
    let rate = SendRate::of(&*parts.bridge, account).await.map_err(|error| unreadable(&error))?;
    Ok((way, rate))
}

/// Gives an account another way out, for whoever administers.
pub(super) async fn change_proxy(
    parts: &Parts,
    caller: &Caller,
    name: String,
    wanted: &str,
) -> Result<WayOut, Refusal> {
    caller.administers()?;
    let refused = |why| Refusal(StatusCode::BAD_REQUEST, format!("proxy: {why}"));
    let way = WayOut::parse(wanted).map_err(refused)?;
    give(parts, caller, name, way.note(), "proxy-set").await?;
    Ok(way)
}

/// Gives an account another rate, for whoever administers.
pub(super) async fn change_rate(
    parts: &Parts,
    caller: &Caller,
    name: String,
    wanted: &str,
) -> Result<SendRate, Refusal> {
    caller.administers()?;
    let refused = |why| Refusal(StatusCode::BAD_REQUEST, format!("sends_per_minute: {why}"));
    let rate = SendRate::parse(wanted).map_err(refused)?;
    give(parts, caller, name, rate.note(), "rate-set").await?;
    Ok(rate)
}

pub(super) async fn proxy(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let account = known(&parts, &caller, name).await?;
    let (way, _) = of(&parts, &account).await?;
    ok(&json!({ "proxy": way.shown() }))
}

#[derive(Deserialize)]
struct Proxy {
    proxy: String,
}

pub(super) async fn set_proxy(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Proxy { proxy } = read(&body)?;
    let way = change_proxy(&parts, &caller, name, &proxy).await?;
    ok(&json!({ "proxy": way.shown() }))
}

pub(super) async fn rate(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let account = known(&parts, &caller, name).await?;
    let (_, rate) = of(&parts, &account).await?;
    ok(&json!({ "sends_per_minute": rate.shown() }))
}

#[derive(Deserialize)]
struct Rate {
    sends_per_minute: String,
}

pub(super) async fn set_rate(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Rate { sends_per_minute } = read(&body)?;
    let rate = change_rate(&parts, &caller, name, &sends_per_minute).await?;
    ok(&json!({ "sends_per_minute": rate.shown() }))
}
