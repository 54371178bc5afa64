//! One task per network: started, restarted after trouble, stopped, removed at run time.
//!
//! A panic of a network ends one run and is counted; it never takes the process down. One of the pipe's own tasks is
//! told (`Tasks::broke`), for without it nothing would cross any more. A network that cannot
//! go on (`Fatal`) rests until somebody orders something of it. One that was barred (`Barred`) is tried again after
//! hours, for some days.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, Batch, CommandError, Directory, FarEnd, Health, LinkedChats,
    Loading, NetworkId, Note, Order, SignInStep, Stop, StopHandle, UserName,
};
use wxgate_store::StoreError;

use crate::Bridge;
use crate::lanes::{IN_FLIGHT, Lanes};

/// Room in an adapter's order queue: all deliveries it may have in flight, and commands besides.
const ORDERS: usize = IN_FLIGHT + 8;
/// First pause before a restart; doubles up to the cap. Chosen.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before a restart. Chosen: an account that fails for a reason of its own must not
/// cost anything, and one whose network is back must not wait for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A run that lasted this long starts the pauses anew.
const STABLE: Duration = Duration::from_secs(300);
/// First pause after being barred, before what chance takes of it; doubles up to the cap. Chosen: most bans end after
/// an hour or a day, and a server that bans us is not to be troubled.
const BARRED_PAUSE: Duration = Duration::from_secs(2 * 3600);
const LONGEST_BARRED: Duration = Duration::from_secs(2 * 86_400);
/// So often; a network that still bars us after half a week has to be asked by a person.
const BARRED_TRIES: u32 = 7;
/// Accounts that start at once; the others follow at `START_GAP`. Chosen: ten thousand accounts
/// are all running after twenty seconds without one burst of connections.
const START_AT_ONCE: usize = 64;
const START_GAP: Duration = Duration::from_millis(2);

/// Before a network that moves goes on at its new place. Chosen: nobody notices, and a place that sends it on at once
/// costs little.
const MOVE_PAUSE: Duration = Duration::from_millis(50);

/// How long a command waits for a network whose order queue is full. Chosen: a person waits.
const ORDER_PATIENCE: Duration = Duration::from_secs(5);

/// A network as the registry knows it.
pub(crate) struct Slot {
    pub(crate) owner: Option<UserName>,
    pub(crate) health: Health,
    pub(crate) sign_in: Option<watch::Sender<SignInStep>>,
    /// It was ordered to sign out, which was answered, and has not done so yet: a run that ends before, or moves, takes the
    /// order with it.
    pub(crate) owes_sign_out: bool,
    /// How far the first reading of an account's contacts is, while it lasts.
    pub(crate) loading: watch::Sender<Option<Loading>>,
    /// To the present run; replaced at each restart.
    orders: mpsc::Sender<Order>,
    stop: StopHandle,
    /// Wakes a network that rests.
    poke: Arc<Notify>,
    /// Ends the rest of a network that was barred or cannot go on.
    retry: Arc<Notify>,
    /// Closed when the task has ended.
    ended: watch::Receiver<()>,
}

impl Slot {
    pub(crate) fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }
}

/// The tasks of the pipe, by name, and the generator their seeds come from.
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// The first that a bug ended. Nobody starts it anew: what it owned went with it.
    broke: watch::Sender<Option<&'static str>>,
    /// Announced when the program ends.
    end: StopHandle,
    ending: Stop,
    // Drawn from a few times per restart; a message would need a task of its own.
    dice: Mutex<SmallRng>,
}

impl Tasks {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let (broke, dice) = (watch::channel(None).0, Mutex::new(SmallRng::from_seed(seed)));
        let (end, ending) = StopHandle::new();
        Self { tracker: TaskTracker::new(), broke, end, ending, dice }
    }

    /// Tells what people ordered that the program ends.
    pub(crate) fn ending(&self) -> Stop {
        self.ending.clone()
    }

    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let broke = self.broke.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "a bug ended a task of the pipe");
                broke.send_if_modified(|first| first.replace(name).is_none());
            }
        });
    }

    /// Waits until a bug has ended one of them, and says which.
    pub(crate) async fn broke(&self) -> &'static str {
        match self.broke.subscribe().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(name)) => name,
            // Its sender is ours.
            _ => std::future::pending().await,
        }
    }

    fn seed(&self) -> [u8; 32] {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A pause of 50 % to 100 % of `pause`, so that many networks do not come back in step.
    fn jitter(&self, pause: Duration) -> Duration {
        pause.mul_f64(self.dice.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..1.0))
    }
}

pub(crate) fn add(bridge: &Arc<Bridge>, adapter: Arc<dyn Adapter>, owner: Option<UserName>) {
    add_later(bridge, adapter, owner, Duration::ZERO);
}

fn add_later(bridge: &Arc<Bridge>, adapter: Arc<dyn Adapter>, owner: Option<UserName>, delay: Duration) {
    let network = adapter.network().clone();
    bridge.routes.learn(&network, adapter.capabilities());
    if owner.is_some() {
        bridge.routes.learn_account(&network);
    }
    let (stop, token) = StopHandle::new();
    let (orders, _) = mpsc::channel(1);
    let (alive, ended) = watch::channel(());
    let (poke, retry) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slot = Slot {
        owner,
        health: Health::Starting,
        sign_in: None,
        owes_sign_out: false,
        loading: watch::channel(None).0,
        orders,
        stop,
        poke: Arc::clone(&poke),
        retry: Arc::clone(&retry),
        ended,
    };
    // Adding a network twice would leave two tasks on one session.
    if bridge.networks.contains_key(&network) {
        tracing::error!(%network, "the network is there already; the second one was not added");
        return;
    }
    let span = tracing::info_span!("network", %network);
    bridge.networks.insert(network, slot);
    let keeper = Keeper { house: Arc::clone(bridge), adapter, stop: token, poke, retry };
    let life = async move {
        tokio::select! {
            // Ten thousand accounts wait for up to twenty seconds, which is longer than an end may take.
            () = keeper.stop.stopping() => {}
            () = tokio::time::sleep(delay) => keeper.keep().await,
        }
        drop(alive);
    };
    bridge.tasks.spawn("network", life.instrument(span));
}

pub(crate) async fn add_accounts(bridge: &Arc<Bridge>) -> Result<usize, StoreError> {
    let rows = bridge.store.accounts().await?;
    let count = rows.len();
    for (n, row) in rows.into_iter().enumerate() {
        let after = u32::try_from(n.saturating_sub(START_AT_ONCE)).unwrap_or(u32::MAX);
        let adapter = (bridge.factory)(&row);
        add_later(bridge, adapter, Some(row.owner), START_GAP.saturating_mul(after));
    }
    Ok(count)
}

/// Gives an account a note of its adapter's and starts it anew; false when there is no such account.
pub(crate) async fn configure(
    bridge: &Arc<Bridge>,
    account: &NetworkId,
    note: Note,
) -> Result<bool, CommandError> {
    let failed = |error: StoreError| CommandError::Failed(error.to_string());
    let _alone = bridge.alone().await?;
    let Some(row) = bridge.store.account(account).await.map_err(failed)? else { return Ok(false) };
    let batch = Batch { notes: vec![note], ..Batch::default() };
    // Durable first: a crash from here on leaves an account that has it.
    bridge.store.commit_batch(account, batch, bridge.route()).await.map_err(failed)?;
    remove(bridge, account).await;
    add(bridge, (bridge.factory)(&row), Some(row.owner));
    Ok(true)
}

pub(crate) async fn remove(bridge: &Bridge, network: &NetworkId) {
    let Some((_, slot)) = bridge.networks.remove(network) else { return };
    slot.stop.stop();
    slot.poke.notify_one();
    // The keeper itself drops the run after the grace period.
    let mut ended = slot.ended;
    let _ = ended.changed().await;
    bridge.routes.forget(network);
}

/// Runs a network again that rests. One that runs has pauses of its own, and is not ended in the middle of anything.
pub(crate) fn retry(bridge: &Bridge, network: &NetworkId) -> bool {
    let Some(slot) = bridge.networks.get(network) else { return false };
    if !matches!(slot.health, Health::Down { .. }) {
        return false;
    }
    slot.retry.notify_one();
    true
}

/// Hands an order to the present run of a network, waking it when it rests. One to sign out is handed to later runs as
/// well, until it is carried out or somebody signs in.
pub(crate) async fn order(bridge: &Bridge, network: &NetworkId, order: Order) -> Result<(), CommandError> {
    let owes = match order {
        Order::SignOut => true,
        Order::SignIn => false,
        Order::Deliver(_) | Order::Ask(_) => return hand_over(bridge, network, order).await,
    };
    // Before it is handed over: who carries it out says so at once.
    let set = |owes: bool| {
        if let Some(mut slot) = bridge.networks.get_mut(network) {
            slot.owes_sign_out = owes && !slot.health.is_signed_out();
        }
    };
    set(owes);
    let done = hand_over(bridge, network, order).await;
    if done.is_err() && owes {
        // Whoever ordered it was told that it was not done.
        set(false);
    }
    done
}

async fn hand_over(bridge: &Bridge, network: &NetworkId, order: Order) -> Result<(), CommandError> {
    let (poke, orders) = match bridge.networks.get(network) {
        Some(slot) => (Arc::clone(&slot.poke), slot.orders()),
        None => return Err(CommandError::NoSuchAccount(network.name().to_owned())),
    };
    match orders.send_timeout(order.clone(), ORDER_PATIENCE).await {
        Ok(()) => return Ok(()),
        Err(SendTimeoutError::Timeout(_)) => {
            return Err(CommandError::Failed(format!("{network} is busy and took no orders")));
        }
        Err(SendTimeoutError::Closed(_)) => {}
    }
    // Between two runs: wake the keeper and try the next run's queue for a while.
    poke.notify_one();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(orders) = bridge.networks.get(network).map(|slot| slot.orders()) else { break };
        if orders.send(order.clone()).await.is_ok() {
            return Ok(());
        }
    }
    Err(CommandError::Failed(match bridge.networks.get(network).map(|slot| slot.health.clone()) {
        // It said what to do before it could take any.
        Some(Health::Down { why }) => format!("{network} does not work: {why}"),
        _ => format!("{network} does not take orders now; try again in a moment"),
    }))
}

pub(crate) async fn shutdown(bridge: &Bridge) {
    bridge.tasks.end.stop();
    // Nobody begins a run from here on, which nobody would end.
    *bridge.changing.lock().await = false;
    let all: Vec<_> = bridge.networks.iter().map(|slot| slot.key().clone()).collect();
    for network in &all {
        if let Some(slot) = bridge.networks.get(network) {
            slot.stop.stop();
            slot.poke.notify_one();
        }
    }
    for network in &all {
        let ended = bridge.networks.get(network).map(|slot| slot.ended.clone());
        if let Some(mut ended) = ended {
            let _ = ended.changed().await;
        }
    }
    bridge.lanes.close();
    bridge.tasks.tracker.close();
    bridge.tasks.tracker.wait().await;
}

/// What keeps networks: the bridge, or a simulation of it, in which a seed decides what fails and when.
pub(crate) trait House: Send + Sync + 'static {
    /// The context of a network's next run; `None` when it was removed meanwhile.
    fn move_in(self: Arc<Self>, network: &NetworkId, stop: &Stop) -> Option<AdapterContext>;
    fn lanes(&self) -> &Lanes;
    /// How long a run may take to stop.
    fn grace(&self) -> Duration;
    /// 50 % to 100 % of a pause.
    fn jitter(&self, pause: Duration) -> Duration;
    /// A run is over.
    fn moved_out(&self, network: &NetworkId, health: Health);
    /// A run is over, and nothing is wrong: the next one is elsewhere.
    fn moves(&self, network: &NetworkId, why: &str);
}

impl House for Bridge {
    fn move_in(self: Arc<Self>, network: &NetworkId, stop: &Stop) -> Option<AdapterContext> {
        let (tx, orders) = mpsc::channel(ORDERS);
        let mut slot = self.networks.get_mut(network)?;
        if slot.owes_sign_out {
            // The queue is new, so there is room.
            let _ = tx.try_send(Order::SignOut);
        }
        slot.orders = tx;
        drop(slot);
        Some(AdapterContext {
            network: network.clone(),
            far: Arc::clone(&self) as Arc<dyn FarEnd>,
            media: Arc::clone(&self.vault),
            directory: Arc::clone(&self) as Arc<dyn Directory>,
            control: self.control(network.as_str(), None),
            orders,
            clock: Arc::clone(&self.clock),
            linked: LinkedChats::new(network.clone(), self.links.subscribe()),
            seed: self.tasks.seed(),
            stop: stop.clone(),
        })
    }

    fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    fn grace(&self) -> Duration {
        self.grace
    }

    fn jitter(&self, pause: Duration) -> Duration {
        self.tasks.jitter(pause)
    }

    fn moved_out(&self, network: &NetworkId, health: Health) {
        self.meter.restarted();
        tracing::warn!(%network, state = health.word(), why = health.detail(), "the network ended");
        self.give_up_sign_in(network, health.detail());
        self.health(network, health);
    }

    fn moves(&self, network: &NetworkId, why: &str) {
        tracing::info!(%network, why, "the network moves");
        self.give_up_sign_in(network, &format!("{why}; start it again"));
        self.health(network, Health::Starting);
    }
}

impl Bridge {
    /// An order to sign in that a run had went with it, and nobody else would tell whoever follows.
    fn give_up_sign_in(&self, network: &NetworkId, why: &str) {
        self.loading(network, None);
        let Some(watch) = self.networks.get(network).and_then(|slot| slot.sign_in.clone()) else { return };
        watch.send_if_modified(|step| {
            let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
            if !is_over {
                *step = SignInStep::Failed { why: why.to_owned() };
            }
            !is_over
        });
    }
}

/// Keeps one network running.
pub(crate) struct Keeper<H> {
    pub(crate) house: Arc<H>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) stop: Stop,
    pub(crate) poke: Arc<Notify>,
    pub(crate) retry: Arc<Notify>,
}

/// How a run ended.
enum End {
    Stopped,
    Failed(AdapterError),
    Panicked,
}

impl<H: House> Keeper<H> {
    pub(crate) async fn keep(&self) {
        let (mut pause, mut barred) = (FIRST_PAUSE, 0);
        while !self.stop.is_stopping() {
            let began = Instant::now();
            let end = self.run_once().await;
            if self.stop.is_stopping() {
                break;
            }
            if began.elapsed() >= STABLE {
                (pause, barred) = (FIRST_PAUSE, 0);
            }
            let wait = match self.judge(end) {
                Rest::Move => {
                    tokio::time::sleep(MOVE_PAUSE).await;
                    continue;
                }
                Rest::Short => self.house.jitter(pause),
                Rest::Long if barred < BARRED_TRIES => {
                    let pause = BARRED_PAUSE.saturating_mul(2_u32.pow(barred));
                    barred += 1;
                    self.house.jitter(pause.min(LONGEST_BARRED))
                }
                Rest::Long | Rest::Endless => Duration::MAX,
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::select! {
                biased;
                () = self.stop.stopping() => break,
                () = self.poke.notified() => pause = FIRST_PAUSE,
                () = self.retry.notified() => (pause, barred) = (FIRST_PAUSE, 0),
                () = sleep(wait) => {}
            }
        }
    }

    /// Tells what became of a run, and how long it rests.
    fn judge(&self, end: End) -> Rest {
        let (health, rest) = match end {
            End::Stopped => {
                (Health::Degraded { why: "it ended by itself and starts again".to_owned() }, Rest::Short)
            }
            End::Failed(AdapterError::Moved(why)) => {
                self.house.moves(self.adapter.network(), &why);
                return Rest::Move;
            }
            End::Failed(AdapterError::Restart(why)) => (Health::Degraded { why }, Rest::Short),
            End::Failed(AdapterError::Barred(why)) => (Health::Down { why }, Rest::Long),
            End::Failed(AdapterError::Fatal(why)) => (Health::Down { why }, Rest::Endless),
            End::Panicked => {
                let why = "a bug in the gateway ended it; it starts again".to_owned();
                (Health::Degraded { why }, Rest::Short)
            }
        };
        self.house.moved_out(self.adapter.network(), health);
        rest
    }

    async fn run_once(&self) -> End {
        let network = self.adapter.network();
        // Removed meanwhile.
        let Some(context) = Arc::clone(&self.house).move_in(network, &self.stop) else { return End::Stopped };
        self.house.lanes().up(network).await;
        let run = AssertUnwindSafe(self.adapter.run(context)).catch_unwind();
        let grace = async {
            self.stop.stopping().await;
            tokio::time::sleep(self.house.grace()).await;
        };
        let end = tokio::select! {
            biased;
            ended = run => match ended {
                Ok(Ok(_)) => End::Stopped,
                Ok(Err(error)) => End::Failed(error),
                Err(_) => End::Panicked,
            },
            () = grace => {
                tracing::warn!(%network, "did not stop within the grace period and was dropped");
                End::Stopped
            }
        };
        self.house.lanes().down(network).await;
        end
    }
}

/// How long a network rests after a run.
enum Rest {
    Move,
    Short,
    Long,
    Endless,
}

async fn sleep(wait: Duration) {
    match wait {
        Duration::MAX => std::future::pending().await,
        wait => tokio::time::sleep(wait).await,
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::{BoxFuture, Capabilities, Stopped};

    use super::*;
    use crate::sample::{self, Idle};

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_task_of_the_pipe_that_a_bug_ended_is_told_and_one_that_ends_is_not() {
        let tasks = Tasks::new([1; 32]);
        tasks.spawn("the one that ends", async {});
        assert!(tasks.broke().now_or_never().is_none());
        // Without the hook that prints a backtrace.
        tasks.spawn("lanes", async { std::panic::resume_unwind(Box::new("the test says so")) });
        assert_eq!(tokio::time::timeout(PATIENCE, tasks.broke()).await, Ok("lanes"));
        assert_eq!(tasks.broke().now_or_never(), Some("lanes"), "also to whoever asks later");
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_accounts_whose_turn_has_not_come() {
        let dir = tempfile::tempdir().unwrap();
        let bridge = sample::bridge(dir.path(), Arc::new(|row| Arc::new(Idle(row.network.clone())))).await;
        add_later(&bridge, Arc::new(Idle("net:a".into())), None, Duration::from_secs(3600));
        tokio::time::timeout(PATIENCE, bridge.shutdown()).await.expect("the end waits for the start");
    }

    /// Says when it began.
    struct Begins(Idle, mpsc::UnboundedSender<Instant>);

    impl Adapter for Begins {
        fn network(&self) -> &NetworkId {
            self.0.network()
        }

        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }

        fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
            self.1.send(Instant::now()).unwrap();
            self.0.run(ctx)
        }
    }

    #[tokio::test]
    async fn accounts_start_one_after_the_other_behind_the_first() {
        const ACCOUNTS: usize = START_AT_ONCE + 36;
        let dir = tempfile::tempdir().unwrap();
        let (begins, mut began) = mpsc::unbounded_channel();
        let factory = move |row: &wxgate_store::AccountRow| {
            Arc::new(Begins(Idle(row.network.clone()), begins.clone())) as Arc<dyn Adapter>
        };
        let bridge = sample::bridge(dir.path(), Arc::new(factory)).await;
        bridge.store.add_user(&"ann".into(), None, false).await.unwrap();
        for n in 0..ACCOUNTS {
            bridge
                .store
                .add_account(&NetworkId::from(format!("net:{n}").as_str()), &"ann".into())
                .await
                .unwrap();
        }
        assert_eq!(add_accounts(&bridge).await.unwrap(), ACCOUNTS);
        // None has begun: nothing was waited for since they were added. From here on time passes when all wait for it.
        tokio::time::pause();
        let start = Instant::now();
        let mut after = Vec::new();
        for _ in 0..ACCOUNTS {
            after.push(began.recv().await.unwrap() - start);
        }
        after.sort_unstable();
        for (n, after) in after.into_iter().enumerate() {
            let due = START_GAP * u32::try_from(n.saturating_sub(START_AT_ONCE)).unwrap();
            assert!(
                after >= due && after <= due + START_GAP,
                "number {n} began after {after:?} and not {due:?}"
            );
        }
        tokio::time::resume();
        bridge.shutdown().await;
    }
}
