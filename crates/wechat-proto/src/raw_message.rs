//! One item of `AddMsgList`, as it comes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{UserName, WireText, flex};

/// The server's id of a message: a 64-bit decimal number, kept as text because some clients round it.
///
/// Source: the protocol sheet, sections 2.1.4 and 3.6.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MsgId(Arc<str>);

impl MsgId {
    /// Wraps an id.
    #[must_use]
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none (`""` or `0`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.as_str(), "" | "0")
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MsgId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        flex::string(deserializer).map(Self::new)
    }
}

/// A message before decoding. `Debug` shows ids and types only.
///
/// Source: the protocol sheet, section 3.6.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RawMessage {
    /// **The** id.
    pub msg_id: MsgId,
    /// Who speaks: self, a friend, or the group.
    pub from_user_name: UserName,
    /// Self, a friend, or the group when self speaks.
    pub to_user_name: UserName,
    /// See [`crate::message::msg_type`].
    #[serde(deserialize_with = "flex::int")]
    pub msg_type: i64,
    /// Encoded text or XML.
    #[serde(deserialize_with = "flex::string")]
    pub content: String,
    /// 3 or 4; not useful.
    #[serde(deserialize_with = "flex::int")]
    pub status: i64,
    /// 2 when a picture belongs to it.
    #[serde(deserialize_with = "flex::int")]
    pub img_status: i64,
    /// Unix seconds.
    #[serde(deserialize_with = "flex::int")]
    pub create_time: i64,
    /// Milliseconds of a voice message.
    #[serde(deserialize_with = "flex::int")]
    pub voice_length: i64,
    /// Seconds of a video.
    #[serde(deserialize_with = "flex::int")]
    pub play_length: i64,
    /// Title of an app message or name of a file.
    pub file_name: WireText,
    /// Bytes, as decimal text.
    #[serde(deserialize_with = "flex::string")]
    pub file_size: String,
    /// For downloading a file.
    #[serde(deserialize_with = "flex::string")]
    pub media_id: String,
    /// Target of a link; map of a location.
    #[serde(deserialize_with = "flex::string")]
    pub url: String,
    /// Kind of an app message.
    #[serde(deserialize_with = "flex::int")]
    pub app_msg_type: i64,
    /// Kind of a status notification.
    #[serde(deserialize_with = "flex::int")]
    pub status_notify_code: i64,
    /// Comma-separated `UserName`s.
    #[serde(deserialize_with = "flex::string")]
    pub status_notify_user_name: String,
    /// Of cards and friend requests.
    #[serde(deserialize_with = "flex::object")]
    pub recommend_info: RecommendInfo,
    /// 0.
    #[serde(deserialize_with = "flex::int")]
    pub forward_flag: i64,
    /// The app that made an app message.
    #[serde(deserialize_with = "flex::object")]
    pub app_info: AppInfo,
    /// Not 0: a sticker of the store.
    #[serde(deserialize_with = "flex::int")]
    pub has_product_id: i64,
    /// Of a friend request.
    #[serde(deserialize_with = "flex::string")]
    pub ticket: String,
    /// Pixels.
    #[serde(deserialize_with = "flex::int")]
    pub img_height: i64,
    /// Pixels.
    #[serde(deserialize_with = "flex::int")]
    pub img_width: i64,
    /// 48 for a location.
    #[serde(deserialize_with = "flex::int")]
    pub sub_msg_type: i64,
    /// The same number as `msg_id`.
    #[serde(deserialize_with = "flex::int")]
    pub new_msg_id: i64,
    /// XML of a location.
    #[serde(deserialize_with = "flex::string")]
    pub ori_content: String,
    /// For downloading a file, since December 2017.
    #[serde(deserialize_with = "flex::string")]
    pub encry_file_name: String,
}

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMessage")
            .field("msg_id", &self.msg_id)
            .field("msg_type", &self.msg_type)
            .field("app_msg_type", &self.app_msg_type)
            .field("content_bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// Person or account that a message recommends.
///
/// Source: the protocol sheet, section 3.6.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RecommendInfo {
    /// Usable in this session for verifying or adding.
    pub user_name: UserName,
    /// Own name.
    pub nick_name: WireText,
    /// 0 for most.
    #[serde(rename = "QQNum", deserialize_with = "flex::int")]
    pub qq_num: i64,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub province: String,
    /// Where from.
    #[serde(deserialize_with = "flex::string")]
    pub city: String,
    /// Greeting of a request.
    pub content: WireText,
    /// Motto.
    pub signature: WireText,
    /// WeChat id.
    #[serde(deserialize_with = "flex::string")]
    pub alias: String,
    /// How they found us.
    #[serde(deserialize_with = "flex::int")]
    pub scene: i64,
    /// Bits, see [`crate::contact::flags`].
    #[serde(deserialize_with = "flex::int")]
    pub verify_flag: i64,
    /// Opaque.
    #[serde(deserialize_with = "flex::int")]
    pub attr_status: i64,
    /// 0 unknown, 1 male, 2 female.
    #[serde(deserialize_with = "flex::int")]
    pub sex: i64,
    /// What accepting a request needs.
    #[serde(deserialize_with = "flex::string")]
    pub ticket: String,
    /// 2 for a request.
    #[serde(deserialize_with = "flex::int")]
    pub op_code: i64,
}

impl fmt::Debug for RecommendInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecommendInfo").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// The app that made an app message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AppInfo {
    /// Its id.
    #[serde(rename = "AppID", deserialize_with = "flex::string")]
    pub app_id: String,
    /// 0.
    #[serde(rename = "Type", deserialize_with = "flex::int")]
    pub kind: i64,
}
