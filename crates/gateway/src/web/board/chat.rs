//! The page of one chat: what it is, why it is taken for who it is, and the way back from the last decision about it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use maud::html;
use serde::Deserialize;
use wxgate_contract::{Answer as Told, ChatKey, ChatKind, ChatRef, Directory, Request};

use super::account::{ask, briefly, kind, own, path_part};
use super::face;
use super::frame::{form_key, query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use crate::web::api::called;
use crate::wiring::Parts;

#[derive(Deserialize)]
pub(super) struct Which {
    chat: String,
}

/// Where the page of a chat is.
pub(super) fn address(account: &str, chat: &ChatKey) -> String {
    format!("/accounts/{}/chat?chat={}", path_part(account), query_value(chat.as_str()))
}

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(Which { chat }): Query<Which>,
) -> Answer {
    let (network, _) = own(&parts, &person, &name)?;
    let words = person.words();
    let failed = |error: wxgate_contract::FarError| {
        Turned::from(trouble_of(&person, StatusCode::SERVICE_UNAVAILABLE, &error.to_string()))
    };
    let place = ChatRef { network: network.clone(), chat: ChatKey::from(chat) };
    let Some(chat) = parts.bridge.chat(&place).await.map_err(failed)? else {
        return Err(trouble_of(&person, StatusCode::NOT_FOUND, words.no_chat).into());
    };
    let title = called(&parts, &network, &chat).await.map_err(failed)?;
    let title = if title.is_empty() { words.unnamed.into() } else { words.title(&title) };
    let is_somebody = matches!(chat.kind, ChatKind::Private | ChatKind::Group);
    let why = match is_somebody {
        true => Some(briefly(ask(&parts, &person, network, Request::Why(chat.chat.clone()))).await),
        false => None,
    };
    Ok(person.page(&title).show(&html! {
        p { a href={ "/accounts/" (path_part(&name)) } { (name) } }
        (face::shown(&name, &chat.chat, &title, words))
        h1 { (title) }
        p { (kind(&chat, words)) @if chat.is_gone { " " span.soft { "(" (words.gone) ")" } } }
        @if let Some(why) = why {
            h2 { (words.why_this) }
            @match why {
                Ok(Told::Text(why)) => { p { (words.told(&why)) } },
                Ok(_) => { p.note role="status" { (words.no_answer) } },
                Err(error) => { p.note role="status" { (person.why(&error).1) } },
            }
            p.soft #back { (words.undo_why) }
            form.row method="post" action={ "/accounts/" (path_part(&name)) "/undo" } {
                (form_key(&person))
                input type="hidden" name="chat" value=(chat.chat);
                button.quiet aria-describedby="back" { (words.undo_this) }
            }
        }
    }))
}
