//! Whether an account is shown on Matrix.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{Command, Directory as _, NetworkId};

use super::account::{done, path_part};
use super::frame::form_key;
use super::gate::{Answer, Person};
use crate::web::api::network;
use crate::wiring::{Parts, matrix};

#[derive(Deserialize)]
pub(super) struct Shown {
    key: String,
    /// `yes` or `no`.
    shown: String,
    /// On which of the two ways to Matrix; the application service when nobody says.
    #[serde(default)]
    face: String,
}

/// Whether an account is shown on Matrix, where its owner is known there: by the application service, by the bot, or
/// both.
pub(super) async fn section(parts: &Parts, person: &Person, account: &NetworkId) -> Markup {
    let words = person.words();
    let mut known = Vec::new();
    for face in matrix::NETWORKS.map(NetworkId::from) {
        let is_there = parts.bridge.health_of(&face).is_some();
        if is_there && parts.bridge.person_of(&person.user, &face).await.ok().flatten().is_some() {
            known.push(face);
        }
    }
    if known.is_empty() {
        return html! {};
    }
    let mirrors = parts.bridge.store().mirrors().await.unwrap_or_default();
    let shown_on = |face: &NetworkId| mirrors.iter().any(|(of, by)| of == account && by == face);
    html! {
        h2 { "Matrix" }
        @for face in &known {
            @let is_shown = shown_on(face);
            p {
                @if known.len() > 1 { code { (face) } " " }
                (if is_shown { words.on_matrix } else { words.not_on_matrix })
            }
            form.row method="post" action={ "/accounts/" (account.name()) "/matrix" } {
                (form_key(person))
                input type="hidden" name="face" value=(face);
                input type="hidden" name="shown" value=(if is_shown { "no" } else { "yes" });
                button.quiet { (if is_shown { words.hide_on_matrix } else { words.show_on_matrix }) }
            }
        }
    }
}

pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Shown { key, shown, face }): Form<Shown>,
) -> Answer {
    let face = matrix::NETWORKS.into_iter().find(|known| *known == face).unwrap_or(matrix::NETWORK);
    let (account, face) = (network(&name), NetworkId::from(face));
    let command = match shown.as_str() {
        "yes" => Command::Mirror { account, face },
        _ => Command::Unmirror { account, face },
    };
    done(&parts, &person, &key, command, &format!("/accounts/{}", path_part(&name))).await
}
