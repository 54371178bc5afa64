//! One run of an account: the session, the sends and the downloads, side by side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::sync::{Notify, mpsc};
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, Body, BoxFuture, Capabilities, CommandError, Delivery, DeliveryId,
    FarEnd, FarError, Health, Job, NetworkId, Order, Outcome, Stop, Stopped,
};

use crate::asked::Asked;
use crate::config::WechatConfig;
use crate::identity::marks::Marks;
use crate::identity::settle::Settler;
use crate::inbound::Inbound;
use crate::inbound::fetch::Fetcher;
use crate::outbound::unanswered::Unanswered;
use crate::outbound::{MAX_TEXT_CHARS, Outbound};
use crate::own::{Own, OwnError};
use crate::proxy::WayOut;
use crate::roster::Roster;
use crate::session::driver::{self, Hands, Wish};
use crate::session::live::Live;
use crate::session::machine::Machine;
use crate::transport::{Transport, Ways};

/// Deliveries without a file under way at once; one open per chat is what the bridge promises. Chosen: far above what
/// the pace lets through.
const MAX_ERRANDS: usize = 16;
/// Deliveries with a file under way at once: they wait for each other, and nobody else for them. Chosen: one that is
/// uploaded, and one that is not there yet or waits to be.
const FILES: usize = 2;
/// Files that wait here for their turn; the next ones are told to come again, so that the bridge goes on handing over
/// what else there is. Chosen: a quarter of what it hands over at once.
const FILES_WAITING: usize = 16;
/// When they come again. Chosen: a small file's upload.
const FILE_LATER: Duration = Duration::from_secs(10);
/// Deliveries that wait here for their turn, so that what people ask does not wait behind them. Chosen: all that the
/// bridge hands over at once; beyond that nothing is taken.
const WAITING: usize = 64;
/// Questions under way at once. Chosen: each is a call or two; a picture may take long.
const MAX_ASKED: usize = 16;
/// Questions that wait for theirs; who asks one more is told to come again. Chosen: faces that show pictures ask for
/// one after the other, and people for less.
const ASKED: usize = 64;
/// For deliveries that are under way when the end is announced. Chosen: within any grace period.
const LAST_ERRANDS: Duration = Duration::from_secs(3);
/// Pause before a store that was away is looked at again; doubles up to the cap. Chosen: a moment's lock costs a
/// moment, and ten thousand accounts that wait for a disk ask it little.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// Wishes of people wait here for the session; more than a few are the same click again. Chosen.
const WISHES: usize = 4;

/// One WeChat account.
#[derive(Debug)]
pub struct WechatAdapter {
    config: WechatConfig,
    ways: Ways,
}

impl WechatAdapter {
    /// An account that uses one of the shared ways out.
    #[must_use]
    pub fn new(config: WechatConfig, ways: Ways) -> Self {
        Self { config, ways }
    }

    /// What this account has of its own. A store that is away is waited for here: a run that ends for it would rest
    /// longer each time, and come back minutes after the store.
    async fn own(&self, ctx: &AdapterContext) -> Result<Own, AdapterError> {
        let mut pause = FIRST_LOOK;
        loop {
            let error = match Own::of(&*ctx.far, &ctx.network).await {
                Ok(own) => return Ok(own),
                Err(OwnError::Far(FarError::Unavailable(why))) => why,
                Err(OwnError::Far(error)) => return Err(AdapterError::Restart(error.to_string())),
                Err(error) => return Err(AdapterError::Fatal(error.to_string())),
            };
            tracing::warn!(network = %ctx.network, error, "the account cannot be read yet");
            ctx.far.health(
                &ctx.network,
                Health::Degraded { why: format!("what is stored cannot be read: {error}") },
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_LOOK),
                () = ctx.stop.stopping() => return Ok(Own::default()),
            }
        }
    }

    /// The wire, by this account's own way out where it has one.
    fn transport(&self, way: &WayOut) -> Result<Transport, AdapterError> {
        let proxy = way.proxy(self.config.proxy.as_deref());
        Transport::new(&self.ways, proxy.as_deref(), &self.config)
            .map_err(|error| AdapterError::Fatal(error.to_string()))
    }
}

impl Adapter for WechatAdapter {
    fn network(&self) -> &NetworkId {
        &self.config.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: false,
            max_text_chars: MAX_TEXT_CHARS,
            carries_files: true,
            can_recall: true,
            shows_authors: false,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(async move {
            let own = self.own(&ctx).await?;
            let transport = self.transport(&own.way)?;
            let sends_per_minute = own.rate.per_minute(self.config.sends_per_minute);
            account(&self.config, sends_per_minute, Arc::new(transport), ctx).await;
            Ok(Stopped)
        })
    }
}

/// Builds the three branches, and waits for them. Each is boxed, so that this future is small and
/// an idle account holds only the branch states that are in use.
fn account(
    config: &WechatConfig,
    sends_per_minute: u32,
    transport: Arc<Transport>,
    ctx: AdapterContext,
) -> BoxFuture<'static, ()> {
    let mut rng = SmallRng::from_seed(ctx.seed);
    let (machine_seed, pace_seed, marks_seed, pictures_seed): (u64, u64, u64, u64) = rng.random();
    let network = ctx.network.clone();
    let live = Arc::new(Live::new(Arc::clone(&ctx.clock), config.profile, &config.lang, rng));
    let unanswered = Arc::new(Unanswered::default());
    let bell = Arc::new(Notify::new());
    let inbound = || {
        Inbound::new(
            Roster::new(Arc::clone(&ctx.far), network.clone()),
            Arc::clone(&transport),
            Arc::clone(&live),
            network.clone(),
            Arc::clone(&unanswered),
            (Arc::clone(&ctx.directory), config.max_media_bytes),
        )
    };
    let (inbound, looker) = (inbound(), inbound());
    let settler = Arc::new(Settler {
        far: Arc::clone(&ctx.far),
        directory: Arc::clone(&ctx.directory),
        live: Arc::clone(&live),
        network: network.clone(),
    });
    let on_synced = config.on_synced.clone();
    let hands =
        Hands::new(Arc::clone(&settler), Arc::clone(&transport), inbound, Arc::clone(&bell), on_synced);
    let outbound = Outbound::new(
        Arc::clone(&transport),
        Arc::clone(&live),
        (Arc::clone(&ctx.far), Arc::clone(&ctx.media)),
        (unanswered, looker),
        config,
        (sends_per_minute, pace_seed),
    );
    let marks = Marks::new(
        Arc::clone(&transport),
        Arc::clone(&live),
        (Arc::clone(&ctx.far), Arc::clone(&ctx.directory)),
        config,
        marks_seed,
    );
    let asked = Asked {
        transport: Arc::clone(&transport),
        live: Arc::clone(&live),
        far: Arc::clone(&ctx.far),
        vault: Arc::clone(&ctx.media),
        network: network.clone(),
        settler,
        marks,
        look_for_pictures: config.timings.look_for_pictures,
    };
    let fetcher = Fetcher {
        transport,
        live,
        vault: ctx.media,
        network: network.clone(),
        bell,
        retry: config.timings.download_retry,
        max_bytes: config.max_media_bytes,
    };
    let machine = Machine::new(config.timings, SmallRng::seed_from_u64(machine_seed));
    let (wish, wishes) = mpsc::channel(WISHES);
    let session: BoxFuture<'static, ()> =
        Box::pin(driver::run(machine, hands, wishes, ctx.stop.clone(), config.timings.save_every));
    let errands: BoxFuture<'static, ()> = Box::pin(errands(
        (outbound, asked, pictures_seed),
        ctx.far,
        network,
        ctx.orders,
        wish,
        ctx.stop.clone(),
    ));
    let downloads: BoxFuture<'static, ()> = Box::pin(fetcher.run());
    let stop = ctx.stop;
    Box::pin(async move {
        let rest = async {
            tokio::select! {
                () = downloads => {}
                () = stop.stopping() => {}
            }
        };
        tokio::join!(session, errands, rest);
    })
}

/// Takes orders, passes wishes on, carries deliveries out side by side.
async fn errands(
    (outbound, asked, pictures_seed): (Outbound, Asked, u64),
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    mut orders: mpsc::Receiver<Order>,
    wish: mpsc::Sender<Wish>,
    stop: Stop,
) {
    let mut running: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut answers: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut uploads: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let (mut waiting, mut files, mut questions) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
    if asked.marks.is_allowed {
        answers.push(Box::pin(asked.marks.go_on()));
    }
    let mut pictures: BoxFuture<'_, ()> = Box::pin(asked.keep_pictures(pictures_seed));
    loop {
        while running.len() < MAX_ERRANDS
            && let Some(delivery) = waiting.pop_front()
        {
            running.push(Box::pin(errand(&outbound, &*far, &network, delivery)));
        }
        while uploads.len() < FILES
            && let Some(delivery) = files.pop_front()
        {
            uploads.push(Box::pin(errand(&outbound, &*far, &network, delivery)));
        }
        while answers.len() < MAX_ASKED
            && let Some(ask) = questions.pop_front()
        {
            answers.push(Box::pin(asked.answer(ask)));
        }
        tokio::select! {
            () = stop.stopping() => break,
            Some(()) = running.next(), if !running.is_empty() => {}
            Some(()) = uploads.next(), if !uploads.is_empty() => {}
            Some(()) = answers.next(), if !answers.is_empty() => {}
            // Never over.
            () = &mut pictures => {}
            order = orders.recv(), if waiting.len() < WAITING => match order {
                None => break,
                Some(Order::Deliver(delivery)) if !has_file(&delivery) => waiting.push_back(delivery),
                Some(Order::Deliver(delivery)) if files.len() < FILES_WAITING => files.push_back(delivery),
                Some(Order::Deliver(delivery)) => {
                    let why = "other files of this account go first".to_owned();
                    let later = Outcome::TryLater { after: FILE_LATER, why };
                    running.push(Box::pin(settle(&*far, &network, delivery.id, later)));
                }
                // A full queue already holds a wish; the same one twice does nothing more.
                Some(Order::SignIn) => drop(wish.try_send(Wish::SignIn)),
                Some(Order::SignOut) => drop(wish.send(Wish::SignOut).await),
                Some(Order::Ask(ask)) if questions.len() < ASKED => questions.push_back(ask),
                Some(Order::Ask(ask)) => {
                    let busy = CommandError::Failed(format!("{network} has much to answer; try again in a moment"));
                    let _ = ask.answer.try_send(Err(busy));
                }
            },
        }
    }
    // What is under way may still report; what does not is delivered again with the same id.
    // What waits comes again as well.
    running.extend(uploads);
    let last = async { while running.next().await.is_some() {} };
    if tokio::time::timeout(LAST_ERRANDS, last).await.is_err() {
        outbound.keep_open().await;
    }
    stop.stopping().await;
}

async fn errand(outbound: &Outbound, far: &dyn FarEnd, network: &NetworkId, delivery: Box<Delivery>) {
    let outcome = outbound.carry_out(&delivery).await;
    settle(far, network, delivery.id, outcome).await;
}

/// Whether it says a file, which takes its time.
fn has_file(delivery: &Delivery) -> bool {
    matches!(&delivery.job, Job::Say(say) if matches!(say.post.body, Body::Attachment(_)))
}

async fn settle(far: &dyn FarEnd, network: &NetworkId, delivery: DeliveryId, outcome: Outcome) {
    let mut wait = Duration::from_millis(250);
    loop {
        match far.settle(network, delivery, outcome.clone()).await {
            Ok(()) => return,
            Err(FarError::Stopping) => return,
            Err(error) => {
                tracing::warn!(%network, %delivery, %error, "an outcome could not be stored yet");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(15));
    }
}
