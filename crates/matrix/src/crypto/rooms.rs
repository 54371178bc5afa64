//! Which rooms are encrypted, by which rules, and who has to be able to read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wxgate_contract::Note;
use wxgate_e2ee::{MachineError, RoomRules};

use crate::api::keys::Members;
use crate::api::room::GetStateEvent;
use crate::client::CallError;
use crate::names::Who;
use crate::rooms::{ENCRYPTION, encryption};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Rooms at hand; beyond it they are asked about anew. Chosen: what is said in one evening.
const AT_HAND: usize = 4096;

/// Times that a room's rules are asked for when they change meanwhile. Chosen.
const ASKED_AGAIN: usize = 4;

/// Who sees what was said, where a room does not tell. Source: client-server API, "m.room.history_visibility".
const VISIBILITY: &str = "shared";

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
    /// When it changed last. An answer to what was asked before is not kept.
    changed: Changed,
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

/// In counts of what happened in any room: of its rules, and of who is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changed {
    rules: u64,
    people: u64,
}

/// Who has to be able to read a room.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// People who are in it.
    pub(super) joined: Vec<String>,
    /// People who were asked in.
    pub(super) invited: Vec<String>,
    /// Everybody in it.
    pub(super) members: usize,
}

impl Readers {
    /// How many people there are.
    pub(super) fn count(&self) -> usize {
        self.joined.len() + self.invited.len()
    }

    /// Who is given the key to what is said now. Where the history is for those who are in, nobody who was only asked
    /// in may read what is said before they come.
    /// Source: client-server API, "m.room.history_visibility": with `joined` members see what is said after they joined.
    pub(super) fn given_keys(&self, rules: &RoomRules) -> Vec<String> {
        let invited = self.invited.iter().filter(|_| !rules.is_for_joined());
        self.joined.iter().chain(invited).cloned().collect()
    }
}

/// What is known about rooms.
#[derive(Default)]
pub(super) struct Rooms {
    // Locked for the length of a lookup.
    known: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_room: HashMap<String, Known>,
    /// Counts what happened, and when all of it was forgotten.
    count: u64,
    forgotten: u64,
}

impl Table {
    fn get(&self, room_id: &str) -> Known {
        self.by_room.get(room_id).cloned().unwrap_or_else(|| self.unknown())
    }

    /// A room of which nothing is known may have changed whenever it was forgotten.
    fn unknown(&self) -> Known {
        Known { changed: Changed { rules: self.forgotten, people: self.forgotten }, ..Known::default() }
    }

    fn room(&mut self, room_id: &str) -> &mut Known {
        if self.by_room.len() >= AT_HAND && !self.by_room.contains_key(room_id) {
            self.by_room.clear();
            self.count += 1;
            self.forgotten = self.count;
        }
        let unknown = self.unknown();
        self.by_room.entry(room_id.to_owned()).or_insert(unknown)
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Rooms {
    fn known(&self) -> MutexGuard<'_, Table> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, room_id: &str) -> Known {
        self.known().get(room_id)
    }

    /// Keeps the rules that were asked for, unless they changed since `asked`; says whether.
    fn note_rules(&self, room_id: &str, asked: Changed, rules: &Option<Arc<RoomRules>>) -> bool {
        let mut known = self.known();
        let room = known.room(room_id);
        let is_new = room.changed.rules == asked.rules;
        if is_new {
            room.rules = Some(rules.clone());
        }
        is_new
    }

    /// Keeps who is in a room, unless somebody came or went since `asked`.
    fn note_readers(&self, room_id: &str, asked: &Known, readers: &Arc<Readers>) {
        let mut known = self.known();
        let room = known.room(room_id);
        if room.changed.people == asked.changed.people {
            room.readers = Some(Arc::clone(readers));
            // Those that came or went meanwhile may or may not be among them.
            room.ghosts_changed = room.ghosts_changed.saturating_sub(asked.ghosts_changed);
        }
    }

    /// Its rules changed, and who may read what was said before.
    pub(super) fn forget(&self, room_id: &str) {
        let mut known = self.known();
        let now = known.next();
        *known.room(room_id) = Known { changed: Changed { rules: now, people: now }, ..Known::default() };
    }

    /// A ghost came or went. Each of a large group comes before it speaks: to ask every time who is in the room
    /// would be a list of all of them for each.
    pub(super) fn ghost_changed(&self, room_id: &str) {
        if let Some(known) = self.known().by_room.get_mut(room_id) {
            known.ghosts_changed += 1;
        }
    }

    pub(super) fn forget_members(&self, room_id: &str) {
        let mut known = self.known();
        let now = known.next();
        let room = known.room(room_id);
        (room.readers, room.changed.people) = (None, now);
    }
}

impl Shared {
    /// True when what is said in a room has to be encrypted.
    pub(crate) async fn seals(&self, room_id: &str) -> Result<bool, Trouble> {
        if let Some(account) = &self.config.account {
            // A room that was only just made is taken for what all of ours are.
            return Ok(account.is_encrypted(room_id).await.unwrap_or(true));
        }
        match self.rules(room_id).await {
            // The bot is not in it, which the send itself will see: nothing is got ready in clear for that.
            Err(Trouble::Call(CallError::Refused { .. })) => Ok(true),
            rules => Ok(rules?.is_some()),
        }
    }

    /// How a room is encrypted; `None` when it is not.
    pub(super) async fn rules(&self, room_id: &str) -> Result<Option<Arc<RoomRules>>, Trouble> {
        if !self.crypto.is_on {
            return Ok(None);
        }
        for _ in 0..ASKED_AGAIN {
            let known = self.crypto.rooms.get(room_id);
            if let Some(rules) = known.rules {
                return Ok(rules);
            }
            let mut rules = self.ask_rules(room_id).await?;
            if rules.is_none() && self.config.encryption_required {
                // A room from before it was required, or one that somebody made.
                self.set_state(room_id, ENCRYPTION, "", encryption()).await?;
                rules = self.ask_rules(room_id).await?;
            }
            // An answer that says "in clear" while somebody encrypts the room must not be believed.
            if self.crypto.rooms.note_rules(room_id, known.changed, &rules) || rules.is_some() {
                return Ok(rules);
            }
        }
        Err(Trouble::Soon("the rules of the room change all the time".to_owned()))
    }

    async fn ask_rules(&self, room_id: &str) -> Result<Option<Arc<RoomRules>>, Trouble> {
        let before = self.noted_encryption(room_id).await?;
        let told = match self.ask_encryption(room_id).await {
            // It was encrypted when the bot was there.
            Err(Trouble::Call(CallError::Refused { .. })) if before.is_some() => None,
            told => told?,
        };
        let rules = |sealed: &Sealed| {
            let rules = RoomRules::new(&sealed.encryption, &sealed.visibility)?;
            let is_strict = self.config.only_signed_devices;
            Ok::<_, MachineError>(Arc::new(if is_strict { rules.for_signed_devices() } else { rules }))
        };
        match (told, before) {
            (Some(told), before) => match (rules(&told), &before) {
                (Ok(good), _) => {
                    if before.is_none_or(|before| {
                        before.encryption != told.encryption || before.visibility != told.visibility
                    }) {
                        self.note_encryption(room_id, &told).await?;
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

    /// What the homeserver says of a room's encryption; `None` when it says that there is none.
    async fn ask_encryption(&self, room_id: &str) -> Result<Option<Sealed>, Trouble> {
        let Some(encryption) = self.state_of(room_id, ENCRYPTION).await? else { return Ok(None) };
        let visibility = self.state_of(room_id, "m.room.history_visibility").await?;
        let visibility = visibility.as_ref().and_then(|state| state.get("history_visibility")?.as_str());
        Ok(Some(Sealed { encryption, visibility: visibility.unwrap_or(VISIBILITY).to_owned() }))
    }

    async fn noted_encryption(&self, room_id: &str) -> Result<Option<Sealed>, Trouble> {
        let noted = self.memory.read(&sealed_key(room_id)).await?;
        Ok(noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    async fn note_encryption(&self, room_id: &str, sealed: &Sealed) -> Result<(), Trouble> {
        // Our own type always has a JSON form.
        let value = Some(serde_json::to_vec(sealed).unwrap_or_default().into());
        Ok(self.memory.save(vec![Note { key: sealed_key(room_id), value, is_secret: false }]).await?)
    }

    /// Encryption was switched on: whoever may not be asked later has said it now.
    pub(super) async fn encryption_began(&self, room_id: &str, encryption: &Value) -> Result<(), Trouble> {
        let is_known = self.noted_encryption(room_id).await?.is_some();
        if is_known || RoomRules::new(encryption, VISIBILITY).is_err() {
            return Ok(());
        }
        let sealed = Sealed { encryption: encryption.clone(), visibility: VISIBILITY.to_owned() };
        self.note_encryption(room_id, &sealed).await
    }

    /// The content of a piece of state, if the room has it.
    async fn state_of(&self, room_id: &str, kind: &str) -> Result<Option<Value>, Trouble> {
        match self.client.call(self.bot(), &GetStateEvent { room_id, kind }).await {
            Ok(state) => Ok(Some(state.content)),
            Err(error) if error.code() == "M_NOT_FOUND" => Ok(None),
            // Whoever may not know whether a room is encrypted says nothing in clear there.
            Err(error) => Err(error.into()),
        }
    }

    /// Who has to be able to read a room. Our own ghosts read nothing.
    pub(super) async fn readers(&self, room_id: &str) -> Result<Arc<Readers>, Trouble> {
        let known = self.crypto.rooms.get(room_id);
        if let Some(readers) = known.readers(self.config.own_devices_up_to) {
            return Ok(readers);
        }
        let told = self.client.call(self.bot(), &Members { room_id }).await?;
        let mut readers = Readers::default();
        for member in told.chunk {
            let people = match member.content.membership.as_str() {
                "join" => &mut readers.joined,
                "invite" => &mut readers.invited,
                _ => continue,
            };
            readers.members += 1;
            if self.names.who(&member.state_key) == Who::Human {
                people.push(member.state_key);
            }
        }
        let readers = Arc::new(readers);
        self.crypto.rooms.note_readers(room_id, &known, &readers);
        Ok(readers)
    }
}

fn sealed_key(room_id: &str) -> String {
    format!("sealed/{}", crate::names::hex(room_id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_again_only_when_ghosts_may_have_crossed_the_line() {
        let with = |members: usize, ghosts_changed: usize| {
            let readers = Some(Arc::new(Readers { members, ..Readers::default() }));
            Known { readers, ghosts_changed, ..Known::default() }.readers(100).is_some()
        };
        assert!(with(3, 0) && with(3, 97) && !with(3, 98));
        assert!(with(100, 0) && !with(100, 1));
        assert!(with(101, 0) && !with(101, 1));
        assert!(with(300, 199) && !with(300, 200));
        assert!(Known::default().readers(100).is_none());
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let rooms = Rooms::default();
        let readers = |members| Arc::new(Readers { members, ..Readers::default() });
        let members = |room_id: &str| rooms.get(room_id).readers.map(|readers| readers.members);
        // Asked, and somebody came before the answer, in a room that nothing was known of.
        let asked = rooms.get("!a");
        rooms.forget_members("!a");
        rooms.note_readers("!a", &asked, &readers(1));
        assert_eq!(members("!a"), None);
        assert!(rooms.note_rules("!a", asked.changed, &None), "its rules are the same");
        rooms.note_readers("!a", &rooms.get("!a"), &readers(2));
        assert_eq!(members("!a"), Some(2));
        // It was encrypted before the answer that it is not.
        let asked = rooms.get("!a");
        rooms.forget("!a");
        assert!(!rooms.note_rules("!a", asked.changed, &None));
        assert!(rooms.get("!a").rules.is_none() && members("!a").is_none());
        // A change in another room is none of this one's; where all was forgotten nobody knows.
        let asked = rooms.get("!a");
        rooms.forget_members("!b");
        rooms.note_readers("!a", &asked, &readers(3));
        assert_eq!(members("!a"), Some(3));
        let asked = rooms.get("!c");
        rooms.forget("!c");
        (0..AT_HAND).for_each(|n| rooms.forget(&n.to_string()));
        rooms.note_readers("!c", &asked, &readers(4));
        assert_eq!(members("!c"), None);
        assert!(rooms.known().by_room.len() <= AT_HAND);
    }
}
