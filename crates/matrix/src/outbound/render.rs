//! What a post looks like in a room.

use serde_json::{Value, json};
use wxgate_contract::{Attachment, Body, Card, CardKind, ChatRef, PersonRef, Say};

use super::split::split;
use crate::format::markup::{self, Named, escape};
use crate::media::{Showing, Shown};
use crate::share::event_of;
use crate::shared::Shared;
use crate::trouble::Trouble;

const MESSAGE: &str = "m.room.message";

/// Event type and content.
pub(crate) type Rendered = (&'static str, Value);

impl Shared {
    /// The events of a post, in order.
    pub(crate) async fn render(
        &self,
        chat: &ChatRef,
        say: &Say,
        showing: Showing,
    ) -> Result<Vec<Rendered>, Trouble> {
        let mut events = match &say.post.body {
            Body::Text { text } => texts("m.text", text, &self.named(chat, say).await?),
            Body::Action { text } => texts("m.emote", text, &self.named(chat, say).await?),
            Body::Attachment(file) => self.file(file, showing).await?,
            Body::Card(card) => vec![(MESSAGE, card_content(card))],
            Body::Recall { notice, .. } if notice.is_empty() => {
                texts("m.notice", "A message was recalled.", &[])
            }
            Body::Recall { notice, .. } => texts("m.notice", notice, &[]),
            Body::Event { text, .. } => texts("m.notice", text, &[]),
            Body::FriendRequest { name, greeting } => {
                texts("m.notice", &format!("{name} asks to become a contact: {greeting}"), &[])
            }
            Body::Unsupported { summary } => texts("m.notice", summary, &[]),
        };
        if let Some((_, first)) = events.first_mut() {
            add_reply(first, say);
        }
        Ok(events)
    }

    async fn file(&self, file: &Attachment, showing: Showing) -> Result<Vec<Rendered>, Trouble> {
        Ok(match self.show_file(file, showing).await? {
            Shown::File(kind, content) => vec![(kind, content)],
            Shown::Line(line) => texts("m.notice", &line, &[]),
        })
    }

    /// Who is named, as users of this homeserver.
    async fn named(&self, chat: &ChatRef, say: &Say) -> Result<Vec<Named>, Trouble> {
        let mut all = Vec::with_capacity(say.post.mentions.len());
        for mention in &say.post.mentions {
            let user_id = match &mention.person {
                _ if mention.is_owner => match self.owners.id_of_owner(&chat.network).await? {
                    Some(user_id) => Some(user_id),
                    None => continue,
                },
                // One who has no id stays a name in the text.
                Some(_) if !self.names.has_ghosts() => continue,
                Some(person) => {
                    let person = PersonRef { network: chat.network.clone(), person: person.clone() };
                    Some(self.user_shown(chat, &person).await?)
                }
                None => None,
            };
            all.push(Named { user_id, range: mention.range });
        }
        Ok(all)
    }
}

/// A text, in as many events as it needs; who is named stays named in their part.
fn texts(msgtype: &str, text: &str, named: &[Named]) -> Vec<Rendered> {
    let mut from = 0;
    let mut events = Vec::new();
    for part in split(text) {
        // Parts are pieces of the text in their order, so the next one is found from here on.
        let start = text.get(from..).and_then(|rest| rest.find(part)).map_or(from, |at| from + at);
        let end = start + part.len();
        let inside = named.iter().filter(|named| named.range.0 >= start && named.range.1 <= end);
        let shifted: Vec<Named> = inside
            .map(|named| Named { range: (named.range.0 - start, named.range.1 - start), ..named.clone() })
            .collect();
        events.push((MESSAGE, markup::message(msgtype, part, &shifted)));
        from = end;
    }
    events
}

/// A rich reply where the quoted event is known, the quoted words where it is not.
fn add_reply(content: &mut Value, say: &Say) {
    match (&say.quoted_remote_id, &say.post.quote) {
        (Some(quoted), _) => {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": event_of(quoted) } });
        }
        (None, Some(quote)) if !quote.excerpt.is_empty() => {
            markup::add_quote(content, &quote.author_name, &quote.excerpt);
        }
        _ => {}
    }
}

fn card_content(card: &Card) -> Value {
    match (card.kind, card.place) {
        (CardKind::Location, Some(place)) => location(card, place),
        _ => card_message(card),
    }
}

/// Source: client-server API, "m.location"; the second form from MSC3488.
fn location(card: &Card, (latitude, longitude): (f64, f64)) -> Value {
    let words: Vec<&str> =
        [card.title.as_str(), &card.detail].into_iter().filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "Location".to_owned() } else { words.join(", ") };
    let uri = format!("geo:{latitude},{longitude}");
    json!({
        "msgtype": "m.location",
        "body": format!("{name} ({uri})"),
        "geo_uri": uri,
        "org.matrix.msc3488.location": { "uri": uri, "description": name },
        "org.matrix.msc3488.asset": { "type": "m.pin" },
        "m.mentions": {},
    })
}

/// Title, text and source, the title as the link; what the web cannot open says so.
fn card_message(card: &Card) -> Value {
    let label = match card.kind {
        CardKind::Link | CardKind::Location => "",
        CardKind::Music => "Music",
        CardKind::NameCard => "Name card",
        CardKind::MiniProgram => "Mini program",
        CardKind::RedPacket => "Red packet",
        CardKind::Transfer => "Transfer",
        CardKind::MergedHistory => "Chat history",
        CardKind::Call => "Call",
    };
    let hint = if card.is_for_the_phone() { "Open it on the phone." } else { "" };
    let head = match (label, card.title.as_str()) {
        ("", "") => card.url.as_str(),
        ("", title) => title,
        (label, "") => label,
        (label, title) => &format!("{label}: {title}"),
    };
    let rest = [card.detail.as_str(), &card.source, hint];
    let rest: Vec<&str> = rest.into_iter().filter(|line| !line.is_empty()).collect();
    let address = if card.url.is_empty() || head == card.url { "" } else { card.url.as_str() };
    let plain: Vec<&str> = std::iter::once(head)
        .chain(rest.iter().copied())
        .chain(std::iter::once(address))
        .filter(|line| !line.is_empty())
        .collect();
    let mut html = match card.url.as_str() {
        "" => format!("<strong>{}</strong>", escape(head)),
        url => format!("<strong><a href=\"{}\">{}</a></strong>", escape(url), escape(head)),
    };
    for line in &rest {
        html.push_str(&format!("<br/>{}", escape(line)));
    }
    let mut content = json!({
        "msgtype": "m.text",
        "body": plain.join("\n"),
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": {},
    });
    if !card.url.is_empty() {
        // Clients that know it show a preview without asking the page. Source: MSC4095.
        let preview =
            json!({ "matched_url": card.url, "og:title": card.title, "og:description": card.detail });
        content["com.beeper.linkpreviews"] = json!([preview]);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(kind: CardKind, title: &str, url: &str) -> Card {
        Card {
            kind,
            title: title.to_owned(),
            detail: "more <text>".to_owned(),
            url: url.to_owned(),
            place: None,
            source: String::new(),
        }
    }

    #[test]
    fn a_link_card_links_its_title() {
        let content = card_content(&card(CardKind::Link, "News & more", "https://x.org/?a=1&b=2"));
        assert_eq!(content["body"], "News & more\nmore <text>\nhttps://x.org/?a=1&b=2");
        let html = "<strong><a href=\"https://x.org/?a=1&amp;b=2\">News &amp; more</a></strong><br/>more &lt;text&gt;";
        assert_eq!(content["formatted_body"], html);
    }

    #[test]
    fn what_the_web_cannot_open_says_so() {
        let content = card_content(&card(CardKind::RedPacket, "Luck", ""));
        assert_eq!(content["body"], "Red packet: Luck\nmore <text>\nOpen it on the phone.");
    }

    #[test]
    fn a_place_is_a_location_event() {
        let place = Card { place: Some((39.9, 116.25)), ..card(CardKind::Location, "Palace", "") };
        let content = card_content(&place);
        assert_eq!(
            (&content["msgtype"], &content["geo_uri"]),
            (&json!("m.location"), &json!("geo:39.9,116.25"))
        );
    }

    #[test]
    fn a_mention_stays_in_its_part_of_a_long_text() {
        let text = format!("{} @Bob {}", "x".repeat(15_990), "y".repeat(3000));
        let at = text.find("@Bob").unwrap();
        let named = [Named { user_id: Some("@bob:x".to_owned()), range: (at, at + 4) }];
        let events = texts("m.text", &text, &named);
        let named: Vec<bool> =
            events.iter().map(|(_, content)| content["formatted_body"].is_string()).collect();
        assert_eq!(named.iter().filter(|is| **is).count(), 1);
    }
}
