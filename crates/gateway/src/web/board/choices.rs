//! What the owner of an account chooses about how faces show it.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{Choice, NetworkId};

use super::account::{own, path_part};
use super::frame::{form_key, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::Words;
use crate::web::choice_api::{self, Wanted};
use crate::wiring::{IRC_NETWORK, Parts};

/// What can be chosen on each face that shows the account; nothing when none does.
pub(super) async fn section(parts: &Parts, person: &Person, account: &NetworkId) -> Markup {
    let words = person.words();
    let faces = choice_api::of(parts, &person.user, account).await;
    html! {
        @if !faces.is_empty() {
            h2 { (words.choices) }
            @for (face, choices) in &faces {
                @let is_irc = face.as_str() == IRC_NETWORK;
                h3 { @if is_irc { "IRC" } @else { "Matrix" } @if !is_irc && faces.len() > 2 { " " code { (face) } } }
                @if !is_irc { p.soft { (words.choices_of_all) } }
                @for choice in choices { (one(person, account, (face, choice), words)) }
            }
        }
    }
}

fn one(person: &Person, account: &NetworkId, (face, choice): (&NetworkId, &Choice), words: &Words) -> Markup {
    html! {
        form.row method="post" action={ "/accounts/" (path_part(account.name())) "/choices" } {
            (form_key(person))
            input type="hidden" name="face" value=(face);
            input type="hidden" name="name" value=(choice.name);
            label {
                (words.told(&choice.name))
                select name="value" {
                    @for (value, about) in &choice.values {
                        option value=(value) selected[*value == choice.value] { (value) ": " (words.told(about)) }
                    }
                }
            }
            button.quiet aria-label={ (words.change_quota) ": " (words.told(&choice.name)) } { (words.change_quota) }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Given {
    key: String,
    face: String,
    name: String,
    value: String,
}

pub(super) async fn choose(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(account): Path<String>,
    Form(Given { key, face, name, value }): Form<Given>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let (network, _) = own(&parts, &person, &account)?;
    let wanted = Wanted { face, name, value };
    let chosen = choice_api::choose(&parts, &person.caller(), (&person.user, network), wanted).await;
    chosen.map_err(|why| Turned::from(trouble_of(&person, why.0, &why.1)))?;
    Ok(Redirect::to(&format!("/accounts/{}", path_part(&account))).into_response())
}
