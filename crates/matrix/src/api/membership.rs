//! Who is in a room.

use serde::Deserialize;
use serde_json::{Value, json};

use super::room::RoomId;
use super::{Call, Empty, Endpoint, Nothing};

/// `POST /v3/rooms/{room}/invite`. `M_FORBIDDEN` also when the user is in the room already.
pub(crate) struct Invite<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) user_id: &'a str,
}

impl Endpoint for Invite<'_> {
    const NAME: &'static str = "invite";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::post("/_matrix/client/v3/rooms", &[self.room_id, "invite"], &json!({ "user_id": self.user_id }))
    }
}

/// `POST /v3/join/{room}`; joining twice is no error.
pub(crate) struct Join<'a> {
    pub(crate) room_id: &'a str,
}

impl Endpoint for Join<'_> {
    const NAME: &'static str = "join";
    type Reply = RoomId;

    fn call(&self) -> Call {
        Call::post("/_matrix/client/v3/join", &[self.room_id], &Empty {})
    }
}

/// `POST /v3/rooms/{room}/leave`.
pub(crate) struct Leave<'a> {
    pub(crate) room_id: &'a str,
}

impl Endpoint for Leave<'_> {
    const NAME: &'static str = "leave";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::post("/_matrix/client/v3/rooms", &[self.room_id, "leave"], &Empty {})
    }
}

/// `GET /v3/rooms/{room}/joined_members`.
pub(crate) struct JoinedMembers<'a> {
    pub(crate) room_id: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Joined {
    #[serde(default)]
    pub(crate) joined: std::collections::BTreeMap<String, Value>,
}

impl Endpoint for JoinedMembers<'_> {
    const NAME: &'static str = "joined members";
    type Reply = Joined;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "joined_members"])
    }
}
