//! Removes what is too old or too much, now and then; and nothing while it is in doubt how old things are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::Timestamp;
use wxgate_store::{Keep, Pruned, StoreError};

use crate::clock;
use crate::config::MediaSection;
use crate::wiring::Parts;

/// Until the first clean-up. Chosen: accounts come back first.
const CLEAN_FIRST: Duration = Duration::from_secs(20);
/// Pause between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
/// A clock that gains more than this on the timer was set. Chosen: beyond every daylight saving and drift; what keeps
/// things for a month loses none by it.
const JUMP: Duration = Duration::from_secs(86_400);
/// How long a clock that was set has to stand before it is believed. Chosen: somebody has looked at it by then.
const STANDS: Duration = Duration::from_secs(86_400);

/// Whether ages can be believed. A clock that is set to next year by mistake would make everything old at once, and
/// what is removed does not come back when the clock does.
struct Ages {
    wall: Timestamp,
    at: Instant,
    set: Option<Instant>,
}

impl Ages {
    fn new(wall: Timestamp) -> Self {
        Self { wall, at: Instant::now(), set: None }
    }

    fn are_believed(&mut self, wall: Timestamp) -> bool {
        let (now, by_clock) = (Instant::now(), wall.since(self.wall));
        if by_clock > now.duration_since(self.at).saturating_add(JUMP) {
            self.set = Some(now);
        }
        (self.wall, self.at) = (wall, now);
        self.set.is_none_or(|set| now.duration_since(set) >= STANDS)
    }
}

/// Removes what is too old or too much, soon after the start and now and then: whoever restarts because the disk is
/// full waits for it.
pub(crate) async fn run(parts: Arc<Parts>, media: MediaSection, keep: Keep) {
    let (mut ages, mut pause) = (Ages::new(clock::now()), CLEAN_FIRST);
    while !parts.stop.is_stopping() {
        tokio::select! {
            () = parts.stop.stopping() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = CLEAN_EVERY;
        if !ages.are_believed(clock::now()) {
            tracing::warn!(
                "the clock was set forward by more than a day; nothing is cleaned up until it has stood for a day"
            );
            continue;
        }
        let store = parts.bridge.store();
        for (what, done) in [
            ("media", store.prune_media(media.keep_days, media.max_store_bytes).await),
            ("deliveries", store.prune().await),
            ("history", clean_history(&parts, keep).await),
        ] {
            match done {
                Ok(gone) => tracing::info!(
                    what,
                    deliveries = gone.deliveries,
                    messages = gone.messages,
                    media = gone.media,
                    freed_bytes = gone.freed_bytes,
                    "cleaned up"
                ),
                Err(error) => tracing::warn!(what, %error, "could not clean up"),
            }
        }
    }
}

async fn clean_history(parts: &Parts, keep: Keep) -> Result<Pruned, StoreError> {
    let mut all = Pruned::default();
    if keep == Keep::default() {
        return Ok(all);
    }
    let store = parts.bridge.store();
    for network in store.networks_with_history().await? {
        if parts.stop.is_stopping() {
            break;
        }
        all.messages += store.prune_history(&network, keep).await?.messages;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_forward_makes_nothing_old_before_it_has_stood_for_a_day() {
        let (hour, year) = (Duration::from_secs(3600), Duration::from_secs(365 * 86_400));
        let mut wall = Timestamp(1_700_000_000_000);
        let mut ages = Ages::new(wall);
        let mut after = async |by: Duration| {
            tokio::time::advance(hour).await;
            wall = wall.after(hour + by);
            ages.are_believed(wall)
        };
        assert!(after(Duration::ZERO).await);
        assert!(after(hour * 2).await, "a summer time that was forgotten");
        assert!(!after(year).await);
        for _ in 1..24 {
            assert!(!after(Duration::ZERO).await);
        }
        assert!(after(Duration::ZERO).await, "it was meant");
        // Set back, things are younger than they are.
        wall = Timestamp(wall.0 - 86_400_000 * 365);
        tokio::time::advance(hour).await;
        assert!(ages.are_believed(wall));
    }
}
