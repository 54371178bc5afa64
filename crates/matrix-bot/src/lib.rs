//! An ordinary Matrix account, driven by `matrix-sdk`: what the Matrix adapter needs of it where it is no
//! application service.
//!
//! `session` signs in and takes up a session again, `keys` has the device signed and its secrets in
//! reach of a recovery key, `follow` waits for what happens, `rooms` says things and reads what is
//! encrypted, `wrong` turns the SDK's errors into the adapter's. The adapter's position is the one that
//! counts: the SDK is asked with it, and what it saw and nobody wrote down it is given again.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod follow;
mod keys;
mod page;
mod probe;
mod recovery_file;
mod rooms;
mod session;
mod tokens;
mod verify;
mod wrong;

pub use page::PageEntrance;
pub use probe::probe;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use matrix_sdk::Client;
use serde_json::Value;
use serde_json::value::RawValue;
use tokens::Tokens;
use tokio::time::Instant;
use url::Url;
use wxgate_contract::BoxFuture;
use wxgate_matrix::{
    Account, AccountError, CallError, Happened, Keep, Opened, Opening, Secret, Verification,
};

/// How to get in.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// With a password, as a device of our own.
    Password(Secret),
    /// With the token of a device that somebody made for us.
    Token(Secret),
    /// On a page of the homeserver's, as a device of our own.
    Page(PageEntrance),
}

/// The account as configured.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// Where the homeserver's client API is.
    pub homeserver: Url,
    /// The whole id of the account.
    pub user: String,
    /// How to get in.
    pub entrance: Entrance,
    /// Where the recovery key stands, and is written when there is none yet.
    pub recovery_key_file: PathBuf,
    /// Where the SDK keeps what it knows; made when it is not there.
    pub store: PathBuf,
}

/// A way in that was refused, and until when it is not tried again.
#[derive(Debug)]
struct Refused {
    until: Instant,
    why: String,
}

/// The open session.
#[derive(Clone)]
struct Open {
    client: Client,
    tokens: Arc<Tokens>,
}

/// The account.
pub struct SdkAccount {
    config: AccountConfig,
    // Locked for the length of a copy.
    open: Mutex<Option<Open>>,
    refused: Mutex<Option<Refused>>,
    /// A sign-in on a page that somebody may come back from. Locked for the length of a move.
    begun: Mutex<Option<page::Begun>>,
    /// Rooms that were left and are to be forgotten. Locked for the length of a lookup.
    leaving: Mutex<follow::Leaving>,
}

impl std::fmt::Debug for SdkAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SdkAccount").field("user", &self.config.user).finish_non_exhaustive()
    }
}

impl SdkAccount {
    /// The account; nothing is asked before it is opened.
    #[must_use]
    pub fn new(config: AccountConfig) -> Self {
        let (open, refused, begun) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { config, open, refused, begun, leaving: Mutex::default() }
    }

    fn open_now(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn client(&self) -> Option<Client> {
        self.open_now().map(|open| open.client)
    }

    /// The client of the open session.
    fn open_client(&self, endpoint: &'static str) -> Result<Client, CallError> {
        self.client().ok_or(CallError::Network { endpoint })
    }

    fn set_open(&self, open: Option<Open>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
    }
}

impl Account for SdkAccount {
    fn open<'a>(&'a self, kept: Option<Bytes>, keep: Keep) -> BoxFuture<'a, Result<Opened, AccountError>> {
        Box::pin(self.open_session(kept, keep))
    }

    fn see_to_identity(&self) -> BoxFuture<'_, Result<Option<String>, CallError>> {
        Box::pin(self.see_to_keys())
    }

    fn stirred(&self) -> BoxFuture<'_, ()> {
        match &self.config.entrance {
            Entrance::Page(entrance) => Box::pin(entrance.page.answered()),
            Entrance::Password(_) | Entrance::Token(_) => Box::pin(std::future::pending()),
        }
    }

    fn sync<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Happened, CallError>> {
        Box::pin(self.follow(since))
    }

    fn send<'a>(
        &'a self,
        room_id: &'a str,
        kind: &'a str,
        txn_id: &'a str,
        content: &'a Value,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        Box::pin(self.say(room_id, kind, txn_id, content))
    }

    fn open_event<'a>(&'a self, room_id: &'a str, event: Box<RawValue>) -> BoxFuture<'a, Opening> {
        Box::pin(self.unseal(room_id, event))
    }

    fn is_encrypted<'a>(&'a self, room_id: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(self.encrypts(room_id))
    }

    fn verify<'a>(
        &'a self,
        user_id: &'a str,
        flow: &'a str,
        are_the_same: Option<bool>,
    ) -> BoxFuture<'a, Result<Option<Verification>, CallError>> {
        Box::pin(self.verify_on(user_id, flow, are_the_same))
    }

    fn knows_member<'a>(&'a self, room_id: &'a str, user_id: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(self.has_member(room_id, user_id))
    }
}
