//! Questions and orders to the supervisor: not durable, answered once.

use tokio::sync::watch;

use crate::context::BoxFuture;
use crate::ids::{NetworkId, UserName};

/// What can be asked of the supervisor.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Checks a password.
    Authenticate {
        /// Who says so.
        user: UserName,
        /// With what.
        password: String,
    },
    /// Adds a WeChat account, signed out.
    AddAccount {
        /// Whose.
        owner: UserName,
        /// Its name, unique on the instance: letters, digits, `-`, `_`, `.`; at most 32 bytes.
        name: String,
    },
    /// Starts signing an account in, or joins the sign-in that is under way.
    SignIn {
        /// Which.
        account: NetworkId,
    },
    /// Ends the session of an account for good.
    SignOut {
        /// Which.
        account: NetworkId,
    },
    /// Signs an account out and forgets it, its chats and its media.
    RemoveAccount {
        /// Which.
        account: NetworkId,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authenticate { user, .. } => write!(f, "Authenticate({user:?})"),
            Self::AddAccount { owner, name } => write!(f, "AddAccount({owner:?}, {name:?})"),
            Self::SignIn { account } => write!(f, "SignIn({account:?})"),
            Self::SignOut { account } => write!(f, "SignOut({account:?})"),
            Self::RemoveAccount { account } => write!(f, "RemoveAccount({account:?})"),
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// The account was added and is this network now.
    Added(NetworkId),
    /// The sign-in can be followed here.
    SignIn(SignInWatch),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Wrong user or password; which of the two is not told.
    #[error("wrong user or password")]
    Denied,
    /// There is no such account, or it belongs to somebody else.
    #[error("there is no account {0}")]
    NoSuchAccount(String),
    /// The command does not fit (name taken, quota reached, bad name).
    #[error("{0}")]
    Refused(String),
    /// The gateway itself failed.
    #[error("{0}")]
    Failed(String),
}

/// How far a sign-in is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInStep {
    /// A code is being fetched, or the phone is being asked.
    Starting,
    /// Show this text as a QR code; the phone scans it.
    ShowQr {
        /// What the code says.
        text: String,
        /// 1 for the first code of this sign-in.
        number: u32,
    },
    /// The phone must confirm.
    ConfirmOnPhone {
        /// True when no code was shown: the phone was asked directly.
        is_push: bool,
    },
    /// Signed in; contacts are being loaded.
    Loading,
    /// Online.
    Done,
    /// Over without success.
    Failed {
        /// Why, as a clause for people.
        why: String,
    },
}

/// Follows a sign-in: the latest step, and a wake-up at each change.
pub type SignInWatch = watch::Receiver<SignInStep>;

/// The supervisor, as faces and command line see it.
pub trait Control: Send + Sync {
    /// Carries out `command`. `user` limits it to that person's accounts; `None` is the operator.
    fn run(&self, user: Option<UserName>, command: Command) -> BoxFuture<'_, Result<Reply, CommandError>>;
}
