//! What follows from an event beside the posts: answers of the bot, invitations, refusals.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_contract::Timestamp;

use super::changes::{Change, Told, What};
use super::event::Event;
use crate::api::membership::{Join, Leave};
use crate::chores::Chore;
use crate::client::Actor;
use crate::config::Level;
use crate::names::Who;
use crate::shared::Shared;
use crate::status;
use crate::trouble::Trouble;

/// Effects that may wait, and questions to the bot. Full means that the homeserver waits for its answer to a
/// transaction, which is right.
pub(crate) const EFFECTS: usize = 256;

/// Text that somebody addressed to the bot: in a room that mirrors nothing, or with the prefix. A crash may lose it:
/// whoever asked sees that there is no answer, and a command that was half carried out must not be carried out again by
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addressed {
    pub(crate) room_id: String,
    pub(crate) event_id: String,
    pub(crate) sender: String,
    /// Without the prefix.
    pub(crate) text: String,
    /// It began with the prefix, so it is meant for the bot wherever it was said.
    pub(crate) has_prefix: bool,
    /// What it answers to.
    pub(crate) reply_to: Option<String>,
}

/// Something to do after the commit, which a crash must not lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    /// Somebody changed something about a room.
    Changed(Change),
    /// What its account said to a change: it is not asked again, whatever becomes of the telling.
    Answered { change: Change, told: Told },
    /// Somebody invited the bot.
    Invited { event_id: String, room_id: String, sender: String },
    /// Somebody left a room by hand, or was sent away.
    Left { event_id: String, room_id: String, user_id: String },
    /// A room was replaced by another one.
    Moved {
        event_id: String,
        room_id: String,
        to: String,
        /// Who said so; their homeserver knows the other room.
        #[serde(default)]
        sender: String,
    },
    /// Something that was said cannot be read yet.
    Waiting { room_id: String, event_id: String },
    /// Something that was said does not cross.
    Refusal { room_id: String, event_id: String, why: String },
}

impl Effect {
    /// What follows from a piece of state that a person changed.
    pub(super) fn of_state(shared: &Shared, event: &Event) -> Option<Self> {
        let (event_id, room_id) = (event.event_id.clone(), event.room_id.clone());
        let key = event.state_key.as_deref()?;
        let word = |name: &str| event.content.get(name).and_then(Value::as_str);
        match (event.kind.as_str(), word("membership")) {
            ("m.room.member", Some("invite")) if shared.names.who(key) == Who::Bot => {
                Some(Self::Invited { event_id, room_id, sender: event.sender.clone() })
            }
            ("m.room.member", Some("leave" | "ban")) if shared.names.who(key) == Who::Human => {
                Some(Self::Left { event_id, room_id, user_id: key.to_owned() })
            }
            ("m.room.tombstone", _) => {
                let to = word("replacement_room")?.to_owned();
                Some(Self::Moved { event_id, room_id, to, sender: event.sender.clone() })
            }
            _ => Change::of_state(shared, event),
        }
    }
}

/// What follows from something that is not durable: read marks. Why typing does not cross is told in
/// docs/decisions/0016.
/// Source: client-server API, "m.receipt".
fn receipts(raw: &RawValue, room_id: &str) -> Vec<Chore> {
    let Ok(event) = serde_json::from_str::<Value>(raw.get()) else { return Vec::new() };
    if event.get("type").is_none_or(|kind| kind != "m.receipt") {
        return Vec::new();
    }
    let room_id = event.get("room_id").and_then(Value::as_str).unwrap_or(room_id);
    let mut chores = Vec::new();
    for (event_id, by_kind) in event.get("content").and_then(Value::as_object).into_iter().flatten() {
        // A private receipt is one that nobody else is to see.
        let readers = by_kind.get("m.read").and_then(Value::as_object);
        for (user_id, receipt) in readers.into_iter().flatten() {
            let at = Timestamp(receipt.get("ts").and_then(Value::as_i64).unwrap_or(0));
            let (room_id, user_id, event_id) = (room_id.to_owned(), user_id.clone(), event_id.clone());
            chores.push(Chore::ReadHere { room_id, user_id, event_id, at });
        }
    }
    chores
}

impl Shared {
    /// Read marks of people; those of ghosts and the bot are our own. What names no room is of
    /// `room_id`.
    pub(crate) fn take_receipts(&self, raw: &RawValue, room_id: &str) {
        for chore in receipts(raw, room_id) {
            if matches!(&chore, Chore::ReadHere { user_id, .. } if self.names.who(user_id) == Who::Human) {
                self.chores.add(chore);
            }
        }
    }

    /// Does what follows from an event; gives what is left to do then. Doing it again changes nothing.
    pub(super) async fn follow_up(&self, effect: &Effect) -> Result<Option<Effect>, Trouble> {
        match effect {
            Effect::Changed(change) => return self.ask_for_change(change).await,
            Effect::Answered { change, told } => self.settle_change(change, told).await?,
            Effect::Invited { room_id, sender, .. } => self.invited(room_id, sender).await?,
            Effect::Left { room_id, user_id, .. } => self.left(room_id, user_id).await?,
            Effect::Moved { room_id, to, sender, .. } => self.moved(room_id, to, sender).await?,
            Effect::Waiting { room_id, event_id } => {
                let text =
                    "The key to read this message has not come yet. It is delivered as soon as it comes.";
                self.say_as_bot(room_id, &status::reply(event_id, text, "waiting")).await.map(drop)?;
            }
            Effect::Refusal { room_id, event_id, why } => self.refuse(room_id, event_id, why).await?,
        }
        Ok(None)
    }

    /// False for what changes nothing here: nobody has to remember that it was seen to.
    pub(super) async fn matters(&self, effect: &Effect) -> Result<bool, Trouble> {
        Ok(match effect {
            Effect::Left { room_id, user_id, .. } => match self.chat_for(room_id, user_id).await? {
                Some(chat) => self.owners.owns(user_id, &chat.network).await?,
                None => false,
            },
            // A ghost does not stay where it was brought, whatever the room.
            Effect::Changed(change) if !matches!(change.what, What::Brought(_)) => {
                self.chat_of(&change.room_id).await?.is_some()
            }
            _ => true,
        })
    }

    /// The bot goes where people with permission want it.
    async fn invited(&self, room_id: &str, sender: &str) -> Result<(), Trouble> {
        let bot = Actor::As { user_id: self.names.bot(), device_id: None };
        if self.config.permissions.of(sender) < Level::User {
            self.client.call(bot, &Leave { room_id }).await.map(drop)?;
            return Ok(());
        }
        self.client.call(bot, &Join { room_id }).await.map(drop)?;
        // It may be the one that a chat waits to follow its room to.
        self.follow_into(room_id).await
    }

    /// An owner who leaves a chat's room, or is sent away by others in it, is invited again when the chat says
    /// something: it must not speak to nobody, nor without its owner.
    async fn left(&self, room_id: &str, user_id: &str) -> Result<(), Trouble> {
        let Some(chat) = self.chat_for(room_id, user_id).await? else { return Ok(()) };
        if self.owners.owns(user_id, &chat.network).await? {
            // Also whoever may come in again from now on.
            self.memory.forget_asked_in_vain(room_id, user_id);
            self.memory
                .update_room(&chat, room_id, |room| (room.owner_left, room.puppet_in) = (true, false))
                .await?;
        }
        Ok(())
    }

    /// Says that something does not cross.
    async fn refuse(&self, room_id: &str, event_id: &str, why: &str) -> Result<(), Trouble> {
        if let Some(chat) = self.chat_of(room_id).await?
            && !self.choices_of_owner(&chat.network).await?.gives_notice(self)
        {
            return self.show_refusal(&chat, event_id, why).await;
        }
        let text = format!("Your message was not delivered, because {why}.");
        self.say_as_bot(room_id, &status::reply(event_id, &text, "refusal")).await.map(drop)?;
        Ok(())
    }
}
