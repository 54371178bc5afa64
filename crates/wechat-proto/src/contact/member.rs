//! A member of a group.

use serde::{Deserialize, Serialize};

use crate::{UserName, WireText, flex};

/// One entry of a group's `MemberList`.
///
/// In `webwxinit` most fields are empty. Source: the protocol sheet, section 3.3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// 0, almost always.
    #[serde(deserialize_with = "flex::int")]
    pub uin: i64,
    /// The same as in the contact list if the member is a friend.
    pub user_name: UserName,
    /// Own name.
    pub nick_name: WireText,
    /// Opaque; exceeds 32 bits.
    #[serde(deserialize_with = "flex::int")]
    pub attr_status: i64,
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
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub member_status: i64,
    /// Name inside this group.
    pub display_name: WireText,
    /// First letters of the permanent id, perhaps.
    #[serde(deserialize_with = "flex::string")]
    pub key_word: String,
}

/// Which name of a member comes first; sources disagree.
///
/// Source: the protocol sheet, section 3.3 and appendix D ("display name order").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NameOrder {
    /// Our remark, then the name in the group, then the own name: the page.
    #[default]
    RemarkFirst,
    /// The name in the group, then our remark, then the own name.
    GroupNameFirst,
}

impl Member {
    /// Name inside the group, else own name.
    #[must_use]
    pub fn shown_name(&self) -> String {
        if self.display_name.is_empty() { self.nick_name.decoded() } else { self.display_name.decoded() }
    }

    /// How to show the member, given the remark of the friend record if there is one.
    #[must_use]
    pub fn shown_name_with(&self, remark: Option<&WireText>, order: NameOrder) -> String {
        let remark = remark.filter(|remark| !remark.is_empty());
        match (order, remark) {
            (NameOrder::RemarkFirst, Some(remark)) => remark.decoded(),
            (NameOrder::GroupNameFirst, Some(remark)) if self.display_name.is_empty() => remark.decoded(),
            _ => self.shown_name(),
        }
    }
}
