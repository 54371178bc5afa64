//! Commit before acknowledge: the far end that every adapter talks to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{
    Batch, BoxFuture, ChatRef, Committed, Delivery, DeliveryId, FarEnd, FarError, FeedEvent, Health, Loading,
    NetworkId, Outcome, PersonKind, PostFate, SignInStep, TimelineItem,
};
use wxgate_store::{AccountChange, CommitReport, Route, StoreError};

use crate::route::{By, Routing};
use crate::see::SeenThrough;
use crate::{Bridge, journey, settle};

/// What a failed store means to an adapter: try again, or never.
pub(crate) fn far_error(error: StoreError) -> FarError {
    match error {
        StoreError::Invalid { .. } => FarError::Invalid(error.to_string()),
        StoreError::Sealed { key, .. } => FarError::Sealed { key },
        other => FarError::Unavailable(other.to_string()),
    }
}

/// The owner's own name, when the batch tells it.
fn own_name(batch: &Batch) -> Option<String> {
    let owner = batch.people.iter().find(|person| person.kind == PersonKind::Owner)?;
    Some(owner.display_name().to_owned())
}

/// Posts of one adapter in one commit. A flood of one account would else hold up everybody else's commits for as
/// long as its whole answer takes (8 to 11 ms for some 120 posts on a busy machine). With 32 the others' p99 beside a
/// flood fell from 10 to 8 ms; 16 and 8 only slow the flood down (docs/performance.md).
const PIECE_POSTS: usize = 32;

/// A batch as it is committed, in the same order. What posts may refer to comes with the first piece; the notes come
/// with the last, since they say that everything before them is on disk. Handed over again after a crash in between,
/// the posts of the first pieces are known.
fn pieces(mut batch: Batch) -> Vec<Batch> {
    let mut rest = batch.posts.split_off(batch.posts.len().min(PIECE_POSTS));
    if rest.is_empty() {
        return vec![batch];
    }
    let (notes, follows) = (std::mem::take(&mut batch.notes), std::mem::take(&mut batch.follows));
    let mut all = vec![batch];
    while !rest.is_empty() {
        let next = rest.split_off(rest.len().min(PIECE_POSTS));
        all.push(Batch { posts: std::mem::replace(&mut rest, next), ..Batch::default() });
    }
    if let Some(last) = all.last_mut() {
        (last.notes, last.follows) = (notes, follows);
    }
    all
}

impl Bridge {
    /// For one request to the store.
    pub(crate) fn route(&self) -> Arc<dyn Route> {
        Arc::new(Routing::new(Arc::clone(&self.routes)))
    }

    async fn take_in(&self, network: &NetworkId, mut batch: Batch) -> Result<Committed, FarError> {
        let own_name = own_name(&batch);
        let (read, asks) = (std::mem::take(&mut batch.read), batch.asks);
        let mut committed = Committed { posts: Vec::with_capacity(batch.posts.len()) };
        for (at, piece) in pieces(batch).into_iter().enumerate() {
            let name = if at == 0 { own_name.as_deref() } else { None };
            committed.posts.extend(self.take_piece(network, piece, name).await?.posts);
        }
        for (chat, at) in read {
            self.tell(FeedEvent::Read(ChatRef { network: network.clone(), chat }, at));
        }
        if asks {
            self.tell(FeedEvent::Asks(network.clone()));
        }
        Ok(committed)
    }

    /// Commits a piece and tells of it: whatever becomes of the next one, this one is known when it comes again.
    async fn take_piece(
        &self,
        network: &NetworkId,
        piece: Batch,
        own_name: Option<&str>,
    ) -> Result<Committed, FarError> {
        let began = Instant::now();
        let report = self.store.commit_batch(network, piece, self.route()).await;
        let report = report.map_err(|error| self.unsure(error))?;
        self.look_again().await;
        if report.relinked {
            self.tell_links_surely(&[]).await;
        }
        for post in &report.damaged {
            tracing::error!(%network, %post, "a post is damaged: that it arrived is not shown");
        }
        for delivery in &report.mended {
            settle::tell_mended(network, *delivery);
        }
        let kept = report.committed.posts.iter().filter(|fate| matches!(fate, PostFate::Kept(_))).count();
        let took = began.elapsed();
        self.meter.committed(kept, report.committed.posts.len() - kept, took);
        journey::committed(network, &report.committed, took);
        let named = match own_name {
            Some(own_name) => {
                let change =
                    AccountChange { own_name: Some(own_name.to_owned()), ..AccountChange::default() };
                self.store.set_account_state(network, change).await
            }
            None => Ok(()),
        };
        // The batch is on disk whatever became of the name: handed over again it is known, and brings no news.
        let committed = self.announce(network, report).await;
        match named {
            Err(error) if error.is_unavailable() => return Err(far_error(error)),
            Err(error) => tracing::warn!(%network, %error, "the account's own name cannot be kept"),
            Ok(()) => {}
        }
        Ok(committed)
    }

    /// A commit that failed may be on disk all the same: handed over again it would be known, and bring no news.
    pub(crate) fn unsure(&self, error: StoreError) -> FarError {
        if error.is_unavailable() {
            self.is_unsure.store(true, Ordering::Release);
        }
        far_error(error)
    }

    /// The store answers again: what may have been committed meanwhile is looked for.
    pub(crate) async fn look_again(&self) {
        if !self.is_unsure.swap(false, Ordering::AcqRel) {
            return;
        }
        match self.store.open_lanes().await {
            Ok(open) => {
                for (lane, _) in open {
                    self.lanes.wake(lane).await;
                }
                self.tell(FeedEvent::Missed);
            }
            Err(_) => self.is_unsure.store(true, Ordering::Release),
        }
    }

    /// Tells faces what is visible from now on. What came through a face has its number now.
    pub(crate) fn show(&self, item: TimelineItem) {
        if let Some(id) = item.native_id.as_ref().filter(|_| item.origin != item.post.chat.network) {
            let by = By { origin: item.origin.clone(), id: item.post.remote_id.clone() };
            self.routes.twins.numbered(&item.post.chat, &by, id);
        }
        self.tell(FeedEvent::Shown(Arc::new(item)));
    }

    /// Tells faces and lanes what a commit brought. Nothing durable depends on it.
    async fn announce(&self, network: &NetworkId, report: CommitReport) -> Committed {
        // People and chats first: a face that shows a new person's first line knows the name then.
        if !report.people.is_empty() {
            self.tell(FeedEvent::People(network.clone(), report.people.into()));
        }
        if !report.chats.is_empty() {
            self.tell(FeedEvent::Chats(network.clone(), report.chats.into()));
        }
        let has_news = !report.shown.is_empty();
        for item in report.shown {
            self.show(item);
        }
        for lane in report.lanes {
            self.lanes.wake(lane).await;
        }
        if has_news {
            // Faces first: the runtime keeps what was just woken for this very thread, and would write
            // to the clients only after the adapter had put together its next request.
            tokio::task::yield_now().await;
        }
        report.committed
    }
}

impl FarEnd for Bridge {
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>> {
        let (me, network) = (self.me.upgrade(), network.clone());
        Box::pin(SeenThrough::new(async move {
            let me = me.ok_or(FarError::Stopping)?;
            me.take_in(&network, batch).await
        }))
    }

    fn settle<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        let (me, network) = (self.me.upgrade(), network.clone());
        Box::pin(SeenThrough::new(async move {
            let me = me.ok_or(FarError::Stopping)?;
            me.close(&network, delivery, outcome).await
        }))
    }

    fn behind<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        let lane = ChatRef { network: network.clone(), chat: delivery.chat.clone() };
        Box::pin(async move { self.store.behind(&lane, delivery.id, limit).await.map_err(far_error) })
    }

    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        Box::pin(async move { self.store.note(network, key).await.map_err(far_error) })
    }

    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move { self.store.notes_of(network, keys).await.map_err(far_error) })
    }

    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move { self.store.notes(network, prefix, after, limit).await.map_err(far_error) })
    }

    fn health(&self, network: &NetworkId, health: Health) {
        let Some(mut slot) = self.networks.get_mut(network) else { return };
        if slot.health == health {
            return;
        }
        slot.owes_sign_out &= !health.is_signed_out();
        slot.health = health.clone();
        let is_account = slot.owner.is_some();
        drop(slot);
        tracing::info!(%network, state = health.word(), detail = health.detail(), "health changed");
        let health = Arc::new(health);
        self.tell(match is_account {
            true => FeedEvent::Health(network.clone(), health),
            false => FeedEvent::Face(network.clone(), health),
        });
    }

    fn sign_in(&self, network: &NetworkId, step: SignInStep) {
        if let Some(slot) = self.networks.get(network)
            && let Some(watch) = &slot.sign_in
        {
            watch.send_replace(step);
        }
    }

    fn loading(&self, network: &NetworkId, how: Option<Loading>) {
        let Some(slot) = self.networks.get(network) else { return };
        slot.loading.send_if_modified(|told| std::mem::replace(told, how) != how);
    }
}
