//! Links between chats: of a person's accounts for them to see, all of the host for administrators to make.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{AccountView, ChatRef, Directory, NetworkId};
use wxgate_store::Link;

use super::frame::{form_key, query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::{Words, fill};
use crate::chat_name::{self, written};
use crate::web::link_api;
use crate::wiring::{ACCOUNT_KIND, Parts};

/// Which links are looked at.
#[derive(Default, Deserialize)]
pub(super) struct View {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

/// Links on one page.
const SHOWN: usize = 50;

/// A member as it is shown: its name, where it is told, and its title.
type Shown = (String, String);

/// Those of `links` that fit the search, one page of them, each with what is shown of it; and whether there are more.
/// With a search the titles of all members up to there are looked up.
async fn found<'a>(
    parts: &Parts,
    links: &[&'a Link],
    view: &View,
    is_hidden: impl Fn(&ChatRef) -> bool,
    words: &Words,
) -> (Vec<(&'a Link, Vec<Shown>)>, bool) {
    let wanted = view.q.trim().to_lowercase();
    let mut to_skip = view.page.saturating_mul(SHOWN);
    let (mut rows, mut links) = (Vec::new(), links.iter());
    if wanted.is_empty() {
        links.by_ref().take(std::mem::take(&mut to_skip)).for_each(drop);
    }
    for link in links {
        if rows.len() == SHOWN {
            return (rows, true);
        }
        let members = shown(parts, link, &is_hidden, words).await;
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        if !wanted.is_empty() && !members.iter().any(|(name, title)| has(name) || has(title)) {
            continue;
        }
        match to_skip {
            0 => rows.push((*link, members)),
            _ => to_skip -= 1,
        }
    }
    (rows, false)
}

async fn shown(
    parts: &Parts,
    link: &Link,
    is_hidden: impl Fn(&ChatRef) -> bool,
    words: &Words,
) -> Vec<Shown> {
    let mut members = Vec::with_capacity(link.members.len());
    for member in &link.members {
        members.push(match is_hidden(member) {
            true => (String::new(), words.somebody_elses.to_owned()),
            false => (written(member), words.title(&chat_name::title(parts, member).await).into_owned()),
        });
    }
    members
}

/// The field to search in, and the way on.
fn search(address: &str, view: &View, words: &Words) -> Markup {
    html! {
        form.row method="get" action=(address) role="search" {
            label { (words.search_links) input name="q" type="search" value=(view.q) maxlength="128"; }
            button.quiet { (words.search) }
        }
    }
}

fn ways_on(address: &str, view: &View, has_more: bool, words: &Words) -> Markup {
    let here = format!("{address}?q={}", query_value(&view.q));
    html! {
        @if view.page > 0 || has_more {
            p {
                @if view.page > 0 { a href=(here) { (words.first) } " " }
                @if has_more { a href={ (here) "&page=" (view.page.saturating_add(1)) } rel="next" { (words.next) } }
            }
        }
    }
}

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Answer {
    person.must_be_admin()?;
    let words = person.words();
    let theirs = link_api::theirs(&parts, &person.caller()).await;
    let links = theirs.map_err(|refusal| Turned::from(trouble_of(&person, refusal.0, &refusal.1)))?;
    let all: Vec<&Link> = links.iter().collect();
    let (rows, has_more) = found(&parts, &all, &view, |_| false, words).await;
    Ok(person.page(words.links).show(&html! {
        h1 { (words.links) }
        p.soft { (words.links_why) }
        (search("/admin/links", &view, words))
        @if rows.is_empty() { p { (words.nothing) } }
        @for (link, members) in &rows {
            section.card {
                (list(members))
                form method="post" action="/admin/links/remove" {
                    (form_key(&person))
                    input type="hidden" name="which" value=(link.id.0);
                    button.quiet { (fill(words.unlink, link.id.0)) }
                }
            }
        }
        (ways_on("/admin/links", &view, has_more, words))
        h2 { (words.add_link) }
        form.card method="post" action="/admin/links" {
            (form_key(&person))
            p { label { (words.first_chat) input name="one" required maxlength="512" placeholder="wechat:ACCOUNT/TITLE" autocapitalize="none" spellcheck="false" aria-describedby="how"; } }
            p { label { (words.second_chat) input name="two" required maxlength="512" placeholder="irc:NETWORK/#channel" autocapitalize="none" spellcheck="false" aria-describedby="how"; } }
            p.soft #how { (words.link_rule) }
            button { (words.add) }
        }
    }))
}

/// The links of somebody's accounts.
pub(super) async fn own_page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Answer {
    let words = person.words();
    let accounts = Directory::accounts(&*parts.bridge, &person.user).await;
    let accounts = accounts.map_err(|error| {
        Turned::from(trouble_of(&person, StatusCode::SERVICE_UNAVAILABLE, &error.to_string()))
    })?;
    let (rows, has_more) = of_accounts(&parts, &accounts, &view, words).await;
    Ok(person.page(words.links).show(&html! {
        h1 { (words.links) }
        p.soft { (words.links_why) }
        (search("/links", &view, words))
        @if rows.0.is_empty() { p { (words.nothing) } } @else { (rows) }
        (ways_on("/links", &view, has_more, words))
    }))
}

/// The links of these accounts' chats, for a page that shows other things too.
pub(super) async fn section(parts: &Parts, own: &[AccountView], words: &Words) -> Markup {
    let (rows, has_more) = of_accounts(parts, own, &View::default(), words).await;
    html! {
        @if rows.0.is_empty() { p.soft { (words.no_links) } } @else { p.soft { (words.links_why) } }
        (rows)
        @if has_more { p { a href="/links" { (words.all_links) } } }
    }
}

/// One page of them. Which chats somebody else has in them is not told.
async fn of_accounts(parts: &Parts, own: &[AccountView], view: &View, words: &Words) -> (Markup, bool) {
    let all = match parts.bridge.links().await {
        Ok(all) => all,
        Err(error) => return (html! { p.alarm { (error) } }, false),
    };
    let own: HashSet<&NetworkId> = own.iter().map(|account| &account.network).collect();
    let is_own = |member: &ChatRef| own.contains(&member.network);
    let is_hidden = |member: &ChatRef| member.network.kind() == ACCOUNT_KIND && !is_own(member);
    let theirs: Vec<&Link> = all.iter().filter(|link| link.members.iter().any(is_own)).collect();
    let (rows, has_more) = found(parts, &theirs, view, is_hidden, words).await;
    (html! { @for (_, members) in &rows { section.card { (list(members)) } } }, has_more)
}

/// Chats, each by its name, where it is told, and its title.
fn list(chats: &[Shown]) -> Markup {
    html! {
        ul { @for (name, title) in chats {
            li {
                @if !name.is_empty() { code { (name) } " " }
                @if name.is_empty() || !name.ends_with(title.as_str()) { (title) }
            }
        } }
    }
}

#[derive(Deserialize)]
pub(super) struct New {
    key: String,
    one: String,
    two: String,
}

pub(super) async fn add(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(New { key, one, two }): Form<New>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    let made =
        link_api::make(&parts, &person.caller(), &[one.trim().to_owned(), two.trim().to_owned()]).await;
    done(&person, made.map(drop))
}

#[derive(Deserialize)]
pub(super) struct Which {
    key: String,
    which: String,
}

pub(super) async fn remove(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Which { key, which }): Form<Which>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    done(&person, link_api::take_apart(&parts, &person.caller(), &which).await.map(drop))
}

fn done(person: &Person, made: Result<(), crate::web::api::Refusal>) -> Answer {
    match made {
        Ok(()) => Ok(Redirect::to("/admin/links").into_response()),
        Err(refusal) => Err(trouble_of(person, refusal.0, &refusal.1).into()),
    }
}
