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
use crate::wiring::Parts;

#[derive(Deserialize)]
pub(super) struct Shown {
    key: String,
    /// `yes` or `no`.
    shown: String,
}

/// Whether an account is shown on Matrix, where its owner is known there.
pub(super) async fn section(parts: &Parts, person: &Person, account: &NetworkId) -> Markup {
    let words = person.words();
    let face = NetworkId::from(crate::wiring::matrix::NETWORK);
    let is_known = parts.bridge.person_of(&person.user, &face).await.ok().flatten().is_some();
    if parts.matrix.is_none() || !is_known {
        return html! {};
    }
    let mirrors = parts.bridge.store().mirrors().await.unwrap_or_default();
    let is_shown = mirrors.iter().any(|(of, by)| of == account && *by == face);
    let (state, label, wanted) = match is_shown {
        true => (words.on_matrix, words.hide_on_matrix, "no"),
        false => (words.not_on_matrix, words.show_on_matrix, "yes"),
    };
    html! {
        h2 { "Matrix" }
        p { (state) }
        form.row method="post" action={ "/accounts/" (account.name()) "/matrix" } {
            (form_key(person))
            input type="hidden" name="shown" value=(wanted);
            button.quiet { (label) }
        }
    }
}

pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Shown { key, shown }): Form<Shown>,
) -> Answer {
    let (account, face) = (network(&name), NetworkId::from(crate::wiring::matrix::NETWORK));
    let command = match shown.as_str() {
        "yes" => Command::Mirror { account, face },
        _ => Command::Unmirror { account, face },
    };
    done(&parts, &person, &key, command, &format!("/accounts/{}", path_part(&name))).await
}
