//! How a chat leaves a shared room, and how all of them follow the room to another one.

use std::sync::Arc;

use serde_json::json;
use wxgate_contract::{ChatRef, NetworkId};

use super::Sharing;
use crate::api::membership::{Invite, JoinedMembers, Leave};
use crate::api::room::DeleteAlias;
use crate::chores::Chore;
use crate::client::{Actor, CallError};
use crate::memory::Room;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Notes read at once.
const PAGE: usize = 200;

impl Shared {
    /// A chat leaves the room that it shares, and gets one of its own when it next speaks. When it led, the next
    /// one leads. False when it shares none, or nobody else is left in it.
    pub(crate) async fn leave_sharing(&self, chat: &ChatRef) -> Result<bool, Trouble> {
        let Some((room, next)) = self.memory.end_sharing(chat).await? else { return Ok(false) };
        if !room.is_guest {
            let alias = self.names.full_alias(&self.names.alias(chat));
            passing(self.client.call(self.bot(), &DeleteAlias { alias: &alias }).await)?;
        }
        self.people_leave(&room).await?;
        if !room.space.is_empty() {
            passing(self.set_state(&room.space, "m.space.child", &room.room_id, json!({})).await)?;
        }
        self.chores.add(Chore::Room(next));
        Ok(true)
    }

    /// The owner of a chat and its people leave a room.
    async fn people_leave(&self, room: &Room) -> Result<(), Trouble> {
        let room_id = room.room_id.as_str();
        let members = self.client.call(self.bot(), &JoinedMembers { room_id }).await?;
        for user_id in members.joined.keys().filter(|id| self.names.is_of(id, &room.chat.network)) {
            let actor = Actor::As { user_id, device_id: None };
            passing(self.client.call(actor, &Leave { room_id }).await)?;
        }
        let Some(owner) = self.owners.id_of_owner(&room.chat.network).await? else { return Ok(()) };
        let content = json!({ "membership": "leave", "reason": "the group has a room of its own for you" });
        passing(self.set_state(room_id, "m.room.member", &owner, content).await)
    }

    /// Nobody may be left in a room through a chat that leads it and goes: all of them get rooms of their own.
    pub(crate) async fn dissolve_sharing(&self, lead: &Room) -> Result<(), Trouble> {
        let Some(sharing) = self.sharing(lead).await? else { return Ok(()) };
        for chat in sharing.others(&lead.chat) {
            self.leave_sharing(chat).await?;
        }
        Ok(())
    }

    /// Takes accounts that are not there any more out of the rooms that they shared.
    pub(crate) async fn leave_for_those_removed(&self) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("sharing/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (_, bytes) in page {
                let Ok(sharing) = serde_json::from_slice::<Sharing>(&bytes) else { continue };
                for chat in &sharing.chats {
                    if self.owners.account(&chat.network).await?.is_none() {
                        self.leave_sharing(chat).await?;
                    }
                }
            }
        }
    }

    /// The room of a chat is lost: all that share it get another one together.
    pub(crate) async fn reopen_shared(&self, room: &Room, sharing: &Sharing) -> Result<Arc<Room>, Trouble> {
        let _turn = self.turns.turn(&sharing.key).lock().await;
        let lead = sharing.lead().unwrap_or(&room.chat);
        let room_id = match self.memory.room_of(lead).await? {
            // Another lane was here first.
            Some(now) if now.room_id != room.room_id => now.room_id.clone(),
            _ => {
                self.memory.rooms.forget(&self.memory, lead.mirrored_on(&self.network).chat.as_str()).await?;
                self.open(lead).await?.room_id.clone()
            }
        };
        self.move_guests(sharing, &room_id).await?;
        self.room(&room.chat).await
    }

    /// Whoever shares a room follows it to another one.
    pub(crate) async fn move_guests(&self, sharing: &Sharing, room_id: &str) -> Result<(), Trouble> {
        for chat in &sharing.chats {
            let Some(room) = self.memory.room_of(chat).await?.filter(|room| room.room_id != room_id) else {
                continue;
            };
            self.memory.update_room(chat, &room.room_id, |room| *room = room.moved_to(room_id)).await?;
            self.ask_in(room_id, &chat.network).await?;
            self.chores.add(Chore::Room(chat.clone()));
        }
        Ok(())
    }

    async fn ask_in(&self, room_id: &str, account: &NetworkId) -> Result<(), Trouble> {
        let Some(owner) = self.owners.id_of_owner(account).await? else { return Ok(()) };
        // Refused for those who are in it.
        passing(self.client.call(self.bot(), &Invite { room_id, user_id: &owner }).await)
    }
}

/// What cannot be done is left; what may go better later is tried again.
fn passing<T>(done: Result<T, CallError>) -> Result<(), Trouble> {
    match done {
        Err(error) if error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
}
