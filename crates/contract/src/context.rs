//! All that an adapter may touch, and the other side of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::batch::{Batch, Committed};
use crate::control::{Answer, CommandError, Control, Request, SignInStep};
use crate::delivery::{Delivery, Outcome};
use crate::directory::Directory;
use crate::health::Health;
use crate::ids::{ChatKey, DeliveryId, NetworkId};
use crate::loading::Loading;
use crate::media::MediaVault;
use crate::time::{Clock, Timestamp};

/// A boxed future, so that the far end can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why the far end could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FarError {
    /// Nothing was changed; the same call may succeed later (disk full, database away).
    /// The adapter must not acknowledge anything to the outside.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The batch itself cannot be stored, now or later.
    #[error("the batch cannot be stored: {0}")]
    Invalid(String),
    /// A stored note does not open: it is sealed with another key, and stays so until that key is back or the note is
    /// written anew.
    #[error("the note {key} does not open: it is sealed with another key")]
    Sealed {
        /// The key of the first such note.
        key: String,
    },
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// The bridge, as an adapter sees it. In tests the conformance double stands here.
pub trait FarEnd: Send + Sync {
    /// Makes a batch durable. A long one is committed in several pieces, in order, the notes with the last: after an
    /// error the first posts may be on disk and told. Cancel safe in one direction only: a dropped call may still
    /// commit, so the adapter acknowledges after `Ok` and hands the same posts over again otherwise; those that are
    /// on disk are known then.
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>>;
    /// Reports what became of a delivery. Durable when it returns.
    fn settle<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>>;
    /// What waits in a chat behind one of its deliveries, oldest first, at most `limit`. It is not handed out by this:
    /// whoever carries out several at once settles each of them, that one last.
    fn behind<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>>;
    /// One note, as last committed.
    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>>;
    /// Several notes by key, as last committed; missing ones are left out.
    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>>;
    /// Notes whose key starts with `prefix`, after `after` in key order, at most `limit`.
    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>>;
    /// Tells how the network is doing. Cheap; call it on change.
    fn health(&self, network: &NetworkId, health: Health);
    /// Tells how far a sign-in is, to whoever follows it.
    fn sign_in(&self, network: &NetworkId, step: SignInStep);
    /// Tells how far the first reading of its contacts is, the latest counts; `None` when it is over, well or not.
    /// Cheap, but call it a few times a second at most: it may cross a line to another instance.
    fn loading(&self, network: &NetworkId, how: Option<Loading>);
}

/// What the supervisor tells a running adapter.
#[derive(Clone, Debug)]
pub enum Order {
    /// Carry this out and settle it.
    Deliver(Box<Delivery>),
    /// Somebody wants the account signed in.
    SignIn,
    /// Somebody wants the account signed out for good.
    SignOut,
    /// Somebody asks something of the account; see `Command::Ask`.
    Ask(Ask),
}

/// A question to a running account, and where its answer goes.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Takes one answer; a closed channel means that nobody waits any more.
    pub answer: mpsc::Sender<Result<Answer, CommandError>>,
}

/// All that an adapter may touch. No globals, no handle to bridge or store.
pub struct AdapterContext {
    /// The adapter's own network.
    pub network: NetworkId,
    /// Where batches, outcomes and health go, and notes come from.
    pub far: Arc<dyn FarEnd>,
    /// Attachments.
    pub media: Arc<dyn MediaVault>,
    /// What faces read.
    pub directory: Arc<dyn Directory>,
    /// The supervisor.
    pub control: Arc<dyn Control>,
    /// Deliveries and orders; one open delivery per lane.
    pub orders: mpsc::Receiver<Order>,
    /// Time of day. For waiting, use tokio's timers.
    pub clock: Arc<dyn Clock>,
    /// Which of the network's chats are members of a link.
    pub linked: LinkedChats,
    /// Seed of the adapter's own random generator; another one at each run.
    pub seed: [u8; 32],
    /// Set when the adapter must come to an end.
    pub stop: Stop,
}

/// The chats that are members of a link, by network, and since when each of them is.
pub type LinkTable = Arc<HashMap<NetworkId, BTreeMap<ChatKey, Timestamp>>>;

/// Which of a network's chats are members of a link: latest wins. A network that hears only where
/// it takes part (IRC) takes part there.
#[derive(Clone, Debug)]
pub struct LinkedChats {
    network: NetworkId,
    table: watch::Receiver<LinkTable>,
}

impl LinkedChats {
    /// The part of the table that is about `network`.
    pub fn new(network: NetworkId, table: watch::Receiver<LinkTable>) -> Self {
        Self { network, table }
    }

    /// The chats as they are now.
    pub fn now(&self) -> BTreeSet<ChatKey> {
        let table = self.table.borrow();
        table.get(&self.network).map(|chats| chats.keys().cloned().collect()).unwrap_or_default()
    }

    /// When the link was made that a chat is in now; `None` when it is in none.
    pub fn since(&self, chat: &ChatKey) -> Option<Timestamp> {
        self.table.borrow().get(&self.network)?.get(chat).copied()
    }

    /// Waits for a change of the table, of this network's part or another's. Cancel safe; never
    /// returns once the far end is gone.
    pub async fn changed(&mut self) {
        if self.table.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Tells an adapter, and everything inside it, to come to an end. Clone it freely.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The other side of [`Stop`]; dropping it stops as well.
#[derive(Debug)]
pub struct StopHandle(watch::Sender<bool>);

impl StopHandle {
    /// A handle and its token.
    pub fn new() -> (Self, Stop) {
        let (tx, rx) = watch::channel(false);
        (Self(tx), Stop(rx))
    }

    /// Announces the end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// True once the end was announced.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the end. Cancel safe.
    pub async fn stopping(&self) {
        let mut rx = self.0.clone();
        // An error means that the handle is gone, which is an end as well.
        let _ = rx.wait_for(|stopping| *stopping).await;
    }
}
