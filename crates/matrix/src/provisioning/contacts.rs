//! People and groups of an account, as managers read them.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{AccountView, ChatKey, ChatKind, ChatRef, PersonKey, PersonProfile, PersonRef};

use super::{Caller, OfLogin, Refusal};
use crate::management::groups::Planned;
use crate::management::pick::{Found, Words};
use crate::trouble::Trouble;

/// Contacts in one answer. Source: WeChat allows ten thousand friends; an answer of that many has some
/// three megabytes.
const CONTACTS: usize = 10_000;
/// Read from the directory at once.
const PAGE: usize = 500;
/// Longest identifier. Chosen: our own are shorter than a hundred bytes.
const ID_BYTES: usize = 255;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) query: String,
}

pub(super) async fn all(caller: &Caller, of: &OfLogin) -> Result<Vec<Value>, Refusal> {
    let view = caller.account(of).await?;
    let mut found = Vec::new();
    let mut after: Option<PersonKey> = None;
    while found.len() < CONTACTS {
        let page = caller.shared.directory.contacts(&view.network, after.as_ref(), PAGE).await?;
        for person in &page {
            found.push(caller.resolved(&view, person).await?);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.person.clone()),
            _ => break,
        }
    }
    Ok(found)
}

pub(super) async fn search(caller: &Caller, of: &OfLogin, query: &str) -> Result<Vec<Value>, Refusal> {
    let view = caller.account(of).await?;
    let found = caller.shared.find_chats(std::slice::from_ref(&view), &Words::new(query)).await?;
    let mut results = Vec::new();
    for person in found.iter().filter(|found| found.kind != ChatKind::Group) {
        results.push(caller.resolved_found(&view, person).await?);
    }
    Ok(results)
}

pub(super) async fn resolve(caller: &Caller, of: &OfLogin, id: &str) -> Result<Value, Refusal> {
    let (view, person) = caller.person(of, id).await?;
    caller.resolved(&view, &person).await
}

/// Opens the private chat with somebody, or finds it.
pub(super) async fn create_dm(caller: &Caller, of: &OfLogin, id: &str) -> Result<Value, Refusal> {
    let (view, person) = caller.person(of, id).await?;
    let chat = chat_of(&view, &person.person);
    let room = caller.shared.room(&chat).await?;
    caller.shared.let_in(&room.room_id, &caller.user_id).await?;
    caller.resolved(&view, &person).await
}

/// A group to be. WeChat's web side gives it no picture and no announcement: those are of the room alone.
#[derive(Debug, Deserialize)]
pub(super) struct Wished {
    #[serde(default)]
    participants: Vec<String>,
    #[serde(default)]
    name: Option<Name>,
    #[serde(default)]
    topic: Option<Topic>,
    #[serde(default)]
    avatar: Option<Avatar>,
    /// A room of the caller's that is to mirror it.
    #[serde(default)]
    room_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Topic {
    #[serde(default)]
    topic: String,
}

#[derive(Debug, Deserialize)]
struct Avatar {
    #[serde(default)]
    url: String,
}

/// Makes a group, and opens its room.
pub(super) async fn create_group(caller: &Caller, of: &OfLogin, wished: Wished) -> Result<Value, Refusal> {
    let shared = &caller.shared;
    let mut people: Vec<PersonKey> = Vec::with_capacity(wished.participants.len());
    let avatar = wished.avatar.map(|avatar| avatar.url).unwrap_or_default();
    if !avatar.is_empty() && crate::api::media::parts(&avatar).is_none() {
        let error = "avatar.url must be an mxc:// address";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", error));
    }
    let account = caller.account(of).await?.network;
    for id in &wished.participants {
        let person = caller.person(of, id).await?.1.person;
        if !people.contains(&person) {
            people.push(person);
        }
    }
    if let Some(room_id) = &wished.room_id {
        let forbidden = |why: &str| Refusal::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", why);
        if shared.chat_of(room_id).await?.is_some() {
            return Err(forbidden("the room mirrors a chat already"));
        }
        match shared.may_hand_over(room_id, &caller.user_id).await {
            Ok(true) => {}
            Err(error) if error.is_passing() => return Err(error.into()),
            Ok(false) | Err(_) => {
                return Err(forbidden(
                    "only a moderator of the room can do that, and the bot has to be in it",
                ));
            }
        }
    }
    let (user, _) = caller.accounts().await?;
    let title = wished.name.map(|name| name.name).unwrap_or_default();
    let planned = Planned { account, people, title };
    let room = shared.gather(&user, planned, wished.room_id).await?;
    if !room.is_handed_over {
        let topic = wished.topic.map(|topic| topic.topic).unwrap_or_default();
        shared.adorn(&room, &topic, &avatar).await?;
    }
    shared.let_in(&room.room_id, &caller.user_id).await?;
    Ok(json!({ "id": room.chat.chat.as_str(), "mxid": room.room_id }))
}

/// A private chat and its person share their key.
fn chat_of(view: &AccountView, person: &PersonKey) -> ChatRef {
    ChatRef { network: view.network.clone(), chat: ChatKey::new(person.as_str()) }
}

impl Caller {
    /// Somebody by our lasting id, or by the public id that WeChat shows.
    async fn person(&self, of: &OfLogin, id: &str) -> Result<(AccountView, PersonProfile), Refusal> {
        let view = self.account(of).await?;
        let nobody = || Refusal::not_found("nobody among the contacts has that id");
        if id.is_empty() || id.len() > ID_BYTES {
            return Err(nobody());
        }
        let directory = &self.shared.directory;
        if let Some(person) = directory.people(&view.network, &[PersonKey::new(id)]).await?.into_iter().next()
        {
            return Ok((view, person));
        }
        let found = self.shared.find_chats(std::slice::from_ref(&view), &Words::new(id)).await?;
        let keys: Vec<PersonKey> = found.iter().map(|one| PersonKey::new(one.chat.chat.as_str())).collect();
        let people = directory.people(&view.network, &keys).await?;
        let person = people.into_iter().find(|person| person.public_id.eq_ignore_ascii_case(id));
        person.map(|person| (view, person)).ok_or_else(nobody)
    }

    async fn resolved_found(&self, view: &AccountView, found: &Found) -> Result<Value, Refusal> {
        let key = PersonKey::new(found.chat.chat.as_str());
        let people = self.shared.directory.people(&view.network, std::slice::from_ref(&key)).await?;
        match people.first() {
            Some(person) => self.resolved(view, person).await,
            None => Ok(json!({ "id": key.as_str(), "name": found.name })),
        }
    }

    async fn resolved(&self, view: &AccountView, person: &PersonProfile) -> Result<Value, Refusal> {
        let shared = &self.shared;
        let who = PersonRef { network: view.network.clone(), person: person.person.clone() };
        let localpart = shared.names.ghost(&who);
        let mut resolved = json!({
            "id": person.person.as_str(),
            "mxid": shared.names.user_id(&localpart),
        });
        if !person.display_name().is_empty() {
            resolved["name"] = json!(person.display_name());
        }
        if !person.public_id.is_empty() {
            resolved["identifiers"] = json!([format!("wechat:{}", person.public_id)]);
        }
        let ghost = shared.memory.ghosts.get(&shared.memory, &localpart).await.map_err(Trouble::from)?;
        if let Some(ghost) = ghost.filter(|ghost| !ghost.avatar_url.is_empty()) {
            resolved["avatar_url"] = json!(ghost.avatar_url);
        }
        if let Some(room) = shared.memory.room_of(&chat_of(view, &person.person)).await? {
            resolved["dm_room_mxid"] = json!(room.room_id);
        }
        Ok(resolved)
    }
}
