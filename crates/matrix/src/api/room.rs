//! Rooms: making them, finding them by alias, their state.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, Endpoint, Nothing};

/// `POST /v3/createRoom`. With an alias it is idempotent: the second attempt gives `M_ROOM_IN_USE`
/// and the alias leads to the room of the first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CreateRoom {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_alias_name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) topic: String,
    pub(crate) visibility: &'static str,
    pub(crate) preset: &'static str,
    pub(crate) is_direct: bool,
    pub(crate) invite: Vec<String>,
    pub(crate) creation_content: Value,
    pub(crate) initial_state: Vec<StateEvent>,
    pub(crate) power_level_content_override: Value,
}

/// A piece of state for a new room.
#[derive(Debug, Serialize)]
pub(crate) struct StateEvent {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) state_key: String,
    pub(crate) content: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RoomId {
    pub(crate) room_id: String,
}

impl Endpoint for CreateRoom {
    const NAME: &'static str = "create room";
    type Reply = RoomId;

    fn call(&self) -> Call {
        Call::post("/_matrix/client/v3/createRoom", &[], self)
    }
}

/// `GET /v3/directory/room/{alias}`.
pub(crate) struct ResolveAlias<'a> {
    pub(crate) alias: &'a str,
}

impl Endpoint for ResolveAlias<'_> {
    const NAME: &'static str = "resolve alias";
    type Reply = RoomId;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/directory/room", &[self.alias])
    }
}

/// `DELETE /v3/directory/room/{alias}`.
pub(crate) struct DeleteAlias<'a> {
    pub(crate) alias: &'a str,
}

impl Endpoint for DeleteAlias<'_> {
    const NAME: &'static str = "delete alias";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::new(http::Method::DELETE, "/_matrix/client/v3/directory/room", &[self.alias])
    }
}

/// `PUT /v3/rooms/{room}/state/{type}/{key}`. An application service may say when it happened.
pub(crate) struct SetState<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) state_key: &'a str,
    pub(crate) content: &'a Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventId {
    pub(crate) event_id: String,
}

impl Endpoint for SetState<'_> {
    const NAME: &'static str = "set state";
    type Reply = EventId;

    fn call(&self) -> Call {
        let segments = [self.room_id, "state", self.kind, self.state_key];
        Call::put("/_matrix/client/v3/rooms", &segments, self.content)
    }
}

/// `GET /v3/rooms/{room}/state/{type}/{key}`: the content alone.
pub(crate) struct GetState<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) state_key: &'a str,
}

impl Endpoint for GetState<'_> {
    const NAME: &'static str = "get state";
    type Reply = Value;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "state", self.kind, self.state_key])
    }
}

/// The same with its envelope. Source: client-server API v1.17, `format=event`; Synapse since 2016.
pub(crate) struct GetStateEvent<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) kind: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FullState {
    #[serde(default)]
    pub(crate) sender: String,
    #[serde(default)]
    pub(crate) content: Value,
}

impl Endpoint for GetStateEvent<'_> {
    const NAME: &'static str = "get state event";
    type Reply = FullState;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "state", self.kind, ""])
            .with_query("format", "event")
    }
}
