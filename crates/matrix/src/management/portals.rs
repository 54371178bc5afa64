//! Rooms of chats: what their owner can change about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use wxgate_contract::ChatRef;

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::api::event::NewestOf;
use crate::api::membership::{JoinedMembers, Leave};
use crate::api::room::{DeleteAlias, GetState, GetStateEvent};
use crate::bridged::KINDS;
use crate::chores::Chore;
use crate::client::{Actor, CallError};
use crate::config::Level;
use crate::memory::{Room, Taken};
use crate::names::Who;
use crate::powers::above_levels;
use crate::rooms::room_name;
use crate::shared::Shared;

/// What somebody needs to hand a room of theirs over. Source: client-server API, `m.room.power_levels`:
/// the default for changing a room's state.
const MAY_CHANGE_STATE: i64 = 50;

/// Told where a second chat would go into a room.
const MIRRORS_ALREADY: &str = "This room mirrors a chat already; only one fits in.";

/// What bridges wrote into a room that is looked at. Chosen: each writes two, and again when it is renamed.
const BRIDGES: u32 = 50;

impl Shared {
    /// Looks again at names, members and pictures: of one chat, or of all rooms.
    pub(super) async fn sync(&self, question: &Question) -> Result<Answer, No> {
        if question.chat.is_some() {
            self.chores.add(Chore::Room(self.own_chat(question).await?.clone()));
            return Ok(Answer::of("This room is being brought up to date."));
        }
        if question.level >= Level::Admin {
            self.chores.look_through_everything();
            return Ok(Answer::of("All rooms are being brought up to date."));
        }
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        self.refurnish(|account| accounts.iter().any(|view| view.network == *account)).await?;
        Ok(Answer::of("Your rooms are being brought up to date."))
    }

    /// What the room shows, through which account, and who may speak in it.
    pub(super) async fn describe_room(&self, question: &Question) -> Result<Answer, No> {
        let chat = self.own_chat(question).await?;
        let room = self.memory.room_of(chat).await?;
        let name = self.directory.chat(chat).await?.map(|profile| room_name(&profile));
        let answer = Answer::of("This room shows ").strong(name.as_deref().unwrap_or("a chat"));
        let answer = answer.text(" (").code(chat.chat.as_str()).text(") of your account ");
        let answer = answer.strong(chat.network.name());
        let Some(room) = room.filter(|room| room.room_id == question.addressed.room_id) else {
            return Ok(answer.text("; it is an earlier one, and the chat has another room now."));
        };
        Ok(answer.text(match room.relay {
            true => ". Others with permission speak here through it.",
            false => ". Only you speak here through it.",
        }))
    }

    /// Lets others speak through the account, or not.
    pub(super) async fn set_relay(&self, question: &Question, is_on: bool) -> Result<Answer, No> {
        let chat = self.own_chat(question).await?;
        let room_id = &question.addressed.room_id;
        if let Some(room) = self.memory.room_of(chat).await?.filter(|room| room.room_id != *room_id) {
            let answer = Answer::of("This is an earlier room of the chat; its present one is ");
            return Err(No::Because(answer.link(&room.room_id, "here").text(".")));
        }
        if is_on {
            self.refuse_beside_another(room_id).await?;
        }
        self.memory.update_room(chat, room_id, |room| room.relay = is_on).await?;
        Ok(Answer::of(match is_on {
            true => {
                "From now on everybody here with permission speaks through your account, with their name in front."
            }
            false => "From now on only you speak through your account here.",
        }))
    }

    /// Makes a room of somebody's the room of a chat.
    pub(super) async fn bridge(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let asked = &question.addressed;
        if question.chat.is_some() {
            return no(MIRRORS_ALREADY);
        }
        if self.is_private(&asked.room_id).await? {
            return no("Say that in the room that is to mirror the chat, after inviting me there.");
        }
        if !self.may_hand_over(&asked.room_id, &asked.sender).await? {
            return no("Only a moderator of this room can do that.");
        }
        self.refuse_beside_another(&asked.room_id).await?;
        let (_, accounts) = self.accounts_of(&asked.sender).await?;
        let found = self.pick(&accounts, &wish.rest, "bridge").await?;
        self.hand_over(asked.room_id.clone(), found.chat.clone(), &found.name).await?;
        let answer = Answer::of("This room mirrors ").strong(&found.name).text(" from now on.");
        let lacking = self.lacking(&asked.room_id).await?;
        if lacking.is_empty() {
            return Ok(answer);
        }
        let what =
            format!(" Here I lack the power to {}; a moderator can give it to me.", lacking.join(", to "));
        Ok(answer.text(&what))
    }

    /// Two bridges to the same network in one room would repeat each other's people for ever.
    async fn refuse_beside_another(&self, room_id: &str) -> Result<(), No> {
        let question = NewestOf { room_id, kinds: &KINDS, limit: BRIDGES };
        let told = match self.client.call(self.bot(), &question).await {
            Ok(told) => told.chunk,
            Err(error) if error.is_passing() => return Err(error.into()),
            // What cannot be looked at cannot be judged; the echo guard is still there.
            Err(_) => return Ok(()),
        };
        // What was said before something else was said in its place does not hold any more.
        let mut known = BTreeSet::new();
        let place = |event: &Value| (event.get("type").cloned(), event.get("state_key").cloned());
        let now = told.iter().filter(|event| known.insert(format!("{:?}", place(event))));
        let others: Vec<&str> = now.filter_map(|event| other_bridge(event, self.names.bot())).collect();
        let members = self.client.call(self.bot(), &JoinedMembers { room_id }).await?;
        match others.into_iter().find(|bot| members.joined.contains_key(*bot)) {
            Some(bot) => Err(No::Because(
                Answer::of("Another bridge to WeChat is in this room (")
                    .strong(bot)
                    .text("); the two would repeat each other's people for ever. Remove it first."),
            )),
            None => Ok(()),
        }
    }

    /// From now on the room mirrors the chat, which is called `name`, unless one of them got another one meanwhile.
    pub(crate) async fn hand_over(
        &self,
        room_id: String,
        chat: ChatRef,
        name: &str,
    ) -> Result<Arc<Room>, No> {
        let nothing = String::new;
        let room = Room::new(room_id, chat.clone(), false, nothing(), nothing());
        let room = Room { is_handed_over: true, since: self.clock.now().ms(), ..room };
        match self.memory.handed_over(room).await? {
            Ok(room) => {
                self.chores.add(Chore::Room(chat));
                Ok(room)
            }
            Err(Taken::RoomHas) => no(MIRRORS_ALREADY),
            Err(Taken::ChatHas(room)) => {
                let answer = Answer::of("That chat has a room: ").link(&room.room_id, name).text("; say ");
                let how = format!("{} delete-portal", crate::inbound::PREFIX);
                Err(No::Because(answer.code(&how).text(" there first.")))
            }
        }
    }

    /// Whether somebody may hand a room over, and the bot is in it.
    pub(crate) async fn may_hand_over(&self, room_id: &str, user_id: &str) -> Result<bool, CallError> {
        Ok(self.power_of(room_id, user_id).await? >= MAY_CHANGE_STATE)
    }

    /// What the bot, or people of the chat, may not do in a room that somebody hands over.
    /// Source: client-server API, `m.room.power_levels`, for the defaults.
    async fn lacking(&self, room_id: &str) -> Result<Vec<&'static str>, CallError> {
        let power = self.power_of(room_id, self.names.bot()).await?;
        let levels = GetState { room_id, kind: "m.room.power_levels", state_key: "" };
        let levels = self.client.call(self.bot(), &levels).await?;
        let level = |name: &str, otherwise| levels.get(name).and_then(Value::as_i64).unwrap_or(otherwise);
        let of_event = |kind: &str| levels.get("events")?.get(kind)?.as_i64();
        let to_speak = of_event("m.room.message").unwrap_or_else(|| level("events_default", 0));
        let needs = [
            (power < level("invite", 0), "bring people of the chat here"),
            (level("users_default", 0) < to_speak, "let them speak"),
            (power < level("redact", 50), "take back what was recalled"),
        ];
        Ok(needs.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what).collect())
    }

    async fn power_of(&self, room_id: &str, user_id: &str) -> Result<i64, CallError> {
        let created = self.client.call(self.bot(), &GetStateEvent { room_id, kind: "m.room.create" }).await?;
        if above_levels(&created).iter().any(|above| above == user_id) {
            return Ok(i64::MAX);
        }
        let levels = GetState { room_id, kind: "m.room.power_levels", state_key: "" };
        let levels = self.client.call(self.bot(), &levels).await?;
        let of_user = levels.get("users").and_then(|users| users.get(user_id));
        let level = of_user.or_else(|| levels.get("users_default")).and_then(Value::as_i64);
        Ok(level.unwrap_or(0))
    }

    /// Ends what `bridge` began; the room is left as it is.
    pub(super) async fn unbridge(&self, question: &Question) -> Result<Answer, No> {
        let chat = self.own_chat(question).await?.clone();
        let room_id = &question.addressed.room_id;
        // What it mirrors stands in its creation for ever; it would be taken for lost and found again.
        if self.made_for(room_id).await?.is_some() {
            let answer = Answer::of("I made this room for the chat; say ");
            return Err(No::Because(
                answer.code(&format!("{} delete-portal", crate::inbound::PREFIX)).text("."),
            ));
        }
        self.forget_room(&chat, room_id).await?;
        self.clear_bridge(room_id, &chat).await?;
        self.ghosts_leave(room_id).await?;
        Ok(Answer::of(
            "This room mirrors nothing any more. The chat gets another one when something is said in it.",
        ))
    }

    /// Leaves the room of a chat, which gets another one when it is needed.
    pub(super) async fn delete_portal(&self, question: &Question) -> Result<Answer, No> {
        let chat = self.own_chat(question).await?.clone();
        let room_id = &question.addressed.room_id;
        self.forget_room(&chat, room_id).await?;
        let said =
            Answer::of("I leave this room now. The chat gets another one when something is said in it.");
        self.answer(room_id, &question.addressed.event_id, &said).await?;
        self.ghosts_leave(room_id).await?;
        self.client.call(self.bot(), &Leave { room_id }).await?;
        Err(No::Silent)
    }

    /// The alias first: as long as the note stands, nothing opens the chat anew.
    async fn forget_room(&self, chat: &ChatRef, room_id: &str) -> Result<(), No> {
        if let Some(room) = self.memory.room_of(chat).await?.filter(|room| room.room_id == room_id) {
            if room.is_guest {
                let answer = Answer::of("Others share this room; say ");
                return Err(No::Because(
                    answer.code(&format!("{} unshare", crate::inbound::PREFIX)).text("."),
                ));
            }
            self.dissolve_sharing(&room).await?;
        }
        let alias = self.names.full_alias(&self.names.alias(chat));
        match self.client.call(self.bot(), &DeleteAlias { alias: &alias }).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            // A room that somebody handed over has no alias of ours.
            _ => {}
        }
        self.memory.closed(chat, room_id).await?;
        Ok(())
    }

    async fn ghosts_leave(&self, room_id: &str) -> Result<(), CallError> {
        let members = self.client.call(self.bot(), &JoinedMembers { room_id }).await?;
        for user_id in members.joined.keys().filter(|id| self.names.who(id) == Who::Ghost) {
            let actor = Actor::As { user_id, device_id: None };
            self.client.call(actor, &Leave { room_id }).await?;
        }
        Ok(())
    }
}

/// The bot of another bridge to WeChat, out of what it wrote into the room.
/// Source: MSC2346, <https://github.com/matrix-org/matrix-spec-proposals/pull/2346>
fn other_bridge<'a>(event: &'a Value, own: &str) -> Option<&'a str> {
    let content = event.get("content")?;
    let protocol = content.get("protocol")?.get("id")?.as_str()?;
    let bot = content.get("bridgebot")?.as_str()?;
    (protocol.eq_ignore_ascii_case("wechat") && bot != own).then_some(bot)
}
