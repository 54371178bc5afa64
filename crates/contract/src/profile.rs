//! Names, faces and members: the latest value wins.

use serde::{Deserialize, Serialize};

use crate::ids::{ChatKey, PersonKey};

/// What kind of conversation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// With one person.
    Private,
    /// With many.
    Group,
    /// With an official (publisher or service) account.
    Official,
    /// With a built-in account of the network, such as the file transfer helper.
    System,
}

/// One conversation as its network describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatProfile {
    /// Which conversation.
    pub chat: ChatKey,
    /// What kind it is.
    pub kind: ChatKind,
    /// Decoded title; empty for unnamed groups; the display name of the person for private chats.
    pub title: String,
    /// Announcement or description; may be empty.
    pub topic: String,
    /// The owner of the account may rename it and remove members.
    pub is_owned: bool,
    /// Who owns it, when known.
    pub owner: Option<PersonKey>,
    /// `None`: not told; `Some`: the complete list.
    pub members: Option<Vec<Member>>,
    /// The conversation no longer exists for this account.
    pub is_gone: bool,
}

/// A person inside a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub person: PersonKey,
    /// Display name inside this group: the group alias if set, else the nickname; decoded.
    pub name: String,
    /// True for the owner of the account.
    pub is_self: bool,
    /// True when the person is also a contact of the account.
    pub is_contact: bool,
}

/// What kind of party a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// A human being.
    Human,
    /// An official (publisher or service) account.
    Official,
    /// A built-in account of the network.
    System,
    /// The owner of the account.
    Owner,
}

/// One person as their network describes them. All texts are decoded; empty means unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonProfile {
    /// Who.
    pub person: PersonKey,
    /// What kind.
    pub kind: PersonKind,
    /// The name the person chose.
    pub nickname: String,
    /// The name the owner of the account gave them.
    pub remark: String,
    /// The public id on the network, if it tells one (WeChat id).
    pub public_id: String,
    /// Motto.
    pub signature: String,
    /// Province and city.
    pub region: String,
    /// True when the person is in the address book.
    pub is_contact: bool,
}

impl PersonProfile {
    /// Remark, else nickname, else public id.
    pub fn display_name(&self) -> &str {
        [&self.remark, &self.nickname, &self.public_id].into_iter().find(|n| !n.is_empty()).map_or("", |n| n)
    }
}
