//! The pipe. Batches come in, are routed and committed; deliveries go out lane by lane; outcomes
//! close them. The bridge knows links, lanes and capabilities, and no network by name.
//!
//! `intake` commits, `route` decides (pure), `lanes` hands out, `settle` closes, `supervisor`
//! keeps one task per network alive, `control` answers commands, `orders` sees them through, `doors` says who may come
//! in, `directory` lets faces read, `notice` words what people are told, `journey` tells tracers.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod acts;
mod control;
mod directory;
mod doors;
mod dropped;
mod echoes;
mod intake;
mod journey;
mod lanes;
mod links;
mod meter;
mod notice;
mod orders;
mod route;
#[cfg(test)]
mod sample;
mod see;
mod settle;
#[cfg(test)]
mod sim;
mod supervisor;
mod twins;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{broadcast, watch};
use wxgate_contract::{
    Adapter, Answer, Clock, CommandError, Control, Credential, FeedEvent, Health, LinkTable, Loading,
    MediaVault, NetworkId, Note, Request, UserName,
};
use wxgate_store::{AccountRow, Store, StoreError};

pub use meter::{COMMIT_BOUNDS_US, Meter, OutcomeCounts};
pub use orders::Leaving;

/// Feed events that a face may lag behind before it has to reread the timeline. Chosen: one
/// second of the aimed throughput; an event is two pointers.
const FEED_EVENTS: usize = 8192;

/// Makes the adapter of an account row.
pub type AdapterFactory = Arc<dyn Fn(&AccountRow) -> Arc<dyn Adapter> + Send + Sync>;

/// What the bridge is made of.
pub struct BridgeConfig {
    /// Durable state.
    pub store: Store,
    /// Attachments.
    pub vault: Arc<dyn MediaVault>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Seed of every generator below; fresh at each start of the program.
    pub seed: [u8; 32],
    /// Prefix of an account's network (`x` of `x:NAME`).
    pub account_kind: &'static str,
    /// Makes adapters of accounts.
    pub factory: AdapterFactory,
    /// How many accounts one person may have.
    pub accounts_per_user: usize,
    /// Makes a link that opens the web pages once, as a person; `None` when the system gives no random numbers.
    pub pages: PagesLink,
    /// How long adapters may take to stop.
    pub grace: Duration,
}

/// Makes a link that opens the web pages once, as a person, and no more of them than what they came in with does.
pub type PagesLink = Arc<dyn Fn(&UserName, &Credential) -> Option<String> + Send + Sync>;

/// The pipe, running.
pub struct Bridge {
    /// Itself, for work that outlives whoever ordered it.
    me: Weak<Self>,
    store: Store,
    vault: Arc<dyn MediaVault>,
    clock: Arc<dyn Clock>,
    account_kind: &'static str,
    factory: AdapterFactory,
    accounts_per_user: usize,
    pages: PagesLink,
    doors: doors::Doors,
    grace: Duration,
    feed: broadcast::Sender<FeedEvent>,
    /// What runs. In shards: thousands of accounts tell how they are and take orders side by side, and a page that
    /// lists all of them must not stop one. Nobody waits for anything while holding an entry.
    networks: DashMap<NetworkId, supervisor::Slot>,
    routes: Arc<route::Routes>,
    lanes: lanes::Lanes,
    links: watch::Sender<LinkTable>,
    tasks: supervisor::Tasks,
    meter: Meter,
    in_hand: journey::InHand,
    /// Nobody can tell of some commit whether it is on disk.
    is_unsure: AtomicBool,
    /// Accounts that are being removed.
    leaving: DashMap<NetworkId, orders::Going>,
    /// Links are read and told by one at a time: of two readings the older one must not be told last. A lock, because
    /// the reading waits for the store.
    telling: tokio::sync::Mutex<()>,
    /// One at a time adds accounts, starts them anew or takes them away; false when the pipe is ending. A lock,
    /// because its holders wait for a run's end: two of them would leave two runs on one session.
    changing: tokio::sync::Mutex<bool>,
}

impl Bridge {
    /// Builds the pipe and starts its own tasks. Networks are added afterwards.
    ///
    /// # Errors
    /// When the open lanes cannot be read.
    pub async fn new(config: BridgeConfig) -> Result<Arc<Self>, StoreError> {
        let open = config.store.open_lanes().await?;
        let links = links::table(&config.store).await?;
        let routes = Arc::new(route::Routes::new(Arc::clone(&config.vault)));
        for (account, face) in config.store.mirrors().await? {
            routes.mirror(&account, &face);
        }
        let (lanes, dispatch) = lanes::channel();
        let bridge = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            store: config.store,
            vault: config.vault,
            doors: doors::Doors::new(Arc::clone(&config.clock)),
            clock: config.clock,
            account_kind: config.account_kind,
            factory: config.factory,
            accounts_per_user: config.accounts_per_user,
            pages: config.pages,
            grace: config.grace,
            feed: broadcast::channel(FEED_EVENTS).0,
            networks: DashMap::new(),
            routes,
            lanes,
            links: watch::channel(links).0,
            tasks: supervisor::Tasks::new(config.seed),
            meter: Meter::default(),
            in_hand: journey::InHand::default(),
            is_unsure: AtomicBool::new(false),
            leaving: DashMap::new(),
            telling: tokio::sync::Mutex::new(()),
            changing: tokio::sync::Mutex::new(true),
        });
        for link in bridge.store.links().await? {
            bridge.learn_twins(&link.members).await?;
        }
        let dropped = dropped::at_start(bridge.take_dropped().await?, &open);
        bridge.tasks.spawn("lanes", dispatch.run(Arc::downgrade(&bridge), open, dropped));
        Ok(bridge)
    }

    /// Adds a network and keeps it running until it is removed. `owner` is whose account it is.
    pub fn add_network(self: &Arc<Self>, adapter: Arc<dyn Adapter>, owner: Option<UserName>) {
        supervisor::add(self, adapter, owner);
    }

    /// Stops a network and forgets it.
    pub async fn remove_network(&self, network: &NetworkId) {
        supervisor::remove(self, network).await;
    }

    /// Runs a network again that rests: one that was barred, or cannot go on. False when there is no such network, or
    /// it goes on by itself.
    pub fn retry(&self, network: &NetworkId) -> bool {
        supervisor::retry(self, network)
    }

    /// Lets a running network try again what it gave up, such as a channel that it was thrown out of; says what that
    /// is.
    ///
    /// # Errors
    /// `Refused` when there is nothing of the kind, `Failed` when the network gives no answer.
    pub async fn retry_within(&self, network: &NetworkId) -> Result<String, CommandError> {
        match control::ask(self, network, Request::Retry).await? {
            Answer::Text(what) => Ok(what),
            _ => Err(CommandError::Failed(format!("{network} gave no answer"))),
        }
    }

    /// Asks a face something about an account, in the name of its owner: whose it is was looked at.
    ///
    /// # Errors
    /// `NoSuchAccount` when there is no such face, `Refused` when it has nothing of the kind, `Failed` when it gives no
    /// answer.
    pub async fn ask_face(&self, face: &NetworkId, request: Request) -> Result<Answer, CommandError> {
        control::ask(self, face, request).await
    }

    /// Gives an account a note that its adapter reads at the beginning of a run, and starts it anew with it; the audit
    /// trail says `what` was done, by whom and at which door. False when there is no such account.
    ///
    /// # Errors
    /// `Failed` when the note cannot be made durable, or the pipe is ending; nothing is changed then.
    pub async fn configure(
        self: &Arc<Self>,
        account: &NetworkId,
        note: Note,
        (who, door, what): (Option<UserName>, &str, &str),
    ) -> Result<bool, CommandError> {
        let (bridge, account) = (Arc::clone(self), account.clone());
        let (door, what) = (door.to_owned(), what.to_owned());
        self.see_through(async move {
            let was_there = supervisor::configure(&bridge, &account, note).await?;
            if was_there {
                bridge.record(who, &door, &what, account.name().to_owned()).await;
            }
            Ok(was_there)
        })
        .await
    }

    /// Adds every stored account, a few at a time so that thousands do not call at once.
    ///
    /// # Errors
    /// When the accounts cannot be read.
    pub async fn add_accounts(self: &Arc<Self>) -> Result<usize, StoreError> {
        supervisor::add_accounts(self).await
    }

    /// How every network is doing, by name.
    pub fn healths(&self) -> Vec<(NetworkId, Option<UserName>, Health)> {
        let mut all: Vec<_> = self
            .networks
            .iter()
            .map(|slot| (slot.key().clone(), slot.owner.clone(), slot.health.clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Whose a network is and how it is doing.
    pub fn health_of(&self, network: &NetworkId) -> Option<(Option<UserName>, Health)> {
        self.networks.get(network).map(|slot| (slot.owner.clone(), slot.health.clone()))
    }

    /// How far the first reading of an account's contacts is: the latest word, and a wake-up at each change; `None` for
    /// a network that is not there.
    pub fn loading_of(&self, network: &NetworkId) -> Option<watch::Receiver<Option<Loading>>> {
        self.networks.get(network).map(|slot| slot.loading.subscribe())
    }

    /// The desk that takes commands. The audit trail names `door`, and `who` where a command is carried out in
    /// nobody's name.
    pub fn control(self: &Arc<Self>, door: &str, who: Option<UserName>) -> Arc<dyn Control> {
        Arc::new(control::Desk { bridge: Arc::clone(self), door: door.to_owned(), who })
    }

    /// What the pipe has counted since the start.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The store, for readers beside the pipe (metrics, command line).
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until a bug has ended what the pipe cannot do without, and says so: whoever hears it ends the program,
    /// so that it starts anew. Dropping the future loses nothing.
    pub async fn broke(&self) -> String {
        tokio::select! {
            task = self.tasks.broke() => format!("a bug ended a task of the pipe ({task})"),
            why = self.store.broke() => why,
        }
    }

    /// Stops every network within the grace period, then the pipe's own tasks.
    pub async fn shutdown(&self) {
        supervisor::shutdown(self).await;
    }

    fn tell(&self, event: FeedEvent) {
        // Nobody listening is a normal state of affairs.
        let _ = self.feed.send(event);
    }
}
