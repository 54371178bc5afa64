//! What the pipe counts. Plain atomics: read by the metrics page, written on every path.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wxgate_contract::{NetworkId, Outcome};

/// Upper bounds of the commit time histogram, in microseconds. Chosen around the cost of one
/// durable write (1.5 to 2 ms on a usual disk).
pub const COMMIT_BOUNDS_US: [u64; 8] = [500, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Outcomes of deliveries to one kind of network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// The kind (the part of the network id before the colon).
    pub kind: String,
    /// Carried out.
    pub sent: u64,
    /// Given up.
    pub refused: u64,
    /// Put off.
    pub later: u64,
    /// Nobody can tell.
    pub uncertain: u64,
}

/// What the pipe has counted since the start.
#[derive(Debug, Default)]
pub struct Meter {
    posts: AtomicU64,
    repeats: AtomicU64,
    commits: AtomicU64,
    commit_us: AtomicU64,
    commit_buckets: [AtomicU64; COMMIT_BOUNDS_US.len()],
    restarts: AtomicU64,
    // Touched once per delivery, never across an await; one row per kind of network.
    outcomes: Mutex<Vec<OutcomeCounts>>,
}

impl Meter {
    pub(crate) fn committed(&self, kept: usize, known: usize, took: Duration) {
        self.posts.fetch_add(kept as u64, Ordering::Relaxed);
        self.repeats.fetch_add(known as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.fetch_add(us, Ordering::Relaxed);
        for (bound, bucket) in COMMIT_BOUNDS_US.iter().zip(&self.commit_buckets) {
            if us <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settled(&self, network: &NetworkId, outcome: &Outcome) {
        let mut rows = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = network.kind();
        if !rows.iter().any(|row| row.kind == kind) {
            rows.push(OutcomeCounts { kind: kind.to_owned(), ..OutcomeCounts::default() });
        }
        let Some(row) = rows.iter_mut().find(|row| row.kind == kind) else { return };
        match outcome {
            Outcome::Sent { .. } => row.sent += 1,
            Outcome::Refused { .. } => row.refused += 1,
            Outcome::TryLater { .. } => row.later += 1,
            Outcome::Uncertain { .. } => row.uncertain += 1,
        }
    }

    /// New posts and repeated ones.
    pub fn posts(&self) -> (u64, u64) {
        (self.posts.load(Ordering::Relaxed), self.repeats.load(Ordering::Relaxed))
    }

    /// Number of commits, their sum in microseconds, and how many took at most each of
    /// [`COMMIT_BOUNDS_US`].
    pub fn commits(&self) -> (u64, u64, [u64; COMMIT_BOUNDS_US.len()]) {
        let buckets =
            std::array::from_fn(|i| self.commit_buckets.get(i).map_or(0, |b| b.load(Ordering::Relaxed)));
        (self.commits.load(Ordering::Relaxed), self.commit_us.load(Ordering::Relaxed), buckets)
    }

    /// Restarts of networks.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Outcomes by kind of network.
    pub fn outcomes(&self) -> Vec<OutcomeCounts> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
