//! The picture of a chat, for its owner: as WeChat has it, or as it was when it was last fetched; where there is none,
//! the first letters of its name.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{Answer as Told, ChatKey, ChatRef, Directory, Request, Subject};

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

/// What stands where there is not even a name: nobody in particular.
const NOBODY: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><path fill=\"#8a9199\" \
    d=\"M0 0h64v64H0z\"/><path fill=\"#d7dbdf\" d=\"M32 12a12 12 0 1 1 0 24 12 12 0 0 1 0-24zM8 64a24 22 0 0 1 48 0z\"/></svg>";

#[derive(Deserialize)]
pub(super) struct Whose {
    chat: String,
}

/// What letters stand on, white on each by at least 4.5 to 1. Source: WCAG 2.1, 1.4.3.
const GROUNDS: [&str; 6] = ["#0a58ca", "#07713a", "#8a4b00", "#7b3fa0", "#b3261e", "#00696f"];

/// The picture, or what stands for it.
pub(super) async fn picture(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(Whose { chat }): Query<Whose>,
    headers: HeaderMap,
) -> Answer {
    let (network, _) = account::own(&parts, &person, &name)?;
    let chat = ChatRef { network: network.clone(), chat: ChatKey::from(chat) };
    let request = Request::Avatar(Subject::Chat(chat.chat.clone()));
    let asked = account::ask(&parts, &person, network, request);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Told::Media(Some(picture)))) => {
            Ok(media::show(&parts, picture, KEPT_S, &person.visitor, &headers).await)
        }
        _ => {
            let title = parts.bridge.chat(&chat).await.ok().flatten().map(|chat| chat.title);
            Ok(frame::asset("image/svg+xml", stand_in(&chat.chat, &title.unwrap_or_default())))
        }
    }
}

/// The first letters of a name, on a ground that the chat always has.
fn stand_in(chat: &ChatKey, title: &str) -> String {
    let letters = initials(title);
    if letters.is_empty() {
        return NOBODY.to_owned();
    }
    let sum = chat.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let ground = GROUNDS.get(sum % GROUNDS.len()).copied().unwrap_or("#5f5f66");
    // They are letters and digits: nothing has to be escaped.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><path fill=\"{ground}\" d=\"M0 0h64v64H0z\"/>\
         <text x=\"32\" y=\"42\" text-anchor=\"middle\" font-family=\"system-ui,sans-serif\" font-size=\"28\" \
         fill=\"#fff\">{letters}</text></svg>"
    )
}

/// Of a name in letters the first ones of its first and its last word, of any other its first sign; none of one that
/// has neither letters nor digits.
fn initials(title: &str) -> String {
    let firsts: Vec<char> = title
        .split_whitespace()
        .filter_map(|word| word.chars().next())
        .filter(|c| c.is_alphanumeric())
        .collect();
    match firsts.as_slice() {
        [] => title.chars().find(|c| c.is_alphanumeric()).into_iter().flat_map(char::to_uppercase).collect(),
        [first, .., last] if is_cased(*first) && is_cased(*last) => {
            first.to_uppercase().chain(last.to_uppercase()).collect()
        }
        [first, ..] => first.to_uppercase().collect(),
    }
}

/// Whether it is of a script whose names are shortened by letters.
fn is_cased(c: char) -> bool {
    c.is_uppercase() || c.is_lowercase()
}

/// Shows it on a page.
pub(super) fn shown(account: &str, chat: &ChatKey, title: &str, words: &Words) -> Markup {
    let address = format!("/accounts/{account}/face?chat={}", query_value(chat.as_str()));
    html! { img.face loading="lazy" width="64" height="64" src=(address) alt=(fill(words.face_of, title)); }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_first_letters() {
        for (title, wanted) in [
            ("Anna Schmidt", "AS"),
            ("anna maria von schmidt", "AS"),
            ("Ben (unconfirmed)", "B"),
            ("李小龙", "李"),
            ("王 Ben", "王"),
            ("🎈 party", "P"),
            ("(home)", "H"),
            ("7", "7"),
            ("🎈", ""),
            ("", ""),
        ] {
            assert_eq!(initials(title), wanted, "{title:?}");
        }
    }

    #[test]
    fn what_stands_for_a_picture_holds_no_markup_of_a_name() {
        let shown = stand_in(&"p-1".into(), "<script>alert(1)</script> &amp;");
        assert!(shown.contains(">S</text>") && !shown.contains("script"), "{shown}");
        assert_eq!(shown, stand_in(&"p-1".into(), "s"), "always the same");
        assert_eq!(stand_in(&"p-1".into(), "🎈"), NOBODY);
    }
}
