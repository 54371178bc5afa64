//! What one account has of its own, for administrators: its way out to WeChat, and how often it sends. Never its chats.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::CommandError;

use super::account::path_part;
use super::frame::{form_key, query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::home::state;
use super::words::fill;
use crate::web::api::{Refusal, network};
use crate::web::own_api;
use crate::wiring::Parts;

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
) -> Answer {
    person.must_be_admin()?;
    let words = person.words();
    let missing = || person.refused(&CommandError::NoSuchAccount(name.clone()));
    let (owner, health) = parts.bridge.health_of(&network(&name)).ok_or_else(missing)?;
    let owner = owner.ok_or_else(missing)?;
    let (way, rate) = own_api::of(&parts, &network(&name)).await.map_err(|why| refused(&person, &why))?;
    let everybody = parts.limits.sends_per_minute;
    let form = |what: &str, field: Markup| {
        html! {
            form.row method="post" action={ "/admin/accounts/" (path_part(&name)) } {
                (form_key(&person))
                input type="hidden" name="what" value=(what);
                (field)
                button.quiet { (words.change) }
            }
        }
    };
    Ok(person.page(&name).show(&html! {
        h1 { (name) }
        p { (words.owner) ": " a href={ "/admin/people?q=" (query_value(owner.as_str())) } { (owner) } }
        p { (state(&health, words)) }
        h2 { (words.way_out) }
        p.soft #way { (words.way_out_rule) }
        p { code { (way.shown()) } }
        // What is there is not put into the field: its password is not shown, and would be lost.
        (form("proxy", html! { label { (words.way_out) input name="value" required maxlength="1024" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="socks5://HOST:PORT" aria-describedby="way"; } }))
        h2 { (words.send_rate) }
        p.soft #rate { (fill(words.send_rate_rule, everybody)) }
        (form("rate", html! { label { (words.send_rate) input name="value" required maxlength="16" autocomplete="off" autocapitalize="none" value=(rate.shown()) aria-describedby="rate"; } }))
        p.soft { (words.starts_anew) }
        p { a href="/admin" { (words.admin) } }
    }))
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    key: String,
    /// `proxy` or `rate`.
    what: String,
    value: String,
}

pub(super) async fn change(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Wanted { key, what, value }): Form<Wanted>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    let (caller, then) = (person.caller(), format!("/admin/accounts/{}", path_part(&name)));
    let changed = match what.as_str() {
        "proxy" => own_api::change_proxy(&parts, &caller, name, value.trim()).await.map(drop),
        _ => own_api::change_rate(&parts, &caller, name, value.trim()).await.map(drop),
    };
    changed.map_err(|why| refused(&person, &why))?;
    Ok(Redirect::to(&then).into_response())
}

fn refused(person: &Person, refusal: &Refusal) -> Turned {
    trouble_of(person, refusal.0, &refusal.1).into()
}
