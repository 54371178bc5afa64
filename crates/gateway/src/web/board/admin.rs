//! What an administrator sees: everybody's accounts by state, networks, deliveries, people.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{AccountView, Directory, Health, NetworkId, UserName};

use super::frame::{query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::home::state;
use super::plots;
use super::words::{Words, fill};
use crate::wiring::Parts;

/// Accounts and people on one page.
const SHOWN: usize = 50;
/// States in the order of what needs eyes.
const STATES: [&str; 5] = ["down", "needs_human", "degraded", "starting", "up"];

#[derive(Deserialize)]
pub(super) struct View {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    page: usize,
}

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Answer {
    person.must_be_admin()?;
    let words = person.words();
    let all = Directory::all_accounts(&*parts.bridge).await.map_err(|error| {
        Turned::from(trouble_of(&person, StatusCode::SERVICE_UNAVAILABLE, &error.to_string()))
    })?;
    let memory = wxgate_heap::resident_bytes().map(|bytes| bytes >> 20);
    Ok(person.page(words.admin).show(&html! {
        h1 { (words.admin) }
        @if let Some(mib) = memory { p.soft { (fill(words.memory, mib)) } }
        h2 { (words.last_day) }
        (plots::plots(&parts.day, words))
        p { a href="/admin/links" { (words.links) } " · " a href="/admin/audit" { (words.audit) } }
        h2 { (words.by_state) }
        (by_state(&all, words))
        h2 { (words.faces) }
        (faces(&parts, words))
        h2 { (words.deliveries) }
        (deliveries(&parts, words).await)
        h2 { (words.every_account) }
        (accounts(&all, &view, words))
        h2 { (words.people) }
        (people(&parts, &all, words).await)
    }))
}

fn word(name: &str, words: &Words) -> &'static str {
    match name {
        "down" => words.down,
        "needs_human" => words.needs_human,
        "degraded" => words.degraded,
        "starting" => words.starting,
        _ => words.up,
    }
}

fn by_state(all: &[AccountView], words: &Words) -> Markup {
    html! {
        ul {
            @for name in STATES {
                @let count = all.iter().filter(|view| view.health.word() == name).count();
                li { a href={ "/admin?state=" (name) } class=(name) { (word(name, words)) } ": " (count) }
            }
        }
    }
}

fn faces(parts: &Parts, words: &Words) -> Markup {
    let rows: Vec<(NetworkId, Health)> = parts
        .bridge
        .healths()
        .into_iter()
        .filter(|(_, owner, _)| owner.is_none())
        .map(|(network, _, health)| (network, health))
        .collect();
    html! {
        @if rows.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr { th scope="col" { (words.network) } th scope="col" { (words.state) } } }
                tbody { @for (network, health) in &rows {
                    tr { td { (network) } td { (state(health, words)) } }
                } }
            } }
        }
    }
}

async fn deliveries(parts: &Parts, words: &Words) -> Markup {
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    for row in parts.bridge.store().lane_stats().await.unwrap_or_default() {
        *open.entry(row.network.kind().to_owned()).or_default() += row.open;
    }
    let rows = parts.bridge.meter().outcomes();
    for row in &rows {
        open.entry(row.kind.clone()).or_default();
    }
    let count = |kind: &str| rows.iter().find(|row| row.kind == kind).cloned().unwrap_or_default();
    html! {
        @if open.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr {
                    th scope="col" { (words.to) } th scope="col" { (words.open_now) } th scope="col" { (words.sent) }
                    th scope="col" { (words.later) } th scope="col" { (words.uncertain) } th scope="col" { (words.refused) }
                } }
                tbody { @for (kind, open) in &open {
                    @let row = count(kind);
                    tr {
                        td { (kind) } td { (open) } td { (row.sent) } td { (row.later) } td { (row.uncertain) } td { (row.refused) }
                    }
                } }
            } }
        }
    }
}

fn accounts(all: &[AccountView], view: &View, words: &Words) -> Markup {
    let wanted = view.q.trim().to_lowercase();
    let fits = |account: &&AccountView| {
        (view.state.is_empty() || account.health.word() == view.state)
            && (wanted.is_empty()
                || account.network.name().to_lowercase().contains(&wanted)
                || account.owner.as_str().to_lowercase().contains(&wanted))
    };
    let from = view.page.saturating_mul(SHOWN);
    let rows: Vec<&AccountView> = all.iter().filter(fits).skip(from).take(SHOWN + 1).collect();
    let here = format!("/admin?q={}&state={}", query_value(&view.q), query_value(&view.state));
    html! {
        form.row method="get" action="/admin" role="search" {
            label { (words.search_accounts) input name="q" type="search" value=(view.q) maxlength="128"; }
            button.quiet { (words.search) }
        }
        @if rows.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr { th scope="col" { (words.account) } th scope="col" { (words.owner) } th scope="col" { (words.state) } } }
                tbody { @for account in rows.iter().take(SHOWN) {
                    tr { td { (account.network.name()) } td { (account.owner) } td { (state(&account.health, words)) } }
                } }
            } }
        }
        p {
            @if view.page > 0 { a href=(here) { (words.first) } " " }
            @if rows.len() > SHOWN { a href={ (here) "&page=" (view.page.saturating_add(1)) } rel="next" { (words.next) } }
        }
    }
}

async fn people(parts: &Parts, all: &[AccountView], words: &Words) -> Markup {
    let mut counts: HashMap<&UserName, usize> = HashMap::new();
    for account in all {
        *counts.entry(&account.owner).or_default() += 1;
    }
    let users = match parts.bridge.store().users().await {
        Ok(users) => users,
        Err(error) => return html! { p.alarm { (error) } },
    };
    html! {
        div.wide { table {
            thead { tr { th scope="col" { (words.user) } th scope="col" { (words.role) } th scope="col" { (words.accounts) } } }
            tbody { @for user in users.iter().take(SHOWN) {
                tr {
                    td { (user.name) }
                    td.word { (if user.is_admin { words.role_admin } else { words.role_user }) }
                    td { a href={ "/admin?q=" (query_value(user.name.as_str())) } { (counts.get(&user.name).copied().unwrap_or_default()) } }
                }
            } }
        } }
        @if users.len() > SHOWN { p.soft { "… " (users.len() - SHOWN) } }
    }
}
