//! People, groups and accounts as the service describes them.

pub mod flags;
pub mod member;
pub mod mod_contact;
pub mod profile_change;

use serde::{Deserialize, Serialize};

pub use member::Member;
pub use mod_contact::{ClearedRemark, DelContact, ModContact};
pub use profile_change::ProfileChange;

use crate::{UserName, WireText, flex};

/// A record of the address book, of a batch answer or of `webwxinit`.
///
/// `Uin` is 0 for everybody but oneself and must never be a key. `EncryChatRoomId` changes with
/// every login. Source: the protocol sheet, section 3.2.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Contact {
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub uin: i64,
    /// Name in this session.
    pub user_name: UserName,
    /// Own name, or topic of a group.
    pub nick_name: WireText,
    /// Path with a query; `seq` in it is a version of the record.
    #[serde(deserialize_with = "flex::string")]
    pub head_img_url: String,
    /// Bits, see [`flags`].
    #[serde(deserialize_with = "flex::int")]
    pub contact_flag: i64,
    /// Of a group; 0 in the address book.
    #[serde(deserialize_with = "flex::int")]
    pub member_count: i64,
    /// Of a group; empty says nothing.
    #[serde(deserialize_with = "flex::list")]
    pub member_list: Vec<Member>,
    /// The name that we gave.
    pub remark_name: WireText,
    /// 1: an account that cannot be written to.
    #[serde(deserialize_with = "flex::int")]
    pub hide_input_bar_flag: i64,
    /// 0 unknown, 1 male, 2 female.
    #[serde(deserialize_with = "flex::int")]
    pub sex: i64,
    /// Motto.
    pub signature: WireText,
    /// Bits, see [`flags`].
    #[serde(deserialize_with = "flex::int")]
    pub verify_flag: i64,
    /// Of a group; 0 in most answers.
    #[serde(deserialize_with = "flex::int")]
    pub owner_uin: i64,
    /// Initials of the name.
    #[serde(rename = "PYInitial", deserialize_with = "flex::string")]
    pub py_initial: String,
    /// Transcription of the name.
    #[serde(rename = "PYQuanPin", deserialize_with = "flex::string")]
    pub py_quan_pin: String,
    /// Initials of the remark.
    #[serde(rename = "RemarkPYInitial", deserialize_with = "flex::string")]
    pub remark_py_initial: String,
    /// Transcription of the remark.
    #[serde(rename = "RemarkPYQuanPin", deserialize_with = "flex::string")]
    pub remark_py_quan_pin: String,
    /// 1: starred.
    #[serde(deserialize_with = "flex::int")]
    pub star_friend: i64,
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub app_account_flag: i64,
    /// (sic) Of a group: 1 notifies, 0 is muted.
    #[serde(deserialize_with = "flex::int")]
    pub statues: i64,
    /// Opaque; exceeds 32 bits.
    #[serde(deserialize_with = "flex::int")]
    pub attr_status: i64,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub province: String,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub city: String,
    /// WeChat id chosen by the person; mostly empty.
    #[serde(deserialize_with = "flex::string")]
    pub alias: String,
    /// Bit 0: has an album.
    #[serde(deserialize_with = "flex::int")]
    pub sns_flag: i64,
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub uni_friend: i64,
    /// Meaningful on members only.
    pub display_name: WireText,
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub chat_room_id: i64,
    /// First letters of the permanent id, perhaps.
    #[serde(deserialize_with = "flex::string")]
    pub key_word: String,
    /// Of a group: for pictures and queries of its members.
    #[serde(deserialize_with = "flex::string")]
    pub encry_chat_room_id: String,
    /// Of a group: 1 if we own it.
    #[serde(deserialize_with = "flex::int")]
    pub is_owner: i64,
}

impl Contact {
    /// Whether it is a group.
    #[must_use]
    pub fn is_room(&self) -> bool {
        self.user_name.is_room()
    }

    /// Whether it is an official account.
    #[must_use]
    pub fn is_official(&self) -> bool {
        flags::is_official(self.verify_flag)
    }

    /// Whether it is in the address book.
    #[must_use]
    pub fn is_in_address_book(&self) -> bool {
        self.contact_flag & flags::CONTACT != 0
    }

    /// Whether its chat is pinned.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.contact_flag & flags::PINNED != 0
    }

    /// Whether its notifications are off: `Statues` for groups, a flag for the rest.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        if self.is_room() { self.statues & 1 == 0 } else { self.contact_flag & flags::MUTED != 0 }
    }

    /// How to show it: the remark, else the own name, else the first ten members of a group.
    ///
    /// Source: the protocol sheet, section 3.3 (the page's order).
    #[must_use]
    pub fn shown_name(&self) -> String {
        for name in [&self.remark_name, &self.nick_name] {
            if !name.is_empty() {
                return name.decoded();
            }
        }
        let members: Vec<String> = self
            .member_list
            .iter()
            .map(Member::shown_name)
            .filter(|name| !name.is_empty())
            .take(10)
            .collect();
        members.join(", ")
    }

    /// Version of the record from the picture's address; 0 if there is none.
    #[must_use]
    pub fn head_img_seq(&self) -> i64 {
        head_img_seq(&self.head_img_url)
    }
}

/// The `seq` parameter of a `HeadImgUrl`.
///
/// Source: the protocol sheet, sections 2.22 and 3.2.
#[must_use]
pub fn head_img_seq(url: &str) -> i64 {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').find_map(|pair| pair.strip_prefix("seq=")).and_then(|seq| seq.parse().ok()).unwrap_or(0)
}

/// Oneself, in the answer of `webwxinit`.
///
/// Source: the protocol sheet, section 3.2, last paragraph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SelfUser {
    /// Real here, and only here.
    #[serde(deserialize_with = "flex::int")]
    pub uin: i64,
    /// Own name in this session.
    pub user_name: UserName,
    /// Own name as others see it.
    pub nick_name: WireText,
    /// Own picture.
    #[serde(deserialize_with = "flex::string")]
    pub head_img_url: String,
    /// 0 unknown, 1 male, 2 female.
    #[serde(deserialize_with = "flex::int")]
    pub sex: i64,
    /// Motto.
    pub signature: WireText,
    /// Bit 0: has an album.
    #[serde(deserialize_with = "flex::int")]
    pub sns_flag: i64,
}

/// Who owns a group, from whatever tells: `ChatRoomOwner`, `IsOwner`, `OwnerUin`.
///
/// Source: the protocol sheet, sections 3.2, 3.4 and 7 (item 47).
#[must_use]
pub fn room_owner(room: &Contact, chat_room_owner: Option<&UserName>, own: &SelfUser) -> Option<UserName> {
    if let Some(owner) = chat_room_owner.filter(|owner| !owner.is_empty()) {
        return Some(owner.clone());
    }
    if room.is_owner == 1 || (room.owner_uin != 0 && room.owner_uin == own.uin) {
        return Some(own.user_name.clone());
    }
    let by_uin = |member: &&Member| room.owner_uin != 0 && member.uin == room.owner_uin;
    room.member_list.iter().find(by_uin).map(|member| member.user_name.clone())
}

#[cfg(test)]
mod tests;
