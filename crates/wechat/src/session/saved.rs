//! What outlives the process, and how it is read at the start.
//!
//! Two notes: `session` (sealed: credentials, cookies, who we are) changes rarely; `sync` (the
//! position in the event stream) changes with every batch and is part of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wechat_proto::{Credentials, Family};
use wxgate_contract::{FarEnd, FarError, NetworkId, Note};

use super::live::{Live, Own, Rest, Snapshot};
use super::machine::{Ending, Found, Keys};
use crate::jar::Jar;
use crate::roster::{NAMES, generation_of, load::SWEPT};

const SESSION: &str = "session";
const SYNC: &str = "sync";

/// The sealed note.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    family: Family,
    credentials: Option<Credentials>,
    #[serde(default)]
    jar: Jar,
    #[serde(default)]
    own_user_name: String,
    #[serde(default)]
    own_nickname: String,
    #[serde(default)]
    generation: u32,
    /// Known since the first sign-in, and kept over a sign-out.
    uin: Option<i64>,
    #[serde(default)]
    is_roster_loaded: bool,
    /// Notes of this and later generations may exist.
    #[serde(default)]
    oldest_generation: u32,
    /// Contacts and members that did not fit when the roster was loaded.
    #[serde(default)]
    left_out: u64,
    #[serde(default)]
    invite_start: u32,
    /// How it ended, where there are no credentials.
    #[serde(default)]
    ending: Option<Ending>,
}

/// The note of the session, if there is something new to store or `always`.
pub(crate) fn session_note(live: &Live, always: bool) -> Option<Note> {
    let Snapshot { family, credentials, jar, own, generation, rest, ending } = live.to_save(always)?;
    let session = Session {
        family,
        credentials,
        jar,
        own_user_name: own.user_name.to_string(),
        own_nickname: own.nickname,
        generation,
        uin: rest.uin,
        is_roster_loaded: rest.is_roster_loaded,
        oldest_generation: rest.oldest_generation,
        left_out: rest.left_out,
        invite_start: rest.invite_start,
        ending,
    };
    // Plain data: writing it as JSON cannot fail.
    let value = serde_json::to_vec(&session).unwrap_or_default();
    Some(Note { key: SESSION.to_owned(), value: Some(Bytes::from(value)), is_secret: true })
}

pub(crate) fn keys_note(keys: Option<&Keys>) -> Note {
    let value = keys.map(|keys| Bytes::from(serde_json::to_vec(keys).unwrap_or_default()));
    Note { key: SYNC.to_owned(), value, is_secret: false }
}

/// Reads what the last run left. A note that cannot be read counts as none, and is told.
pub(crate) async fn restore(far: &dyn FarEnd, network: &NetworkId, live: &Live) -> Result<Found, FarError> {
    let value = match far.note(network, SESSION).await {
        Err(FarError::Sealed { .. }) => return sealed(far, network, live).await,
        other => other?,
    };
    let Some(value) = value else { return Ok(Default::default()) };
    let session: Session = match serde_json::from_slice(&value) {
        Ok(session) => session,
        Err(_) => {
            tracing::error!(%network, "the stored session cannot be read; the account has to sign in again");
            return Ok(Default::default());
        }
    };
    let keys = far.note(network, SYNC).await?.and_then(|value| serde_json::from_slice::<Keys>(&value).ok());
    let rest = Rest {
        uin: session.uin,
        is_roster_loaded: session.is_roster_loaded,
        oldest_generation: session.oldest_generation,
        left_out: session.left_out,
        invite_start: session.invite_start,
    };
    let found = Found {
        uin: session.uin,
        has_session: session.credentials.is_some(),
        keys: keys.filter(|keys| keys.sync.is_usable()),
        is_roster_loaded: session.is_roster_loaded,
        is_sealed: false,
        ending: session.ending.clone(),
    };
    let own = Own { user_name: session.own_user_name.into(), nickname: session.own_nickname };
    live.restore(Snapshot {
        family: session.family,
        credentials: session.credentials,
        jar: session.jar,
        own,
        generation: session.generation,
        rest,
        ending: session.ending,
    });
    Ok(found)
}

/// The session is sealed with another key. What is stored stays until there is something in its place, for whoever
/// puts that key back. The next login counts on from what the notes of the roster say, so that it takes no name of
/// an earlier one for its own.
async fn sealed(far: &dyn FarEnd, network: &NetworkId, live: &Live) -> Result<Found, FarError> {
    tracing::error!(%network, "the stored session is sealed with another key; the account has to sign in again");
    let first = far.notes(network, NAMES, None, 1).await?;
    let oldest_generation = first.first().and_then(|(key, _)| generation_of(key)).unwrap_or(0);
    // The last of those that are swept, so that all are that may be there.
    let generation = oldest_generation.saturating_add(SWEPT - 1);
    live.restore(Snapshot {
        generation,
        rest: Rest { oldest_generation, ..Rest::default() },
        ..Snapshot::default()
    });
    live.keep_stored();
    Ok(Found { is_sealed: true, ..Found::default() })
}
