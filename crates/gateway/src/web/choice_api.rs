//! What owners choose about how faces show their accounts: the same things, by the same names, as by typing there.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{Answer as Told, Choice, CommandError, Directory as _, NetworkId, Request, UserName};

use super::api::{Answer, Caller, Refusal, Shared, network, ok, read};
use crate::wiring::{IRC_NETWORK, Parts, matrix};

/// How long a face may take to say what can be chosen. Chosen: it reads a note; one that is away says nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// The faces that show accounts of this person.
async fn faces(parts: &Parts, owner: &UserName) -> Vec<NetworkId> {
    let mut faces = Vec::new();
    for face in [IRC_NETWORK].into_iter().chain(matrix::NETWORKS).map(NetworkId::from) {
        let knows = face.as_str() == IRC_NETWORK
            || parts.bridge.person_of(owner, &face).await.ok().flatten().is_some();
        if knows && parts.bridge.health_of(&face).is_some() {
            faces.push(face);
        }
    }
    faces
}

/// What can be chosen for an account on each face that answers, and what is.
pub(super) async fn of(
    parts: &Parts,
    owner: &UserName,
    account: &NetworkId,
) -> Vec<(NetworkId, Vec<Choice>)> {
    let ask = |face: NetworkId| async move {
        let asked = parts.bridge.ask_face(&face, Request::Choices(account.clone()));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Told::Choices(choices))) => Some((face, choices)),
            _ => None,
        }
    };
    let asked = faces(parts, owner).await.into_iter().map(ask);
    join_all(asked).await.into_iter().flatten().collect()
}

/// What somebody chooses.
#[derive(Deserialize)]
pub(super) struct Wanted {
    pub(super) face: String,
    pub(super) name: String,
    pub(super) value: String,
}

/// Chooses something for an account of `owner`.
pub(super) async fn choose(
    parts: &Parts,
    caller: &Caller,
    (owner, account): (&UserName, NetworkId),
    Wanted { face, name, value }: Wanted,
) -> Result<(), Refusal> {
    let known = faces(parts, owner).await.into_iter().find(|known| known.as_str() == face);
    let none = || Refusal(StatusCode::NOT_FOUND, format!("{} is not shown on {face}", account.name()));
    let face = known.ok_or_else(none)?;
    let about = format!("{} {face} {name}", account.name());
    parts.bridge.ask_face(&face, Request::Choose { account, name, value }).await?;
    caller.record(parts, "choice-made", about).await;
    Ok(())
}

/// Whose an account is that the caller may look into.
async fn owner_of(parts: &Parts, caller: &Caller, name: String) -> Result<(UserName, NetworkId), Refusal> {
    let network = network(&name);
    match parts.bridge.store().account(&network).await? {
        Some(row) if caller.owns(&row.owner) => Ok((row.owner, network)),
        _ => Err(CommandError::NoSuchAccount(name).into()),
    }
}

pub(super) async fn choices(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let (owner, network) = owner_of(&parts, &caller, name).await?;
    let mut rows = Vec::new();
    for (face, choices) in of(&parts, &owner, &network).await {
        for choice in choices {
            let values = choice.values.iter().map(|(value, about)| json!({ "value": value, "about": about }));
            rows.push(json!({
                "face": face, "name": choice.name, "value": choice.value, "values": values.collect::<Vec<_>>(),
            }));
        }
    }
    ok(&Value::from(rows))
}

pub(super) async fn set_choice(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let wanted: Wanted = read(&body)?;
    let (owner, network) = owner_of(&parts, &caller, name).await?;
    choose(&parts, &caller, (&owner, network), wanted).await?;
    ok(&json!({}))
}
