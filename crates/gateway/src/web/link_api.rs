//! Links, as the commands make and show them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::ChatRef;
use wxgate_store::{Link, LinkId, StoreError};

use super::api::{Answer, Refusal, ok, read};
use crate::chat_name::{self, NameError, written};
use crate::wiring::Parts;

/// Most members of a link: each thing said is a delivery to every other one. Chosen.
const MOST_MEMBERS: usize = 32;

type Shared = State<Arc<Parts>>;

pub(crate) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/api/v1/links", get(links).post(add_link))
        .route("/api/v1/links/{which}", delete(remove_link))
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

async fn shown(parts: &Parts, link: &Link) -> Value {
    let mut members = Vec::with_capacity(link.members.len());
    for member in &link.members {
        let title = chat_name::title(parts, member).await;
        let (network, chat) = (&member.network, &member.chat);
        members.push(json!({ "name": written(member), "network": network, "chat": chat, "title": title }));
    }
    json!({ "id": link.id, "members": members })
}

async fn links(State(parts): Shared) -> Answer {
    let mut rows = Vec::new();
    for link in parts.bridge.links().await? {
        rows.push(shown(&parts, &link).await);
    }
    ok(&Value::from(rows))
}

#[derive(Deserialize)]
struct NewLink {
    members: Vec<String>,
}

async fn add_link(State(parts): Shared, body: Bytes) -> Answer {
    let NewLink { members } = read(&body)?;
    if members.len() > MOST_MEMBERS {
        let message = format!("a link has at most {MOST_MEMBERS} members");
        return Err(Refusal(StatusCode::BAD_REQUEST, message));
    }
    let mut chats: Vec<ChatRef> = Vec::with_capacity(members.len());
    for member in &members {
        chats.push(chat_name::resolve(&parts, member).await?);
    }
    let id = match parts.bridge.add_link(&chats).await {
        Ok(id) => id,
        Err(StoreError::Conflict { what }) => {
            let links = parts.bridge.links().await?;
            let holder = links.iter().find(|link| chats.iter().any(|chat| link.members.contains(chat)));
            let hint = holder.map(|link| format!("; take it apart first: wxgate link remove {}", link.id.0));
            return Err(Refusal(StatusCode::CONFLICT, what + &hint.unwrap_or_default()));
        }
        Err(other) => return Err(other.into()),
    };
    tracing::info!(link = id.0, members = chats.len(), "a link was made");
    let mut members = chats;
    members.sort();
    members.dedup();
    ok(&shown(&parts, &Link { id, members }).await)
}

/// By its number, or by the name of one of its members.
async fn remove_link(State(parts): Shared, Path(which): Path<String>) -> Answer {
    let id = match which.parse::<i64>() {
        Ok(number) => LinkId(number),
        Err(_) => {
            let chat = match chat_name::resolve(&parts, &which).await {
                Ok(chat) => chat,
                // A member whose network is gone is still a member.
                Err(NameError::Unknown(message)) => literal(&which).ok_or(NameError::Unknown(message))?,
                Err(other) => return Err(other.into()),
            };
            let links = parts.bridge.links().await?;
            let found = links.iter().find(|link| link.members.contains(&chat));
            let message = || format!("{} is in no link; see: wxgate link list", written(&chat));
            found.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, message()))?.id
        }
    };
    if !parts.bridge.remove_link(id).await? {
        let message = format!("there is no link {}; see: wxgate link list", id.0);
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    }
    tracing::info!(link = id.0, "a link was taken apart");
    ok(&json!({ "id": id }))
}

fn literal(text: &str) -> Option<ChatRef> {
    let (network, chat) = text.split_once('/')?;
    Some(ChatRef { network: network.into(), chat: chat.into() })
}
