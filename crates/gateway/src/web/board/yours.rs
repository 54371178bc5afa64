//! What is somebody's own: their password, tokens and certificates.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{Command, CommandError, Credential, Reply};
use wxgate_store::{Opens, StoreError};

use super::frame::{form_key, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::fill;
use crate::clock;
use crate::web::serve::Peer;
use crate::wiring::Parts;

/// What can be ticked for a token, and what is ticked at first.
const TICKS: [(&str, Opens, bool); 4] = [
    ("read", Opens::READ, true),
    ("write", Opens::WRITE, true),
    ("login", Opens::LOGIN, true),
    ("admin", Opens::ADMIN, false),
];

pub(super) async fn page(State(parts): State<Arc<Parts>>, person: Person) -> Answer {
    shown(&parts, &person, None).await
}

/// The page; `made` is a token that is shown this once.
async fn shown(parts: &Parts, person: &Person, made: Option<&str>) -> Answer {
    let words = person.words();
    let store = parts.bridge.store();
    let failed = |error: StoreError| refused(person, &error);
    let has_password = store.user(&person.user).await.map_err(failed)?.is_some_and(|row| row.has_password);
    let tokens = store.tokens(&person.user).await.map_err(failed)?;
    let certificates = store.certificates(&person.user).await.map_err(failed)?;
    Ok(person.page(person.user.as_str()).show(&html! {
        h1 { (person.user) }
        h2 { (words.new_password) }
        @if has_password || person.opens == Opens::ALL { form.card method="post" action="/me/password" {
            (form_key(person))
            input type="hidden" name="user" value=(person.user) autocomplete="username";
            @if has_password {
                p { label { (words.password_now) input name="now" type="password" autocomplete="current-password" required maxlength="1024"; } }
            }
            p { label { (words.new_password) input name="new" type="password" autocomplete="new-password" required minlength="8" maxlength="1024"; } }
            p.soft { (words.password_rule) }
            button { (words.change) }
        } } @else {
            p { (words.opens_too_little) }
        }
        h2 { (words.tokens) }
        p.soft { (words.tokens_why) }
        @if let Some(token) = made {
            div.note role="status" { p { (words.token_made) } pre { (token) } }
        }
        @if !tokens.is_empty() {
            div.wide { table {
                thead { tr { th scope="col" { (words.label) } th scope="col" { (words.opens) } th scope="col" { (words.made) } th scope="col" { (words.last_used) } th scope="col" { (words.action) } } }
                tbody { @for token in &tokens {
                    tr {
                        td { (token.label) }
                        td { (token.opens) }
                        td { (clock::written(token.made)) }
                        td { (token.used.map_or_else(|| words.never.to_owned(), clock::written)) }
                        td { (ending(person, "/me/tokens/end", &token.label, &fill(words.end, &token.label))) }
                    }
                } }
            } }
        }
        form.card method="post" action="/me/tokens" {
            (form_key(person))
            p { label { (words.label) input name="label" required maxlength="64" autocomplete="off"; } }
            fieldset {
                legend { (words.opens) }
                @for (word, what, is_on) in TICKS {
                    @if person.opens.includes(what) && (word != "admin" || person.is_admin) {
                        label.tick { input type="checkbox" name=(word) value="yes" checked[is_on]; " " (word) }
                    }
                }
            }
            button { (words.make_token) }
        }
        h2 { (words.certificates) }
        p.soft { (words.certificates_why) }
        @if !certificates.is_empty() {
            div.wide { table {
                thead { tr { th scope="col" { "SHA-256" } th scope="col" { (words.action) } } }
                tbody { @for print in &certificates {
                    tr { td { code { (print) } } td { (ending(person, "/me/certificates/end", print, &fill(words.end, print.get(..8).unwrap_or(print)))) } }
                } }
            } }
        }
        form.row method="post" action="/me/certificates" {
            (form_key(person))
            label { "SHA-256" input name="what" required maxlength="128" autocomplete="off" autocapitalize="none" spellcheck="false"; }
            button { (words.add) }
        }
    }))
}

fn ending(person: &Person, action: &str, what: &str, label: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            (form_key(person))
            input type="hidden" name="what" value=(what);
            button.quiet { (label) }
        }
    }
}

fn refused(person: &Person, error: &StoreError) -> Turned {
    let status = match error {
        StoreError::Conflict { .. } => StatusCode::CONFLICT,
        StoreError::Invalid { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    trouble_of(person, status, &error.to_string()).into()
}

fn back() -> Response {
    Redirect::to("/me").into_response()
}

#[derive(Deserialize)]
pub(super) struct Passwords {
    key: String,
    #[serde(default)]
    now: String,
    new: String,
}

/// Replaces the password; every other session of this person ends.
pub(super) async fn password(
    State(parts): State<Arc<Parts>>,
    peer: Option<Extension<Peer>>,
    person: Person,
    Form(Passwords { key, now, new }): Form<Passwords>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let (store, words) = (parts.bridge.store(), person.words());
    if new.chars().count() < 8 {
        return Err(trouble_of(&person, StatusCode::BAD_REQUEST, words.password_rule).into());
    }
    let row = store.user(&person.user).await.map_err(|error| refused(&person, &error))?;
    if row.is_some_and(|row| row.has_password) {
        let from = peer.and_then(|Extension(Peer(address))| address);
        knows(&parts, &person, now, from).await?;
    } else if person.opens != Opens::ALL {
        // A password opens everything.
        return Err(trouble_of(&person, StatusCode::FORBIDDEN, words.opens_too_little).into());
    }
    let set = store.set_password(&person.user, Some(&new)).await;
    let credential = set.map_err(|error| refused(&person, &error))?;
    parts.sessions.end_others(&person.user, &person.token);
    credential.into_iter().for_each(|credential| parts.sessions.renew(&person.token, credential));
    parts.bridge.shut(&person.user);
    person.record(&parts, "password-changed").await;
    Ok(back())
}

/// # Errors
/// The answer to somebody who does not know their password; a token in its place does not do.
async fn knows(parts: &Parts, person: &Person, password: String, from: Option<IpAddr>) -> Result<(), Turned> {
    let command = Command::Authenticate { names: vec![person.user.clone()], password, from };
    match parts.bridge.control("pages", None).run(None, command).await {
        Ok(Reply::Opened(_, Credential::Password(_))) => Ok(()),
        Ok(_) | Err(CommandError::Denied) => {
            Err(trouble_of(person, StatusCode::FORBIDDEN, person.words().wrong_password).into())
        }
        Err(error) => Err(person.refused(&error)),
    }
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    key: String,
    label: String,
    read: Option<String>,
    write: Option<String>,
    login: Option<String>,
    admin: Option<String>,
}

pub(super) async fn make_token(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(new): Form<NewToken>,
) -> Answer {
    person.sent_this(&parts, &new.key)?;
    let ticked = [("read", new.read), ("write", new.write), ("login", new.login), ("admin", new.admin)];
    let words: Vec<&str> = ticked.iter().filter(|(_, tick)| tick.is_some()).map(|(word, _)| *word).collect();
    let opens: Opens = words
        .join(" ")
        .parse()
        .map_err(|why: String| Turned::from(trouble_of(&person, StatusCode::BAD_REQUEST, &why)))?;
    // Nobody gives away more than they have.
    if !person.opens.includes(opens) {
        return Err(trouble_of(&person, StatusCode::FORBIDDEN, person.words().opens_too_little).into());
    }
    let made = parts.bridge.store().add_token(&person.user, new.label.trim(), opens).await;
    let token = made.map_err(|error| refused(&person, &error))?;
    // One of the same label has ended.
    parts.bridge.shut(&person.user);
    person.record(&parts, "token-made").await;
    shown(&parts, &person, Some(&token)).await
}

#[derive(Deserialize)]
pub(super) struct Which {
    key: String,
    what: String,
}

pub(super) async fn end_token(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Which { key, what }): Form<Which>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let ended = parts.bridge.store().remove_token(&person.user, &what).await;
    ended.map_err(|error| refused(&person, &error))?;
    parts.bridge.shut(&person.user);
    person.record(&parts, "token-ended").await;
    Ok(back())
}

pub(super) async fn add_certificate(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Which { key, what }): Form<Which>,
) -> Answer {
    let fingerprint = what.trim().replace(':', "").to_ascii_lowercase();
    certificate(&parts, &person, &key, Command::Trust { user: person.user.clone(), fingerprint }).await
}

pub(super) async fn end_certificate(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Which { key, what }): Form<Which>,
) -> Answer {
    let command = Command::Distrust { user: person.user.clone(), fingerprint: what };
    certificate(&parts, &person, &key, command).await
}

async fn certificate(parts: &Parts, person: &Person, key: &str, command: Command) -> Answer {
    person.sent_this(parts, key)?;
    match person.desk(parts).run(Some(person.user.clone()), command).await {
        Ok(_) => Ok(back()),
        Err(error) => Err(person.refused(&error)),
    }
}
