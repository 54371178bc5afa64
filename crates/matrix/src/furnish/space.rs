//! One space per account: its chats in one place of the client's list.

use std::sync::Arc;

use serde_json::json;
use wxgate_contract::{Health, NetworkId};

use crate::api::room::CreateRoom;
use crate::memory::{Room, Space};
use crate::powers::creator_is_listed;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Source: bridges that tell the state of their logins as room state, seen in mautrix bridges, 2025.
const STATE: &str = "com.beeper.bridge_state";

impl Shared {
    /// Puts a room into the space of its account.
    pub(super) async fn put_into_space(&self, room: &mut Room) -> Result<(), Trouble> {
        let space = self.space(&room.chat.network).await?;
        if room.space == space.room_id {
            return Ok(());
        }
        // Source: client-server API, "Spaces".
        let via = json!([self.names.domain()]);
        let child = json!({ "via": via, "suggested": true });
        self.set_state(&space.room_id, "m.space.child", &room.room_id, child).await?;
        let parent = json!({ "via": via, "canonical": !room.is_guest });
        self.set_state(&room.room_id, "m.space.parent", &space.room_id, parent).await?;
        room.space.clone_from(&space.room_id);
        Ok(())
    }

    /// The space of an account, made when there is none.
    async fn space(&self, account: &NetworkId) -> Result<Arc<Space>, Trouble> {
        if let Some(space) = self.memory.spaces.get(&self.memory, account.as_str()).await?
            && self.is_inside_space(&space).await?
        {
            return Ok(space);
        }
        let alias = self.names.space_alias(account);
        let owner = self.owners.id_of_owner(account).await?;
        let view = self.owners.account(account).await?;
        let own_name = view.as_ref().map(|view| view.own_name.as_str()).filter(|name| !name.is_empty());
        let users = match creator_is_listed(&self.facts().room_version) {
            true => json!({ self.names.bot(): 100 }),
            false => json!({}),
        };
        let request = CreateRoom {
            room_alias_name: Some(alias.clone()),
            name: format!("WeChat ({})", own_name.unwrap_or(account.name())),
            topic: String::new(),
            visibility: "private",
            preset: "private_chat",
            is_direct: false,
            invite: owner.iter().cloned().collect(),
            creation_content: json!({ "type": "m.space" }),
            initial_state: Vec::new(),
            power_level_content_override: json!({ "users": users, "events_default": 100, "state_default": 100 }),
        };
        let room_id = self.make_or_find(&request, &alias).await?;
        if let Some(owner) = &owner
            && let Some(puppet) = self.puppet(owner).await?
        {
            self.puppet_joins(&room_id, &puppet).await?;
        }
        let space = Space { room_id, told: String::new() };
        let space = self.memory.spaces.put(&self.memory, account.as_str(), space).await?;
        self.tell_state(account).await?;
        Ok(space)
    }

    /// Looked at once per run: a space is lost rarely, and rooms work without it.
    async fn is_inside_space(&self, space: &Space) -> Result<bool, Trouble> {
        if self.memory.is_checked(&space.room_id) {
            return Ok(true);
        }
        let is_inside = self.is_inside(&space.room_id).await?;
        if is_inside {
            self.memory.note_checked(&space.room_id);
        }
        Ok(is_inside)
    }

    /// Tells in the space of an account how it is doing, where it has one.
    pub(crate) async fn tell_state(&self, account: &NetworkId) -> Result<(), Trouble> {
        let Some(space) = self.memory.spaces.get(&self.memory, account.as_str()).await? else {
            return Ok(());
        };
        let Some(view) = self.owners.fresh(account).await? else { return Ok(()) };
        let word = match &view.health {
            Health::Starting => "CONNECTING",
            Health::Up | Health::Partial { .. } => "CONNECTED",
            Health::Limited { .. } | Health::Degraded { .. } => "TRANSIENT_DISCONNECT",
            Health::NeedsHuman { .. } => "BAD_CREDENTIALS",
            Health::Down { .. } => "UNKNOWN_ERROR",
        };
        let told = format!("{word} {}", view.health.detail());
        if told == space.told {
            return Ok(());
        }
        let mut content = json!({
            "state_event": word,
            "remote_id": account.name(),
            "timestamp": self.clock.now().seconds(),
        });
        if !view.health.detail().is_empty() {
            content["message"] = json!(view.health.detail());
        }
        self.set_state(&space.room_id, STATE, account.name(), content).await?;
        let space = Space { told, ..(*space).clone() };
        self.memory.spaces.put(&self.memory, account.as_str(), space).await?;
        Ok(())
    }
}
