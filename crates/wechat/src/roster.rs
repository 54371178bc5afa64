//! Who is who: session names on one side, lasting keys on the other.
//!
//! The roster lives in notes, not in memory: an idle account holds none of it. Notes of a login
//! carry its generation in their key, so that the names of an earlier login never match.
//!
//! | note | what |
//! |---|---|
//! | `u/<generation>/<UserName>` | the lasting key, kind and name of a contact or group |
//! | `m/<generation>/<group key>/<UserName>` | key and name of a member inside a group |
//! | `s/<generation>/<UserName>` | key and name of a member of groups who is no contact |
//! | `k/<lasting key>` | the present session name |

pub(crate) mod bounds;
mod cache;
mod gathered;
pub(crate) mod load;
pub(crate) mod record;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ring::digest;
use serde::{Deserialize, Serialize};
use wechat_proto::UserName;
use wxgate_contract::{Batch, ChatKind, FarEnd, FarError, NetworkId, Note};

use cache::Cache;
use gathered::Gathered;

/// Key of the owner of the account as a person and as a chat partner.
pub(crate) const OWNER: &str = "me";
/// Notes read at once while members of a group are gone through. Chosen: a page of a large group.
const PAGE: usize = 500;

/// What kind of party a session name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[serde(rename = "p")]
    Person,
    #[serde(rename = "o")]
    Official,
    #[serde(rename = "s")]
    System,
    #[serde(rename = "g")]
    Group,
}

impl Kind {
    pub(crate) fn chat(self) -> ChatKind {
        match self {
            Self::Person => ChatKind::Private,
            Self::Official => ChatKind::Official,
            Self::System => ChatKind::System,
            Self::Group => ChatKind::Group,
        }
    }
}

/// What a session name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    #[serde(rename = "k")]
    pub(crate) key: String,
    #[serde(rename = "t")]
    pub(crate) kind: Kind,
    #[serde(rename = "n")]
    pub(crate) name: String,
    /// Our own name inside the group; empty: none.
    #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
    pub(crate) own_alias: String,
    /// For queries about members of the group.
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    pub(crate) room_id: String,
    /// Who it is has to be said by the owner; until then the key is one for the time being.
    #[serde(rename = "q", default, skip_serializing_if = "is_false")]
    pub(crate) is_open: bool,
    /// A group that we left or were removed from, a contact who was deleted.
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    pub(crate) is_gone: bool,
}

impl Named {
    /// Somebody of whom nothing else is known.
    pub(crate) fn new(key: impl Into<String>, kind: Kind, name: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            kind,
            name: name.into(),
            own_alias: String::new(),
            room_id: String::new(),
            is_open: false,
            is_gone: false,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// What a lasting key stands for in the present login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lasting {
    #[serde(rename = "u")]
    pub(crate) user_name: UserName,
    #[serde(rename = "l")]
    pub(crate) generation: u32,
    /// Version of the record, which is the version of its picture too.
    #[serde(rename = "s", default)]
    pub(crate) seq: i64,
}

/// A batch in the making, and what it says about names before it is committed.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) batch: Batch,
    fresh: HashMap<String, Named>,
    removed: Vec<String>,
    gathered: Gathered,
    /// It holds permanent names that say who somebody is or is not, to be taken in once it is committed.
    pub(crate) has_shown: bool,
    /// Tickets of own sends that its posts are the echoes of.
    pub(crate) echoes: Vec<u64>,
    /// Chats with something said in them of which it is not settled who they are.
    pub(crate) open: Vec<String>,
    /// It makes a key for somebody whom the list of contacts did not show.
    pub(crate) has_unlisted: bool,
    /// It changes what was known of contacts and groups: a list that was asked for before is older.
    pub(crate) changes_known: bool,
}

/// What has to be remembered once a draft is committed.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    names: HashMap<String, Named>,
    removed: Vec<String>,
    pub(crate) has_shown: bool,
    pub(crate) echoes: Vec<u64>,
    pub(crate) open: Vec<String>,
    pub(crate) changes_known: bool,
}

impl Draft {
    /// The batch, and what it will mean once it is committed.
    pub(crate) fn split(self) -> (Batch, Fresh) {
        let Self { batch, fresh: names, removed, has_shown, echoes, open, changes_known, .. } = self;
        (batch, Fresh { names, removed, has_shown, echoes, open, changes_known })
    }

    pub(crate) fn put(&mut self, note_key: String, named: Named) {
        self.gathered = Gathered::default();
        self.batch.notes.push(note(note_key.clone(), &named));
        self.fresh.insert(note_key, named);
    }

    /// Removes the notes of members that are not in a complete list any more.
    pub(crate) fn keep_only_members(
        &mut self,
        generation: u32,
        group: &str,
        room: &wechat_proto::Contact,
        before: impl Iterator<Item = String>,
    ) {
        let present: std::collections::HashSet<String> =
            room.member_list.iter().map(|member| member_note(generation, group, &member.user_name)).collect();
        for key in before.filter(|key| !present.contains(key)) {
            self.remove(key);
        }
    }

    pub(crate) fn remove(&mut self, note_key: String) {
        self.gathered = Gathered::default();
        self.fresh.remove(&note_key);
        self.removed.push(note_key.clone());
        self.batch.notes.push(Note { key: note_key, value: None, is_secret: false });
    }
}

/// A plain note of a value.
pub(crate) fn note<T: Serialize>(key: String, value: &T) -> Note {
    // These types are plain data: writing them as JSON cannot fail.
    let value = serde_json::to_vec(value).unwrap_or_default();
    Note { key, value: Some(Bytes::from(value)), is_secret: false }
}

/// The roster of one account.
pub(crate) struct Roster {
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    cache: Cache,
}

impl Roster {
    pub(crate) fn new(far: Arc<dyn FarEnd>, network: NetworkId) -> Self {
        Self { far, network, cache: Cache::default() }
    }

    pub(crate) fn far(&self) -> &dyn FarEnd {
        &*self.far
    }

    /// After a commit that failed the cache may know what the store does not; and an idle account keeps
    /// nothing.
    pub(crate) fn forget(&mut self) {
        self.cache.clear();
    }

    /// What these notes say, as far as they exist: from the draft, the cache, or the store.
    pub(crate) async fn look_up(
        &mut self,
        draft: &Draft,
        mut keys: Vec<String>,
    ) -> Result<HashMap<String, Named>, FarError> {
        let mut found = HashMap::with_capacity(keys.len());
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| {
            let known = draft.fresh.get(key).cloned().or_else(|| self.cache.get(key));
            let is_missing = known.is_none();
            found.extend(known.map(|named| (key.clone(), named)));
            is_missing
        });
        if keys.is_empty() {
            return Ok(found);
        }
        for (key, value) in self.far.notes_of(&self.network, &keys).await? {
            // A note that cannot be read is one that is not there: the name is fetched again.
            let Ok(named) = serde_json::from_slice::<Named>(&value) else { continue };
            self.cache.put(&key, &named);
            found.insert(key, named);
        }
        Ok(found)
    }

    /// The same for many names that are asked for once: the cache is left alone.
    pub(crate) async fn look_up_all(
        &self,
        draft: &Draft,
        keys: Vec<String>,
    ) -> Result<HashMap<String, Named>, FarError> {
        let mut found = HashMap::with_capacity(keys.len());
        for part in keys.chunks(PAGE) {
            let notes = self.far.notes_of(&self.network, part).await?;
            found.extend(
                notes
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?))),
            );
        }
        let drafted = keys.iter().filter_map(|key| Some((key.clone(), draft.fresh.get(key)?.clone())));
        found.extend(drafted);
        Ok(found)
    }

    /// After a commit: what it said replaces what the cache holds; what it removed leaves it.
    pub(crate) fn remember(&mut self, fresh: Fresh) {
        self.cache.put_all(fresh.names);
        for key in fresh.removed {
            self.cache.remove(&key);
        }
    }

    /// What is kept of somebody to know them again, as drafted, else as committed, read as `T`.
    pub(crate) async fn kept<T: serde::de::DeserializeOwned>(
        &self,
        draft: &Draft,
        key: &str,
    ) -> Result<Option<T>, FarError> {
        let value = match draft.batch.notes.iter().rev().find(|note| note.key == key) {
            Some(drafted) => drafted.value.clone(),
            None => self.far.note(&self.network, key).await?,
        };
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// All members of a group by note key, as committed and drafted.
    pub(crate) async fn members(
        &self,
        draft: &Draft,
        generation: u32,
        group: &str,
    ) -> Result<HashMap<String, Named>, FarError> {
        let prefix = member_note(generation, group, &UserName::default());
        let mut found = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, &prefix, after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(key, _)| key.clone());
            found.extend(
                page.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?))),
            );
            if is_last {
                break;
            }
        }
        let drafted = draft.fresh.iter().filter(|(key, _)| key.starts_with(&prefix));
        found.extend(drafted.map(|(key, named)| (key.clone(), named.clone())));
        Ok(found)
    }
}

/// Who a lasting key is in the present login; `None` when the login does not know it.
pub(crate) async fn lasting(
    far: &dyn FarEnd,
    network: &NetworkId,
    key: &str,
    generation: u32,
) -> Result<Option<UserName>, FarError> {
    let value = far.note(network, &lasting_note(key)).await?;
    let lasting = value.and_then(|value| serde_json::from_slice::<Lasting>(&value).ok());
    Ok(lasting.filter(|lasting| lasting.generation == generation).map(|lasting| lasting.user_name))
}

/// Where the notes of contacts and groups begin.
pub(crate) const NAMES: &str = "u/";

pub(crate) fn name_note(generation: u32, user_name: &UserName) -> String {
    format!("{NAMES}{generation:08x}/{user_name}")
}

/// The generation of a note that [`name_note`] named.
pub(crate) fn generation_of(key: &str) -> Option<u32> {
    u32::from_str_radix(key.strip_prefix(NAMES)?.split('/').next()?, 16).ok()
}

pub(crate) fn member_note(generation: u32, group: &str, user_name: &UserName) -> String {
    format!("m/{generation:08x}/{group}/{user_name}")
}

pub(crate) fn stranger_note(generation: u32, user_name: &UserName) -> String {
    format!("s/{generation:08x}/{user_name}")
}

pub(crate) fn lasting_note(key: &str) -> String {
    format!("k/{key}")
}

/// A lasting key for somebody nobody knew before. Opaque, and the same when the same login is
/// loaded twice, so that a load that was cut short makes no second person.
pub(crate) fn new_key(network: &NetworkId, uin: i64, generation: u32, user_name: &UserName) -> String {
    if user_name.survives_login() {
        return user_name.to_string();
    }
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [network.as_str(), &uin.to_string(), &generation.to_string(), user_name.as_str()] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let kind = if user_name.is_room() { "g" } else { "p" };
    format!("{kind}-{}", base32(context.finish().as_ref(), 16))
}

/// Lower-case letters and digits that nobody mixes up, five bits each.
fn base32(bytes: &[u8], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    (0..length)
        .map(|digit| (0..5).fold(0_usize, |value, offset| value * 2 + usize::from(bit(digit * 5 + offset))))
        .filter_map(|value| ALPHABET.get(value).copied().map(char::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_32_a_lasting_key_never_contains_a_session_name() {
        let network = NetworkId::from("wechat:alice");
        let name = UserName::from("@5bac8dd33d9dba96f183886783a79a6f");
        let key = new_key(&network, 1, 1, &name);
        assert_eq!((key.len(), &key[..2]), (18, "p-"));
        assert!(!key.contains("5bac"));
        assert_eq!(key, new_key(&network, 1, 1, &name), "stable within a login");
        assert_ne!(key, new_key(&network, 1, 2, &name), "a new login is a new person until matched");
        assert_eq!(new_key(&network, 1, 1, &UserName::from("filehelper")), "filehelper");
        assert!(new_key(&network, 1, 1, &UserName::from("@@a")).starts_with("g-"));
    }
}
