//! What an administrator sees: everybody's accounts by state, networks, deliveries, room and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{AccountView, Directory, Health, NetworkId, Timestamp};
use wxgate_store::{LaneStats, StoreError};

use super::frame::{query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::home::{lasting, state};
use super::plots;
use super::words::{Words, fill};
use crate::clock;
use crate::wiring::Parts;

/// Accounts on one page.
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
        p.soft {
            "wxgate " (env!("CARGO_PKG_VERSION")) ". "
            @if let Some(mib) = memory { (fill(words.memory, mib)) }
        }
        h2 { (words.last_day) }
        (plots::plots(&parts.day, words))
        p {
            a href="/admin/people" { (words.people) } " · " a href="/admin/links" { (words.links) } " · "
            a href="/admin/audit" { (words.audit) }
        }
        h2 { (words.by_state) }
        (by_state(&all, words))
        (super::instances::instances(&parts, words))
        h2 { (words.faces) }
        (faces(&parts, words).await)
        h2 { (words.deliveries) }
        (deliveries(&parts, words).await)
        h2 { (words.every_account) }
        (accounts(&all, &view, words))
        h2 { (words.room) }
        (room(&parts, words).await)
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

/// A network that is no account: how it is doing, what waits for it, and why something did not get there.
struct Face {
    network: NetworkId,
    health: Health,
    waits: Option<LaneStats>,
    reasons: BTreeSet<String>,
}

/// Rows of a network that are looked through for reasons, and reasons that are shown. Chosen: what is wrong with a network
/// has few causes.
const LOOKED: u32 = 50;
const TOLD: usize = 3;

/// All of these. Of the deliveries of people's chats the reasons are told, and no chat.
async fn faces_of(parts: &Parts) -> Result<Vec<Face>, StoreError> {
    let store = parts.bridge.store();
    let mut faces = Vec::new();
    for (network, _, health) in parts.bridge.healths().into_iter().filter(|(_, owner, _)| owner.is_none()) {
        let own = store.lane_stats_of(std::slice::from_ref(&network)).await?;
        let troubles = store.troubles(&network, LOOKED).await?;
        let reasons = troubles.into_iter().map(|trouble| trouble.why).filter(|why| !why.is_empty());
        let reasons = reasons.collect::<BTreeSet<_>>().into_iter().take(TOLD).collect();
        faces.push(Face { network, health, waits: own.into_iter().next(), reasons });
    }
    Ok(faces)
}

async fn faces(parts: &Parts, words: &Words) -> Markup {
    let rows = match faces_of(parts).await {
        Ok(rows) => rows,
        Err(error) => return html! { p.alarm { (error) } },
    };
    let waits = |waits: &LaneStats| {
        let oldest = lasting(clock::now().since(waits.oldest).as_secs(), words);
        format!("{}; {}", waits.open, fill(words.oldest, oldest))
    };
    html! {
        @if rows.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr {
                    th scope="col" { (words.network) } th scope="col" { (words.state) } th scope="col" { (words.open_now) }
                    th scope="col" { (words.reasons) }
                } }
                tbody { @for face in &rows {
                    tr {
                        td { (face.network) } td { (state(&face.health, words)) }
                        td { (face.waits.as_ref().map_or_else(|| "0".to_owned(), waits)) }
                        td { @for (at, why) in face.reasons.iter().enumerate() { @if at > 0 { br; } (words.told(why)) } }
                    }
                } }
            } }
        }
    }
}

async fn deliveries(parts: &Parts, words: &Words) -> Markup {
    let mut open: BTreeMap<String, (u64, Option<Timestamp>)> = BTreeMap::new();
    for row in parts.bridge.store().lane_stats().await.unwrap_or_default() {
        let (count, oldest) = open.entry(row.network.kind().to_owned()).or_default();
        *count += row.open;
        *oldest = oldest.iter().copied().chain([row.oldest]).min();
    }
    let age = |oldest: &Option<Timestamp>| {
        oldest.map(|oldest| lasting(clock::now().since(oldest).as_secs(), words)).unwrap_or_default()
    };
    let rows = parts.bridge.meter().outcomes();
    for row in &rows {
        open.entry(row.kind.clone()).or_default();
    }
    let count = |kind: &str| rows.iter().find(|row| row.kind == kind).cloned().unwrap_or_default();
    html! {
        @if open.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr {
                    th scope="col" { (words.to) } th scope="col" { (words.open_now) } th scope="col" { (words.age) } th scope="col" { (words.sent) }
                    th scope="col" { (words.later) } th scope="col" { (words.uncertain) } th scope="col" { (words.refused) }
                } }
                tbody { @for (kind, (open, oldest)) in &open {
                    @let row = count(kind);
                    tr {
                        td { (kind) } td { (open) } td { (age(oldest)) } td { (row.sent) } td { (row.later) } td { (row.uncertain) } td { (row.refused) }
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
                    tr { td { a href={ "/admin/accounts/" (account.network.name()) } { (account.network.name()) } } td { (account.owner) } td { (state(&account.health, words)) } }
                } }
            } }
        }
        p {
            @if view.page > 0 { a href=(here) { (words.first) } " " }
            @if rows.len() > SHOWN { a href={ (here) "&page=" (view.page.saturating_add(1)) } rel="next" { (words.next) } }
        }
    }
}

/// What the data take, and what they may.
async fn room(parts: &Parts, words: &Words) -> Markup {
    let room = match parts.bridge.store().room().await {
        Ok(room) => room,
        Err(error) => return html! { p.alarm { (error) } },
    };
    let limits = &parts.limits;
    let days = |days: u32| if days == 0 { words.for_ever.to_owned() } else { fill(words.days, days) };
    let rows = [
        (words.database, mib(room.database_bytes), days(limits.history_days)),
        (
            words.attachments,
            format!("{} ({})", mib(room.media_bytes), room.attachments),
            format!(
                "{}, {}",
                fill(words.at_most, mib(limits.media_bytes)),
                fill(words.days, limits.media_days)
            ),
        ),
    ];
    html! {
        div.wide { table {
            thead { tr { th scope="col" { (words.data) } th scope="col" { (words.takes) } th scope="col" { (words.kept) } } }
            tbody { @for (what, takes, kept) in &rows { tr { td.word { (what) } td.word { (takes) } td { (kept) } } } }
        } }
        p.soft { code { (parts.data_dir.display()) } }
        p.soft { (fill(words.quota_accounts, limits.accounts_per_user)) " " (fill(words.quota_sends, limits.sends_per_minute)) }
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
