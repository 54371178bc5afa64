//! Deliveries → events. One outcome each; the lane repeats what did not work.

mod render;
mod split;

use std::sync::Arc;

use wxgate_contract::{Author, ChatRef, Delivery, Job, Outcome, PersonRef, RemoteId, Say};

use crate::api::event::Redact;
use crate::api::membership::Invite;
use crate::chores::Chore;
use crate::memory::Room;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, derived_txn_id, txn_id};
use crate::trouble::Trouble;

impl Shared {
    /// Carries out one delivery.
    pub(crate) async fn carry_out(&self, delivery: &Delivery) -> Outcome {
        let Some(chat) = ChatRef::mirrored_by(&delivery.chat) else {
            let why = "the delivery names no chat of an account".to_owned();
            return Outcome::Refused { why };
        };
        let done = match &delivery.job {
            Job::Say(say) => self.deliver(&chat, say, delivery.attempt).await,
            Job::Recall { remote_ids, .. } => self.recall(&chat, remote_ids).await,
            Job::Report(report) => self.report(&chat, report).await.map(|()| Vec::new()),
        };
        match done {
            Ok(remote_ids) => Outcome::Sent { remote_ids },
            Err(trouble) => trouble.outcome(delivery.attempt),
        }
    }

    async fn deliver(&self, chat: &ChatRef, say: &Say, attempt: u32) -> Result<Vec<RemoteId>, Trouble> {
        let mut room = self.room(chat).await?;
        if room.owner_left {
            self.ask_back(&room).await?;
        }
        let speaker = self.speaker(&say.post.author, chat).await?;
        let contents = self.render(chat, say, attempt).await?;
        let mut remote_ids = Vec::with_capacity(contents.len());
        for (n, (kind, content)) in contents.into_iter().enumerate() {
            let txn_id = txn_id(&say.post, &n.to_string());
            let what = Utterance { kind, content, txn_id, at: Some(say.post.at) };
            let (event_id, now) = self.say(room, &speaker, &what).await?;
            room = now;
            remote_ids.push(RemoteId::new(event_id));
        }
        Ok(remote_ids)
    }

    /// Invites an owner who left.
    async fn ask_back(&self, room: &Room) -> Result<(), Trouble> {
        let room_id = room.room_id.as_str();
        if let Some(owner) = self.owners.id_of_owner(&room.chat.network).await? {
            match self.client.call(self.bot(), &Invite { room_id, user_id: &owner }).await {
                Err(error) if error.is_passing() => return Err(error.into()),
                // They are back, or the room is lost, which the send itself will see.
                _ => {}
            }
        }
        self.memory.update_room(&room.chat, room_id, |room| room.owner_left = false).await?;
        self.chores.add(Chore::Room(room.chat.clone()));
        Ok(())
    }

    /// Who says it in the room.
    async fn speaker(&self, author: &Author, chat: &ChatRef) -> Result<Speaker, Trouble> {
        Ok(match author {
            Author::Network | Author::Gateway => Speaker::Bot,
            Author::Owner => {
                let ghost = self.own_ghost(&chat.network).await?;
                match self.puppet_of_owner(&chat.network).await? {
                    Some(puppet) => Speaker::Puppet(puppet, ghost),
                    None => Speaker::Ghost(ghost),
                }
            }
            Author::Person { person, name } => {
                let person = PersonRef { network: chat.network.clone(), person: person.clone() };
                Speaker::Ghost(self.ghost(&person, name).await?)
            }
        })
    }

    /// The bot takes back what was said: it may in each of its rooms.
    async fn recall(&self, chat: &ChatRef, remote_ids: &[RemoteId]) -> Result<Vec<RemoteId>, Trouble> {
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(Vec::new()) };
        let mut redactions = Vec::with_capacity(remote_ids.len());
        for remote_id in remote_ids {
            redactions.extend(self.redact(&room, remote_id.as_str()).await?);
        }
        Ok(redactions)
    }

    async fn redact(&self, room: &Arc<Room>, event_id: &str) -> Result<Option<RemoteId>, Trouble> {
        let txn_id = derived_txn_id(&["redact", &room.room_id, event_id]);
        let redaction = Redact { room_id: &room.room_id, event_id, txn_id: &txn_id, reason: "" };
        match self.client.call(self.bot(), &redaction).await {
            Ok(redaction) => Ok(Some(RemoteId::new(redaction.event_id))),
            // It is not there any more, or stands in a room that was lost: nothing is left to take back.
            Err(error) if matches!(error.code(), "M_NOT_FOUND" | "M_FORBIDDEN") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
