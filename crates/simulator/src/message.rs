//! What people can say, in the world's own words.

use std::sync::Arc;

use serde::Deserialize;

use crate::media::{Sort, picture_sort};
use crate::who::Who;

/// What is said. The control API reads it from JSON: `{"kind": "text", "text": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Plain text; a new line is `\n`.
    Text {
        /// The text as its author typed it.
        text: Arc<str>,
    },
    /// A picture.
    Image,
    /// A voice message of 1.58 s.
    Voice,
    /// A film.
    Video,
    /// A short film (type 62).
    MicroVideo,
    /// An animated sticker; one from the store cannot be shown on the web.
    Sticker {
        /// Whether it is from the store.
        #[serde(default)]
        store: bool,
    },
    /// A file.
    File {
        /// Its name, with extension.
        name: Arc<str>,
    },
    /// A link card.
    Link {
        /// Its heading.
        title: Arc<str>,
        /// Where it leads.
        url: Arc<str>,
    },
    /// Several articles of an official account.
    Articles {
        /// How many.
        count: u32,
    },
    /// Music (app message 3).
    Music {
        /// The song.
        title: Arc<str>,
    },
    /// A place.
    Location {
        /// Its description.
        label: Arc<str>,
    },
    /// A name card.
    Card {
        /// Whose card.
        nick: Arc<str>,
    },
    /// A request to become friends; always from `fmessage`.
    FriendRequest {
        /// Who asks.
        nick: Arc<str>,
        /// What they write.
        greeting: Arc<str>,
    },
    /// A recommendation of a person; always from `fmessage`.
    Recommendation {
        /// Whom.
        nick: Arc<str>,
    },
    /// A grey line such as `"A" invited "B" to the group chat`.
    System {
        /// The line.
        text: Arc<str>,
    },
    /// Takes back an earlier message.
    Recall {
        /// The server's id of that message.
        #[serde(deserialize_with = "crate::ledger::from_text")]
        msg_id: u64,
    },
    /// A reply that quotes (app message 57).
    Quote {
        /// The reply.
        text: Arc<str>,
        /// The quoted text.
        quoted: Arc<str>,
        /// The server's id of the quoted message; without it, the message before this one.
        #[serde(default, deserialize_with = "crate::ledger::maybe_from_text")]
        msg_id: Option<u64>,
    },
    /// The old form of a quote, which is text.
    OldQuote {
        /// The reply.
        text: Arc<str>,
        /// The quoted text.
        quoted: Arc<str>,
    },
    /// A mini program.
    MiniProgram {
        /// Its page's title.
        title: Arc<str>,
    },
    /// A transfer of money.
    Transfer {
        /// Such as `50.00`.
        amount: Arc<str>,
    },
    /// A red packet, which the web sees as a grey line.
    RedPacket,
    /// Merged history, which the web sees as a prompt.
    MergedHistory,
    /// Live location sharing began.
    LocationSharing,
    /// A call: 50, 52 or 53.
    Call {
        /// The message type.
        msg_type: i32,
    },
    /// What the phone did: 2 opened `chat`, 5 left it, 9 unknown.
    PhoneState {
        /// The code.
        code: u32,
    },
    /// News from `newsapp`: a type 1 whose text is XML.
    News,
    /// A service notice (9999).
    Notice,
    /// A type that nobody knows.
    Unknown {
        /// The message type.
        msg_type: i32,
    },
    /// The list of recent conversations, pushed after status notify 3.
    #[serde(skip)]
    ConversationList {
        /// Whether it carries the permanent ids.
        ids: bool,
    },
}

impl Kind {
    /// Plain text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text { text: text.into() }
    }

    /// A grey line.
    #[must_use]
    pub fn system(text: &str) -> Self {
        Self::System { text: text.into() }
    }

    /// The kind's name in the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::MicroVideo => "micro_video",
            Self::Sticker { .. } => "sticker",
            Self::File { .. } => "file",
            Self::Link { .. } => "link",
            Self::Articles { .. } => "articles",
            Self::Music { .. } => "music",
            Self::Location { .. } => "location",
            Self::Card { .. } => "card",
            Self::FriendRequest { .. } => "friend_request",
            Self::Recommendation { .. } => "recommendation",
            Self::System { .. } => "system",
            Self::Recall { .. } => "recall",
            Self::Quote { .. } => "quote",
            Self::OldQuote { .. } => "old_quote",
            Self::MiniProgram { .. } => "mini_program",
            Self::Transfer { .. } => "transfer",
            Self::RedPacket => "red_packet",
            Self::MergedHistory => "merged_history",
            Self::LocationSharing => "location_sharing",
            Self::Call { .. } => "call",
            Self::PhoneState { .. } => "phone_state",
            Self::News => "news",
            Self::Notice => "notice",
            Self::Unknown { .. } => "unknown",
            Self::ConversationList { .. } => "conversation_list",
        }
    }

    /// The words in it, as a reader would see them.
    #[must_use]
    pub fn words(&self) -> Arc<str> {
        match self {
            Self::Text { text } | Self::System { text } | Self::Quote { text, .. } => text.clone(),
            Self::OldQuote { text, quoted } => {
                format!("「{quoted}」\n- - - - - - - - - - - - - - -\n{text}").into()
            }
            Self::File { name } => name.clone(),
            Self::Link { title, .. } | Self::Music { title } | Self::MiniProgram { title } => title.clone(),
            Self::Location { label } => label.clone(),
            Self::Card { nick } | Self::Recommendation { nick } => nick.clone(),
            Self::FriendRequest { greeting, .. } => greeting.clone(),
            Self::Recall { msg_id } => msg_id.to_string().into(),
            Self::Transfer { amount } => amount.clone(),
            Self::RedPacket => "收到红包，请在手机上查看".into(),
            _ => "".into(),
        }
    }

    /// Which file belongs to a message of this kind.
    pub(crate) fn media(&self, msg_id: u64) -> Option<Sort> {
        match self {
            Self::Image => Some(picture_sort(msg_id)),
            Self::Voice => Some(Sort::Mp3),
            Self::Video | Self::MicroVideo => Some(Sort::Mp4),
            Self::Sticker { store: false } => Some(Sort::Gif),
            Self::File { .. } => Some(Sort::Pdf),
            Self::Link { .. } | Self::Articles { .. } | Self::Music { .. } | Self::Location { .. } => {
                Some(Sort::Jpeg)
            }
            _ => None,
        }
    }

    /// Whether a person would see it as part of the conversation.
    pub(crate) fn is_said(&self) -> bool {
        !matches!(self, Self::PhoneState { .. } | Self::ConversationList { .. })
    }
}

/// One message on its way to an account.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) chat: Who,
    pub(crate) from: Who,
    pub(crate) at_s: u64,
    pub(crate) kind: Kind,
    /// Its entry in the ledger; `None` for what nobody said.
    pub(crate) entry: Option<u64>,
}

/// One change that `webwxsync` can deliver.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Message(Box<Message>),
    Modified(Who),
    Deleted(Who),
    Profile,
}

impl Event {
    /// The `selector` that announces it.
    ///
    /// Source: the protocol sheet, section 2.11.
    pub(crate) fn selector(&self) -> u8 {
        match self {
            Self::Message(message) if matches!(message.kind, Kind::PhoneState { .. }) => 7,
            Self::Message(message) if message.id % 17 == 0 => 3,
            Self::Message(_) => 2,
            Self::Modified(_) | Self::Profile => 4,
            Self::Deleted(_) => 6,
        }
    }
}
