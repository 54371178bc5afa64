//! Lanes and supervisor under seeds. One number decides what is said, what fails, who dies and when the clock is
//! set; time is tokio's paused one, so that an hour passes in milliseconds and a seed can be had again.
//!
//! Real here: the lane task and the keeper of each network. Played: the store, the adapters and the end of the
//! program. `cargo xtask test sim` plays thousands; `--seed N` plays one again.

mod life;
mod puppet;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use wxgate_contract::conformance::Double;
use wxgate_contract::{ChatRef, NetworkId, Timestamp};

use crate::dropped::Dropped;
use life::Life;

/// Behaves, so that whatever else happens must not touch it.
pub(super) const STEADY: &str = "net:steady";
/// Behaves too, and has the chats of two accounts: now and then one has more in hand than there are places, each of
/// it for minutes, which must not touch the other.
pub(super) const SHARED: &str = "face:shared";
const NETWORKS: [&str; 4] = [STEADY, SHARED, "net:odd", "net:worse"];
/// Lanes of the flood; more than a network has places.
const FLOOD: u32 = 80;

/// An order, as the store has it.
pub(super) struct Row {
    id: i64,
    due: Timestamp,
    attempt: u32,
    is_damaged: bool,
    said: Instant,
}

/// What outlives the program, and what the outside has seen.
#[derive(Default)]
pub(super) struct Shelf {
    lanes: BTreeMap<ChatRef, VecDeque<Row>>,
    next: i64,
    /// What was carried out, in that order.
    outside: BTreeMap<ChatRef, Vec<i64>>,
    kept: Option<Dropped>,
    /// What was in somebody's hands, or may have been when the program died.
    had: BTreeSet<i64>,
    closed: usize,
    /// What must not be. The first one is told.
    wrong: Vec<String>,
}

impl Shelf {
    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    fn open(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Sum {
    said: i64,
    closed: usize,
    lives: u32,
    restarts: u32,
}

/// Plays one seed.
fn play(seed: u64, double: &Double) -> Result<Sum, String> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let lives = dice.random_range(1..=4_u32);
    let chats = if dice.random_bool(0.02) { 150 } else { dice.random_range(1..=4) };
    let (mut wall, mut restarts) = (Timestamp(1_700_000_000_000), 0);
    for n in 1..=lives {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        let kept = shelf.lock().unwrap().kept.take();
        if kept.is_none() {
            // After a crash nobody knows: each lane's first order counts.
            let mut shelf = shelf.lock().unwrap();
            let first: Vec<i64> = shelf.lanes.values().filter_map(|rows| Some(rows.front()?.id)).collect();
            shelf.had.extend(first);
        }
        let mut open: Vec<(ChatRef, Timestamp)> = {
            let shelf = shelf.lock().unwrap();
            shelf.lanes.iter().filter_map(|(lane, rows)| Some((lane.clone(), rows.front()?.due))).collect()
        };
        open.shuffle(&mut dice);
        let seed = dice.random();
        let (after, died) = runtime.block_on(async {
            // The rows of an earlier life are as old as this one.
            for row in shelf.lock().unwrap().lanes.values_mut().flatten() {
                row.said = Instant::now();
            }
            let life = Life::begin(Arc::clone(&shelf), double.clone(), wall, chats, seed);
            life.live(open, kept, n == lives).await
        });
        // Whatever was under way dies with it.
        drop(runtime);
        (wall, restarts) = (after, restarts + died);
        if let Some(wrong) = shelf.lock().unwrap().wrong.first() {
            return Err(format!("in life {n} of {lives}: {wrong}"));
        }
    }
    let shelf = shelf.lock().unwrap();
    if shelf.open() > 0 {
        return Err(format!(
            "{} orders of {} are still open long after all is well",
            shelf.open(),
            shelf.next
        ));
    }
    Ok(Sum { said: shelf.next, closed: shelf.closed, lives, restarts })
}

fn chat(network: &str, at: u32) -> ChatRef {
    let chat = ChatRef { network: NetworkId::new(network), chat: format!("c{at}").into() };
    if network == SHARED { shared("net:calm", at) } else { chat }
}

/// A lane of the network that two accounts share.
fn shared(account: &str, at: u32) -> ChatRef {
    chat(account, at).mirrored_on(&NetworkId::new(SHARED))
}

/// A network that carries out whatever it is given.
fn behaves(network: &NetworkId) -> bool {
    [STEADY, SHARED].contains(&network.as_str())
}

/// A lane of the account that takes long.
fn is_slow(lane: &ChatRef) -> bool {
    lane.chat.as_str().starts_with("net:flood/")
}

/// A number from the environment, for runs by hand.
fn given(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn simulated_lanes_and_supervisor_lose_nothing_and_stop_for_nobody() {
    let (first, count) = match given("WXGATE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, given("WXGATE_SIM_SEEDS").unwrap_or(150)),
    };
    let (mut sum, double) = (Sum::default(), Double::new());
    for seed in first..first + count {
        let one = play(seed, &double).unwrap_or_else(|wrong| panic!("WXGATE_SEED={seed}: {wrong}"));
        sum.said += one.said;
        sum.closed += one.closed;
        sum.lives += one.lives;
        sum.restarts += one.restarts;
    }
    println!("simulated: {count} seeds of the pipe, {sum:?}");
    assert!(count == 1 || (sum.said > 0 && sum.restarts > 0), "nothing happened: {sum:?}");
}

#[test]
fn simulated_a_seed_is_always_the_same_run() {
    let double = Double::new();
    for seed in 0..20 {
        assert_eq!(play(seed, &double), play(seed, &double), "WXGATE_SEED={seed}");
    }
}
