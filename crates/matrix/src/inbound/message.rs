//! What an event says. Pure.

use serde_json::Value;
use wxgate_contract::{Body, Mention, PendingMedia, RemoteId};

use super::event::Event;

/// What commands in a room that mirrors a chat begin with.
pub(crate) const PREFIX: &str = "!wechat";

/// What was heard.
pub(super) enum Heard {
    /// Nothing that anybody said.
    Nothing,
    /// Something that does not cross; why, as a clause for people.
    NotHere(&'static str),
    Said(Box<Sentence>),
}

/// Something said.
pub(super) struct Sentence {
    pub(super) body: Body,
    pub(super) reply_to: Option<String>,
    pub(super) excerpt: String,
    pub(super) mentions: Vec<Mention>,
    pub(super) media: Vec<PendingMedia>,
}

impl Sentence {
    fn new(body: Body) -> Self {
        Self { body, reply_to: None, excerpt: String::new(), mentions: Vec::new(), media: Vec::new() }
    }
}

/// The command in an event, without the prefix.
pub(super) fn command(event: &Event) -> Option<&str> {
    let rest = plain_text(event)?.strip_prefix(PREFIX)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// The text of a text message.
pub(super) fn plain_text(event: &Event) -> Option<&str> {
    let is_text = event.kind == "m.room.message" && msgtype(event) == "m.text";
    is_text.then(|| body(event))
}

fn msgtype(event: &Event) -> &str {
    event.content.get("msgtype").and_then(Value::as_str).unwrap_or("")
}

fn body(event: &Event) -> &str {
    event.content.get("body").and_then(Value::as_str).unwrap_or("")
}

/// The event that this one answers to; not the one that merely stands before it in a thread.
pub(super) fn reply_to(content: &Value) -> Option<&str> {
    let relation = content.get("m.relates_to")?;
    let falls_back = relation.get("is_falling_back").and_then(Value::as_bool).unwrap_or(false);
    let target = relation.get("m.in_reply_to")?.get("event_id")?.as_str()?;
    (!falls_back).then_some(target)
}

/// What the event says.
pub(super) fn hear(event: &Event) -> Heard {
    match event.kind.as_str() {
        "m.room.message" => message(event),
        "m.room.redaction" => redaction(event),
        "m.room.encrypted" => Heard::NotHere("it is encrypted and this gateway cannot read encrypted rooms"),
        _ => Heard::Nothing,
    }
}

fn message(event: &Event) -> Heard {
    let text = without_fallback(body(event), event);
    let body = match msgtype(event) {
        "m.text" => Body::text(text),
        "m.emote" => Body::Action { text: text.to_owned() },
        // What programs say, other bridges among them; repeating it is how loops begin.
        // Source: client-server API, "m.notice".
        "m.notice" => return Heard::Nothing,
        _ => return Heard::NotHere("this kind of message cannot be sent to WeChat"),
    };
    let mut sentence = Sentence::new(body);
    sentence.reply_to = reply_to(&event.content).map(str::to_owned);
    Heard::Said(Box::new(sentence))
}

/// Older clients repeat in `> ` lines what they answer to.
/// Source: client-server API v1.12, "Fallbacks for rich replies"; removed in v1.13.
fn without_fallback<'a>(text: &'a str, event: &Event) -> &'a str {
    if reply_to(&event.content).is_none() || !text.starts_with("> ") {
        return text;
    }
    let mut rest = text;
    while let Some(tail) = rest.strip_prefix("> ") {
        rest = tail.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

fn redaction(event: &Event) -> Heard {
    let in_content = event.content.get("redacts").and_then(Value::as_str);
    match in_content.or(event.redacts.as_deref()) {
        Some(target) => {
            let body = Body::Recall { target: Some(RemoteId::new(target)), notice: String::new() };
            Heard::Said(Box::new(Sentence::new(body)))
        }
        None => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, content: Value) -> Event {
        let event = json!({
            "event_id": "$1", "room_id": "!r", "sender": "@me:x", "type": kind, "content": content,
        });
        serde_json::from_value(event).unwrap()
    }

    fn text(content: Value) -> Option<String> {
        match hear(&event("m.room.message", content)) {
            Heard::Said(sentence) => match sentence.body {
                Body::Text { text } => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn the_fallback_of_a_reply_is_taken_off() {
        let relation = json!({ "m.in_reply_to": { "event_id": "$0" } });
        let body = "> <@a:x> one\n> two\n\nmine\n> and this";
        let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation });
        assert_eq!(text(content).as_deref(), Some("mine\n> and this"));
        let quote = json!({ "msgtype": "m.text", "body": "> a proverb\nsays he" });
        assert_eq!(text(quote).as_deref(), Some("> a proverb\nsays he"));
    }

    #[test]
    fn a_thread_is_no_reply_by_itself() {
        let thread = json!({ "m.relates_to": {
            "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true, "m.in_reply_to": { "event_id": "$last" },
        }});
        assert_eq!(reply_to(&thread), None);
    }

    #[test]
    fn a_command_begins_with_the_whole_prefix() {
        let say = |body: &str| event("m.room.message", json!({ "msgtype": "m.text", "body": body }));
        assert_eq!(command(&say("!wechat sync now")), Some("sync now"));
        assert_eq!(command(&say("!wechat")), Some(""));
        assert_eq!(command(&say("!wechatter")), None);
    }

    #[test]
    fn notices_do_not_cross() {
        let notice = event("m.room.message", json!({ "msgtype": "m.notice", "body": "beep" }));
        assert!(matches!(hear(&notice), Heard::Nothing));
    }

    #[test]
    fn a_redaction_names_its_event_in_old_and_new_rooms() {
        let mut old = event("m.room.redaction", json!({}));
        old.redacts = Some("$0".to_owned());
        for redaction in [old, event("m.room.redaction", json!({ "redacts": "$0" }))] {
            let Heard::Said(sentence) = hear(&redaction) else { panic!("nothing was heard") };
            assert!(
                matches!(sentence.body, Body::Recall { target: Some(target), .. } if target.as_str() == "$0")
            );
        }
    }
}
