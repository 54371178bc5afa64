//! What connections and sessions of one run share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use wxgate_contract::{
    ChatKey, Clock, Control, Directory, FarEnd, MediaVault, NetworkId, RemoteId, Stop, Timestamp,
};

use super::caps::Sts;
use super::config::IrcServerConfig;
use super::hall::Hall;
use super::registry::{Arrival, Incoming, Registry, SessionKey};

/// Everything that connections and sessions of one run share.
pub(super) struct Shared {
    pub(super) config: IrcServerConfig,
    pub(super) sts: Sts,
    pub(super) network: NetworkId,
    pub(super) far: Arc<dyn FarEnd>,
    pub(super) media: Arc<dyn MediaVault>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) control: Arc<dyn Control>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    pub(super) started: Timestamp,
    pub(super) registry: Registry,
    /// Where users see each other; `None` when they do not.
    pub(super) hall: Option<Arc<Hall>>,
    /// Read marks on their way to the accounts.
    pub(super) marks: mpsc::Sender<ReadMark>,
    run_id: String,
    /// For what nobody outside may foresee.
    secret: hmac::Key,
    counter: AtomicU64,
}

pub(super) struct Parts {
    pub(super) config: IrcServerConfig,
    pub(super) sts: Sts,
    pub(super) network: NetworkId,
    pub(super) far: Arc<dyn FarEnd>,
    pub(super) media: Arc<dyn MediaVault>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) control: Arc<dyn Control>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    pub(super) seed: [u8; 32],
    pub(super) marks: mpsc::Sender<ReadMark>,
}

/// How far the owner of an account has read a chat.
#[derive(Debug)]
pub(super) struct ReadMark {
    pub(super) account: NetworkId,
    pub(super) chat: ChatKey,
    pub(super) at: Timestamp,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let started = parts.clock.now();
        // The seed is another one at each run; the start time guards against a seed that is not.
        let (seed, secret) = parts.seed.split_at(8);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let run_id = seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let run_id = format!("{run_id}{:x}", started.ms());
        Self {
            hall: parts.config.has_hall().then(|| Arc::new(Hall::new(&run_id))),
            run_id,
            secret,
            config: parts.config,
            sts: parts.sts,
            network: parts.network,
            far: parts.far,
            media: parts.media,
            directory: parts.directory,
            control: parts.control,
            clock: parts.clock,
            stop: parts.stop,
            marks: parts.marks,
            started,
            registry: Registry::default(),
            counter: AtomicU64::new(1),
        }
    }

    /// A number that this run gives once.
    pub(super) fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes that only this run can make of these words.
    pub(super) fn derive(&self, words: &str) -> Vec<u8> {
        hmac::sign(&self.secret, words.as_bytes()).as_ref().to_vec()
    }

    /// A word that was never said and that nobody can foresee.
    pub(super) fn nonce(&self) -> String {
        let bytes = self.derive(&format!("nonce\0{}", self.next_number()));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// An id for a post, unique for ever.
    pub(super) fn next_remote_id(&self) -> RemoteId {
        RemoteId::new(format!("{}-{}", self.run_id, self.next_number()))
    }

    /// Sends a client to its session, which is started if it does not live.
    pub(super) async fn attach(
        self: &Arc<Self>,
        key: &SessionKey,
        arrival: Arrival,
    ) -> Option<mpsc::Sender<Incoming>> {
        let lines = self.registry.session(self, key);
        // A session that was just started has room, and gets its client without a pause in which the connection
        // could end and leave it waiting.
        match lines.try_send(Incoming::Attach(Box::new(arrival))) {
            Ok(()) => Some(lines),
            Err(TrySendError::Full(arrival)) => lines.send(arrival).await.is_ok().then_some(lines),
            Err(TrySendError::Closed(_)) => None,
        }
    }
}
