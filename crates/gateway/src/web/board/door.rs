//! Coming in by a link that was given on another network.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::frame::Page;
use super::gate::{self, Visitor};
use super::home;
use super::words::fill;
use crate::wiring::Parts;

/// Asks first: programs that look at links for a preview must not use it up.
pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Response {
    let words = visitor.words();
    let Some(user) = parts.invitations.whose(&token) else { return gone(&parts, &visitor) };
    // The address holds the token: nothing leads back to it.
    let visitor = Visitor { page: None, ..visitor };
    let page = Page { title: words.sign_in, visitor: &visitor, person: None, status: StatusCode::OK };
    page.show(&html! {
        h1 { "wxgate" }
        p { (words.enter_once) }
        form.card method="post" action="/enter" {
            input type="hidden" name="token" value=(token);
            button { (fill(words.enter_as, &user)) }
        }
    })
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
}

/// Begins a session.
pub(super) async fn enter(
    State(parts): State<Arc<Parts>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(Given { token }): Form<Given>,
) -> Response {
    if gate::is_foreign(&headers, parts.links.base()) {
        return home::entrance(&parts, &visitor, Some((StatusCode::FORBIDDEN, visitor.words().stale)));
    }
    match parts.invitations.redeem(&token) {
        Some((user, credential)) => gate::begin(&parts, &visitor, &headers, (user, credential, "/")).await,
        None => gone(&parts, &visitor),
    }
}

fn gone(parts: &Parts, visitor: &Visitor) -> Response {
    let visitor = Visitor { page: None, ..*visitor };
    home::entrance(parts, &visitor, Some((StatusCode::NOT_FOUND, visitor.words().enter_gone)))
}
