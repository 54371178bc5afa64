//! The pages for people: their accounts, signing in to WeChat, chats, open questions, administration.
//!
//! Everything is rendered here; the one script only puts newer fragments in place. What a page does, it
//! does through the supervisor's desk as the person who is signed in, who can reach only what is theirs.

mod account;
mod admin;
mod audit;
mod bot;
mod chat;
mod choices;
mod connect;
mod door;
mod face;
mod frame;
mod gate;
mod home;
mod instances;
mod links;
mod live;
mod loading;
mod mirror;
mod people;
mod plots;
mod questions;
mod refusals;
mod requests;
mod scan;
mod settings;
mod troubles;
mod words;
mod yours;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::wiring::Parts;
use crate::wiring::matrix_bot::{SIGN_IN_PAGE, SIGNED_IN_PAGE};

/// Largest form.
const FORM_BYTES: usize = 16 << 10;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/", get(home::page))
        .route("/live", get(home::events))
        .route("/sign-in", post(gate::sign_in))
        .route("/sign-out", post(gate::sign_out))
        .route("/language", get(gate::language))
        .route("/enter/{token}", get(door::page))
        .route("/enter", post(door::enter))
        .route("/me", get(yours::page))
        .route("/me/password", post(yours::password))
        .route("/me/tokens", post(yours::make_token))
        .route("/me/tokens/end", post(yours::end_token))
        .route("/me/certificates", post(yours::add_certificate))
        .route("/me/certificates/end", post(yours::end_certificate))
        .route("/accounts", post(home::add))
        .route("/accounts/{name}", get(account::page))
        .route("/accounts/{name}/live", get(account::events))
        .route("/accounts/{name}/sign-in", get(scan::page))
        .route("/accounts/{name}/sign-in/events", get(scan::events))
        .route("/accounts/{name}/sign-out", post(account::sign_out))
        .route("/accounts/{name}/remove", post(account::remove))
        .route("/accounts/{name}/chat", get(chat::page))
        .route("/accounts/{name}/face", get(face::picture))
        .route("/accounts/{name}/questions", post(questions::resolve))
        .route("/accounts/{name}/undo", post(questions::undo))
        .route("/accounts/{name}/requests", post(requests::answer))
        .route("/accounts/{name}/choices", post(choices::choose))
        .route("/accounts/{name}/matrix", post(mirror::show))
        .route("/links", get(links::own_page))
        .route("/admin", get(admin::page))
        .route("/admin/accounts/{name}", get(settings::page).post(settings::change))
        .route("/admin/people", get(people::page).post(people::add))
        .route("/admin/people/password", post(people::password))
        .route("/admin/people/quota", post(people::quota))
        .route("/admin/people/remove", post(people::remove))
        .route("/admin/links", get(links::page).post(links::add))
        .route("/admin/links/remove", post(links::remove))
        .route("/admin/audit", get(audit::page))
        .route(SIGN_IN_PAGE, get(bot::page))
        .route(SIGNED_IN_PAGE, get(bot::back))
        .route("/style.css", get(frame::style))
        .route("/board.js", get(frame::script))
        .fallback(frame::nothing_here)
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}

pub(super) use frame::words;
pub(super) use gate::Visitor;
pub(super) use words::fill;
