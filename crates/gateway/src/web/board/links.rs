//! Links between chats: for administrators.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_store::Link;

use super::frame::{form_key, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::fill;
use crate::chat_name::{self, written};
use crate::web::link_api;
use crate::wiring::Parts;

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

async fn members(parts: &Parts, link: &Link) -> Markup {
    let mut rows = Vec::with_capacity(link.members.len());
    for member in &link.members {
        rows.push((written(member), chat_name::title(parts, member).await));
    }
    html! {
        ul { @for (name, title) in &rows {
            li { code { (name) } @if !title.is_empty() && !name.ends_with(title.as_str()) { " " (title) } }
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
