//! Who comes in: the session's cookie, the sign-in form, and what guards the other forms.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Extension, Form, FromRequestParts, Query, State};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use url::{Host, Url};
use wxgate_contract::{Command, CommandError, Control, Credential, Reply, UserName};
use wxgate_store::{Opens, StoreError};

use super::frame::{self, Page};
use super::home;
use super::words::{Language, Words};
use crate::web::api::Caller;
use crate::web::links::Links;
use crate::web::serve::Peer;
use crate::wiring::Parts;

const LANGUAGE_COOKIE: &str = "wxgate-language";
/// How long a chosen language is remembered: a year.
const LANGUAGE_SECONDS: u32 = 365 * 86_400;
/// How long a browser keeps the session's cookie; the session itself may end earlier.
const COOKIE_SECONDS: u32 = 30 * 86_400;

/// Name of the session's cookie. With TLS browsers bind it to this host and to TLS. Without, the port is in the name:
/// cookies themselves go to every port of a host, and two gateways there would end each other's sessions.
///
/// Source: RFC 6265bis, 4.1.3.2 and 8.5.
fn cookie_name(links: &Links) -> String {
    if links.is_https() { "__Host-wxgate".to_owned() } else { format!("wxgate-{}", links.port()) }
}

/// A cookie of a request.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The answer to somebody who gets no further. In a box, because it travels as an error.
pub(super) struct Turned(Box<Response>);

impl From<Response> for Turned {
    fn from(answer: Response) -> Self {
        Self(Box::new(answer))
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// What a page answers.
pub(super) type Answer = Result<Response, Turned>;

/// A visitor, signed in or not.
pub(in crate::web) struct Visitor {
    /// The language of the answer.
    pub(super) language: Language,
    /// The path and query to come back to: the page that was asked for. `None` after a form.
    pub(super) page: Option<String>,
}

impl Visitor {
    pub(in crate::web) fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// Where to come back to.
    pub(super) fn here(&self) -> &str {
        self.page.as_deref().unwrap_or("/")
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Self, Infallible> {
        let chosen = cookie(&head.headers, LANGUAGE_COOKIE).and_then(Language::of_tag);
        let language = chosen.unwrap_or_else(|| {
            let asked = head.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
            Language::accepted(asked.unwrap_or_default())
        });
        // What a form was sent to is no page to come back to.
        let page = head.uri.path_and_query().filter(|_| head.method == Method::GET);
        Ok(Self { language, page: page.map(|path| path.as_str().to_owned()) })
    }
}

/// Somebody who is signed in.
pub(super) struct Person {
    pub(super) user: UserName,
    /// They are an administrator, and came in with what opens that.
    pub(super) is_admin: bool,
    /// What they came in with opens this.
    pub(super) opens: Opens,
    pub(super) visitor: Visitor,
    /// What their forms carry.
    pub(super) form_key: String,
    pub(super) token: String,
}

impl Person {
    pub(super) fn words(&self) -> &'static Words {
        self.visitor.words()
    }

    /// The session of a request.
    ///
    /// # Errors
    /// The answer to somebody who is not signed in.
    async fn of(head: &mut Head, parts: &Arc<Parts>) -> Result<Self, Turned> {
        let Ok(visitor) = Visitor::from_request_parts(head, parts).await;
        let token = cookie(&head.headers, &cookie_name(&parts.links)).map(str::to_owned);
        let who = token.and_then(|token| Some((parts.sessions.whose(&token)?, token)));
        let Some(((user, credential), token)) = who else {
            return Err(home::entrance(parts, &visitor, None).into());
        };
        let store = parts.bridge.store();
        let found = async {
            let opens = store.still_opens(&user, &credential).await?;
            Ok::<_, StoreError>(store.user(&user).await?.zip(opens))
        };
        match found.await {
            Ok(Some((row, opens))) => Ok(Self {
                user,
                is_admin: row.is_admin && opens.includes(Opens::ADMIN),
                opens,
                visitor,
                form_key: parts.sessions.form_key(&token),
                token,
            }),
            // Removed since, or what they came in with was.
            Ok(None) => {
                parts.sessions.end(&token);
                Err(home::entrance(parts, &visitor, None).into())
            }
            Err(error) => {
                let why = error.to_string();
                Err(frame::trouble(visitor.language, StatusCode::SERVICE_UNAVAILABLE, &why).into())
            }
        }
    }

    /// Whether what was sent came from a form of this session.
    pub(super) fn sent_this(&self, parts: &Parts, key: &str) -> Result<(), Turned> {
        match parts.sessions.is_form_key(&self.token, key) {
            true => Ok(()),
            false => Err(frame::trouble_of(self, StatusCode::FORBIDDEN, self.words().stale).into()),
        }
    }

    /// For everybody else the address is like one that does not exist.
    pub(super) fn must_be_admin(&self) -> Result<(), Turned> {
        match self.is_admin {
            true => Ok(()),
            false => Err(frame::trouble_of(self, StatusCode::NOT_FOUND, self.words().no_page).into()),
        }
    }

    /// Writes into the audit trail what they did to what is theirs.
    pub(super) async fn record(&self, parts: &Parts, what: &str) {
        let who = self.user.clone();
        parts.bridge.record(Some(who.clone()), "pages", what, who.to_string()).await;
    }

    /// As whom they ask the API.
    pub(super) fn caller(&self) -> Caller {
        let (user, is_admin, opens) = (self.user.clone(), self.is_admin, self.opens);
        Caller::Person { user, is_admin, token: String::new(), opens, door: "pages" }
    }

    /// Where their commands go.
    pub(super) fn desk(&self, parts: &Parts) -> Arc<dyn Control> {
        parts.bridge.control("pages", Some(self.user.clone()))
    }

    /// A page of theirs.
    pub(super) fn page<'a>(&'a self, title: &'a str) -> Page<'a> {
        Page { title, visitor: &self.visitor, person: Some(self), status: StatusCode::OK }
    }

    /// Why something was not done.
    pub(super) fn refused(&self, error: &CommandError) -> Turned {
        let (status, sentence) = self.why(error);
        frame::trouble_of(self, status, &sentence).into()
    }

    /// The same, in words.
    pub(super) fn why(&self, error: &CommandError) -> (StatusCode, String) {
        match error {
            CommandError::NoSuchAccount(_) => (StatusCode::NOT_FOUND, self.words().no_account.to_owned()),
            CommandError::Denied => (StatusCode::FORBIDDEN, error.to_string()),
            CommandError::TooOften => (StatusCode::TOO_MANY_REQUESTS, self.words().too_often.to_owned()),
            CommandError::Refused(_) => (StatusCode::CONFLICT, error.to_string()),
            CommandError::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl FromRequestParts<Arc<Parts>> for Person {
    type Rejection = Turned;

    async fn from_request_parts(head: &mut Head, parts: &Arc<Parts>) -> Result<Self, Turned> {
        Self::of(head, parts).await
    }
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    user: String,
    password: String,
    #[serde(default)]
    back: String,
}

/// A path of ours to come back to; anything else leads home.
fn way_back(path: &str) -> &str {
    // A second slash or a backslash would make browsers read another host, and of tabs and line breaks between they see
    // nothing. Source: the URL standard, "basic URL parser".
    let is_odd = |c: char| c == '\\' || c.is_control();
    let is_ours = path.starts_with('/') && !path.starts_with("//") && !path.contains(is_odd);
    if is_ours { path } else { "/" }
}

/// Whether a form that no session guards was sent by another site's page.
///
/// Browsers say so by `Sec-Fetch-Site`, but not to an address in clear that is not this machine: there `Origin` tells,
/// which comes with every form. It has to be `base`, how `web.public_url` calls the pages, or what `Host` names. What
/// is no browser sends neither.
///
/// Source: Fetch Metadata Request Headers, 2 and 2.3; Fetch, "append a request `Origin` header".
pub(super) fn is_foreign(headers: &HeaderMap, base: &str) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = value("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    let Some(origin) = origin.as_ref().and_then(place) else { return true };
    let is_public = Url::parse(base).ok().as_ref().and_then(place).is_some_and(|base| base == origin);
    let named = value("host").map(|host| format!("{}://{host}", origin.0));
    let is_named = named.and_then(|named| Url::parse(&named).ok()).as_ref().and_then(place) == Some(origin);
    !is_public && !is_named
}

/// Where a page comes from.
fn place(of: &Url) -> Option<(&str, Host<&str>, u16)> {
    Some((of.scheme(), of.host()?, of.port_or_known_default()?))
}

/// Checks a password and begins a session.
pub(super) async fn sign_in(
    State(parts): State<Arc<Parts>>,
    peer: Option<Extension<Peer>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    let words = visitor.words();
    if is_foreign(&headers, parts.links.base()) {
        return home::entrance(&parts, &visitor, Some((StatusCode::FORBIDDEN, words.stale)));
    }
    let from = peer.and_then(|Extension(Peer(address))| address);
    let command = Command::Authenticate { names: vec![given.user.into()], password: given.password, from };
    let (status, why) = match parts.bridge.control("pages", None).run(None, command).await {
        Ok(Reply::Opened(user, credential)) => {
            return begin(&parts, &visitor, &headers, (user, credential, &given.back)).await;
        }
        Err(CommandError::TooOften) => (StatusCode::TOO_MANY_REQUESTS, words.too_often),
        Err(CommandError::Failed(why)) => {
            return frame::trouble(visitor.language, StatusCode::SERVICE_UNAVAILABLE, &why);
        }
        Ok(_) | Err(_) => (StatusCode::UNAUTHORIZED, words.wrong),
    };
    home::entrance(&parts, &visitor, Some((status, why)))
}

/// Begins a session of somebody who showed who they are, and leads to `back`.
pub(super) async fn begin(
    parts: &Parts,
    visitor: &Visitor,
    headers: &HeaderMap,
    (user, credential, back): (UserName, Credential, &str),
) -> Response {
    let name = cookie_name(&parts.links);
    // Whatever session the browser had is over: its token may be known to somebody else.
    if let Some(old) = cookie(headers, &name) {
        parts.sessions.end(old);
    }
    let Some(token) = parts.sessions.begin(user.clone(), credential) else {
        let why = "the system gives no random numbers";
        return frame::trouble(visitor.language, StatusCode::SERVICE_UNAVAILABLE, why);
    };
    tracing::info!(%user, "somebody signed in to the web pages");
    parts.bridge.record(Some(user.clone()), "pages", "signed-in", user.to_string()).await;
    with_cookie(way_back(back), &format!("{name}={token}"), COOKIE_SECONDS, parts.links.is_https())
}

#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) key: String,
}

/// Ends the session.
pub(super) async fn sign_out(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Key { key }): Form<Key>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    parts.sessions.end(&person.token);
    Ok(with_cookie("/", &format!("{}=", cookie_name(&parts.links)), 0, parts.links.is_https()))
}

#[derive(Deserialize)]
pub(super) struct Choice {
    to: String,
    #[serde(default)]
    back: String,
}

/// Remembers a language.
pub(super) async fn language(State(parts): State<Arc<Parts>>, Query(choice): Query<Choice>) -> Response {
    let language = Language::of_tag(&choice.to).unwrap_or(Language::English);
    let pair = format!("{LANGUAGE_COOKIE}={}", language.tag());
    with_cookie(way_back(&choice.back), &pair, LANGUAGE_SECONDS, parts.links.is_https())
}

/// Leads to `path` and sets a cookie that scripts cannot read and that other sites' forms do not send.
fn with_cookie(path: &str, pair: &str, seconds: u32, is_https: bool) -> Response {
    let secure = if is_https { "; Secure" } else { "" };
    let line = format!("{pair}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut answer = Redirect::to(path).into_response();
    if let Ok(value) = HeaderValue::from_str(&line) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
    answer
}

#[cfg(test)]
mod tests;
