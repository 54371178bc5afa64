//! Links, as the commands make and show them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{ChatRef, CommandError};
use wxgate_store::{Link, LinkId, StoreError};

use super::api::{Answer, Caller, Refusal, ok, read};
use crate::chat_name::{self, NameError, written};
use crate::wiring::{ACCOUNT_KIND, Parts};

/// Most members of a link: each thing said is a delivery to every other one. Chosen.
const MOST_MEMBERS: usize = 32;

type Shared = State<Arc<Parts>>;

/// Whether all accounts' chats among these are the caller's: administrators, who may link the networks of the
/// host, still see nobody else's chats.
async fn are_theirs(parts: &Parts, caller: &Caller, chats: &[ChatRef]) -> Result<bool, Refusal> {
    for chat in chats.iter().filter(|chat| chat.network.kind() == ACCOUNT_KIND) {
        match parts.bridge.store().account(&chat.network).await? {
            Some(row) if caller.owns(&row.owner) => {}
            Some(_) => return Ok(false),
            // Of an account that is gone nothing is left to be seen.
            None => {}
        }
    }
    Ok(true)
}

/// Whether the chats of this network may be looked up by their titles, which tells what chats there are: not those of
/// somebody else's account.
async fn is_theirs(parts: &Parts, caller: &Caller, network: &str) -> Result<bool, Refusal> {
    are_theirs(parts, caller, &[ChatRef { network: network.into(), chat: String::new().into() }]).await
}

/// The network of a chat as it is written.
fn network_of(written: &str) -> &str {
    written.split_once('/').map_or(written, |(network, _)| network)
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Unknown(message) => Self(StatusCode::NOT_FOUND, message),
            NameError::Unclear(message) => Self(StatusCode::BAD_REQUEST, message),
            NameError::Store(error) => error.into(),
        }
    }
}

async fn shown(parts: &Parts, id: LinkId, chats: &[ChatRef]) -> Value {
    let mut members = Vec::with_capacity(chats.len());
    for member in chats {
        let title = chat_name::title(parts, member).await;
        let (network, chat) = (&member.network, &member.chat);
        members.push(json!({ "name": written(member), "network": network, "chat": chat, "title": title }));
    }
    json!({ "id": id, "members": members })
}

pub(super) async fn links(State(parts): Shared, caller: Caller) -> Answer {
    let mut rows = Vec::new();
    for link in theirs(&parts, &caller).await? {
        rows.push(shown(&parts, link.id, &link.members).await);
    }
    ok(&Value::from(rows))
}

/// The links that an administrator may see.
pub(super) async fn theirs(parts: &Parts, caller: &Caller) -> Result<Vec<Link>, Refusal> {
    caller.administers()?;
    let mut seen = Vec::new();
    for link in parts.bridge.links().await? {
        if are_theirs(parts, caller, &link.members).await? {
            seen.push(link);
        }
    }
    Ok(seen)
}

#[derive(Deserialize)]
struct NewLink {
    members: Vec<String>,
}

pub(super) async fn add_link(State(parts): Shared, caller: Caller, body: Bytes) -> Answer {
    let NewLink { members } = read(&body)?;
    let (id, chats) = make(&parts, &caller, &members).await?;
    ok(&shown(&parts, id, &chats).await)
}

/// Makes a link of chats, as they are written; gives its number and its members.
pub(super) async fn make(
    parts: &Parts,
    caller: &Caller,
    members: &[String],
) -> Result<(LinkId, Vec<ChatRef>), Refusal> {
    caller.administers()?;
    if members.len() > MOST_MEMBERS {
        let message = format!("a link has at most {MOST_MEMBERS} members");
        return Err(Refusal(StatusCode::BAD_REQUEST, message));
    }
    let mut chats: Vec<ChatRef> = Vec::with_capacity(members.len());
    for member in members {
        let network = network_of(member);
        if !is_theirs(parts, caller, network).await? {
            return Err(CommandError::NoSuchAccount(network.to_owned()).into());
        }
        chats.push(chat_name::resolve(parts, member).await?);
    }
    let id = match parts.bridge.add_link(&chats).await {
        Ok(id) => id,
        Err(StoreError::Conflict { what }) => {
            let links = parts.bridge.links().await?;
            let holder = links.iter().find(|link| chats.iter().any(|chat| link.members.contains(chat)));
            let hint = holder.map(|link| format!("; take it apart first: wxgate link remove {}", link.id.0));
            return Err(Refusal(StatusCode::CONFLICT, what + hint.unwrap_or_default().as_str()));
        }
        Err(other) => return Err(other.into()),
    };
    caller.record(parts, "link-added", id.0).await;
    tracing::info!(link = id.0, members = chats.len(), "a link was made");
    let mut members = chats;
    members.sort();
    members.dedup();
    Ok((id, members))
}

/// By its number, or by the name of one of its members.
pub(super) async fn remove_link(State(parts): Shared, caller: Caller, Path(which): Path<String>) -> Answer {
    ok(&json!({ "id": take_apart(&parts, &caller, &which).await? }))
}

/// Takes a link apart.
pub(super) async fn take_apart(parts: &Parts, caller: &Caller, which: &str) -> Result<LinkId, Refusal> {
    caller.administers()?;
    let id = match which.parse::<i64>() {
        Ok(number) => LinkId(number),
        Err(_) => {
            // A chat of somebody else's account is looked up no more than one of an account that is gone.
            let is_looked_up = !which.contains('/') || is_theirs(parts, caller, network_of(which)).await?;
            let found = match is_looked_up {
                true => chat_name::resolve(parts, which).await,
                false => Err(NameError::Unknown(format!("{which} is not looked up"))),
            };
            let chat = match found {
                Ok(chat) => chat,
                // A member whose network is gone is still a member.
                Err(NameError::Unknown(message)) => literal(which).ok_or(NameError::Unknown(message))?,
                Err(other) => return Err(other.into()),
            };
            let links = parts.bridge.links().await?;
            let found = links.iter().find(|link| link.members.contains(&chat));
            let found = found.filter(|_| is_looked_up);
            let message = || format!("{} is in no link; see: wxgate link list", written(&chat));
            found.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, message()))?.id
        }
    };
    let none = || Refusal(StatusCode::NOT_FOUND, format!("there is no link {}; see: wxgate link list", id.0));
    let links = parts.bridge.links().await?;
    let found = links.iter().find(|link| link.id == id).ok_or_else(none)?;
    if !are_theirs(parts, caller, &found.members).await? || !parts.bridge.remove_link(id).await? {
        return Err(none());
    }
    caller.record(parts, "link-removed", id.0).await;
    tracing::info!(link = id.0, "a link was taken apart");
    Ok(id)
}

fn literal(text: &str) -> Option<ChatRef> {
    let (network, chat) = text.split_once('/')?;
    Some(ChatRef { network: network.into(), chat: chat.into() })
}
