//! Which account runs where, and until when nobody else may run it. No clock, no socket: "now" is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::NetworkId;

/// One line of a worker, numbered in the order of their coming.
pub(crate) type WorkerId = u64;

/// Accounts that may be on their way to another place at once. Chosen: each signs in anew from its cookies, and the
/// service must not see a burst; ten thousand are shared out within some minutes.
const MOVES: usize = 32;

/// Where an account runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// On the leader itself.
    Here,
    There(WorkerId),
}

struct Entry {
    /// The process behind the line.
    instance: u64,
    /// When its last ping came.
    heard: Instant,
    /// It takes nothing more.
    is_leaving: bool,
    /// Accounts that run there, without those that are told to go elsewhere.
    accounts: usize,
}

struct Run {
    place: Place,
    /// Nobody is in the middle of anything: it may be moved.
    is_settled: bool,
    /// It was told to come to its end, to go on elsewhere.
    moves: bool,
}

/// Whoever had an account may still be running it.
struct Held {
    instance: u64,
    until: Instant,
}

/// The book of one leader.
pub(crate) struct Book {
    lease: Duration,
    /// How long a run that is told to stop may go on.
    grace: Duration,
    /// Accounts that run here, counted as those of an entry.
    here: usize,
    /// Accounts that are told to go elsewhere.
    under_way: usize,
    workers: BTreeMap<WorkerId, Entry>,
    runs: HashMap<NetworkId, Run>,
    held: HashMap<NetworkId, Held>,
    /// Before that the leases of an earlier leader may not be over.
    open: Instant,
}

impl Book {
    /// An empty one. Nothing is lent before `open`.
    pub(crate) fn new((lease, grace): (Duration, Duration), open: Instant) -> Self {
        let (workers, runs, held) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { lease, grace, here: 0, under_way: 0, workers, runs, held, open }
    }

    /// A worker came that runs nothing: what an earlier line of the same process had is free.
    pub(crate) fn joined(&mut self, worker: WorkerId, instance: u64, now: Instant) {
        self.held.retain(|_, held| held.instance != instance);
        self.workers.insert(worker, Entry { instance, heard: now, is_leaving: false, accounts: 0 });
    }

    pub(crate) fn heard(&mut self, worker: WorkerId, now: Instant) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.heard = now;
        }
    }

    pub(crate) fn leaving(&mut self, worker: WorkerId) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.is_leaving = true;
        }
    }

    /// A worker is gone. Unless it said that nothing runs there any more, its accounts are held until its lease is over.
    pub(crate) fn gone(&mut self, worker: WorkerId, in_order: bool) {
        let Some(entry) = self.workers.remove(&worker) else { return };
        let (instance, until) = (entry.instance, entry.heard + self.lease);
        let (held, under_way) = (&mut self.held, &mut self.under_way);
        self.runs.retain(|network, run| {
            let is_elsewhere = run.place != Place::There(worker);
            if !is_elsewhere {
                *under_way -= usize::from(run.moves);
                if !in_order {
                    held.insert(network.clone(), Held { instance, until });
                }
            }
            is_elsewhere
        });
    }

    fn count(&mut self, place: Place) -> Option<&mut usize> {
        match place {
            Place::Here => Some(&mut self.here),
            Place::There(worker) => self.workers.get_mut(&worker).map(|entry| &mut entry.accounts),
        }
    }

    fn put(&mut self, network: &NetworkId, place: Place) {
        self.take_out(network);
        self.runs.insert(network.clone(), Run { place, is_settled: false, moves: false });
        if let Some(count) = self.count(place) {
            *count += 1;
        }
    }

    fn take_out(&mut self, network: &NetworkId) {
        match self.runs.remove(network) {
            None => {}
            Some(run) if run.moves => self.under_way -= 1,
            Some(run) => {
                if let Some(count) = self.count(run.place) {
                    *count -= 1;
                }
            }
        }
    }

    /// Workers whose lease is over.
    pub(crate) fn expired(&self, now: Instant) -> Vec<WorkerId> {
        let is_over = |entry: &Entry| entry.heard + self.lease <= now;
        self.workers.iter().filter(|(_, entry)| is_over(entry)).map(|(id, _)| *id).collect()
    }

    /// Until when an account may not run anywhere; `None` when it may.
    pub(crate) fn held_until(&self, network: &NetworkId, now: Instant) -> Option<Instant> {
        let held = self.held.get(network).map(|held| held.until);
        [Some(self.open), held].into_iter().flatten().filter(|until| now < *until).max()
    }

    /// Chooses where an account runs next, the place that has the fewest, and writes it down. When it may not run yet:
    /// until when.
    pub(crate) fn take(&mut self, network: &NetworkId, now: Instant) -> Result<Place, Instant> {
        if let Some(until) = self.held_until(network, now) {
            return Err(until);
        }
        self.held.remove(network);
        let place = self.counts().min_by_key(|(place, count)| (*count, *place));
        let place = place.map_or(Place::Here, |(place, _)| place);
        self.put(network, place);
        Ok(place)
    }

    /// A run is over where it was, and nothing of it is left.
    pub(crate) fn ended(&mut self, network: &NetworkId, place: Place) {
        if self.place(network) == Some(place) {
            self.take_out(network);
        }
    }

    /// Nobody waits for a run any more, which is told to stop: it may go on where it is until it has, or until the lease is
    /// over where it does not hear it.
    pub(crate) fn left_behind(&mut self, network: &NetworkId, worker: WorkerId, now: Instant) {
        if self.place(network) != Some(Place::There(worker)) {
            return;
        }
        self.take_out(network);
        if let Some(entry) = self.workers.get(&worker) {
            let held = Held { instance: entry.instance, until: now + self.lease.max(self.grace) };
            self.held.insert(network.clone(), held);
        }
    }

    /// A worker says that a run is over that nobody waited for.
    pub(crate) fn ended_late(&mut self, network: &NetworkId, worker: WorkerId) {
        let instance = self.workers.get(&worker).map(|entry| entry.instance);
        if self.held.get(network).is_some_and(|held| Some(held.instance) == instance) {
            self.held.remove(network);
        }
    }

    pub(crate) fn settle(&mut self, network: &NetworkId, is_settled: bool) {
        if let Some(run) = self.runs.get_mut(network) {
            run.is_settled = is_settled;
        }
    }

    /// Where an account runs.
    pub(crate) fn place(&self, network: &NetworkId) -> Option<Place> {
        self.runs.get(network).map(|run| run.place)
    }

    /// True when no account is elsewhere, or may be.
    pub(crate) fn is_clear(&self, now: Instant) -> bool {
        now >= self.open
            && self.held.values().all(|held| held.until <= now)
            && self.runs.values().all(|run| run.place == Place::Here)
    }

    /// How many accounts each place has that takes any, without those that leave it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Place, usize)> {
        let takes = self.workers.iter().filter(|(_, entry)| !entry.is_leaving);
        let there = takes.map(|(id, entry)| (Place::There(*id), entry.accounts));
        std::iter::once((Place::Here, self.here)).chain(there)
    }

    /// Accounts to move now, so that every place has its share. They are written down as leaving.
    pub(crate) fn shed(&mut self) -> Vec<NetworkId> {
        let full = self.counts().max_by_key(|(_, count)| *count);
        let (Some((full, most)), Some(least)) = (full, self.counts().map(|(_, count)| count).min()) else {
            return Vec::new();
        };
        // Those on their way go where the fewest are. One more than another is as even as it gets.
        let wanted = most.saturating_sub(least + self.under_way) / 2;
        let wanted = wanted.min(MOVES.saturating_sub(self.under_way));
        let movable =
            self.runs.iter_mut().filter(|(_, run)| run.place == full && run.is_settled && !run.moves);
        let leave = |(network, run): (&NetworkId, &mut Run)| {
            run.moves = true;
            network.clone()
        };
        let leaving: Vec<NetworkId> = movable.take(wanted).map(leave).collect();
        self.under_way += leaving.len();
        if let Some(count) = self.count(full) {
            *count -= leaving.len();
        }
        leaving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn network(n: usize) -> NetworkId {
        format!("wechat:{n}").into()
    }

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_lost_worker_had_runs_nowhere_until_its_lease_is_over() {
        let now = Instant::now();
        let mut book = Book::new((LEASE, second()), now);
        book.joined(1, 77, now);
        assert_eq!(book.take(&network(1), now), Ok(Place::Here));
        assert_eq!(book.take(&network(2), now), Ok(Place::There(1)));
        book.heard(1, now + second());
        book.gone(1, false);
        let over = now + second() + LEASE;
        assert_eq!(book.take(&network(2), now + second()), Err(over));
        assert_eq!(book.take(&network(2), over), Ok(Place::Here));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_says_goodbye_or_comes_back_gives_its_accounts_free() {
        let now = Instant::now();
        let mut book = Book::new((LEASE, second()), now);
        book.joined(1, 77, now);
        (0..4).for_each(|n| assert!(book.take(&network(n), now).is_ok()));
        book.gone(1, true);
        (0..4).filter(|n| n % 2 == 1).for_each(|n| assert_eq!(book.take(&network(n), now), Ok(Place::Here)));
        book.joined(2, 77, now);
        assert_eq!(book.take(&network(9), now), Ok(Place::There(2)));
        book.gone(2, false);
        book.joined(3, 78, now);
        assert!(book.take(&network(9), now).is_err(), "another process says nothing about it");
        book.joined(4, 77, now);
        assert!(book.take(&network(9), now).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_nobody_waits_for_holds_its_account_until_it_is_said_to_be_over() {
        let now = Instant::now();
        let mut book = Book::new((LEASE, second()), now);
        book.joined(1, 77, now);
        book.take(&network(0), now).unwrap();
        assert_eq!(book.take(&network(1), now), Ok(Place::There(1)));
        book.left_behind(&network(1), 1, now);
        assert_eq!(book.take(&network(1), now), Err(now + LEASE));
        book.ended_late(&network(1), 1);
        assert_eq!(book.take(&network(1), now), Ok(Place::There(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_lease_and_an_earlier_leader_s_leases_are_waited_for() {
        let now = Instant::now();
        let mut book = Book::new((LEASE, second()), now + second());
        book.joined(1, 77, now);
        assert_eq!(book.take(&network(0), now), Err(now + second()));
        assert!(book.expired(now + LEASE - second()).is_empty());
        assert_eq!(book.expired(now + LEASE), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_are_shared_out_a_few_at_a_time_and_only_settled_ones_move() {
        let now = Instant::now();
        let mut book = Book::new((LEASE, second()), now);
        (0..200).for_each(|n| assert!(book.take(&network(n), now).is_ok()));
        book.joined(1, 77, now);
        assert!(book.shed().is_empty(), "all are in the middle of something");
        (0..200).for_each(|n| book.settle(&network(n), true));
        let mut moved = 0;
        loop {
            let leaving = book.shed();
            if leaving.is_empty() {
                break;
            }
            assert!(leaving.len() <= MOVES);
            moved += leaving.len();
            for network in leaving {
                book.ended(&network, Place::Here);
                assert_eq!(book.take(&network, now), Ok(Place::There(1)));
            }
        }
        assert_eq!(moved, 100);
        let even: Vec<_> = book.counts().map(|(_, count)| count).collect();
        assert_eq!(even, [100, 100]);
    }
}
