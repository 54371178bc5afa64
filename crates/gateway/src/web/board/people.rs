//! The people of the instance, for administrators: who there is, new ones, forgotten passwords, and leaving.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use wxgate_contract::UserName;
use wxgate_store::UserRow;

use super::frame::{form_key, goes_on, query_value, trouble_of};
use super::gate::{Answer, Person, Turned};
use super::words::{Words, fill};
use crate::clock;
use crate::web::api::{Refusal, users};
use crate::web::removal::{self, Removed};
use crate::wiring::Parts;

/// People on one page.
const SHOWN: usize = 50;

/// Which people are looked at. Forms carry it, so that whoever changed something is where they were.
#[derive(Clone, Default, Deserialize)]
pub(super) struct View {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

impl View {
    fn address(&self) -> String {
        format!("/admin/people?q={}&page={}", query_value(&self.q), self.page)
    }

    /// What forms carry of it.
    fn carried(&self) -> Markup {
        html! {
            input type="hidden" name="q" value=(self.q);
            input type="hidden" name="page" value=(self.page);
        }
    }
}

pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Query(view): Query<View>,
) -> Answer {
    person.must_be_admin()?;
    Ok(shown(&parts, &person, &view, None).await)
}

/// The page; `made` is a password that is shown this once, and whose it is.
async fn shown(parts: &Parts, person: &Person, view: &View, made: Option<(&str, &str)>) -> Response {
    let words = person.words();
    let table = table(parts, person, view, words).await;
    person.page(words.people).show(&html! {
        h1 { (words.people) }
        @if let Some((name, password)) = made {
            div.note role="status" { p { (fill(words.password_made, name)) } pre { (password) } }
        }
        form.row method="get" action="/admin/people" role="search" {
            label { (words.search_people) input name="q" type="search" value=(view.q) maxlength="128"; }
            button.quiet { (words.search) }
        }
        (table)
        h2 { (words.add_person) }
        form.card method="post" action="/admin/people" {
            (form_key(person))
            p { label { (words.user) input name="name" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false"; } }
            label.tick { input type="checkbox" name="admin" value="yes"; " " (words.role_admin) }
            p.soft { (words.add_person_rule) }
            button { (words.add) }
        }
        h2 { (words.remove_person) }
        p.soft #leaving { (words.remove_person_warning) }
        form.card method="post" action="/admin/people/remove" {
            (form_key(person))
            (view.carried())
            p { label { (words.user) input name="name" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="leaving"; } }
            label.tick { input type="checkbox" name="everything" value="yes"; " " (words.with_accounts) }
            p { button.danger { (words.remove) } }
        }
    })
}

async fn table(parts: &Parts, person: &Person, view: &View, words: &Words) -> Markup {
    let store = parts.bridge.store();
    let (users, accounts) = match (store.users().await, store.accounts().await) {
        (Ok(users), Ok(accounts)) => (users, accounts),
        (Err(error), _) | (_, Err(error)) => return html! { p.alarm { (error) } },
    };
    let mut counts: HashMap<&UserName, usize> = HashMap::new();
    for account in &accounts {
        *counts.entry(&account.owner).or_default() += 1;
    }
    let wanted = view.q.trim().to_lowercase();
    let fits = |user: &&UserRow| wanted.is_empty() || user.name.as_str().to_lowercase().contains(&wanted);
    let from = view.page.saturating_mul(SHOWN);
    let rows: Vec<&UserRow> = users.iter().filter(fits).skip(from).take(SHOWN + 1).collect();
    let here = format!("/admin/people?q={}", query_value(&view.q));
    let limit = u32::try_from(parts.limits.accounts_per_user).unwrap_or(u32::MAX);
    html! {
        @if rows.is_empty() { p { (words.nothing) } } @else {
            div.wide { table {
                thead { tr {
                    th scope="col" { (words.user) } th scope="col" { (words.role) } th scope="col" { (words.accounts) }
                    th scope="col" { (words.comes_in_with) } th scope="col" { (words.action) }
                } }
                tbody { @for user in rows.iter().take(SHOWN) {
                    @let count = counts.get(&user.name).copied().unwrap_or_default();
                    tr {
                        td { (user.name) }
                        td.word { (if user.is_admin { words.role_admin } else { words.role_user }) }
                        td {
                            a href={ "/admin?q=" (query_value(user.name.as_str())) } { (count) " / " (user.accounts_max.unwrap_or(limit)) }
                            (other_quota(person, user, words, (limit, view)))
                        }
                        td.word { (keys(user, words)) }
                        td { @if user.name == person.user { a href="/me" { (words.yours) } } @else { (new_password(person, user, words, view)) } }
                    }
                } }
            } }
        }
        p {
            @if view.page > 0 { a href=(here) { (words.first) } " " }
            @if rows.len() > SHOWN { a href={ (here) "&page=" (view.page.saturating_add(1)) } rel="next" { (words.next) } }
        }
    }
}

fn keys(user: &UserRow, words: &Words) -> &'static str {
    match (user.has_password, user.has_token) {
        (true, true) => words.password,
        (true, false) => words.only_password,
        (false, true) => words.only_token,
        (false, false) => words.nothing_opens,
    }
}

/// Another number of accounts for somebody; nothing typed: as many as everybody.
fn other_quota(person: &Person, user: &UserRow, words: &Words, (everybody, view): (u32, &View)) -> Markup {
    html! {
        form.row method="post" action="/admin/people/quota" {
            (form_key(person))
            (view.carried())
            input type="hidden" name="name" value=(user.name);
            input.short type="number" name="accounts" min="0" max=(users::MOST_ACCOUNTS) value=[user.accounts_max]
                placeholder=(everybody) aria-label={ (words.accounts_at_most) ": " (user.name) };
            button.quiet aria-label={ (words.change_quota) ": " (user.name) } { (words.change_quota) }
        }
    }
}

fn new_password(person: &Person, user: &UserRow, words: &Words, view: &View) -> Markup {
    html! {
        form method="post" action="/admin/people/password" {
            (form_key(person))
            (view.carried())
            input type="hidden" name="name" value=(user.name);
            button.quiet aria-label={ (words.new_password) ": " (user.name) } { (words.new_password) }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct New {
    key: String,
    name: String,
    admin: Option<String>,
}

/// Adds somebody, with a password that is shown this once.
pub(super) async fn add(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(New { key, name, admin }): Form<New>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    let name = UserName::from(name.trim().to_owned());
    let password = made(&person)?;
    let added = users::add(&parts, &person.caller(), &name, &password, admin.is_some()).await;
    added.map_err(|why| refused(&person, &why))?;
    Ok(shown(&parts, &person, &View::default(), Some((name.as_str(), &password))).await)
}

#[derive(Deserialize)]
pub(super) struct Which {
    key: String,
    name: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

/// Gives somebody another password, which is shown this once.
pub(super) async fn password(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Which { key, name, q, page }): Form<Which>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    if name == person.user.as_str() {
        // There the present one is asked for: whoever took a session takes no more with it.
        return Err(trouble_of(&person, StatusCode::CONFLICT, person.words().password_there).into());
    }
    let password = made(&person)?;
    let changed = users::change_password(&parts, &person.caller(), name.clone(), &password).await;
    changed.map_err(|why| refused(&person, &why))?;
    Ok(shown(&parts, &person, &View { q, page }, Some((&name, &password))).await)
}

#[derive(Deserialize)]
pub(super) struct Quota {
    key: String,
    name: String,
    accounts: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

/// Says how many accounts somebody may have.
pub(super) async fn quota(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Quota { key, name, accounts, q, page }): Form<Quota>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    let most = match accounts.trim() {
        "" => None,
        typed => {
            let bad = || trouble_of(&person, StatusCode::BAD_REQUEST, person.words().no_number);
            Some(typed.parse().map_err(|_| bad())?)
        }
    };
    let changed = users::change_quota(&parts, &person.caller(), name, most).await;
    changed.map_err(|why| refused(&person, &why))?;
    Ok(Redirect::to(&View { q, page }.address()).into_response())
}

#[derive(Deserialize)]
pub(super) struct Leaving {
    key: String,
    name: String,
    everything: Option<String>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

/// Removes somebody whose name was typed, and with a tick all that is theirs.
pub(super) async fn remove(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Form(Leaving { key, name, everything, q, page }): Form<Leaving>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    person.must_be_admin()?;
    let (name, view) = (name.trim().to_owned(), View { q, page });
    if name == person.user.as_str() {
        return Err(trouble_of(&person, StatusCode::CONFLICT, person.words().not_yourself).into());
    }
    let caller = person.caller();
    let removal = users::remove(&parts, &caller, name.clone(), everything.is_some());
    match removal::for_a_while(removal).await.map_err(|why| refused(&person, &why))? {
        Removed::Done => Ok(Redirect::to(&view.address()).into_response()),
        Removed::GoesOn => Ok(goes_on(&person, &view.address(), &name)),
    }
}

fn made(person: &Person) -> Result<String, Turned> {
    clock::password()
        .map_err(|why| trouble_of(person, StatusCode::SERVICE_UNAVAILABLE, &why.to_string()).into())
}

fn refused(person: &Person, refusal: &Refusal) -> Turned {
    // They administer: what is forbidden to them is what they came in with too little for.
    let too_little = (refusal.0 == StatusCode::FORBIDDEN).then_some(person.words().opens_too_little);
    trouble_of(person, refusal.0, too_little.unwrap_or(&refusal.1)).into()
}
