//! What an event says. Pure: who is meant by it is looked up by the caller.

mod file;
mod other;

use serde_json::Value;
use wxgate_contract::{Body, RemoteId};

use super::event::Event;
use crate::format::html::{Plain, to_plain};

pub(super) use file::FileHeard;

/// What commands in a room that mirrors a chat begin with.
pub(crate) const PREFIX: &str = "!wx";
/// The same for people who know it from other bridges.
const LONG_PREFIX: &str = "!wechat";

/// What was heard.
pub(super) enum Heard {
    /// Nothing that anybody said.
    Nothing,
    /// Something that does not cross; why, as a clause for people.
    NotHere(&'static str),
    Said(Box<Sentence>),
}

/// Something said.
#[derive(Debug, PartialEq)]
pub(super) struct Sentence {
    pub(super) body: Body,
    /// The event that it answers to.
    pub(super) reply_to: Option<String>,
    /// Users that are named, and in which bytes of the text.
    pub(super) pills: Vec<(String, (usize, usize))>,
    /// The bytes of the text that name everybody.
    pub(super) everybody: Option<(usize, usize)>,
    /// What belongs to it and has to be fetched.
    pub(super) file: Option<FileHeard>,
}

impl Sentence {
    fn new(body: Body) -> Self {
        Self { body, reply_to: None, pills: Vec::new(), everybody: None, file: None }
    }
}

/// The command in an event, without the prefix.
pub(super) fn command(event: &Event) -> Option<&str> {
    let text = plain_text(event)?;
    let rest = text.strip_prefix(LONG_PREFIX).or_else(|| text.strip_prefix(PREFIX))?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// The text of a text message.
pub(super) fn plain_text(event: &Event) -> Option<&str> {
    let is_text = event.kind == "m.room.message" && text_of(&event.content, "msgtype") == "m.text";
    is_text.then(|| without_fallback(&event.content))
}

fn text_of<'a>(content: &'a Value, key: &str) -> &'a str {
    content.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The event that this one answers to. A message of a thread answers to its root, because where it
/// goes there are no threads; what older clients see as its predecessor is none.
/// Source: client-server API, "Rich replies" and "Threading".
pub(super) fn reply_to(content: &Value) -> Option<&str> {
    let relation = content.get("m.relates_to")?;
    let direct = relation.get("m.in_reply_to").and_then(|reply| reply.get("event_id")?.as_str());
    let falls_back = relation.get("is_falling_back").and_then(Value::as_bool).unwrap_or(false);
    match text_of(relation, "rel_type") {
        "m.thread" if falls_back || direct.is_none() => relation.get("event_id")?.as_str(),
        _ => direct,
    }
}

/// The event that this one changes.
pub(super) fn edits(event: &Event) -> Option<&str> {
    edited(&event.content).map(|(target, _)| target).filter(|_| event.kind == "m.room.message")
}

/// True for what becomes words of somebody and could be encrypted. Clients leave reactions and redactions in clear:
/// of those a reaction with letters or numbers in it is words, one of signs alone is none.
/// Source: docs/security.md; client-server API, "m.room.encrypted", which leaves relations in clear.
pub(super) fn has_words(event: &Event) -> bool {
    match event.kind.as_str() {
        "m.room.message" | "m.sticker" | "m.poll.start" | "org.matrix.msc3381.poll.start" => true,
        "m.reaction" => other::reacts_with_words(&event.content),
        _ => false,
    }
}

/// What the event says.
pub(super) fn hear(event: &Event, form: EditForm) -> Heard {
    match event.kind.as_str() {
        "m.room.message" => match edited(&event.content) {
            Some((target, content)) => edit(target, content, form),
            None => message(event, &event.content),
        },
        "m.sticker" => file::hear(event, &event.content, "m.sticker"),
        "m.room.redaction" => redaction(event),
        "m.reaction" => other::reaction(&event.content),
        "m.poll.start" | "org.matrix.msc3381.poll.start" => other::poll(&event.content),
        "m.poll.response" | "org.matrix.msc3381.poll.response" => {
            Heard::NotHere("WeChat has no polls: write the answer as a message")
        }
        "m.call.invite" => Heard::NotHere("calls do not cross to WeChat"),
        "m.room.encrypted" => Heard::NotHere("it is encrypted and this gateway cannot read encrypted rooms"),
        _ => Heard::Nothing,
    }
}

fn message(event: &Event, content: &Value) -> Heard {
    match text_of(content, "msgtype") {
        "m.text" => words(content, |text| Body::Text { text }),
        "m.emote" => words(content, |text| Body::Action { text }),
        // What programs say, other bridges among them; repeating it is how loops begin.
        // Source: client-server API, "m.notice".
        "m.notice" => Heard::Nothing,
        "m.location" => other::location(content),
        kind @ ("m.image" | "m.video" | "m.audio" | "m.file") => file::hear(event, content, kind),
        // A client that wants to verify its user, which we are not.
        "m.key.verification.request" => Heard::Nothing,
        _ => Heard::NotHere("this kind of message cannot be sent to WeChat"),
    }
}

fn words(content: &Value, body: impl FnOnce(String) -> Body) -> Heard {
    let Plain { text, pills } = text_and_pills(content);
    let names_room = content.get("m.mentions").and_then(|mentions| mentions.get("room")?.as_bool());
    let everybody = names_room.unwrap_or(false).then(|| text.find("@room").map(|at| (at, at + 5))).flatten();
    let mut sentence = Sentence::new(body(text));
    sentence.reply_to = reply_to(content).map(str::to_owned);
    (sentence.pills, sentence.everybody) = (pills, everybody);
    Heard::Said(Box::new(sentence))
}

fn text_and_pills(content: &Value) -> Plain {
    match text_of(content, "formatted_body") {
        html if !html.is_empty() && text_of(content, "format") == "org.matrix.custom.html" => to_plain(html),
        _ => Plain { text: without_fallback(content).to_owned(), pills: Vec::new() },
    }
}

/// Older clients repeat in `> ` lines what they answer to.
/// Source: client-server API v1.12, "Fallbacks for rich replies"; removed in v1.13.
fn without_fallback(content: &Value) -> &str {
    let text = text_of(content, "body");
    if reply_to(content).is_none() || !text.starts_with("> ") {
        return text;
    }
    let mut rest = text;
    while let Some(tail) = rest.strip_prefix("> ") {
        rest = tail.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

/// What an edit changes, and the new content.
/// Source: client-server API, "Event replacements".
fn edited(content: &Value) -> Option<(&str, &Value)> {
    let relation = content.get("m.relates_to")?;
    let target = relation.get("event_id")?.as_str()?;
    let new = content.get("m.new_content")?;
    (text_of(relation, "rel_type") == "m.replace").then_some((target, new))
}

/// How an edit is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EditForm {
    /// As an answer to the old text, marked as what it is.
    Answer,
    /// As if it were said for the first time.
    New,
}

/// WeChat has no edits: the new text is said as another message.
fn edit(target: &str, content: &Value, form: EditForm) -> Heard {
    let mark = if form == EditForm::Answer { "(edit) " } else { "" };
    let Plain { text, pills } = text_and_pills(content);
    if text.trim().is_empty() || !matches!(text_of(content, "msgtype"), "m.text" | "m.emote") {
        return Heard::NotHere("WeChat has no edits, and this one changes more than a text");
    }
    let mut sentence = Sentence::new(Body::text(format!("{mark}{text}")));
    let shifted = pills.into_iter().map(|(user, (from, to))| (user, (from + mark.len(), to + mark.len())));
    sentence.pills = shifted.collect();
    sentence.reply_to = (form == EditForm::Answer).then(|| target.to_owned());
    Heard::Said(Box::new(sentence))
}

/// What a redaction takes back. Source: client-server API, "m.room.redaction"; room version 11 moved it.
pub(super) fn redacted(event: &Event) -> Option<&str> {
    let in_content = event.content.get("redacts").and_then(Value::as_str);
    in_content.or(event.redacts.as_deref()).filter(|_| event.kind == "m.room.redaction")
}

fn redaction(event: &Event) -> Heard {
    match redacted(event) {
        Some(target) => {
            let body = Body::Recall { target: Some(RemoteId::new(target)), notice: String::new() };
            Heard::Said(Box::new(Sentence::new(body)))
        }
        None => Heard::Nothing,
    }
}

/// What somebody said, in short, for those who see an answer to it without seeing it.
pub(super) fn excerpt(content: &Value) -> String {
    const CHARS: usize = 200;
    let text = match edited(content) {
        Some((_, new)) => text_and_pills(new).text,
        None => text_and_pills(content).text,
    };
    text.chars().take(CHARS).collect()
}

#[cfg(test)]
mod tests;
