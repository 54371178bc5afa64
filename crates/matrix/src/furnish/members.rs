//! Ghosts come and go as the group changes. In large groups they come when they speak: five hundred
//! members must not mean five hundred joins before the first message.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wxgate_contract::{Member, PersonKey, PersonKind, PersonRef};

use crate::api::membership::{Invite, JoinedMembers, Leave};
use crate::api::room::SetState;
use crate::client::{Actor, CallError};
use crate::memory::{Ghost, Room};
use crate::names::{Who, hex};
use crate::share::Voice;
use crate::shared::Shared;
use crate::trouble::Trouble;

impl Shared {
    /// Compares the room with the group, when the group changed.
    pub(super) async fn follow_members(&self, room: &mut Room, members: &[Member]) -> Result<(), Trouble> {
        let network = &room.chat.network;
        let here = self.there_themselves(room).await?;
        let others = members.iter().filter(|member| !member.is_self && !here.contains(&member.person));
        let wanted: BTreeMap<String, &Member> = others
            .map(|member| {
                let person = PersonRef { network: network.clone(), person: member.person.clone() };
                (self.names.user_id(&self.names.ghost(&person)), member)
            })
            .collect();
        let digest = digest(&wanted);
        if digest == room.members {
            return Ok(());
        }
        let there = self.client.call(self.bot(), &JoinedMembers { room_id: &room.room_id }).await?;
        let own =
            self.names.user_id(&self.names.ghost(&PersonRef { network: network.clone(), person: "".into() }));
        // Those of other accounts that share the room are theirs.
        let is_shown = |user: &&String| {
            let is_ours = room.shared.is_empty() || self.names.is_of(user, network);
            self.names.who(user) == Who::Ghost && is_ours && **user != own
        };
        let ghosts: BTreeSet<&String> = there.joined.keys().filter(is_shown).collect();
        for gone in ghosts.iter().filter(|user| !wanted.contains_key(**user)) {
            let actor = Actor::As { user_id: gone, device_id: None };
            self.client.call(actor, &Leave { room_id: &room.room_id }).await?;
        }
        let all_at_once = wanted.len() <= self.config.members_at_once;
        for (user_id, member) in &wanted {
            let is_there = ghosts.contains(user_id);
            if is_there || all_at_once {
                let person = PersonRef { network: network.clone(), person: member.person.clone() };
                let ghost = self.ghost(&person, &member.name).await?;
                if is_there {
                    self.name_in_room(room, &ghost, member).await?;
                } else {
                    self.bring_named(room, &ghost, member).await?;
                }
            }
        }
        room.members = digest;
        Ok(())
    }

    /// Who needs no ghost, because they share the room.
    async fn there_themselves(&self, room: &Room) -> Result<BTreeSet<PersonKey>, Trouble> {
        let mut here = BTreeSet::new();
        if let Some(sharing) = self.sharing(room).await? {
            for chat in &sharing.chats {
                let voice = Voice::Owner(chat.network.clone());
                here.extend(self.person_behind(&sharing, &room.chat.network, &voice).await?);
            }
        }
        Ok(here)
    }

    /// Gives a ghost the name that its person has in this group.
    async fn name_in_room(&self, room: &Room, ghost: &Ghost, member: &Member) -> Result<(), Trouble> {
        let name = self.name_of_member(ghost, member);
        if name != ghost.name {
            self.enter_as(room, ghost, &name).await?;
        }
        Ok(())
    }

    /// Brings a ghost that is not in the room, under its name there: invited, and joined by writing its own
    /// membership, which is two requests and one event less than joining and then changing the name.
    /// Source: the Matrix notes, section 3 ("nickname in one group").
    async fn bring_named(&self, room: &Room, ghost: &Ghost, member: &Member) -> Result<(), Trouble> {
        let (room_id, user_id) = (&room.room_id, &ghost.user_id);
        match self.client.call(self.bot(), &Invite { room_id, user_id }).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            // It was invited before, or has joined meanwhile because it spoke.
            _ => {}
        }
        match self.enter_as(room, ghost, &self.name_of_member(ghost, member)).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Ok(()) => {
                self.newcomers.remove(user_id);
                Ok(())
            }
            Err(_) => {
                self.bring(room_id, ghost).await?;
                self.name_in_room(room, ghost, member).await
            }
        }
    }

    fn name_of_member(&self, ghost: &Ghost, member: &Member) -> String {
        match member.name.as_str() {
            "" => ghost.name.clone(),
            name => self.display_name(name, PersonKind::Human),
        }
    }

    /// Writes a ghost's membership of a room.
    async fn enter_as(&self, room: &Room, ghost: &Ghost, name: &str) -> Result<(), CallError> {
        let mut content = json!({ "membership": "join", "displayname": name });
        if !ghost.avatar_url.is_empty() {
            content["avatar_url"] = json!(ghost.avatar_url);
        }
        let kind = "m.room.member";
        let state = SetState { room_id: &room.room_id, kind, state_key: &ghost.user_id, content: &content };
        self.client.call(self.as_ghost(ghost), &state).await.map(drop)
    }
}

fn digest(wanted: &BTreeMap<String, &Member>) -> String {
    let mut text = String::new();
    for (user_id, member) in wanted {
        text.push_str(&format!("{user_id} {}:{}\n", member.name.len(), member.name));
    }
    hex(text.as_bytes())
}
