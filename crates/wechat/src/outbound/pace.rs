//! How fast one account may send: a small burst, then an even rate with jitter, and a long pause
//! when the service says "too frequent".

use std::time::Duration;

use rand::Rng;

/// Sends that may go at once after a rest: somebody who types three short lines. Chosen; twice as
/// many is still far below what the service was seen to accept (the protocol sheet, section 6.3).
const BURST: u64 = 3;
/// First pause after "too frequent"; doubles. Source: the protocol sheet, section 6.3.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause. Chosen.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The rate of one account. Time is milliseconds on any clock that does not go back.
#[derive(Debug)]
pub(crate) struct Pace {
    interval_ms: u64,
    /// When the next send would be due if all were spaced evenly.
    due_ms: u64,
    paused_until_ms: u64,
    pause: Duration,
}

impl Pace {
    pub(crate) fn new(sends_per_minute: u32) -> Self {
        let interval_ms = 60_000 / u64::from(sends_per_minute.max(1));
        Self { interval_ms, due_ms: 0, paused_until_ms: 0, pause: FIRST_PAUSE }
    }

    /// Takes the next place in the queue and says how long to wait for it.
    pub(crate) fn reserve(&mut self, now_ms: u64, rng: &mut impl Rng) -> Duration {
        let due_ms = self.due_ms.max(now_ms);
        self.due_ms = due_ms + self.interval_ms;
        let ahead_ms = due_ms - now_ms;
        let wait_ms = ahead_ms.saturating_sub((BURST - 1) * self.interval_ms);
        if wait_ms == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(wait_ms + rng.random_range(0..=self.interval_ms / 4))
    }

    /// How long the service wants to be left alone.
    pub(crate) fn paused_for(&self, now_ms: u64) -> Option<Duration> {
        self.paused_until_ms.checked_sub(now_ms).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// The service said "too frequent": says how long to pause. What was under way when it first said so is told the
    /// same, and tells nothing new.
    pub(crate) fn slow_down(&mut self, now_ms: u64) -> Duration {
        if let Some(left) = self.paused_for(now_ms) {
            return left;
        }
        let pause = self.pause;
        self.paused_until_ms = now_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 2);
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// A send went through.
    pub(crate) fn went_well(&mut self) {
        self.pause = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_is_spaced() {
        let mut pace = Pace::new(60);
        let mut rng = SmallRng::seed_from_u64(1);
        let waits: Vec<u64> = (0..6).map(|_| pace.reserve(0, &mut rng).as_millis() as u64).collect();
        assert_eq!(&waits[..3], [0, 0, 0]);
        for (wait, floor) in waits[3..].iter().zip([1000, 2000, 3000]) {
            assert!((floor..=floor + 250).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn too_frequent_pauses_from_a_minute_doubling_and_a_success_forgives() {
        let mut pace = Pace::new(60);
        assert_eq!(pace.slow_down(0), Duration::from_secs(60));
        assert_eq!(pace.paused_for(1_000), Some(Duration::from_secs(59)));
        assert_eq!(pace.slow_down(60_000), Duration::from_secs(120));
        assert_eq!(pace.paused_for(180_000), None);
        for at in 1..20 {
            assert!(pace.slow_down(200_000 + at * 3_600_000) <= LONGEST_PAUSE);
        }
        pace.went_well();
        assert_eq!(pace.slow_down(1_000_000_000), FIRST_PAUSE);
    }

    #[test]
    fn what_was_under_way_when_the_pause_began_does_not_lengthen_it() {
        let mut pace = Pace::new(60);
        pace.slow_down(0);
        assert_eq!(pace.slow_down(20_000), Duration::from_secs(40));
        assert_eq!(pace.paused_for(59_999), Some(Duration::from_millis(1)));
        assert_eq!(pace.slow_down(60_000), Duration::from_secs(120));
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_the_rate_and_the_burst(
            per_minute in 1_u32..600,
            gaps in proptest::collection::vec(0_u64..20_000, 1..200),
            seed: u64,
        ) {
            let mut pace = Pace::new(per_minute);
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut now = 0;
            let mut times = Vec::new();
            for gap in gaps {
                now += gap;
                times.push(now + pace.reserve(now, &mut rng).as_millis() as u64);
            }
            times.sort_unstable();
            let interval = 60_000 / u64::from(per_minute);
            for (at, time) in times.iter().enumerate() {
                let within = times[at..].iter().take_while(|other| **other < time + 60_000).count() as u64;
                prop_assert!(within <= 60_000 / interval.max(1) + BURST + 1, "{within} in a minute");
            }
        }
    }
}
