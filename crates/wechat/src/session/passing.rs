//! Time as the machine measures it.

use tokio::time::Instant;
use wxgate_contract::Timestamp;

/// A clock that is set back must not make the machine wait for a day, and a computer that slept has not stopped the
/// world: so it is what passed by the clock, and at least what passed by the timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    now: Timestamp,
    wall: Timestamp,
    at: Instant,
}

impl Passing {
    /// Begins with what the clock and the timer show.
    pub(crate) fn from(wall: Timestamp, at: Instant) -> Self {
        Self { now: wall, wall, at }
    }

    pub(crate) fn read(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = wall.since(self.wall).max(at.saturating_duration_since(self.at));
        (self.wall, self.at) = (wall, at);
        self.now = self.now.after(passed);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stops_no_time_and_one_that_goes_on_counts() {
        let (wall, began) = (Timestamp(1_700_000_000_000), Instant::now());
        let mut passing = Passing::from(wall, began);
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let set_back = Timestamp(wall.0 - 3_600_000);
        assert_eq!(passing.read(set_back, began + second), wall.after(second));
        assert_eq!(passing.read(set_back.after(second), began + second * 2), wall.after(second * 2));
        let slept = set_back.after(second + hour);
        assert_eq!(passing.read(slept, began + second * 2), wall.after(second * 2 + hour));
    }
}
