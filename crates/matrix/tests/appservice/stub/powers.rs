//! What somebody may do in a room.
//!
//! Source: client-server API, `m.room.power_levels`; room version 12, where creators stand above all levels and must
//! not be listed in them.

use serde_json::Value;

use super::answer::{Answer, no};
use super::world::World;

/// Above all levels.
const CREATOR: i64 = i64::MAX;

fn content<'a>(world: &'a World, room_id: &str, kind: &str) -> Option<&'a Value> {
    Some(&world.rooms.get(room_id)?.state.get(&(kind.to_owned(), String::new()))?["content"])
}

fn is_creator(world: &World, room_id: &str, user: &str) -> bool {
    let key = ("m.room.create".to_owned(), String::new());
    let created = world.rooms.get(room_id).and_then(|room| room.state.get(&key));
    created.is_some_and(|created| created["sender"] == user)
}

fn has_creators(world: &World, room_id: &str) -> bool {
    content(world, room_id, "m.room.create").is_some_and(|created| created["room_version"] == "12")
}

/// The power that somebody has.
fn of_user(world: &World, room_id: &str, user: &str) -> i64 {
    if has_creators(world, room_id) && is_creator(world, room_id, user) {
        return CREATOR;
    }
    let Some(levels) = content(world, room_id, "m.room.power_levels") else {
        return if is_creator(world, room_id, user) { 100 } else { 0 };
    };
    levels["users"][user].as_i64().or_else(|| levels["users_default"].as_i64()).unwrap_or(0)
}

/// Who may not take back what somebody else said.
pub(super) fn redacts(world: &World, room_id: &str, user: &str, event_id: &str) -> Option<Answer> {
    let needs = content(world, room_id, "m.room.power_levels")
        .map_or(50, |levels| levels["redact"].as_i64().unwrap_or(50));
    if of_user(world, room_id, user) >= needs {
        return None;
    }
    let found = world.rooms[room_id].events.iter().find(|event| event["event_id"] == event_id);
    match found {
        None => Some(no(404, "M_NOT_FOUND", "Could not find event")),
        Some(event) if event["sender"] == user => None,
        Some(_) => Some(no(403, "M_FORBIDDEN", "You don't have permission to redact events")),
    }
}

/// Who may not invite.
pub(super) fn invites(world: &World, room_id: &str, user: &str) -> Option<Answer> {
    let needs = content(world, room_id, "m.room.power_levels")
        .map_or(0, |levels| levels["invite"].as_i64().unwrap_or(0));
    (of_user(world, room_id, user) < needs)
        .then(|| no(403, "M_FORBIDDEN", "You don't have permission to invite users"))
}

/// Who may not change a piece of state.
pub(super) fn changes(world: &World, room_id: &str, user: &str, kind: &str, new: &Value) -> Option<Answer> {
    let needs = content(world, room_id, "m.room.power_levels").map_or(0, |levels| {
        levels["events"][kind].as_i64().or_else(|| levels["state_default"].as_i64()).unwrap_or(50)
    });
    if of_user(world, room_id, user) < needs {
        return Some(no(
            403,
            "M_FORBIDDEN",
            &format!("You don't have permission to post that to the room. {kind}"),
        ));
    }
    let lists_creator = || {
        let users = new["users"].as_object();
        users.is_some_and(|users| users.keys().any(|user| is_creator(world, room_id, user)))
    };
    (kind == "m.room.power_levels" && has_creators(world, room_id) && lists_creator())
        .then(|| no(403, "M_FORBIDDEN", "Creator user must not appear in content.users"))
}
