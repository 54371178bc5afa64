//! Who somebody is: the open questions of an account, and the answers.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{ChatKey, Command, Question, Request};

use super::account::{done, path_part};
use super::face;
use super::frame::{form_key, query_value};
use super::gate::{Answer, Person};
use super::words::{Words, fill};
use crate::web::api::network;
use crate::wiring::Parts;

/// The open questions, each with its candidates side by side.
pub(super) fn section(person: &Person, name: &str, asked: &[Question]) -> Markup {
    let words = person.words();
    html! {
        @if !asked.is_empty() {
            h2 { (words.questions) }
            p.soft { (words.questions_why) }
            @for question in asked { (one_question(person, name, question, words)) }
        }
    }
}

fn one_question(person: &Person, name: &str, question: &Question, words: &Words) -> Markup {
    let form = |same_as: &str, label: &str, class: &str| {
        html! {
            form method="post" action={ "/accounts/" (name) "/questions" } {
                (form_key(person))
                input type="hidden" name="chat" value=(question.chat);
                input type="hidden" name="same_as" value=(same_as);
                button class=(class) { (label) }
            }
        }
    };
    html! {
        section.card {
            @let title = words.title(&question.title);
            (face::shown(name, &question.chat, &title, words))
            h3 { (title) }
            div.sides {
                @for (at, of) in question.candidates.iter().enumerate() {
                    @let title = told_apart(question, at, words);
                    div {
                        (face::shown(name, &of.chat, &title, words))
                        h3 { (title) }
                        p.soft { (words.told(&of.evidence)) }
                        (form(of.chat.as_str(), &fill(words.same_as, &title), ""))
                    }
                }
                div { (form("", words.somebody_new, "quiet")) }
            }
        }
    }
}

/// A candidate's title, with its number where others are called the same.
fn told_apart(question: &Question, at: usize, words: &Words) -> String {
    let title = question.candidates.get(at).map_or("", |of| of.title.as_str());
    match question.candidates.iter().filter(|of| of.title == title).count() {
        0..=1 => words.title(title).into_owned(),
        _ => format!("{} ({})", words.title(title), at + 1),
    }
}

#[derive(Deserialize)]
pub(super) struct Resolution {
    key: String,
    chat: String,
    /// Empty: somebody new.
    same_as: String,
}

pub(super) async fn resolve(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Resolution { key, chat, same_as }): Form<Resolution>,
) -> Answer {
    // The chat that it turns out to be is the one that an undo is about.
    let settled = if same_as.is_empty() { chat.clone() } else { same_as.clone() };
    let same_as = (!same_as.is_empty()).then(|| ChatKey::from(same_as));
    let request = Request::Resolve { chat: ChatKey::from(chat), same_as };
    let then = format!("/accounts/{}?answered={}", path_part(&name), query_value(&settled));
    done(&parts, &person, &key, Command::Ask { account: network(&name), request }, &then).await
}

#[derive(Deserialize)]
pub(super) struct Chosen {
    key: String,
    chat: String,
}

pub(super) async fn undo(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Chosen { key, chat }): Form<Chosen>,
) -> Answer {
    let request = Request::Undo(ChatKey::from(chat));
    let then = format!("/accounts/{}?undone=1", path_part(&name));
    done(&parts, &person, &key, Command::Ask { account: network(&name), request }, &then).await
}
