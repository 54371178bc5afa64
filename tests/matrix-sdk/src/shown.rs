//! What a sync brought, as lines for the story.

use matrix_sdk::ruma::events::room::message::MessageType;
use matrix_sdk::ruma::events::{
    AnySyncEphemeralRoomEvent, AnySyncMessageLikeEvent, AnySyncTimelineEvent, SyncMessageLikeEvent,
};
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::sync::{JoinedRoomUpdate, RoomUpdates, State};
use serde_json::{Value, json};

/// The lines, in the order of the answer.
pub(crate) fn lines(who: &str, rooms: &RoomUpdates) -> Vec<Value> {
    let line = |room: &str, part: &str, class: &str, event: Value| json!({ "who": who, "room": room, "part": part, "class": class, "event": event });
    let mut all = Vec::new();
    for (room, invited) in &rooms.invited {
        let state = invited.invite_state.events.iter();
        all.extend(state.map(|event| line(room.as_str(), "invite", "", value(event))));
    }
    for (room, joined) in &rooms.joined {
        let room = room.as_str();
        all.extend(state(joined).into_iter().map(|event| line(room, "state", "", event)));
        for event in &joined.timeline.events {
            all.push(line(room, "timeline", &class(event.raw()), value(event.raw())));
        }
        all.extend(joined.ephemeral.iter().map(|event| line(room, "ephemeral", "", ephemeral(event))));
    }
    for (room, left) in &rooms.left {
        for event in &left.timeline.events {
            all.push(line(room.as_str(), "timeline", &class(event.raw()), value(event.raw())));
        }
        all.push(line(room.as_str(), "left", "", json!({})));
    }
    all
}

/// The line of one event that was read later than it came.
pub(crate) fn later(who: &str, room: &str, raw: &Raw<AnySyncTimelineEvent>) -> Value {
    json!({ "who": who, "room": room, "part": "timeline", "class": class(raw), "event": value(raw) })
}

fn state(joined: &JoinedRoomUpdate) -> Vec<Value> {
    match &joined.state {
        State::Before(events) | State::After(events) => events.iter().map(value).collect(),
    }
}

/// The event as the homeserver gave it.
fn value<T>(raw: &Raw<T>) -> Value {
    serde_json::from_str(raw.json().get()).unwrap_or_default()
}

/// What the library took an event for.
fn class(raw: &Raw<AnySyncTimelineEvent>) -> String {
    let Ok(event) = raw.deserialize() else { return "BadEvent".to_owned() };
    let AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomMessage(message)) = event else {
        return event.event_type().to_string();
    };
    let SyncMessageLikeEvent::Original(message) = message else { return "RedactedEvent".to_owned() };
    let kind = match message.content.msgtype {
        MessageType::Text(_) => "Text",
        MessageType::Notice(_) => "Notice",
        MessageType::Emote(_) => "Emote",
        MessageType::Image(_) => "Image",
        MessageType::Audio(_) => "Audio",
        MessageType::Video(_) => "Video",
        MessageType::File(_) => "File",
        MessageType::Location(_) => "Location",
        _ => "Unknown",
    };
    format!("RoomMessage{kind}")
}

/// Who types, and who has read what, in the words of matrix-nio.
fn ephemeral(raw: &Raw<AnySyncEphemeralRoomEvent>) -> Value {
    match raw.deserialize() {
        Ok(AnySyncEphemeralRoomEvent::Typing(typing)) => json!({ "users": typing.content.user_ids }),
        Ok(AnySyncEphemeralRoomEvent::Receipt(receipts)) => {
            let mut all = Vec::new();
            for (event, kinds) in receipts.content.0 {
                for (kind, users) in kinds {
                    let of_user = users.into_iter().map(|(user, receipt)| {
                        json!({
                            "event_id": event, "receipt_type": kind.to_string(), "user_id": user,
                            "timestamp": receipt.ts.map(|ts| ts.get()),
                        })
                    });
                    all.extend(of_user);
                }
            }
            json!({ "receipts": all })
        }
        _ => value(raw),
    }
}
