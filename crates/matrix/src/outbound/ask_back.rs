//! Owners who left the room of a chat, or were sent away: a chat that says something must not speak without them.

use std::time::Duration;

use serde_json::Value;

use crate::api::membership::Invite;
use crate::api::room::GetState;
use crate::chores::Chore;
use crate::memory::Room;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Before somebody is invited again whom the bot was not let invite. Chosen: a ban that is lifted is noticed soon, and
/// what is said meanwhile costs nothing more.
const AGAIN: Duration = Duration::from_secs(10 * 60);

impl Shared {
    /// Invites an owner who left. Where the bot may not, what is said is said without them, and they are invited when
    /// it may.
    pub(super) async fn ask_back(&self, room: &Room) -> Result<(), Trouble> {
        let room_id = room.room_id.as_str();
        let owner = self.owners.id_of_owner(&room.chat.network).await?;
        if let Some(owner) = &owner
            && !self.invite_back(room_id, owner).await?
        {
            return Ok(());
        }
        if let (Some(account), Some(owner)) = (&self.config.account, &owner)
            && !account.knows_member(room_id, owner).await
        {
            // What is encrypted before the invitation is known could not be read by them.
            return Err(Trouble::Soon("the owner's invitation is on its way".to_owned()));
        }
        self.memory.update_room(&room.chat, room_id, |room| room.owner_left = false).await?;
        self.chores.add(Chore::Room(room.chat.clone()));
        Ok(())
    }

    /// False when somebody is neither in the room nor invited to it.
    async fn invite_back(&self, room_id: &str, owner: &str) -> Result<bool, Trouble> {
        let now = self.clock.now();
        if self.memory.asked_in_vain(room_id, owner).is_some_and(|at| now.since(at) < AGAIN) {
            return Ok(false);
        }
        match self.client.call(self.bot(), &Invite { room_id, user_id: owner }).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_passing() => return Err(error.into()),
            // They are back, or banned; or the room is lost, which the send itself will see.
            Err(error) => tracing::info!(%error, owner, "an owner cannot be invited back"),
        }
        let member = GetState { room_id, kind: "m.room.member", state_key: owner };
        let membership = match self.client.call(self.bot(), &member).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            member => member
                .ok()
                .and_then(|member| member.get("membership").and_then(Value::as_str).map(str::to_owned)),
        };
        let is_there = matches!(membership.as_deref(), Some("join" | "invite"));
        if !is_there {
            self.memory.note_asked_in_vain(room_id, owner, now);
        }
        Ok(is_there)
    }
}
