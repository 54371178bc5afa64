//! The provisioning API: what bridge managers speak, so that people sign in on a web page.
//!
//! `GET whoami`, flows and steps of a sign-in, contacts. It is served on the application service's own
//! listener and wherever the program mounts [`router`]. The adapter's life is one run; between two
//! runs the API says that it is away.
//!
//! Source: the provisioning sheet of this project, which was read off the existing managers, 2026.

mod caller;
mod contacts;
mod login;
mod places;
mod shapes;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{AccountView, CommandError, FarError, UserName};

use crate::client::CallError;
use crate::management::No;
use crate::shared::Shared;
use crate::trouble::Trouble;
use caller::{Caller, Callers};
use login::Logins;
use places::Places;

/// Largest body of a request. Chosen: a group of five hundred, named by ids of a hundred bytes.
const BODY_BYTES: usize = 64 << 10;
/// How long a request may hang that waits for a person, before its manager has to ask again. Chosen:
/// below the minute after which proxies cut connections.
const HANG: Duration = Duration::from_secs(50);

/// The API of one adapter, over all its runs.
pub(crate) struct Provisioning {
    /// The present run.
    shared: RwLock<Option<Arc<Shared>>>,
    callers: Callers,
    logins: Mutex<Logins>,
    places: Arc<Places>,
}

impl std::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provisioning")
    }
}

/// Shuts the API when its run ends.
pub(crate) struct Open(Arc<Provisioning>);

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.shared.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.logins().clear();
    }
}

impl Provisioning {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shared: RwLock::default(),
            callers: Callers::default(),
            logins: Mutex::default(),
            places: Arc::default(),
        })
    }

    /// A run begins; it ends when the value is dropped.
    pub(crate) fn open(self: &Arc<Self>, shared: Arc<Shared>) -> Open {
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = Some(shared);
        Open(Arc::clone(self))
    }

    fn run(&self) -> Option<Arc<Shared>> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // Locked for a lookup or a change, never while somebody waits.
    fn logins(&self) -> std::sync::MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes, from the root of a listener on.
pub(crate) fn router(provisioning: Arc<Provisioning>) -> Router {
    let v3 = Router::new()
        .route("/whoami", get(whoami))
        .route("/login/flows", get(flows))
        .route("/logins", get(login_ids))
        .route("/login/start/{flow}", post(start))
        .route("/login/step/{process}/{step}/{type}", post(step))
        .route("/login/cancel/{process}", post(cancel))
        .route("/logout/{login}", post(logout))
        .route("/contacts", get(list_contacts))
        .route("/search_users", post(search))
        .route("/resolve_identifier/{id}", get(resolve))
        .route("/create_dm/{id}", post(create_dm))
        .route("/create_group/{type}", post(create_group))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&provisioning), caller::admit))
        .layer(middleware::from_fn(cors))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(provisioning);
    Router::new().nest("/_matrix/provision/v3", v3)
}

/// A no, in the form that all of Matrix uses.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    error: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, code, error: error.into() }
    }

    fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", what)
    }

    fn bad_state(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_BAD_STATE", what)
    }

    fn away(what: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", what)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "errcode": self.code, "error": self.error });
        (self.status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        tracing::warn!(error = %trouble, "a manager's request could not be carried out");
        Self::away(trouble.to_string())
    }
}

impl From<FarError> for Refusal {
    fn from(error: FarError) -> Self {
        Trouble::from(error).into()
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Trouble::from(error).into()
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let text = error.to_string();
        match error {
            CommandError::NoSuchAccount(_) => Self::not_found(&text),
            CommandError::Denied | CommandError::Refused(_) => {
                Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", text)
            }
            CommandError::TooOften => Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", text),
            CommandError::Failed(_) => Self::away(text),
        }
    }
}

impl From<No> for Refusal {
    fn from(no: No) -> Self {
        match no {
            No::Because(answer) => Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", answer.plain()),
            No::Silent => Self::away("nothing was done"),
            No::Trouble(trouble) => trouble.into(),
        }
    }
}

type Reply = Result<axum::Json<Value>, Refusal>;

fn reply(value: impl serde::Serialize) -> Reply {
    match serde_json::to_value(value) {
        Ok(value) => Ok(axum::Json(value)),
        Err(error) => Err(Refusal::away(error.to_string())),
    }
}

/// Managers are pages of another origin; the token in the request is what admits.
/// Source: client-server API, "Web Browser Clients".
async fn cors(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS"),
        ("access-control-allow-headers", "X-Requested-With, Content-Type, Authorization"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "there is no such endpoint here")
}

/// Which of the caller's accounts a request is about.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OfLogin {
    login_id: Option<String>,
}

impl Caller {
    /// Their accounts.
    async fn accounts(&self) -> Result<(UserName, Vec<AccountView>), Refusal> {
        let user = self.shared.user(&self.user_id).await?;
        let accounts = self.shared.directory.accounts(&user).await?;
        Ok((user, accounts))
    }

    /// The account that is meant: the one named, or the only one, or the first that is online.
    async fn account(&self, of: &OfLogin) -> Result<AccountView, Refusal> {
        let (_, accounts) = self.accounts().await?;
        if let Some(id) = &of.login_id {
            let found = accounts.into_iter().find(|view| view.network.name() == id);
            return found.ok_or_else(|| Refusal::not_found("you have no login of that id"));
        }
        let online = accounts.iter().find(|view| view.health == wxgate_contract::Health::Up).cloned();
        online
            .or_else(|| accounts.into_iter().next())
            .ok_or_else(|| Refusal::not_found("you have no login yet"))
    }
}

async fn whoami(caller: Caller) -> Reply {
    let (_, accounts) = caller.accounts().await?;
    let shared = &caller.shared;
    let mut logins = Vec::with_capacity(accounts.len());
    for view in &accounts {
        let mut login = shapes::login(shared, view);
        if let Some(space) = shared.memory.spaces.get(&shared.memory, view.network.as_str()).await? {
            login["space_room"] = json!(space.room_id);
        }
        logins.push(login);
    }
    let mut me = json!({
        "network": shapes::network(),
        "login_flows": shapes::flows(accounts.iter().any(shapes::can_be_asked)),
        "homeserver": shared.config.domain,
        "bridge_bot": shared.names.bot(),
        "command_prefix": crate::inbound::PREFIX,
        "logins": logins,
    });
    if let Some(desk) = shared.memory.desks.get(&shared.memory, &caller.user_id).await? {
        me["management_room"] = json!(*desk);
    }
    reply(me)
}

async fn flows(caller: Caller) -> Reply {
    let (_, accounts) = caller.accounts().await?;
    reply(json!({ "flows": shapes::flows(accounts.iter().any(shapes::can_be_asked)) }))
}

async fn login_ids(caller: Caller) -> Reply {
    let (_, accounts) = caller.accounts().await?;
    let ids: Vec<&str> = accounts.iter().map(|view| view.network.name()).collect();
    reply(json!({ "login_ids": ids }))
}

async fn start(
    State(api): State<Arc<Provisioning>>,
    caller: Caller,
    Path(flow): Path<String>,
    Query(of): Query<OfLogin>,
) -> Reply {
    reply(login::start(&api, &caller, &flow, &of).await?)
}

#[derive(Debug, Default, Deserialize)]
struct Txn {
    txn_id: Option<String>,
}

async fn step(
    State(api): State<Arc<Provisioning>>,
    caller: Caller,
    Path((process, step, kind)): Path<(String, String, String)>,
    Query(txn): Query<Txn>,
) -> Reply {
    let submitted = login::Submitted { step: &step, kind: &kind, txn_id: txn.txn_id.as_deref() };
    reply(login::step(&api, &caller, &process, &submitted).await?)
}

async fn cancel(State(api): State<Arc<Provisioning>>, caller: Caller, Path(process): Path<String>) -> Reply {
    login::cancel(&api, &caller, &process).await?;
    reply(json!({}))
}

async fn logout(caller: Caller, Path(login): Path<String>) -> Reply {
    let (user, accounts) = caller.accounts().await?;
    let meant: Vec<&AccountView> =
        accounts.iter().filter(|view| login == "all" || view.network.name() == login).collect();
    if meant.is_empty() && login != "all" {
        return Err(Refusal::not_found("you have no login of that id"));
    }
    for view in meant {
        let command = wxgate_contract::Command::SignOut { account: view.network.clone() };
        caller.shared.control.run(Some(user.clone()), command).await?;
    }
    reply(json!({}))
}

async fn list_contacts(caller: Caller, Query(of): Query<OfLogin>) -> Reply {
    reply(json!({ "contacts": contacts::all(&caller, &of).await? }))
}

async fn search(caller: Caller, Query(of): Query<OfLogin>, body: axum::body::Bytes) -> Reply {
    let wanted: contacts::Wanted = read(&body)?;
    reply(json!({ "results": contacts::search(&caller, &of, &wanted.query).await? }))
}

async fn resolve(caller: Caller, Path(id): Path<String>, Query(of): Query<OfLogin>) -> Reply {
    reply(contacts::resolve(&caller, &of, &id).await?)
}

async fn create_dm(caller: Caller, Path(id): Path<String>, Query(of): Query<OfLogin>) -> Reply {
    reply(contacts::create_dm(&caller, &of, &id).await?)
}

/// WeChat has one kind of group; managers call it what they like.
async fn create_group(
    caller: Caller,
    Path(_kind): Path<String>,
    Query(of): Query<OfLogin>,
    body: axum::body::Bytes,
) -> Reply {
    reply(contacts::create_group(&caller, &of, read(&body)?).await?)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Refusal::new(
            StatusCode::BAD_REQUEST,
            "M_BAD_JSON",
            format!("the body is not as it must be: {error}"),
        ),
        false => {
            Refusal::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", format!("the body is not JSON: {error}"))
        }
    })
}
