//! What was said is taken back: gone, or marked where its owner wants to keep it or nobody of ours may take it away.

use serde_json::Value;
use wxgate_contract::{ChatRef, RemoteId};

use crate::api::event::{GetEvent, Redact};
use crate::choices::Recalls;
use crate::client::{Actor, CallError};
use crate::memory::Room;
use crate::names::Who;
use crate::puppet::is_marked;
use crate::share::event_of;
use crate::shared::Shared;
use crate::speak::{Speaker, derived_txn_id};
use crate::status::reply;
use crate::trouble::Trouble;

/// What became of an event.
enum TakenBack {
    /// The redaction.
    By(String),
    /// It is not there any more, or stands in a room that was lost: nothing is left to take back.
    Gone,
    /// Nobody of ours may.
    Stays,
}

impl Shared {
    pub(super) async fn recall(
        &self,
        chat: &ChatRef,
        remote_ids: &[RemoteId],
    ) -> Result<Vec<RemoteId>, Trouble> {
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(Vec::new()) };
        if self.keeps_recalled(&room).await? {
            return self.mark_recalled(room, remote_ids.first()).await;
        }
        let (mut redactions, mut stays) = (Vec::with_capacity(remote_ids.len()), None);
        for remote_id in remote_ids {
            match self.redact(&room, event_of(remote_id)).await? {
                TakenBack::By(redaction) => redactions.push(RemoteId::new(redaction)),
                TakenBack::Gone => {}
                TakenBack::Stays => stays = stays.or(Some(remote_id)),
            }
        }
        redactions.extend(self.mark_recalled(room, stays).await?);
        Ok(redactions)
    }

    async fn keeps_recalled(&self, room: &Room) -> Result<bool, Trouble> {
        // In a shared room it is for the one who leads.
        let lead = self.sharing(room).await?.and_then(|sharing| sharing.lead().cloned());
        let network = lead.map_or_else(|| room.chat.network.clone(), |lead| lead.network);
        Ok(self.choices_of_owner(&network).await?.recalls == Recalls::Keep)
    }

    /// Says of something that it was recalled.
    async fn mark_recalled(
        &self,
        room: std::sync::Arc<Room>,
        remote_id: Option<&RemoteId>,
    ) -> Result<Vec<RemoteId>, Trouble> {
        let Some(remote_id) = remote_id else { return Ok(Vec::new()) };
        let what = reply(event_of(remote_id), "This message was recalled.", "recalled");
        let (event_id, _) = self.say(room, &Speaker::Bot, &what).await?;
        Ok(vec![RemoteId::new(event_id)])
    }

    /// Takes an event back: the bot may in the rooms that it made, in others whoever said it.
    async fn redact(&self, room: &Room, event_id: &str) -> Result<TakenBack, Trouble> {
        match self.redact_as(self.bot(), room, event_id).await? {
            TakenBack::Stays => {}
            done => return Ok(done),
        }
        let event = match self.client.call(self.bot(), &GetEvent { room_id: &room.room_id, event_id }).await {
            Ok(event) => event,
            Err(error) if error.is_passing() => return Err(error.into()),
            // The bot is not in the room.
            Err(_) => return Ok(TakenBack::Gone),
        };
        let sender = event.get("sender").and_then(Value::as_str).unwrap_or_default();
        match self.names.who(sender) {
            Who::Bot => Ok(TakenBack::Stays),
            Who::Ghost => {
                let ghost = Actor::As { user_id: sender, device_id: None };
                Ok(self.redact_as(ghost, room, event_id).await?)
            }
            // Nobody's words are taken back in their name but those of whoever recalled them.
            Who::Human => {
                let is_theirs = event.get("content").is_some_and(is_marked)
                    || self.owners.owns(sender, &room.chat.network).await?;
                let puppet = if is_theirs { self.puppet(sender).await? } else { None };
                let Some(puppet) = puppet else { return Ok(TakenBack::Stays) };
                // Before the call: its echo may be here before its answer.
                self.memory.note_taken_back(event_id);
                Ok(self.redact_as(puppet.actor(), room, event_id).await?)
            }
        }
    }

    async fn redact_as(&self, actor: Actor<'_>, room: &Room, event_id: &str) -> Result<TakenBack, CallError> {
        let txn_id = derived_txn_id(&["redact", &room.room_id, event_id]);
        let redaction = Redact { room_id: &room.room_id, event_id, txn_id: &txn_id, reason: "" };
        match self.client.call(actor, &redaction).await {
            Ok(redaction) => Ok(TakenBack::By(redaction.event_id)),
            Err(error) => match error.code() {
                "M_NOT_FOUND" => Ok(TakenBack::Gone),
                "M_FORBIDDEN" => Ok(TakenBack::Stays),
                _ => Err(error),
            },
        }
    }
}
