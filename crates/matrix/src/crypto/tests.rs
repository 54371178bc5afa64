//! The devices of the bot and of ghosts, with a homeserver that keeps keys in memory.

mod handing;
mod homeserver;
mod mending;
mod reading;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use wxgate_contract::conformance::{Double, FixedClock};
use wxgate_contract::{
    Batch, BoxFuture, Committed, Delivery, DeliveryId, FarEnd, FarError, Health, Loading, NetworkId, Outcome,
    SignInStep,
};
use wxgate_e2ee::{Flow, Leftover, Machine, Purpose};

use crate::client::Client;
use crate::config::{Encryption, Level, MatrixConfig, Permissions};
use crate::inbound::event::Event;
use crate::memory::Ghost;
use crate::secret::Secret;
use crate::shared::Shared;
use crate::speak::Speaker;
use homeserver::{Hold, Homeserver};

const ROOM: &str = "!room:test";
const ANN: &str = "@ann:test";
const SUE: &str = "@sue:test";
const BOT: &str = "@wechatbot:test";
const ONE: &str = "@wechat_one:test";
const TWO: &str = "@wechat_two:test";
/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn network() -> NetworkId {
    "matrix".into()
}

type Gate = (String, Arc<Semaphore>);

/// A far end that holds up what is read or written under a prefix of notes.
#[derive(Clone)]
struct Far {
    double: Double,
    /// The prefix, and what is closed when it is let go.
    held: Arc<Mutex<Option<Gate>>>,
    /// Rung when something waits.
    waits: Arc<Notify>,
}

impl Far {
    fn hold(&self, prefix: &str) -> Hold {
        let gate = Arc::new(Semaphore::new(0));
        *self.held.lock().unwrap() = Some((prefix.to_owned(), Arc::clone(&gate)));
        Hold(gate)
    }

    async fn pass(&self, key: &str) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, gate)) = held.filter(|(prefix, _)| key.starts_with(prefix)) {
            self.waits.notify_one();
            // It is closed when it is let go.
            let _ = gate.acquire().await;
        }
    }

    /// What the notes of devices begin with.
    fn shelves(&self) -> BTreeSet<String> {
        let state = self.double.state();
        let keys = state.notes.keys().filter(|(_, key)| key.starts_with("e2ee/"));
        keys.map(|(_, key)| key.split_inclusive('/').take(2).collect()).collect()
    }
}

impl FarEnd for Far {
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>> {
        Box::pin(async move {
            for note in &batch.notes {
                self.pass(&note.key).await;
            }
            self.double.commit(network, batch).await
        })
    }

    fn settle<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        self.double.settle(network, delivery, outcome)
    }

    fn behind<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        self.double.behind(network, delivery, limit)
    }

    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        self.double.note(network, key)
    }

    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        self.double.notes_of(network, keys)
    }

    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move {
            self.pass(prefix).await;
            self.double.notes(network, prefix, after, limit).await
        })
    }

    fn health(&self, network: &NetworkId, health: Health) {
        FarEnd::health(&self.double, network, health);
    }

    fn sign_in(&self, network: &NetworkId, step: SignInStep) {
        FarEnd::sign_in(&self.double, network, step);
    }

    fn loading(&self, network: &NetworkId, how: Option<Loading>) {
        FarEnd::loading(&self.double, network, how);
    }
}

struct Scene {
    shared: Arc<Shared>,
    homeserver: Homeserver,
    far: Far,
    config: MatrixConfig,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn start() -> Self {
        let (homeserver, url, tasks) = Homeserver::start().await;
        homeserver.kept().members = [ANN, BOT, ONE, TWO].map(str::to_owned).into();
        let config = MatrixConfig {
            as_token: Secret::new("as"),
            hs_token: Secret::new("hs"),
            encryption: Encryption::Allow,
            permissions: Permissions::new([("test".to_owned(), Level::User)]).unwrap(),
            ..MatrixConfig::new(network(), url, "test", "127.0.0.1:0".parse().unwrap())
        };
        let far = Far { double: Double::new(), held: Arc::default(), waits: Arc::default() };
        let shared = run(&config, &far);
        Self { shared, homeserver, far, config, tasks }
    }

    /// The same after a start.
    fn again(&mut self) {
        self.shared = run(&self.config, &self.far);
    }

    /// A ghost says something that is encrypted.
    async fn says(&self, user_id: &str) {
        self.says_in(ROOM, user_id).await;
    }

    async fn says_in(&self, room_id: &str, user_id: &str) {
        let ghost = Arc::new(Ghost { user_id: user_id.to_owned(), ..Ghost::default() });
        let content = json!({ "msgtype": "m.text", "body": "hi" });
        let sealed = self.shared.seal(room_id, &Speaker::Ghost(ghost), "m.room.message", &content).await;
        assert_eq!(sealed.unwrap().unwrap().kind, "m.room.encrypted");
    }

    /// The same; gives what its notes begin with.
    async fn says_first(&self, user_id: &str) -> String {
        let before = self.far.shelves();
        self.says(user_id).await;
        let now = self.far.shelves();
        let mut new = now.difference(&before).filter(|shelf| **shelf != "e2ee/");
        let shelf = new.next().unwrap().clone();
        assert_eq!(new.next(), None, "only its own");
        shelf
    }

    fn questions(&self) -> usize {
        self.homeserver.questions_about(ANN)
    }
}

fn run(config: &MatrixConfig, far: &Far) -> Arc<Shared> {
    let client = Client::new(config).unwrap();
    let (mut context, _) = far.double.context(&network(), FixedClock::at(1_600_000_000_000));
    context.far = Arc::new(far.clone());
    Shared::new(config.clone(), client, context).0
}

/// Somebody with a device that is signed and offers keys.
async fn people(scene: &Scene, user_id: &str) -> Machine {
    let far = Arc::new(Double::new());
    let machine = Machine::open(far, network(), user_id, "ANN", Purpose::Reads).await.unwrap();
    for request in machine.signing().await.unwrap() {
        scene.shared.carry(user_id, &machine, &request).await.unwrap();
    }
    scene.shared.carry_all(user_id, &machine).await.unwrap();
    machine
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not come to an end")
}

/// What encrypts it waits for the device while it is closed, and closing waits until nobody uses it.
#[tokio::test]
async fn the_bots_device_can_be_closed_while_it_says_a_step_of_a_verification() {
    let scene = Scene::start().await;
    let shared = Arc::clone(&scene.shared);
    shared.device(BOT).await.unwrap();
    let _ann = people(&scene, ANN).await;
    assert!(shared.take_step(&asks_for_verification()));
    // Held before it is encrypted.
    let held = scene.homeserver.hold("/state/m.room.encryption");
    let (going, mut tasks) = (Arc::clone(&shared), JoinSet::new());
    tasks.spawn(async move { going.verify_on().await.unwrap() });
    in_time(scene.homeserver.is_asked("/state/m.room.encryption")).await;
    let mut closes = Box::pin(shared.look_at_device_again(BOT));
    let closed = (&mut closes).now_or_never();
    drop(held);
    if closed.is_none() {
        in_time(closes).await;
    }
    in_time(tasks.join_next()).await.unwrap().unwrap();
    in_time(scene.homeserver.is_asked("/send/m.room.encrypted")).await;
}

#[expect(clippy::disallowed_methods, reason = "a client takes no request of another time")]
fn asks_for_verification() -> Event {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let content = json!({
        "msgtype": "m.key.verification.request", "body": "verify me", "from_device": "ANN", "to": BOT,
        "methods": ["m.sas.v1"],
    });
    let event = json!({
        "type": "m.room.message", "event_id": "$request", "room_id": ROOM, "sender": ANN,
        "origin_server_ts": u64::try_from(now).unwrap(), "content": content,
    });
    serde_json::from_value(event).unwrap()
}

/// To-device messages need no shared room.
#[tokio::test]
async fn steps_of_those_who_may_not_verify_the_bot_are_not_followed() {
    let scene = Scene::start().await;
    let step = |user_id: &str, id: &str| Flow { user_id: user_id.to_owned(), id: id.to_owned() };
    scene.shared.follow_steps(vec![step(ANN, "hers")]).await.unwrap();
    let strange = (0..99).map(|n| step(&format!("@eve{n}:evil"), "strange")).collect();
    scene.shared.follow_steps(strange).await.unwrap();
    let device = scene.shared.device(BOT).await.unwrap();
    assert_eq!(device.machine.flows(), [step(ANN, "hers")]);
}

/// Devices are told one after the other that somebody's changed.
#[tokio::test]
async fn a_ghost_that_speaks_while_a_change_is_told_takes_no_answer_from_before_it() {
    let scene = Scene::start().await;
    scene.says_first(ONE).await;
    let two = scene.says_first(TWO).await;
    assert_eq!(scene.questions(), 1, "the second knows it from the first");
    let held = scene.far.hold(&two);
    let users = [ANN.to_owned()];
    let mut telling = Box::pin(scene.shared.devices_changed(&users));
    let told = async {
        let one = scene.shared.device(ONE).await.unwrap();
        while !one.machine.outgoing().await.unwrap().iter().any(wxgate_e2ee::Request::asks_for_devices) {
            assert!((&mut telling).now_or_never().is_none(), "the other one is told");
            tokio::task::yield_now().await;
        }
    };
    in_time(told).await;
    scene.says(ONE).await;
    assert_eq!(scene.questions(), 2, "it asks what changed");
    drop(held);
    in_time(telling).await;
    scene.says(TWO).await;
    assert_eq!(scene.questions(), 3);
}

#[tokio::test]
async fn a_ghost_that_was_at_work_while_a_change_was_told_asks_when_it_speaks_next() {
    let mut scene = Scene::start().await;
    let shelf = scene.says_first(ONE).await;
    let before = scene.questions();
    let held = scene.far.hold(&shelf);
    let shared = Arc::clone(&scene.shared);
    let leftover = Leftover::new(0, [ROOM.to_owned()], Vec::new());
    let (done, cleared) = tokio::sync::oneshot::channel();
    scene.tasks.spawn(async move {
        shared.prune_device(ONE, &leftover).await.unwrap();
        done.send(()).unwrap();
    });
    // It has its place while it waits for its notes.
    in_time(scene.far.waits.notified()).await;
    in_time(scene.shared.devices_changed(&[ANN.to_owned()])).await;
    drop(held);
    in_time(cleared).await.unwrap();
    scene.says(ONE).await;
    assert_eq!(scene.questions(), before + 1);
}

#[tokio::test]
async fn a_copy_of_the_notes_that_is_put_back_twice_is_seen_both_times() {
    let mut scene = Scene::start().await;
    let of_the_copy = scene.shared.epoch().await.unwrap();
    let copy = scene.far.double.state().notes.clone();
    scene.again();
    assert_eq!(scene.shared.epoch().await.unwrap(), of_the_copy, "an ordinary start");
    let mut seen = BTreeSet::from([of_the_copy]);
    for _ in 0..3 {
        scene.far.double.state().notes = copy.clone();
        scene.again();
        assert!(seen.insert(scene.shared.epoch().await.unwrap()), "an epoch of before");
    }
}

#[tokio::test]
async fn whose_devices_changed_is_asked_anew_where_nobody_can_tell_any_more() {
    let scene = Scene::start().await;
    scene.says(ONE).await;
    let before = scene.questions();
    scene.homeserver.kept().refused = Some("/sync");
    assert!(scene.shared.hear_once(Some("s0")).await.is_err());
    scene.says(ONE).await;
    assert_eq!(scene.questions(), before + 1);
}
