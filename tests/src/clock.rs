//! The one place that reads the time of day: the simulated service stamps with the same clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in microseconds.
#[expect(clippy::disallowed_methods, reason = "stories stand outside the program; this is their one clock")]
pub fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
