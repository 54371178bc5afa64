//! Lanes: all deliveries for one chat, handed out one at a time, oldest first.
//!
//! One task owns every lane's mark. The deliveries themselves stay in the store; here is only
//! which lane waits, is being read, or is in an adapter's hands. A network has at most
//! [`IN_FLIGHT`] lanes in hand, so a slow one fills its own queue and nobody else's; of the accounts that one
//! network mirrors, `line` says which has its turn.

mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wxgate_contract::{BoxFuture, ChatRef, Delivery, DeliveryId, NetworkId, Order, Timestamp};
use wxgate_store::StoreError;

use crate::Bridge;
use crate::dropped::Dropped;
use line::{Line, Mark};

/// Lanes of one network in an adapter's hands at once. A lane goes on when the commit that closes its
/// last delivery is on disk, so this many share a commit: with a quarter of it a homeserver that answers
/// at once is given half as much (measured). Small enough to be a negligible queue.
pub(crate) const IN_FLIGHT: usize = 64;
/// Lanes that are read over one connection. Chosen: taking it is shared by enough of them, and the first
/// does not wait long for the last.
const TOGETHER: usize = 8;
/// Signals that may wait for the lane task. Full means that committing waits, which is right.
const SIGNALS: usize = 1024;
/// Pause after the store failed to give a delivery, or an adapter's queue was full.
const RETRY: Duration = Duration::from_millis(500);
/// Pause before it is tried again to close a damaged delivery, or to read one that a bug stands before. Chosen: a
/// store that cannot write is told of elsewhere, so the log is not filled with this sentence.
pub(crate) const DAMAGED: Duration = Duration::from_secs(60);

/// Longest that a lane waits before it is looked at again. Chosen: twice the longest pause that an adapter asks
/// for again and again. What is due later than that was put off by a clock that has been set back since, and must
/// not wait until the clock is there again; an adapter that means it says so once more.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

enum Signal {
    Wake(ChatRef),
    /// This delivery of the lane is closed, or put off until then.
    Settled(ChatRef, DeliveryId, Option<Timestamp>),
    /// The network is done with a delivery that the store does not know any more.
    Gone(NetworkId, DeliveryId),
    Up(NetworkId),
    /// Answered when it is done.
    Down(NetworkId, oneshot::Sender<()>),
    /// The account is gone, with all that was open in its lanes.
    Removed(NetworkId),
}

/// What lanes need of the rest of the pipe: the store behind them and the adapters before them. The bridge is
/// one; the other is a simulation of it, in which a seed decides what fails and when.
pub(crate) trait Depot: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// The next delivery of each lane.
    fn read(&self, lanes: Vec<ChatRef>) -> BoxFuture<'static, Read>;
    /// False when the adapter's queue is full or its run is over; the lane then waits.
    fn hand_over(&self, network: &NetworkId, delivery: Delivery) -> bool;
    /// Closes a delivery that cannot be read, and says so to the lanes.
    fn close(self: Arc<Self>, lane: ChatRef, delivery: DeliveryId) -> BoxFuture<'static, ()>;
    /// Keeps at an orderly end which deliveries may have been in hand.
    fn keep(&self, dropped: Dropped) -> BoxFuture<'_, ()>;
}

impl Depot for Bridge {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn read(&self, lanes: Vec<ChatRef>) -> BoxFuture<'static, Read> {
        let store = self.store.clone();
        Box::pin(async move { store.next_in_lanes(lanes).await })
    }

    fn hand_over(&self, network: &NetworkId, delivery: Delivery) -> bool {
        let Some(orders) = self.networks.get(network).map(|slot| slot.orders()) else { return false };
        let id = delivery.id;
        self.in_hand.begin(&delivery);
        self.routes.goes(network, &delivery);
        let is_taken = orders.try_send(Order::Deliver(Box::new(delivery))).is_ok();
        if !is_taken {
            self.in_hand.end(network, id, None);
        }
        is_taken
    }

    fn close(self: Arc<Self>, lane: ChatRef, delivery: DeliveryId) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if AssertUnwindSafe(self.close_damaged(&lane, delivery)).catch_unwind().await.is_err() {
                // Nobody else would look at the lane again.
                self.lanes.settled(lane, delivery, Some(self.clock.now().after(DAMAGED))).await;
            }
        })
    }

    fn keep(&self, dropped: Dropped) -> BoxFuture<'_, ()> {
        Box::pin(self.keep_dropped(dropped))
    }
}

/// The sending side, held by the bridge.
pub(crate) struct Lanes {
    // Taken at shutdown so that the lane task ends; locked for the length of a clone.
    signals: Mutex<Option<mpsc::Sender<Signal>>>,
}

/// The lane task before it runs.
pub(crate) struct Dispatch {
    signals: mpsc::Receiver<Signal>,
}

pub(crate) fn channel() -> (Lanes, Dispatch) {
    let (tx, rx) = mpsc::channel(SIGNALS);
    (Lanes { signals: Mutex::new(Some(tx)) }, Dispatch { signals: rx })
}

impl Lanes {
    async fn send(&self, signal: Signal) {
        let sender = self.signals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sender) = sender {
            // An error means that the task has ended with the program; the store keeps the lane.
            let _ = sender.send(signal).await;
        }
    }

    pub(crate) async fn wake(&self, lane: ChatRef) {
        self.send(Signal::Wake(lane)).await;
    }

    pub(crate) async fn settled(&self, lane: ChatRef, delivery: DeliveryId, retry_at: Option<Timestamp>) {
        self.send(Signal::Settled(lane, delivery, retry_at)).await;
    }

    pub(crate) async fn gone(&self, network: &NetworkId, delivery: DeliveryId) {
        self.send(Signal::Gone(network.clone(), delivery)).await;
    }

    pub(crate) async fn up(&self, network: &NetworkId) {
        self.send(Signal::Up(network.clone())).await;
    }

    /// A run of the adapter is over. Returns when no lane counts as in its hands any more: the next run must not
    /// begin before, or it would be given something, counted out with the last run, and given it again.
    pub(crate) async fn down(&self, network: &NetworkId) {
        let (done, is_done) = oneshot::channel();
        self.send(Signal::Down(network.clone(), done)).await;
        // An error means that the task has ended with the program.
        let _ = is_done.await;
    }

    /// Nothing is open any more in the lanes of an account.
    pub(crate) async fn removed(&self, network: &NetworkId) {
        self.send(Signal::Removed(network.clone())).await;
    }

    pub(crate) fn close(&self) {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What was read of some lanes of a network.
pub(crate) type Read = Vec<(ChatRef, Result<Option<(Delivery, Timestamp)>, StoreError>)>;

struct Board<D> {
    depot: Weak<D>,
    lines: HashMap<NetworkId, Line>,
    dropped: Dropped,
    /// By a clock that nobody sets.
    timers: BTreeMap<(Instant, u64), ChatRef>,
    next_timer: u64,
    reads: JoinSet<Read>,
    closing: JoinSet<()>,
    /// Networks that may be given more.
    stirred: BTreeSet<NetworkId>,
}

impl Dispatch {
    pub(crate) async fn run<D: Depot>(
        mut self,
        depot: Weak<D>,
        open: Vec<(ChatRef, Timestamp)>,
        dropped: Dropped,
    ) {
        let mut board = Board::new(depot, dropped);
        // Each is looked at once, whatever time it says: the clock may have been set while nobody was there.
        for (lane, _) in open {
            board.set(&lane, Some(Mark::Ready));
        }
        loop {
            let nap = board.nap();
            // In this order, so that a simulated run can be had again. Nobody starves: a timer rings once, and
            // there are as many reads as signals have asked for.
            tokio::select! {
                biased;
                () = tokio::time::sleep(nap) => board.ring(),
                Some(Ok(read)) = board.reads.join_next() => {
                    read.into_iter().for_each(|(lane, result)| board.got(lane, result));
                }
                signal = self.signals.recv() => match signal {
                    Some(signal) => {
                        board.take(signal);
                        // One commit settles many deliveries: what goes on together is read together.
                        for _ in 0..SIGNALS {
                            let Ok(signal) = self.signals.try_recv() else { break };
                            board.take(signal);
                        }
                    }
                    None => break,
                },
            }
            while let Some(network) = board.stirred.pop_first() {
                board.pump(&network);
            }
            #[cfg(test)]
            board.check();
        }
        if let Some(depot) = board.depot.upgrade() {
            depot.keep(board.dropped).await;
        }
    }
}

impl<D: Depot> Board<D> {
    fn new(depot: Weak<D>, dropped: Dropped) -> Self {
        Self {
            depot,
            lines: HashMap::new(),
            dropped,
            timers: BTreeMap::new(),
            next_timer: 0,
            reads: JoinSet::new(),
            closing: JoinSet::new(),
            stirred: BTreeSet::new(),
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Wake(lane) => match self.mark(&lane) {
                None => self.set(&lane, Some(Mark::Ready)),
                Some(Mark::Reading { .. }) => self.set(&lane, Some(Mark::Reading { again: true })),
                // It will be looked at in its turn.
                Some(Mark::Ready | Mark::InHand(_) | Mark::Closing(_) | Mark::Waiting) => {}
            },
            Signal::Settled(lane, delivery, retry_at) => self.settled(lane, delivery, retry_at),
            Signal::Gone(network, delivery) => {
                if let Some(chat) = self.lines.get(&network).and_then(|line| line.holding(delivery)).cloned()
                {
                    self.settled(ChatRef { network, chat }, delivery, None);
                }
            }
            Signal::Up(network) => {
                self.lines.entry(network.clone()).or_default().is_up = true;
                self.stirred.insert(network);
            }
            Signal::Down(network, done) => {
                self.down(&network);
                // An error means that the network was dropped, and nobody waits.
                let _ = done.send(());
            }
            Signal::Removed(network) => self.removed(&network),
        }
    }

    fn mark(&self, lane: &ChatRef) -> Option<Mark> {
        self.lines.get(&lane.network)?.mark(&lane.chat)
    }

    fn set(&mut self, lane: &ChatRef, mark: Option<Mark>) {
        self.lines.entry(lane.network.clone()).or_default().set(&lane.chat, mark);
        self.stirred.insert(lane.network.clone());
    }

    fn settled(&mut self, lane: ChatRef, delivery: DeliveryId, retry_at: Option<Timestamp>) {
        // Somebody who was heard late speaks of one that is not in hand any more; another may be.
        let Some(Mark::InHand(held) | Mark::Closing(held)) = self.mark(&lane) else { return };
        if held != delivery {
            return;
        }
        match retry_at {
            Some(due) => self.wait(lane, due),
            None => {
                self.dropped.remove(&lane);
                self.set(&lane, Some(Mark::Ready));
            }
        }
    }

    /// The adapter's run is over: what it had in hand comes again, with the same id.
    fn down(&mut self, network: &NetworkId) {
        let Some(line) = self.lines.get_mut(network) else { return };
        for (chat, delivery) in line.down() {
            let lane = ChatRef { network: network.clone(), chat };
            self.dropped.entry(lane).or_default().again(delivery);
        }
    }

    fn removed(&mut self, network: &NetworkId) {
        // Else there is a new one of the same name already, and what is left of the old one is read and found empty.
        if self.lines.get(network).is_some_and(|line| !line.is_up) {
            self.lines.remove(network);
            self.dropped.retain(|lane, _| lane.network != *network);
        }
    }

    fn wait(&mut self, lane: ChatRef, due: Timestamp) {
        self.set(&lane, Some(Mark::Waiting));
        self.next_timer += 1;
        let now = self.depot.upgrade().map_or(due, |depot| depot.now());
        let wait = due.since(now).min(LONGEST_WAIT);
        self.timers.insert((Instant::now() + wait, self.next_timer), lane);
    }

    /// Reads the next delivery of as many lanes as the network may have in hand.
    fn pump(&mut self, network: &NetworkId) {
        let Some(depot) = self.depot.upgrade() else { return };
        let Some(line) = self.lines.get_mut(network) else { return };
        let next = std::iter::from_fn(|| line.next());
        let lanes: Vec<ChatRef> = next.map(|chat| ChatRef { network: network.clone(), chat }).collect();
        for lanes in lanes.chunks(TOGETHER) {
            self.reads.spawn(read(Arc::clone(&depot), lanes.to_vec()));
        }
    }

    fn got(&mut self, lane: ChatRef, result: Result<Option<(Delivery, Timestamp)>, StoreError>) {
        let Some(depot) = self.depot.upgrade() else { return };
        // Else it went with its account meanwhile.
        let Some(Mark::Reading { again }) = self.mark(&lane) else { return };
        let (now, network) = (depot.now(), &lane.network);
        match result {
            Ok(Some((mut delivery, due))) if is_due(&delivery, due, now) => {
                let id = delivery.id;
                let dropped = self.dropped.get_mut(&lane).map_or(0, |held| held.times_of(id));
                delivery.attempt = delivery.attempt.saturating_add(dropped);
                match depot.hand_over(network, delivery) {
                    true => self.set(&lane, Some(Mark::InHand(id))),
                    false => self.wait(lane, now.after(RETRY)),
                }
            }
            Ok(Some((_, due))) => self.wait(lane, due),
            Ok(None) => self.set(&lane, again.then_some(Mark::Ready)),
            Err(StoreError::Corrupt { table: "delivery", row }) => match row.parse().map(DeliveryId) {
                Ok(id) => {
                    self.set(&lane, Some(Mark::Closing(id)));
                    while self.closing.try_join_next().is_some() {}
                    self.closing.spawn(depot.close(lane, id));
                }
                Err(_) => {
                    tracing::error!(%network, delivery = row, "a delivery is damaged and has no id to close it by");
                    self.wait(lane, now.after(DAMAGED));
                }
            },
            Err(error) => {
                tracing::warn!(%network, %error, "could not read a lane; trying again");
                let does_not_pass = matches!(error, StoreError::Corrupt { .. } | StoreError::Invalid { .. });
                self.wait(lane, now.after(if does_not_pass { DAMAGED } else { RETRY }));
            }
        }
    }

    /// How long until the next timer; an hour when there is none.
    fn nap(&self) -> Duration {
        let hour = Duration::from_secs(3600);
        self.timers.keys().next().map_or(hour, |(at, _)| at.saturating_duration_since(Instant::now()))
    }

    fn ring(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let lane = entry.remove();
            if self.mark(&lane) == Some(Mark::Waiting) {
                self.set(&lane, Some(Mark::Ready));
            }
        }
    }
}

/// Reads lanes. A bug that one of them brings to light must not stop the lane task, nor hold up those that are
/// read with it: they are then read one by one.
async fn read<D: Depot>(depot: Arc<D>, lanes: Vec<ChatRef>) -> Read {
    let together = AssertUnwindSafe(depot.read(lanes.clone())).catch_unwind().await;
    let Err(_) = together else { return together.unwrap_or_default() };
    let mut all = Read::with_capacity(lanes.len());
    for lane in lanes {
        let alone = AssertUnwindSafe(depot.read(vec![lane.clone()])).catch_unwind().await;
        all.extend(alone.unwrap_or_else(|_| {
            tracing::error!(network = %lane.network, "a bug in the gateway stops a lane");
            vec![(lane, Err(StoreError::Invalid { what: "a bug in the gateway".to_owned() }))]
        }));
    }
    all
}

#[cfg(test)]
impl<D: Depot> Board<D> {
    fn check(&self) {
        let timed: usize = self.lines.iter().map(|(network, line)| line.check(network)).sum();
        assert!(self.timers.len() >= timed, "{timed} lanes wait for {} timers", self.timers.len());
    }
}

/// What was never put off is due, whatever the clock has come to since.
fn is_due(delivery: &Delivery, due: Timestamp, now: Timestamp) -> bool {
    delivery.attempt <= 1 || due <= now || due > now.after(LONGEST_WAIT)
}
