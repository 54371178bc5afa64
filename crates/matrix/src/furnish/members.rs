//! Ghosts come and go as the group changes. In large groups they come when they speak: five hundred
//! members must not mean five hundred joins before the first message.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wxgate_contract::{Member, PersonKind, PersonRef};

use crate::api::membership::{JoinedMembers, Leave};
use crate::api::room::SetState;
use crate::client::Actor;
use crate::memory::{Ghost, Room};
use crate::names::{Who, hex};
use crate::shared::Shared;
use crate::trouble::Trouble;

impl Shared {
    /// Compares the room with the group, when the group changed.
    pub(super) async fn follow_members(&self, room: &mut Room, members: &[Member]) -> Result<(), Trouble> {
        let network = &room.chat.network;
        let others = members.iter().filter(|member| !member.is_self);
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
        let ghosts: BTreeSet<&String> =
            there.joined.keys().filter(|user| self.names.who(user) == Who::Ghost && **user != own).collect();
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
                if !is_there {
                    self.bring(&room.room_id, &ghost).await?;
                }
                self.name_in_room(room, &ghost, member).await?;
            }
        }
        room.members = digest;
        Ok(())
    }

    /// Gives a ghost the name that its person has in this group.
    async fn name_in_room(&self, room: &Room, ghost: &Ghost, member: &Member) -> Result<(), Trouble> {
        if member.name.is_empty() {
            return Ok(());
        }
        let name = self.display_name(&member.name, PersonKind::Human);
        if name == ghost.name {
            return Ok(());
        }
        let mut content = json!({ "membership": "join", "displayname": name });
        if !ghost.avatar_url.is_empty() {
            content["avatar_url"] = json!(ghost.avatar_url);
        }
        let kind = "m.room.member";
        let state = SetState { room_id: &room.room_id, kind, state_key: &ghost.user_id, content: &content };
        self.client.call(self.as_ghost(ghost), &state).await?;
        Ok(())
    }
}

fn digest(wanted: &BTreeMap<String, &Member>) -> String {
    let mut text = String::new();
    for (user_id, member) in wanted {
        text.push_str(&format!("{user_id} {}:{}\n", member.name.len(), member.name));
    }
    hex(text.as_bytes())
}
