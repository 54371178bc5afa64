//! What the machine is told and what it says.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wechat_proto::{RetCode, SyncKey};
use wxgate_contract::SignInStep;

/// The position in the event stream: what to sync from and what to poll with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) sync: SyncKey,
    pub(crate) check: SyncKey,
}

impl Keys {
    /// The keys at the start of a session: the first poll uses the sync key.
    ///
    /// Source: the protocol sheet, section 2.11 (row `synckey`).
    pub(crate) fn first(sync: SyncKey) -> Self {
        Self { check: sync.clone(), sync }
    }

    /// The keys after an answer that succeeded; unusable ones are not taken over.
    ///
    /// Source: the protocol sheet, section 2.12, rule 1.
    pub(crate) fn after(&self, sync: SyncKey, check: SyncKey) -> Self {
        let sync = if sync.is_usable() { sync } else { self.sync.clone() };
        let check = if check.is_usable() { check } else { self.check.clone() };
        Self { sync, check }
    }
}

/// Why a piece of work failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No answer; in a poll this may be a mere timeout.
    Network,
    /// A poll ran into its own time limit.
    TimedOut,
    /// An answer that could not be read, or an HTTP error.
    Garbled,
    /// The service said no, with its own words where it has some.
    Ret(RetCode, String),
    /// The far end could not store or read.
    Store(String),
    /// Nothing failed: who somebody is changed since it was read, so it is read anew.
    Superseded,
}

/// Why there is no session any more, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) why: String,
    /// The service does not want this account here.
    #[serde(default)]
    pub(crate) is_refused: bool,
}

/// What the notes said at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    /// Known since the first sign-in.
    pub(crate) uin: Option<i64>,
    /// There are credentials to resume.
    pub(crate) has_session: bool,
    pub(crate) keys: Option<Keys>,
    pub(crate) is_roster_loaded: bool,
    /// There is a session, and it does not open: it is sealed with another key.
    pub(crate) is_sealed: bool,
    /// How the last session ended, or the last sign-in; `None` when the owner ended it.
    pub(crate) ending: Option<Ending>,
}

/// An answer of the phone through the login poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phone {
    Confirmed {
        redirect: url::Url,
    },
    Scanned {
        /// Of whoever scanned, a JPEG in base64.
        picture: Option<Arc<str>>,
    },
    Waiting,
    Declined,
    /// Expired, or a code that nobody explains.
    Gone,
}

/// An answer of the ticket exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Accepted { uin: i64 },
    Refused { ret: RetCode, message: String },
    WantsBrowser,
}

/// An answer of the event poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) ret: RetCode,
    pub(crate) has_news: bool,
    /// How long the poll was held.
    pub(crate) took: Duration,
}

/// A sync that succeeded; the driver holds its content until the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) keys: Keys,
    pub(crate) has_content: bool,
    pub(crate) more: bool,
    /// Somebody turned up who is not in the list of contacts as it was read.
    pub(crate) has_unlisted: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Found(Found),
    SignIn,
    SignOut,
    /// The wait is over.
    Waited,
    /// The ticket of a code or of a push login.
    Ticket(Result<String, Fault>),
    Phone {
        answer: Result<Phone, Fault>,
        took: Duration,
    },
    Entered(Result<Entry, Fault>),
    Opened(Result<Keys, Fault>),
    RosterLoaded(Result<(), Fault>),
    /// The list of contacts was read beside the work, or not; no piece of work ends with it.
    Looked(Result<(), Fault>),
    Checked(Result<Checked, Fault>),
    Fetched(Result<Fetched, Fault>),
    Committed(Result<(), Fault>),
    /// The sign-out was carried out as far as possible.
    Left,
}

/// One piece of work; each ends in exactly one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    FetchQr,
    AskPhone,
    PollPhone {
        uuid: String,
        polled: bool,
    },
    Enter {
        redirect: url::Url,
    },
    Open,
    /// Reads the list of contacts before the news, for as long as they can wait.
    LoadRoster,
    /// Reads it while news wait, because they overtook it again and again; ends as [`Work::LoadRoster`] does.
    LookAlone,
    Check,
    Fetch,
    /// The same, and of messages that cannot be read as a whole it takes what can; ends as [`Work::Fetch`] does.
    FetchWhatCanBeRead,
    /// Makes durable what the last sync brought, its keys included.
    Commit,
    Wait(Duration),
    /// Logs out at the service and forgets the session.
    Leave,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Drop the work that runs.
    Cancel,
    Run(Work),
    /// The session is over: its credentials must not be tried again after a restart, which tells how it ended.
    Forget(Ending),
    Tell(SignInStep),
}

/// What sends and downloads need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Online,
    /// Comes back by itself.
    Away {
        why: String,
    },
    /// Does not come back by itself.
    Out {
        why: String,
    },
}
