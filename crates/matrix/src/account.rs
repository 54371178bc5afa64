//! An ordinary account of a homeserver, in the place of the application service: for people who
//! administer no homeserver.
//!
//! What is said, heard and managed is the same; what differs is who speaks and how. Whoever drives the
//! account (`crates/matrix-bot`) has the session, the keys of its device and the way of an event into
//! and out of an encrypted room. Plain questions go out through `client.rs` with the account's token.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use wxgate_contract::{BoxFuture, FarError};

use crate::client::CallError;
use crate::secret::Secret;

/// What somebody can say in a ciphertext. The homeserver cannot see whether they may change the room or take back what
/// others said: such events count in clear only, where it looks.
pub(crate) fn is_said(kind: &str) -> bool {
    kind == "m.room.message" || !kind.starts_with("m.room.")
}

/// Whether an event that was decrypted may stand for the one that it was encrypted in: it is no piece of state and
/// takes nothing back.
#[must_use]
pub fn may_be_sealed(event: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        state_key: Option<Value>,
    }
    serde_json::from_str::<Head>(event.get())
        .is_ok_and(|head| head.state_key.is_none() && is_said(&head.kind))
}

/// Whether an event is a step of a verification: it counts by what it proves, whoever's keys encrypted it.
#[must_use]
pub fn is_step(event: &RawValue) -> bool {
    #[derive(Default, Deserialize)]
    struct Content {
        #[serde(default)]
        msgtype: String,
    }
    #[derive(Deserialize)]
    struct Step {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        content: Content,
    }
    serde_json::from_str::<Step>(event.get()).is_ok_and(|step| match step.kind.as_str() {
        "m.room.message" => step.content.msgtype == "m.key.verification.request",
        kind => kind.starts_with("m.key.verification."),
    })
}

/// Keeps what must be known at the next start: a session, sealed. Done when it is on disk, and when plain questions
/// are asked with the token, which is empty before there is one.
pub type Keep = Arc<dyn Fn(Bytes, Secret) -> BoxFuture<'static, Result<(), FarError>> + Send + Sync>;

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The homeserver or our own store is away; it is tried again.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The store is away.
    #[error(transparent)]
    Far(#[from] FarError),
    /// Somebody has to do something; what, as a sentence.
    #[error("{0}")]
    Human(String),
}

/// A session.
#[derive(Debug)]
pub struct Opened {
    /// The token for plain questions.
    pub token: Secret,
    /// The id of this session's device, where it took the place of one that somebody ended.
    pub replaced: Option<String>,
}

/// What happened since a position.
#[derive(Debug, Default)]
pub struct Happened {
    /// Where the next question begins.
    pub next: String,
    /// By room, in no order.
    pub rooms: BTreeMap<String, InRoom>,
    /// What is known of rooms that the account was invited to: type, state key, sender and content.
    pub invited: BTreeMap<String, Vec<Value>>,
}

/// What happened in one room, which the account may have left since.
#[derive(Debug, Default)]
pub struct InRoom {
    /// Oldest first; what was encrypted stands here as it was meant, if its key is there and it is something that
    /// [`may_be_sealed`].
    pub events: Vec<Box<RawValue>>,
    /// There are more than these, before them.
    pub is_limited: bool,
    /// Read marks.
    pub ephemeral: Vec<Box<RawValue>>,
}

/// What became of an event that an account was asked to read.
#[derive(Debug)]
pub enum Opening {
    /// As it was meant; as it is where it is not encrypted.
    Read(Box<RawValue>),
    /// Its key is not there; it may come.
    NoKey,
    /// Its sender's client keeps the key from this gateway; why, in the protocol's word.
    Withheld(String),
    /// Somebody else's device encrypted it.
    NotTheirs,
    /// Its sender was verified once, and has other keys since then.
    OtherKeys,
    /// It will not be read; why, in the words of whoever tried.
    Broken(String),
}

/// How far a verification by emoji is that somebody began with the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Their client has to do something.
    Going,
    /// Both show these: symbol and name.
    Compare(Vec<(String, String)>),
    /// We have said that they are the same.
    Agreed,
    /// It is done.
    Done,
    /// It was given up; why, as a clause for people.
    Cancelled(String),
}

/// Drives an ordinary account.
pub trait Account: Send + Sync + std::fmt::Debug {
    /// Signs in, or takes up the session that was kept; gives its token. Called again
    /// when the homeserver does not know the token any more. What `keep` is given later takes the token's place.
    fn open<'a>(&'a self, kept: Option<Bytes>, keep: Keep) -> BoxFuture<'a, Result<Opened, AccountError>>;

    /// Sees to what the open session's identity lacks: that its device is signed by it, that its secrets are in reach of
    /// a recovery key. Gives what somebody has to do about it, a sentence; the session works meanwhile. Called at each
    /// greeting, and again now and then while something is left.
    ///
    /// # Errors
    /// What kept it from being seen to this time.
    fn see_to_identity(&self) -> BoxFuture<'_, Result<Option<String>, CallError>>;

    /// Returns when something came that [`Account::open`] waits for, after it said that somebody has to do something.
    fn stirred(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Waits for what happens after `since`, and gives it. Asking again for what follows an earlier
    /// position gives it again.
    fn sync<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Happened, CallError>>;

    /// Says something in a room, encrypted where the room is; gives the event's id. The same transaction
    /// id says it once, as long as the homeserver remembers it.
    fn send<'a>(
        &'a self,
        room_id: &'a str,
        kind: &'a str,
        txn_id: &'a str,
        content: &'a Value,
    ) -> BoxFuture<'a, Result<String, CallError>>;

    /// Reads an event.
    fn open_event<'a>(&'a self, room_id: &'a str, event: Box<RawValue>) -> BoxFuture<'a, Opening>;

    /// Whether what is said in a room is encrypted; `None` for a room that is not known yet.
    fn is_encrypted<'a>(&'a self, room_id: &'a str) -> BoxFuture<'a, Option<bool>>;

    /// Gets on with a verification that somebody began, `flow` being the event that asked for it; with `are_the_same`
    /// after they compared the pictures. `None` when nothing is known of it.
    fn verify<'a>(
        &'a self,
        user_id: &'a str,
        flow: &'a str,
        are_the_same: Option<bool>,
    ) -> BoxFuture<'a, Result<Option<Verification>, CallError>>;

    /// Whether somebody is known to be in a room, or invited: what is said now can be read by them.
    fn knows_member<'a>(&'a self, room_id: &'a str, user_id: &'a str) -> BoxFuture<'a, bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_of_a_ciphertext_and_nothing_that_needs_a_right() {
        let may = |event: &str| may_be_sealed(&RawValue::from_string(event.to_owned()).unwrap());
        for kind in ["m.room.message", "m.sticker", "m.poll.start", "m.key.verification.done"] {
            assert!(may(&format!("{{\"type\":\"{kind}\",\"content\":{{}}}}")), "{kind}");
        }
        for kind in ["m.room.redaction", "m.room.member", "m.room.tombstone", "m.room.encrypted"] {
            assert!(!may(&format!("{{\"type\":\"{kind}\",\"content\":{{}}}}")), "{kind}");
        }
        assert!(!may("{\"type\":\"m.sticker\",\"state_key\":\"\"}"), "state");
        assert!(!may("{}"), "nothing");
    }
}
