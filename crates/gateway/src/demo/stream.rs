//! One line per message that crosses. Only the demo prints texts: they are invented.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wxgate_contract::{
    Attachment, AttachmentKind, Author, Body, ChatKind, ChatRef, Directory, Fate, FeedEvent, NetworkId,
    PersonKey, TimelineItem,
};

use super::screen::Screen;
use crate::clock;
use crate::wiring::Parts;

/// Longest text of a line, in characters.
const TEXT_CHARS: usize = 100;
/// Names kept; beyond it all are asked for again.
const NAMES: usize = 20_000;

/// Names that were asked for.
#[derive(Default)]
struct Names {
    chats: HashMap<ChatRef, String>,
    people: HashMap<(NetworkId, PersonKey), String>,
}

/// Shows what crosses until the gateway ends.
pub(super) async fn show(parts: &Arc<Parts>, mut feed: broadcast::Receiver<FeedEvent>, screen: &Screen) {
    let mut names = Names::default();
    loop {
        match feed.recv().await {
            Ok(FeedEvent::Shown(item)) => {
                let (line, event) = message(parts, &mut names, screen, &item).await;
                screen.tell(&line, event);
            }
            Ok(FeedEvent::Chats(network, _) | FeedEvent::People(network, _)) => names.forget(&network),
            Ok(FeedEvent::Health(network, health) | FeedEvent::Face(network, health))
                if !health.detail().is_empty() =>
            {
                let (state, detail) = (health.word(), health.detail());
                let event = json!({ "event": "state", "network": network, "state": state, "detail": detail });
                screen.tell(&screen.soft(&format!("{network} is {state}: {detail}")), event);
            }
            Ok(
                FeedEvent::Health(..)
                | FeedEvent::Face(..)
                | FeedEvent::Accounts(_)
                | FeedEvent::Asks(_)
                | FeedEvent::Read(..)
                | FeedEvent::Missed
                | FeedEvent::Doors(_),
            ) => {}
            Err(RecvError::Lagged(count)) => {
                let text = format!("… {count} more crossed faster than this terminal shows …");
                screen.tell(&screen.soft(&text), json!({ "event": "missed", "count": count }));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl Names {
    fn forget(&mut self, network: &NetworkId) {
        self.chats.retain(|chat, _| chat.network != *network);
        self.people.retain(|(at, _), _| at != network);
    }

    async fn chat(&mut self, parts: &Parts, chat: &ChatRef) -> String {
        if let Some(known) = self.chats.get(chat) {
            return known.clone();
        }
        let profile = parts.bridge.chat(chat).await.ok().flatten();
        let title = match profile {
            Some(profile) if !profile.title.is_empty() => match profile.kind {
                ChatKind::Group => format!("#{}", profile.title),
                ChatKind::Private | ChatKind::Official | ChatKind::System => profile.title,
            },
            _ => "(no name)".to_owned(),
        };
        if self.chats.len() >= NAMES {
            self.chats.clear();
        }
        self.chats.insert(chat.clone(), title.clone());
        title
    }

    async fn person(&mut self, parts: &Parts, network: &NetworkId, person: &PersonKey, said: &str) -> String {
        let key = (network.clone(), person.clone());
        if let Some(known) = self.people.get(&key) {
            return known.clone();
        }
        let found = parts.bridge.people(network, std::slice::from_ref(person)).await.unwrap_or_default();
        let name = found.first().map(|person| person.display_name().to_owned()).unwrap_or_default();
        let name = if name.is_empty() { said.to_owned() } else { name };
        if self.people.len() >= NAMES {
            self.people.clear();
        }
        self.people.insert(key, name.clone());
        name
    }
}

/// What was said, as a line for people and as an event for programs.
async fn message(parts: &Parts, names: &mut Names, screen: &Screen, item: &TimelineItem) -> (String, Value) {
    let post = &item.post;
    let network = &post.chat.network;
    let chat = names.chat(parts, &post.chat).await;
    let author = match &post.author {
        Author::Owner if item.origin.kind() == network.kind() => "you (phone)".to_owned(),
        Author::Owner => "you".to_owned(),
        Author::Person { person, name } => names.person(parts, network, person, name).await,
        Author::Network => "*".to_owned(),
        Author::Gateway => "wxgate".to_owned(),
    };
    let fate = match &item.fate {
        Fate::Said => String::new(),
        Fate::NotDelivered { why } => format!(" [was not delivered: {why}]"),
        Fate::MaybeDelivered { why } => format!(" [may not have been delivered: {why}]"),
    };
    let account = network.name();
    let words = words(parts, &post.body);
    let (outcome, at_ms) = (&item.fate, post.at.ms());
    let event = json!({
        "event": "message", "at_ms": at_ms, "account": account, "chat": chat, "author": author, "text": words,
        "outcome": outcome,
    });
    let line = format!(
        "{time}  {account:<6}  {chat}  {author}: {text}{fate}",
        time = screen.soft(&clock::time_of_day(post.at)),
        author = screen.name(&tame(&author)),
        chat = tame(&chat),
        text = tame(&words),
    );
    (line, event)
}

/// A body in a few words.
fn words(parts: &Parts, body: &Body) -> String {
    match body {
        Body::Text { text } | Body::Action { text } => text.clone(),
        Body::Attachment(file) => attachment(parts, file),
        Body::Card(card) => [card.title.as_str(), &card.detail, &card.url].join(" ").trim().to_owned(),
        Body::Recall { notice, .. } => format!("(recalled) {notice}"),
        Body::Event { text, .. } => text.clone(),
        Body::FriendRequest { name, greeting } => format!("(wants to be a contact) {name}: {greeting}"),
        Body::Unsupported { summary } => format!("({summary})"),
    }
}

fn attachment(parts: &Parts, file: &Attachment) -> String {
    let kind = match file.kind {
        AttachmentKind::Image => "image",
        AttachmentKind::Sticker => "sticker",
        AttachmentKind::Voice => "voice",
        AttachmentKind::Video => "video",
        AttachmentKind::File => "file",
    };
    let link = parts.vault.link(file.media, &file.name).unwrap_or_default();
    format!("[{kind}] {link}")
}

/// Without what could steer a terminal, and not too long; links stay whole.
fn tame(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= TEXT_CHARS || clean.contains("://") {
        return clean;
    }
    let cut: String = clean.chars().take(TEXT_CHARS).collect();
    format!("{cut}…")
}
