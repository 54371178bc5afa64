//! What happened since a position, asked for: for what no transaction brought.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Call, Endpoint};

/// `GET /v3/sync` that does not wait.
pub(crate) struct Sync<'a> {
    /// From where on; `None` asks for the present position.
    pub(crate) since: Option<&'a str>,
    pub(crate) filter: &'a Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Synced {
    pub(crate) next_batch: String,
    #[serde(default)]
    pub(crate) rooms: Rooms,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Rooms {
    #[serde(default)]
    pub(crate) join: BTreeMap<String, Joined>,
    #[serde(default)]
    pub(crate) invite: BTreeMap<String, Invited>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Joined {
    #[serde(default)]
    pub(crate) timeline: Timeline,
    #[serde(default)]
    pub(crate) ephemeral: Ephemeral,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Ephemeral {
    /// Without the room's id.
    #[serde(default)]
    pub(crate) events: Vec<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Timeline {
    /// Without the room's id.
    #[serde(default)]
    pub(crate) events: Vec<Box<RawValue>>,
    /// There are more than these.
    #[serde(default)]
    pub(crate) limited: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Invited {
    #[serde(default)]
    pub(crate) invite_state: Stripped,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Stripped {
    /// Type, state key, sender and content alone.
    #[serde(default)]
    pub(crate) events: Vec<Value>,
}

impl Endpoint for Sync<'_> {
    const NAME: &'static str = "sync";
    // A room that changed takes about a kilobyte; ten thousand of them after a long absence.
    const ANSWER_BYTES: usize = 32 << 20;
    type Reply = Synced;

    fn call(&self) -> Call {
        let call = Call::get("/_matrix/client/v3/sync", &[])
            .with_query("timeout", "0")
            .with_query("set_presence", "offline")
            .with_query("filter", self.filter.to_string());
        match self.since {
            Some(since) => call.with_query("since", since),
            None => call,
        }
    }
}

/// `GET /v3/rooms/{room}/messages`, forwards: what was said between two positions.
pub(crate) struct Between<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) limit: usize,
    pub(crate) filter: &'a Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    pub(crate) chunk: Vec<Box<RawValue>>,
    /// Where the next page begins; `None` at the end.
    #[serde(default)]
    pub(crate) end: Option<String>,
}

impl Endpoint for Between<'_> {
    const NAME: &'static str = "messages between";
    type Reply = Page;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "messages"])
            .with_query("dir", "f")
            .with_query("from", self.from)
            .with_query("to", self.to)
            .with_query("limit", self.limit.to_string())
            .with_query("filter", self.filter.to_string())
    }
}
