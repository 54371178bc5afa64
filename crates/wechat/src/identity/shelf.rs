//! What is known of people and groups, as notes: read as a whole at a sign-in and at an answer of
//! the owner, one by one otherwise, and never held.
//!
//! | note | what |
//! |---|---|
//! | `who/head` | whose profiles these are, and how many logins were matched |
//! | `who/p/<lasting key>` | a person or an official account, as last seen |
//! | `who/g/<lasting key>` | a group with its members, as last seen |
//! | `who/proof/<code>` | the lasting key of whoever has this permanent name |
//! | `who/shown/<code>/<lasting key>` | the login in which a message showed this permanent name of them, and who they were in it; not taken in yet |
//! | `who/moved/<lasting key>` | to whom what was said to somebody for the time being was ever moved, in order |
//!
//! The head is written last: profiles of a login that was cut short are matched once more, with
//! the same result.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wechat_proto::UserName;
use wxgate_contract::{FarEnd, FarError, NetworkId, Note};
use wxgate_identity::{Book, GroupProfile, Profile};

use crate::roster::note;

const HEAD: &str = "who/head";
const PEOPLE: &str = "who/p/";
const GROUPS: &str = "who/g/";
const PROOFS: &str = "who/proof/";
const SHOWN: &str = "who/shown/";
/// Where permanent names stood when those inside of media counted too: none of them proves anything.
pub(crate) const UNPROVEN: &str = "who/n/";
/// Notes read at once. Chosen: some hundred kilobytes.
const PAGE: usize = 500;

#[derive(Serialize, Deserialize, Default)]
struct Head {
    uin: i64,
    login: u32,
    versions_since: u32,
}

pub(crate) fn person_note(profile: &Profile) -> Note {
    note(format!("{PEOPLE}{}", profile.id), profile)
}

pub(crate) fn group_note(profile: &GroupProfile) -> Note {
    note(format!("{GROUPS}{}", profile.id), profile)
}

pub(crate) fn person_key(key: &str) -> String {
    format!("{PEOPLE}{key}")
}

pub(crate) fn group_key(key: &str) -> String {
    format!("{GROUPS}{key}")
}

/// Where the key of whoever has a permanent name is written.
pub(crate) fn permanent_key(code: u64) -> String {
    format!("{PROOFS}{code:016x}")
}

/// A permanent name that a message showed of a chat, from the commit of that message until it is taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) chat: String,
    pub(crate) permanent: u64,
    /// The login in which it was shown, and whose name it is there: the chat may stand for somebody else by now.
    pub(crate) generation: u32,
    pub(crate) user_name: UserName,
}

impl Shown {
    pub(crate) fn note(&self) -> Note {
        note(shown_key(&self.chat, self.permanent), &(self.generation, &self.user_name))
    }

    fn read(key: &str, value: &[u8]) -> Option<Self> {
        let (code, chat) = key.strip_prefix(SHOWN)?.split_once('/')?;
        let permanent = u64::from_str_radix(code, 16).ok()?;
        let (generation, user_name) = serde_json::from_slice(value).ok()?;
        Some(Self { chat: chat.to_owned(), permanent, generation, user_name })
    }
}

/// Where it is written that a permanent name was shown.
pub(crate) fn shown_key(chat: &str, permanent: u64) -> String {
    format!("{SHOWN}{permanent:016x}/{chat}")
}

/// The permanent names that were shown and not taken in yet; a page of them.
pub(crate) async fn shown(far: &dyn FarEnd, network: &NetworkId) -> Result<Vec<Shown>, FarError> {
    let page = far.notes(network, SHOWN, None, PAGE).await?;
    Ok(page.into_iter().filter_map(|(key, value)| Shown::read(&key, &value)).collect())
}

/// Where it is written to whom the posts of a chat were moved.
pub(crate) fn moved_key(chat: &str) -> String {
    format!("who/moved/{chat}")
}

pub(crate) fn head_note(book: &Book) -> Note {
    let head = Head { uin: book.uin, login: book.login, versions_since: book.versions_since };
    note(HEAD.to_owned(), &head)
}

pub(crate) fn gone(key: String) -> Note {
    Note { key, value: None, is_secret: false }
}

/// Reads everything. A note that cannot be read is somebody who is not known any more.
pub(crate) async fn load(far: &dyn FarEnd, network: &NetworkId) -> Result<Book, FarError> {
    let head = far.note(network, HEAD).await?.and_then(|value| serde_json::from_slice::<Head>(&value).ok());
    let head = head.unwrap_or_default();
    Ok(Book {
        uin: head.uin,
        login: head.login,
        versions_since: head.versions_since,
        people: all(far, network, PEOPLE).await?,
        groups: all(far, network, GROUPS).await?,
    })
}

async fn all<T: for<'a> Deserialize<'a>>(
    far: &dyn FarEnd,
    network: &NetworkId,
    prefix: &str,
) -> Result<Vec<T>, FarError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = far.notes(network, prefix, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        found.extend(page.into_iter().filter_map(|(key, value): (String, Bytes)| {
            let read = serde_json::from_slice(&value);
            if read.is_err() {
                tracing::error!(%network, key, "what is known of somebody cannot be read");
            }
            read.ok()
        }));
        if is_last {
            return Ok(found);
        }
    }
}

/// What differs between two states, as notes; without the head.
pub(crate) fn changes(before: &Book, after: &Book) -> Vec<Note> {
    let mut notes = Vec::new();
    let was: std::collections::HashMap<&str, &Profile> =
        before.people.iter().map(|profile| (profile.id.as_str(), profile)).collect();
    notes.extend(after.people.iter().filter(|now| was.get(now.id.as_str()) != Some(now)).map(person_note));
    let is: std::collections::HashSet<&str> =
        after.people.iter().map(|profile| profile.id.as_str()).collect();
    notes.extend(
        before.people.iter().filter(|was| !is.contains(was.id.as_str())).map(|was| gone(person_key(&was.id))),
    );
    let was: std::collections::HashMap<&str, &GroupProfile> =
        before.groups.iter().map(|profile| (profile.id.as_str(), profile)).collect();
    notes.extend(after.groups.iter().filter(|now| was.get(now.id.as_str()) != Some(now)).map(group_note));
    let is: std::collections::HashSet<&str> =
        after.groups.iter().map(|profile| profile.id.as_str()).collect();
    notes.extend(
        before.groups.iter().filter(|was| !is.contains(was.id.as_str())).map(|was| gone(group_key(&was.id))),
    );
    let permanent = |book: &Book| -> std::collections::BTreeMap<u64, String> {
        let people = book.people.iter().map(|profile| (profile.permanent, profile.id.clone()));
        let groups = book.groups.iter().map(|profile| (profile.permanent, profile.id.clone()));
        people.chain(groups).filter(|(code, _)| *code != 0).collect()
    };
    let (was, is) = (permanent(before), permanent(after));
    notes.extend(
        is.iter()
            .filter(|(code, id)| was.get(code) != Some(id))
            .map(|(code, id)| note(permanent_key(*code), id)),
    );
    notes.extend(was.keys().filter(|code| !is.contains_key(code)).map(|code| gone(permanent_key(*code))));
    notes
}
