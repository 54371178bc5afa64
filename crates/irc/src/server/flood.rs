//! Flood control.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::config::Flood;

/// Lines that may pass; more have to wait. Nothing is dropped and nobody is killed for it.
pub(super) struct Bucket {
    /// `None` lets everything pass.
    flood: Option<Flood>,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(flood: Option<Flood>) -> Self {
        let tokens = flood.map_or(0.0, |flood| f64::from(flood.burst));
        Self { flood, tokens, filled: Instant::now() }
    }

    /// Waits until a line may pass.
    pub(super) async fn take(&mut self) {
        let Some(flood) = self.flood else { return };
        let rate = f64::from(flood.per_second.max(1));
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(f64::from(flood.burst));
        self.filled = now;
        self.tokens -= 1.0;
        if self.tokens < 0.0 {
            sleep_until(now + Duration::from_secs_f64(-self.tokens / rate)).await;
        }
    }
}
