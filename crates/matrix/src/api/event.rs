//! What is said in a room.

use serde_json::{Value, json};
use wxgate_contract::Timestamp;

use super::room::EventId;
use super::{Call, Empty, Endpoint, Nothing};

/// `PUT /v3/rooms/{room}/send/{type}/{txn}`. The transaction id must be unique over all users of
/// the application service: Synapse remembers it by path and service, not by user.
/// Source: the Matrix notes, section 4, items 1 and 2.
pub(crate) struct Send<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) txn_id: &'a str,
    /// When it was said; only an application service may tell.
    pub(crate) at: Option<Timestamp>,
    pub(crate) content: &'a Value,
}

impl Endpoint for Send<'_> {
    const NAME: &'static str = "send";
    type Reply = EventId;

    fn call(&self) -> Call {
        let segments = [self.room_id, "send", self.kind, self.txn_id];
        let call = Call::put("/_matrix/client/v3/rooms", &segments, self.content);
        match self.at {
            Some(at) => call.with_query("ts", at.ms().to_string()),
            None => call,
        }
    }
}

/// `PUT /v3/rooms/{room}/redact/{event}/{txn}`: right for every room version.
pub(crate) struct Redact<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) event_id: &'a str,
    pub(crate) txn_id: &'a str,
    pub(crate) reason: &'a str,
}

impl Endpoint for Redact<'_> {
    const NAME: &'static str = "redact";
    type Reply = EventId;

    fn call(&self) -> Call {
        let segments = [self.room_id, "redact", self.event_id, self.txn_id];
        let body = if self.reason.is_empty() { json!({}) } else { json!({ "reason": self.reason }) };
        Call::put("/_matrix/client/v3/rooms", &segments, &body)
    }
}

/// `POST /v3/rooms/{room}/receipt/m.read/{event}`.
pub(crate) struct Receipt<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) event_id: &'a str,
}

impl Endpoint for Receipt<'_> {
    const NAME: &'static str = "receipt";
    type Reply = Nothing;

    fn call(&self) -> Call {
        let segments = [self.room_id, "receipt", "m.read", self.event_id];
        Call::post("/_matrix/client/v3/rooms", &segments, &Empty {})
    }
}

/// `POST /v3/rooms/{room}/read_markers`: the line up to which a user has read, and their receipt.
pub(crate) struct ReadMarkers<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) event_id: &'a str,
}

impl Endpoint for ReadMarkers<'_> {
    const NAME: &'static str = "read markers";
    type Reply = Nothing;

    fn call(&self) -> Call {
        let body = json!({ "m.fully_read": self.event_id, "m.read": self.event_id });
        Call::post("/_matrix/client/v3/rooms", &[self.room_id, "read_markers"], &body)
    }
}

/// `GET /v3/rooms/{room}/messages`, backwards: the newest events.
pub(crate) struct Newest<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) limit: u32,
}

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Chunk {
    #[serde(default)]
    pub(crate) chunk: Vec<Value>,
}

impl Endpoint for Newest<'_> {
    const NAME: &'static str = "newest messages";
    type Reply = Chunk;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "messages"])
            .with_query("dir", "b")
            .with_query("limit", self.limit.to_string())
    }
}

/// `GET /v3/rooms/{room}/messages`, backwards: the newest events of some types. A few pieces of state
/// out of a room whose whole state may be megabytes.
pub(crate) struct NewestOf<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) kinds: &'a [&'a str],
    pub(crate) limit: u32,
}

impl Endpoint for NewestOf<'_> {
    const NAME: &'static str = "newest events";
    type Reply = Chunk;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "messages"])
            .with_query("dir", "b")
            .with_query("limit", self.limit.to_string())
            .with_query("filter", serde_json::json!({ "types": self.kinds }).to_string())
    }
}

/// `GET /v3/rooms/{room}/event/{event}`.
pub(crate) struct GetEvent<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) event_id: &'a str,
}

impl Endpoint for GetEvent<'_> {
    const NAME: &'static str = "get event";
    type Reply = Value;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "event", self.event_id])
    }
}
