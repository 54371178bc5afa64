//! What a message can be.

use super::{
    IdHint, Parts,
    app::{self, App, Article},
    msg_type, prompt,
    revoke::{self, Revoke},
    status::{self, Status},
    system::{self, SystemText},
    xml_body::{self, Card, FriendRequest, Image, Location, Sticker, Video, Voice},
};
use crate::{
    quote::{self, OldQuote},
    xml,
};

/// What a message is.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Something written.
    Text {
        /// As it was written, a quotation in it included.
        text: String,
        /// The text taken apart, if it has the old form of a quotation.
        quote: Option<OldQuote>,
    },
    /// A picture, to be fetched by the message's id.
    Image(Image),
    /// A voice message, to be fetched by the message's id.
    Voice(Voice),
    /// A video, to be fetched by the message's id.
    Video(Video),
    /// A sticker.
    Sticker(Sticker),
    /// Made by an app: links, files, mini programs and so on.
    App(App),
    /// A place.
    Location(Location),
    /// Somebody's card.
    Card(Card),
    /// Somebody wants to be friends.
    FriendRequest(FriendRequest),
    /// The service suggests somebody.
    Recommendation(Card),
    /// A call, which only the phone can take.
    Call(CallEvent),
    /// Articles of the service's news account.
    News(Vec<Article>),
    /// Something happened on the phone; not to be shown.
    Status(Status),
    /// The service says something in a chat.
    System(SystemText),
    /// A message is taken back.
    Revoke(Revoke),
    /// 9999: to be logged at most.
    ServiceNotice,
    /// A 10002 of a kind that is not known; to be ignored.
    OtherSystem,
    /// What the web cannot show or this crate does not know. The raw message has everything.
    Unsupported(Unsupported),
}

/// What is known about a call. Source: the protocol sheet, sections 4.1 and 4.15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallEvent {
    /// 50.
    Call,
    /// 52.
    Ended,
    /// 53.
    Invited,
}

/// A message that only the phone can show.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// `MsgType` as it came.
    pub msg_type: i64,
    /// `AppMsgType` as it came.
    pub app_msg_type: i64,
    /// Whether `text` is the service's "view on your phone" and not what somebody wrote.
    pub is_prompt: bool,
    /// Title or text, if there is one.
    pub text: String,
}

impl std::fmt::Debug for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsupported({}, {}, prompt: {})", self.msg_type, self.app_msg_type, self.is_prompt)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text { text, .. } => write!(f, "Text({} bytes)", text.len()),
            Self::Image(image) => image.fmt(f),
            Self::Voice(voice) => voice.fmt(f),
            Self::Video(video) => video.fmt(f),
            Self::Sticker(sticker) => sticker.fmt(f),
            Self::App(app) => app.fmt(f),
            Self::Location(_) => f.write_str("Location"),
            Self::Card(_) => f.write_str("Card"),
            Self::FriendRequest(_) => f.write_str("FriendRequest"),
            Self::Recommendation(_) => f.write_str("Recommendation"),
            Self::Call(event) => event.fmt(f),
            Self::News(articles) => write!(f, "News({})", articles.len()),
            Self::Status(status) => status.fmt(f),
            Self::System(_) => f.write_str("System"),
            Self::Revoke(revoke) => revoke.fmt(f),
            Self::ServiceNotice => f.write_str("ServiceNotice"),
            Self::OtherSystem => f.write_str("OtherSystem"),
            Self::Unsupported(unsupported) => unsupported.fmt(f),
        }
    }
}

pub(super) fn decode(parts: &Parts<'_>, hints: &mut Vec<IdHint>) -> Body {
    match parts.raw.msg_type {
        msg_type::TEXT => text(parts),
        msg_type::IMAGE => Body::Image(xml_body::image(parts)),
        msg_type::VOICE => Body::Voice(xml_body::voice(parts)),
        msg_type::VIDEO | msg_type::SHORT_VIDEO => Body::Video(xml_body::video(parts)),
        msg_type::STICKER => Body::Sticker(xml_body::sticker(parts)),
        msg_type::APP => app::decode(parts),
        msg_type::LOCATION => Body::Location(xml_body::location(parts)),
        msg_type::CARD => Body::Card(xml_body::card(parts)),
        msg_type::FRIEND_REQUEST => Body::FriendRequest(xml_body::friend_request(parts, hints)),
        msg_type::RECOMMENDATION => Body::Recommendation(xml_body::card(parts)),
        msg_type::CALL => Body::Call(CallEvent::Call),
        msg_type::CALL_ENDED => Body::Call(CallEvent::Ended),
        msg_type::CALL_INVITE => Body::Call(CallEvent::Invited),
        msg_type::STATUS_NOTIFY => status::decode(parts, hints),
        msg_type::SYSTEM => Body::System(system::decode(&parts.text())),
        msg_type::RECALLED => revoke::decode(parts, hints),
        msg_type::SERVICE_NOTICE => Body::ServiceNotice,
        _ => unsupported(parts, String::new()),
    }
}

/// A message that cannot be shown, with what text there is.
pub(super) fn unsupported(parts: &Parts<'_>, text: String) -> Body {
    Body::Unsupported(Unsupported {
        msg_type: parts.raw.msg_type,
        app_msg_type: parts.raw.app_msg_type,
        is_prompt: prompt::is_prompt(&text),
        text,
    })
}

fn text(parts: &Parts<'_>) -> Body {
    // Not "`Url` is not empty": links in texts have one too. Source: the protocol sheet, 4.10.
    if parts.raw.sub_msg_type == msg_type::LOCATION {
        return Body::Location(xml_body::location(parts));
    }
    if parts.raw.app_msg_type == msg_type::app::RED_PACKET {
        return Body::App(App::RedPacket { text: parts.text() });
    }
    if parts.chat.as_str() == "newsapp"
        && let Some(root) = xml::parse(&parts.xml_text())
        && let Some(reader) = root.find("mmreader")
    {
        return Body::News(app::articles(reader));
    }
    let text = parts.text();
    if prompt::is_prompt(&text) {
        return unsupported(parts, text);
    }
    Body::Text { quote: quote::split(&text), text }
}
