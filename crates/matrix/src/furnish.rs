//! Brings a room up to date with its chat: name, topic, power, members, its place in the account's
//! space and in its owner's list of direct chats.
//!
//! The room's note says what was done; only what differs costs a call.

mod avatar;
mod members;
mod space;

use serde_json::{Value, json};
use wxgate_contract::{ChatProfile, ChatRef};

use crate::api::account::{GetAccountData, SetAccountData};
use crate::api::room::SetState;
use crate::client::CallError;
use crate::memory::Room;
use crate::puppet::Puppet;
use crate::rooms::room_name;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What furnishing changed, on top of what other parts of the run changed meanwhile.
fn merged(kept: &Room, before: &Room, new: Room) -> Room {
    let pick = |kept: &String, before: &String, new: &String| if new == before { kept } else { new }.clone();
    Room {
        name: pick(&kept.name, &before.name, &new.name),
        topic: pick(&kept.topic, &before.topic, &new.topic),
        space: pick(&kept.space, &before.space, &new.space),
        powers: pick(&kept.powers, &before.powers, &new.powers),
        bridged: if new.bridged == before.bridged { &kept.bridged } else { &new.bridged }.clone(),
        above: new.above.clone().or_else(|| kept.above.clone()),
        members: pick(&kept.members, &before.members, &new.members),
        avatar: if kept.has_chosen_picture() {
            kept.avatar.clone()
        } else {
            pick(&kept.avatar, &before.avatar, &new.avatar)
        },
        puppet_in: if new.puppet_in == before.puppet_in { kept.puppet_in } else { new.puppet_in },
        listed: kept.listed || new.listed,
        ..kept.clone()
    }
}

impl Shared {
    /// Brings the room of a chat up to date, if it has one.
    pub(crate) async fn furnish(&self, chat: &ChatRef) -> Result<(), Trouble> {
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(()) };
        let Some(profile) = self.directory.chat(chat).await? else { return Ok(()) };
        let mut new = (*room).clone();
        let done = self.bring_up_to_date(&mut new, &profile).await;
        if new != *room {
            let merge = |kept: &mut Room| *kept = merged(kept, &room, new);
            self.memory.update_room(chat, &room.room_id, merge).await?;
        }
        done
    }

    async fn bring_up_to_date(&self, room: &mut Room, profile: &ChatProfile) -> Result<(), Trouble> {
        let owner = self.owners.id_of_owner(&room.chat.network).await?;
        let puppet = match &owner {
            Some(owner) => self.puppet(owner).await?,
            None => None,
        };
        if let Some(puppet) = &puppet {
            self.move_in(room, puppet).await?;
        }
        if room.is_guest {
            // Everything else is for the chat that leads.
            return self.put_into_space(room).await;
        }
        if !room.is_handed_over {
            self.name_room(room, profile).await?;
            self.set_powers(room, profile, owner.as_deref()).await?;
        }
        // Every event of an ordinary account counts against what it may say: it says what was said.
        let is_new = room.is_handed_over && room.bridged.as_deref().is_none_or(str::is_empty);
        if self.names.has_ghosts() || is_new {
            self.tell_bridge(room, profile).await?;
        }
        if !self.names.has_ghosts() {
            return Ok(());
        }
        if !room.is_handed_over {
            self.put_into_space(room).await?;
        }
        if room.is_direct {
            return Ok(());
        }
        let before = room.members.clone();
        if let Some(members) = &profile.members {
            self.follow_members(room, members).await?;
        }
        match room.avatar.is_empty() || room.members != before {
            true if !room.is_handed_over => self.hang_picture(room).await,
            _ => Ok(()),
        }
    }

    /// The owner need not accept an invitation to their own chat.
    async fn move_in(&self, room: &mut Room, puppet: &Puppet) -> Result<(), Trouble> {
        if !room.puppet_in {
            room.puppet_in = self.puppet_joins(&room.room_id, puppet).await?;
        }
        if room.is_direct && !room.listed {
            self.list_as_direct(room, puppet).await?;
            room.listed = true;
        }
        Ok(())
    }

    /// Source: client-server API, "m.direct". A client that writes at the same moment may win, as between
    /// any two clients.
    async fn list_as_direct(&self, room: &Room, puppet: &Puppet) -> Result<(), Trouble> {
        const KIND: &str = "m.direct";
        let _turn = self.listing.lock().await;
        let person = wxgate_contract::PersonRef {
            network: room.chat.network.clone(),
            person: room.chat.chat.as_str().into(),
        };
        let ghost = self.names.user_id(&self.names.ghost(&person));
        let user_id = puppet.user_id();
        let mut list: Value =
            match self.client.call(puppet.actor(), &GetAccountData { user_id, kind: KIND }).await {
                Ok(list) => list,
                Err(error) if error.code() == "M_NOT_FOUND" => json!({}),
                Err(error) => return Err(error.into()),
            };
        let Some(by_user) = list.as_object_mut() else { return Ok(()) };
        let rooms = by_user.entry(ghost).or_insert_with(|| json!([]));
        let Some(rooms) = rooms.as_array_mut() else { return Ok(()) };
        if rooms.iter().any(|known| *known == room.room_id.as_str()) {
            return Ok(());
        }
        rooms.push(json!(room.room_id));
        self.client.call(puppet.actor(), &SetAccountData { user_id, kind: KIND, content: &list }).await?;
        Ok(())
    }

    async fn name_room(&self, room: &mut Room, profile: &ChatProfile) -> Result<(), Trouble> {
        let name = room_name(profile);
        if name != room.name && !name.is_empty() {
            self.set_state(&room.room_id, "m.room.name", "", json!({ "name": name })).await?;
            room.name = name;
        }
        if profile.topic != room.topic {
            self.set_state(&room.room_id, "m.room.topic", "", json!({ "topic": profile.topic })).await?;
            room.topic.clone_from(&profile.topic);
        }
        Ok(())
    }

    /// A piece of state, set by the bot.
    pub(crate) async fn set_state(
        &self,
        room_id: &str,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<(), CallError> {
        let state = SetState { room_id, kind, state_key, content: &content };
        self.client.call(self.bot(), &state).await.map(drop)
    }
}
