//! How profiles are written: short keys and nothing for what is empty, because an instance has
//! millions of them.

use serde::{Deserialize, Serialize};
use wxgate_contract::{ChatKey, ChatKind, ChatProfile, Member, PersonKey, PersonKind, PersonProfile};

use crate::error::StoreError;

fn is_false(yes: &bool) -> bool {
    !*yes
}

#[derive(Serialize, Deserialize)]
struct PersonRow<'a> {
    #[serde(rename = "k")]
    kind: PersonKind,
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    nickname: std::borrow::Cow<'a, str>,
    #[serde(rename = "r", default, skip_serializing_if = "str::is_empty")]
    remark: std::borrow::Cow<'a, str>,
    #[serde(rename = "i", default, skip_serializing_if = "str::is_empty")]
    public_id: std::borrow::Cow<'a, str>,
    #[serde(rename = "s", default, skip_serializing_if = "str::is_empty")]
    signature: std::borrow::Cow<'a, str>,
    #[serde(rename = "g", default, skip_serializing_if = "str::is_empty")]
    region: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct ChatRow<'a> {
    #[serde(rename = "k")]
    kind: ChatKind,
    #[serde(rename = "t", default, skip_serializing_if = "str::is_empty")]
    title: std::borrow::Cow<'a, str>,
    #[serde(rename = "o", default, skip_serializing_if = "str::is_empty")]
    topic: std::borrow::Cow<'a, str>,
    #[serde(rename = "m", default, skip_serializing_if = "is_false")]
    is_owned: bool,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    owner: Option<PersonKey>,
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    is_gone: bool,
}

#[derive(Serialize, Deserialize)]
struct MemberRow<'a> {
    #[serde(rename = "p")]
    person: PersonKey,
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    name: std::borrow::Cow<'a, str>,
    #[serde(rename = "s", default, skip_serializing_if = "is_false")]
    is_self: bool,
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    is_contact: bool,
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::invalid(format!("a row cannot be written: {error}")))
}

pub(crate) fn person_json(person: &PersonProfile) -> Result<String, StoreError> {
    json(&PersonRow {
        kind: person.kind,
        nickname: (&*person.nickname).into(),
        remark: (&*person.remark).into(),
        public_id: (&*person.public_id).into(),
        signature: (&*person.signature).into(),
        region: (&*person.region).into(),
    })
}

pub(crate) fn person(key: String, is_contact: i64, text: &str) -> Result<PersonProfile, StoreError> {
    let Ok(row) = serde_json::from_str::<PersonRow<'_>>(text) else {
        return Err(StoreError::corrupt("person", key));
    };
    Ok(PersonProfile {
        person: PersonKey::new(key),
        kind: row.kind,
        nickname: row.nickname.into_owned(),
        remark: row.remark.into_owned(),
        public_id: row.public_id.into_owned(),
        signature: row.signature.into_owned(),
        region: row.region.into_owned(),
        is_contact: is_contact != 0,
    })
}

pub(crate) fn chat_json(chat: &ChatProfile) -> Result<String, StoreError> {
    json(&ChatRow {
        kind: chat.kind,
        title: (&*chat.title).into(),
        topic: (&*chat.topic).into(),
        is_owned: chat.is_owned,
        owner: chat.owner.clone(),
        is_gone: chat.is_gone,
    })
}

pub(crate) fn members_json(members: &[Member]) -> Result<String, StoreError> {
    let rows: Vec<MemberRow<'_>> = members
        .iter()
        .map(|member| MemberRow {
            person: member.person.clone(),
            name: (&*member.name).into(),
            is_self: member.is_self,
            is_contact: member.is_contact,
        })
        .collect();
    json(&rows)
}

pub(crate) fn chat(key: String, text: &str, members: Option<&str>) -> Result<ChatProfile, StoreError> {
    let Ok(row) = serde_json::from_str::<ChatRow<'_>>(text) else {
        return Err(StoreError::corrupt("chat", key));
    };
    let members = match members.map(serde_json::from_str::<Vec<MemberRow<'_>>>) {
        None => None,
        Some(Ok(rows)) => Some(rows.into_iter().map(member).collect()),
        Some(Err(_)) => return Err(StoreError::corrupt("chat", key)),
    };
    Ok(ChatProfile {
        chat: ChatKey::new(key),
        kind: row.kind,
        title: row.title.into_owned(),
        topic: row.topic.into_owned(),
        is_owned: row.is_owned,
        owner: row.owner,
        members,
        is_gone: row.is_gone,
    })
}

fn member(row: MemberRow<'_>) -> Member {
    Member {
        person: row.person,
        name: row.name.into_owned(),
        is_self: row.is_self,
        is_contact: row.is_contact,
    }
}
