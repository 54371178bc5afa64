//! Links between chats: of a person's accounts for them to see, all of the host for administrators to make.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::{AccountView, ChatRef, NetworkId};
use wxgate_store::Link;

use super::frame::{form_key, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::{Words, fill};
use crate::chat_name::{self, written};
use crate::web::link_api;
use crate::wiring::{ACCOUNT_KIND, Parts};

pub(super) async fn page(State(parts): State<Arc<Parts>>, person: Person) -> Answer {
    person.must_be_admin()?;
    let words = person.words();
    let theirs = link_api::theirs(&parts, &person.caller()).await;
    let links = theirs.map_err(|refusal| Turned::from(trouble_of(&person, refusal.0, &refusal.1)))?;
    let mut rows = Vec::with_capacity(links.len());
    for link in &links {
        rows.push(members(&parts, link).await);
    }
    Ok(person.page(words.links).show(&html! {
        h1 { (words.links) }
        p.soft { (words.links_why) }
        @if links.is_empty() { p { (words.nothing) } }
        @for (link, members) in links.iter().zip(&rows) {
            section.card {
                (members)
                form method="post" action="/admin/links/remove" {
                    (form_key(&person))
                    input type="hidden" name="which" value=(link.id.0);
                    button.quiet { (fill(words.unlink, link.id.0)) }
                }
            }
        }
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

/// Links on one page of a person's.
const SHOWN: usize = 50;

/// The links of these accounts' chats. Which chats somebody else has in them is not told.
pub(super) async fn of_accounts(parts: &Parts, own: &[AccountView], words: &Words) -> Markup {
    let all = match parts.bridge.links().await {
        Ok(all) => all,
        Err(error) => return html! { p.alarm { (error) } },
    };
    let own: HashSet<&NetworkId> = own.iter().map(|account| &account.network).collect();
    let is_own = |member: &ChatRef| own.contains(&member.network);
    let theirs: Vec<&Link> =
        all.iter().filter(|link| link.members.iter().any(is_own)).take(SHOWN + 1).collect();
    let mut rows = Vec::with_capacity(theirs.len());
    for link in theirs.iter().take(SHOWN) {
        let mut members = Vec::with_capacity(link.members.len());
        for member in &link.members {
            let is_hidden = member.network.kind() == ACCOUNT_KIND && !is_own(member);
            members.push(match is_hidden {
                true => (String::new(), words.somebody_elses.to_owned()),
                false => (written(member), chat_name::title(parts, member).await),
            });
        }
        rows.push(members);
    }
    html! {
        @if rows.is_empty() { p.soft { (words.no_links) } } @else { p.soft { (words.links_why) } }
        @for row in &rows { section.card { (list(row)) } }
        @if theirs.len() > SHOWN { p.soft { "…" } }
    }
}

async fn members(parts: &Parts, link: &Link) -> Markup {
    let mut rows = Vec::with_capacity(link.members.len());
    for member in &link.members {
        rows.push((written(member), chat_name::title(parts, member).await));
    }
    list(&rows)
}

/// Chats, each by its name, where it is told, and its title.
fn list(chats: &[(String, String)]) -> Markup {
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
