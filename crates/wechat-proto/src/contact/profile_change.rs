//! A change of the own profile, in a sync answer.

use serde::{Deserialize, Serialize};

use super::SelfUser;
use crate::{WireText, flex};

/// A text in an object of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Buff {
    /// The text.
    pub buff: WireText,
}

/// `Profile`. `BitFlag` 0 means that nothing changed. Source: the protocol sheet, section 3.5.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProfileChange {
    /// 0: no change; 190: changed.
    #[serde(deserialize_with = "flex::int")]
    pub bit_flag: i64,
    /// Own name.
    #[serde(deserialize_with = "flex::object")]
    pub nick_name: Buff,
    /// 0 unknown, 1 male, 2 female.
    #[serde(deserialize_with = "flex::int")]
    pub sex: i64,
    /// WeChat id.
    #[serde(deserialize_with = "flex::string")]
    pub alias: String,
    /// Not 0: the picture changed.
    #[serde(deserialize_with = "flex::int")]
    pub head_img_update_flag: i64,
    /// Path of the picture.
    #[serde(deserialize_with = "flex::string")]
    pub head_img_url: String,
    /// Motto.
    pub signature: WireText,
}

impl ProfileChange {
    /// Whether anything changed.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.bit_flag != 0
    }

    /// Takes the new name if it is told, and the new picture if it changed.
    pub fn apply(&self, own: &mut SelfUser) {
        if !self.is_change() {
            return;
        }
        if !self.nick_name.buff.is_empty() {
            own.nick_name = self.nick_name.buff.clone();
        }
        if self.head_img_update_flag != 0 && !self.head_img_url.is_empty() {
            own.head_img_url.clone_from(&self.head_img_url);
        }
    }
}
