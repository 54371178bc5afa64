//! Everything that can be asked, once: the routes and the OpenAPI document are made from the same list.
//!
//! Source: OpenAPI Specification 3.1.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::{Map, Value, json};
use wxgate_store::PASSWORD_BYTES;

use super::{BODY_BYTES, answer, audit, certificates, events, tokens, users};
use crate::web::{
    backup_api, bot_api, choice_api, identity, instance_api, key_api, link_api, markers, network_api, own_api,
};
use crate::wiring::Parts;

/// Where the document is.
pub(super) const DOCUMENT: &str = "/api/v1/openapi.json";

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody with a token, about what is theirs.
    Anybody,
    /// Administrators.
    Administrator,
    /// Only over the socket.
    Operator,
}

/// Something that may be in a query, with its schema.
type Asked = (&'static str, fn() -> Value);

/// What is answered when all goes well.
#[derive(Clone, Copy)]
enum Answered {
    Json(fn() -> Value),
    Stream(&'static str),
}

/// One thing that can be asked.
pub(super) struct Operation {
    /// Lower case.
    method: &'static str,
    path: &'static str,
    route: fn() -> MethodRouter<Arc<Parts>>,
    who: Who,
    summary: &'static str,
    /// What may be in the query, each with its schema.
    query: &'static [Asked],
    body: Option<fn() -> Value>,
    /// Without a body there are defaults.
    may_be_without_body: bool,
    /// It may take longer than anybody waits, and goes on by itself.
    may_go_on: bool,
    answered: Answered,
}

impl Operation {
    pub(super) fn is_public(&self) -> bool {
        self.who != Who::Operator
    }
}

/// One row; what a few have beside is set after it.
const fn row(
    method: &'static str,
    path: &'static str,
    route: fn() -> MethodRouter<Arc<Parts>>,
    (who, summary): (Who, &'static str),
    answered: Answered,
) -> Operation {
    Operation {
        method,
        path,
        route,
        who,
        summary,
        query: &[],
        body: None,
        may_be_without_body: false,
        may_go_on: false,
        answered,
    }
}

impl Operation {
    const fn takes(mut self, body: fn() -> Value) -> Self {
        self.body = Some(body);
        self
    }

    const fn may_take(mut self, body: fn() -> Value) -> Self {
        self.may_be_without_body = true;
        self.takes(body)
    }

    const fn may_go_on(mut self) -> Self {
        self.may_go_on = true;
        self
    }

    const fn asks(mut self, query: &'static [Asked]) -> Self {
        self.query = query;
        self
    }
}

use Answered::{Json, Stream};
use Who::{Administrator, Anybody};

const NDJSON: &str = "application/x-ndjson";
const TAR: &str = "application/x-tar";

/// Everything.
#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
    row("get", "/api/v1/me", || get(users::me), (Anybody, "Who the token is of"), Json(me)),
    row("get", "/api/v1/status", || get(super::status), (Anybody, "Version, addresses, networks and how they are doing"), Json(status)),
    row("get", "/api/v1/events", || get(events::events), (Anybody, "Accounts as they change: events 'accounts' and 'gone'"), Stream("text/event-stream")),
    row("get", "/api/v1/users", || get(users::users), (Administrator, "The people of this gateway"), Json(|| list(user()))),
    row("post", "/api/v1/users", || post(users::add_user), (Administrator, "Add a person; an administrator only with a token that opens everything"), Json(|| object(&[("name", text())]))).takes(new_user),
    row("delete", "/api/v1/users/{name}", || delete(users::remove_user), (Administrator, "Remove a person, with 'everything' their accounts too"), Json(nothing)).asks(&[("everything", flag)]).may_go_on(),
    row("put", "/api/v1/users/{name}/password", || put(users::set_password), (Administrator, "Give a person another password; yourself or an administrator only with a token that opens everything"), Json(nothing)).takes(password_of),
    row("get", "/api/v1/users/{name}/export", || get(users::export), (Anybody, "Everything of yours, as an archive"), Stream(TAR)),
    row("post", "/api/v1/users/{name}/token", || post(tokens::make), (Anybody, "Make a token that opens all that yours does, or what 'opens' says; one with the same 'label' ends"), Json(made_token)).may_take(new_token),
    row("get", "/api/v1/users/{name}/tokens", || get(tokens::list), (Anybody, "Your tokens, without what they say"), Json(|| list(token()))),
    row("delete", "/api/v1/users/{name}/tokens/{label}", || delete(tokens::remove), (Anybody, "End a token of yours"), Json(nothing)),
    row("get", "/api/v1/users/{name}/certificates", || get(certificates::list), (Anybody, "Certificates that log you in on IRC, by their SHA-256"), Json(|| list(text()))),
    row("put", "/api/v1/users/{name}/certificates/{fingerprint}", || put(certificates::add), (Anybody, "Let a certificate log you in on IRC"), Json(nothing)),
    row("delete", "/api/v1/users/{name}/certificates/{fingerprint}", || delete(certificates::remove), (Anybody, "Let a certificate open nothing any more"), Json(nothing)),
    row("put", "/api/v1/users/{name}/quota", || put(users::set_quota), (Administrator, "Say how many accounts a person may have; null: as many as limits.accounts_per_user says"), Json(quota)).takes(quota),
    row("put", "/api/v1/users/{name}/identity", || put(users::identify), (Administrator, "Say who somebody is on Matrix; yourself or an administrator only with a token that opens everything"), Json(nothing)).takes(identity_of),
    row("get", "/api/v1/accounts", || get(super::accounts), (Anybody, "Your accounts; for administrators everybody's"), Json(|| list(account()))),
    row("post", "/api/v1/accounts", || post(super::add_account), (Anybody, "Add an account of yours, signed out"), Json(account)).takes(new_account),
    row("get", "/api/v1/accounts/{name}", || get(super::account), (Anybody, "One account"), Json(account)),
    row("delete", "/api/v1/accounts/{name}", || delete(super::remove_account), (Anybody, "Sign out and forget an account, its chats and its media"), Json(nothing)).may_go_on(),
    row("post", "/api/v1/accounts/{name}/sign-in", || post(super::sign_in::sign_in), (Anybody, "Sign in: a line of JSON for each step until it is over"), Stream(NDJSON)),
    row("post", "/api/v1/accounts/{name}/sign-out", || post(super::sign_out), (Anybody, "End the session"), Json(nothing)),
    row("get", "/api/v1/accounts/{name}/proxy", || get(own_api::proxy), (Administrator, "Which way an account goes to WeChat: 'default', 'direct', or a proxy's address without its password"), Json(proxy)),
    row("put", "/api/v1/accounts/{name}/proxy", || put(own_api::set_proxy), (Administrator, "Say which way, and start the account anew"), Json(proxy)).takes(proxy),
    row("get", "/api/v1/accounts/{name}/rate", || get(own_api::rate), (Administrator, "How often an account sends to WeChat: 'default', or messages a minute"), Json(rate)),
    row("put", "/api/v1/accounts/{name}/rate", || put(own_api::set_rate), (Administrator, "Say how often, and start the account anew"), Json(rate)).takes(rate),
    row("get", "/api/v1/accounts/{name}/choices", || get(choice_api::choices), (Anybody, "What you chose about how faces show an account, and what can be chosen"), Json(|| list(choice()))),
    row("put", "/api/v1/accounts/{name}/choices", || put(choice_api::set_choice), (Anybody, "Choose something about how a face shows an account; on Matrix for all accounts of yours"), Json(nothing)).takes(wanted_choice),
    row("get", "/api/v1/accounts/{name}/chats", || get(super::chats), (Anybody, "The chats of an account"), Json(|| list(chat()))),
    row("get", "/api/v1/accounts/{name}/questions", || get(identity::questions), (Anybody, "Chats of which it is not settled who they are"), Json(|| list(question()))),
    row("post", "/api/v1/accounts/{name}/questions", || post(identity::resolve), (Anybody, "Say who a chat is; 'same_as' null for somebody new"), Json(nothing)).takes(resolved),
    row("get", "/api/v1/accounts/{name}/markers", || get(markers::list), (Anybody, "Markers in the owner's remarks, those that need the owner first"), Json(|| list(marker()))),
    row("post", "/api/v1/accounts/{name}/markers", || post(markers::mark), (Anybody, "Write markers into the owner's remarks, or take them away: of 'chats', or of everybody"), Json(|| object(&[("text", text())]))).takes(wanted_markers),
    row("get", "/api/v1/accounts/{name}/chats/{chat}/why", || get(identity::why), (Anybody, "Why a chat is taken for who it is"), Json(|| object(&[("why", text())]))),
    row("post", "/api/v1/accounts/{name}/chats/{chat}/undo", || post(identity::undo), (Anybody, "Take the last decision about a chat back"), Json(nothing)),
    row("get", "/api/v1/links", || get(link_api::links), (Administrator, "Chats that mirror each other, without other people's"), Json(|| list(link()))),
    row("post", "/api/v1/links", || post(link_api::add_link), (Administrator, "Make chats mirror each other"), Json(link)).takes(new_link),
    row("delete", "/api/v1/links/{which}", || delete(link_api::remove_link), (Administrator, "Take a link apart, by its number or a member"), Json(|| object(&[("id", number())]))),
    row("get", "/api/v1/instances", || get(instance_api::list), (Administrator, "The instances that share the database, the one that has it ('leader') first; none where the store is a file"), Json(|| list(instance()))),
    row("post", "/api/v1/networks/{network}/retry", || post(network_api::retry), (Administrator, "Try a network again that rests after a ban or an error that somebody has mended, or the channels that a running one was thrown out of: 'again' names them"), Json(|| object(&[("again", text())]))),
    row("get", "/api/v1/audit", || get(audit::acts), (Administrator, "What was done to the instance, the newest first, before the act 'before'; 'who' null is the operator"), Json(|| list(act()))).asks(&[("before", number), ("limit", count)]),
    row("post", "/api/v1/backup", || post(backup_api::backup), (Who::Operator, "A backup"), Stream(TAR)).asks(&[("with_key", flag)]),
    row("get", "/api/v1/matrix/sign-in", || get(bot_api::link), (Who::Operator, "Where the Matrix account is signed in, when that is done on a page of its homeserver's"), Json(|| object(&[("link", or_null("string"))]))),
    row("post", "/api/v1/matrix/sign-in", || post(bot_api::finish), (Who::Operator, "Sign the Matrix account in with the address that the browser was sent to"), Json(nothing)).takes(|| object(&[("address", text())])),
    row("post", "/api/v1/seal-key/rotate", || post(key_api::rotate), (Who::Operator, "Replace the seal key"), Json(nothing)),
];

/// The routes of what `is_offered`.
pub(super) fn routes(is_offered: impl Fn(&Operation) -> bool) -> Router<Arc<Parts>> {
    let offered = OPERATIONS.iter().filter(|operation| is_offered(operation));
    let add =
        |router: Router<Arc<Parts>>, operation: &Operation| router.route(operation.path, (operation.route)());
    offered.fold(Router::new(), add).layer(DefaultBodyLimit::max(BODY_BYTES))
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

/// How many of something are wanted.
fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn or_null(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

/// An object that has all of these.
fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    with(fields, &names)
}

/// An object that has these of them at least.
fn with(fields: &[(&str, Value)], required: &[&str]) -> Value {
    let fields: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": fields, "required": required })
}

fn nothing() -> Value {
    json!({ "type": "object" })
}

fn me() -> Value {
    object(&[("name", text()), ("is_admin", flag()), ("accounts", number())])
}

fn status() -> Value {
    let addresses = || list(text());
    let network = object(&[("network", text()), ("state", state()), ("detail", text())]);
    object(&[
        ("version", text()),
        ("irc", addresses()),
        ("irc_tls", addresses()),
        ("irc_websocket", addresses()),
        ("matrix", or_null("string")),
        ("networks", list(network)),
    ])
}

fn user() -> Value {
    object(&[
        ("name", text()),
        ("is_admin", flag()),
        ("accounts", number()),
        ("has_password", flag()),
        ("has_token", flag()),
        ("accounts_max", accounts_max()),
    ])
}

fn accounts_max() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0, "maximum": users::MOST_ACCOUNTS })
}

fn quota() -> Value {
    object(&[("accounts_max", accounts_max())])
}

/// Names of new people as far as a pattern says it that every library of patterns reads alike: that what is beyond
/// ASCII has to be a letter or a digit stands in words.
const PERSON: &str = r"^(?:[A-Za-z0-9._]|[^\x00-\x7F])(?:[A-Za-z0-9._-]|[^\x00-\x7F])*$";

fn new_user() -> Value {
    let name = json!({ "type": "string", "pattern": PERSON, "maxLength": 64,
        "description": "letters and digits of any script, '-', '_' and '.'; not '-' first; at most 64 bytes" });
    let password = json!({ "type": "string", "minLength": 1, "maxLength": PASSWORD_BYTES });
    with(&[("name", name), ("password", password), ("is_admin", flag())], &["name", "password"])
}

fn password_of() -> Value {
    let password = json!({ "type": "string", "minLength": 1, "maxLength": PASSWORD_BYTES });
    with(&[("password", password)], &["password"])
}

/// What a token opens.
fn opens() -> Value {
    list(json!({ "type": "string", "enum": ["read", "write", "login", "admin"] }))
}

fn label() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 64 })
}

fn token() -> Value {
    object(&[("label", text()), ("opens", opens()), ("made_ms", number()), ("used_ms", or_null("integer"))])
}

fn new_token() -> Value {
    let mut some = opens();
    some["minItems"] = 1.into();
    with(&[("label", label()), ("opens", some)], &[])
}

fn made_token() -> Value {
    object(&[("name", text()), ("label", text()), ("opens", opens()), ("token", text())])
}

fn act() -> Value {
    object(&[
        ("id", number()),
        ("at_ms", number()),
        ("who", or_null("string")),
        ("door", text()),
        ("what", text()),
        ("about", text()),
    ])
}

fn state() -> Value {
    json!({ "type": "string", "enum": ["starting", "up", "partial", "degraded", "needs_human", "down"] })
}

fn proxy() -> Value {
    object(&[("proxy", text())])
}

fn rate() -> Value {
    object(&[("sends_per_minute", text())])
}

fn account() -> Value {
    object(&[
        ("name", text()),
        ("owner", text()),
        ("state", state()),
        ("detail", text()),
        ("own_name", text()),
        ("loading", loading()),
        ("instance", or_null("string")),
    ])
}

/// How far the first reading of its contacts is, while it lasts.
fn loading() -> Value {
    let part = json!({ "type": "string", "enum": ["contacts", "groups", "storing"] });
    let mut schema = object(&[("part", part), ("done", count()), ("of", or_null("integer"))]);
    schema["type"] = json!(["object", "null"]);
    schema
}

fn instance() -> Value {
    object(&[
        ("name", text()),
        ("role", json!({ "type": "string", "enum": ["leader", "worker"] })),
        ("address", text()),
        ("since_ms", number()),
        ("accounts", number()),
    ])
}

fn new_account() -> Value {
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": 32 });
    with(&[("name", name), ("owner", or_null("string"))], &["name"])
}

fn choice() -> Value {
    let values = list(object(&[("value", text()), ("about", text())]));
    object(&[("face", text()), ("name", text()), ("value", text()), ("values", values)])
}

fn wanted_choice() -> Value {
    object(&[("face", text()), ("name", text()), ("value", text())])
}

fn chat() -> Value {
    let kind = json!({ "type": "string", "enum": ["private", "group", "official", "system"] });
    object(&[
        ("chat", text()),
        ("kind", kind),
        ("title", text()),
        ("called", text()),
        ("members", or_null("integer")),
        ("is_gone", flag()),
    ])
}

fn question() -> Value {
    let candidate = object(&[("chat", text()), ("title", text()), ("evidence", text())]);
    object(&[("id", text()), ("title", text()), ("candidates", list(candidate))])
}

fn marker() -> Value {
    object(&[("chat", text()), ("title", text()), ("state", text()), ("wanted", text())])
}

fn wanted_markers() -> Value {
    let marking = json!({ "type": "string", "enum": ["put", "take"] });
    with(&[("marking", marking), ("chats", list(text())), ("everybody", flag())], &["marking"])
}

fn resolved() -> Value {
    with(&[("id", text()), ("same_as", or_null("string"))], &["id"])
}

fn identity_of() -> Value {
    object(&[("matrix", json!({ "type": "string", "pattern": "^@[^:]*:" }))])
}

/// `NETWORK/CHAT`.
const CHAT: &str = "^[^/]+/[^/]";

fn new_link() -> Value {
    let member = json!({ "type": "string", "pattern": CHAT });
    object(&[("members", json!({ "type": "array", "items": member, "minItems": 2, "maxItems": 32 }))])
}

fn link() -> Value {
    let member =
        object(&[("name", text()), ("network", text()), ("chat", text()), ("title", or_null("string"))]);
    object(&[("id", number()), ("members", list(member))])
}

/// Why something was refused, by status.
const REFUSALS: [(&str, &str); 9] = [
    ("400", "The request is not understood"),
    ("401", "No token, or one that ended"),
    ("403", "Not yours to ask"),
    ("404", "There is no such thing, or it is somebody else's"),
    ("405", "Not this method"),
    ("409", "It is not in the state for it"),
    ("413", "The request is too large"),
    ("429", "Too many at once"),
    ("503", "The store does not answer"),
];

/// The document.
pub(super) async fn document() -> Response {
    answer(axum::http::StatusCode::OK, &described())
}

fn described() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.is_public()) {
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), one(operation));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "wxgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Everything that the commands do, with the rights of whoever's token it is.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": { "securitySchemes": { "token": {
            "type": "http", "scheme": "bearer", "description": "wxgate user token NAME",
        } } },
    })
}

fn one(operation: &Operation) -> Value {
    let path_parts = operation.path.split(['{', '}']).skip(1).step_by(2);
    let schema = |name: &str| match name {
        "which" => json!({ "type": "string", "pattern": format!("^[0-9]{{1,18}}$|{CHAT}") }),
        "label" => label(),
        "fingerprint" => json!({ "type": "string", "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$" }),
        _ => text(),
    };
    let in_path = path_parts
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) }));
    let in_query = operation
        .query
        .iter()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "schema": schema() }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let content = match operation.answered {
        Json(schema) => json!({ "application/json": { "schema": schema() } }),
        Stream(kind) => json!({ kind: { "schema": {} } }),
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "Done", "content": content.clone() }));
    if operation.may_go_on {
        let told = json!({ "description": "It takes long, and goes on by itself", "content": content });
        responses.insert("202".to_owned(), told);
    }
    let refusal = json!({ "application/json": { "schema": object(&[("error", text())]) } });
    for (status, why) in REFUSALS {
        responses.insert(status.to_owned(), json!({ "description": why, "content": refusal }));
    }
    let mut told = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if operation.who == Administrator {
        told["description"] = "For administrators.".into();
    }
    if let Some(body) = operation.body {
        told["requestBody"] = json!({ "required": !operation.may_be_without_body, "content": { "application/json": { "schema": body() } } });
    }
    told
}

/// `get_accounts_name_chats`: unique, because method and path are.
fn operation_id(operation: &Operation) -> String {
    let path = operation.path.trim_start_matches("/api/v1/");
    let words: Vec<&str> =
        path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    format!("{}_{}", operation.method, words.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_operation_of_people_and_none_of_the_operator() {
        let document = described();
        let paths = document["paths"].as_object().unwrap();
        let count: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(count, OPERATIONS.iter().filter(|operation| operation.is_public()).count());
        assert!(!paths.contains_key("/api/v1/backup") && !paths.contains_key("/api/v1/seal-key/rotate"));
        let post = &document["paths"]["/api/v1/accounts/{name}/questions"]["post"];
        assert_eq!(post["parameters"][0]["name"], "name");
        assert_eq!(post["requestBody"]["content"]["application/json"]["schema"]["required"], json!(["id"]));
        let mut ids: Vec<String> = OPERATIONS.iter().map(operation_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), OPERATIONS.len());
    }
}
