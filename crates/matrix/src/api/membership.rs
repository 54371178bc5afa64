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

/// The same for a room that our homeserver may not know: another one that does is named, under the present name of the
/// parameter and the one from before. Source: client-server API v1.12, `POST /v3/join/{room}`.
pub(crate) struct JoinVia<'a> {
    pub(crate) room_id: &'a str,
    /// Empty for none.
    pub(crate) via: &'a str,
}

impl Endpoint for JoinVia<'_> {
    const NAME: &'static str = "join";
    type Reply = RoomId;

    fn call(&self) -> Call {
        let call = Join { room_id: self.room_id }.call();
        match self.via {
            "" => call,
            via => call.with_query("via", via).with_query("server_name", via),
        }
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
