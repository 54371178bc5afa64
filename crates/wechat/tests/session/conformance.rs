//! The stories that every adapter is judged by, with the simulated service as the outside.

use std::sync::Arc;

use tokio::net::TcpListener;
use url::Url;
use wxgate_contract::conformance::{Double, Running, stories};
use wxgate_contract::{
    Adapter, Author, Body, BoxFuture, ChatKey, ChatRef, Health, Order, Post, SignInStep, Timestamp,
};
use wxgate_simulator::{AccountSpec, ServerHandle, Way, Who, World, serve};
use wxgate_wechat::{Ways, WechatAdapter, WechatConfig};

use crate::stage::{ALICE, PATIENCE, quick, world_config};

const ANNA: Who = Who::Contact(0);

struct Simulated {
    world: World,
    server: Option<ServerHandle>,
    addr: std::net::SocketAddr,
    config: WechatConfig,
    ways: Ways,
}

impl Simulated {
    async fn new() -> Self {
        let world = World::new(world_config());
        world.add_account(&AccountSpec::new(ALICE, 0, 5, 1)).unwrap();
        let server = serve(world.clone(), TcpListener::bind("127.0.0.1:0").await.unwrap()).await.unwrap();
        let mut config = WechatConfig::new("wechat:alice");
        config.service = Some(Url::parse(&server.url()).unwrap());
        config.timings = quick();
        config.sends_per_minute = 60_000;
        Self { world, addr: server.addr(), server: Some(server), config, ways: Ways::new() }
    }
}

impl stories::Outside for Simulated {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(WechatAdapter::new(self.config.clone(), self.ways.clone()))
    }

    fn open<'a>(&'a mut self, double: &'a Double, running: &'a Running) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            running.orders.send(Order::SignIn).await.unwrap();
            let uuid = double
                .wait_for(PATIENCE, |state| {
                    state.steps.iter().find_map(|(_, step)| match step {
                        SignInStep::ShowQr { text, .. } => Some(text.rsplit_once("/l/")?.1.to_owned()),
                        _ => None,
                    })
                })
                .await;
            self.world.scan(&uuid, ALICE).unwrap();
            self.world.confirm(&uuid).unwrap();
            let network = self.config.network.clone();
            double.wait_for(PATIENCE, |s| (s.health.get(&network) == Some(&Health::Up)).then_some(())).await;
        })
    }

    fn say<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let kind = wxgate_simulator::Kind::Text { text: text.into() };
            self.world.say(ALICE, ANNA, ANNA, kind).unwrap();
        })
    }

    fn repeat_last(&mut self) -> BoxFuture<'_, ()> {
        // An answer that is lost on its way leaves the old key in force: everything since comes again.
        Box::pin(async move {
            let fault = wxgate_simulator::Fault::DropAfterBody;
            self.world.add_fault(wxgate_simulator::FaultRule::next("webwxsync", fault, 1));
        })
    }

    fn heard(&mut self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let entries = self.world.ledger(ALICE, 0, 1000).unwrap();
            let from_us = entries.iter().filter(|entry| entry.way == Way::FromAccount && entry.chat == ANNA);
            from_us.map(|entry| entry.text.to_string()).collect()
        })
    }

    fn chat(&self, double: &Double) -> ChatKey {
        let name = wechat_proto::names::decode_name(&self.world.nick(ALICE, ANNA).unwrap());
        let state = double.state();
        state.people.values().find(|person| person.nickname == name).unwrap().person.as_str().into()
    }

    fn set_reachable(&mut self, reachable: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match (reachable, self.server.take()) {
                (false, Some(server)) => server.stop().await,
                (true, None) => {
                    let listener = loop {
                        match TcpListener::bind(self.addr).await {
                            Ok(listener) => break listener,
                            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                        }
                    };
                    self.server = Some(serve(self.world.clone(), listener).await.unwrap());
                }
                (_, server) => self.server = server,
            }
        })
    }
}

#[tokio::test]
async fn posts_arrive_once_and_in_order() {
    stories::posts_arrive_once_and_in_order(&mut Simulated::new().await).await;
}

#[tokio::test]
async fn a_failed_commit_is_handed_over_again() {
    stories::a_failed_commit_is_handed_over_again(&mut Simulated::new().await).await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_notes() {
    stories::a_restart_goes_on_from_the_notes(&mut Simulated::new().await).await;
}

#[tokio::test]
async fn the_outside_goes_and_comes_back() {
    stories::the_outside_goes_and_comes_back(&mut Simulated::new().await).await;
}

#[tokio::test]
async fn a_delivery_is_settled_and_not_doubled() {
    let post = Post {
        remote_id: "irc-1".into(),
        chat: ChatRef { network: "irc:local".into(), chat: "#anna".into() },
        author: Author::Owner,
        at: Timestamp(1_700_000_000_000),
        body: Body::text("said once"),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    };
    stories::a_delivery_is_settled_and_not_doubled(&mut Simulated::new().await, post).await;
}

#[tokio::test]
async fn it_stops_within_the_grace_period() {
    stories::it_stops_within_the_grace_period(&mut Simulated::new().await).await;
}
