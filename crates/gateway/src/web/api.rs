//! The JSON API: behind the commands, over the socket in the data directory, where whoever can open it is the
//! operator; and on `web.listen` for people with their tokens, as each of them.

mod audit;
mod caller;
mod certificates;
mod events;
mod operations;
mod sign_in;
mod tokens;
pub(super) mod users;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wxgate_contract::{
    AccountView, ChatKind, ChatProfile, ChatRef, Command, CommandError, Directory, FarError, Health,
    NetworkId, PersonRef, Reply, UserName,
};
use wxgate_store::{AccountRow, StoreError};

use crate::web::loading;
use crate::web::removal::{self, Removed};
use crate::wiring::{ACCOUNT_KIND, Parts, matrix, matrix_bot};
pub(super) use caller::Caller;

/// Largest request body.
pub(super) const BODY_BYTES: usize = 64 << 10;
/// Chats read at once.
const CHATS: usize = 500;

pub(super) type Shared = State<Arc<Parts>>;

/// What the commands ask over the socket.
pub(super) fn for_the_operator() -> Router<Arc<Parts>> {
    operations::routes(|_| true).layer(Extension(caller::Operator))
}

/// What people ask with their tokens.
pub(super) fn for_people() -> Router<Arc<Parts>> {
    operations::routes(|operation| operation.is_public())
        .route(operations::DOCUMENT, get(operations::document))
        .route("/api/v1/{*rest}", any(nothing_here))
        .layer(map_response(in_json))
}

/// What was refused before a handler saw it is told in JSON too.
async fn in_json(response: Response) -> Response {
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    let status = response.status();
    if !status.is_client_error() || response.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW).cloned();
    let text = axum::body::to_bytes(response.into_body(), 1024).await.unwrap_or_default();
    let told = match text.is_empty() {
        true => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        false => String::from_utf8_lossy(&text).into_owned(),
    };
    let mut answer = Refusal(status, told).into_response();
    if let Some(allowed) = allowed {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

/// Why a question was not answered, with its sentence.
pub(in crate::web) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answer(self.0, &json!({ "error": self.1 }))
    }
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

pub(super) type Answer = Result<Response, Refusal>;

pub(super) fn ok(value: &Value) -> Answer {
    Ok(answer(StatusCode::OK, value))
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::Conflict { .. } | StoreError::Taken { .. } => StatusCode::CONFLICT,
            StoreError::Invalid { .. } => StatusCode::BAD_REQUEST,
            StoreError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Corrupt { .. } | StoreError::Sealed { .. } | StoreError::Schema { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self(status, error.to_string())
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Denied => StatusCode::FORBIDDEN,
            CommandError::TooOften => StatusCode::TOO_MANY_REQUESTS,
            CommandError::NoSuchAccount(_) => StatusCode::NOT_FOUND,
            CommandError::Refused(_) => StatusCode::CONFLICT,
            // Mostly an account that is not online: a state, and no failure of ours.
            CommandError::Failed(_) => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

impl From<FarError> for Refusal {
    fn from(error: FarError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|e| Refusal(StatusCode::BAD_REQUEST, format!("the request is not understood: {e}")))
}

pub(super) fn network(name: &str) -> NetworkId {
    NetworkId::new(format!("{ACCOUNT_KIND}:{name}"))
}

pub(crate) async fn nothing_here() -> Response {
    Refusal(
        StatusCode::NOT_FOUND,
        "there is nothing at this address; is the gateway older than the program that asks?".to_owned(),
    )
    .into_response()
}

async fn status(State(parts): Shared, _: Caller) -> Response {
    let networks: Vec<Value> = parts
        .bridge
        .healths()
        .into_iter()
        .filter(|(_, owner, _)| owner.is_none())
        .map(|(network, _, health)| json!({ "network": network, "state": health.word(), "detail": health.detail() }))
        .collect();
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "irc": parts.irc.plain,
        "irc_tls": parts.irc.tls,
        "irc_websocket": parts.irc.websocket,
        "matrix": parts.matrix,
        "networks": networks,
    });
    answer(StatusCode::OK, &value)
}

/// Every account that the caller may know of, or one.
async fn rows(parts: &Parts, caller: &Caller, only: Option<&NetworkId>) -> Result<Vec<Value>, Refusal> {
    let stored = match only {
        Some(network) => parts.bridge.store().account(network).await?.into_iter().collect(),
        None => parts.bridge.store().accounts().await?,
    };
    let healths: HashMap<NetworkId, Health> =
        parts.bridge.healths().into_iter().map(|(network, _, health)| (network, health)).collect();
    let view = |stored: AccountRow| {
        let health = healths.get(&stored.network).cloned().unwrap_or(Health::Starting);
        AccountView { network: stored.network, owner: stored.owner, own_name: stored.own_name, health }
    };
    let rows = stored.into_iter().filter(|row| caller.sees(&row.owner));
    Ok(rows.map(|stored| row(parts, &view(stored))).collect())
}

/// An account, as it is told.
fn row(parts: &Parts, account: &AccountView) -> Value {
    json!({
        "name": account.network.name(),
        "owner": account.owner,
        "state": account.health.word(),
        "detail": account.health.detail(),
        "own_name": account.own_name,
        "loading": loading::now(parts, &account.network),
        "instance": parts.lead.as_ref().and_then(|lead| lead.of(&account.network)),
    })
}

async fn accounts(State(parts): Shared, caller: Caller) -> Answer {
    ok(&Value::from(rows(&parts, &caller, None).await?))
}

async fn account(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    one(&parts, &caller, &name).await
}

async fn one(parts: &Parts, caller: &Caller, name: &str) -> Answer {
    match rows(parts, caller, Some(&network(name))).await?.into_iter().next() {
        Some(row) => ok(&row),
        None => Err(CommandError::NoSuchAccount(name.to_owned()).into()),
    }
}

#[derive(Deserialize)]
struct NewAccount {
    name: String,
    /// Whoever asks, when left out.
    owner: Option<UserName>,
}

async fn add_account(State(parts): Shared, caller: Caller, body: Bytes) -> Answer {
    let NewAccount { name, owner } = read(&body)?;
    let owner = match (owner.or_else(|| caller.user()), caller.user()) {
        (Some(owner), Some(user)) if owner != user => {
            return Err(Refusal(StatusCode::FORBIDDEN, "you can only add accounts of your own".to_owned()));
        }
        (Some(owner), _) => known_owner(&parts, &caller, owner).await?,
        (None, _) => {
            let message = "the request is not understood: missing field `owner`".to_owned();
            return Err(Refusal(StatusCode::BAD_REQUEST, message));
        }
    };
    if parts.bridge.store().user(&owner).await?.is_none() {
        let message = format!("there is no user {owner}; add them with: wxgate user add {owner}");
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    }
    caller.desk(&parts).run(caller.user(), Command::AddAccount { owner, name: name.clone() }).await?;
    one(&parts, &caller, &name).await
}

/// Somebody with a Matrix id is a person of this gateway from now on.
async fn known_owner(parts: &Parts, caller: &Caller, owner: UserName) -> Result<UserName, Refusal> {
    let is_matrix_id = owner.as_str().strip_prefix('@').is_some_and(|rest| rest.contains(':'));
    if !is_matrix_id || parts.bridge.store().user(&owner).await?.is_some() {
        return Ok(owner);
    }
    let person = PersonRef { network: matrix::NETWORK.into(), person: owner.as_str().into() };
    match caller.desk(parts).run(None, Command::Introduce { person }).await? {
        Reply::User(user) => {
            let network = matrix_bot::NETWORK.into();
            let person = PersonRef { network, person: owner.as_str().into() };
            caller.desk(parts).run(None, Command::Identify { person, user: user.clone() }).await?;
            Ok(user)
        }
        other => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("an odd answer: {other:?}"))),
    }
}

async fn remove_account(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let desk = caller.desk(&parts);
    let removal = desk.run(caller.user(), Command::RemoveAccount { account: network(&name) });
    removed(&caller, async { Ok(removal.await.map(drop)?) }).await
}

/// What is told of a removal: that it is done, or to whom a proxy may stand between that it goes on.
async fn removed(caller: &Caller, removal: impl Future<Output = Result<(), Refusal>>) -> Answer {
    let stands = match caller {
        Caller::Operator => removal.await.map(|()| Removed::Done),
        Caller::Person { .. } => removal::for_a_while(removal).await,
    };
    match stands? {
        Removed::Done => ok(&json!({})),
        Removed::GoesOn => Ok(answer(StatusCode::ACCEPTED, &json!({}))),
    }
}

async fn sign_out(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.desk(&parts).run(caller.user(), Command::SignOut { account: network(&name) }).await?;
    ok(&json!({}))
}

fn kind(chat: &ChatProfile) -> &'static str {
    match chat.kind {
        ChatKind::Private => "private",
        ChatKind::Group => "group",
        ChatKind::Official => "official",
        ChatKind::System => "system",
    }
}

async fn chats(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let network = network(&name);
    match parts.bridge.store().account(&network).await? {
        Some(row) if caller.owns(&row.owner) => {}
        _ => return Err(CommandError::NoSuchAccount(name).into()),
    }
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = parts.bridge.chats(&network, after.as_ref(), CHATS).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.chat.clone());
        for chat in &page {
            rows.push(json!({
                "chat": chat.chat, "kind": kind(chat), "title": chat.title,
                "called": called(&parts, &network, chat).await?,
                "members": chat.members.as_ref().map(Vec::len), "is_gone": chat.is_gone,
            }));
        }
    }
    ok(&Value::from(rows))
}

/// What people take a chat for: its title, or its first members, as the IRC server names its channel.
pub(super) async fn called(
    parts: &Parts,
    network: &NetworkId,
    chat: &ChatProfile,
) -> Result<String, FarError> {
    const NAMED: usize = 3;
    if !chat.title.is_empty() {
        return Ok(chat.title.clone());
    }
    let place = ChatRef { network: network.clone(), chat: chat.chat.clone() };
    let whole = parts.bridge.chat(&place).await?;
    let members = whole.and_then(|chat| chat.members).unwrap_or_default();
    let others = members.into_iter().filter(|member| !member.is_self && !member.name.is_empty());
    Ok(others.take(NAMED).map(|member| member.name).collect::<Vec<_>>().join(", "))
}
