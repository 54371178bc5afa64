//! Who may do what in the room of a chat.

use serde_json::{Value, json};
use wxgate_contract::{ChatProfile, NetworkId, PersonRef};

use crate::api::room::{FullState, GetStateEvent};
use crate::memory::Room;
use crate::names::hex;
use crate::rooms::{ENCRYPTION, is_direct};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the owner of the group may do in its room: change it. Source: client-server API, defaults of
/// `m.room.power_levels`.
const OWNS_GROUP: i64 = 50;
/// From this version on the creator stands above all power levels and must not be listed in them.
/// Source: room version 12, <https://spec.matrix.org/v1.16/rooms/v12/>
const CREATOR_RULES: u32 = 12;

impl Shared {
    /// Encryption cannot be switched off again. In a private chat its owner may switch it on; in a group it
    /// takes the power of an owner of the group, or the bot, which knows who owns the account.
    fn power_to_encrypt(&self, profile: &ChatProfile) -> u8 {
        match self.config.encrypts_on_demand() {
            false => 100,
            true if is_direct(profile.kind) => 0,
            true => 50,
        }
    }

    /// Who stands above the power levels of rooms that are made now.
    pub(crate) fn above_in_new_rooms(&self) -> Vec<String> {
        match creator_is_listed(&self.facts().room_version) {
            true => Vec::new(),
            false => vec![self.names.bot().to_owned()],
        }
    }

    /// Everybody may speak; what the chat itself cannot undo is left to the bot. Those who stand `above` the levels
    /// of the room are not listed in them.
    pub(crate) fn power_levels(
        &self,
        profile: &ChatProfile,
        owner: Option<&str>,
        account: &NetworkId,
        above: &[String],
    ) -> Value {
        let is_listed = |user_id: &str| above.iter().all(|above| above != user_id);
        let mut users = serde_json::Map::new();
        if is_listed(self.names.bot()) {
            users.insert(self.names.bot().to_owned(), json!(100));
        }
        if let (true, Some(owner)) = (profile.is_owned, owner.filter(|owner| is_listed(owner))) {
            users.insert(owner.to_owned(), json!(OWNS_GROUP));
        }
        let by_ghost = self.names.has_ghosts() && !profile.is_owned && !is_direct(profile.kind);
        if let Some(person) = profile.owner.clone().filter(|_| by_ghost) {
            let ghost = self.names.ghost(&PersonRef { network: account.clone(), person });
            users.insert(self.names.user_id(&ghost), json!(OWNS_GROUP));
        }
        json!({
            "users": users,
            "users_default": 0,
            "events_default": 0,
            "state_default": 50,
            "invite": 50,
            "kick": 50,
            "ban": 50,
            "redact": 50,
            "events": {
                ENCRYPTION: self.power_to_encrypt(profile),
                "m.room.tombstone": 100,
                "m.room.server_acl": 100,
                "m.room.history_visibility": 100,
                "m.room.power_levels": 100,
            },
        })
    }

    /// Whoever owns the group may rename it and remove people here as well.
    pub(crate) async fn set_powers(
        &self,
        room: &mut Room,
        profile: &ChatProfile,
        owner: Option<&str>,
    ) -> Result<(), Trouble> {
        let Some(above) = self.above_levels(room).await? else { return Ok(()) };
        let mut levels = self.power_levels(profile, owner, &room.chat.network, &above);
        self.raise_sharers(room, &mut levels).await?;
        let powers = digest_of_powers(&levels);
        // Whoever made the replacement of a room gave it its own.
        if room.powers.is_empty() {
            room.powers = powers;
        } else if powers != room.powers {
            self.set_state(&room.room_id, "m.room.power_levels", "", levels).await?;
            room.powers = powers;
        }
        Ok(())
    }

    /// Who stands above the levels of a room, by the room's own version: that of rooms which are made now may be
    /// another one. `None` for a room that the bot cannot look at.
    async fn above_levels(&self, room: &mut Room) -> Result<Option<Vec<String>>, Trouble> {
        if room.above.is_none() {
            let question = GetStateEvent { room_id: &room.room_id, kind: "m.room.create" };
            room.above = match self.client.call(self.bot(), &question).await {
                Ok(created) => Some(above_levels(&created)),
                Err(error) if error.is_passing() => return Err(error.into()),
                Err(_) => None,
            };
        }
        Ok(room.above.clone())
    }

    /// In a shared room whoever owns the group may have another account than the one that leads.
    async fn raise_sharers(&self, room: &Room, levels: &mut Value) -> Result<(), Trouble> {
        let Some(sharing) = self.sharing(room).await? else { return Ok(()) };
        for chat in sharing.chats.iter().filter(|chat| **chat != room.chat) {
            let owns = self.directory.chat(chat).await?.is_some_and(|profile| profile.is_owned);
            let owner = if owns { self.owners.id_of_owner(&chat.network).await? } else { None };
            if let Some(owner) = owner.filter(|owner| !room.is_above(owner)) {
                levels["users"][owner] = json!(OWNS_GROUP);
            }
        }
        Ok(())
    }
}

pub(crate) fn creator_is_listed(version: &str) -> bool {
    // Versions that are no numbers belong to experiments, which follow the newest rules.
    version.parse::<u32>().is_ok_and(|version| version < CREATOR_RULES)
}

/// Who stands above the power levels of a room, by its own version. Source: room version 12,
/// <https://spec.matrix.org/v1.16/rooms/v12/>; client-server API, `m.room.create`: a room without a version is of the
/// first.
pub(crate) fn above_levels(created: &FullState) -> Vec<String> {
    let version = created.content.get("room_version").and_then(Value::as_str).unwrap_or("1");
    if creator_is_listed(version) {
        return Vec::new();
    }
    let also = created.content.get("additional_creators").and_then(Value::as_array);
    let also = also.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    std::iter::once(created.sender.clone()).chain(also).collect()
}

/// By what it is known which power levels a room has.
pub(crate) fn digest_of_powers(levels: &Value) -> String {
    hex(levels.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creator_is_listed_up_to_room_version_11() {
        assert!(creator_is_listed("11") && creator_is_listed("1"));
        assert!(!creator_is_listed("12") && !creator_is_listed("org.matrix.hydra.11"));
    }
}
