//! Friend requests of an account, and the answer to one.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{FriendRequest, NetworkId, RemoteId, Request, Verdict};

use super::account::{ask, own, path_part};
use super::frame::form_key;
use super::gate::{Answer, Person};
use crate::clock;
use crate::wiring::Parts;

/// Who asks to become a contact; nothing when nobody does.
pub(super) fn section(person: &Person, account: &NetworkId, asked: &[FriendRequest]) -> Markup {
    let words = person.words();
    if asked.is_empty() {
        return html! {};
    }
    let form = |request: &RemoteId, verdict: &str, label: &str, class: &str| {
        html! {
            form method="post" action={ "/accounts/" (account.name()) "/requests" } {
                (form_key(person))
                input type="hidden" name="request" value=(request);
                input type="hidden" name="verdict" value=(verdict);
                button class=(class) { (label) }
            }
        }
    };
    html! {
        h2 { (words.friend_requests) }
        @for one in asked {
            section.card {
                h3 { @if one.name.is_empty() { span.soft { (words.unnamed) } } @else { (one.name) } }
                @if !one.greeting.is_empty() { p { "“" (one.greeting) "”" } }
                @if one.at.ms() > 0 { p.soft { (clock::written(one.at)) " UTC" } }
                div.row {
                    (form(&one.request, "accept", words.accept, ""))
                    (form(&one.request, "decline", words.decline, "quiet"))
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Given {
    key: String,
    request: String,
    verdict: String,
}

pub(super) async fn answer(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Given { key, request, verdict }): Form<Given>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let (account, _) = own(&parts, &person, &name)?;
    let verdict = if verdict == "accept" { Verdict::Accept } else { Verdict::Decline };
    let request = Request::Befriend { request: RemoteId::from(request), verdict };
    match ask(&parts, &person, account, request).await {
        Ok(_) => Ok(Redirect::to(&format!("/accounts/{}", path_part(&name))).into_response()),
        Err(error) => Err(person.refused(&error)),
    }
}
