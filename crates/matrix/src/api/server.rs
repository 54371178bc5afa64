//! What a homeserver is and can do, and whether it reaches us.

use serde::Deserialize;
use serde_json::json;

use super::{Call, Endpoint};

/// `GET /v3/capabilities`.
pub(crate) struct GetCapabilities;

#[derive(Debug, Deserialize)]
pub(crate) struct Capabilities {
    #[serde(default)]
    capabilities: Inner,
}

#[derive(Debug, Default, Deserialize)]
struct Inner {
    #[serde(rename = "m.room_versions", default)]
    room_versions: RoomVersions,
}

#[derive(Debug, Default, Deserialize)]
struct RoomVersions {
    #[serde(default)]
    default: String,
}

impl Capabilities {
    /// The version of a room that is made without naming one. A homeserver that does not tell is
    /// taken to use the first. Source: client-server API, "Capabilities negotiation".
    pub(crate) fn default_room_version(&self) -> &str {
        match self.capabilities.room_versions.default.as_str() {
            "" => "1",
            version => version,
        }
    }
}

impl Endpoint for GetCapabilities {
    const NAME: &'static str = "capabilities";
    type Reply = Capabilities;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/capabilities", &[])
    }
}

/// `GET /_matrix/federation/v1/openid/userinfo`: whose OpenID token it is. Needs no signature.
/// Source: <https://spec.matrix.org/v1.16/server-server-api/#openid>
pub(crate) struct OpenIdUser<'a> {
    pub(crate) access_token: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Subject {
    pub(crate) sub: String,
}

impl Endpoint for OpenIdUser<'_> {
    const NAME: &'static str = "openid userinfo";
    type Reply = Subject;

    fn call(&self) -> Call {
        let path = "/_matrix/federation/v1/openid/userinfo";
        Call::get(path, &[]).with_query("access_token", self.access_token)
    }
}

/// `POST /v1/appservice/{id}/ping`: the homeserver calls our listener and says how that went. It
/// also makes Synapse hand over at once what it kept for us.
/// Source: <https://spec.matrix.org/v1.16/application-service-api/#pinging>; the Matrix notes, section 3.
pub(crate) struct Ping<'a> {
    pub(crate) id: &'a str,
    pub(crate) transaction_id: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Pong {
    #[serde(default)]
    pub(crate) duration_ms: u64,
}

impl Endpoint for Ping<'_> {
    const NAME: &'static str = "ping";
    type Reply = Pong;

    fn call(&self) -> Call {
        let body = json!({ "transaction_id": self.transaction_id });
        Call::post("/_matrix/client/v1/appservice", &[self.id, "ping"], &body)
    }
}
