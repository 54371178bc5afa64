//! What the adapter must remember: notes at the far end, and a bounded part of them at hand.
//!
//! Ten thousand ghosts and two thousand rooms stay in the store; here is only what was in use
//! lately. A note is written before the thing is taken for remembered, never the other way round.

mod room;
mod shelf;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wxgate_contract::{Batch, ChatRef, FarEnd, FarError, NetworkId, Note, PersonKey, PersonRef, Timestamp};

use crate::choices::Choices;
use crate::inbound::moves::{self, Move};
use crate::inbound::versions::{self, Versions};
use crate::management::requests::Pending;
use crate::share::{Sharing, Told, Voice};
pub(crate) use room::{Room, Taken};
pub(crate) use shelf::{Recent, Shelf};

/// Notes read at once.
const PAGE: usize = 500;

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

/// The space of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Space {
    pub(crate) room_id: String,
    /// How the account is doing, as last told there.
    #[serde(default)]
    pub(crate) told: String,
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
    /// Rooms whose chats have not followed them to their replacements yet, by room id.
    pub(crate) moves: Shelf<Move>,
    /// Chats that share a room, by the name of the sharing.
    pub(crate) sharings: Shelf<Sharing>,
    /// The sharing that a chat leads, by lane.
    pub(crate) leads: Shelf<String>,
    /// Messages that are shown in shared rooms, by sharing and number.
    pub(crate) told: Shelf<Told>,
    /// Whom shared rooms show for somebody, and the other way round.
    pub(crate) same: Shelf<Voice>,
    pub(crate) behind: Shelf<PersonKey>,
    /// Marks that are known on both sides, as room, user and event.
    marks: Mutex<Recent<()>>,
    /// When somebody was last invited in vain, as room and user.
    in_vain: Mutex<Recent<Timestamp>>,
    /// Events that were taken back in the name of whoever said them.
    taken_back: Mutex<Recent<()>>,
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
            moves: Shelf::new(moves::SHELF),
            sharings: Shelf::new("sharing"),
            leads: Shelf::new("leads"),
            told: Shelf::new("shown"),
            same: Shelf::new("same"),
            behind: Shelf::new("behind"),
            marks: Mutex::new(Recent::default()),
            in_vain: Mutex::new(Recent::default()),
            taken_back: Mutex::new(Recent::default()),
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
    pub(crate) fn note_mark(&self, room_id: &str, user_id: &str, event_id: &str) -> bool {
        let key = format!("{room_id} {user_id} {event_id}");
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = marks.get(&key).is_none();
        marks.put(key, Arc::new(()));
        is_new
    }

    /// An event is taken back in somebody's own name, and will come back to us as if they had done it.
    pub(crate) fn note_taken_back(&self, event_id: &str) {
        let mut taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
        taken_back.put(event_id.to_owned(), Arc::new(()));
    }

    pub(crate) fn has_taken_back(&self, event_id: &str) -> bool {
        self.taken_back.lock().unwrap_or_else(PoisonError::into_inner).get(event_id).is_some()
    }

    /// When somebody was last invited to a room in vain, in this run.
    pub(crate) fn asked_in_vain(&self, room_id: &str, user_id: &str) -> Option<Timestamp> {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        in_vain.get(&format!("{room_id} {user_id}")).map(|at| *at)
    }

    pub(crate) fn note_asked_in_vain(&self, room_id: &str, user_id: &str, at: Timestamp) {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        in_vain.put(format!("{room_id} {user_id}"), Arc::new(at));
    }

    pub(crate) fn forget_asked_in_vain(&self, room_id: &str, user_id: &str) {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        in_vain.remove(&format!("{room_id} {user_id}"));
    }

    pub(crate) fn is_checked(&self, room_id: &str) -> bool {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(room_id).is_some()
    }

    pub(crate) fn note_checked(&self, room_id: &str) {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).put(room_id.to_owned(), Arc::new(()));
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
}
