//! Rooms that are replaced by others: the chat follows, at once or when the bot is let in.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wxgate_contract::ChatRef;

use crate::api::membership::JoinVia;
use crate::api::room::GetStateEvent;
use crate::chores::Chore;
use crate::memory::Room;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the notes' keys begin with.
pub(crate) const SHELF: &str = "moves";
/// Notes read at once.
const PAGE: usize = 200;

/// A room is replaced, and its chat has not followed yet. As a note, one for each room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    from: String,
    to: String,
    /// Who said so.
    sender: String,
}

impl Shared {
    /// A chat follows its room to the replacement: now, or once the bot is invited there.
    pub(super) async fn moved(&self, room_id: &str, to: &str, sender: &str) -> Result<(), Trouble> {
        let Some(chat) = self.chat_of(room_id).await? else {
            self.memory.moves.forget(&self.memory, room_id).await?;
            return Ok(());
        };
        // First: the invitation may be on its way.
        let planned = Move { from: room_id.to_owned(), to: to.to_owned(), sender: sender.to_owned() };
        self.memory.moves.put(&self.memory, room_id, planned).await?;
        // Our own homeserver need not know the other room. Source: client-server API, "Room upgrades".
        let via = sender.split_once(':').map_or("", |(_, server)| server);
        match self.client.call(self.bot(), &JoinVia { room_id: to, via }).await {
            Ok(_) => self.follow_to(&chat, room_id, to).await,
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the replacement of a room is closed to the bot; the old room stays in use until it is invited");
                Ok(())
            }
        }
    }

    /// The bot came into a room: chats that wait for that follow.
    pub(super) async fn follow_into(&self, to: &str) -> Result<(), Trouble> {
        for planned in self.planned_moves().await?.iter().filter(|planned| planned.to == to) {
            match self.chat_of(&planned.from).await? {
                Some(chat) => self.follow_to(&chat, &planned.from, to).await?,
                None => self.memory.moves.forget(&self.memory, &planned.from).await?,
            }
        }
        Ok(())
    }

    /// Tries again what did not go well when it was asked for.
    pub(crate) async fn try_moves(&self) -> Result<(), Trouble> {
        for Move { from, to, sender } in self.planned_moves().await? {
            if let Err(error) = self.moved(&from, &to, &sender).await {
                tracing::info!(%error, "a chat cannot follow its room yet");
            }
        }
        Ok(())
    }

    async fn planned_moves(&self) -> Result<Vec<Move>, Trouble> {
        let (prefix, mut after, mut planned) = (format!("{SHELF}/"), None::<String>, Vec::new());
        loop {
            let page = self.memory.page(&prefix, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(planned) };
            after = Some(last.clone());
            planned.extend(page.iter().filter_map(|(_, bytes)| serde_json::from_slice::<Move>(bytes).ok()));
        }
    }

    /// The bot is in both rooms.
    async fn follow_to(&self, chat: &ChatRef, room_id: &str, to: &str) -> Result<(), Trouble> {
        if self.is_replacement(chat, room_id, to).await? {
            let sharing = self.sharing_in(chat, room_id).await?;
            // Whoever handed the first one over made the second one as well.
            let moved = |room: &Room| Room { is_handed_over: room.is_handed_over, ..room.moved_to(to) };
            self.memory.update_room(chat, room_id, |room| *room = moved(room)).await?;
            if let Some(sharing) = sharing {
                self.move_guests(&sharing, to).await?;
            }
            self.chores.add(Chore::Room(chat.clone()));
        } else {
            tracing::warn!(room_id, to, "a room names another one that does not follow it; it stays in use");
        }
        self.memory.moves.forget(&self.memory, room_id).await?;
        Ok(())
    }

    /// Whoever may close a room writes down what replaces it, and could write down somebody else's room. So that
    /// one has to say the same in its creation, which nobody can change, and must mirror no other chat.
    /// Source: client-server API, "m.room.create" (`predecessor`).
    async fn is_replacement(&self, chat: &ChatRef, room_id: &str, to: &str) -> Result<bool, Trouble> {
        if self.chat_of(to).await?.is_some_and(|mirrored| *mirrored != *chat) {
            return Ok(false);
        }
        let question = GetStateEvent { room_id: to, kind: "m.room.create" };
        let created = self.client.call(self.bot(), &question).await?;
        let predecessor = created.content.pointer("/predecessor/room_id").and_then(Value::as_str);
        Ok(predecessor == Some(room_id))
    }
}
