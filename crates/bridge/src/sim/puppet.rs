//! An adapter that carries out what it is given, slowly, and dies now and then in every way there is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, BoxFuture, Capabilities, ChatRef, Delivery, NetworkId, Order,
    Outcome, Stopped,
};

use super::life::Life;
use super::{behaves, is_slow};

pub(super) struct Puppet {
    pub(super) life: Arc<Life>,
    pub(super) network: NetworkId,
}

/// The run is over before the order is settled.
struct Death;

impl Adapter for Puppet {
    fn network(&self) -> &NetworkId {
        &self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: false,
            max_text_chars: 1,
            carries_files: false,
            can_recall: true,
            shows_authors: false,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(self.live(ctx))
    }
}

impl Puppet {
    async fn live(&self, mut ctx: AdapterContext) -> Result<Stopped, AdapterError> {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = ctx.stop.stopping() => break,
                Some(done) = under_way.next(), if !under_way.is_empty() => {
                    if let Err(Death) = done {
                        return self.die();
                    }
                }
                order = ctx.orders.recv() => match order {
                    Some(Order::Deliver(delivery)) => under_way.push(self.carry_out(*delivery)),
                    Some(_) => {}
                    None => return Ok(Stopped),
                },
            }
        }
        // Some report what is under way, some hang until they are dropped.
        match self.is_steady() || self.life.chance(0.7) {
            true => while under_way.next().await.is_some() {},
            false => std::future::pending().await,
        }
        Ok(Stopped)
    }

    fn is_steady(&self) -> bool {
        behaves(&self.network)
    }

    fn fails(&self, share: f64) -> bool {
        let is_drawn = self.life.chance(share);
        is_drawn && !self.is_steady()
    }

    fn die(&self) -> Result<Stopped, AdapterError> {
        let why = || "the seed says so".to_owned();
        match self.life.up_to(4).as_millis() {
            // Without the hook that prints a backtrace for each.
            0 => std::panic::resume_unwind(Box::new("the seed says so")),
            1 => Err(AdapterError::Restart(why())),
            2 => Err(AdapterError::Fatal(why())),
            3 => Err(AdapterError::Barred(why())),
            _ => Ok(Stopped),
        }
    }

    async fn carry_out(&self, delivery: Delivery) -> Result<(), Death> {
        let lane = ChatRef { network: self.network.clone(), chat: delivery.chat.clone() };
        sleep(self.life.up_to(match self.is_steady() {
            _ if is_slow(&lane) => 120_000,
            true => 20,
            false => 3_000,
        }))
        .await;
        if self.fails(0.03) {
            return Err(Death);
        }
        let why = String::new;
        let outcome = if self.fails(0.15) {
            Outcome::TryLater { after: self.life.up_to(120_000), why: why() }
        } else if self.fails(0.05) {
            Outcome::Refused { why: why() }
        } else {
            self.life.carried_out(&lane, &delivery);
            match self.fails(0.05) {
                true => Outcome::Uncertain { why: why() },
                false => Outcome::Sent { remote_ids: Vec::new() },
            }
        };
        if self.fails(0.03) {
            return Err(Death);
        }
        while self.life.settle(&lane, delivery.id, &outcome).await.is_err() {
            sleep(Duration::from_millis(250)).await;
            if self.fails(0.03) {
                return Err(Death);
            }
        }
        Ok(())
    }
}
