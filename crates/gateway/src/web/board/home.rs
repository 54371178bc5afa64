//! The first page: how to come in, or one's accounts.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{AccountView, Command, Directory, Health, NetworkId, UserName};

use super::frame::{Page, form_key, query_value};
use super::gate::{Answer, Person, Visitor};
use super::live::{self, Look};
use super::words::{Words, fill};
use super::{connect, links, plots};
use crate::clock;
use crate::web::loading;
use crate::wiring::Parts;

/// The page for somebody who is not signed in: the form, and how clients connect. Nothing about accounts.
pub(super) fn entrance(parts: &Parts, visitor: &Visitor, wrong: Option<(StatusCode, &str)>) -> Response {
    let words = visitor.words();
    // Whoever followed a link in vain is told so by the status; the form leads on.
    let is_home = visitor.page.as_deref() == Some("/");
    let status = match wrong {
        Some((status, _)) => status,
        None if is_home => StatusCode::OK,
        None => StatusCode::UNAUTHORIZED,
    };
    // After an action there is nothing to come back to.
    let back = if wrong.is_some() { "/" } else { visitor.here() };
    let page = Page { title: words.sign_in, visitor, person: None, status };
    page.show(&html! {
        h1 { "wxgate" }
        p.soft { (env!("CARGO_PKG_VERSION")) }
        @if let Some((_, sentence)) = wrong { p.alarm role="alert" { (sentence) } }
        form.card method="post" action="/sign-in" {
            input type="hidden" name="back" value=(back);
            p { label { (words.user) input name="user" autocomplete="username" required maxlength="128" autocapitalize="none" spellcheck="false"; } }
            p { label { (words.password) input name="password" type="password" autocomplete="current-password" required maxlength="1024"; } }
            button { (words.sign_in) }
        }
        h2 { (words.connect) }
        (connect::section(parts, "USER", "ACCOUNT", words))
    })
}

/// Accounts on one page.
const SHOWN: usize = 50;

/// Which accounts are looked at.
#[derive(Clone, Deserialize)]
pub(super) struct View {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

impl View {
    fn query(&self, page: usize) -> String {
        format!("?q={}&page={page}", query_value(&self.q))
    }
}

/// The page for whoever is signed in.
pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Response {
    let words = person.words();
    let (table, all) = accounts(&parts, &person.user, &view, words).await;
    let some = all.first().map(|account| account.network.name());
    let links = links::section(&parts, &all, words).await;
    person.page(words.accounts).show(&html! {
        h1 { (words.accounts) }
        @if all.len() > SHOWN {
            form.row method="get" action="/" role="search" {
                label { (words.search_own) input name="q" type="search" value=(view.q) maxlength="128"; }
                button.quiet { (words.search) }
            }
        }
        div data-live={ "/live" (view.query(view.page)) } { (table) }
        (live::note(words))
        @if !all.is_empty() {
            h2 { (words.last_day) }
            (plots::messages(&parts.day.messages_of(all.iter().map(|account| &account.network)), words))
            h2 { (words.links) }
            (links)
        }
        h2 { (words.add_account) }
        form.row method="post" action="/accounts" {
            (form_key(&person))
            label { (words.account_name) input name="name" required maxlength="32" pattern="[A-Za-z0-9._\\-]+" autocapitalize="none" spellcheck="false" aria-describedby="rule"; }
            button { (words.add) }
        }
        p.soft #rule { (words.account_rule) }
        h2 { (words.connect) }
        (connect::section(&parts, person.user.as_str(), some.unwrap_or("ACCOUNT"), words))
    })
}

/// The table of accounts, as it changes.
pub(super) async fn events(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Answer {
    let (user, words) = (person.user.clone(), person.words());
    live::follow(parts, &person, move |parts| {
        let (user, view) = (user.clone(), view.clone());
        Box::pin(async move { Look::Is(accounts(&parts, &user, &view, words).await.0) })
    })
}

/// A person's accounts as far as they are looked at, and all of them.
async fn accounts(parts: &Parts, user: &UserName, view: &View, words: &Words) -> (Markup, Vec<AccountView>) {
    let all = match Directory::accounts(&*parts.bridge, user).await {
        Ok(all) => all,
        Err(error) => return (html! { p.alarm { (error) } }, Vec::new()),
    };
    if all.is_empty() {
        return (html! { p { (words.no_accounts) } }, all);
    }
    let wanted = view.q.trim().to_lowercase();
    let fits = |account: &&AccountView| {
        wanted.is_empty()
            || account.network.name().to_lowercase().contains(&wanted)
            || account.own_name.to_lowercase().contains(&wanted)
    };
    let from = view.page.saturating_mul(SHOWN);
    let rows: Vec<&AccountView> = all.iter().filter(fits).skip(from).take(SHOWN + 1).collect();
    let waiting = waiting(parts, &all, words).await;
    let table = html! {
        @if rows.is_empty() { p { (words.nothing) } } @else {
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { (words.account) } th scope="col" { (words.own_name) } th scope="col" { (words.state) }
                    } }
                    tbody {
                        @for view in rows.iter().take(SHOWN) {
                            // Of many accounts the one that changes is read out, with its name.
                            tr aria-live="polite" aria-atomic="true" {
                                td { a href={ "/accounts/" (view.network.name()) } { (view.network.name()) } }
                                td { (view.own_name) }
                                td { (state(&view.health, words)) (super::loading::shown(loading::now(parts, &view.network), words)) }
                            }
                        }
                    }
                }
            }
        }
        @if view.page > 0 || rows.len() > SHOWN {
            p {
                @if view.page > 0 { a href={ "/" (view.query(0)) } { (words.first) } " " }
                @if rows.len() > SHOWN { a href={ "/" (view.query(view.page.saturating_add(1))) } rel="next" { (words.next) } }
            }
        }
        (waiting)
    };
    (table, all)
}

/// What is on its way to WeChat from these accounts and for how long.
async fn waiting(parts: &Parts, views: &[AccountView], words: &Words) -> Markup {
    let own: Vec<NetworkId> = views.iter().map(|view| view.network.clone()).collect();
    let Ok(stats) = parts.bridge.store().lane_stats_of(&own).await else { return html! {} };
    let (open, oldest) = stats.iter().fold((0, None), |(open, oldest), row| {
        (open + row.open, oldest.into_iter().chain([row.oldest]).min())
    });
    html! {
        @if let Some(oldest) = oldest {
            p.soft {
                (fill(words.waiting, open)) "; "
                (fill(words.oldest, lasting(clock::now().since(oldest).as_secs(), words)))
            }
        }
    }
}

/// A time in words, coarse: what waits changes it once a minute and not with each look.
pub(super) fn lasting(seconds: u64, words: &Words) -> String {
    match seconds {
        ..10 => fill(words.seconds, "<10"),
        10..60 => fill(words.minutes, "<1"),
        60..5400 => fill(words.minutes, seconds / 60),
        _ => fill(words.hours, seconds / 3600),
    }
}

/// A state in words, with what there is to say about it.
pub(super) fn state(health: &Health, words: &Words) -> Markup {
    let word = match health {
        Health::Starting => words.starting,
        Health::Up => words.up,
        Health::Partial { .. } => words.partial,
        Health::Limited { .. } | Health::Degraded { .. } => words.degraded,
        Health::NeedsHuman { .. } => words.needs_human,
        Health::Down { .. } => words.down,
    };
    html! {
        span class=(health.word()) { (word) }
        @if !health.detail().is_empty() { br; span.soft { (words.told(health.detail())) } }
    }
}

#[derive(Deserialize)]
pub(super) struct New {
    key: String,
    name: String,
}

/// Adds an account and leads to its sign-in.
pub(super) async fn add(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(New { key, name }): Form<New>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let command = Command::AddAccount { owner: person.user.clone(), name: name.clone() };
    match person.desk(&parts).run(Some(person.user.clone()), command).await {
        // The name was checked: it needs no escaping.
        Ok(_) => Ok(Redirect::to(&format!("/accounts/{name}/sign-in")).into_response()),
        Err(error) => Err(person.refused(&error)),
    }
}
