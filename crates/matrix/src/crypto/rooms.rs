//! Which rooms are encrypted, by which rules, and who has to be able to read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wxgate_contract::Note;
use wxgate_e2ee::RoomRules;

use crate::api::keys::Members;
use crate::api::room::GetStateEvent;
use crate::client::CallError;
use crate::names::Who;
use crate::rooms::{ENCRYPTION, encryption};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Rooms at hand; beyond it they are asked about anew. Chosen: what is said in one evening.
const AT_HAND: usize = 4096;

/// A room that is encrypted is so for good, whatever is said about it later.
/// Source: client-server API, "m.room.encryption": "once encryption has been enabled, it cannot be disabled".
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sealed {
    encryption: Value,
    visibility: String,
}

/// What is known about a room in this run.
#[derive(Clone, Default)]
struct Known {
    /// `Some(None)`: it is not encrypted.
    rules: Option<Option<Arc<RoomRules>>>,
    readers: Option<Arc<Readers>>,
    /// Ghosts that came or went since it was asked who is in it.
    ghosts_changed: usize,
}

impl Known {
    /// Those who were in it last, unless it has to be asked whether they are still so few, or so many.
    fn readers(&self, own_devices_up_to: usize) -> Option<Arc<Readers>> {
        let readers = self.readers.as_ref()?;
        let is_certain = match readers.members <= own_devices_up_to {
            true => readers.members + self.ghosts_changed <= own_devices_up_to,
            false => readers.members.saturating_sub(self.ghosts_changed) > own_devices_up_to,
        };
        is_certain.then(|| Arc::clone(readers))
    }
}

/// Who has to be able to read a room.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// People who are in it, or were invited.
    pub(super) people: Vec<String>,
    /// Everybody in it.
    pub(super) members: usize,
}

/// What is known about rooms.
#[derive(Default)]
pub(super) struct Rooms {
    // Locked for the length of a lookup.
    known: Mutex<HashMap<String, Known>>,
}

impl Rooms {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, room_id: &str) -> Known {
        self.known().get(room_id).cloned().unwrap_or_default()
    }

    fn note(&self, room_id: &str, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        if known.len() >= AT_HAND {
            known.clear();
        }
        change(known.entry(room_id.to_owned()).or_default());
    }

    pub(super) fn forget(&self, room_id: &str) {
        self.known().remove(room_id);
    }

    /// A ghost came or went. Each of a large group comes before it speaks: to ask every time who is in the room
    /// would be a list of all of them for each.
    pub(super) fn ghost_changed(&self, room_id: &str) {
        if let Some(known) = self.known().get_mut(room_id) {
            known.ghosts_changed += 1;
        }
    }

    pub(super) fn forget_members(&self, room_id: &str) {
        if let Some(known) = self.known().get_mut(room_id) {
            known.readers = None;
        }
    }
}

impl Shared {
    /// True when what is said in a room has to be encrypted.
    pub(crate) async fn seals(&self, room_id: &str) -> Result<bool, Trouble> {
        if let Some(account) = &self.config.account {
            // A room that was only just made is taken for what all of ours are.
            return Ok(account.is_encrypted(room_id).await.unwrap_or(true));
        }
        Ok(self.rules(room_id).await?.is_some())
    }

    /// How a room is encrypted; `None` when it is not.
    pub(super) async fn rules(&self, room_id: &str) -> Result<Option<Arc<RoomRules>>, Trouble> {
        if !self.crypto.is_on {
            return Ok(None);
        }
        if let Some(rules) = self.crypto.rooms.get(room_id).rules {
            return Ok(rules);
        }
        let mut rules = self.ask_rules(room_id).await?;
        if rules.is_none() && self.config.encryption_required {
            // A room from before it was required, or one that somebody made.
            self.set_state(room_id, ENCRYPTION, "", encryption()).await?;
            rules = self.ask_rules(room_id).await?;
        }
        self.crypto.rooms.note(room_id, |known| known.rules = Some(rules.clone()));
        Ok(rules)
    }

    async fn ask_rules(&self, room_id: &str) -> Result<Option<Arc<RoomRules>>, Trouble> {
        let note = format!("sealed/{}", crate::names::hex(room_id.as_bytes()));
        let before: Option<Sealed> =
            self.memory.read(&note).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let told = match self.state_of(room_id, ENCRYPTION).await? {
            Some(encryption) => {
                let visibility = self.state_of(room_id, "m.room.history_visibility").await?;
                let visibility =
                    visibility.as_ref().and_then(|state| state.get("history_visibility")?.as_str());
                let visibility = visibility.unwrap_or("shared").to_owned();
                Some(Sealed { encryption, visibility })
            }
            None => None,
        };
        let rules = |sealed: &Sealed| RoomRules::new(&sealed.encryption, &sealed.visibility).map(Arc::new);
        match (told, before) {
            (Some(told), before) => match (rules(&told), &before) {
                (Ok(good), _) => {
                    if before.is_none_or(|before| {
                        before.encryption != told.encryption || before.visibility != told.visibility
                    }) {
                        // Our own type always has a JSON form.
                        let value = Some(serde_json::to_vec(&told).unwrap_or_default().into());
                        self.memory.save(vec![Note { key: note, value, is_secret: false }]).await?;
                    }
                    Ok(Some(good))
                }
                (Err(_), Some(before)) => Ok(Some(rules(before)?)),
                (Err(error), None) => Err(error.into()),
            },
            (None, Some(before)) => Ok(Some(rules(&before)?)),
            (None, None) => Ok(None),
        }
    }

    /// The content of a piece of state, if the room has it.
    async fn state_of(&self, room_id: &str, kind: &str) -> Result<Option<Value>, Trouble> {
        match self.client.call(self.bot(), &GetStateEvent { room_id, kind }).await {
            Ok(state) => Ok(Some(state.content)),
            Err(error) if error.code() == "M_NOT_FOUND" => Ok(None),
            // The bot is not in the room, which the send itself will see.
            Err(CallError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who has to be able to read a room. Our own ghosts read nothing.
    pub(super) async fn readers(&self, room_id: &str) -> Result<Arc<Readers>, Trouble> {
        if let Some(readers) = self.crypto.rooms.get(room_id).readers(self.config.own_devices_up_to) {
            return Ok(readers);
        }
        let before = self.crypto.rooms.get(room_id).ghosts_changed;
        let told = self.client.call(self.bot(), &Members { room_id }).await?;
        let is_in = |membership: &str| matches!(membership, "join" | "invite");
        let inside: Vec<String> = told
            .chunk
            .into_iter()
            .filter(|member| is_in(&member.content.membership))
            .map(|member| member.state_key)
            .collect();
        let members = inside.len();
        let people = inside.into_iter().filter(|user| self.names.who(user) == Who::Human).collect();
        let readers = Arc::new(Readers { people, members });
        self.crypto.rooms.note(room_id, |known| {
            known.readers = Some(Arc::clone(&readers));
            // Those that came or went meanwhile may or may not be among them.
            known.ghosts_changed = known.ghosts_changed.saturating_sub(before);
        });
        Ok(readers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_again_only_when_ghosts_may_have_crossed_the_line() {
        let with = |members: usize, ghosts_changed: usize| {
            let readers = Some(Arc::new(Readers { people: Vec::new(), members }));
            Known { rules: None, readers, ghosts_changed }.readers(100).is_some()
        };
        assert!(with(3, 0) && with(3, 97) && !with(3, 98));
        assert!(with(100, 0) && !with(100, 1));
        assert!(with(101, 0) && !with(101, 1));
        assert!(with(300, 199) && !with(300, 200));
        assert!(Known::default().readers(100).is_none());
    }
}
