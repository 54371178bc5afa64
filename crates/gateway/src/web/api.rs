//! The JSON API behind the commands. Whoever can open the socket is the operator.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wxgate_contract::{
    ChatKind, ChatProfile, ChatRef, Command, CommandError, Directory, FarError, NetworkId, PersonRef, Reply,
    SignInStep, SignInWatch, UserName,
};
use wxgate_store::StoreError;

use crate::export::Export;
use crate::wiring::{ACCOUNT_KIND, Parts, matrix};

/// Largest request body.
const BODY_BYTES: usize = 64 << 10;
/// Chats read at once.
const CHATS: usize = 500;

pub(super) type Shared = State<Arc<Parts>>;

pub(crate) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/users", get(users).post(add_user))
        .route("/api/v1/users/{name}", delete(remove_user))
        .route("/api/v1/users/{name}/export", get(export))
        .route("/api/v1/users/{name}/token", post(make_token))
        .route("/api/v1/users/{name}/identity", put(identify))
        .route("/api/v1/accounts", get(accounts).post(add_account))
        .route("/api/v1/accounts/{name}", get(account).delete(remove_account))
        .route("/api/v1/accounts/{name}/sign-in", post(sign_in))
        .route("/api/v1/accounts/{name}/sign-out", post(sign_out))
        .route("/api/v1/accounts/{name}/chats", get(chats))
        .merge(super::backup_api::routes())
        .merge(super::key_api::routes())
        .merge(super::link_api::routes())
        .merge(super::identity::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// Why a question was not answered, with its sentence.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

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
            StoreError::Conflict { .. } => StatusCode::CONFLICT,
            StoreError::Invalid { .. } => StatusCode::BAD_REQUEST,
            StoreError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Corrupt { .. } | StoreError::Schema { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Denied => StatusCode::FORBIDDEN,
            CommandError::NoSuchAccount(_) => StatusCode::NOT_FOUND,
            CommandError::Refused(_) => StatusCode::CONFLICT,
            CommandError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
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
        "this gateway has no such command; is it older than the program?".to_owned(),
    )
    .into_response()
}

async fn status(State(parts): Shared) -> Response {
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

async fn users(State(parts): Shared) -> Answer {
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

async fn add_user(State(parts): Shared, body: Bytes) -> Answer {
    let new: NewUser = read(&body)?;
    parts.bridge.store().add_user(&new.name, Some(&new.password), new.is_admin).await?;
    tracing::info!(user = %new.name, is_admin = new.is_admin, "a person was added");
    ok(&json!({ "name": new.name }))
}

/// Answers with a new token, this once; the one before it opens nothing from now on.
async fn make_token(State(parts): Shared, Path(name): Path<String>) -> Answer {
    let name = known(&parts, name).await?;
    let token = parts.bridge.store().set_token(&name).await?;
    tracing::info!(user = %name, "a token was made");
    ok(&json!({ "name": name, "token": token }))
}

#[derive(Deserialize)]
struct Identity {
    matrix: String,
}

/// Says who somebody is on Matrix.
async fn identify(State(parts): Shared, Path(name): Path<String>, body: Bytes) -> Answer {
    let Identity { matrix: id } = read(&body)?;
    if !id.strip_prefix('@').is_some_and(|rest| rest.contains(':')) {
        let message = format!("{id:?} is no Matrix id; it is written @name:domain");
        return Err(Refusal(StatusCode::BAD_REQUEST, message));
    }
    let person = PersonRef { network: matrix::NETWORK.into(), person: id.into() };
    parts.control.run(None, Command::Identify { person, user: known(&parts, name).await? }).await?;
    ok(&json!({}))
}

/// The person of this name, who exists.
async fn known(parts: &Parts, name: String) -> Result<UserName, Refusal> {
    let name = UserName::from(name);
    match parts.bridge.store().user(&name).await? {
        Some(_) => Ok(name),
        None => Err(Refusal(StatusCode::NOT_FOUND, format!("there is no user {name}"))),
    }
}

/// Everything of a person, as an archive.
async fn export(State(parts): Shared, Path(name): Path<String>) -> Answer {
    let user = known(&parts, name).await?;
    tracing::info!(%user, "a person's data are exported");
    let export = Export { store: parts.bridge.store().clone(), vault: Arc::clone(&parts.vault), user };
    let body = Body::from_stream(export.pieces().await?);
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

#[derive(Deserialize)]
struct Removal {
    /// Their accounts too, with all that was said in them.
    #[serde(default)]
    everything: bool,
}

async fn remove_user(
    State(parts): Shared,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
) -> Answer {
    let name = known(&parts, name).await?;
    if removal.everything {
        for row in parts.bridge.store().accounts().await?.into_iter().filter(|row| row.owner == name) {
            parts.control.run(None, Command::RemoveAccount { account: row.network }).await?;
        }
    }
    parts.bridge.store().remove_user(&name).await?;
    tracing::info!(user = %name, "a person was removed");
    ok(&json!({}))
}

/// Every account, or one.
async fn rows(parts: &Parts, only: Option<&NetworkId>) -> Result<Vec<Value>, Refusal> {
    let stored = match only {
        Some(network) => parts.bridge.store().account(network).await?.into_iter().collect(),
        None => parts.bridge.store().accounts().await?,
    };
    let healths: HashMap<NetworkId, _> =
        parts.bridge.healths().into_iter().map(|(network, _, health)| (network, health)).collect();
    let value = |row: wxgate_store::AccountRow| {
        let health = healths.get(&row.network);
        json!({
            "name": row.network.name(),
            "owner": row.owner,
            "state": health.map_or("starting", |health| health.word()),
            "detail": health.map_or("", |health| health.detail()),
            "own_name": row.own_name,
        })
    };
    Ok(stored.into_iter().map(value).collect())
}

async fn accounts(State(parts): Shared) -> Answer {
    ok(&Value::from(rows(&parts, None).await?))
}

async fn account(State(parts): Shared, Path(name): Path<String>) -> Answer {
    one(&parts, &name).await
}

async fn one(parts: &Parts, name: &str) -> Answer {
    match rows(parts, Some(&network(name))).await?.into_iter().next() {
        Some(row) => ok(&row),
        None => Err(CommandError::NoSuchAccount(name.to_owned()).into()),
    }
}

#[derive(Deserialize)]
struct NewAccount {
    name: String,
    owner: UserName,
}

async fn add_account(State(parts): Shared, body: Bytes) -> Answer {
    let NewAccount { name, owner } = read(&body)?;
    let owner = known_owner(&parts, owner).await?;
    if parts.bridge.store().user(&owner).await?.is_none() {
        let message = format!("there is no user {owner}; add them with: wxgate user add {owner}");
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    }
    parts.control.run(None, Command::AddAccount { owner, name: name.clone() }).await?;
    one(&parts, &name).await
}

/// Somebody with a Matrix id is a person of this gateway from now on.
async fn known_owner(parts: &Parts, owner: UserName) -> Result<UserName, Refusal> {
    let is_matrix_id = owner.as_str().strip_prefix('@').is_some_and(|rest| rest.contains(':'));
    if !is_matrix_id || parts.bridge.store().user(&owner).await?.is_some() {
        return Ok(owner);
    }
    let person = PersonRef { network: matrix::NETWORK.into(), person: owner.as_str().into() };
    match parts.control.run(None, Command::Introduce { person }).await? {
        Reply::User(user) => Ok(user),
        other => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("an odd answer: {other:?}"))),
    }
}

async fn remove_account(State(parts): Shared, Path(name): Path<String>) -> Answer {
    parts.control.run(None, Command::RemoveAccount { account: network(&name) }).await?;
    ok(&json!({}))
}

async fn sign_out(State(parts): Shared, Path(name): Path<String>) -> Answer {
    parts.control.run(None, Command::SignOut { account: network(&name) }).await?;
    ok(&json!({}))
}

/// Follows a sign-in as lines of JSON, the latest step at once and then each change.
async fn sign_in(State(parts): Shared, Path(name): Path<String>) -> Answer {
    match parts.control.run(None, Command::SignIn { account: network(&name) }).await? {
        Reply::SignIn(watch) => {
            let body = Body::from_stream(steps(watch));
            Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
        }
        _ => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the sign-in cannot be followed".to_owned())),
    }
}

enum Following {
    First(SignInWatch),
    Next(SignInWatch),
    Over,
}

fn steps(
    watch: SignInWatch,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::unfold(Following::First(watch), |at| async move {
        let mut watch = match at {
            Following::First(watch) => watch,
            Following::Next(mut watch) => {
                if watch.changed().await.is_err() {
                    let why = "the gateway gave it up";
                    return Some((line(&SignInStep::Failed { why: why.to_owned() }), Following::Over));
                }
                watch
            }
            Following::Over => return None,
        };
        let step = watch.borrow_and_update().clone();
        let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
        let next = if is_over { Following::Over } else { Following::Next(watch) };
        Some((line(&step), next))
    })
}

fn line(step: &SignInStep) -> Result<Bytes, std::convert::Infallible> {
    let value = match step {
        SignInStep::Starting => json!({ "step": "starting" }),
        SignInStep::ShowQr { text, number } => json!({ "step": "show_qr", "text": text, "number": number }),
        SignInStep::ConfirmOnPhone { is_push } => json!({ "step": "confirm_on_phone", "is_push": is_push }),
        SignInStep::Loading => json!({ "step": "loading" }),
        SignInStep::Done => json!({ "step": "done" }),
        SignInStep::Failed { why } => json!({ "step": "failed", "why": why }),
    };
    Ok(Bytes::from(format!("{value}\n")))
}

fn kind(chat: &ChatProfile) -> &'static str {
    match chat.kind {
        ChatKind::Private => "private",
        ChatKind::Group => "group",
        ChatKind::Official => "official",
        ChatKind::System => "system",
    }
}

async fn chats(State(parts): Shared, Path(name): Path<String>) -> Answer {
    let network = network(&name);
    if parts.bridge.store().account(&network).await?.is_none() {
        return Err(CommandError::NoSuchAccount(name).into());
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
async fn called(parts: &Parts, network: &NetworkId, chat: &ChatProfile) -> Result<String, Refusal> {
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
