//! One contact or group of the service → profiles and notes.

use std::collections::HashMap;

use wechat_proto::{Contact, Member, UserName};
use wxgate_contract::{ChatKey, ChatProfile, Member as GroupMember, PersonKey, PersonKind, PersonProfile};

use super::{Draft, Kind, Lasting, Named, OWNER, lasting_note, member_note, name_note, new_key, note};
use crate::identity::UNCONFIRMED;
use crate::session::live::{Live, Own};
use wxgate_contract::NetworkId;
use wxgate_identity::{Marked, Marker};

/// Members of a group beyond this are not carried: the service's own groups end at 500. Chosen.
pub(crate) const MAX_MEMBERS: usize = 2000;

/// The login that records belong to.
pub(crate) struct Login<'a> {
    pub(crate) network: &'a NetworkId,
    pub(crate) uin: i64,
    pub(crate) generation: u32,
    pub(crate) own: Own,
}

impl<'a> Login<'a> {
    pub(crate) fn of(network: &'a NetworkId, live: &Live) -> Self {
        Self { network, uin: live.uin().unwrap_or(0), generation: live.generation(), own: live.own() }
    }

    pub(crate) fn key_for(&self, user_name: &UserName) -> String {
        new_key(self.network, self.uin, self.generation, user_name)
    }

    pub(crate) fn is_own(&self, user_name: &UserName) -> bool {
        user_name.is_empty() || *user_name == self.own.user_name
    }
}

/// What kind of party a record describes.
pub(crate) fn kind_of(contact: &Contact) -> Kind {
    if contact.is_room() {
        Kind::Group
    } else if contact.user_name.survives_login() {
        Kind::System
    } else if contact.is_official() {
        Kind::Official
    } else {
        Kind::Person
    }
}

/// Whether it is settled who a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Sure,
    /// The owner has to say; the chat is marked until then.
    Open,
}

impl Mark {
    pub(crate) fn of(is_open: bool) -> Self {
        if is_open { Self::Open } else { Self::Sure }
    }

    fn title(self, title: String) -> String {
        match self {
            Self::Sure => title,
            Self::Open => title + UNCONFIRMED,
        }
    }
}

/// Lasting keys of the members of a group, by the names of this session.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// In the address book too.
    pub(crate) contacts: HashMap<UserName, String>,
    /// In groups only.
    pub(crate) strangers: HashMap<UserName, String>,
    /// What those in the address book call themselves.
    pub(crate) own_names: HashMap<UserName, String>,
}

impl Keys {
    pub(crate) fn of(&self, login: &Login<'_>, user_name: &UserName) -> String {
        let known = self.contacts.get(user_name).or_else(|| self.strangers.get(user_name));
        known.cloned().unwrap_or_else(|| login.key_for(user_name))
    }
}

/// Writes what a record says about a person, an official account or a built-in one.
pub(crate) fn put_person(
    draft: &mut Draft,
    login: &Login<'_>,
    (key, mark, marked): (&str, Mark, Option<Marked>),
    contact: &Contact,
) {
    let remark = contact.remark_name.decoded();
    let kind = kind_of(contact);
    let profile = PersonProfile {
        person: PersonKey::from(key),
        kind: match kind {
            Kind::Official => PersonKind::Official,
            Kind::System => PersonKind::System,
            Kind::Person | Kind::Group => PersonKind::Human,
        },
        nickname: contact.nick_name.decoded(),
        remark: marked.map_or(remark.clone(), |marked| marked.name_in(&remark)),
        public_id: contact.alias.clone(),
        signature: contact.signature.decoded(),
        region: [&*contact.province, &*contact.city].join(" ").trim().to_owned(),
        is_contact: contact.is_in_address_book(),
    };
    let title = match profile.display_name() {
        "" if contact.user_name.survives_login() => key.to_owned(),
        name => name.to_owned(),
    };
    let title = mark.title(title);
    draft.batch.chats.push(ChatProfile {
        chat: ChatKey::from(key),
        kind: kind.chat(),
        title: title.clone(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: None,
        is_gone: false,
    });
    draft.batch.people.push(profile);
    let named = Named { is_open: mark == Mark::Open, ..Named::new(key, kind, title) };
    put_names(draft, login, key, contact, named);
}

/// Writes what a record says about a group.
pub(crate) fn put_group(
    draft: &mut Draft,
    login: &Login<'_>,
    (key, mark): (&str, Mark),
    room: &Contact,
    owner: Option<&UserName>,
    keys: &Keys,
) {
    let key_of = |user_name: &UserName| {
        if login.is_own(user_name) { OWNER.to_owned() } else { keys.of(login, user_name) }
    };
    let mut members = Vec::with_capacity(room.member_list.len().min(MAX_MEMBERS));
    let mut own_alias = String::new();
    for member in room.member_list.iter().take(MAX_MEMBERS) {
        let is_self = login.is_own(&member.user_name);
        let person = key_of(&member.user_name);
        // A contact's `NickName` is the owner's remark here, which is nobody else's business.
        // Source: the paper on contact identity, traps.
        let own_name = keys.own_names.get(&member.user_name).filter(|_| member.display_name.is_empty());
        let name = own_name.cloned().unwrap_or_else(|| member.shown_name());
        if is_self {
            own_alias = member.display_name.decoded();
        }
        let is_contact = keys.contacts.contains_key(&member.user_name);
        // One whose own name is not known still stands here under the remark.
        let name = match Marker::part(&name) {
            Some((part, _)) if is_contact && !part.is_empty() => part.to_owned(),
            _ => name,
        };
        if !is_self && !is_contact {
            draft.batch.people.push(stranger(&person, member));
        }
        let named = Named::new(person.clone(), Kind::Person, name.clone());
        draft.put(member_note(login.generation, key, &member.user_name), named);
        members.push(GroupMember { person: PersonKey::from(person), name, is_self, is_contact });
    }
    let title = Some(room.remark_name.decoded()).filter(|remark| !remark.is_empty());
    let title = mark.title(title.unwrap_or_else(|| room.nick_name.decoded()));
    draft.batch.chats.push(ChatProfile {
        chat: ChatKey::from(key),
        kind: Kind::Group.chat(),
        title: title.clone(),
        topic: String::new(),
        is_owned: owner.is_some_and(|owner| login.is_own(owner)),
        owner: owner.map(|owner| PersonKey::from(key_of(owner))),
        // An empty list says nothing. Source: the protocol sheet, section 3.4.
        members: (!members.is_empty()).then_some(members),
        is_gone: false,
    });
    let room_id = room.encry_chat_room_id.clone();
    let is_open = mark == Mark::Open;
    let named = Named { own_alias, room_id, is_open, ..Named::new(key, Kind::Group, title) };
    put_names(draft, login, key, room, named);
}

fn put_names(draft: &mut Draft, login: &Login<'_>, key: &str, contact: &Contact, named: Named) {
    let lasting = Lasting {
        user_name: contact.user_name.clone(),
        generation: login.generation,
        seq: contact.head_img_seq(),
    };
    draft.batch.notes.push(note(lasting_note(key), &lasting));
    draft.put(name_note(login.generation, &contact.user_name), named);
}

fn stranger(person: &str, member: &Member) -> PersonProfile {
    PersonProfile {
        person: PersonKey::from(person),
        kind: PersonKind::Human,
        nickname: member.nick_name.decoded(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: false,
    }
}

/// The owner of the account, as a person.
pub(crate) fn owner(own: &Own) -> PersonProfile {
    PersonProfile {
        person: PersonKey::from(OWNER),
        kind: PersonKind::Owner,
        nickname: own.nickname.clone(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: false,
    }
}
