//! What devices with keys ask beside the machine's own requests.

use http::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_e2ee::Request;

use super::{Call, Endpoint, Nothing};

/// A request that a device's machine wants to make.
pub(crate) struct Ask<'a>(pub(crate) &'a Request);

impl Endpoint for Ask<'_> {
    const NAME: &'static str = "keys of devices";
    // Some two kilobytes for a device; a room of five hundred people with ten each.
    const ANSWER_BYTES: usize = 32 << 20;
    type Reply = Box<RawValue>;

    fn call(&self) -> Call {
        let segments: Vec<&str> = self.0.segments.iter().map(String::as_str).collect();
        let mut call = Call::new(self.0.method.clone(), self.0.base, &segments);
        call.body.clone_from(&self.0.body);
        call
    }
}

/// `DELETE /v3/devices/{id}`: its keys go with it. An application service need not prove who it is.
/// Source: <https://spec.matrix.org/v1.17/application-service-api/#device-management>
pub(crate) struct DeleteDevice<'a> {
    pub(crate) device_id: &'a str,
}

impl Endpoint for DeleteDevice<'_> {
    const NAME: &'static str = "delete device";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::new(Method::DELETE, "/_matrix/client/v3/devices", &[self.device_id])
    }
}

/// `GET /v3/sync` that waits for what is for one device, rooms aside.
pub(crate) struct DeviceSync<'a> {
    pub(crate) since: Option<&'a str>,
    pub(crate) filter: &'a Value,
    pub(crate) timeout_ms: u64,
}

impl Endpoint for DeviceSync<'_> {
    const NAME: &'static str = "sync of the bot's device";
    // A hundred messages at once, each of up to 64 KiB. Source: Synapse gives no more at a time.
    const ANSWER_BYTES: usize = 32 << 20;
    type Reply = Value;

    fn call(&self) -> Call {
        let call = Call::get("/_matrix/client/v3/sync", &[])
            .with_query("timeout", self.timeout_ms.to_string())
            .with_query("set_presence", "offline")
            .with_query("filter", self.filter.to_string());
        match self.since {
            Some(since) => call.with_query("since", since),
            None => call,
        }
    }
}

/// `GET /v3/joined_rooms`
pub(crate) struct JoinedRooms;

#[derive(Debug, Deserialize)]
pub(crate) struct Joined {
    pub(crate) joined_rooms: Vec<String>,
}

impl Endpoint for JoinedRooms {
    const NAME: &'static str = "joined rooms";
    // Some fifty bytes for each of a hundred thousand rooms.
    const ANSWER_BYTES: usize = 8 << 20;
    type Reply = Joined;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/joined_rooms", &[])
    }
}

/// `GET /v3/rooms/{room}/members`: everybody but those who left.
pub(crate) struct Members<'a> {
    pub(crate) room_id: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MemberEvents {
    #[serde(default)]
    pub(crate) chunk: Vec<MemberEvent>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MemberEvent {
    #[serde(default)]
    pub(crate) state_key: String,
    #[serde(default)]
    pub(crate) content: Membership,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Membership {
    #[serde(default)]
    pub(crate) membership: String,
}

impl Endpoint for Members<'_> {
    const NAME: &'static str = "members";
    // A kilobyte for each of twenty thousand.
    const ANSWER_BYTES: usize = 32 << 20;
    type Reply = MemberEvents;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/rooms", &[self.room_id, "members"])
            .with_query("not_membership", "leave")
    }
}
