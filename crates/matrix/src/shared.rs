//! What every part of a run uses.

use std::sync::Arc;

use tokio::sync::watch;
use wxgate_contract::{AdapterContext, Clock, Control, Directory, FarEnd, MediaVault, NetworkId, Order};

use crate::chores::Chores;
use crate::client::{Actor, Client};
use crate::config::MatrixConfig;
use crate::crypto::Crypto;
use crate::inbound::bystanders::Bystanders;
use crate::inbound::called::Called;
use crate::inbound::crowds::Crowds;
use crate::inbound::relay::Relayed;
use crate::making::Making;
use crate::management::identity::Shown;
use crate::memory::{Ghost, Memory};
use crate::names::Names;
use crate::newcomers::Newcomers;
use crate::owners::Owners;
use crate::puppets::Puppets;
use crate::share::Turns;
use crate::states::States;

/// The device of the bot and of every ghost: made so that transaction ids are remembered. It has no keys; the
/// devices that have are others, whose ids begin with this; see `crypto`.
pub(crate) const DEVICE: &str = "WXGATE";

/// What the homeserver told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Version of rooms that are made.
    pub(crate) room_version: String,
    /// Devices can be made, so transaction ids can be made to last.
    pub(crate) has_devices: bool,
    /// Largest upload, when it is told.
    pub(crate) upload_bytes: Option<u64>,
}

/// The parts of one run.
pub(crate) struct Shared {
    pub(crate) config: MatrixConfig,
    pub(crate) network: NetworkId,
    pub(crate) names: Names,
    pub(crate) client: Client,
    pub(crate) memory: Memory,
    pub(crate) making: Making,
    pub(crate) owners: Owners,
    pub(crate) puppets: Puppets,
    pub(crate) newcomers: Newcomers,
    pub(crate) chores: Chores,
    pub(crate) states: States,
    pub(crate) shown: Shown,
    pub(crate) relayed: Relayed,
    pub(crate) called: Called,
    pub(crate) bystanders: Bystanders,
    pub(crate) crowds: Crowds,
    pub(crate) turns: Turns,
    pub(crate) crypto: Crypto,
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) media: Arc<dyn MediaVault>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Pictures are decoded one at a time: a large one takes some ten megabytes.
    #[cfg(feature = "previews")]
    pub(crate) looking: Arc<tokio::sync::Semaphore>,
    /// Held over a read and a write of somebody's list of direct chats: rooms are furnished side by side.
    pub(crate) listing: tokio::sync::Mutex<()>,
    /// Rung when it is time to ask for what was missed.
    pub(crate) catch_up: tokio::sync::Notify,
    /// Set by the greeting; `None` before the homeserver was ever reached.
    pub(crate) facts: watch::Sender<Option<Facts>>,
}

impl Shared {
    /// The shared parts, and the orders that are left of the context.
    pub(crate) fn new(
        config: MatrixConfig,
        client: Client,
        ctx: AdapterContext,
    ) -> (Arc<Self>, tokio::sync::mpsc::Receiver<Order>) {
        let names = Names::new(&config.domain, &config.prefix, &config.bot_localpart);
        let names = if config.account.is_some() { names.of_account() } else { names };
        let shared = Self {
            names,
            client,
            memory: Memory::new(Arc::clone(&ctx.far), ctx.network.clone()),
            making: Making::default(),
            owners: Owners::new(Arc::clone(&ctx.directory), ctx.network.clone()),
            puppets: Puppets::default(),
            newcomers: Newcomers::default(),
            chores: Chores::default(),
            states: States::default(),
            shown: Shown::default(),
            relayed: Relayed::default(),
            called: Called::default(),
            bystanders: Bystanders::default(),
            crowds: Crowds::default(),
            turns: Turns::default(),
            crypto: Crypto::new(&config),
            network: ctx.network,
            far: ctx.far,
            media: ctx.media,
            directory: ctx.directory,
            control: ctx.control,
            clock: ctx.clock,
            #[cfg(feature = "previews")]
            looking: Arc::new(tokio::sync::Semaphore::new(1)),
            listing: tokio::sync::Mutex::default(),
            catch_up: tokio::sync::Notify::new(),
            facts: watch::channel(None).0,
            config,
        };
        (Arc::new(shared), ctx.orders)
    }

    /// What the homeserver told; the careful assumption before it told anything.
    pub(crate) fn facts(&self) -> Facts {
        let careful = || Facts { room_version: "1".to_owned(), has_devices: false, upload_bytes: None };
        self.facts.borrow().clone().unwrap_or_else(careful)
    }

    /// The bot.
    pub(crate) fn bot(&self) -> Actor<'_> {
        Actor::As { user_id: self.names.bot(), device_id: self.facts().has_devices.then_some(DEVICE) }
    }

    /// A ghost.
    pub(crate) fn as_ghost<'a>(&self, ghost: &'a Ghost) -> Actor<'a> {
        Actor::As { user_id: &ghost.user_id, device_id: ghost.has_device.then_some(DEVICE) }
    }
}
