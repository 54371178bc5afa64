//! What follows from an event beside the posts: answers of the bot, invitations, refusals.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use wxgate_contract::Stop;

use super::event::Event;
use crate::api::membership::{Join, Leave};
use crate::client::{Actor, CallError};
use crate::config::Level;
use crate::names::Who;
use crate::shared::Shared;
use crate::status;

/// Effects that may wait. Full means that the homeserver waits for its answer, which is right.
pub(crate) const EFFECTS: usize = 256;

/// Text that somebody addressed to the bot: in a room that mirrors nothing, or with the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) room_id: String,
    pub(crate) event_id: String,
    pub(crate) sender: String,
    /// Without the prefix.
    pub(crate) text: String,
    /// What it answers to.
    pub(crate) reply_to: Option<String>,
}

/// Something to do after the commit. Not durable: what is lost in a crash is a question that is
/// asked again, never something said in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Addressed(Addressed),
    /// Somebody invited the bot or a ghost.
    Invited {
        event_id: String,
        room_id: String,
        sender: String,
        invited: String,
    },
    /// Something that was said does not cross.
    Refusal {
        room_id: String,
        event_id: String,
        why: String,
    },
}

impl Effect {
    pub(super) fn event_id(&self) -> Option<&str> {
        match self {
            Self::Addressed(addressed) => Some(&addressed.event_id),
            Self::Invited { event_id, .. } | Self::Refusal { event_id, .. } => Some(event_id),
        }
    }

    /// What follows from a piece of state that a person changed.
    pub(super) fn of_state(shared: &Shared, event: &Event) -> Option<Self> {
        let membership = event.content.get("membership").and_then(Value::as_str);
        let invited = event.state_key.as_deref()?;
        let is_ours = shared.names.who(invited) != Who::Human;
        (event.kind == "m.room.member" && membership == Some("invite") && is_ours).then(|| Self::Invited {
            event_id: event.event_id.clone(),
            room_id: event.room_id.clone(),
            sender: event.sender.clone(),
            invited: invited.to_owned(),
        })
    }
}

/// What follows from something that is not durable (receipts, typing).
pub(super) fn ephemeral(_raw: &RawValue) -> Option<Effect> {
    None
}

/// Does effects, in order, until the end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut effects: mpsc::Receiver<Effect>,
    addressed: mpsc::Sender<Addressed>,
    stop: Stop,
) {
    loop {
        let effect = tokio::select! {
            () = stop.stopping() => return,
            effect = effects.recv() => effect,
        };
        let Some(effect) = effect else { return };
        let done = match effect {
            Effect::Addressed(text) => {
                // The desk is gone only at the end of the run.
                let _ = addressed.send(text).await;
                Ok(())
            }
            Effect::Invited { room_id, sender, invited, .. } => {
                shared.invited(&room_id, &sender, &invited).await
            }
            Effect::Refusal { room_id, event_id, why } => shared.refuse(&room_id, &event_id, &why).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "something that follows from an event could not be done");
        }
    }
}

impl Shared {
    /// The bot goes where people with permission want it.
    async fn invited(&self, room_id: &str, sender: &str, invited: &str) -> Result<(), CallError> {
        let may = self.config.permissions.of(sender) >= Level::User;
        let actor = Actor::As { user_id: invited, device_id: None };
        match may && self.names.who(invited) == Who::Bot {
            true => self.client.call(actor, &Join { room_id }).await.map(drop),
            false => self.client.call(actor, &Leave { room_id }).await.map(drop),
        }
    }

    /// Says that something does not cross.
    async fn refuse(&self, room_id: &str, event_id: &str, why: &str) -> Result<(), CallError> {
        let text = format!("Your message was not delivered, because {why}.");
        self.say_as_bot(room_id, &status::reply(event_id, &text, "refusal")).await.map(drop)
    }
}
