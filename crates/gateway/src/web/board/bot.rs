//! Signing the gateway's Matrix account in on a page of its homeserver's: the way there, and back.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::frame::{Page, trouble};
use super::gate::{Answer, Person, Visitor};
use super::words::fill;
use crate::wiring::Parts;

/// The way there, for administrators.
pub(super) async fn page(State(parts): State<Arc<Parts>>, person: Person) -> Answer {
    person.must_be_admin()?;
    let words = person.words();
    let link = parts.web_sign_in.as_ref().and_then(|page| page.link());
    Ok(person.page(words.bot).show(&html! {
        h1 { (words.bot) }
        @match link {
            Some(link) => {
                p { (fill(words.bot_begin, link.host_str().unwrap_or_default())) }
                p { a.button href=(link) rel="noreferrer" { (words.bot_go) } }
            }
            None => { p.soft { (words.bot_nothing) } }
        }
    }))
}

/// Whoever comes back: the word in the address says that they were sent, so a session of ours is not asked for;
/// browsers do not send its cookie along from another site.
pub(super) async fn back(
    State(parts): State<Arc<Parts>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let words = visitor.words();
    // The address holds the code: nothing leads back to it.
    let visitor = Visitor { page: None, ..visitor };
    let went = match &parts.web_sign_in {
        Some(page) => page.came_back(&query.unwrap_or_default()).await,
        None => Err(words.bot_nothing.to_owned()),
    };
    match went {
        Ok(()) => Page { title: words.bot, visitor: &visitor, person: None, status: StatusCode::OK }
            .show(&html! { h1 { (words.bot) } p { (words.bot_done) } p { a href="/" { (words.back) } } }),
        Err(why) => trouble(visitor.language, StatusCode::CONFLICT, &why),
    }
}
