//! Lanes: all deliveries for one chat, handed out one at a time, oldest first.
//!
//! One task owns every lane's mark. The deliveries themselves stay in the store; here is only
//! which lane waits, is being read, or is in an adapter's hands. A network has at most
//! [`IN_FLIGHT`] lanes in hand, so a slow one fills its own queue and nobody else's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wxgate_contract::{ChatKey, ChatRef, Delivery, NetworkId, Order, Timestamp};
use wxgate_store::StoreError;

use crate::Bridge;
use crate::dropped::Dropped;

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
/// Pause before it is tried again to close a damaged delivery. Chosen: a store that cannot write is told of
/// elsewhere, so the log is not filled with this sentence.
pub(crate) const DAMAGED: Duration = Duration::from_secs(60);

enum Signal {
    Wake(ChatRef),
    Settled(ChatRef, Option<Timestamp>),
    Up(NetworkId),
    Down(NetworkId),
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

    pub(crate) async fn settled(&self, lane: ChatRef, retry_at: Option<Timestamp>) {
        self.send(Signal::Settled(lane, retry_at)).await;
    }

    pub(crate) async fn up(&self, network: &NetworkId) {
        self.send(Signal::Up(network.clone())).await;
    }

    pub(crate) async fn down(&self, network: &NetworkId) {
        self.send(Signal::Down(network.clone())).await;
    }

    pub(crate) fn close(&self) {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// In its network's queue.
    Ready,
    /// Being read from the store; `again` when it was woken meanwhile.
    Reading { again: bool },
    /// In the adapter's hands.
    InHand,
    /// Nothing before this time.
    Waiting(Timestamp),
}

#[derive(Default)]
struct Line {
    is_up: bool,
    /// Lanes being read or in hand.
    busy: usize,
    ready: VecDeque<ChatKey>,
}

/// What was read of some lanes of a network.
type Read = Vec<(ChatRef, Result<Option<(Delivery, Timestamp)>, StoreError>)>;

struct Board {
    bridge: Weak<Bridge>,
    marks: HashMap<ChatRef, Mark>,
    lines: HashMap<NetworkId, Line>,
    dropped: Dropped,
    timers: BTreeMap<(Timestamp, u64), ChatRef>,
    next_timer: u64,
    reads: JoinSet<Read>,
    closing: JoinSet<()>,
    /// Networks that may be given more.
    stirred: BTreeSet<NetworkId>,
}

impl Dispatch {
    pub(crate) async fn run(
        mut self,
        bridge: Weak<Bridge>,
        open: Vec<(ChatRef, Timestamp)>,
        dropped: Dropped,
    ) {
        let mut board = Board {
            bridge,
            marks: HashMap::new(),
            lines: HashMap::new(),
            dropped,
            timers: BTreeMap::new(),
            next_timer: 0,
            reads: JoinSet::new(),
            closing: JoinSet::new(),
            stirred: BTreeSet::new(),
        };
        for (lane, due) in open {
            board.wait(lane, due);
        }
        loop {
            let nap = board.nap();
            tokio::select! {
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
                Some(read) = board.reads.join_next() => match read {
                    Ok(read) => read.into_iter().for_each(|(lane, result)| board.got(lane, result)),
                    // A read that panicked leaves its lanes marked; the next start reads them again.
                    Err(error) => tracing::error!(%error, "reading lanes failed"),
                },
                () = tokio::time::sleep(nap) => board.ring(),
            }
            while let Some(network) = board.stirred.pop_first() {
                board.pump(&network);
            }
        }
        if let Some(bridge) = board.bridge.upgrade() {
            bridge.keep_dropped(board.dropped).await;
        }
    }
}

impl Board {
    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Wake(lane) => match self.marks.get_mut(&lane) {
                None => self.ready(lane),
                Some(Mark::Reading { again }) => *again = true,
                // It will be looked at in its turn.
                Some(Mark::Ready | Mark::InHand | Mark::Waiting(_)) => {}
            },
            Signal::Settled(lane, retry_at) => {
                if self.marks.get(&lane) != Some(&Mark::InHand) {
                    return;
                }
                self.free(&lane.network);
                match retry_at {
                    Some(due) => self.wait(lane.clone(), due),
                    None => {
                        self.dropped.remove(&lane);
                        self.ready(lane.clone());
                    }
                }
                self.stirred.insert(lane.network);
            }
            Signal::Up(network) => {
                self.lines.entry(network.clone()).or_default().is_up = true;
                self.stirred.insert(network);
            }
            Signal::Down(network) => self.down(&network),
        }
    }

    /// The adapter's run is over: what it had in hand comes again, with the same id.
    fn down(&mut self, network: &NetworkId) {
        let in_hand: Vec<ChatRef> = self
            .marks
            .iter()
            .filter(|(lane, mark)| lane.network == *network && **mark == Mark::InHand)
            .map(|(lane, _)| lane.clone())
            .collect();
        let line = self.lines.entry(network.clone()).or_default();
        line.is_up = false;
        line.busy -= in_hand.len().min(line.busy);
        for lane in in_hand {
            self.marks.insert(lane.clone(), Mark::Ready);
            *self.dropped.entry(lane.clone()).or_default() += 1;
            line.ready.push_front(lane.chat);
        }
    }

    fn ready(&mut self, lane: ChatRef) {
        self.marks.insert(lane.clone(), Mark::Ready);
        self.lines.entry(lane.network.clone()).or_default().ready.push_back(lane.chat);
        self.stirred.insert(lane.network);
    }

    fn wait(&mut self, lane: ChatRef, due: Timestamp) {
        self.marks.insert(lane.clone(), Mark::Waiting(due));
        self.next_timer += 1;
        self.timers.insert((due, self.next_timer), lane);
    }

    fn free(&mut self, network: &NetworkId) {
        if let Some(line) = self.lines.get_mut(network) {
            line.busy = line.busy.saturating_sub(1);
        }
    }

    /// Reads the next delivery of as many lanes as the network may have in hand.
    fn pump(&mut self, network: &NetworkId) {
        let Some(bridge) = self.bridge.upgrade() else { return };
        let Some(line) = self.lines.get_mut(network) else { return };
        let mut lanes = Vec::new();
        while line.is_up && line.busy < IN_FLIGHT {
            let Some(chat) = line.ready.pop_front() else { break };
            line.busy += 1;
            let lane = ChatRef { network: network.clone(), chat };
            self.marks.insert(lane.clone(), Mark::Reading { again: false });
            lanes.push(lane);
        }
        for lanes in lanes.chunks(TOGETHER) {
            let (store, lanes) = (bridge.store.clone(), lanes.to_vec());
            self.reads.spawn(async move { store.next_in_lanes(lanes).await });
        }
    }

    fn got(&mut self, lane: ChatRef, result: Result<Option<(Delivery, Timestamp)>, StoreError>) {
        let Some(bridge) = self.bridge.upgrade() else { return };
        let again = matches!(self.marks.get(&lane), Some(Mark::Reading { again: true }));
        let now = bridge.clock.now();
        let network = lane.network.clone();
        match result {
            Ok(Some((mut delivery, due))) if due <= now => {
                let dropped = self.dropped.get(&lane).copied().unwrap_or_default();
                delivery.attempt = delivery.attempt.saturating_add(dropped);
                if hand_over(&bridge, &network, delivery) {
                    self.marks.insert(lane, Mark::InHand);
                    return;
                }
                self.wait(lane, now.after(RETRY));
            }
            Ok(Some((_, due))) => self.wait(lane, due),
            Ok(None) if again => self.ready(lane),
            Ok(None) => {
                self.marks.remove(&lane);
            }
            Err(StoreError::Corrupt { table: "delivery", row }) => {
                self.marks.insert(lane.clone(), Mark::InHand);
                while self.closing.try_join_next().is_some() {}
                self.closing.spawn(async move { bridge.close_damaged(&lane, &row).await });
                return;
            }
            Err(error) => {
                tracing::warn!(%network, %error, "could not read a lane; trying again");
                self.wait(lane, now.after(RETRY));
            }
        }
        self.free(&network);
        self.stirred.insert(network);
    }

    /// How long until the next timer; an hour when there is none.
    fn nap(&self) -> Duration {
        let now = self.bridge.upgrade().map_or(Timestamp(0), |bridge| bridge.clock.now());
        self.timers.keys().next().map_or(Duration::from_secs(3600), |(due, _)| due.since(now))
    }

    fn ring(&mut self) {
        let Some(bridge) = self.bridge.upgrade() else { return };
        let now = bridge.clock.now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let lane = entry.remove();
            if matches!(self.marks.get(&lane), Some(Mark::Waiting(_))) {
                self.ready(lane);
            }
        }
    }
}

/// False when the adapter's queue is full or its run is over; the lane then waits.
fn hand_over(bridge: &Arc<Bridge>, network: &NetworkId, delivery: Delivery) -> bool {
    let Some(orders) = bridge.networks.get(network).map(|slot| slot.orders()) else { return false };
    orders.try_send(Order::Deliver(Box::new(delivery))).is_ok()
}
