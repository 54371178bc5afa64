//! Outcomes close deliveries; whoever said the lost thing is told.

use wxgate_contract::{Batch, ChatRef, DeliveryId, FarEnd, FarError, NetworkId, Outcome};
use wxgate_store::StoreError;

use crate::lanes::DAMAGED;
use crate::{Bridge, notice};

/// What people are told.
const DAMAGED_WHY: &str = "what the gateway had stored of it is damaged";

/// Nobody else has to know: it goes on as any other.
pub(crate) fn tell_mended(network: &NetworkId, delivery: DeliveryId) {
    tracing::error!(%network, %delivery, "how far a delivery was is damaged in the database; it goes by when it was closed");
}

impl Bridge {
    pub(crate) async fn close(
        &self,
        network: &NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> Result<(), FarError> {
        self.settle_one(network, delivery, outcome).await.map_err(|error| self.unsure(error))?;
        self.look_again().await;
        Ok(())
    }

    async fn settle_one(
        &self,
        network: &NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let report = self.store.settle(network, delivery, outcome.clone(), self.route()).await?;
        // Only now: what could not be stored is told once more.
        self.meter.settled(network, &outcome);
        self.in_hand.end(network, delivery, Some(&outcome));
        for item in report.shown {
            self.show(item);
        }
        for lane in report.lanes {
            self.lanes.wake(lane).await;
        }
        match report.lane {
            Some(lane) => self.lanes.settled(lane, delivery, report.retry_at).await,
            // Removed while it was in hand, with its account or its post.
            None => self.lanes.gone(network, delivery).await,
        }
        if report.mended {
            tell_mended(network, delivery);
        }
        if let Some((post, chat)) = report.damaged {
            tracing::error!(%network, %delivery, %post, "a post is damaged: what became of it is not shown");
            if let Some(text) = notice::of_damaged(&outcome) {
                self.note_in(&chat, delivery, text).await;
            }
        }
        Ok(())
    }

    /// A delivery that cannot be read will never be carried out: it is closed, its owner is told, and the
    /// lane goes on.
    pub(crate) async fn close_damaged(&self, lane: &ChatRef, delivery: DeliveryId) {
        let network = &lane.network;
        tracing::error!(%network, %delivery, "a delivery is damaged and is given up");
        let outcome = Outcome::Refused { why: DAMAGED_WHY.to_owned() };
        let discarded = match self.settle_one(network, delivery, outcome).await {
            Ok(()) => return,
            // Nor can what the table says of it.
            Err(StoreError::Corrupt { .. }) => self.store.discard(delivery, DAMAGED_WHY).await,
            // A store that is away for a while: nothing is given up for that.
            Err(error) => Err(error),
        };
        let retry_at = match discarded {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%network, %delivery, %error, "a damaged delivery could not be closed");
                Some(self.clock.now().after(DAMAGED))
            }
        };
        if retry_at.is_none() {
            let text = format!("a message to this chat was not delivered, because {DAMAGED_WHY}");
            self.note_in(lane, delivery, text).await;
        }
        self.lanes.settled(lane.clone(), delivery, retry_at).await;
    }

    /// A line of the gateway in a chat.
    async fn note_in(&self, home: &ChatRef, delivery: DeliveryId, text: String) {
        let post = notice::post(home, delivery, text, self.clock.now());
        let batch = Batch { posts: vec![post], ..Batch::default() };
        if let Err(error) = self.commit(&home.network, batch).await {
            tracing::warn!(network = %home.network, %delivery, %error, "could not note a failed delivery");
        }
    }
}
