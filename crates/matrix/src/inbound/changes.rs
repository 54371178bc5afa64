//! What the owner of an account changes about the room of a group: its name, who is in it. It is asked
//! of the account, and what the account refuses is put right again in the room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wxgate_contract::{
    Answer, ChatKind, ChatProfile, ChatRef, Command, CommandError, NetworkId, PersonKey, Reply, Request,
};

use super::effects::Effect;
use super::event::Event;
use crate::api::membership::Leave;
use crate::chores::Chore;
use crate::client::Actor;
use crate::memory::Room;
use crate::names::Who;
use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id, notice};
use crate::trouble::Trouble;

/// A change that somebody made in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) event_id: String,
    pub(crate) room_id: String,
    /// Who made it.
    pub(crate) sender: String,
    pub(crate) what: What,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    Name(String),
    Topic(String),
    /// A ghost was invited.
    Brought(String),
    /// A ghost was removed.
    Removed(String),
}

/// What an account said to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    Done,
    /// Somebody has to agree first.
    Invited,
    /// Why not, as a clause for people.
    Refused(String),
}

impl Change {
    /// The change that a piece of state means, if any.
    pub(super) fn of_state(shared: &Shared, event: &Event) -> Option<Effect> {
        let key = event.state_key.as_deref()?;
        let word = |name: &str| event.content.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_ghost = shared.names.who(key) == Who::Ghost;
        let what = match (event.kind.as_str(), word("membership").as_deref()) {
            ("m.room.name", _) => What::Name(word("name")?),
            ("m.room.topic", _) => What::Topic(word("topic").unwrap_or_default()),
            ("m.room.member", Some("invite")) if is_ghost => What::Brought(key.to_owned()),
            ("m.room.member", Some("leave" | "ban")) if is_ghost => What::Removed(key.to_owned()),
            _ => return None,
        };
        let (event_id, room_id) = (event.event_id.clone(), event.room_id.clone());
        Some(Effect::Changed(Change { event_id, room_id, sender: event.sender.clone(), what }))
    }
}

impl Shared {
    /// Asks a change of the account; what it said is still to be told. `None` where there is nothing to ask.
    pub(super) async fn ask_for_change(&self, change: &Change) -> Result<Option<Effect>, Trouble> {
        let Some(room) = self.room_changed(change).await? else {
            self.decline(change).await?;
            return Ok(None);
        };
        if room.is_handed_over && matches!(change.what, What::Name(_) | What::Topic(_)) {
            return Ok(None);
        }
        let profile = self.directory.chat(&room.chat).await?;
        let is_owner = self.owners.owns(&change.sender, &room.chat.network).await?;
        let asked = match profile.filter(|profile| profile.kind == ChatKind::Group) {
            _ if !is_owner => Err("only the owner of the account can change the group".to_owned()),
            None => Err("this chat is no group".to_owned()),
            Some(profile) => self.request(&room.chat, &profile, &change.what).await?,
        };
        let told = match asked {
            Ok(request) => self.ask_for(&room, request).await,
            Err(why) => Told::Refused(why),
        };
        Ok(Some(Effect::Answered { change: change.clone(), told }))
    }

    /// The room in which something was changed, while it mirrors a chat.
    async fn room_changed(&self, change: &Change) -> Result<Option<Arc<Room>>, Trouble> {
        let Some(chat) = self.chat_for(&change.room_id, &change.sender).await? else { return Ok(None) };
        Ok(self.memory.room_of(&chat).await?.filter(|room| room.room_id == change.room_id))
    }

    /// The account that a change is to be asked of.
    pub(super) async fn account_of(&self, change: &Change) -> Option<NetworkId> {
        let chat = self.chat_for(&change.room_id, &change.sender).await.ok().flatten()?;
        Some(chat.network.clone())
    }

    /// What the account is to be asked, or why it cannot be.
    async fn request(
        &self,
        chat: &ChatRef,
        profile: &ChatProfile,
        what: &What,
    ) -> Result<Result<Request, String>, Trouble> {
        let group = chat.chat.clone();
        Ok(match what {
            What::Name(title) => Ok(Request::Retitle { group, title: title.clone() }),
            What::Topic(_) => Err("WeChat has no way to set an announcement from here".to_owned()),
            What::Brought(user_id) => match self.somebody(user_id, chat).await? {
                Some(person) => {
                    let present = profile.members.as_ref().map_or(0, Vec::len);
                    Ok(Request::Bring { group, people: vec![person], present })
                }
                None => Err("they are nobody of this account".to_owned()),
            },
            What::Removed(user_id) => match self.somebody(user_id, chat).await? {
                Some(person) => Ok(Request::Remove { group, people: vec![person] }),
                None => Err("they are nobody of this account".to_owned()),
            },
        })
    }

    /// Whom of the chat's own account a ghost stands for.
    async fn somebody(&self, user_id: &str, chat: &ChatRef) -> Result<Option<PersonKey>, Trouble> {
        self.person_here(user_id, chat).await
    }

    async fn ask_for(&self, room: &Room, request: Request) -> Told {
        let command = Command::Ask { account: room.chat.network.clone(), request };
        match self.control.run(None, command).await {
            Ok(Reply::Answer(Answer::Invited)) => Told::Invited,
            Ok(Reply::Answer(_)) => Told::Done,
            Ok(_) => Told::Refused("the account gave no answer".to_owned()),
            Err(CommandError::NoSuchAccount(_)) => {
                Told::Refused("the account is not there any more".to_owned())
            }
            Err(error) => Told::Refused(error.to_string()),
        }
    }

    /// Says in the room what the account said to a change, and puts right what it refused.
    pub(super) async fn settle_change(&self, change: &Change, told: &Told) -> Result<(), Trouble> {
        let Some(room) = self.room_changed(change).await? else { return self.decline(change).await };
        let is_refused = matches!(told, Told::Refused(_));
        // What the room shows now; where the chat differs, furnishing puts it right.
        self.memory
            .update_room(&room.chat, &room.room_id, |room| match &change.what {
                What::Name(name) => room.name.clone_from(name),
                What::Topic(topic) => room.topic.clone_from(topic),
                What::Brought(_) | What::Removed(_) if is_refused => room.members.clear(),
                What::Brought(_) | What::Removed(_) => {}
            })
            .await?;
        let text = match told {
            Told::Invited => "They were invited, and have to agree first.".to_owned(),
            Told::Done => return Ok(()),
            Told::Refused(why) => {
                self.decline(change).await?;
                self.chores.add(Chore::Room(room.chat.clone()));
                format!("The group was not changed, because {why}.")
            }
        };
        let txn_id = derived_txn_id(&["change", &change.event_id]);
        let what = Utterance { kind: "m.room.message", content: notice(&text), txn_id, at: None };
        self.say_as_bot(&room.room_id, &what).await.map(drop)?;
        Ok(())
    }

    /// A ghost does not stay where it was invited in vain.
    async fn decline(&self, change: &Change) -> Result<(), Trouble> {
        if let What::Brought(user_id) = &change.what {
            let actor = Actor::As { user_id, device_id: None };
            self.client.call(actor, &Leave { room_id: &change.room_id }).await.map(drop)?;
        }
        Ok(())
    }
}
