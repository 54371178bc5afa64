//! What the last day was like, in memory: a point every five minutes, for the plots of the pages. Prometheus is for more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::wiring::Parts;

/// Between two points.
const EVERY: Duration = Duration::from_secs(300);
/// A day of them.
const MOST: usize = 288;

/// Five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    /// New messages of every network, at the rate of these minutes.
    pub(crate) messages_per_hour: f64,
    /// Mean time of a durable commit.
    pub(crate) commit_ms: f64,
    /// At the end of these minutes.
    pub(crate) memory_mib: f64,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    messages: u64,
    commits: u64,
    commit_us: u64,
}

/// The last day. Behind a lock that is held for a copy only.
#[derive(Debug, Default)]
pub(crate) struct Day(Mutex<VecDeque<Point>>);

impl Day {
    /// The oldest first.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn add(&self, point: Point) {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() == MOST {
            points.pop_front();
        }
        points.push_back(point);
    }
}

/// Takes a point now and then, until the program stops.
pub(crate) async fn keep(parts: &Parts) {
    let mut before = counts(parts);
    loop {
        tokio::select! {
            () = parts.stop.stopping() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = counts(parts);
        let memory = wxgate_heap::resident_bytes().unwrap_or_default();
        parts.day.add(point(before, now, memory));
        before = now;
    }
}

fn counts(parts: &Parts) -> Counts {
    let meter = parts.bridge.meter();
    let (commits, commit_us, _) = meter.commits();
    Counts { messages: meter.posts().0, commits, commit_us }
}

fn point(before: Counts, now: Counts, memory_bytes: u64) -> Point {
    let grown = |of: fn(&Counts) -> u64| of(&now).saturating_sub(of(&before)) as f64;
    let commits = grown(|counts| counts.commits);
    Point {
        messages_per_hour: grown(|counts| counts.messages) * 3600.0 / EVERY.as_secs_f64(),
        commit_ms: if commits > 0.0 { grown(|counts| counts.commit_us) / commits / 1000.0 } else { 0.0 },
        memory_mib: memory_bytes as f64 / f64::from(1 << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_what_grew_in_five_minutes() {
        let before = Counts { messages: 100, commits: 10, commit_us: 5_000 };
        let now = Counts { messages: 160, commits: 14, commit_us: 17_000 };
        let wanted = Point { messages_per_hour: 720.0, commit_ms: 3.0, memory_mib: 2.0 };
        assert_eq!(point(before, now, 2 << 20), wanted);
        assert_eq!(point(now, now, 0), Point::default(), "nothing happened");
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let day = Day::default();
        for at in 0..MOST + 3 {
            day.add(Point { memory_mib: at as f64, ..Point::default() });
        }
        let points = day.points();
        assert_eq!((points.len(), points[0].memory_mib), (MOST, 3.0));
    }
}
