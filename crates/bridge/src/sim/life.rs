//! One life of the program: the lane task, a keeper per network, and a store that is away now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use wxgate_contract::conformance::Double;
use wxgate_contract::{
    AdapterContext, BoxFuture, ChatRef, Delivery, DeliveryId, Health, Job, NetworkId, Order, Outcome, PostId,
    Stop, StopHandle, Timestamp,
};
use wxgate_store::StoreError;

use super::puppet::Puppet;
use super::{FLOOD, NETWORKS, Row, Shelf, behaves, chat, is_slow, shared};
use crate::dropped::{self, Dropped};
use crate::lanes::{self, DAMAGED, Depot, IN_FLIGHT, Lanes, Read};
use crate::supervisor::{House, Keeper};

/// Who behaves is served within this, whatever happens to others. Chosen: a pause after a store that was away,
/// and what a lane of it has to carry out.
const PROMPT: Duration = Duration::from_secs(3);
/// How long the last life may take to carry out what is left: the longest pauses of a lane and of the
/// supervisor, one after the other for each order of a lane.
const LONG: Duration = Duration::from_secs(6 * 3600);

pub(super) struct Life {
    pub(super) shelf: Arc<Mutex<Shelf>>,
    dice: Mutex<SmallRng>,
    wall: Mutex<(Timestamp, Instant)>,
    lanes: Lanes,
    dispatch: Mutex<Option<lanes::Dispatch>>,
    doors: Mutex<BTreeMap<NetworkId, mpsc::Sender<Order>>>,
    in_hand: Mutex<BTreeMap<ChatRef, i64>>,
    double: Double,
    /// The store is away until then.
    away: Mutex<Instant>,
    /// Nothing fails any more.
    is_calm: Mutex<bool>,
    restarts: Mutex<u32>,
    pokes: Mutex<BTreeMap<NetworkId, Arc<Notify>>>,
    chats: u32,
}

struct Kept {
    stop: StopHandle,
    poke: Arc<Notify>,
    task: JoinSet<()>,
}

impl Life {
    pub(super) fn begin(
        shelf: Arc<Mutex<Shelf>>,
        double: Double,
        wall: Timestamp,
        chats: u32,
        seed: u64,
    ) -> Arc<Self> {
        let (lanes, dispatch) = lanes::channel();
        Arc::new(Self {
            shelf,
            dice: Mutex::new(SmallRng::seed_from_u64(seed)),
            wall: Mutex::new((wall, Instant::now())),
            lanes,
            dispatch: Mutex::new(Some(dispatch)),
            doors: Mutex::default(),
            in_hand: Mutex::default(),
            double,
            away: Mutex::new(Instant::now()),
            is_calm: Mutex::new(false),
            restarts: Mutex::new(0),
            pokes: Mutex::default(),
            chats,
        })
    }

    /// Draws, unless all is to be well by now.
    pub(super) fn chance(&self, share: f64) -> bool {
        let is_drawn = self.dice.lock().unwrap().random_bool(share);
        is_drawn && !*self.is_calm.lock().unwrap()
    }

    pub(super) fn up_to(&self, longest_ms: u64) -> Duration {
        Duration::from_millis(self.dice.lock().unwrap().random_range(0..=longest_ms))
    }

    fn below(&self, bound: u32) -> u32 {
        self.dice.lock().unwrap().random_range(0..bound)
    }

    fn is_away(&self) -> bool {
        Instant::now() < *self.away.lock().unwrap()
    }

    /// Lives, and says what time it is in the end and how often networks were restarted.
    pub(super) async fn live(
        self: Arc<Self>,
        open: Vec<(ChatRef, Timestamp)>,
        kept: Option<Dropped>,
        is_last: bool,
    ) -> (Timestamp, u32) {
        let dispatch = self.dispatch.lock().unwrap().take().unwrap();
        let dropped = dropped::at_start(kept, &open);
        let mut board = JoinSet::new();
        board.spawn(dispatch.run(Arc::downgrade(&self), open, dropped));
        let mut networks: BTreeMap<&str, Kept> =
            NETWORKS.iter().map(|network| (*network, self.add(network))).collect();
        for _ in 0..self.below(40) {
            // Half of it happens at once: while something is read, settled, or ends.
            let pause = if self.below(2) == 0 { 30 } else { 4_000 };
            sleep(self.up_to(pause)).await;
            self.happen(&mut networks).await;
        }
        if is_last {
            self.carry_out_the_rest(&networks).await;
        } else if self.chance(0.4) {
            for kept in networks.values() {
                kept.stop.stop();
                kept.poke.notify_one();
            }
            for kept in networks.values_mut() {
                while kept.task.join_next().await.is_some() {}
            }
            self.lanes.close();
            while board.join_next().await.is_some() {}
        }
        let restarts = *self.restarts.lock().unwrap();
        (self.now(), restarts)
    }

    fn add(self: &Arc<Self>, network: &str) -> Kept {
        let (stop, token) = StopHandle::new();
        let poke = Arc::new(Notify::new());
        self.pokes.lock().unwrap().insert(NetworkId::new(network), Arc::clone(&poke));
        let adapter = Arc::new(Puppet { life: Arc::clone(self), network: NetworkId::new(network) });
        let keeper = Keeper {
            house: Arc::clone(self),
            adapter,
            stop: token,
            poke: Arc::clone(&poke),
            retry: Arc::new(Notify::new()),
        };
        let mut task = JoinSet::new();
        task.spawn(async move { keeper.keep().await });
        Kept { stop, poke, task }
    }

    /// Something happens.
    async fn happen(self: &Arc<Self>, networks: &mut BTreeMap<&str, Kept>) {
        match self.below(20) {
            0 => *self.away.lock().unwrap() = Instant::now() + self.up_to(20_000),
            1 => {
                let day = self.up_to(86_400_000);
                let is_back = self.chance(0.5);
                let mut wall = self.wall.lock().unwrap();
                wall.0 =
                    if is_back { Timestamp(wall.0.0 - day.as_millis() as i64) } else { wall.0.after(day) };
            }
            2 => {
                let network = NETWORKS[2 + self.below(2) as usize];
                if let Some(mut kept) = networks.remove(network) {
                    kept.stop.stop();
                    kept.poke.notify_one();
                    while kept.task.join_next().await.is_some() {}
                    self.doors.lock().unwrap().remove(&NetworkId::new(network));
                    networks.insert(network, self.add(network));
                }
            }
            3 => networks.values().for_each(|kept| kept.poke.notify_one()),
            4 if self.below(8) == 0 => {
                self.order((0..FLOOD).map(|at| shared("net:flood", at)).collect()).await
            }
            _ => self.say().await,
        }
    }

    /// Some orders, and then the lanes hear of it, as after a commit.
    async fn say(&self) {
        let lane = |_| chat(NETWORKS[self.below(4) as usize], self.below(self.chats));
        self.order((0..=self.below(4)).map(lane).collect()).await;
    }

    async fn order(&self, lanes: Vec<ChatRef>) {
        for lane in &lanes {
            let is_damaged = !behaves(&lane.network) && self.chance(0.02);
            let due = self.now();
            let mut shelf = self.shelf.lock().unwrap();
            shelf.next += 1;
            let row = Row { id: shelf.next, due, attempt: 1, is_damaged, said: Instant::now() };
            shelf.lanes.entry(lane.clone()).or_default().push_back(row);
        }
        sleep(self.up_to(5)).await;
        for lane in lanes {
            self.lanes.wake(lane).await;
        }
    }

    /// The last life: nothing fails any more, and somebody looks after what rests.
    async fn carry_out_the_rest(&self, networks: &BTreeMap<&str, Kept>) {
        *self.is_calm.lock().unwrap() = true;
        let rest = async {
            while self.shelf.lock().unwrap().open() > 0 {
                networks.values().for_each(|kept| kept.poke.notify_one());
                sleep(Duration::from_secs(60)).await;
            }
        };
        // What is left after that is counted by whoever plays.
        let _ = timeout(LONG, rest).await;
    }

    /// The store closes an order, or puts it off.
    pub(super) async fn settle(&self, lane: &ChatRef, id: DeliveryId, outcome: &Outcome) -> Result<(), ()> {
        sleep(self.up_to(10)).await;
        if self.is_away() {
            return Err(());
        }
        let retry_at = {
            let mut shelf = self.shelf.lock().unwrap();
            let now = self.now();
            let Some(rows) = shelf.lanes.get_mut(lane) else { return Ok(()) };
            let Some(row) = rows.front_mut().filter(|row| row.id == id.0) else { return Ok(()) };
            let waited = row.said.max(*self.away.lock().unwrap()).elapsed();
            let retry_at = match outcome {
                Outcome::TryLater { after, .. } => {
                    row.due = now.after(*after);
                    row.attempt += 1;
                    Some(row.due)
                }
                _ => {
                    rows.pop_front();
                    shelf.closed += 1;
                    None
                }
            };
            if behaves(&lane.network) && !is_slow(lane) && waited > PROMPT {
                shelf.wrong(format!("{lane:?} waited {waited:?} for others"));
            }
            retry_at
        };
        self.in_hand.lock().unwrap().remove(lane);
        // Now and then whoever settles is held up, and may die before the lanes hear of it.
        let is_held_up = !behaves(&lane.network) && self.below(20) == 0;
        sleep(self.up_to(if is_held_up { 2_000 } else { 5 })).await;
        self.lanes.settled(lane.clone(), id, retry_at).await;
        Ok(())
    }

    /// What the outside sees: in order, and again only what comes as a repetition.
    pub(super) fn carried_out(&self, lane: &ChatRef, delivery: &Delivery) {
        let mut shelf = self.shelf.lock().unwrap();
        let seen = shelf.outside.entry(lane.clone()).or_default();
        let last = seen.last().copied().unwrap_or_default();
        let id = delivery.id.0;
        seen.push(id);
        if id < last {
            shelf.wrong(format!("{lane:?}: order {id} came after {last}"));
        } else if id == last && delivery.attempt < 2 {
            shelf.wrong(format!("{lane:?}: order {id} came again as if for the first time"));
        }
    }
}

impl Life {
    /// The first row of each lane, as the store has it at this moment.
    fn first_rows(shelf: &Mutex<Shelf>, lanes: Vec<ChatRef>, away: Instant, is_bad: bool) -> Read {
        let is_steady = lanes.first().is_some_and(|lane| behaves(&lane.network));
        let fails = Instant::now() < away || (is_bad && !is_steady);
        let shelf = shelf.lock().unwrap();
        let first = |lane: &ChatRef| {
            if fails {
                return Err(StoreError::Unavailable { doing: "reading", source: "it is away".into() });
            }
            let Some(row) = shelf.lanes.get(lane).and_then(|rows| rows.front()) else { return Ok(None) };
            if row.is_damaged {
                return Err(StoreError::Corrupt { table: "delivery", row: row.id.to_string() });
            }
            let job = Job::Recall { post: PostId(row.id), remote_ids: Vec::new() };
            let (id, chat) = (DeliveryId(row.id), lane.chat.clone());
            Ok(Some((Delivery { id, attempt: row.attempt, chat, job }, row.due)))
        };
        let read = |lane: ChatRef| {
            let first = first(&lane);
            (lane, first)
        };
        lanes.into_iter().map(read).collect()
    }
}

impl Depot for Life {
    fn now(&self) -> Timestamp {
        let wall = self.wall.lock().unwrap();
        wall.0.after(wall.1.elapsed())
    }

    fn read(&self, lanes: Vec<ChatRef>) -> BoxFuture<'static, Read> {
        let (before, after, is_bad) = (self.up_to(15), self.up_to(15), self.chance(0.02));
        let is_bug = self.chance(0.01) && lanes.iter().all(|lane| !behaves(&lane.network));
        let (shelf, away) = (Arc::clone(&self.shelf), *self.away.lock().unwrap());
        Box::pin(async move {
            sleep(before).await;
            if is_bug {
                std::panic::resume_unwind(Box::new("the seed says so"));
            }
            let read = Self::first_rows(&shelf, lanes, away, is_bad);
            // What is said from here on is not in it.
            sleep(after).await;
            read
        })
    }

    fn hand_over(&self, network: &NetworkId, delivery: Delivery) -> bool {
        let Some(orders) = self.doors.lock().unwrap().get(network).cloned() else { return false };
        let lane = ChatRef { network: network.clone(), chat: delivery.chat.clone() };
        let (id, attempt) = (delivery.id.0, delivery.attempt);
        if orders.try_send(Order::Deliver(Box::new(delivery))).is_err() {
            return false;
        }
        let mut in_hand = self.in_hand.lock().unwrap();
        let mut shelf = self.shelf.lock().unwrap();
        if attempt > 1 && !shelf.had.contains(&id) {
            shelf.wrong(format!("{lane:?}: order {id} comes as a repetition, and nobody ever had it"));
        }
        shelf.had.insert(id);
        // Later than that it was put off by a clock that has been set back since.
        let (now, far) = (Depot::now(self), Duration::from_secs(600));
        let row = shelf.lanes.get(&lane).and_then(|rows| rows.front());
        if row.is_some_and(|row| row.attempt > 1 && row.due > now && row.due <= now.after(far)) {
            shelf.wrong(format!("{lane:?}: order {id} was handed over before its time"));
        }
        if let Some(other) = in_hand.insert(lane.clone(), id) {
            shelf.wrong(format!("{lane:?}: order {id} was handed over while {other} was in hand"));
        }
        let of_network = in_hand.keys().filter(|lane| lane.network == *network).count();
        if of_network > IN_FLIGHT {
            shelf.wrong(format!("{network} has {of_network} orders in hand"));
        }
        true
    }

    fn close(self: Arc<Self>, lane: ChatRef, id: DeliveryId) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let outcome = Outcome::Refused { why: "damaged".to_owned() };
            if self.settle(&lane, id, &outcome).await.is_err() {
                self.lanes.settled(lane, id, Some(self.now().after(DAMAGED))).await;
            }
        })
    }

    fn keep(&self, dropped: Dropped) -> BoxFuture<'_, ()> {
        self.shelf.lock().unwrap().kept = Some(dropped);
        Box::pin(std::future::ready(()))
    }
}

impl House for Life {
    fn move_in(self: Arc<Self>, network: &NetworkId, stop: &Stop) -> Option<AdapterContext> {
        let clock = {
            let life = Arc::clone(&self);
            Arc::new(move || Depot::now(&*life))
        };
        let (mut context, _) = self.double.context(network, clock);
        let (orders, door) = mpsc::channel(IN_FLIGHT + 8);
        (context.orders, context.stop) = (door, stop.clone());
        self.in_hand.lock().unwrap().retain(|lane, _| lane.network != *network);
        self.doors.lock().unwrap().insert(network.clone(), orders);
        Some(context)
    }

    fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn jitter(&self, pause: Duration) -> Duration {
        pause.mul_f64(self.dice.lock().unwrap().random_range(0.5..1.0))
    }

    // Nothing of the simulation is elsewhere.
    fn moves(&self, _: &NetworkId, _: &str) {}

    fn moved_out(&self, network: &NetworkId, _: Health) {
        *self.restarts.lock().unwrap() += 1;
        // Somebody asks for it in this very moment: the next run begins at once.
        if self.chance(0.4) {
            let pokes = self.pokes.lock().unwrap();
            pokes.get(network).into_iter().for_each(|poke| poke.notify_one());
        }
    }
}
