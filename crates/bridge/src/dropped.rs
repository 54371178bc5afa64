//! What may have been in somebody's hands when they died, kept over an orderly end of the program.
//!
//! After a crash nobody knows which lanes were in hand, so each open one counts. After an orderly
//! end it is known, and what waits for an account that is signed out is no attempt older at each restart.

use std::collections::HashMap;

use bytes::Bytes;
use wxgate_contract::{Batch, ChatRef, DeliveryId, NetworkId, Note, Timestamp};
use wxgate_store::StoreError;

use crate::Bridge;

/// What of each lane may have been in somebody's hands when they died.
pub(crate) type Dropped = HashMap<ChatRef, Held>;

/// One delivery, and how often it may have been in somebody's hands. What has it may still have closed it, and
/// nobody heard: the lane's next one was never in any hands, and must not come as a repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// `None` after a crash: whichever is the lane's first.
    delivery: Option<DeliveryId>,
    times: u32,
}

impl Held {
    /// Somebody who had it is gone.
    pub(crate) fn again(&mut self, delivery: DeliveryId) {
        if self.delivery.is_some_and(|known| known != delivery) {
            self.times = 0;
        }
        (self.delivery, self.times) = (Some(delivery), self.times.saturating_add(1));
    }

    /// How often this one may have been in somebody's hands, now that it is the lane's first.
    pub(crate) fn times_of(&mut self, delivery: DeliveryId) -> u32 {
        if self.delivery.is_some_and(|known| known != delivery) {
            self.times = 0;
        }
        self.delivery = Some(delivery);
        self.times
    }
}

/// As it is kept.
type Row = (ChatRef, Option<DeliveryId>, u32);

/// Whose note it is: the pipe's own, which is no network.
const OWN: &str = "pipe";
const KEY: &str = "dropped";

impl Bridge {
    /// Reads what the last orderly end left and takes it away, so that it is true only once. `None` after a crash.
    pub(crate) async fn take_dropped(&self) -> Result<Option<Dropped>, StoreError> {
        let own = NetworkId::new(OWN);
        let Some(note) = self.store.note(&own, KEY).await? else { return Ok(None) };
        self.keep_note(None).await?;
        let all: Option<Vec<Row>> = serde_json::from_slice(&note).ok();
        Ok(all.map(|all| {
            all.into_iter().map(|(lane, delivery, times)| (lane, Held { delivery, times })).collect()
        }))
    }

    /// Keeps it for the next start. Without it the next start assumes a crash.
    pub(crate) async fn keep_dropped(&self, dropped: Dropped) {
        let all: Vec<Row> =
            dropped.into_iter().map(|(lane, held)| (lane, held.delivery, held.times)).collect();
        let kept = match serde_json::to_vec(&all) {
            Ok(note) => self.keep_note(Some(note.into())).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            tracing::warn!(error, "could not keep which deliveries were in hand at the end");
        }
    }

    async fn keep_note(&self, value: Option<Bytes>) -> Result<(), StoreError> {
        let note = Note { key: KEY.to_owned(), value, is_secret: false };
        let batch = Batch { notes: vec![note], ..Batch::default() };
        self.store.commit_batch(&NetworkId::new(OWN), batch, self.route()).await.map(drop)
    }
}

/// What counts at a start: what is known, else every open lane. (Not only those that were due: a clock that was
/// set back would make one that was in hand look as if it had waited.)
pub(crate) fn at_start(known: Option<Dropped>, open: &[(ChatRef, Timestamp)]) -> Dropped {
    let count = |lane: &ChatRef| match &known {
        Some(known) => known.get(lane).copied(),
        None => Some(Held { delivery: None, times: 1 }),
    };
    open.iter().filter_map(|(lane, _)| Some((lane.clone(), count(lane)?))).collect()
}
