//! One run of the application service: the listener, the taking of transactions, deliveries, and the
//! watch on the homeserver, side by side. None of them goes on without the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, BoxFuture, Capabilities, Crew, Delivery, FarError, Health,
    NetworkId, Order, Stop, Stopped,
};

use crate::client::Client;
use crate::config::MatrixConfig;
use crate::inbound::effects::EFFECTS;
use crate::inbound::{self, Inbound, TRANSACTIONS, todo};
use crate::media::Fetcher;
use crate::provisioning::{self, Provisioning};
use crate::shared::Shared;
use crate::{catch_up, chores, crypto, greet, listen, mirror};

/// Deliveries under way at once. The bridge hands out no more; see its lanes.
const MAX_ERRANDS: usize = 64;
/// For deliveries that are under way when the end is announced. Chosen: within any grace period.
const LAST_ERRANDS: Duration = Duration::from_secs(3);

/// A homeserver, as its application service.
#[derive(Debug)]
pub struct MatrixAdapter {
    config: MatrixConfig,
    provisioning: Arc<Provisioning>,
}

impl MatrixAdapter {
    /// The application service as configured; it listens once it runs.
    #[must_use]
    pub fn new(config: MatrixConfig) -> Self {
        Self { config, provisioning: Provisioning::new() }
    }

    /// What managers speak, to be served under its own paths by any listener that they reach.
    pub fn provisioning(&self) -> axum::Router {
        provisioning::router(Arc::clone(&self.provisioning))
    }
}

impl Adapter for MatrixAdapter {
    fn network(&self) -> &NetworkId {
        &self.config.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: true,
            // Longer ones are split; see `outbound/split.rs`.
            max_text_chars: 1_000_000,
            carries_files: true,
            can_recall: true,
            shows_authors: true,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(run(self.config.clone(), &self.provisioning, ctx))
    }
}

async fn run(
    config: MatrixConfig,
    managers: &Arc<Provisioning>,
    ctx: AdapterContext,
) -> Result<Stopped, AdapterError> {
    let wrong: Vec<String> = config.check().iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Err(AdapterError::Fatal(format!("matrix.appservice: {}", wrong.join("; "))));
    }
    let client = Client::new(&config).map_err(|error| AdapterError::Fatal(error.to_string()))?;
    let listener = match config.account {
        None => Some(bind(&config).await?),
        Some(_) => None,
    };
    let (stop, seed) = (ctx.stop.clone(), ctx.seed);
    ctx.far.health(&ctx.network, Health::Starting);
    let feed = ctx.directory.subscribe();
    let (shared, orders) = Shared::new(config, client, ctx);

    let (transaction, transactions) = mpsc::channel(TRANSACTIONS);
    let (missed, asked_for) = mpsc::channel(inbound::PAGES);
    let (task, tasks_to_do) = mpsc::channel(EFFECTS);
    let (begin, begun) = oneshot::channel();
    let (addressed, questions) = mpsc::channel(EFFECTS);
    let _open = listener.is_some().then(|| managers.open(Arc::clone(&shared)));
    // An ordinary account gets no transactions; their end is held until the run is over.
    let router = listen::router(shared.config.hs_token.clone(), transaction)
        .merge(listen::once(provisioning::router(Arc::clone(managers))));
    let mut crew = Crew::new(stop.clone());
    let _unused = match listener {
        Some(listener) => {
            crew.spawn("the listener", listen::serve(listener, router, stop.clone()));
            None
        }
        None => Some(router),
    };
    let files = Arc::new(Notify::new());
    let taking = Inbound::new(Arc::clone(&shared), task, addressed, Arc::clone(&files));
    crew.spawn("the taking of events", taking.run(begun, transactions, asked_for, stop.clone()));
    crew.spawn("catching up", catch_up::run(Arc::clone(&shared), missed, stop.clone()));
    let fetcher = Fetcher { shared: Arc::clone(&shared), bell: files };
    crew.spawn("the fetching of files", fetcher.run(stop.clone()));
    let following = todo::run(Arc::clone(&shared), (tasks_to_do, begin), stop.clone());
    crew.spawn("what follows from events", following);
    crew.spawn("the management room", crate::management::run(Arc::clone(&shared), questions, stop.clone()));
    crew.spawn("the devices", crypto::run(Arc::clone(&shared), stop.clone()));
    crew.spawn("the watch on the homeserver", greet::run(Arc::clone(&shared), seed, stop.clone()));
    shared.chores.look_through_everything();
    crew.spawn("the chores", chores::run(Arc::clone(&shared), stop.clone()));
    crew.spawn("the watch on the accounts", mirror::run(Arc::clone(&shared), feed, stop.clone()));
    let deliveries = async {
        errands(&shared, orders, stop.clone()).await;
        stop.stopping().await;
    };
    tokio::select! {
        error = crew.broke() => return Err(error),
        () = deliveries => {}
    }
    crew.finish().await;
    Ok(Stopped)
}

async fn bind(config: &MatrixConfig) -> Result<TcpListener, AdapterError> {
    let address = config.listen;
    let fatal =
        |error| AdapterError::Fatal(format!("the application service cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(fatal)?;
    let bound = listener.local_addr().map_err(fatal)?;
    if let Some(on_bound) = &config.on_bound {
        on_bound(bound);
    }
    tracing::info!(address = %bound, "the application service listens");
    Ok(listener)
}

/// Carries deliveries out side by side, and takes none while the homeserver is away: they are safe
/// where they are.
async fn errands(shared: &Shared, mut orders: mpsc::Receiver<Order>, stop: Stop) {
    let mut running: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut reach: watch::Receiver<bool> = shared.client.reach();
    loop {
        let is_there = *reach.borrow_and_update();
        tokio::select! {
            () = stop.stopping() => break,
            Some(()) = running.next(), if !running.is_empty() => {}
            changed = reach.changed() => if changed.is_err() { break },
            order = orders.recv(), if is_there && running.len() < MAX_ERRANDS => match order {
                None => break,
                Some(Order::Deliver(delivery)) => running.push(Box::pin(errand(shared, delivery))),
                // A face is not signed in.
                Some(Order::SignIn | Order::SignOut) => {}
                Some(Order::Ask(ask)) => running.push(Box::pin(shared.asked(ask))),
            },
        }
    }
    // What is under way may still report; what does not is delivered again with the same id.
    let _ = tokio::time::timeout(LAST_ERRANDS, async { while running.next().await.is_some() {} }).await;
}

async fn errand(shared: &Shared, delivery: Box<Delivery>) {
    let outcome = Box::pin(shared.carry_out(&delivery)).await;
    let mut wait = Duration::from_millis(250);
    loop {
        match shared.far.settle(&shared.network, delivery.id, outcome.clone()).await {
            Ok(()) | Err(FarError::Stopping) => return,
            Err(error) => {
                tracing::warn!(delivery = %delivery.id, %error, "an outcome could not be stored yet");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(15));
    }
}
