//! What the state of a room says about who bridges it, for clients and for other bridges.
//!
//! Source: MSC2346, <https://github.com/matrix-org/matrix-spec-proposals/pull/2346>

use serde_json::{Value, json};
use wxgate_contract::{ChatProfile, ChatRef};

use crate::client::CallError;
use crate::memory::Room;
use crate::names::hex;
use crate::rooms::{is_direct, room_name};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The kind of state, and its name from before the proposal had one.
pub(crate) const KINDS: [&str; 2] = ["m.bridge", "uk.half-shot.bridge"];

/// The state key of a chat.
pub(crate) fn key(chat: &ChatRef) -> String {
    format!("wxgate://{}/{}", chat.network, chat.chat)
}

/// By what it is known what was said.
pub(crate) fn digest(info: &Value) -> String {
    hex(info.to_string().as_bytes())
}

impl Shared {
    /// Source: MSC2346, <https://github.com/matrix-org/matrix-spec-proposals/pull/2346>
    pub(crate) fn bridge_info(&self, profile: &ChatProfile, chat: &ChatRef) -> Value {
        let name = room_name(profile);
        let mut channel = json!({ "id": chat.chat.as_str() });
        if !name.is_empty() {
            channel["displayname"] = json!(name);
        }
        json!({
            "bridgebot": self.names.bot(),
            "creator": self.names.bot(),
            "protocol": { "id": "wechat", "displayname": "WeChat", "external_url": "https://www.wechat.com" },
            "network": { "id": chat.network.name(), "displayname": chat.network.name() },
            "channel": channel,
            "com.beeper.room_type.v2": if is_direct(profile.kind) { "dm" } else { "group_dm" },
        })
    }

    /// Says what a room shows, where that is news and the bot may.
    pub(crate) async fn tell_bridge(&self, room: &mut Room, profile: &ChatProfile) -> Result<(), Trouble> {
        let info = self.bridge_info(profile, &room.chat);
        let bridged = digest(&info);
        match room.bridged.as_deref() {
            Some(told) if told == bridged => return Ok(()),
            // From before that was remembered: it was said when the bot made the room.
            None if !room.is_handed_over => {}
            _ => self.set_bridge(&room.room_id, &room.chat, &info).await?,
        }
        room.bridged = Some(bridged);
        Ok(())
    }

    /// Says that a room shows a chat no longer.
    pub(crate) async fn clear_bridge(&self, room_id: &str, chat: &ChatRef) -> Result<(), CallError> {
        self.set_bridge(room_id, chat, &json!({})).await
    }

    async fn set_bridge(&self, room_id: &str, chat: &ChatRef, info: &Value) -> Result<(), CallError> {
        for kind in KINDS {
            match self.set_state(room_id, kind, &key(chat), info.clone()).await {
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    tracing::info!(%error, room_id, "a room cannot be told what it shows");
                    return Ok(());
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
