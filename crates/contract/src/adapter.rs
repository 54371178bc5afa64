//! The contract itself.

use serde::{Deserialize, Serialize};

use crate::context::{AdapterContext, BoxFuture};
use crate::ids::NetworkId;

/// A network. The value is configuration; its life is one call of `run`, and all living state is
/// local to that call, so that a restart starts clean.
///
/// Promises to the bridge: commit before acknowledging; posts in the network's order, each with a
/// stable unique id; nothing dropped silently; exactly one outcome per delivery; bounded memory
/// however slow the peer; ids opaque to others.
///
/// Promises of the bridge: at most one open delivery per lane, oldest first; deliveries complete;
/// the same delivery may come again with the same id; notes exactly as last committed; `stop` is
/// announced, then a grace period, then the task is dropped.
pub trait Adapter: Send + Sync {
    /// Which network this is.
    fn network(&self) -> &NetworkId;
    /// What it can carry.
    fn capabilities(&self) -> Capabilities;
    /// Runs until told to stop, or until it cannot go on.
    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>>;
}

/// The adapter came to its end in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Why a run ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AdapterError {
    /// Start it again after a pause.
    #[error("{0}")]
    Restart(String),
    /// Do not start it again before somebody changed something (a port is taken, a setting is wrong).
    #[error("{0}")]
    Fatal(String),
    /// The other side does not let us in for now (a ban): start it again after hours, or when somebody asks for it.
    #[error("{0}")]
    Barred(String),
    /// Nothing is wrong with the network: it goes on at another place, at once.
    #[error("{0}")]
    Moved(String),
}

/// What a network can carry. The bridge degrades posts by it, so that fallback text is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It shows other networks' chats and reads the directory; it gets no deliveries, and its
    /// posts name the chats it showed. Its notes about an account are called `KIND/ACCOUNT/…`, those about a person
    /// without one `KIND/user:NAME/…`: they go with the account and the person.
    pub browses: bool,
    /// It is given what is said in the accounts it mirrors (`Command::Mirror`), chat by chat; its
    /// own posts name the chat that they were said in, on the network that owns it.
    pub mirrors: bool,
    /// Longest text of one post, in characters.
    pub max_text_chars: usize,
    /// It can carry files itself; otherwise it gets links.
    pub carries_files: bool,
    /// It can take back what it said.
    pub can_recall: bool,
    /// It can name several authors itself; otherwise texts get the author's name in front.
    pub shows_authors: bool,
}
