//! The page of one account: its state, open questions, chats, and how to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{
    Answer as Told, ChatKey, ChatKind, ChatProfile, Command, CommandError, Control, Directory, Health,
    Loading, NetworkId, Reply, Request, UserName,
};

use super::frame::{self, form_key, query_value};
use super::gate::{Answer, Key, Person, Turned};
use super::home::state;
use super::live::{self, Look};
use super::words::Words;
use super::{chat, choices, mirror, questions, requests, troubles};
use crate::web::api::{called, network};
use crate::web::loading;
use crate::web::removal::{self, Removed};
use crate::wiring::Parts;

/// How long a page waits for what the account has to ask; without it there is a sentence in its place. Chosen: twice
/// what an account with ten thousand contacts takes.
const PATIENCE: Duration = Duration::from_secs(3);
/// Chats on one page.
const SHOWN: usize = 50;
/// Chats read at once while searching.
const READ: usize = 500;
/// Chats that one search looks at. Chosen: ten times the largest account that is known.
const SEARCHED: usize = 50_000;

/// An account of somebody's own.
///
/// # Errors
/// The same answer for one that is not there and for somebody else's.
pub(super) fn own(parts: &Parts, person: &Person, name: &str) -> Result<(NetworkId, Health), Turned> {
    let network = network(name);
    match parts.bridge.health_of(&network) {
        Some((Some(owner), health)) if owner == person.user => Ok((network, health)),
        _ => Err(person.refused(&CommandError::NoSuchAccount(name.to_owned()))),
    }
}

#[derive(Deserialize)]
pub(super) struct View {
    #[serde(default)]
    q: String,
    after: Option<String>,
    /// The chat that was answered for just now.
    answered: Option<String>,
    undone: Option<String>,
}

/// What a page shows that follows an account.
#[derive(Deserialize)]
pub(super) struct Shown {
    /// How many questions are on it.
    #[serde(default)]
    asked: usize,
}

/// Looks at the state between two at what the account has to ask: a question costs a look at all its chats.
const ASKED_EVERY: u64 = 15;

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(view): Query<View>,
) -> Answer {
    let (network, health) = own(&parts, &person, &name)?;
    let words = person.words();
    let ask = |request| ask(&parts, &person, network.clone(), request);
    let (asked, requests, choices) = tokio::join!(
        briefly(ask(Request::Questions)),
        briefly(ask(Request::FriendRequests)),
        choices::section(&parts, &person, &network)
    );
    let is_silent = asked.is_err() || requests.is_err();
    let on_matrix = mirror::section(&parts, &person, &network).await;
    let chats = chats(&parts, &network, &name, &view, words).await;
    let troubles = troubles::section(&parts, &network, words).await;
    let open = count(&asked);
    let loaded = loading::now(&parts, &network);
    Ok(person.page(&name).show(&html! {
        h1 { (name) }
        div data-live={ "/accounts/" (name) "/live?asked=" (open) } aria-live="polite" { (standing(&name, (&health, loaded), false, words)) }
        (live::note(words))
        @if let Some(chat) = &view.answered {
            div.note role="status" {
                p { (words.answered) }
                form method="post" action={ "/accounts/" (name) "/undo" } {
                    (form_key(&person))
                    input type="hidden" name="chat" value=(chat);
                    button.quiet { (words.undo) }
                }
            }
        }
        @if view.undone.is_some() { p.note role="status" { (words.undone) } }
        @if is_silent { p.note role="status" { (words.no_answer) } }
        @if let Ok(Told::Questions(asked)) = asked { (questions::section(&person, &name, &asked)) }
        @if let Ok(Told::FriendRequests(asked)) = requests { (requests::section(&person, &network, &asked)) }
        (troubles)
        h2 { (words.chats) }
        (chats)
        (on_matrix)
        (choices)
        h2 { (words.sign_out_wechat) }
        form.row method="post" action={ "/accounts/" (name) "/sign-out" } {
            (form_key(&person))
            button.quiet { (words.sign_out_wechat) }
        }
        h2 { (words.remove_title) }
        p.soft #warning { (words.remove_warning) }
        form.row method="post" action={ "/accounts/" (name) "/remove" } {
            (form_key(&person))
            label { (words.account) input name="typed" required maxlength="32" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="warning"; }
            button.danger { (words.remove) }
        }
    }))
}

/// How many questions there are, as far as the account says.
fn count(asked: &Result<Told, CommandError>) -> usize {
    if let Ok(Told::Questions(all)) = asked { all.len() } else { 0 }
}

/// The state, and the way out of one that needs its owner.
fn standing(
    name: &str,
    (health, loaded): (&Health, Option<Loading>),
    has_questions: bool,
    words: &Words,
) -> Markup {
    html! {
        p { (state(health, words)) }
        (super::loading::shown(loaded, words))
        @if !health.works() { p { a.button href={ "/accounts/" (name) "/sign-in" } { (words.sign_in_wechat) } } }
        @if has_questions { p.note { (words.more_questions) " " a href={ "/accounts/" (name) } { (words.load_again) } } }
    }
}

/// The state, as it changes, and that there is more to answer than the page shows.
pub(super) async fn events(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(Shown { asked }): Query<Shown>,
) -> Answer {
    let (network, _) = own(&parts, &person, &name)?;
    let (words, owner) = (person.words(), person.user.clone());
    let (looks, has_more) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    live::follow(parts, &person, move |parts| {
        let (network, owner, name) = (network.clone(), owner.clone(), name.clone());
        let is_turn = looks.fetch_add(1, Ordering::Relaxed) % ASKED_EVERY == ASKED_EVERY - 1;
        let has_more = Arc::clone(&has_more);
        Box::pin(async move {
            if is_turn {
                let desk = parts.bridge.control("pages", Some(owner.clone()));
                let open = briefly(asked_at(&*desk, &owner, network.clone(), Request::Questions)).await;
                has_more.store(count(&open) > asked, Ordering::Relaxed);
            }
            match parts.bridge.health_of(&network) {
                Some((_, health)) => {
                    let loaded = loading::now(&parts, &network);
                    Look::Is(standing(&name, (&health, loaded), has_more.load(Ordering::Relaxed), words))
                }
                None => Look::Over,
            }
        })
    })
}

/// Asks an account in the name of a person.
pub(super) async fn ask(
    parts: &Parts,
    person: &Person,
    account: NetworkId,
    request: Request,
) -> Result<Told, CommandError> {
    asked_at(&*person.desk(parts), &person.user, account, request).await
}

async fn asked_at(
    desk: &dyn Control,
    user: &UserName,
    account: NetworkId,
    request: Request,
) -> Result<Told, CommandError> {
    match desk.run(Some(user.clone()), Command::Ask { account, request }).await? {
        Reply::Answer(told) => Ok(told),
        _ => Err(CommandError::Failed("the account gave no answer".to_owned())),
    }
}

/// Waits for an answer as long as somebody looks at an empty window for it.
pub(super) async fn briefly(
    asked: impl Future<Output = Result<Told, CommandError>>,
) -> Result<Told, CommandError> {
    let late = |_| Err(CommandError::Failed("the account did not answer in time".to_owned()));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late)
}

/// Chats that fit the search by what they are shown as, from `after` on, one page, each with its title, which is empty
/// for one that has none; and whether there are more.
async fn found(
    parts: &Parts,
    network: &NetworkId,
    query: &str,
    after: Option<ChatKey>,
) -> Result<(Vec<(ChatProfile, String)>, bool), String> {
    let wanted = query.trim().to_lowercase();
    let (mut rows, mut after, mut looked) = (Vec::new(), after, 0);
    loop {
        let limit = if wanted.is_empty() { SHOWN + 1 } else { READ };
        let page = parts.bridge.chats(network, after.as_ref(), limit).await.map_err(|e| e.to_string())?;
        let is_last = page.len() < limit;
        after = page.last().map(|chat| chat.chat.clone());
        looked += page.len();
        for chat in page {
            if rows.len() == SHOWN {
                return Ok((rows, true));
            }
            // Without its members it has no name here either, and is told so.
            let title = called(parts, network, &chat).await.unwrap_or_default();
            if wanted.is_empty() || title.to_lowercase().contains(&wanted) {
                rows.push((chat, title));
            }
        }
        if is_last || looked >= SEARCHED {
            return Ok((rows, false));
        }
    }
}

async fn chats(parts: &Parts, network: &NetworkId, name: &str, view: &View, words: &Words) -> Markup {
    let after = view.after.as_deref().map(ChatKey::from);
    let is_first = after.is_none();
    let (rows, has_more) = match found(parts, network, &view.q, after).await {
        Ok(found) => found,
        Err(error) => return html! { p.alarm { (error) } },
    };
    let empty = if view.q.is_empty() { words.no_chats } else { words.no_match };
    let here = format!("/accounts/{name}?q={}", query_value(&view.q));
    html! {
        form.row method="get" action={ "/accounts/" (name) } role="search" {
            label { (words.search_chats) input name="q" type="search" value=(view.q) maxlength="128"; }
            button.quiet { (words.search) }
        }
        @if rows.is_empty() { p { (empty) } } @else {
            div.wide {
                table {
                    thead { tr { th scope="col" { (words.title) } th scope="col" { (words.kind) } } }
                    tbody {
                        @for (row, title) in &rows {
                            tr {
                                td { a href=(chat::address(name, &row.chat)) { @if title.is_empty() { (words.unnamed) } @else { (words.title(title)) } } @if row.is_gone { " " span.soft { "(" (words.gone) ")" } } }
                                td { (kind(row, words)) }
                            }
                        }
                    }
                }
            }
        }
        p {
            @if !is_first { a href=(here) { (words.first) } " " }
            @if has_more && let Some((last, _)) = rows.last() {
                a href={ (here) "&after=" (query_value(last.chat.as_str())) } rel="next" { (words.next) }
            }
        }
    }
}

pub(super) fn kind(chat: &ChatProfile, words: &Words) -> &'static str {
    match chat.kind {
        ChatKind::Private => words.private,
        ChatKind::Group => words.group,
        ChatKind::Official => words.official,
        ChatKind::System => words.system,
    }
}

/// Carries out a command and leads to `then`.
pub(super) async fn done(parts: &Parts, person: &Person, key: &str, command: Command, then: &str) -> Answer {
    person.sent_this(parts, key)?;
    match person.desk(parts).run(Some(person.user.clone()), command).await {
        Ok(_) => Ok(Redirect::to(then).into_response()),
        Err(error) => Err(person.refused(&error)),
    }
}

pub(super) async fn sign_out(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Key { key }): Form<Key>,
) -> Answer {
    let command = Command::SignOut { account: network(&name) };
    done(&parts, &person, &key, command, &format!("/accounts/{}", path_part(&name))).await
}

#[derive(Deserialize)]
pub(super) struct Removal {
    key: String,
    typed: String,
}

pub(super) async fn remove(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Form(Removal { key, typed }): Form<Removal>,
) -> Answer {
    if typed.trim() != name {
        let why = person.words().remove_mismatch;
        return Err(frame::trouble_of(&person, StatusCode::BAD_REQUEST, why).into());
    }
    person.sent_this(&parts, &key)?;
    let (desk, user) = (person.desk(&parts), Some(person.user.clone()));
    let removal = desk.run(user, Command::RemoveAccount { account: network(&name) });
    match removal::for_a_while(removal).await {
        Ok(Removed::Done) => Ok(Redirect::to("/").into_response()),
        Ok(Removed::GoesOn) => Ok(frame::goes_on(&person, "/", &name)),
        Err(error) => Err(person.refused(&error)),
    }
}

/// A name as a part of a path. An account that exists has a name that needs none of it.
pub(super) fn path_part(name: &str) -> String {
    query_value(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_sign_in_comes_and_goes_with_the_state() {
        let words = super::super::words::Language::English.words();
        let shown = |health: &Health, asks| standing("phone", (health, None), asks, words).into_string();
        assert!(shown(&Health::signed_out(None), false).contains("href=\"/accounts/phone/sign-in\""));
        assert!(!shown(&Health::Up, false).contains("href"));
        assert!(shown(&Health::Up, true).contains("href=\"/accounts/phone\""), "more to answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_does_not_wait_for_an_account_that_is_silent() {
        assert!(briefly(std::future::pending()).await.is_err());
        let late = async {
            tokio::time::sleep(PATIENCE / 2).await;
            Ok(Told::Questions(Vec::new()))
        };
        assert_eq!(briefly(late).await, Ok(Told::Questions(Vec::new())));
    }
}
