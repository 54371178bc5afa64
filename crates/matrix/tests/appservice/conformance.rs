//! The stories that every adapter is judged by.

use std::sync::Arc;

use wxgate_contract::conformance::stories::{self, Outside};
use wxgate_contract::conformance::{Double, Running};
use wxgate_contract::{Adapter, Body, BoxFuture, ChatKey, Order};
use wxgate_matrix::{MatrixAdapter, MatrixConfig};

use super::scene::{self, ALICE, by, post};
use super::stub::{self, PATIENCE, Served};

struct Homeserver {
    served: Served,
    config: MatrixConfig,
    room_id: String,
}

impl Homeserver {
    async fn new() -> Self {
        let served = stub::serve().await;
        let config = scene::config(&served.stub, served.address);
        Self { served, config, room_id: String::new() }
    }
}

impl Outside for Homeserver {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(MatrixAdapter::new(self.config.clone()))
    }

    fn open<'a>(&'a mut self, double: &'a Double, running: &'a Running) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            scene::furnish(double, &self.served.stub);
            let first = post(
                "g1",
                "opening",
                by("p-bob", "Bob"),
                Body::Unsupported { summary: "opening".to_owned() },
            );
            let delivery = double.delivery(&self.chat(double), first);
            running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
            double.wait_for(PATIENCE, |state| (!state.outcomes.is_empty()).then_some(())).await;
            double.state().outcomes.clear();
            self.room_id = self.served.stub.world().room_of("wechat_alice_g1").unwrap();
            self.served.stub.join(ALICE, &self.room_id);
        })
    }

    fn say<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()> {
        self.served.stub.say(ALICE, &self.room_id, text);
        Box::pin(async {})
    }

    fn repeat_last(&mut self) -> BoxFuture<'_, ()> {
        self.served.stub.repeat_last();
        Box::pin(async {})
    }

    fn heard(&mut self) -> BoxFuture<'_, Vec<String>> {
        let texts = self.served.stub.texts(&self.room_id);
        let ours = texts.into_iter().filter(|(sender, text)| sender != ALICE && text != "opening");
        let heard = ours.map(|(_, text)| text).collect();
        Box::pin(async { heard })
    }

    fn chat(&self, _double: &Double) -> ChatKey {
        scene::chat("g1").mirrored_on(&"matrix".into()).chat
    }

    fn set_reachable(&mut self, reachable: bool) -> BoxFuture<'_, ()> {
        self.served.stub.set_reachable(reachable);
        Box::pin(async {})
    }
}

#[tokio::test]
async fn posts_arrive_once_and_in_order() {
    stories::posts_arrive_once_and_in_order(&mut Homeserver::new().await).await;
}

#[tokio::test]
async fn a_failed_commit_is_handed_over_again() {
    stories::a_failed_commit_is_handed_over_again(&mut Homeserver::new().await).await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_notes() {
    stories::a_restart_goes_on_from_the_notes(&mut Homeserver::new().await).await;
}

#[tokio::test]
async fn the_outside_goes_and_comes_back() {
    stories::the_outside_goes_and_comes_back(&mut Homeserver::new().await).await;
}

#[tokio::test]
async fn a_delivery_is_settled_and_not_doubled() {
    let text = post("g1", "77", by("p-bob", "Bob"), Body::text("once"));
    stories::a_delivery_is_settled_and_not_doubled(&mut Homeserver::new().await, text).await;
}

#[tokio::test]
async fn it_stops_within_the_grace_period() {
    stories::it_stops_within_the_grace_period(&mut Homeserver::new().await).await;
}
