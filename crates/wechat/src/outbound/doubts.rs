//! Deliveries of which an earlier attempt may have arrived, over the end of a run.
//!
//! Such a delivery is tried again with the same id while its session lasts. What is refused in the end was not
//! surely "not delivered", and in another session it must not be said at all: the service would not notice.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use wxgate_contract::{Batch, Delivery, DeliveryId, FarEnd, FarError, NetworkId, Outcome};

use super::{Outbound, verdict};
use crate::roster::note;
use crate::session::machine::Standing;

const NOTE: &str = "in-doubt";
/// Remembered, the newest. Chosen: as many as can be under way at once; nothing is asked about one that is settled.
const KEPT: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    delivery: DeliveryId,
    /// The login it was tried in.
    generation: u32,
}

/// What the note says or is to say.
#[derive(Default)]
struct Known {
    doubts: VecDeque<Doubt>,
    /// It could not be written.
    is_ahead: bool,
}

/// The note, read when it is first needed. A lock of tokio: what is known is written before the next one asks.
pub(super) struct Doubts {
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    known: Mutex<Option<Known>>,
}

impl Doubts {
    pub(super) fn new(far: Arc<dyn FarEnd>, network: NetworkId) -> Self {
        Self { far, network, known: Mutex::default() }
    }

    /// The login in which a delivery may have arrived.
    async fn of(&self, delivery: DeliveryId) -> Result<Option<u32>, FarError> {
        let mut known = self.known.lock().await;
        let known = self.read(&mut known).await?;
        Ok(known.doubts.iter().find(|doubt| doubt.delivery == delivery).map(|doubt| doubt.generation))
    }

    /// These may have arrived in this login.
    async fn keep(&self, deliveries: &[DeliveryId], generation: u32) -> Result<(), FarError> {
        let mut known = self.known.lock().await;
        let known = self.read(&mut known).await?;
        for delivery in deliveries.iter().copied() {
            if known.doubts.iter().all(|doubt| doubt.delivery != delivery) {
                known.doubts.push_back(Doubt { delivery, generation });
                known.is_ahead = true;
            }
        }
        if !known.is_ahead {
            return Ok(());
        }
        known.doubts.drain(..known.doubts.len().saturating_sub(KEPT));
        let notes = vec![note(NOTE.to_owned(), &known.doubts)];
        self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await?;
        known.is_ahead = false;
        Ok(())
    }

    async fn read<'a>(&self, known: &'a mut Option<Known>) -> Result<&'a mut Known, FarError> {
        if known.is_none() {
            let value = self.far.note(&self.network, NOTE).await?;
            let doubts = value.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default();
            *known = Some(Known { doubts, is_ahead: false });
        }
        Ok(known.get_or_insert_default())
    }
}

impl Outbound {
    /// Why a delivery must not be said once more: it may have arrived in a session that is over.
    pub(super) async fn not_again(&self, delivery: &Delivery) -> Result<(), Outcome> {
        if delivery.attempt <= 1 || *self.live.standing().borrow() != Standing::Online {
            return Ok(());
        }
        match self.doubts.of(delivery.id).await {
            Ok(Some(login)) if login != self.live.generation() => {
                let why = "the account signed in anew before WeChat answered".to_owned();
                Err(Outcome::Uncertain { why })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Outcome::TryLater { after: verdict::soon(delivery.attempt), why: error.to_string() })
            }
        }
    }

    /// What is told of a delivery in the light of its earlier attempts.
    pub(super) async fn in_doubt(&self, delivery: &Delivery, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Refused { why } => match self.may_have_arrived(delivery).await {
                Ok(false) => Outcome::Refused { why },
                Ok(true) => Outcome::Uncertain { why },
                Err(error) => {
                    Outcome::TryLater { after: verdict::soon(delivery.attempt), why: error.to_string() }
                }
            },
            Outcome::TryLater { .. } if self.unanswered.is_doubtful(delivery.id) => {
                self.keep_doubts(&[delivery.id]).await;
                outcome
            }
            outcome => outcome,
        }
    }

    async fn may_have_arrived(&self, delivery: &Delivery) -> Result<bool, FarError> {
        // Of what goes in several pieces the first ones may have been said.
        if self.unanswered.is_doubtful(delivery.id) || !self.spoken_before(delivery.id).is_empty() {
            return Ok(true);
        }
        Ok(delivery.attempt > 1 && self.doubts.of(delivery.id).await?.is_some())
    }

    /// The run ends, and these sends have no answer yet.
    pub(crate) async fn keep_open(&self) {
        self.keep_doubts(&self.unanswered.deliveries()).await;
    }

    async fn keep_doubts(&self, deliveries: &[DeliveryId]) {
        if let Err(error) = self.doubts.keep(deliveries, self.live.generation()).await {
            let network = &self.network;
            tracing::warn!(%network, %error, "which messages may have arrived could not be stored");
        }
    }
}
