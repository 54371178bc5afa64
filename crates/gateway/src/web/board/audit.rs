//! The audit trail: for administrators.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::frame::trouble_of;
use super::gate::{Person, Turned};
use crate::clock;
use crate::wiring::Parts;

/// Acts on one page.
const SHOWN: usize = 50;

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// What was done to the instance.
pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(Before { before }): Query<Before>,
) -> Result<Response, Turned> {
    person.must_be_admin()?;
    let words = person.words();
    let read = parts.bridge.store().acts(before, SHOWN + 1).await;
    let acts = read.map_err(|error| {
        Turned::from(trouble_of(&person, StatusCode::SERVICE_UNAVAILABLE, &error.to_string()))
    })?;
    let last = acts.get(SHOWN - 1).filter(|_| acts.len() > SHOWN).map(|row| row.id);
    Ok(person.page(words.audit).show(&html! {
        h1 { (words.audit) }
        @if acts.is_empty() { p { (words.nothing) } } @else {
            div.wide tabindex="0" role="region" aria-label=(words.audit) { table {
                thead { tr {
                    th scope="col" { (words.when) } th scope="col" { (words.who) } th scope="col" { (words.from) }
                    th scope="col" { (words.what) } th scope="col" { (words.about) }
                } }
                tbody { @for row in acts.iter().take(SHOWN) {
                    tr {
                        td.word { (clock::written(row.at)) }
                        td.word { @if let Some(who) = &row.act.who { (who) } @else { span.soft { (words.the_operator) } } }
                        td.word { (row.act.door) } td.word { (row.act.what) } td.word { (row.act.about) }
                    }
                } }
            } }
        }
        p {
            @if before.is_some() { a href="/admin/audit" { (words.first) } " " }
            @if let Some(last) = last { a href={ "/admin/audit?before=" (last) } rel="next" { (words.next) } }
        }
    }))
}
