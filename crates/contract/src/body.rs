//! What can be said: a closed set that every adapter's `match` lists whole.

use serde::{Deserialize, Serialize};

use crate::ids::{MediaId, PersonKey, RemoteId};

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The owner of the account, from another device (the phone) or through one of our faces.
    Owner,
    /// Somebody else.
    Person {
        /// Who, on the network of the post.
        person: PersonKey,
        /// How they were called when they said it, decoded; shown when no profile is known.
        name: String,
    },
    /// The network itself (joins, renames, notices).
    Network,
    /// The gateway itself (what was not delivered, what the session is doing).
    Gateway,
}

/// What was said. `match` without a wildcard: a new kind must be handled by every adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Plain text: real Unicode, `\n` for line breaks, no markup.
    Text {
        /// The text.
        text: String,
    },
    /// An action of the author in the third person (`/me`).
    Action {
        /// What the author does, without the author's name.
        text: String,
    },
    /// A file of some kind.
    Attachment(Attachment),
    /// Something structured that is shown as a short summary with an optional link.
    Card(Card),
    /// An earlier post was taken back.
    Recall {
        /// The post's id on the network of this post; `None` when the network did not say which.
        target: Option<RemoteId>,
        /// What the network says about it, decoded.
        notice: String,
    },
    /// Something happened to the conversation.
    Event {
        /// What, as far as it was understood.
        event: GroupEvent,
        /// The sentence the network shows for it.
        text: String,
    },
    /// Somebody asks to become a contact.
    FriendRequest {
        /// Their name, decoded.
        name: String,
        /// Their greeting, decoded.
        greeting: String,
    },
    /// Something that nobody here can show; never dropped silently.
    Unsupported {
        /// What it was and where it can be seen, in one short sentence.
        summary: String,
    },
}

/// What kind of bytes an attachment is, as its network treats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// A still picture.
    Image,
    /// A sticker or GIF.
    Sticker,
    /// A recorded voice message.
    Voice,
    /// A video.
    Video,
    /// Anything else.
    File,
}

/// A file that belongs to a post. The bytes are in the media vault, or on their way there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Where the bytes are.
    pub media: MediaId,
    /// What they are.
    #[serde(rename = "sort")] // `kind` is the tag of `Body` in the same object
    pub kind: AttachmentKind,
    /// File name without directories; may be empty.
    pub name: String,
    /// Media type, best knowledge; empty when unknown.
    pub mime: String,
    /// Length in bytes, 0 when unknown before the download.
    pub size_bytes: u64,
    /// Width in pixels, 0 when unknown.
    pub width_px: u32,
    /// Height in pixels, 0 when unknown.
    pub height_px: u32,
    /// Playing time in milliseconds, 0 when it has none or it is unknown.
    pub duration_ms: u64,
    /// Text that belongs to the file; mostly empty.
    pub caption: String,
    /// A still picture of it that its network made, for videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<MediaId>,
}

/// What kind of thing a card stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    /// A web page or article.
    Link,
    /// A piece of music.
    Music,
    /// A place; `url` is a map, `place` the coordinates.
    Location,
    /// Somebody's name card.
    NameCard,
    /// A mini program.
    MiniProgram,
    /// A red packet: can only be opened on the phone.
    RedPacket,
    /// A transfer of money: can only be accepted on the phone.
    Transfer,
    /// A merged chat history: can only be opened on the phone.
    MergedHistory,
    /// A voice or video call: can only be taken on the phone.
    Call,
}

/// Something structured, reduced to what every network can show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What it stands for.
    #[serde(rename = "sort")] // `kind` is the tag of `Body` in the same object
    pub kind: CardKind,
    /// One line.
    pub title: String,
    /// More text; may be empty.
    pub detail: String,
    /// Where it leads; may be empty.
    pub url: String,
    /// Latitude and longitude in degrees, for places.
    pub place: Option<(f64, f64)>,
    /// Who published it; may be empty.
    pub source: String,
}

/// What happened to a conversation, as far as its text could be understood. The member list of
/// the chat's profile is the truth; this is for the line that people read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupEvent {
    /// People came in.
    Joined {
        /// Their names.
        names: Vec<String>,
        /// Who let them in; empty when unknown.
        by: String,
    },
    /// People were removed.
    Removed {
        /// Their names.
        names: Vec<String>,
        /// Who did it; empty when unknown.
        by: String,
    },
    /// The owner of the account was removed or left.
    OwnerGone,
    /// The conversation got another title.
    Renamed {
        /// The new title.
        title: String,
        /// Who did it; empty when unknown.
        by: String,
    },
    /// A notice that has no structure.
    Notice,
}

/// A person named in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Who; `None` is everybody.
    pub person: Option<PersonKey>,
    /// True when it is the owner of the account.
    pub is_owner: bool,
    /// The bytes of the text that name them, `@` included: start and end.
    pub range: (usize, usize),
}

/// What a post answers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The quoted post on the network of the quoting post, where the network says it.
    pub target: Option<RemoteId>,
    /// The name of the quoted author as shown; may be empty.
    pub author_name: String,
    /// The quoted text or a part of it; may be empty.
    pub excerpt: String,
}

impl Body {
    /// A text body.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Posts and jobs are stored as JSON: what is written must be read again.
    #[test]
    fn every_body_is_the_same_after_a_round_through_json() {
        let attachment = Attachment {
            media: MediaId([7; 16]),
            kind: AttachmentKind::Voice,
            name: "a.mp3".to_owned(),
            mime: "audio/mpeg".to_owned(),
            size_bytes: 1,
            width_px: 2,
            height_px: 3,
            duration_ms: 4,
            caption: "c".to_owned(),
            poster: Some(MediaId([8; 16])),
        };
        let card = Card {
            kind: CardKind::Location,
            title: "t".to_owned(),
            detail: "d".to_owned(),
            url: "u".to_owned(),
            place: Some((1.5, -2.5)),
            source: "s".to_owned(),
        };
        let text = || "文字 \"q\"".to_owned();
        let bodies = [
            Body::Text { text: text() },
            Body::Action { text: text() },
            Body::Attachment(attachment),
            Body::Card(card),
            Body::Recall { target: Some("1".into()), notice: text() },
            Body::Event { event: GroupEvent::Renamed { title: text(), by: text() }, text: text() },
            Body::FriendRequest { name: text(), greeting: text() },
            Body::Unsupported { summary: text() },
        ];
        for body in bodies {
            let json = serde_json::to_string(&body).unwrap();
            assert_eq!(serde_json::from_str::<Body>(&json).map_err(|e| e.to_string()), Ok(body), "{json}");
        }
    }
}
