//! What the last day was like, in memory: a point every five minutes, for the plots of the pages. Prometheus is for more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use wxgate_contract::{Directory, FeedEvent, NetworkId};

use crate::wiring::{ACCOUNT_KIND, Parts};

/// Between two points.
const EVERY: Duration = Duration::from_secs(300);
/// A day of them.
const MOST: usize = 288;
/// What a count of five minutes is in an hour.
const PER_HOUR: f64 = 12.0;

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

/// The last day. Behind locks that are held for a copy or a count only.
#[derive(Debug, Default)]
pub(crate) struct Day {
    points: Mutex<VecDeque<Point>>,
    accounts: Mutex<Accounts>,
}

impl Day {
    /// The oldest first.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn add(&self, point: Point) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() == MOST {
            points.pop_front();
        }
        points.push_back(point);
        drop(points);
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).turn();
    }

    fn count(&self, account: &NetworkId) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).count(account);
    }

    /// New messages of these accounts together, per hour: as many points as there are of the gateway.
    pub(crate) fn messages_of<'a>(&self, accounts: impl Iterator<Item = &'a NetworkId>) -> Vec<f64> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).per_hour(accounts)
    }
}

/// New messages of each account. Whose account had none all day is not in it; of ten thousand that speak it is six
/// million bytes.
#[derive(Debug, Default)]
struct Accounts {
    /// In the present five minutes.
    now: HashMap<NetworkId, u16>,
    /// In earlier ones, the newest last; what is missing before them is zero.
    past: HashMap<NetworkId, VecDeque<u16>>,
    /// Five minutes that have passed, a day of them at most.
    turns: usize,
}

impl Accounts {
    fn count(&mut self, account: &NetworkId) {
        match self.now.get_mut(account) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.now.insert(account.clone(), 1);
            }
        }
    }

    fn turn(&mut self) {
        self.turns = (self.turns + 1).min(MOST);
        for (account, past) in &mut self.past {
            past.push_back(self.now.remove(account).unwrap_or(0));
            if past.len() > MOST {
                past.pop_front();
            }
        }
        self.past.extend(self.now.drain().map(|(account, count)| (account, VecDeque::from([count]))));
        self.past.retain(|_, past| past.iter().any(|count| *count > 0));
    }

    fn per_hour<'a>(&self, accounts: impl Iterator<Item = &'a NetworkId>) -> Vec<f64> {
        let mut sums = vec![0.0; self.turns];
        for past in accounts.filter_map(|account| self.past.get(account)) {
            for (sum, count) in sums.iter_mut().rev().zip(past.iter().rev()) {
                *sum += f64::from(*count) * PER_HOUR;
            }
        }
        sums
    }
}

/// Counts messages and takes a point now and then, until the program stops.
pub(crate) async fn keep(parts: &Parts) {
    let mut feed = Directory::subscribe(&*parts.bridge);
    let mut before = counts(parts);
    let mut next = Instant::now() + EVERY;
    loop {
        tokio::select! {
            () = parts.stop.stopping() => return,
            event = feed.recv() => match event {
                Ok(FeedEvent::Shown(item)) if item.post.chat.network.kind() == ACCOUNT_KIND => {
                    parts.day.count(&item.post.chat.network);
                }
                // What crossed faster than it was counted is missing in the plots of its owner.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep_until(next) => {
                next += EVERY;
                let now = counts(parts);
                let memory = wxgate_heap::resident_bytes().unwrap_or_default();
                parts.day.add(point(before, now, memory));
                before = now;
            }
        }
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
    fn messages_are_counted_for_each_account_and_summed_for_its_owner() {
        let day = Day::default();
        let names = ["wechat:a", "wechat:b", "wechat:c"].map(NetworkId::from);
        let [a, b, c] = &names;
        let turn = || day.add(Point::default());
        day.count(a);
        turn();
        day.count(a);
        day.count(b);
        day.count(b);
        turn();
        turn();
        assert_eq!(day.messages_of([a].into_iter()), [12.0, 12.0, 0.0]);
        assert_eq!(day.messages_of([a, b].into_iter()), [12.0, 36.0, 0.0]);
        assert_eq!(day.messages_of([c].into_iter()), [0.0; 3], "nobody said anything");
        // What has not passed yet is in no point.
        day.count(c);
        assert_eq!(day.messages_of([c].into_iter()), [0.0; 3]);
        (0..MOST).for_each(|_| turn());
        let theirs = day.messages_of(names.iter());
        assert_eq!((theirs.len(), theirs[0], theirs[1]), (MOST, 12.0, 0.0));
        turn();
        assert!(day.accounts.lock().unwrap().past.is_empty(), "who is silent for a day takes no room");
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
