//! What the adapter must remember: notes at the far end, and a bounded part of them at hand.
//!
//! Ten thousand ghosts and two thousand rooms stay in the store; here is only what was in use
//! lately. A note is written before the thing is taken for remembered, never the other way round.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wxgate_contract::{Batch, ChatRef, FarEnd, FarError, NetworkId, Note, PersonKey, PersonRef};

use crate::choices::Choices;
use crate::inbound::versions::{self, Versions};
use crate::management::requests::Pending;
use crate::names::hex;
use crate::share::{Sharing, Told, Voice};

/// Things of one kind at hand, at most twice this many. Chosen: an entry is a few hundred bytes,
/// and a read from the store costs less than a call to the homeserver.
const AT_HAND: usize = 2048;
/// Notes read at once.
const PAGE: usize = 500;
/// Longest key of a note that is written as it is; the contract allows 512 bytes.
const KEY_BYTES: usize = 400;

/// A ghost that exists on the homeserver; where people have no ids, what is known of their pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ghost {
    /// Whom it stands for; `None` is the owner of an account.
    pub(crate) person: Option<PersonRef>,
    /// Empty where people have no ids.
    pub(crate) user_id: String,
    /// Its display name as last set.
    #[serde(default)]
    pub(crate) name: String,
    /// Where its picture is on the homeserver; empty for none.
    #[serde(default)]
    pub(crate) avatar_url: String,
    /// Which picture that is, as the account names it.
    #[serde(default)]
    pub(crate) avatar: String,
    /// It has a device, so that its transaction ids are remembered.
    #[serde(default)]
    pub(crate) has_device: bool,
}

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
    /// The same chat in another room, in which nothing was done yet.
    pub(crate) fn moved_to(&self, room_id: &str) -> Self {
        let (name, topic) = (String::new(), String::new());
        let new = Self::new(room_id.to_owned(), self.chat.clone(), self.is_direct, name, topic);
        let since = if self.is_guest { self.since } else { 0 };
        Self { relay: self.relay, shared: self.shared.clone(), is_guest: self.is_guest, since, ..new }
    }
}

/// The space of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Space {
    pub(crate) room_id: String,
}

/// Notes of one kind.
pub(crate) struct Shelf<T> {
    prefix: &'static str,
    // Locked for the length of a lookup; many deliveries read side by side.
    recent: Mutex<Recent<T>>,
}

/// Two generations: what is asked for moves to the young one; when that is full, the old one goes.
pub(crate) struct Recent<T> {
    young: HashMap<String, Arc<T>>,
    old: HashMap<String, Arc<T>>,
    /// Counts what was forgotten: what was read before may be of that.
    forgotten: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), forgotten: 0 }
    }
}

impl<T> Recent<T> {
    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<T>> {
        if let Some(found) = self.young.get(key) {
            return Some(Arc::clone(found));
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.put(key, Arc::clone(&found));
        Some(found)
    }

    pub(crate) fn put(&mut self, key: String, value: Arc<T>) {
        if self.young.len() >= AT_HAND {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Has at hand what was read; gives it, or what somebody wrote since. `forgotten` is the count from before.
    fn put_read(&mut self, key: &str, value: Arc<T>, forgotten: u64) -> Arc<T> {
        match self.get(key) {
            Some(newer) => newer,
            None => {
                if self.forgotten == forgotten {
                    self.put(key.to_owned(), Arc::clone(&value));
                }
                value
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.young.remove(key);
        self.old.remove(key);
        self.forgotten += 1;
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.forgotten += 1;
    }
}

impl<T: Serialize + DeserializeOwned> Shelf<T> {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, recent: Mutex::new(Recent::default()) }
    }

    fn recent(&self) -> MutexGuard<'_, Recent<T>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: &str) -> String {
        match key.len() <= KEY_BYTES {
            true => format!("{}/{key}", self.prefix),
            false => format!("{}/#{}", self.prefix, hex(key.as_bytes())),
        }
    }

    /// The thing of that name; `None` when there is none or its note cannot be read any more.
    pub(crate) async fn get(&self, memory: &Memory, key: &str) -> Result<Option<Arc<T>>, FarError> {
        let (found, forgotten) = {
            let mut recent = self.recent();
            (recent.get(key), recent.forgotten)
        };
        if found.is_some() {
            return Ok(found);
        }
        let Some(bytes) = memory.far.note(&memory.network, &self.key(key)).await? else { return Ok(None) };
        match serde_json::from_slice::<T>(&bytes) {
            Ok(value) => Ok(Some(self.recent().put_read(key, Arc::new(value), forgotten))),
            Err(error) => {
                tracing::warn!(%error, kind = self.prefix, "a note cannot be read and is made anew");
                Ok(None)
            }
        }
    }

    /// The note that makes the thing lasting.
    pub(crate) fn note(&self, key: &str, value: &T) -> Note {
        // Our own types always have a JSON form.
        let value = serde_json::to_vec(value).unwrap_or_default();
        Note { key: self.key(key), value: Some(Bytes::from(value)), is_secret: false }
    }

    /// Writes one thing, then has it at hand.
    pub(crate) async fn put(&self, memory: &Memory, key: &str, value: T) -> Result<Arc<T>, FarError> {
        memory.save(vec![self.note(key, &value)]).await?;
        Ok(self.keep(key, value))
    }

    /// Has at hand what was just written.
    pub(crate) fn keep(&self, key: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.recent().put(key.to_owned(), Arc::clone(&value));
        value
    }

    fn look_again(&self) {
        self.recent().clear();
    }

    /// Forgets one thing for good.
    pub(crate) async fn forget(&self, memory: &Memory, key: &str) -> Result<(), FarError> {
        memory.save(vec![Note { key: self.key(key), value: None, is_secret: false }]).await?;
        self.recent().remove(key);
        Ok(())
    }
}

/// All that is remembered.
pub(crate) struct Memory {
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    /// By localpart.
    pub(crate) ghosts: Shelf<Ghost>,
    /// By lane.
    pub(crate) rooms: Shelf<Room>,
    /// Chats by room id: also of rooms that were replaced.
    pub(crate) chats: Shelf<ChatRef>,
    /// By account.
    pub(crate) spaces: Shelf<Space>,
    /// Private chats with the bot, by user id.
    pub(crate) desks: Shelf<String>,
    /// Friend requests that wait for an answer, by the number of their post.
    pub(crate) requests: Shelf<Pending>,
    /// What people chose about their rooms, by user id.
    pub(crate) choices: Shelf<Choices>,
    /// Addresses of pictures by the hash of their bytes.
    pub(crate) pictures: Shelf<String>,
    /// Edits that took a message's place, by the event that said it first.
    pub(crate) versions: Shelf<Versions>,
    /// Chats that share a room, by the name of the sharing.
    pub(crate) sharings: Shelf<Sharing>,
    /// The sharing that a chat leads, by lane.
    pub(crate) leads: Shelf<String>,
    /// Messages that are shown in shared rooms, by sharing and number.
    pub(crate) told: Shelf<Told>,
    /// Whom shared rooms show for somebody, and the other way round.
    pub(crate) same: Shelf<Voice>,
    pub(crate) behind: Shelf<PersonKey>,
    /// Marks that are known on both sides, as room and event.
    marks: Mutex<Recent<()>>,
    /// Rooms that were seen to be well in this run.
    checked: Mutex<Recent<()>>,
    // Held over a read and a write of one room's note: two parts of the run change different
    // things of the same room, and neither may undo the other.
    room_notes: tokio::sync::Mutex<()>,
    /// Rooms that mirror nothing, management rooms above all.
    foreign: Mutex<Recent<()>>,
    /// Accounts as they were when it was last looked for what those that are gone left behind.
    accounts: Mutex<Option<HashSet<NetworkId>>>,
    /// Addresses of files that were uploaded: a send that is repeated uploads nothing again. What is
    /// forgotten over a restart costs one more upload.
    uploads: Mutex<Recent<String>>,
}

impl Memory {
    pub(crate) fn new(far: Arc<dyn FarEnd>, network: NetworkId) -> Self {
        Self {
            far,
            network,
            ghosts: Shelf::new("ghost"),
            rooms: Shelf::new("room"),
            chats: Shelf::new("chat"),
            spaces: Shelf::new("space"),
            desks: Shelf::new("desk"),
            requests: Shelf::new("request"),
            choices: Shelf::new("choices"),
            pictures: Shelf::new("picture"),
            versions: Shelf::new(versions::SHELF),
            sharings: Shelf::new("sharing"),
            leads: Shelf::new("leads"),
            told: Shelf::new("shown"),
            same: Shelf::new("same"),
            behind: Shelf::new("behind"),
            marks: Mutex::new(Recent::default()),
            checked: Mutex::new(Recent::default()),
            room_notes: tokio::sync::Mutex::new(()),
            foreign: Mutex::new(Recent::default()),
            accounts: Mutex::default(),
            uploads: Mutex::new(Recent::default()),
        }
    }

    /// Forgets the notes that begin with `prefix` and of which `is_gone` says so, by the rest of the key and the
    /// value; gives how many.
    pub(crate) async fn forget_where(
        &self,
        prefix: &str,
        is_gone: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<usize, FarError> {
        let (mut after, mut forgotten) = (None::<String>, 0);
        loop {
            let page = self.page(prefix, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(forgotten) };
            after = Some(last.clone());
            let gone: Vec<Note> = page
                .into_iter()
                .filter(|(key, bytes)| is_gone(key.strip_prefix(prefix).unwrap_or(key), bytes))
                .map(|(key, _)| Note { key, value: None, is_secret: false })
                .collect();
            forgotten += gone.len();
            if !gone.is_empty() {
                self.save(gone).await?;
            }
        }
    }

    /// Whether an account of the last look is not among these; true before the first look of a run.
    pub(crate) fn has_lost(&self, accounts: &HashSet<NetworkId>) -> bool {
        let mut known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut() {
            Some(known) if known.is_subset(accounts) => {
                known.extend(accounts.iter().cloned());
                false
            }
            _ => true,
        }
    }

    /// What the accounts that are gone left behind is forgotten.
    pub(crate) fn note_accounts(&self, accounts: HashSet<NetworkId>) {
        *self.accounts.lock().unwrap_or_else(PoisonError::into_inner) = Some(accounts);
    }

    /// Has nothing at hand any more of what was forgotten in the store.
    pub(crate) fn look_again(&self) {
        self.ghosts.look_again();
        self.requests.look_again();
        self.chats.look_again();
        self.rooms.look_again();
        self.spaces.look_again();
    }

    /// True when the room was found to mirror nothing.
    pub(crate) fn is_foreign(&self, room_id: &str) -> bool {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).get(room_id).is_some()
    }

    pub(crate) fn note_foreign(&self, room_id: &str) {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).put(room_id.to_owned(), Arc::new(()));
    }

    /// False when the mark was known.
    pub(crate) fn note_mark(&self, room_id: &str, event_id: &str) -> bool {
        let key = format!("{room_id} {event_id}");
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = marks.get(&key).is_none();
        marks.put(key, Arc::new(()));
        is_new
    }

    pub(crate) fn is_checked(&self, room_id: &str) -> bool {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(room_id).is_some()
    }

    pub(crate) fn note_checked(&self, room_id: &str) {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).put(room_id.to_owned(), Arc::new(()));
    }

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

    /// Where a file was uploaded to.
    pub(crate) fn uploaded(&self, media: &str) -> Option<String> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get(media).map(|url| (*url).clone())
    }

    pub(crate) fn note_upload(&self, media: &str, url: &str) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.put(media.to_owned(), Arc::new(url.to_owned()));
    }

    pub(crate) async fn save(&self, notes: Vec<Note>) -> Result<(), FarError> {
        self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await.map(drop)
    }

    /// Notes whose keys begin with a prefix, in the order of their keys.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, FarError> {
        self.far.notes(&self.network, prefix, after, limit).await
    }

    /// A single note.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Bytes>, FarError> {
        self.far.note(&self.network, key).await
    }

    /// A chat got a room: both directions in one commit.
    pub(crate) async fn opened(&self, room: Room) -> Result<Arc<Room>, FarError> {
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

    /// A guest's chat shares a room from now on: all in one commit. False when the room is another one by now.
    pub(crate) async fn begin_sharing(
        &self,
        lead: &Room,
        sharing: &Sharing,
        guest: Room,
        mut notes: Vec<Note>,
    ) -> Result<bool, FarError> {
        let _turn = self.room_notes.lock().await;
        let Some(room) = self.room_of(&lead.chat).await?.filter(|room| room.room_id == lead.room_id) else {
            return Ok(false);
        };
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

    /// A chat shares its room no longer; when it led, `next` leads: all in one commit.
    pub(crate) async fn end_sharing(
        &self,
        room: &Room,
        rest: Sharing,
        next: Option<&ChatRef>,
    ) -> Result<(), FarError> {
        let _turn = self.room_notes.lock().await;
        let lane = room.chat.mirrored_on(&self.network).chat;
        let gone = |key| Note { key, value: None, is_secret: false };
        let mut notes = vec![self.sharings.note(&rest.key, &rest), gone(self.rooms.key(lane.as_str()))];
        let heir = match next {
            Some(next) => self.room_of(next).await?,
            None => None,
        };
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
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_hand_is_bounded_and_what_is_used_stays() {
        let mut recent = Recent::default();
        recent.put("kept".to_owned(), Arc::new(0));
        for n in 0..10 * AT_HAND {
            recent.put(n.to_string(), Arc::new(n));
            recent.get("kept");
        }
        assert!(recent.young.len() + recent.old.len() <= 2 * AT_HAND);
        assert_eq!(recent.get("kept").as_deref(), Some(&0));
        assert_eq!(recent.get("0"), None);
    }

    #[test]
    fn what_was_read_takes_the_place_of_nothing_that_was_written_since() {
        let mut recent = Recent::default();
        assert_eq!(*recent.put_read("a", Arc::new("read"), 0), "read");
        recent.put("b".to_owned(), Arc::new("written"));
        assert_eq!(*recent.put_read("b", Arc::new("read before"), 0), "written");
        // It was forgotten between the read and now.
        recent.remove("c");
        assert_eq!(*recent.put_read("c", Arc::new("read before"), 0), "read before");
        assert_eq!((recent.get("c"), recent.get("b").as_deref()), (None, Some(&"written")));
    }
}
