//! What the homeserver knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::DOMAIN;

/// One request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) user: String,
    pub(crate) body: Value,
    pub(crate) status: u16,
}

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Answers with this status and does nothing.
    Status(u16),
    /// The same, said by something in between.
    ByProxy(u16),
    /// 429 with this pause.
    Limited(u64),
    /// Never answers.
    Hangs,
    /// Does it and answers after so many milliseconds.
    Slow(u64),
    /// Does it and drops the answer.
    LoseAnswer,
}

/// How a homeserver that is down meets whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Absence {
    /// A proxy in front of it says 503.
    #[default]
    Unavailable,
    /// Something in front of it answers everything with a page.
    Page,
    /// It takes requests and answers none.
    Hangs,
}

#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) avatar_url: String,
    pub(crate) devices: BTreeSet<String>,
    pub(crate) is_ghost: bool,
    pub(crate) account_data: HashMap<String, Value>,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) members: BTreeMap<String, String>,
    pub(crate) state: BTreeMap<(String, String), Value>,
    pub(crate) events: Vec<Value>,
    pub(crate) receipts: Vec<(String, String)>,
    /// Read marks of people as events, each with its place in the stream.
    pub(crate) marks: Vec<(u64, Value)>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) version: String,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) rooms: BTreeMap<String, Room>,
    pub(crate) aliases: BTreeMap<String, String>,
    /// By path: Synapse leaves the user out for application services.
    pub(crate) txns_in_memory: HashMap<String, String>,
    /// By path, user and device: what outlives a restart.
    pub(crate) txns_on_disk: HashMap<(String, String, String), String>,
    pub(crate) media: HashMap<String, (String, String, Vec<u8>)>,
    pub(crate) upload_limit: usize,
    pub(crate) asked: Vec<Asked>,
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) bridge: Option<SocketAddr>,
    pub(crate) queue: VecDeque<(String, Value)>,
    pub(crate) last_txn: Option<(String, Value)>,
    /// Status and id of every transaction that was given.
    pub(crate) given: Vec<(String, u16)>,
    pub(crate) is_down: bool,
    pub(crate) absence: Absence,
    /// How often somebody asked while it was.
    pub(crate) turned_away: usize,
    /// It was killed between saving its place and writing the transaction: events come about, and
    /// no transaction ever carries them.
    pub(crate) loses_transactions: bool,
    next: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self { version: "12".to_owned(), upload_limit: 50 << 20, ..Self::default() }
    }

    /// Where the stream of events stands.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn add_user(&mut self, user_id: &str, is_ghost: bool) {
        self.users.insert(user_id.to_owned(), User { is_ghost, ..User::default() });
    }

    pub(crate) fn is_in(&self, room_id: &str, user_id: &str) -> bool {
        self.membership(room_id, user_id) == Some("join")
    }

    pub(crate) fn membership(&self, room_id: &str, user_id: &str) -> Option<&str> {
        self.rooms.get(room_id)?.members.get(user_id).map(String::as_str)
    }

    pub(crate) fn set_member(&mut self, sender: &str, user_id: &str, room_id: &str, membership: &str) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.members.insert(user_id.to_owned(), membership.to_owned());
        }
        let mut content = json!({ "membership": membership });
        if let Some(name) = self.users.get(user_id).map(|user| &user.name).filter(|name| !name.is_empty()) {
            content["displayname"] = json!(name);
        }
        self.put_event(sender, room_id, "m.room.member", Some(user_id), content, None);
    }

    /// Puts an event into a room and into the queue of the application service.
    pub(crate) fn put_event(
        &mut self,
        sender: &str,
        room_id: &str,
        kind: &str,
        state_key: Option<&str>,
        content: Value,
        ts: Option<i64>,
    ) -> String {
        let n = self.next();
        let event_id = format!("$event{n}");
        let mut event = json!({
            "event_id": event_id,
            "room_id": room_id,
            "sender": sender,
            "type": kind,
            "content": content,
            "origin_server_ts": ts.unwrap_or(1_700_000_000_000 + i64::try_from(n).unwrap()),
        });
        if let Some(state_key) = state_key {
            event["state_key"] = json!(state_key);
        }
        if let Some(room) = self.rooms.get_mut(room_id) {
            if let Some(state_key) = state_key {
                room.state.insert((kind.to_owned(), state_key.to_owned()), event.clone());
            }
            room.events.push(event.clone());
        }
        // As Synapse does where the registration asks for them: both names at once, also when empty.
        let unstable = "de.sorunome.msc2409.ephemeral";
        let body = json!({ "events": [event], "ephemeral": [], unstable: [] });
        if !self.loses_transactions {
            self.queue.push_back((n.to_string(), body));
        }
        event_id
    }

    pub(crate) fn events(&self, room_id: &str, kind: &str) -> Vec<Value> {
        let all = self.rooms.get(room_id).map(|room| room.events.as_slice()).unwrap_or_default();
        all.iter().filter(|event| event["type"] == kind).cloned().collect()
    }

    pub(crate) fn texts(&self, room_id: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let messages = self.events(room_id, "m.room.message");
        messages.iter().map(|event| (text(&event["sender"]), text(&event["content"]["body"]))).collect()
    }

    /// The room behind an alias of a chat.
    pub(crate) fn room_of(&self, localpart: &str) -> Option<String> {
        self.aliases.get(&format!("#{localpart}:{DOMAIN}")).cloned()
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.asked.iter().filter(|asked| asked.method == method && asked.path.contains(part)).count()
    }

    pub(crate) fn protocol(&self) -> String {
        let line =
            |asked: &Asked| format!("{} {} as {} → {}", asked.method, asked.path, asked.user, asked.status);
        self.asked.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
