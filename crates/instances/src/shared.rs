//! An account as the supervisor sees it, wherever it runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, Batch, BoxFuture, Capabilities, Committed, Delivery, DeliveryId,
    FarEnd, FarError, Health, Loading, NetworkId, Order, Outcome, SignInStep, StopHandle, Stopped,
};

use crate::book::Place;
use crate::leader::{Leader, Taken};
use crate::peer::Line;
use crate::served::Served;
use crate::words::{Ended, RunId, ToWorker};

/// How long a run of this instance may take to end when it moves. Chosen: what is under way takes three seconds.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Shared {
    pub(crate) leader: Arc<Leader>,
    /// How it runs on this instance.
    pub(crate) local: Arc<dyn Adapter>,
}

impl Adapter for Shared {
    fn network(&self) -> &NetworkId {
        self.local.network()
    }

    fn capabilities(&self) -> Capabilities {
        self.local.capabilities()
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(async move {
            let Some(taken) = self.leader.take(self.network(), &ctx.stop).await else { return Ok(Stopped) };
            match &taken.line {
                Some(line) => self.run_there(Arc::clone(line), &taken, ctx).await,
                None => self.run_here(&taken, ctx).await,
            }
        })
    }
}

impl Shared {
    async fn run_here(&self, taken: &Taken, ctx: AdapterContext) -> Result<Stopped, AdapterError> {
        let _over = Over { shared: self, place: taken.place };
        let (stop, stopping) = StopHandle::new();
        let (outer, far) = (ctx.stop.clone(), Arc::clone(&ctx.far));
        let far = Arc::new(Watching { far, leader: Arc::clone(&self.leader) });
        let mut run = self.local.run(AdapterContext { far, stop: stopping, ..ctx });
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            () = outer.stopping() => {
                stop.stop();
                return run.await;
            }
            () = taken.moving.notified() => stop.stop(),
        }
        match tokio::time::timeout(GRACE, run).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(Stopped)) | Err(_) if outer.is_stopping() => Ok(Stopped),
            Ok(Ok(Stopped)) | Err(_) => Err(shares_out()),
        }
    }

    async fn run_there(
        &self,
        line: Arc<Line>,
        taken: &Taken,
        mut ctx: AdapterContext,
    ) -> Result<Stopped, AdapterError> {
        let run = self.leader.next_run();
        let served = Served::new(
            ctx.network.clone(),
            Arc::clone(&ctx.far),
            Arc::clone(&ctx.media),
            Arc::clone(&ctx.directory),
        );
        let served = Arc::new(served);
        let mut waiting = Elsewhere {
            shared: self,
            ended: line.wait_for(run, Arc::clone(&served)),
            line: Arc::clone(&line),
            run,
            is_over: false,
        };
        line.say(ToWorker::Run { run, network: ctx.network.clone(), seed: ctx.seed }).await;
        let (mut is_told, mut moves) = (false, false);
        let how = loop {
            tokio::select! {
                biased;
                how = &mut waiting.ended => break how.ok(),
                () = ctx.stop.stopping(), if !is_told => is_told = true,
                () = taken.moving.notified(), if !is_told => (is_told, moves) = (true, true),
                Some(order) = ctx.orders.recv(), if !is_told => {
                    if let Some(word) = in_words(order, run, &served) {
                        line.say(word).await;
                    }
                    continue;
                }
            }
            // Whoever orders something from here on waits for the next run.
            ctx.orders.close();
            line.say(ToWorker::Stop { run }).await;
        };
        waiting.is_over = how.is_some();
        drop(waiting);
        match how {
            _ if ctx.stop.is_stopping() => Ok(Stopped),
            None => Err(AdapterError::Moved(format!("the instance {} is gone", line.name))),
            Some(Ended::Stopped) if moves => Err(shares_out()),
            Some(Ended::Stopped) if line.is_leaving() => {
                Err(AdapterError::Moved(format!("the instance {} stops", line.name)))
            }
            Some(Ended::Stopped) => Ok(Stopped),
            Some(Ended::Failed(error)) => Err(error),
            // Counted and told as one of this instance.
            Some(Ended::Panicked) => std::panic::resume_unwind(Box::new("a bug ended the account elsewhere")),
        }
    }
}

fn shares_out() -> AdapterError {
    AdapterError::Moved("the instances share the accounts out".to_owned())
}

fn in_words(order: Order, run: RunId, served: &Served) -> Option<ToWorker> {
    Some(match order {
        Order::Deliver(delivery) => ToWorker::Deliver { run, delivery },
        Order::SignIn => ToWorker::SignIn { run },
        Order::SignOut => ToWorker::SignOut { run },
        Order::Ask(ask) => ToWorker::Ask { run, ask: served.asked(ask.answer)?, request: ask.request },
    })
}

/// Takes a run of this instance out of the book, however it ends.
struct Over<'a> {
    shared: &'a Shared,
    place: Place,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.shared.leader.over(self.shared.network(), self.place);
    }
}

/// A run elsewhere. Dropped before it is over, it is held in the book.
struct Elsewhere<'a> {
    shared: &'a Shared,
    line: Arc<Line>,
    run: RunId,
    ended: oneshot::Receiver<Ended>,
    is_over: bool,
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let (leader, network) = (&self.shared.leader, self.shared.network());
        match self.is_over {
            true => leader.over(network, Place::There(self.line.id)),
            false => {
                self.line.leave(self.run);
                leader.left_behind(network, self.line.id);
            }
        }
    }
}

/// The far end of a run of this instance; the leader sees how the account is doing.
struct Watching {
    far: Arc<dyn FarEnd>,
    leader: Arc<Leader>,
}

impl FarEnd for Watching {
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>> {
        self.far.commit(network, batch)
    }

    fn settle<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        self.far.settle(network, delivery, outcome)
    }

    fn behind<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        self.far.behind(network, delivery, limit)
    }

    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        self.far.note(network, key)
    }

    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        self.far.notes_of(network, keys)
    }

    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        self.far.notes(network, prefix, after, limit)
    }

    fn health(&self, network: &NetworkId, health: Health) {
        self.leader.note_health(network, &health);
        self.far.health(network, health);
    }

    fn sign_in(&self, network: &NetworkId, step: SignInStep) {
        self.leader.note_step(network, &step);
        self.far.sign_in(network, step);
    }

    fn loading(&self, network: &NetworkId, how: Option<Loading>) {
        self.far.loading(network, how);
    }
}
