//! Outcomes close deliveries; whoever said the lost thing is told.

use std::sync::Arc;

use wxgate_contract::{
    Author, Batch, Body, DeliveryId, FarEnd, FarError, FeedEvent, NetworkId, Outcome, Post, RemoteId,
};
use wxgate_store::FailedDelivery;

use crate::intake::far_error;
use crate::{Bridge, notice};

impl Bridge {
    pub(crate) async fn close(
        &self,
        network: &NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> Result<(), FarError> {
        self.meter.settled(network, &outcome);
        let report = self.store.settle(network, delivery, outcome, self.route()).await.map_err(far_error)?;
        for item in report.shown {
            self.tell(FeedEvent::Shown(Arc::new(item)));
        }
        for lane in report.lanes {
            self.lanes.wake(lane).await;
        }
        if let Some(lane) = report.lane {
            self.lanes.settled(lane, report.retry_at).await;
        }
        if let Some(failed) = report.failed {
            self.tell_failure(network, delivery, failed).await;
        }
        Ok(())
    }

    /// A post that did not reach a *further* member of its link: a line of the gateway in the
    /// chat it was said in. (What did not reach its own chat shows its fate itself.)
    async fn tell_failure(&self, network: &NetworkId, delivery: DeliveryId, failed: FailedDelivery) {
        if failed.target == failed.post.chat {
            return;
        }
        let Some(text) = notice::sentence(&failed.post, network.as_str(), &failed.outcome) else { return };
        let home = failed.post.chat.clone();
        let post = Post {
            remote_id: RemoteId::new(format!("notice/{delivery}")),
            chat: home.clone(),
            author: Author::Gateway,
            at: self.clock.now(),
            body: Body::text(text),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        let batch = Batch { posts: vec![post], ..Batch::default() };
        if let Err(error) = self.commit(&home.network, batch).await {
            tracing::warn!(network = %home.network, %delivery, %error, "could not note a failed delivery");
        }
    }
}
