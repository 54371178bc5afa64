//! The stage: a world, an account in it, an adapter, and short words for what they do.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;
use wxgate_contract::conformance::{Double, FixedClock, Running, State};
use wxgate_contract::{
    Adapter, Author, Body, ChatKey, ChatRef, Clock, Delivery, DeliveryId, Health, MediaId, MediaState,
    MediaVault, NetworkId, Order, Outcome, Post, SignInStep, Timestamp,
};
use wxgate_simulator::{AccountSpec, Kind, ServerHandle, Who, World, WorldConfig, serve};
use wxgate_wechat::{Timings, Ways, WechatAdapter, WechatConfig};

/// Far above any honest delay, so that a loaded machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const ALICE: &str = "alice";

pub(crate) fn quick() -> Timings {
    let ms = Duration::from_millis;
    Timings {
        retry_first: ms(20),
        retry_cap: ms(200),
        confirm_after: ms(20),
        empty_cap: ms(100),
        shortest_hold: ms(5),
        download_retry: ms(10),
        remark_retry: ms(20),
        poll_timeout: Some(Duration::from_secs(3)),
        ..Timings::default()
    }
}

pub(crate) fn world_config() -> WorldConfig {
    WorldConfig { hold: Duration::from_secs(2), login_hold: Duration::from_secs(2), ..WorldConfig::default() }
}

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) double: Double,
    pub(crate) running: Running,
    pub(crate) config: WechatConfig,
    ways: Ways,
    task: Option<JoinHandle<()>>,
    pub(crate) server: Option<ServerHandle>,
    clock: Arc<FixedClock>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::of(world_config(), &AccountSpec::new(ALICE, 0, 12, 3)).await
    }

    pub(crate) async fn of(config: WorldConfig, account: &AccountSpec) -> Self {
        Self::tuned(config, account, |_| {}).await
    }

    /// The same with other settings of the account.
    pub(crate) async fn tuned(
        config: WorldConfig,
        account: &AccountSpec,
        tune: impl FnOnce(&mut WechatConfig),
    ) -> Self {
        let world = World::new(config);
        world.add_account(account).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = serve(world.clone(), listener).await.unwrap();
        let mut config = WechatConfig::new("wechat:alice");
        config.service = Some(Url::parse(&server.url()).unwrap());
        config.timings = quick();
        config.sends_per_minute = 60_000;
        tune(&mut config);
        let double = Double::new();
        let clock = FixedClock::at(1_700_000_000_000);
        let ways = Ways::new();
        let (running, task) = start(&double, &config, &ways, &clock);
        Self { world, double, running, config, ways, task: Some(task), server: Some(server), clock }
    }

    /// Signed in, roster loaded.
    pub(crate) async fn online() -> Self {
        let mut stage = Self::new().await;
        stage.sign_in().await;
        stage
    }

    pub(crate) fn network(&self) -> NetworkId {
        self.config.network.clone()
    }

    pub(crate) async fn order(&self, order: Order) {
        self.running.orders.send(order).await.unwrap();
    }

    /// Waits until all orders were taken and begun.
    pub(crate) async fn orders_taken(&self) {
        let orders = &self.running.orders;
        self.until(|| orders.capacity() == orders.max_capacity()).await;
        // Where they wait then, for their turn or an answer, nobody sees from here.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Asks to sign in, confirms on the phone, which is asked or scans, waits until it stands.
    pub(crate) async fn sign_in(&mut self) {
        self.enter().await;
        self.up().await;
    }

    /// The same until messages cross, whether the contacts could be read or not.
    pub(crate) async fn enter(&mut self) {
        let seen = self.double.state().steps.len();
        self.order(Order::SignIn).await;
        let uuid = match self.asked_after(seen).await {
            SignInStep::ShowQr { text, .. } => {
                let uuid = text.rsplit_once("/l/").unwrap().1;
                self.world.scan(uuid, ALICE).unwrap();
                self.step_after(seen, |step| {
                    matches!(step, SignInStep::ConfirmOnPhone { is_push: false, .. }).then_some(())
                })
                .await;
                uuid.to_owned()
            }
            _ => self.pushed(),
        };
        self.world.confirm(&uuid).unwrap();
        self.step_after(seen, |step| (*step == SignInStep::Done).then_some(())).await;
    }

    /// What the owner is asked for first: a scan, or a tap on the phone.
    pub(crate) async fn asked_after(&self, seen: usize) -> SignInStep {
        self.step_after(seen, |step| match step {
            SignInStep::ShowQr { .. } | SignInStep::ConfirmOnPhone { is_push: true, .. } => {
                Some(step.clone())
            }
            _ => None,
        })
        .await
    }

    /// The uuid under which the phone was asked last.
    pub(crate) fn pushed(&self) -> String {
        let mut asked = self.world.logins().into_iter().filter(|login| login.push && login.step == "waiting");
        asked.next_back().unwrap().uuid
    }

    /// Confirms on the phone and scans every code that is shown, until the sign-in is over one way or the other.
    pub(crate) async fn follow(&self, seen: usize) -> SignInStep {
        const PUSH: &str = "push";
        let mut answered = Vec::new();
        loop {
            let done = answered.clone();
            let step = self
                .step_after(seen, |step| match step {
                    SignInStep::ShowQr { text, .. } if done.contains(text) => None,
                    SignInStep::ConfirmOnPhone { is_push: true, .. } if done.iter().any(|d| d == PUSH) => {
                        None
                    }
                    SignInStep::ShowQr { .. }
                    | SignInStep::ConfirmOnPhone { is_push: true, .. }
                    | SignInStep::Done
                    | SignInStep::Failed { .. } => Some(step.clone()),
                    _ => None,
                })
                .await;
            match step {
                SignInStep::ShowQr { text, .. } => {
                    let uuid = text.rsplit_once("/l/").unwrap().1;
                    // A code that is gone already is followed by another one.
                    let _ = self.world.scan(uuid, ALICE).and_then(|()| self.world.confirm(uuid));
                    answered.push(text);
                }
                SignInStep::ConfirmOnPhone { .. } => {
                    self.world.confirm(&self.pushed()).unwrap();
                    answered.push(PUSH.to_owned());
                }
                step => return step,
            }
        }
    }

    /// Waits for something that happens outside the far end.
    pub(crate) async fn until(&self, what: impl Fn() -> bool) {
        let waiting = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it happens");
    }

    /// The uuid of the first code shown after step number `seen`.
    pub(crate) async fn qr_after(&self, seen: usize) -> String {
        self.step_after(seen, |step| match step {
            SignInStep::ShowQr { text, .. } => text.rsplit_once("/l/").map(|(_, uuid)| uuid.to_owned()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn step_after<T>(
        &self,
        seen: usize,
        mut what: impl FnMut(&SignInStep) -> Option<T>,
    ) -> T {
        self.wait(move |state| state.steps.iter().skip(seen).find_map(|(_, step)| what(step))).await
    }

    pub(crate) async fn wait<T>(&self, what: impl FnMut(&mut State) -> Option<T>) -> T {
        self.double.wait_for(PATIENCE, what).await
    }

    pub(crate) async fn up(&self) {
        self.health(|health| *health == Health::Up).await;
    }

    /// Messages cross, whether the contacts could be read or not.
    pub(crate) async fn usable(&self) {
        let is_missing_names =
            |health: &Health| matches!(health, Health::Limited { why } if why.contains("list of contacts"));
        self.health(|health| *health == Health::Up || is_missing_names(health)).await;
    }

    pub(crate) async fn health(&self, is_it: impl Fn(&Health) -> bool) -> Health {
        let network = self.network();
        self.wait(move |state| state.health.get(&network).filter(|health| is_it(health)).cloned()).await
    }

    pub(crate) fn say(&self, chat: Who, from: Who, text: &str) -> u64 {
        self.said(chat, from, Kind::Text { text: text.into() })
    }

    pub(crate) fn said(&self, chat: Who, from: Who, kind: Kind) -> u64 {
        self.world.say(ALICE, chat, from, kind).unwrap().msg_id
    }

    /// The post with this id of the service.
    pub(crate) async fn post(&self, msg_id: u64) -> Post {
        let id = msg_id.to_string();
        self.wait(move |state| state.posts.iter().find(|p| p.2.remote_id.as_str() == id).map(|p| p.2.clone()))
            .await
    }

    /// Texts of our posts, in commit order.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |post: &Post| match &post.body {
            Body::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.double.state().posts.iter().filter_map(|(_, _, post)| text(post)).collect()
    }

    pub(crate) async fn ready(&self, media: MediaId) -> bytes::Bytes {
        let double = self.double.clone();
        self.wait(move |_| double.media_bytes(media)).await
    }

    /// Our key of the chat with `who`, found by the name that the service gives them.
    pub(crate) fn chat(&self, who: Who) -> ChatKey {
        let name = wechat_proto::names::decode_name(&self.world.nick(ALICE, who).unwrap());
        let state = self.double.state();
        let by_title = state.chats.values().find(|chat| chat.title == name).map(|chat| chat.chat.clone());
        let by_person =
            || state.people.values().find(|p| p.nickname == name).map(|p| p.person.as_str().into());
        by_title.or_else(by_person).unwrap_or_else(|| panic!("no chat {name:?}"))
    }

    /// The order to say `body` in the chat with `who`.
    pub(crate) fn delivery(&self, chat: &ChatKey, body: Body) -> Delivery {
        let post = Post {
            remote_id: "elsewhere-1".into(),
            chat: ChatRef { network: self.network(), chat: chat.clone() },
            author: Author::Owner,
            at: Timestamp(1_700_000_000_000),
            body,
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        self.double.delivery(chat, post)
    }

    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let before = self.double.state().outcomes.len();
        self.order(Order::Deliver(Box::new(delivery.clone()))).await;
        self.outcome(delivery.id, before).await
    }

    pub(crate) async fn outcome(&self, id: DeliveryId, before: usize) -> Outcome {
        self.wait(move |state| {
            state.outcomes.iter().skip(before).find(|(d, _)| *d == id).map(|(_, o)| o.clone())
        })
        .await
    }

    /// Delivers again and again, as the lanes do, until it is settled for good.
    pub(crate) async fn deliver_until_settled(&self, delivery: &Delivery) -> Outcome {
        for attempt in 1..60 {
            match self.deliver(&Delivery { attempt, ..delivery.clone() }).await {
                Outcome::TryLater { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
                settled => return settled,
            }
        }
        panic!("never settled");
    }

    /// What the world heard from us in the ledger: `(kind, text)`.
    pub(crate) fn heard(&self) -> Vec<(String, String)> {
        let entries = self.world.ledger(ALICE, 0, 10_000).unwrap();
        entries
            .iter()
            .filter(|e| e.way == wxgate_simulator::Way::FromAccount)
            .map(|e| (e.kind.to_owned(), e.text.to_string()))
            .collect()
    }

    /// What became of an attachment: its state, once it is not waited for any more.
    pub(crate) async fn settled(&self, media: MediaId) -> MediaState {
        let waiting = async {
            loop {
                match self.double.info(media).await.unwrap() {
                    Some(info) if info.state != MediaState::Pending => return info.state,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the download ends")
    }

    /// How often a fault has struck so far.
    pub(crate) fn struck(&self) -> u64 {
        self.world.stats().faults
    }

    pub(crate) async fn stop(&mut self) {
        self.running.stop.stop();
        if let Some(task) = self.task.take() {
            tokio::time::timeout(PATIENCE, task).await.expect("stops").expect("does not panic");
        }
    }

    /// Ends the run and begins another one from the same notes.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start();
    }

    pub(crate) fn start(&mut self) {
        self.double.state().health.clear();
        let (running, task) = start(&self.double, &self.config, &self.ways, &self.clock);
        self.running = running;
        self.task = Some(task);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Our clock shows what the world's does, and stands still from now on.
    pub(crate) fn at_the_worlds_time(&self) {
        let world = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.advance(world - Duration::from_millis(self.clock.now().ms().try_into().unwrap()));
    }

    pub(crate) fn no_violation(&self) {
        let seen = self.world.violations();
        assert!(seen.is_empty(), "the service saw {seen:#?}");
    }
}

fn start(
    double: &Double,
    config: &WechatConfig,
    ways: &Ways,
    clock: &Arc<FixedClock>,
) -> (Running, JoinHandle<()>) {
    let adapter = WechatAdapter::new(config.clone(), ways.clone());
    let clock: Arc<FixedClock> = Arc::clone(clock);
    let (context, running) = double.context(adapter.network(), clock);
    let task = tokio::spawn(async move {
        adapter.run(context).await.unwrap();
    });
    (running, task)
}
