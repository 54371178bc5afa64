//! The picture of a chat, for its owner: as WeChat has it, or as it was when it was last fetched.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{Answer as Told, ChatKey, Request, Subject};

use super::account;
use super::frame::{self, query_value};
use super::gate::{Answer, Person};
use super::words::{Words, fill};
use crate::web::media;
use crate::wiring::Parts;

/// How long a browser waits for a picture that has to be fetched. Chosen: a small picture over a slow line.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a browser keeps it: somebody may have another one soon.
const KEPT_S: u64 = 300;

/// What stands where there is none: nobody in particular.
const NOBODY: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><path fill=\"#8a9199\" \
    d=\"M0 0h64v64H0z\"/><path fill=\"#d7dbdf\" d=\"M32 12a12 12 0 1 1 0 24 12 12 0 0 1 0-24zM8 64a24 22 0 0 1 48 0z\"/></svg>";

#[derive(Deserialize)]
pub(super) struct Whose {
    chat: String,
}

/// The picture, or one of nobody.
pub(super) async fn picture(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(Whose { chat }): Query<Whose>,
    headers: HeaderMap,
) -> Answer {
    let (network, _) = account::own(&parts, &person, &name)?;
    let request = Request::Avatar(Subject::Chat(ChatKey::from(chat)));
    let asked = account::ask(&parts, &person, network, request);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Told::Media(Some(picture)))) => {
            Ok(media::show(&parts, picture, KEPT_S, &person.visitor, &headers).await)
        }
        _ => Ok(frame::asset("image/svg+xml", NOBODY)),
    }
}

/// Shows it on a page.
pub(super) fn shown(account: &str, chat: &ChatKey, title: &str, words: &Words) -> Markup {
    let address = format!("/accounts/{account}/face?chat={}", query_value(chat.as_str()));
    html! { img.face loading="lazy" width="64" height="64" src=(address) alt=(fill(words.face_of, title)); }
}
