//! One contact or group of the service → profiles and notes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use wechat_proto::{Contact, Member, UserName};
use wxgate_contract::{ChatKey, ChatProfile, Member as GroupMember, PersonKey, PersonKind, PersonProfile};

use super::{Draft, Kind, Lasting, Named, OWNER, lasting_note, member_note, name_note, new_key, note};
use crate::identity::Evidence;
use crate::session::live::{Live, Own};
use wxgate_contract::NetworkId;

/// Members of a group beyond this are not carried: the service's own groups end at 500. Chosen.
const MAX_MEMBERS: usize = 2000;

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

/// What is kept to know a record again after the next login.
pub(crate) fn evidence(contact: &Contact) -> Evidence {
    let (nick, remark) = (contact.nick_name.decoded(), contact.remark_name.decoded());
    let name = if nick.is_empty() && remark.is_empty() { 0 } else { hash(&(nick, remark)).max(1) };
    let token = |member: &Member| u32::try_from(hash(&member.nick_name.decoded()) >> 32).unwrap_or(0);
    let mut members: Vec<u32> = contact.member_list.iter().take(MAX_MEMBERS).map(token).collect();
    members.sort_unstable();
    Evidence { is_group: contact.is_room(), seq: contact.head_img_seq(), name, members }
}

/// `DefaultHasher::new` has fixed keys, but the algorithm may change with the toolchain: then
/// evidence stops matching once, which splits and never merges wrongly.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Writes what a record says about a person, an official account or a built-in one.
pub(crate) fn put_person(draft: &mut Draft, login: &Login<'_>, key: &str, contact: &Contact) {
    let kind = kind_of(contact);
    let profile = PersonProfile {
        person: PersonKey::from(key),
        kind: match kind {
            Kind::Official => PersonKind::Official,
            Kind::System => PersonKind::System,
            Kind::Person | Kind::Group => PersonKind::Human,
        },
        nickname: contact.nick_name.decoded(),
        remark: contact.remark_name.decoded(),
        public_id: contact.alias.clone(),
        signature: contact.signature.decoded(),
        region: [&*contact.province, &*contact.city].join(" ").trim().to_owned(),
        is_contact: contact.is_in_address_book(),
    };
    let title = match profile.display_name() {
        "" if contact.user_name.survives_login() => key.to_owned(),
        name => name.to_owned(),
    };
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
    let (own_alias, room_id) = (String::new(), String::new());
    let named = Named { key: key.to_owned(), kind, name: title, own_alias, room_id };
    put_names(draft, login, key, contact, named);
}

/// Writes what a record says about a group; `contacts` are the members that are contacts too.
pub(crate) fn put_group(
    draft: &mut Draft,
    login: &Login<'_>,
    key: &str,
    room: &Contact,
    owner: Option<&UserName>,
    contacts: &HashMap<UserName, String>,
) {
    let key_of = |user_name: &UserName| {
        if login.is_own(user_name) {
            OWNER.to_owned()
        } else {
            contacts.get(user_name).cloned().unwrap_or_else(|| login.key_for(user_name))
        }
    };
    let mut members = Vec::with_capacity(room.member_list.len().min(MAX_MEMBERS));
    let mut own_alias = String::new();
    for member in room.member_list.iter().take(MAX_MEMBERS) {
        let is_self = login.is_own(&member.user_name);
        let (person, name) = (key_of(&member.user_name), member.shown_name());
        if is_self {
            own_alias = member.display_name.decoded();
        }
        let is_contact = contacts.contains_key(&member.user_name);
        if !is_self && !is_contact {
            draft.batch.people.push(stranger(&person, member));
        }
        let named = Named {
            key: person.clone(),
            kind: Kind::Person,
            name: name.clone(),
            own_alias: String::new(),
            room_id: String::new(),
        };
        draft.put(member_note(login.generation, key, &member.user_name), named);
        members.push(GroupMember { person: PersonKey::from(person), name, is_self, is_contact });
    }
    let title = Some(room.remark_name.decoded()).filter(|remark| !remark.is_empty());
    let title = title.unwrap_or_else(|| room.nick_name.decoded());
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
    let named = Named { key: key.to_owned(), kind: Kind::Group, name: title, own_alias, room_id };
    put_names(draft, login, key, room, named);
}

fn put_names(draft: &mut Draft, login: &Login<'_>, key: &str, contact: &Contact, named: Named) {
    let lasting = Lasting {
        user_name: contact.user_name.clone(),
        generation: login.generation,
        evidence: evidence(contact),
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
