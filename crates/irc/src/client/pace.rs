//! How many lines may go now. A bucket; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Rate;

/// A bucket of lines.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    rate: Rate,
    full: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full: rate.burst, at: now }
    }

    /// Another rate; what was used stays used.
    pub(super) fn set(&mut self, rate: Rate, now: Instant) {
        self.fill(now);
        let used = self.rate.burst - self.full;
        *self = Self { rate, full: (rate.burst - used).max(0.0), at: now };
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.full = (self.full + passed * self.rate.per_second).min(self.rate.burst);
        self.at = now;
    }

    /// Takes `lines` when there are as many.
    pub(super) fn take(&mut self, lines: f64, now: Instant) -> bool {
        self.fill(now);
        let fits = self.full >= lines;
        if fits {
            self.full -= lines;
        }
        fits
    }

    /// Takes what cannot wait; the next ones wait longer for it.
    pub(super) fn force(&mut self, lines: f64, now: Instant) {
        self.fill(now);
        self.full -= lines;
    }

    /// When `lines` will be there.
    pub(super) fn ready_at(&self, lines: f64) -> Instant {
        let missing = (lines - self.full).max(0.0) / self.rate.per_second.max(0.001);
        // A millisecond more: rounding must not wake us too early, again and again.
        self.at + Duration::from_secs_f64(missing) + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::config::GENTLE;

    #[test]
    fn five_lines_pass_at_once_and_then_one_every_two_seconds() {
        let start = Instant::now();
        let mut pace = Pace::new(GENTLE, start);
        assert!((0..5).all(|_| pace.take(1.0, start)));
        assert!(!pace.take(1.0, start));
        let next = pace.ready_at(1.0);
        assert!(!pace.take(1.0, start + Duration::from_millis(1900)));
        assert!(next <= start + Duration::from_millis(2010) && pace.take(1.0, next));
        // What was forced is paid back.
        pace.force(2.0, next);
        assert!(!pace.take(1.0, next + Duration::from_secs(4)));
        assert!(pace.take(1.0, next + Duration::from_millis(6100)));
    }
}
