//! Tells tracers of the steps of messages: see [`JOURNEY`].

use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use wxgate_contract::{Committed, Delivery, DeliveryId, JOURNEY, NetworkId, Outcome, PostFate, PostId};

fn is_wanted() -> bool {
    tracing::enabled!(target: JOURNEY, tracing::Level::TRACE)
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// A batch is durable and routed.
pub(crate) fn committed(network: &NetworkId, committed: &Committed, took: Duration) {
    if !is_wanted() {
        return;
    }
    for fate in &committed.posts {
        if let PostFate::Kept(post) = fate {
            tracing::trace!(target: JOURNEY, step = "commit", post = post.0, %network, took_us = micros(took));
        }
    }
}

struct Begun {
    post: PostId,
    job: &'static str,
    attempt: u32,
    at: Instant,
}

/// Deliveries that somebody traces and that are in an adapter's hands: as many as lanes may be, see
/// `lanes::IN_FLIGHT`, and what the last run of a network left until it is handed out again. Empty while nobody
/// listens.
#[derive(Default)]
pub(crate) struct InHand(DashMap<DeliveryId, Begun>);

impl InHand {
    /// Is handed out now.
    pub(crate) fn begin(&self, delivery: &Delivery) {
        if is_wanted() {
            let (post, job, attempt) = (delivery.job.post(), delivery.job.word(), delivery.attempt);
            self.0.insert(delivery.id, Begun { post, job, attempt, at: Instant::now() });
        }
    }

    /// Has its outcome; without one it was not handed out after all.
    pub(crate) fn end(&self, network: &NetworkId, delivery: DeliveryId, outcome: Option<&Outcome>) {
        let Some((_, Begun { post, job, attempt, at })) = self.0.remove(&delivery) else { return };
        let Some(outcome) = outcome.map(Outcome::word) else { return };
        let took_us = micros(at.elapsed());
        tracing::trace!(target: JOURNEY, step = "deliver", post = post.0, %network, took_us, job, attempt, outcome);
    }
}
