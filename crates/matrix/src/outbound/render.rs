//! What a post looks like in a room.

use serde_json::{Value, json};
use wxgate_contract::{Attachment, Body, Card, CardKind, Say};

use super::split::split;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Event type and content.
pub(super) type Rendered = (&'static str, Value);

const MESSAGE: &str = "m.room.message";

impl Shared {
    /// The events of a post, in order.
    pub(super) async fn render(&self, say: &Say) -> Result<Vec<Rendered>, Trouble> {
        let mut events = match &say.post.body {
            Body::Text { text } => texts("m.text", text),
            Body::Action { text } => texts("m.emote", text),
            Body::Attachment(file) => texts("m.text", &self.file_link(file)),
            Body::Card(card) => texts("m.text", &card_text(card)),
            Body::Recall { notice, .. } => texts("m.notice", notice),
            Body::Event { text, .. } => texts("m.notice", text),
            Body::FriendRequest { name, greeting } => {
                texts("m.notice", &format!("{name} asks to become a contact: {greeting}"))
            }
            Body::Unsupported { summary } => texts("m.notice", summary),
        };
        if let (Some((_, first)), Some(quoted)) = (events.first_mut(), &say.quoted_remote_id) {
            first["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": quoted.as_str() } });
        }
        Ok(events)
    }

    fn file_link(&self, file: &Attachment) -> String {
        let link = self.media.link(file.media, &file.name).unwrap_or_default();
        let name = if file.name.is_empty() { "file" } else { &file.name };
        format!("{} [{name}] {link}", file.caption).trim().to_owned()
    }
}

fn texts(msgtype: &str, text: &str) -> Vec<Rendered> {
    split(text).into_iter().map(|part| (MESSAGE, json!({ "msgtype": msgtype, "body": part }))).collect()
}

fn card_text(card: &Card) -> String {
    let on_phone = match card.kind {
        CardKind::RedPacket
        | CardKind::Transfer
        | CardKind::MergedHistory
        | CardKind::Call
        | CardKind::MiniProgram
            if card.url.is_empty() =>
        {
            "(open it on the phone)"
        }
        _ => "",
    };
    let parts = [card.title.as_str(), &card.detail, &card.url, on_phone];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}
