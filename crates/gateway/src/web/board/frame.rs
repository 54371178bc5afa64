//! What all pages have in common: the frame, the headers, the style and the script.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use std::sync::Arc;

use super::gate::{Person, Visitor};
use super::words::{Language, fill};
use crate::wiring::Parts;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("board.js");

/// Nothing from elsewhere, nothing inline but pictures, no frames, forms only to us.
///
/// Source: Content Security Policy Level 3.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page to be.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) visitor: &'a Visitor,
    pub(super) person: Option<&'a Person>,
    pub(super) status: StatusCode,
}

impl Page<'_> {
    /// The page with this body.
    pub(super) fn show(&self, body: &Markup) -> Response {
        let words = self.visitor.words();
        let other = match self.visitor.language {
            Language::English => Language::Chinese,
            Language::Chinese => Language::English,
        };
        let switch = format!("/language?to={}&back={}", other.tag(), query_value(self.visitor.here()));
        let page = html! {
            (DOCTYPE)
            html lang=(self.visitor.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (self.title) " · wxgate" }
                    link rel="stylesheet" href="/style.css";
                    script src="/board.js" defer {}
                }
                body {
                    a.skip href="#main" { (words.skip) }
                    header {
                        a.name href="/" { "wxgate" }
                        nav {
                            @if let Some(person) = self.person {
                                @if person.is_admin { a href="/admin" { (words.admin) } }
                                a href="/me" { (words.yours) }
                                form method="post" action="/sign-out" {
                                    (form_key(person))
                                    button.plain title=(fill(words.signed_in_as, &person.user)) { (words.sign_out) }
                                }
                            }
                            a href=(switch) lang=(other.tag()) hreflang=(other.tag()) { (words.other_language) }
                        }
                    }
                    main #main { (body) }
                }
            }
        };
        finished(self.status, page.into_string())
    }
}

/// What guards a form.
pub(super) fn form_key(person: &Person) -> Markup {
    html! { input type="hidden" name="key" value=(person.form_key); }
}

fn finished(status: StatusCode, html: String) -> Response {
    let mut answer = (status, html).into_response();
    let headers: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "cookie, accept-language"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing to others. With less, browsers would not tell us either that a form is ours.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

pub(super) fn asset(kind: &'static str, text: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        // Asked for again at each page, being small; after an upgrade an old script would not fit.
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// The style of every page. Not in the pages, so that their policy can forbid inline style.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// The one script.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// A page of one sentence, for whoever asks.
pub(in crate::web) fn words(visitor: &Visitor, status: StatusCode, title: &str, sentence: &str) -> Response {
    let page = Page { title, visitor, person: None, status };
    page.show(&html! { h1 { (title) } p { (sentence) } })
}

/// Why something was not done, for somebody who is not signed in.
pub(super) fn trouble(language: Language, status: StatusCode, sentence: &str) -> Response {
    let visitor = Visitor { language, page: None };
    let page = Page { title: visitor.words().not_done, visitor: &visitor, person: None, status };
    page.show(&said(&visitor, sentence))
}

/// Why something was not done.
pub(super) fn trouble_of(person: &Person, status: StatusCode, sentence: &str) -> Response {
    let page = Page { status, ..person.page(person.words().not_done) };
    page.show(&said(&person.visitor, sentence))
}

/// That a removal goes on, and that nobody has to wait for it.
pub(super) fn goes_on(person: &Person, back: &str, name: &str) -> Response {
    let words = person.words();
    let title = fill(words.removing, name);
    let page = Page { status: StatusCode::ACCEPTED, ..person.page(&title) };
    page.show(&html! {
        h1 { (title) }
        p role="status" { (words.removing_long) }
        p { a href=(back) { (words.back) } }
    })
}

fn said(visitor: &Visitor, sentence: &str) -> Markup {
    let words = visitor.words();
    html! {
        h1 { (words.not_done) }
        p.alarm role="alert" { (words.told(sentence)) }
        p { a href="/" { (words.back) } }
    }
}

/// Any other address.
pub(super) async fn nothing_here(State(_): State<Arc<Parts>>, visitor: Visitor) -> Response {
    let words = visitor.words();
    let page =
        Page { title: words.not_found, visitor: &visitor, person: None, status: StatusCode::NOT_FOUND };
    page.show(&html! { h1 { (words.not_found) } p { (words.no_page) } p { a href="/" { (words.back) } } })
}

/// A text as the value of a query. Source: URL Standard, percent-encode sets.
pub(super) fn query_value(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
