//! The stream of events as a user asks for it: from a position, filtered, in pages.
//!
//! Source: client-server API, "Syncing" and `GET /rooms/{room}/messages`; positions are opaque.

use serde_json::{Value, json};

use super::answer::{Answer, no};
use super::endpoints::Question;
use super::world::World;

/// An event's place in the stream; the stub numbers its events so.
fn place(event: &Value) -> u64 {
    event["event_id"].as_str().unwrap().trim_start_matches("$event").parse().unwrap()
}

fn position(q: &Question<'_>, name: &str) -> Option<Result<u64, Answer>> {
    let text = q.query.get(name)?;
    let parsed = text.strip_prefix('s').and_then(|n| n.parse().ok());
    Some(parsed.ok_or_else(|| no(400, "M_UNKNOWN", "Invalid stream token")))
}

pub(super) fn filter(q: &Question<'_>) -> Value {
    q.query.get("filter").and_then(|filter| serde_json::from_str(filter).ok()).unwrap_or_default()
}

pub(super) fn passes(filter: &Value, event: &Value) -> bool {
    let has = |list: &Value, what: &Value| list.as_array().is_some_and(|list| list.contains(what));
    (filter["types"].is_null() || has(&filter["types"], &event["type"]))
        && !has(&filter["not_senders"], &event["sender"])
}

pub(super) fn sync(world: &mut World, q: &Question<'_>) -> Answer {
    // Not implemented for the one user that the registration names. Source: the Matrix notes, section 4, item 6.
    if q.user.starts_with("@_wechat_unused") {
        return no(500, "M_UNKNOWN", "Internal server error");
    }
    let next_batch = format!("s{}", world.position());
    let since = match position(q, "since") {
        Some(Err(no)) => return no,
        Some(Ok(since)) => since,
        // The whole of every room, which nobody asks a bridge's homeserver for.
        None if filter(q)["room"]["rooms"] != json!([]) => {
            return no(500, "M_UNKNOWN", "an initial sync of all rooms");
        }
        None => return (200, json!({ "next_batch": next_batch })),
    };
    let room_filter = &filter(q)["room"];
    let (filter, marks) = (&room_filter["timeline"], &room_filter["ephemeral"]);
    let limit = usize::try_from(filter["limit"].as_u64().unwrap_or(10)).unwrap();
    let (mut join, mut invite) = (serde_json::Map::new(), serde_json::Map::new());
    for (room_id, room) in &world.rooms {
        match room.members.get(q.user).map(String::as_str) {
            Some("join") => {
                let new = room.events.iter().filter(|event| place(event) > since && passes(filter, event));
                let new: Vec<&Value> = new.collect();
                let newest = new.iter().skip(new.len().saturating_sub(limit)).map(|event| {
                    let mut event = (*event).clone();
                    event.as_object_mut().unwrap().remove("room_id");
                    event
                });
                let events: Vec<Value> = newest.collect();
                let read = room.marks.iter().filter(|(place, mark)| *place > since && passes(marks, mark));
                let read: Vec<&Value> = read.map(|(_, mark)| mark).collect();
                if !events.is_empty() || !read.is_empty() {
                    let timeline = json!({ "limited": new.len() > limit, "events": events });
                    let joined = json!({ "timeline": timeline, "ephemeral": { "events": read } });
                    join.insert(room_id.clone(), joined);
                }
            }
            Some("invite") => {
                let member = &room.state[&("m.room.member".to_owned(), q.user.to_owned())];
                if place(member) > since {
                    let mut member = member.clone();
                    member
                        .as_object_mut()
                        .unwrap()
                        .retain(|key, _| ["type", "state_key", "sender", "content"].contains(&key.as_str()));
                    invite.insert(room_id.clone(), json!({ "invite_state": { "events": [member] } }));
                }
            }
            _ => {}
        }
    }
    (200, json!({ "next_batch": next_batch, "rooms": { "join": join, "invite": invite } }))
}

pub(super) fn between(world: &mut World, q: &Question<'_>, room_id: &str) -> Answer {
    let (from, to) = match (position(q, "from"), position(q, "to")) {
        (Some(Ok(from)), Some(Ok(to))) => (from, to),
        (Some(Err(no)), _) | (_, Some(Err(no))) => return no,
        _ => return no(400, "M_MISSING_PARAM", "from and to"),
    };
    let filter = filter(q);
    let limit = q.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10);
    let inside = |event: &&Value| place(event) > from && place(event) <= to && passes(&filter, event);
    let chunk: Vec<&Value> = world.rooms[room_id].events.iter().filter(inside).take(limit).collect();
    // As Synapse: as long as there may be more, also when there is none.
    match chunk.last() {
        Some(last) => (200, json!({ "chunk": chunk, "end": format!("s{}", place(last)) })),
        None => (200, json!({ "chunk": [] })),
    }
}
