//! People of this gateway, as the commands and administrators manage them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_bridge::Leaving;
use wxgate_contract::{Command, PersonRef, UserName};
use wxgate_store::{Opens, PASSWORD_BYTES};

use super::caller::Caller;
use super::{Answer, Refusal, Shared, ok, read, removed};
use crate::export::Export;
use crate::wiring::{Parts, matrix};

pub(super) async fn users(State(parts): Shared, caller: Caller) -> Answer {
    caller.administers()?;
    let mut counts: HashMap<UserName, usize> = HashMap::new();
    for row in parts.bridge.store().accounts().await? {
        *counts.entry(row.owner).or_default() += 1;
    }
    let users = parts.bridge.store().users().await?;
    let rows: Vec<Value> = users
        .iter()
        .map(|user| {
            let accounts = counts.get(&user.name).copied().unwrap_or_default();
            json!({
                "name": user.name, "is_admin": user.is_admin, "accounts": accounts,
                "has_password": user.has_password, "has_token": user.has_token,
                "accounts_max": user.accounts_max,
            })
        })
        .collect();
    ok(&Value::from(rows))
}

#[derive(Deserialize)]
struct NewUser {
    name: UserName,
    #[serde(default)]
    is_admin: bool,
    password: String,
}

pub(super) async fn add_user(State(parts): Shared, caller: Caller, body: Bytes) -> Answer {
    let NewUser { name, is_admin, password } = read(&body)?;
    add(&parts, &caller, &name, &password, is_admin).await?;
    ok(&json!({ "name": name }))
}

/// Adds a person, for whoever administers.
pub(in crate::web) async fn add(
    parts: &Parts,
    caller: &Caller,
    name: &UserName,
    password: &str,
    is_admin: bool,
) -> Result<(), Refusal> {
    caller.administers()?;
    check_password(password)?;
    if is_admin {
        caller.opens(Opens::ALL)?;
    }
    parts.bridge.store().add_user(name, Some(password), is_admin).await?;
    caller.record(parts, if is_admin { "administrator-added" } else { "person-added" }, name).await;
    tracing::info!(user = %name, is_admin, "a person was added");
    Ok(())
}

/// A way in that is made for this person is one to all that they may do. For themselves, and for whoever
/// administers, nobody makes one that opens more than what they came in with; nor does less than all of them remove
/// whoever administers.
///
/// # Errors
/// What the caller came in with does not open everything, and there is no such person.
async fn may_let_in(parts: &Parts, caller: &Caller, name: String) -> Result<UserName, Refusal> {
    let name = known(parts, name).await?;
    let row = parts.bridge.store().user(&name).await?;
    if caller.user().as_ref() == Some(&name) || row.is_some_and(|row| row.is_admin) {
        caller.opens(Opens::ALL)?;
    }
    Ok(name)
}

fn check_password(password: &str) -> Result<(), Refusal> {
    match password.len() {
        0 => Err(Refusal(StatusCode::BAD_REQUEST, "a password has at least one character".to_owned())),
        1..=PASSWORD_BYTES => Ok(()),
        _ => {
            let message = format!("a password has at most {PASSWORD_BYTES} bytes");
            Err(Refusal(StatusCode::BAD_REQUEST, message))
        }
    }
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
}

/// Gives a person another password.
pub(super) async fn set_password(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let NewPassword { password } = read(&body)?;
    change_password(&parts, &caller, name, &password).await?;
    ok(&json!({}))
}

/// Gives a person another password, for whoever administers.
pub(in crate::web) async fn change_password(
    parts: &Parts,
    caller: &Caller,
    name: String,
    password: &str,
) -> Result<(), Refusal> {
    caller.administers()?;
    check_password(password)?;
    let name = may_let_in(parts, caller, name).await?;
    parts.bridge.store().set_password(&name, Some(password)).await?;
    parts.bridge.shut(&name);
    caller.record(parts, "password-changed", &name).await;
    tracing::info!(user = %name, "a person got another password");
    Ok(())
}

/// Most accounts that somebody can be allowed. Chosen: ten times what an instance is measured with.
pub(in crate::web) const MOST_ACCOUNTS: u32 = 100_000;

#[derive(Deserialize)]
struct Quota {
    /// Has to be said, also where it is nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    accounts_max: Option<u32>,
}

/// Says how many accounts a person may have.
pub(super) async fn set_quota(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Quota { accounts_max } = read(&body)?;
    change_quota(&parts, &caller, name, accounts_max).await?;
    ok(&json!({ "accounts_max": accounts_max }))
}

/// Says how many accounts a person may have, for whoever administers; `None`: as many as everybody.
pub(in crate::web) async fn change_quota(
    parts: &Parts,
    caller: &Caller,
    name: String,
    accounts_max: Option<u32>,
) -> Result<(), Refusal> {
    caller.administers()?;
    if accounts_max.is_some_and(|most| most > MOST_ACCOUNTS) {
        let message = format!("a person may have at most {MOST_ACCOUNTS} accounts");
        return Err(Refusal(StatusCode::BAD_REQUEST, message));
    }
    let name = known(parts, name).await?;
    parts.bridge.store().set_quota(&name, accounts_max).await?;
    caller.record(parts, "quota-changed", &name).await;
    tracing::info!(user = %name, ?accounts_max, "a person may have another number of accounts");
    Ok(())
}

#[derive(Deserialize)]
struct Identity {
    matrix: String,
}

/// Says who somebody is on Matrix.
pub(super) async fn identify(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    caller.administers()?;
    let Identity { matrix: id } = read(&body)?;
    if !id.strip_prefix('@').is_some_and(|rest| rest.contains(':')) {
        let message = format!("{id:?} is no Matrix id; it is written @name:domain");
        return Err(Refusal(StatusCode::BAD_REQUEST, message));
    }
    let user = may_let_in(&parts, &caller, name).await?;
    for network in matrix::NETWORKS {
        let person = PersonRef { network: network.into(), person: id.as_str().into() };
        caller.desk(&parts).run(None, Command::Identify { person, user: user.clone() }).await?;
    }
    ok(&json!({}))
}

/// Who asks.
pub(super) async fn me(State(parts): Shared, caller: Caller) -> Answer {
    let Caller::Person { user, is_admin, .. } = caller else {
        return Err(Refusal(StatusCode::CONFLICT, "the operator is nobody's account".to_owned()));
    };
    let accounts = parts.bridge.store().accounts().await?;
    let count = accounts.iter().filter(|row| row.owner == user).count();
    ok(&json!({ "name": user, "is_admin": is_admin, "accounts": count }))
}

/// The person of this name, who exists.
pub(super) async fn known(parts: &Parts, name: String) -> Result<UserName, Refusal> {
    let name = UserName::from(name);
    match parts.bridge.store().user(&name).await? {
        Some(_) => Ok(name),
        None => Err(Refusal(StatusCode::NOT_FOUND, format!("there is no user {name}"))),
    }
}

/// Everything of a person, as an archive.
pub(super) async fn export(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.is(&name)?;
    let user = known(&parts, name).await?;
    caller.record(&parts, "data-exported", &user).await;
    tracing::info!(%user, "a person's data are exported");
    let export = Export { store: parts.bridge.store().clone(), vault: Arc::clone(&parts.vault), user };
    let body = Body::from_stream(export.pieces().await?);
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

#[derive(Deserialize)]
pub(super) struct Removal {
    /// Their accounts too, with all that was said in them.
    #[serde(default)]
    everything: bool,
}

pub(super) async fn remove_user(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
) -> Answer {
    let removal = remove(&parts, &caller, name, removal.everything);
    removed(&caller, removal).await
}

/// Removes a person, for whoever administers; with `everything` their accounts too.
pub(in crate::web) async fn remove(
    parts: &Parts,
    caller: &Caller,
    name: String,
    everything: bool,
) -> Result<(), Refusal> {
    caller.administers()?;
    if caller.user().is_some_and(|user| user.as_str() == name) {
        // What they did to others would be told by nobody.
        let message = "nobody removes themselves: another administrator does, or `wxgate user remove`";
        return Err(Refusal(StatusCode::CONFLICT, message.to_owned()));
    }
    let name = may_let_in(parts, caller, name).await?;
    let leaving = if everything { Leaving::WithEverything } else { Leaving::Alone };
    Ok(parts.bridge.remove_person(name, leaving, (caller.user(), caller.door())).await?)
}
