//! What the store accepts, the same on both engines.

use wxgate_contract::{Batch, ChatRef, NetworkId};

use crate::error::StoreError;

/// Longest id or key of any kind. The contract limits note keys to this; the others follow it.
pub(crate) const ID_BYTES: usize = 512;
/// Longest post, as stored.
pub(crate) const POST_BYTES: usize = 1 << 20;
/// Longest note; a whole session or roster fits.
pub(crate) const NOTE_BYTES: usize = 16 << 20;
/// Most rows one batch may bring.
pub(crate) const BATCH_ROWS: usize = 100_000;

/// PostgreSQL cannot store NUL in a text, so nobody may bring it in an id.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), StoreError> {
    if id.len() > ID_BYTES {
        return Err(StoreError::invalid(format!("{what} has {} bytes, the limit is {ID_BYTES}", id.len())));
    }
    if id.contains('\0') {
        return Err(StoreError::invalid(format!("{what} contains a NUL")));
    }
    Ok(())
}

/// What nobody is asked for and nothing is found by is stored without them instead.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

pub(crate) fn check_network(network: &NetworkId) -> Result<(), StoreError> {
    if network.as_str().is_empty() {
        return Err(StoreError::invalid("the name of a network is empty"));
    }
    check_id("the name of a network", network.as_str())
}

pub(crate) fn check_chat(chat: &ChatRef) -> Result<(), StoreError> {
    check_network(&chat.network)?;
    check_id("a chat key", chat.chat.as_str())
}

/// A limit as the engines take it.
pub(crate) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A count as the engines take it.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn check_batch(batch: &Batch) -> Result<(), StoreError> {
    let rows =
        batch.posts.len() + batch.chats.len() + batch.people.len() + batch.notes.len() + batch.media.len();
    let rows = rows + batch.follows.len();
    if rows > BATCH_ROWS {
        return Err(StoreError::invalid(format!("the batch has {rows} rows, the limit is {BATCH_ROWS}")));
    }
    for post in &batch.posts {
        check_id("the id of a post", post.remote_id.as_str())?;
        check_chat(&post.chat)?;
    }
    for chat in &batch.chats {
        check_id("a chat key", chat.chat.as_str())?;
    }
    for (from, to) in &batch.follows {
        check_id("a chat key", from.as_str())?;
        check_id("a chat key", to.as_str())?;
    }
    for person in &batch.people {
        check_id("a person key", person.person.as_str())?;
    }
    for note in &batch.notes {
        check_id("the key of a note", &note.key)?;
        if let Some(value) = &note.value
            && value.len() > NOTE_BYTES
        {
            return Err(StoreError::invalid(format!(
                "note {} has {} bytes, the limit is {NOTE_BYTES}",
                note.key,
                value.len()
            )));
        }
    }
    for media in &batch.media {
        check_id("the name of an attachment", &media.name)?;
        check_id("the media type of an attachment", &media.mime)?;
    }
    Ok(())
}
