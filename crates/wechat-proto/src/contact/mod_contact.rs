//! A changed contact: its own, smaller shape, and how it is merged.

use serde::{Deserialize, Serialize};

use super::{Contact, Member};
use crate::{UserName, WireText, flex};

/// One entry of `ModContactList`.
///
/// Source: the protocol sheet, section 3.4.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModContact {
    /// Whose record changed.
    pub user_name: UserName,
    /// Own name or topic.
    pub nick_name: WireText,
    /// 0 unknown, 1 male, 2 female.
    #[serde(deserialize_with = "flex::int")]
    pub sex: i64,
    /// Not 0: the picture changed.
    #[serde(deserialize_with = "flex::int")]
    pub head_img_update_flag: i64,
    /// Unknown.
    #[serde(deserialize_with = "flex::int")]
    pub contact_type: i64,
    /// WeChat id.
    #[serde(deserialize_with = "flex::string")]
    pub alias: String,
    /// Of a group: who owns it.
    pub chat_room_owner: UserName,
    /// Path of the picture.
    #[serde(deserialize_with = "flex::string")]
    pub head_img_url: String,
    /// Bits, see [`super::flags`].
    #[serde(deserialize_with = "flex::int")]
    pub contact_flag: i64,
    /// Of a group.
    #[serde(deserialize_with = "flex::int")]
    pub member_count: i64,
    /// Of a group: complete if not empty, silent if empty.
    #[serde(deserialize_with = "flex::list")]
    pub member_list: Vec<Member>,
    /// 1: an account that cannot be written to.
    #[serde(deserialize_with = "flex::int")]
    pub hide_input_bar_flag: i64,
    /// Motto.
    pub signature: WireText,
    /// Bits, see [`super::flags`].
    #[serde(deserialize_with = "flex::int")]
    pub verify_flag: i64,
    /// The name that we gave.
    pub remark_name: WireText,
    /// Of a group: 1 notifies.
    #[serde(deserialize_with = "flex::int")]
    pub statues: i64,
    /// Opaque.
    #[serde(deserialize_with = "flex::int")]
    pub attr_status: i64,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub province: String,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub city: String,
    /// Bit 0: has an album.
    #[serde(deserialize_with = "flex::int")]
    pub sns_flag: i64,
    /// First letters of the permanent id, perhaps.
    #[serde(deserialize_with = "flex::string")]
    pub key_word: String,
}

/// What an empty remark in a full record means; no source proves it, so it is a choice.
///
/// Source: the protocol sheet, section 3.4 (uncertain; "make it configurable").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClearedRemark {
    /// The remark was removed.
    #[default]
    Believe,
    /// Nothing was said about the remark.
    Ignore,
}

impl ModContact {
    /// Whether this is a full record of its shape, whose empty fields are values and not silence.
    ///
    /// Source: the protocol sheet, section 3.4.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.contact_flag != 0 || !self.nick_name.is_empty()
    }

    /// Merges the change into a known record.
    ///
    /// A full record overwrites the fields of its own shape. In any other, empty and zero mean "not
    /// told". Fields that the shape does not have are never touched.
    /// Source: the protocol sheet, section 3.4 ("better rule for us").
    pub fn merge_into(&self, known: &mut Contact, cleared: ClearedRemark) {
        let full = self.is_full();
        let number = |target: &mut i64, value: i64| {
            if full || value != 0 {
                *target = value;
            }
        };
        number(&mut known.sex, self.sex);
        number(&mut known.contact_flag, self.contact_flag);
        number(&mut known.hide_input_bar_flag, self.hide_input_bar_flag);
        number(&mut known.verify_flag, self.verify_flag);
        number(&mut known.statues, self.statues);
        number(&mut known.attr_status, self.attr_status);
        number(&mut known.sns_flag, self.sns_flag);

        let text = |target: &mut String, value: &String| {
            if full || !value.is_empty() {
                target.clone_from(value);
            }
        };
        text(&mut known.alias, &self.alias);
        text(&mut known.province, &self.province);
        text(&mut known.city, &self.city);
        text(&mut known.key_word, &self.key_word);
        // A record always has a picture address; an empty one is silence even in a full record.
        if !self.head_img_url.is_empty() {
            known.head_img_url.clone_from(&self.head_img_url);
        }
        if full || !self.signature.is_empty() {
            known.signature = self.signature.clone();
        }
        // A group may really lose its topic, a person never has an empty name.
        if !self.nick_name.is_empty() || (full && known.is_room()) {
            known.nick_name = self.nick_name.clone();
        }
        if !self.remark_name.is_empty() || (full && cleared == ClearedRemark::Believe) {
            known.remark_name = self.remark_name.clone();
        }
        if !self.member_list.is_empty() {
            known.member_list.clone_from(&self.member_list);
            known.member_count = i64::try_from(self.member_list.len()).unwrap_or(i64::MAX);
        } else if self.member_count != 0 {
            known.member_count = self.member_count;
        }
    }

    /// A record of a contact that was not known before.
    #[must_use]
    pub fn to_contact(&self) -> Contact {
        let mut contact = Contact { user_name: self.user_name.clone(), ..Contact::default() };
        self.merge_into(&mut contact, ClearedRemark::Believe);
        contact
    }

    /// Who owns the group, if it is told.
    #[must_use]
    pub fn owner(&self) -> Option<&UserName> {
        (!self.chat_room_owner.is_empty()).then_some(&self.chat_room_owner)
    }
}

/// One entry of `DelContactList`: a friend or a group that is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DelContact {
    /// Who.
    pub user_name: UserName,
    /// Bits, see [`super::flags`].
    #[serde(deserialize_with = "flex::int")]
    pub contact_flag: i64,
}
