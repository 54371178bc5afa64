//! One room per chat, opened when the chat first says something.
//!
//! The alias is made from the chat's lasting key, so an attempt that was cut off leads to the same
//! room. What a room mirrors stands in its creation content, which nobody can change: a room whose
//! note was never written is recognised by it.

use std::sync::Arc;

use serde_json::{Value, json};
use wxgate_contract::{ChatKind, ChatProfile, ChatRef, PersonRef};

use crate::api::membership::{Invite, Join, JoinedMembers};
use crate::api::room::{CreateRoom, DeleteAlias, GetStateEvent, ResolveAlias, StateEvent};
use crate::bridged;
use crate::chores::Chore;
use crate::client::CallError;
use crate::memory::{Ghost, Room};
use crate::powers::digest_of_powers;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What a room mirrors, in its creation content.
const MIRRORS: &str = "wxgate.chat";
/// The state that makes a room encrypted.
pub(crate) const ENCRYPTION: &str = "m.room.encryption";

impl Shared {
    /// The room of a chat, opened when there is none.
    pub(crate) async fn room(&self, chat: &ChatRef) -> Result<Arc<Room>, Trouble> {
        match self.memory.room_of(chat).await? {
            Some(room) => Ok(room),
            None => self.open(chat).await,
        }
    }

    /// Which chat a room mirrors; `None` for rooms that are none of ours.
    pub(crate) async fn chat_of(&self, room_id: &str) -> Result<Option<Arc<ChatRef>>, Trouble> {
        if let Some(chat) = self.memory.chats.get(&self.memory, room_id).await? {
            return Ok(Some(chat));
        }
        if self.memory.is_foreign(room_id) {
            return Ok(None);
        }
        // It may be a room that was made and not written down before the program died.
        let Some(chat) = self.made_for(room_id).await? else {
            self.memory.note_foreign(room_id);
            return Ok(None);
        };
        if self.memory.room_of(&chat).await?.is_some() {
            return Ok(Some(self.memory.chats.put(&self.memory, room_id, chat).await?));
        }
        let profile = self.profile(&chat).await?;
        self.adopt(room_id.to_owned(), &profile, &chat).await?;
        Ok(Some(Arc::new(chat)))
    }

    /// What the creation of a room says that it mirrors, if the bot made it.
    pub(crate) async fn made_for(&self, room_id: &str) -> Result<Option<ChatRef>, Trouble> {
        let question = GetStateEvent { room_id, kind: "m.room.create" };
        let created = match self.client.call(self.bot(), &question).await {
            Ok(created) => created,
            Err(error) if error.is_of_all() => return Err(error.into()),
            // The homeserver cannot read it, or the bot is not in it: it made no room that it left.
            Err(_) => return Ok(None),
        };
        // Anybody could write such content into a room of their own.
        if created.sender != self.names.bot() {
            return Ok(None);
        }
        Ok(created.content.get(MIRRORS).and_then(|chat| serde_json::from_value(chat.clone()).ok()))
    }

    async fn profile(&self, chat: &ChatRef) -> Result<ChatProfile, Trouble> {
        let unknown = || ChatProfile {
            chat: chat.chat.clone(),
            kind: ChatKind::Group,
            title: String::new(),
            topic: String::new(),
            is_owned: false,
            owner: None,
            members: None,
            is_gone: false,
        };
        Ok(self.directory.chat(chat).await?.unwrap_or_else(unknown))
    }

    pub(crate) async fn open(&self, chat: &ChatRef) -> Result<Arc<Room>, Trouble> {
        let profile = self.profile(chat).await?;
        let alias = self.names.alias(chat);
        let partner = self.partner(&profile, chat).await?;
        let request = self.creation(&profile, chat, partner.as_deref(), &alias).await?;
        let room_id = self.make_or_find(&request, &alias).await?;
        if let Some(partner) = &partner {
            // Before the room is written down: nobody would bring them into a room that is known already.
            match self.bring(&room_id, partner).await {
                Err(trouble) if trouble.is_passing() => return Err(trouble),
                // A refusal is looked into when they speak.
                _ => {}
            }
        }
        self.adopt(room_id, &profile, chat).await
    }

    /// Makes a room with an alias, or finds the one that an earlier attempt made.
    pub(crate) async fn make_or_find(&self, request: &CreateRoom, alias: &str) -> Result<String, Trouble> {
        // Twice: an alias may lead to a room that the bot has left.
        for _ in 0..2 {
            match self.client.call(self.bot(), request).await {
                Ok(made) => return Ok(made.room_id),
                Err(error) if error.code() == "M_ROOM_IN_USE" => {
                    if let Some(found) = self.find(alias).await? {
                        return Ok(found);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Trouble::NotYet("the alias of the room leads nowhere".to_owned()))
    }

    async fn adopt(
        &self,
        room_id: String,
        profile: &ChatProfile,
        chat: &ChatRef,
    ) -> Result<Arc<Room>, Trouble> {
        let is_direct = is_direct(profile.kind);
        let lane = chat.mirrored_on(&self.network).chat;
        let leads = self.memory.leads.get(&self.memory, lane.as_str()).await?;
        let shared = leads.map_or_else(String::new, |leads| (*leads).clone());
        let room = Room::new(room_id, chat.clone(), is_direct, room_name(profile), profile.topic.clone());
        let owner = self.owners.id_of_owner(&chat.network).await?;
        let above = self.above_in_new_rooms();
        let levels = self.power_levels(profile, owner.as_deref(), &chat.network, &above);
        let powers = digest_of_powers(&levels);
        let bridged = Some(bridged::digest(&self.bridge_info(profile, chat)));
        // An ordinary account may invite a few times an hour; what is said waits for it in its lane.
        let room = Room { owner_left: !self.names.has_ghosts(), shared, powers, bridged, ..room };
        let room = self.memory.made(room).await?;
        self.chores.add(Chore::Room(chat.clone()));
        Ok(room)
    }

    /// The room that an alias leads to, if the bot is in it; else the alias is taken away, unless the room is only
    /// being made.
    async fn find(&self, alias: &str) -> Result<Option<String>, Trouble> {
        let alias = self.names.full_alias(alias);
        let room_id = match self.client.call(self.bot(), &ResolveAlias { alias: &alias }).await {
            Ok(found) => found.room_id,
            Err(error) if error.code() == "M_NOT_FOUND" => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match self.client.call(self.bot(), &JoinedMembers { room_id: &room_id }).await {
            Ok(_) => Ok(Some(room_id)),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) if self.is_being_made(&room_id).await? => {
                Err(Trouble::NotYet("the homeserver is still making the room".to_owned()))
            }
            Err(_) => {
                self.client.call(self.bot(), &DeleteAlias { alias: &alias }).await?;
                Ok(None)
            }
        }
    }

    /// The ghost of the other side of a private chat.
    async fn partner(&self, profile: &ChatProfile, chat: &ChatRef) -> Result<Option<Arc<Ghost>>, Trouble> {
        if !is_direct(profile.kind) || !self.names.has_ghosts() {
            return Ok(None);
        }
        // A private chat and its person share their key, as far as they share a network.
        let person = PersonRef { network: chat.network.clone(), person: chat.chat.as_str().into() };
        Ok(Some(self.ghost(&person, &profile.title).await?))
    }

    /// Brings a ghost into a room that it was probably invited to, as when the room was made.
    pub(crate) async fn bring(&self, room_id: &str, ghost: &Ghost) -> Result<(), Trouble> {
        match self.client.call(self.as_ghost(ghost), &Join { room_id }).await {
            Ok(_) => {
                self.newcomers.remove(&ghost.user_id);
                Ok(())
            }
            Err(error) if error.code() != "M_FORBIDDEN" => Err(error.into()),
            Err(_) => self.invite_in(room_id, ghost).await,
        }
    }

    /// Brings a ghost into a room that it is probably not in, nor invited to.
    pub(crate) async fn invite_in(&self, room_id: &str, ghost: &Ghost) -> Result<(), Trouble> {
        match self.client.call(self.bot(), &Invite { room_id, user_id: &ghost.user_id }).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            // It is invited, or inside; or the bot is not, which the joining tells as well.
            _ => {}
        }
        self.client.call(self.as_ghost(ghost), &Join { room_id }).await?;
        self.newcomers.remove(&ghost.user_id);
        Ok(())
    }

    /// Forgets a room that is lost to the bot, and opens another one.
    pub(crate) async fn reopen(&self, room: &Room) -> Result<Arc<Room>, Trouble> {
        let lane = room.chat.mirrored_on(&self.network).chat;
        tracing::warn!(lane = %lane, "the room of a chat is lost; it gets another one");
        if let Some(sharing) = self.sharing(room).await? {
            return Box::pin(self.reopen_shared(room, &sharing)).await;
        }
        self.memory.rooms.forget(&self.memory, lane.as_str()).await?;
        self.open(&room.chat).await
    }

    /// True when the bot is in the room.
    pub(crate) async fn is_inside(&self, room_id: &str) -> Result<bool, CallError> {
        match self.client.call(self.bot(), &JoinedMembers { room_id }).await {
            Ok(members) => Ok(members.joined.contains_key(self.names.bot())),
            Err(error) if error.is_passing() => Err(error),
            Err(_) => Ok(false),
        }
    }

    async fn creation(
        &self,
        profile: &ChatProfile,
        chat: &ChatRef,
        partner: Option<&Ghost>,
        alias: &str,
    ) -> Result<CreateRoom, Trouble> {
        let owner = self.owners.id_of_owner(&chat.network).await?;
        let above = self.above_in_new_rooms();
        let name = room_name(profile);
        // One that is over the limit would make the whole request fail, and not as one of those.
        // Source: Synapse 1.163, handlers/room.py, create_room.
        let first = owner.iter().filter(|_| self.names.has_ghosts()).cloned();
        let invite = first.chain(partner.map(|ghost| ghost.user_id.clone())).collect();
        let state =
            |kind, state_key: &str, content| StateEvent { kind, state_key: state_key.to_owned(), content };
        let bridge = self.bridge_info(profile, chat);
        let key = bridged::key(chat);
        let mut initial_state = vec![
            state(bridged::KINDS[0], &key, bridge.clone()),
            state(bridged::KINDS[1], &key, bridge),
            state("m.room.guest_access", "", json!({ "guest_access": "forbidden" })),
        ];
        if self.config.encrypts_from_the_start() {
            initial_state.push(state(ENCRYPTION, "", encryption()));
        }
        if partner.is_some() {
            // So that clients name a private room after the other side and not after the bot too.
            let members = json!({ "service_members": [self.names.bot()] });
            initial_state.push(state("io.element.functional_members", "", members));
        }
        Ok(CreateRoom {
            room_alias_name: Some(alias.to_owned()),
            name,
            topic: profile.topic.clone(),
            visibility: "private",
            preset: "private_chat",
            is_direct: is_direct(profile.kind),
            invite,
            creation_content: json!({ MIRRORS: chat }),
            initial_state,
            power_level_content_override: self.power_levels(profile, owner.as_deref(), &chat.network, &above),
        })
    }
}

/// Its content. When keys are changed is left to what clients take for granted.
/// Source: client-server API, "m.room.encryption".
pub(crate) fn encryption() -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2" })
}

pub(crate) fn is_direct(kind: ChatKind) -> bool {
    match kind {
        ChatKind::Private | ChatKind::Official | ChatKind::System => true,
        ChatKind::Group => false,
    }
}

/// The name of a chat's room; groups without a title are named after some of their members.
pub(crate) fn room_name(profile: &ChatProfile) -> String {
    const SOME: usize = 4;
    if !profile.title.is_empty() {
        return profile.title.clone();
    }
    let members =
        profile.members.iter().flatten().filter(|member| !member.is_self && !member.name.is_empty());
    let names: Vec<&str> = members.take(SOME).map(|member| member.name.as_str()).collect();
    names.join(", ")
}
