//! Rooms as they are remembered: what was done in each, which chat it mirrors, and with whom it is shared.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wxgate_contract::{ChatRef, FarError, Note};

use super::Memory;
use crate::share::Sharing;

/// A room that mirrors a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) room_id: String,
    pub(crate) chat: ChatRef,
    pub(crate) is_direct: bool,
    /// Name and topic as last set.
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) topic: String,
    /// People without an account of their own may speak here through the account.
    #[serde(default)]
    pub(crate) relay: bool,
    /// Somebody made it and handed it over: its name, picture and powers are their affair.
    #[serde(default)]
    pub(crate) is_handed_over: bool,
    /// The owner left by hand; what is said next invites them again.
    #[serde(default)]
    pub(crate) owner_left: bool,
    /// The owner was brought in as a puppet.
    #[serde(default)]
    pub(crate) puppet_in: bool,
    /// It stands in the owner's list of direct chats.
    #[serde(default)]
    pub(crate) listed: bool,
    /// The space that it was put into.
    #[serde(default)]
    pub(crate) space: String,
    /// Who stands above all power levels here and must not be listed in them: its creators, where the room's own
    /// version has it so. `None` until that was asked for.
    #[serde(default)]
    pub(crate) above: Option<Vec<String>>,
    /// Hash of what its state says about the chat, as last set; `None` for rooms from before that was remembered.
    #[serde(default)]
    pub(crate) bridged: Option<String>,
    /// When it began to mirror the chat, in milliseconds; 0 for a room that never did anything else.
    #[serde(default)]
    pub(crate) since: i64,
    /// Hashes of power levels, members and picture as last set.
    #[serde(default)]
    pub(crate) powers: String,
    #[serde(default)]
    pub(crate) members: String,
    #[serde(default)]
    pub(crate) avatar: String,
    /// Which sharing it belongs to; empty for a room of one account alone.
    #[serde(default)]
    pub(crate) shared: String,
    /// Another chat leads the sharing.
    #[serde(default)]
    pub(crate) is_guest: bool,
}

impl Room {
    /// A room as it was just made.
    pub(crate) fn new(room_id: String, chat: ChatRef, is_direct: bool, name: String, topic: String) -> Self {
        let nothing = String::new;
        Self {
            room_id,
            chat,
            is_direct,
            name,
            topic,
            relay: false,
            is_handed_over: false,
            owner_left: false,
            puppet_in: false,
            listed: false,
            space: nothing(),
            above: None,
            bridged: Some(nothing()),
            since: 0,
            powers: nothing(),
            members: nothing(),
            avatar: nothing(),
            shared: nothing(),
            is_guest: false,
        }
    }
}

impl Room {
    /// True for those who stand above its power levels.
    pub(crate) fn is_above(&self, user_id: &str) -> bool {
        self.above.iter().flatten().any(|above| above == user_id)
    }

    /// The same chat in another room, in which nothing was done yet.
    pub(crate) fn moved_to(&self, room_id: &str) -> Self {
        let (name, topic) = (String::new(), String::new());
        let new = Self::new(room_id.to_owned(), self.chat.clone(), self.is_direct, name, topic);
        let since = if self.is_guest { self.since } else { 0 };
        Self { relay: self.relay, shared: self.shared.clone(), is_guest: self.is_guest, since, ..new }
    }
}

/// Why a room and a chat cannot be each other's.
pub(crate) enum Taken {
    /// The chat has this room.
    ChatHas(Arc<Room>),
    /// The room mirrors a chat.
    RoomHas,
}

impl Memory {
    /// Changes what is remembered of a room, unless the chat has another one by now.
    pub(crate) async fn update_room(
        &self,
        chat: &ChatRef,
        room_id: &str,
        change: impl FnOnce(&mut Room),
    ) -> Result<(), FarError> {
        let _turn = self.room_notes.lock().await;
        let Some(room) = self.room_of(chat).await?.filter(|room| room.room_id == room_id) else {
            return Ok(());
        };
        let mut new = (*room).clone();
        change(&mut new);
        if new != *room {
            self.opened(new).await?;
        }
        Ok(())
    }

    /// A room was made for a chat; gives the one that the chat has, which is another one if it got that meanwhile.
    pub(crate) async fn made(&self, room: Room) -> Result<Arc<Room>, FarError> {
        let _turn = self.room_notes.lock().await;
        match self.room_of(&room.chat).await? {
            Some(known) if known.room_id != room.room_id => Ok(known),
            _ => self.opened(room).await,
        }
    }

    /// Somebody hands a room over to a chat; what keeps them from being each other's when something does.
    pub(crate) async fn handed_over(&self, room: Room) -> Result<Result<Arc<Room>, Taken>, FarError> {
        let _turn = self.room_notes.lock().await;
        if let Some(known) = self.room_of(&room.chat).await? {
            return Ok(Err(Taken::ChatHas(known)));
        }
        if self.chats.get(self, &room.room_id).await?.is_some() {
            return Ok(Err(Taken::RoomHas));
        }
        Ok(Ok(self.opened(room).await?))
    }

    /// A chat got a room: both directions in one commit.
    async fn opened(&self, room: Room) -> Result<Arc<Room>, FarError> {
        let lane = room.chat.mirrored_on(&self.network).chat;
        let mut notes = vec![self.rooms.note(lane.as_str(), &room)];
        // The room leads to the chat that leads.
        if !room.is_guest {
            notes.push(self.chats.note(&room.room_id, &room.chat));
        }
        self.save(notes).await?;
        if !room.is_guest {
            self.chats.keep(&room.room_id, room.chat.clone());
        }
        Ok(self.rooms.keep(lane.as_str(), room))
    }

    /// With whom a room is shared.
    pub(crate) async fn sharing_of(&self, room: &Room) -> Result<Option<Arc<Sharing>>, FarError> {
        match room.shared.as_str() {
            "" => Ok(None),
            key => self.sharings.get(self, key).await,
        }
    }

    /// A guest's chat shares a room from now on: all in one commit. False when by now the room is another one, or is
    /// shared with others than `before`.
    pub(crate) async fn begin_sharing(
        &self,
        lead: &Room,
        (before, sharing): (Option<&Sharing>, &Sharing),
        guest: Room,
        mut notes: Vec<Note>,
    ) -> Result<bool, FarError> {
        let _turn = self.room_notes.lock().await;
        let Some(room) = self.room_of(&lead.chat).await?.filter(|room| room.room_id == lead.room_id) else {
            return Ok(false);
        };
        if self.sharing_of(&room).await?.as_deref() != before || room.is_guest {
            return Ok(false);
        }
        let room = Room { shared: sharing.key.clone(), ..(*room).clone() };
        let lane = |room: &Room| room.chat.mirrored_on(&self.network).chat;
        let (leads, guests) = (lane(&room), lane(&guest));
        notes.push(self.sharings.note(&sharing.key, sharing));
        notes.push(self.leads.note(leads.as_str(), &sharing.key));
        notes.push(self.rooms.note(leads.as_str(), &room));
        notes.push(self.rooms.note(guests.as_str(), &guest));
        self.save(notes).await?;
        self.sharings.keep(&sharing.key, sharing.clone());
        self.leads.keep(leads.as_str(), sharing.key.clone());
        self.rooms.keep(leads.as_str(), room);
        self.rooms.keep(guests.as_str(), guest);
        Ok(true)
    }

    /// A chat shares its room no longer; when it led, the next one leads: all in one commit. Gives the room that it had
    /// and who leads now; `None` when it shares none, or nobody else is left in it.
    pub(crate) async fn end_sharing(&self, chat: &ChatRef) -> Result<Option<(Arc<Room>, ChatRef)>, FarError> {
        let _turn = self.room_notes.lock().await;
        let Some(room) = self.room_of(chat).await? else { return Ok(None) };
        let Some(sharing) = self.sharing_of(&room).await? else { return Ok(None) };
        let rest = Sharing {
            key: sharing.key.clone(),
            chats: sharing.chats.iter().filter(|other| *other != chat).cloned().collect(),
        };
        let Some(next) = rest.chats.first().cloned() else { return Ok(None) };
        let lane = room.chat.mirrored_on(&self.network).chat;
        let gone = |key| Note { key, value: None, is_secret: false };
        let mut notes = vec![self.sharings.note(&rest.key, &rest), gone(self.rooms.key(lane.as_str()))];
        let heir = if room.is_guest { None } else { self.room_of(&next).await? };
        // Powers as nobody has them, so that they are set anew.
        let heir = heir.map(|heir| Room { is_guest: false, powers: "-".to_owned(), ..(*heir).clone() });
        if let Some(heir) = &heir {
            let heirs = heir.chat.mirrored_on(&self.network).chat;
            notes.push(gone(self.leads.key(lane.as_str())));
            notes.push(self.leads.note(heirs.as_str(), &rest.key));
            notes.push(self.rooms.note(heirs.as_str(), heir));
            notes.push(self.chats.note(&heir.room_id, &heir.chat));
        }
        self.save(notes).await?;
        self.rooms.recent().remove(lane.as_str());
        if let Some(heir) = heir {
            let heirs = heir.chat.mirrored_on(&self.network).chat;
            self.leads.recent().remove(lane.as_str());
            self.leads.keep(heirs.as_str(), rest.key.clone());
            self.chats.keep(&heir.room_id, heir.chat.clone());
            self.rooms.keep(heirs.as_str(), heir);
        }
        self.sharings.keep(&rest.key.clone(), rest);
        Ok(Some((room, next)))
    }

    /// A room mirrors its chat no longer: both directions in one commit.
    pub(crate) async fn closed(&self, chat: &ChatRef, room_id: &str) -> Result<(), FarError> {
        let lane = chat.mirrored_on(&self.network).chat;
        let gone = |key| Note { key, value: None, is_secret: false };
        let keys = [self.rooms.key(lane.as_str()), self.chats.key(room_id)];
        self.save(keys.map(gone).into()).await?;
        self.rooms.recent().remove(lane.as_str());
        self.chats.recent().remove(room_id);
        Ok(())
    }

    /// The room of a chat.
    pub(crate) async fn room_of(&self, chat: &ChatRef) -> Result<Option<Arc<Room>>, FarError> {
        self.rooms.get(self, chat.mirrored_on(&self.network).chat.as_str()).await
    }
}
