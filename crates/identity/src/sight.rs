//! What one login shows of somebody, reduced to what can be compared: codes, no texts.

use serde::{Deserialize, Serialize};
use wechat_proto::{Contact, Member, contact::flags};

use crate::marker::Marker;

/// What a record is; a record never changes from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A friend.
    #[serde(rename = "p")]
    Person,
    /// An official account.
    #[serde(rename = "o")]
    Official,
}

/// A field of a person's record that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Field {
    /// Own name.
    Nick,
    /// The name that the owner gave.
    Remark,
    /// Bytes of the picture.
    Avatar,
    /// Motto.
    Signature,
    /// Province and city.
    Region,
    /// Sex.
    Sex,
    /// Account settings as bits.
    Attr,
    /// Moments settings.
    Sns,
    /// Starred by the owner.
    Star,
    /// Pinned by the owner.
    Pin,
    /// Muted by the owner.
    Mute,
    /// First letters of the permanent account name.
    KeyWord,
    /// Length of the session name, which follows the length of the permanent one.
    NameLen,
}

impl Field {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 13] = [
        Self::Nick,
        Self::Remark,
        Self::Avatar,
        Self::Signature,
        Self::Region,
        Self::Sex,
        Self::Attr,
        Self::Sns,
        Self::Star,
        Self::Pin,
        Self::Mute,
        Self::KeyWord,
        Self::NameLen,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// How people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nick => "nickname",
            Self::Remark => "remark",
            Self::Avatar => "picture",
            Self::Signature => "signature",
            Self::Region => "region",
            Self::Sex => "sex",
            Self::Attr => "account settings",
            Self::Sns => "Moments settings",
            Self::Star => "star",
            Self::Pin => "pin",
            Self::Mute => "mute",
            Self::KeyWord => "account prefix",
            Self::NameLen => "length of the account name",
        }
    }
}

/// One code per field; 0 is empty or unknown.
pub type Codes = [u64; Field::COUNT];

/// What a login shows of a person or an official account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Person or official account.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// Version of the record in the owner's number space; 0 tells nothing.
    #[serde(rename = "s", default)]
    pub seq: i64,
    /// By [`Field`].
    #[serde(rename = "c")]
    pub codes: Codes,
    /// Behind the remark.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Marker>,
}

impl Sight {
    /// Reads a record; `avatar` is a code of the picture's bytes, 0 if it was not fetched.
    #[must_use]
    pub fn of(contact: &Contact, avatar: u64) -> Self {
        let mut codes = [0; Field::COUNT];
        let mut put = |field: Field, code: u64| {
            if let Some(slot) = codes.get_mut(field as usize) {
                *slot = code;
            }
        };
        let (nick, remark) = (contact.nick_name.decoded(), contact.remark_name.decoded());
        // A marker is no change of the remark; nor is a nickname that was written for want of one.
        let (remark, marker) = match Marker::part(&remark) {
            Some((name, marker)) => (if name == nick { "" } else { name }, Some(marker)),
            None => (remark.as_str(), None),
        };
        put(Field::Nick, text_code(&nick));
        put(Field::Remark, text_code(remark));
        put(Field::Avatar, avatar);
        put(Field::Signature, text_code(&contact.signature.decoded()));
        put(Field::Region, region_code(&contact.province, &contact.city));
        put(Field::Sex, number_code(contact.sex));
        put(Field::Attr, number_code(contact.attr_status));
        put(Field::Sns, number_code(contact.sns_flag));
        put(Field::Star, 1 + u64::from(contact.star_friend != 0));
        put(Field::Pin, 1 + u64::from(contact.is_pinned()));
        put(Field::Mute, 1 + u64::from(contact.contact_flag & flags::MUTED != 0));
        put(Field::KeyWord, text_code(&contact.key_word));
        put(Field::NameLen, name_len(contact.user_name.as_str()));
        let kind = if contact.is_official() { Kind::Official } else { Kind::Person };
        Self { kind, seq: contact.head_img_seq(), codes, marker }
    }

    /// The code of one field.
    #[must_use]
    pub fn code(&self, field: Field) -> u64 {
        self.codes.get(field as usize).copied().unwrap_or(0)
    }
}

/// What a login shows of a member inside a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSight {
    /// The name shown: the owner's remark for a friend who has one, else the own name.
    #[serde(rename = "n", default)]
    pub nick: u64,
    /// Name inside this group.
    #[serde(rename = "c", default, skip_serializing_if = "is_zero")]
    pub card: u64,
    /// Account settings.
    #[serde(rename = "a", default)]
    pub attr: u64,
    /// First letters of the permanent account name.
    #[serde(rename = "w", default, skip_serializing_if = "is_zero")]
    pub key_word: u64,
    /// Length of the session name.
    #[serde(rename = "l", default)]
    pub name_len: u64,
}

impl MemberSight {
    /// Reads an entry of a member list.
    #[must_use]
    pub fn of(member: &Member) -> Self {
        let nick = member.nick_name.decoded();
        Self {
            nick: text_code(Marker::part(&nick).map_or(nick.as_str(), |(name, _)| name)),
            card: text_code(&member.display_name.decoded()),
            attr: number_code(member.attr_status),
            key_word: text_code(&member.key_word),
            name_len: name_len(member.user_name.as_str()),
        }
    }

    /// One code for what outlives a login, 0 if that is next to nothing.
    pub(crate) fn token(&self) -> u64 {
        if self.nick == 0 { 0 } else { mix(&[self.nick, self.key_word, self.name_len]) }
    }
}

fn is_zero(code: &u64) -> bool {
    *code == 0
}

/// What a login shows of a group, its members apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSight {
    /// Version of the record; 0 tells nothing.
    #[serde(rename = "s", default)]
    pub seq: i64,
    /// Code of the name; 0 for a group without one.
    #[serde(rename = "n", default)]
    pub title: u64,
    /// The owner's own name for it.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub remark: u64,
    /// Picture, 0 if not fetched.
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub avatar: u64,
    /// The account's owner owns it.
    #[serde(rename = "o", default)]
    pub is_owned: bool,
    /// Notifications are off.
    #[serde(rename = "m", default)]
    pub is_muted: bool,
    /// Pinned by the owner.
    #[serde(rename = "t", default)]
    pub is_pinned: bool,
    /// Length of the session name.
    #[serde(rename = "l", default)]
    pub name_len: u64,
}

impl GroupSight {
    /// Reads a group's record.
    #[must_use]
    pub fn of(room: &Contact, avatar: u64) -> Self {
        Self {
            seq: room.head_img_seq(),
            title: text_code(&room.nick_name.decoded()),
            remark: text_code(&room.remark_name.decoded()),
            avatar,
            is_owned: room.is_owner == 1,
            is_muted: room.is_muted(),
            is_pinned: room.is_pinned(),
            name_len: name_len(room.user_name.as_str()),
        }
    }
}

/// A code of a text; 0 only for the empty one. Stored for years, so the function is fixed: FNV-1a.
#[must_use]
pub fn text_code(text: &str) -> u64 {
    let text = text.trim();
    if text.is_empty() {
        return 0;
    }
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

pub(crate) fn mix(codes: &[u64]) -> u64 {
    let bytes = codes.iter().copied().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

fn region_code(province: &str, city: &str) -> u64 {
    let (province, city) = (text_code(province), text_code(city));
    if province == 0 && city == 0 { 0 } else { mix(&[province, city]) }
}

/// 0 is "unknown" on the wire for all numbers that are compared.
fn number_code(value: i64) -> u64 {
    value.cast_unsigned()
}

/// Digits after the `@`: 32 or 64, rarely more.
fn name_len(user_name: &str) -> u64 {
    user_name.trim_start_matches('@').len() as u64
}
