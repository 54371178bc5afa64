//! Messages: from one item of a sync answer to what was said, by whom, in which chat.

pub mod app;
pub mod body;
pub mod msg_type;
pub mod prompt;
pub mod revoke;
pub mod status;
pub mod system;
pub mod xml_body;

pub use app::App;
pub use body::Body;
pub use revoke::Revoke;
pub use status::Status;
pub use system::{Actor, SystemEvent, SystemText};
pub use xml_body::{Card, FriendRequest, Image, Location, Sticker, Video, Voice};

use crate::{
    MsgId, PermanentId, RawMessage, UserName,
    emoji::{self, Corrections},
    text,
};

/// What a message is, decoded. `Debug` shows no text of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The server's id; the one that a revoke names.
    pub id: MsgId,
    /// The chat: the other side, or the group. Source: the protocol sheet, section 6.4.
    pub chat: UserName,
    /// Who speaks.
    pub sender: Sender,
    /// Unix seconds.
    pub created_s: i64,
    /// What it is.
    pub body: Body,
    /// Permanent ids that the service itself names: in recalls, notes of the phone and friend requests. The names inside
    /// of media, stickers, cards and app messages are those of whoever made them, which is not always who sends them.
    /// Source: the protocol sheet, sections 4.11, 4.13, 4.14.
    pub hints: Vec<IdHint>,
    /// `MsgType` as it came.
    pub msg_type: i64,
    /// `AppMsgType` as it came.
    pub app_msg_type: i64,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// Oneself, on the phone or another client.
    Own,
    /// The other side of a private chat.
    Peer,
    /// A member of the group.
    Member(UserName),
    /// A group's message without a sender that can be read: system texts above all. Never taken
    /// for oneself.
    Unknown,
}

/// A name of this session and the permanent id of the same account or group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdHint {
    /// In this session.
    pub user_name: UserName,
    /// For ever.
    pub permanent: PermanentId,
}

/// How to decode.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecodeOptions {
    /// Whether the server's nine wrong emoji are corrected.
    pub corrections: Corrections,
}

/// The pieces that all kinds of messages share while they are decoded.
pub(crate) struct Parts<'a> {
    pub(crate) raw: &'a RawMessage,
    pub(crate) own: &'a UserName,
    pub(crate) chat: UserName,
    pub(crate) sender: Sender,
    /// The content without its sender prefix.
    pub(crate) content: &'a str,
    pub(crate) corrections: Corrections,
}

impl Parts<'_> {
    /// The content as text.
    pub(crate) fn text(&self) -> String {
        text::decode(self.content, self.corrections)
    }

    /// The content as the text of an XML document: line breaks, spans, entities once.
    ///
    /// Spans are resolved before parsing, else a title with one becomes a nested element.
    /// Source: the protocol sheet, section 4.2 ("decoding order for XML contents").
    pub(crate) fn xml_text(&self) -> String {
        xml_text(self.content, self.corrections)
    }
}

pub(crate) fn hint(user_name: UserName, permanent: &str) -> Option<IdHint> {
    if user_name.is_empty() || user_name.survives_login() {
        return None;
    }
    Some(IdHint { user_name, permanent: PermanentId::parse(permanent)? })
}

fn xml_text(content: &str, corrections: Corrections) -> String {
    let lines = content.replace(text::LINE_BREAK, "\n");
    text::unescape(&emoji::decode_spans(&lines, corrections)).into_owned()
}

/// The decoded XML of a received message without its sender prefix, for passing it on.
#[must_use]
pub fn forwardable_xml(raw: &RawMessage, own: &UserName) -> String {
    parts(raw, own, DecodeOptions::default()).xml_text()
}

fn parts<'a>(raw: &'a RawMessage, own: &'a UserName, options: DecodeOptions) -> Parts<'a> {
    let from_self = raw.from_user_name.is_empty() || raw.from_user_name == *own;
    let chat = if from_self { &raw.to_user_name } else { &raw.from_user_name }.clone();
    let (sender, content) = if from_self {
        (Sender::Own, raw.content.as_str())
    } else if !chat.is_room() {
        (Sender::Peer, raw.content.as_str())
    } else if raw.msg_type == msg_type::SYSTEM {
        (Sender::Unknown, raw.content.as_str())
    } else if let Some(rest) = said_by(&raw.content, &chat) {
        // The group itself speaks: nobody in it does.
        (Sender::Unknown, rest)
    } else {
        match text::split_sender(&raw.content) {
            Some((name, rest)) if name == *own => (Sender::Own, rest),
            Some((name, rest)) => (Sender::Member(name), rest),
            None => (Sender::Unknown, raw.content.as_str()),
        }
    };
    Parts { raw, own, chat, sender, content, corrections: options.corrections }
}

/// What stands behind a prefix that names the group itself, which is no sender's form.
/// Source: guess; nothing says that the service writes this, and shown as it comes it is an id in a text.
fn said_by<'a>(content: &'a str, group: &UserName) -> Option<&'a str> {
    content.strip_prefix(group.as_str())?.strip_prefix(":<br/>")
}

/// Decodes a message. Never fails: what is unknown or broken becomes [`Body::Unsupported`].
///
/// Source: the protocol sheet, sections 4 and 6.4.
#[must_use]
pub fn decode(raw: &RawMessage, own: &UserName, options: DecodeOptions) -> Message {
    let parts = parts(raw, own, options);
    let mut hints = Vec::new();
    let body = body::decode(&parts, &mut hints);
    Message {
        id: raw.msg_id.clone(),
        chat: parts.chat,
        sender: parts.sender,
        created_s: raw.create_time,
        body,
        hints,
        msg_type: raw.msg_type,
        app_msg_type: raw.app_msg_type,
    }
}

impl Message {
    /// The name of whoever speaks, in this session.
    #[must_use]
    pub fn sender_name<'a>(&'a self, own: &'a UserName) -> Option<&'a UserName> {
        match &self.sender {
            Sender::Own => Some(own),
            Sender::Peer => Some(&self.chat),
            Sender::Member(name) => Some(name),
            Sender::Unknown => None,
        }
    }

    /// Whether it belongs into a chat as something said; status notes, notices and revokes do not.
    ///
    /// Source: the protocol sheet, section 7 (item 57).
    #[must_use]
    pub fn is_chat(&self) -> bool {
        !matches!(
            self.body,
            Body::Status(_) | Body::System(_) | Body::Revoke(_) | Body::ServiceNotice | Body::OtherSystem
        )
    }
}

#[cfg(test)]
mod tests;
