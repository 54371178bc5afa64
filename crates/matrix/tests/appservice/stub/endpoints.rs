//! The endpoints.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};

use super::DOMAIN;
use super::answer::{Answer, no};
use super::world::{Room, World};
use super::{powers, stream};

pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) segments: &'a [String],
    pub(super) query: &'a HashMap<String, String>,
    pub(super) user: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

impl Question<'_> {
    fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or(Value::Null)
    }

    pub(super) fn download(&self, world: &World) -> Option<Response> {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        let ["_matrix", "client", "v1", "media", "download", server, media] = segments[..] else {
            return None;
        };
        let (_, mime, bytes) = world.media.get(&format!("mxc://{server}/{media}"))?;
        Some(([("content-type", mime.clone())], bytes.clone()).into_response())
    }

    /// What a repetition of the same request is known by.
    fn txn(&self, world: &World) -> Option<String> {
        let on_disk = self.query.get("device_id").and_then(|device| {
            world.txns_on_disk.get(&(self.path.to_owned(), self.user.to_owned(), device.clone()))
        });
        on_disk.or_else(|| world.txns_in_memory.get(self.path)).cloned()
    }

    fn remember(&self, world: &mut World, event_id: &str) {
        world.txns_in_memory.insert(self.path.to_owned(), event_id.to_owned());
        if let Some(device) = self.query.get("device_id") {
            let key = (self.path.to_owned(), self.user.to_owned(), device.clone());
            world.txns_on_disk.insert(key, event_id.to_owned());
        }
    }
}

pub(super) fn dispatch(world: &mut World, q: &Question<'_>) -> Answer {
    let segments: Vec<&str> = q.segments.iter().map(String::as_str).collect();
    let ["_matrix", kind, _version, rest @ ..] = &segments[..] else {
        return no(404, "M_UNRECOGNIZED", "Unrecognized request");
    };
    match (q.method, *kind, rest) {
        ("POST", "client", ["register"]) => register(world, q),
        ("GET", "client", ["account", "whoami"]) => (200, json!({ "user_id": q.user })),
        ("PUT", "client", ["devices", device]) => {
            world.users.get_mut(q.user).unwrap().devices.insert((*device).to_owned());
            (201, json!({}))
        }
        ("PUT", "client", ["profile", user, field]) => set_profile(world, q, user, field),
        ("GET", "client", ["profile", user]) => match world.users.get(*user) {
            Some(user) => (200, json!({ "displayname": user.name, "avatar_url": user.avatar_url })),
            None => no(404, "M_NOT_FOUND", "Profile was not found"),
        },
        ("GET", "client", ["capabilities"]) => {
            let versions =
                json!({ "default": world.version, "available": { "11": "stable", "12": "stable" } });
            (200, json!({ "capabilities": { "m.room_versions": versions } }))
        }
        ("GET", "client", ["media", "config"]) => (200, json!({ "m.upload.size": world.upload_limit })),
        ("POST", "media", ["upload"]) => upload(world, q),
        ("POST", "client", ["createRoom"]) => create_room(world, q),
        ("GET", "client", ["directory", "room", alias]) => match world.aliases.get(*alias) {
            Some(room_id) => (200, json!({ "room_id": room_id, "servers": [DOMAIN] })),
            None => no(404, "M_NOT_FOUND", "Room alias not found"),
        },
        ("DELETE", "client", ["directory", "room", alias]) => {
            world.aliases.remove(*alias);
            (200, json!({}))
        }
        ("POST", "client", ["join", room_id]) => join(world, q, room_id),
        ("GET", "client", ["sync"]) => stream::sync(world, q),
        (method, "client", ["user", user, "account_data", kind]) => {
            account_data(world, q, method, user, kind)
        }
        (method, "client", ["rooms", room_id, rest @ ..]) => in_room(world, q, method, room_id, rest),
        _ => no(404, "M_UNRECOGNIZED", "Unrecognized request"),
    }
}

fn register(world: &mut World, q: &Question<'_>) -> Answer {
    let body = q.json();
    if body["type"] != "m.login.application_service" || body["inhibit_login"] != true {
        return no(400, "M_BAD_JSON", "not a registration of an application service");
    }
    let user_id = format!("@{}:{DOMAIN}", body["username"].as_str().unwrap_or_default());
    if !user_id.starts_with("@wechat") {
        return no(400, "M_EXCLUSIVE", "Invalid user localpart for this application service.");
    }
    if world.users.contains_key(&user_id) {
        return no(400, "M_USER_IN_USE", "User ID already taken.");
    }
    world.add_user(&user_id, true);
    (200, json!({ "user_id": user_id }))
}

fn set_profile(world: &mut World, q: &Question<'_>, user: &str, field: &str) -> Answer {
    if user != q.user {
        return no(403, "M_FORBIDDEN", "Cannot set another user's profile");
    }
    let value = q.json()[field].as_str().unwrap_or_default().to_owned();
    let known = world.users.get_mut(user).unwrap();
    match field {
        "displayname" if value.chars().count() > 256 => {
            return no(400, "M_INVALID_PARAM", "Displayname is too long");
        }
        "displayname" => known.name = value,
        "avatar_url" => known.avatar_url = value,
        _ => return no(404, "M_UNRECOGNIZED", "Unrecognized request"),
    }
    (200, json!({}))
}

fn upload(world: &mut World, q: &Question<'_>) -> Answer {
    if q.body.len() > world.upload_limit {
        return no(413, "M_TOO_LARGE", "Upload request body is too large");
    }
    let n = world.next();
    let uri = format!("mxc://{DOMAIN}/media{n}");
    let mime = q.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let name = q.query.get("filename").cloned().unwrap_or_default();
    world.media.insert(uri.clone(), (name, mime, q.body.to_vec()));
    (200, json!({ "content_uri": uri }))
}

fn create_room(world: &mut World, q: &Question<'_>) -> Answer {
    let body = q.json();
    let alias = body["room_alias_name"].as_str().map(|name| format!("#{name}:{DOMAIN}"));
    if let Some(alias) = &alias {
        if q.user.starts_with("@wechat") && !alias.starts_with("#wechat_") {
            return no(400, "M_EXCLUSIVE", "This application service has not reserved this kind of alias");
        }
        if world.aliases.contains_key(alias) {
            return no(400, "M_ROOM_IN_USE", "Room alias already taken");
        }
    }
    let is_listed = body["power_level_content_override"]["users"].get(q.user).is_some();
    if world.version == "12" && is_listed {
        return no(400, "M_INVALID_PARAM", "Creator user must not appear in content.users");
    }
    if world.version != "12" && !body["power_level_content_override"]["users"].is_null() && !is_listed {
        return no(400, "M_BAD_STATE", "You cannot create a room in which you have no power");
    }
    let n = world.next();
    let room_id = if world.version == "12" { format!("!room{n}") } else { format!("!room{n}:{DOMAIN}") };
    world.rooms.insert(room_id.clone(), Room::default());
    let mut created = body["creation_content"].clone();
    created["room_version"] = json!(world.version);
    world.put_event(q.user, &room_id, "m.room.create", Some(""), created, None);
    world.set_member(q.user, q.user, &room_id, "join");
    let levels = body["power_level_content_override"].clone();
    world.put_event(q.user, &room_id, "m.room.power_levels", Some(""), levels, None);
    for state in body["initial_state"].as_array().cloned().unwrap_or_default() {
        let (kind, key) = (state["type"].as_str().unwrap(), state["state_key"].as_str().unwrap_or_default());
        world.put_event(q.user, &room_id, kind, Some(key), state["content"].clone(), None);
    }
    for (field, kind) in [("name", "m.room.name"), ("topic", "m.room.topic")] {
        if let Some(text) = body[field].as_str() {
            world.put_event(q.user, &room_id, kind, Some(""), json!({ field: text }), None);
        }
    }
    for invited in body["invite"].as_array().cloned().unwrap_or_default() {
        world.set_member(q.user, invited.as_str().unwrap(), &room_id, "invite");
    }
    if let Some(alias) = alias {
        world.aliases.insert(alias, room_id.clone());
    }
    (200, json!({ "room_id": room_id }))
}

fn join(world: &mut World, q: &Question<'_>, room_id: &str) -> Answer {
    match world.membership(room_id, q.user) {
        _ if !world.rooms.contains_key(room_id) => no(404, "M_NOT_FOUND", "Unknown room"),
        Some("join") => (200, json!({ "room_id": room_id })),
        Some("invite") => {
            world.set_member(q.user, q.user, room_id, "join");
            (200, json!({ "room_id": room_id }))
        }
        _ => no(403, "M_FORBIDDEN", "You are not invited to this room."),
    }
}

fn account_data(world: &mut World, q: &Question<'_>, method: &str, user: &str, kind: &str) -> Answer {
    if user != q.user {
        return no(403, "M_FORBIDDEN", "Cannot get account data for other users.");
    }
    let known = world.users.get_mut(user).unwrap();
    match method {
        "GET" => match known.account_data.get(kind) {
            Some(data) => (200, data.clone()),
            None => no(404, "M_NOT_FOUND", "Account data not found"),
        },
        _ => {
            known.account_data.insert(kind.to_owned(), q.json());
            (200, json!({}))
        }
    }
}

fn in_room(world: &mut World, q: &Question<'_>, method: &str, room_id: &str, rest: &[&str]) -> Answer {
    if !world.rooms.contains_key(room_id) {
        return no(404, "M_NOT_FOUND", "Unknown room");
    }
    if method == "PUT"
        && matches!(rest, ["send" | "redact", ..])
        && let Some(known) = q.txn(world)
    {
        return (200, json!({ "event_id": known }));
    }
    let declines = rest == ["leave"] && world.membership(room_id, q.user) == Some("invite");
    // Who has left may still see how. Source: Synapse 1.163, `check_user_in_room_or_world_readable`.
    let looks_back = method == "GET"
        && rest == ["state", "m.room.member", q.user]
        && world.membership(room_id, q.user) == Some("leave");
    if !declines && !looks_back && !world.is_in(room_id, q.user) {
        return no(403, "M_FORBIDDEN", &format!("User {} not in room {room_id}", q.user));
    }
    if let Some(answer) = membership(world, q, method, room_id, rest) {
        return answer;
    }
    let ts = q.query.get("ts").and_then(|ts| ts.parse().ok());
    let body = q.json();
    match (method, rest) {
        ("GET", ["event", event_id]) => {
            let found = world.rooms[room_id].events.iter().find(|event| event["event_id"] == *event_id);
            match found {
                Some(event) => (200, event.clone()),
                None => no(404, "M_NOT_FOUND", "Event not found."),
            }
        }
        ("GET", ["state", kind, key]) => {
            match world.rooms[room_id].state.get(&((*kind).to_owned(), (*key).to_owned())) {
                Some(event) if q.query.get("format").is_some_and(|f| f == "event") => (200, event.clone()),
                Some(event) => (200, event["content"].clone()),
                None => no(404, "M_NOT_FOUND", "Event not found."),
            }
        }
        ("PUT", ["state", kind, key]) => {
            // Oneself, or somebody whom the bot removes.
            let membership = body["membership"].as_str().unwrap_or_default().to_owned();
            if *kind != "m.room.member"
                && let Some(no) = powers::changes(world, room_id, q.user, kind, &body)
            {
                return no;
            }
            if *kind == "m.room.member" && (*key == q.user || membership == "leave") {
                world.rooms.get_mut(room_id).unwrap().members.insert((*key).to_owned(), membership);
            }
            let event_id = world.put_event(q.user, room_id, kind, Some(key), body, ts);
            (200, json!({ "event_id": event_id }))
        }
        ("PUT", ["send", kind, _txn]) => {
            if q.body.len() > 65_000 {
                return no(413, "M_TOO_LARGE", "event too large");
            }
            let event_id = world.put_event(q.user, room_id, kind, None, body, ts);
            q.remember(world, &event_id);
            (200, json!({ "event_id": event_id }))
        }
        ("PUT", ["redact", event, _txn]) => {
            if let Some(no) = powers::redacts(world, room_id, q.user, event) {
                return no;
            }
            let content = json!({ "redacts": event });
            let event_id = world.put_event(q.user, room_id, "m.room.redaction", None, content, None);
            q.remember(world, &event_id);
            (200, json!({ "event_id": event_id }))
        }
        ("GET", ["messages"]) if q.query.get("dir").is_some_and(|dir| dir == "f") => {
            stream::between(world, q, room_id)
        }
        ("GET", ["messages"]) => {
            let events = &world.rooms[room_id].events;
            let limit = q.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10);
            let filter = stream::filter(q);
            let passing = events.iter().rev().filter(|event| stream::passes(&filter, event));
            let newest: Vec<Value> = passing.take(limit).cloned().collect();
            (200, json!({ "chunk": newest }))
        }
        ("POST", ["read_markers"]) => {
            let receipt = (q.user.to_owned(), body["m.read"].as_str().unwrap_or_default().to_owned());
            world.rooms.get_mut(room_id).unwrap().receipts.push(receipt);
            (200, json!({}))
        }
        ("POST", ["receipt", "m.read", event]) => {
            let receipt = (q.user.to_owned(), (*event).to_owned());
            world.rooms.get_mut(room_id).unwrap().receipts.push(receipt);
            (200, json!({}))
        }
        _ => no(404, "M_UNRECOGNIZED", "Unrecognized request"),
    }
}

/// Who comes, goes and is there.
fn membership(
    world: &mut World,
    q: &Question<'_>,
    method: &str,
    room_id: &str,
    rest: &[&str],
) -> Option<Answer> {
    let body = q.json();
    match (method, rest) {
        ("POST", ["invite"]) => {
            let user = body["user_id"].as_str().unwrap_or_default().to_owned();
            if world.is_in(room_id, &user) {
                return Some(no(403, "M_FORBIDDEN", &format!("{user} is already in the room.")));
            }
            if world.membership(room_id, &user) == Some("ban") {
                return Some(no(403, "M_FORBIDDEN", &format!("{user} is banned from the room")));
            }
            if let Some(no) = powers::invites(world, room_id, q.user) {
                return Some(no);
            }
            world.set_member(q.user, &user, room_id, "invite");
            Some((200, json!({})))
        }
        ("POST", ["leave"]) => {
            world.set_member(q.user, q.user, room_id, "leave");
            Some((200, json!({})))
        }
        ("POST", ["kick"]) => {
            let user = body["user_id"].as_str().unwrap_or_default().to_owned();
            world.set_member(q.user, &user, room_id, "leave");
            Some((200, json!({})))
        }
        ("GET", ["joined_members"]) => {
            let room = &world.rooms[room_id];
            let joined = room.members.iter().filter(|(_, m)| *m == "join");
            let joined: serde_json::Map<_, _> = joined.map(|(user, _)| (user.clone(), json!({}))).collect();
            Some((200, json!({ "joined": joined })))
        }
        _ => None,
    }
}
