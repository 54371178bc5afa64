//! An ordinary account on the stub, in rooms that are not encrypted: the adapter without the SDK.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wxgate_contract::BoxFuture;
use wxgate_contract::conformance::stories::{self, Outside};
use wxgate_contract::conformance::{Double, Running};
use wxgate_contract::{
    Adapter, Answer, Author, Body, ChatKey, Command, Health, MediaId, Mention, Order, PersonRef,
};
use wxgate_matrix::{
    Account, AccountError, CallError, Happened, InRoom, Keep, Level, MatrixAdapter, MatrixConfig, Opened,
    Opening, Permissions, Secret, Timings, Verification,
};

use super::scene::{self, ALICE, Scene, by, post};
use super::stub::{self, DOMAIN, Fault, PATIENCE, Served};

const BOT: &str = "@bot:test";
pub(crate) const NETWORK: &str = "matrix:bot";
/// Between two looks at what happened; the stub holds no question.
const LOOK: Duration = Duration::from_millis(5);

/// Whatever has this in it comes just behind the keys.
pub(crate) const BRINGS_KEYS: &str = ", behind the keys";

/// Speaks plain HTTP with the stub.
#[derive(Debug)]
pub(crate) struct Plain {
    http: reqwest::Client,
    base: String,
    /// Where the answer before the last one began.
    before: Mutex<Option<String>>,
    /// Whether the next answer begins there again.
    again: AtomicBool,
    /// Whether it has the keys to what is encrypted.
    pub(crate) has_keys: AtomicBool,
    /// Somebody did what it waits for, and it cannot be taken up yet.
    is_stuck: AtomicBool,
    /// How often it was asked to open.
    opens: AtomicUsize,
    /// What becomes of its keys each time that they are seen to; all is well after that.
    keys: Mutex<VecDeque<Result<Option<String>, CallError>>>,
}

impl Plain {
    async fn ask(&self, method: http::Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.bearer_auth(format!("token of {BOT}"));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let endpoint = "send";
        let reply = request.send().await.map_err(|_| CallError::Network { endpoint })?;
        let status = reply.status().as_u16();
        let body: Value = match reply.bytes().await {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) => return Err(CallError::Network { endpoint }),
        };
        let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        match status {
            200 => Ok(body),
            429 => {
                let after = Duration::from_millis(body["retry_after_ms"].as_u64().unwrap());
                Err(CallError::Limited { endpoint, after })
            }
            500.. => Err(CallError::Failed { endpoint, status, by_homeserver: false }),
            _ => Err(CallError::Refused { endpoint, status, code: word("errcode"), message: word("error") }),
        }
    }

    async fn since(&self, since: &str) -> Result<Value, CallError> {
        let filter = json!({ "room": { "timeline": { "limit": 50 } } }).to_string();
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let path = format!("/_matrix/client/v3/sync?since={since}&filter={filter}");
        loop {
            let told = self.ask(http::Method::GET, &path, None).await?;
            if told["next_batch"] != since {
                return Ok(told);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn raw(event: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(event).unwrap()
}

fn happened(told: &Value) -> Happened {
    let events = |of: &Value| of["events"].as_array().into_iter().flatten().map(raw).collect();
    let rooms = told["rooms"]["join"].as_object().into_iter().flatten().map(|(room_id, room)| {
        let is_limited = room["timeline"]["limited"] == true;
        let room =
            InRoom { events: events(&room["timeline"]), is_limited, ephemeral: events(&room["ephemeral"]) };
        (room_id.clone(), room)
    });
    let invited = told["rooms"]["invite"].as_object().into_iter().flatten();
    let invited = invited.map(|(room_id, room)| {
        (room_id.clone(), room["invite_state"]["events"].as_array().cloned().unwrap_or_default())
    });
    Happened {
        next: told["next_batch"].as_str().unwrap().to_owned(),
        rooms: rooms.collect(),
        invited: invited.collect(),
    }
}

impl Account for Plain {
    fn open<'a>(&'a self, kept: Option<Bytes>, keep: Keep) -> BoxFuture<'a, Result<Opened, AccountError>> {
        Box::pin(async move {
            self.opens.fetch_add(1, Ordering::SeqCst);
            if self.is_stuck.load(Ordering::SeqCst) {
                return Err(AccountError::Call(CallError::Network { endpoint: "authorize" }));
            }
            if kept.is_none() {
                keep(Bytes::from_static(b"session"), Secret::default()).await?;
            }
            Ok(Opened { token: Secret::new(format!("token of {BOT}")), replaced: None })
        })
    }

    fn see_to_identity(&self) -> BoxFuture<'_, Result<Option<String>, CallError>> {
        Box::pin(async { self.keys.lock().unwrap().pop_front().unwrap_or(Ok(None)) })
    }

    fn stirred(&self) -> BoxFuture<'_, ()> {
        match self.is_stuck.load(Ordering::SeqCst) {
            true => Box::pin(std::future::ready(())),
            false => Box::pin(std::future::pending()),
        }
    }

    fn sync<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Happened, CallError>> {
        Box::pin(async move {
            let Some(since) = since else {
                let path = "/_matrix/client/v3/sync?filter=%7B%22room%22%3A%7B%22rooms%22%3A%5B%5D%7D%7D";
                return Ok(happened(&self.ask(http::Method::GET, path, None).await?));
            };
            let told = tokio::select! {
                told = self.since(since) => told?,
                before = async {
                    while !self.again.swap(false, Ordering::SeqCst) {
                        tokio::time::sleep(LOOK).await;
                    }
                    self.before.lock().unwrap().clone().unwrap()
                } => self.since(&before).await?,
            };
            *self.before.lock().unwrap() = Some(since.to_owned());
            Ok(happened(&told))
        })
    }

    fn send<'a>(
        &'a self,
        room_id: &'a str,
        kind: &'a str,
        txn_id: &'a str,
        content: &'a Value,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        Box::pin(async move {
            let path =
                format!("/_matrix/client/v3/rooms/{}/send/{kind}/{txn_id}", room_id.replace('!', "%21"));
            let said = self.ask(http::Method::PUT, &path, Some(content)).await?;
            Ok(said["event_id"].as_str().unwrap().to_owned())
        })
    }

    /// What is encrypted here says in its content what it says.
    fn open_event<'a>(&'a self, _: &'a str, event: Box<RawValue>) -> BoxFuture<'a, Opening> {
        Box::pin(async move {
            let mut opened: Value = serde_json::from_str(event.get()).unwrap();
            if event.get().contains(BRINGS_KEYS) {
                self.has_keys.store(true, Ordering::SeqCst);
            }
            match opened["content"].get("says").cloned() {
                Some(_) if !self.has_keys.load(Ordering::SeqCst) => Opening::NoKey,
                Some(says) => {
                    (opened["type"], opened["content"]) = (says["type"].clone(), says["content"].clone());
                    Opening::Read(raw(&opened))
                }
                None => Opening::Read(event),
            }
        })
    }

    fn is_encrypted<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async { Some(false) })
    }

    fn verify<'a>(
        &'a self,
        _user_id: &'a str,
        _flow: &'a str,
        _are_the_same: Option<bool>,
    ) -> BoxFuture<'a, Result<Option<Verification>, CallError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn knows_member<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }
}

pub(crate) fn account(served: &Served) -> Arc<Plain> {
    served.stub.human(BOT);
    Arc::new(Plain {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        base: format!("http://{}", served.address),
        before: Mutex::default(),
        again: AtomicBool::new(false),
        has_keys: AtomicBool::new(true),
        is_stuck: AtomicBool::new(false),
        opens: AtomicUsize::new(0),
        keys: Mutex::default(),
    })
}

pub(crate) fn config(served: &Served, account: Arc<Plain>) -> MatrixConfig {
    let homeserver = format!("http://{}", served.address).parse().unwrap();
    let config = MatrixConfig::for_account(NETWORK.into(), homeserver, BOT, account).unwrap();
    let timings = scene::config(&served.stub, served.address).timings;
    let permissions = Permissions::new([(DOMAIN.to_owned(), Level::User)]).unwrap();
    MatrixConfig { timings, permissions, ..config }
}

pub(crate) fn furnish(double: &Double, served: &Served) {
    scene::furnish(double, &served.stub);
    let person = PersonRef { network: NETWORK.into(), person: ALICE.into() };
    double.state().persons.insert(person, "alice".into());
}

struct Elsewhere {
    served: Served,
    account: Arc<Plain>,
    config: MatrixConfig,
    room_id: String,
}

impl Elsewhere {
    async fn new() -> Self {
        let served = stub::serve().await;
        let account = account(&served);
        let config = config(&served, Arc::clone(&account));
        Self { served, account, config, room_id: String::new() }
    }
}

/// What the bot said in a room: in whose name, and the words behind it.
fn said(served: &Served, room_id: &str) -> Vec<(String, String)> {
    let events = served.stub.world().events(room_id, "m.room.message");
    let by_bot = events.iter().filter(|event| event["sender"] == BOT);
    let said = by_bot.map(|event| {
        let content = &event["content"];
        let name = content["com.beeper.per_message_profile"]["displayname"].as_str().unwrap_or_default();
        let body = content["body"].as_str().unwrap();
        let words = body.strip_prefix(&format!("{name}: ")).unwrap_or(body);
        (name.to_owned(), words.to_owned())
    });
    said.collect()
}

impl Outside for Elsewhere {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(MatrixAdapter::new(self.config.clone()))
    }

    fn open<'a>(&'a mut self, double: &'a Double, running: &'a Running) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            furnish(double, &self.served);
            let body = Body::Unsupported { summary: "opening".to_owned() };
            let first = post("g1", "opening", by("p-bob", "Bob"), body);
            let delivery = double.delivery(&self.chat(double), first);
            running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
            double.wait_for(PATIENCE, |state| (!state.outcomes.is_empty()).then_some(())).await;
            double.state().outcomes.clear();
            let world = self.served.stub.world();
            self.room_id = world.aliases.values().next().unwrap().clone();
            drop(world);
            self.served.stub.join(ALICE, &self.room_id);
        })
    }

    fn say<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()> {
        self.served.stub.say(ALICE, &self.room_id, text);
        Box::pin(async {})
    }

    fn repeat_last(&mut self) -> BoxFuture<'_, ()> {
        self.account.again.store(true, Ordering::SeqCst);
        Box::pin(async {})
    }

    fn heard(&mut self) -> BoxFuture<'_, Vec<String>> {
        let heard = said(&self.served, &self.room_id).into_iter().map(|(_, words)| words);
        let heard = heard.filter(|words| words != "opening").collect();
        Box::pin(async { heard })
    }

    fn chat(&self, _double: &Double) -> ChatKey {
        scene::chat("g1").mirrored_on(&NETWORK.into()).chat
    }

    fn set_reachable(&mut self, reachable: bool) -> BoxFuture<'_, ()> {
        self.served.stub.set_reachable(reachable);
        Box::pin(async {})
    }
}

#[tokio::test]
async fn posts_arrive_once_and_in_order() {
    stories::posts_arrive_once_and_in_order(&mut Elsewhere::new().await).await;
}

#[tokio::test]
async fn a_failed_commit_is_handed_over_again() {
    stories::a_failed_commit_is_handed_over_again(&mut Elsewhere::new().await).await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_notes() {
    stories::a_restart_goes_on_from_the_notes(&mut Elsewhere::new().await).await;
}

#[tokio::test]
async fn the_outside_goes_and_comes_back() {
    stories::the_outside_goes_and_comes_back(&mut Elsewhere::new().await).await;
}

#[tokio::test]
async fn a_delivery_is_settled_and_not_doubled() {
    let text = post("g1", "77", by("p-bob", "Bob"), Body::text("once"));
    stories::a_delivery_is_settled_and_not_doubled(&mut Elsewhere::new().await, text).await;
}

#[tokio::test]
async fn it_stops_within_the_grace_period() {
    stories::it_stops_within_the_grace_period(&mut Elsewhere::new().await).await;
}

async fn scene() -> Scene {
    let scene = Scene::start_as(NETWORK, furnish, |served| config(served, account(served))).await;
    scene
        .double
        .wait_for(PATIENCE, |state| (state.health.get(&NETWORK.into()) == Some(&Health::Up)).then_some(()))
        .await;
    scene
}

/// Another account was configured, perhaps of another homeserver, which knows no such position.
#[tokio::test]
async fn the_position_of_another_account_is_not_gone_on_from() {
    for (position, user) in [("s1", Some("@earlier:test")), ("another homeserver's", None)] {
        let prepare = |double: &Double, served: &Served| {
            furnish(double, served);
            let mut state = double.state();
            let mut put = |key: &str, value: &str| {
                let value = Bytes::from(value.to_owned());
                state.notes.insert((NETWORK.into(), key.to_owned()), value);
            };
            put("position", position);
            if let Some(user) = user {
                put("position-of", user);
            }
        };
        let scene = Scene::start_as(NETWORK, prepare, |served| config(served, account(served))).await;
        let note = |state: &wxgate_contract::conformance::State, key: &str| {
            let value = state.notes.get(&(NETWORK.into(), key.to_owned()))?;
            Some(String::from_utf8(value.to_vec()).unwrap())
        };
        let is_own = |state: &mut wxgate_contract::conformance::State| {
            (note(state, "position-of")? == BOT && note(state, "position")? != position).then_some(())
        };
        scene.double.wait_for(PATIENCE, is_own).await;
        scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("hello"))).await;
        let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
        scene.stub().join(ALICE, &room_id);
        scene.stub().say(ALICE, &room_id, "it hears me");
        let heard = |post: &wxgate_contract::Post| post.body == Body::text("it hears me");
        let is_heard = |state: &mut wxgate_contract::conformance::State| {
            state.posts.iter().any(|(_, _, post)| heard(post)).then_some(())
        };
        scene.double.wait_for(PATIENCE, is_heard).await;
        scene.end().await;
    }
}

#[tokio::test]
async fn everybody_speaks_through_the_account_under_their_names() {
    let scene = scene().await;
    scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("a < b"))).await;
    scene.deliver(post("g1", "2", by("p-eve", "Eve 🌺"), Body::text("b"))).await;
    scene.deliver(post("g1", "3", Author::Owner, Body::text("c"))).await;
    let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
    let words = said(&scene.served, &room_id);
    let names: Vec<&str> = words.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["Bob", "Eve 🌺"], "{words:?}");
    assert!(!names[2].is_empty());
    furnished(&scene, &room_id);
    scene.end().await;
}

/// An encrypted room of the owner and the account.
fn furnished(scene: &Scene, room_id: &str) {
    let world = scene.stub().world();
    assert_eq!(world.membership(room_id, ALICE), Some("invite"));
    let state = world.rooms[room_id].state.keys().map(|(kind, _)| kind.clone());
    assert!(state.clone().any(|kind| kind == "m.room.encryption"), "{:?}", state.collect::<Vec<_>>());
    assert_eq!(world.rooms[room_id].members.len(), 2, "nobody but the owner and the account");
}

#[tokio::test]
async fn who_is_to_slow_down_does_and_says_everything_in_order() {
    let scene = scene().await;
    scene.deliver(post("g1", "0", by("p-bob", "Bob"), Body::text("0"))).await;
    scene.stub().fault("/send/m.room.message", Fault::Limited(200));
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("1")));
    scene.hand(&delivery).await;
    let wxgate_contract::Outcome::TryLater { after, .. } = scene.outcome(delivery.id, 0).await else {
        panic!("not later")
    };
    assert_eq!(after, Duration::from_millis(200));
    // Another lane does not ask before the time is over.
    let asked = scene.stub().world().asked.len();
    let other = scene.delivery(post("p-bob", "2", by("p-bob", "Bob"), Body::text("2")));
    scene.hand(&other).await;
    assert!(matches!(scene.outcome(other.id, 0).await, wxgate_contract::Outcome::TryLater { .. }));
    let sends = scene.stub().world().asked.iter().skip(asked).filter(|asked| asked.method != "GET").count();
    assert_eq!(sends, 0);
    tokio::time::sleep(after).await;
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, wxgate_contract::Outcome::Sent { .. }));
    scene.end().await;
}

#[tokio::test]
async fn an_owner_who_cannot_be_invited_yet_misses_nothing() {
    let scene = scene().await;
    scene.stub().fault("/invite", Fault::Limited(50));
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("first")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, wxgate_contract::Outcome::TryLater { .. }));
    let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
    assert_eq!(said(&scene.served, &room_id), []);
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, wxgate_contract::Outcome::Sent { .. }));
    assert_eq!(scene.stub().world().membership(&room_id, ALICE), Some("invite"));
    assert_eq!(scene.stub().world().aliases.len(), 1, "one room");
    scene.end().await;
}

#[tokio::test]
async fn somebody_is_named_by_typing_and_shown_with_their_picture() {
    let scene = scene().await;
    let picture = MediaId([3; 16]);
    scene.double.put_media(picture, "eve.png", "image/png", &b"\x89PNG of Eve"[..]);
    scene.double.state().answer = Some(Answer::Media(Some(picture)));
    scene.deliver(post("g1", "1", by("p-eve", "Eve 🌺"), Body::text("before her picture"))).await;
    let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
    // It is asked for beside what is said, and is there for what is said later.
    scene
        .stub()
        .wait_for(|world| world.asked.iter().any(|asked| asked.path.contains("/upload")).then_some(()))
        .await;
    let shown = async |number: usize| {
        scene.deliver(post("g1", &format!("2 {number}"), by("p-eve", "Eve 🌺"), Body::text("with it"))).await;
        let events = scene.stub().world().events(&room_id, "m.room.message");
        events.last().unwrap()["content"]["com.beeper.per_message_profile"].get("avatar_url").cloned()
    };
    let mut number = 0;
    let url = loop {
        match shown(number).await {
            Some(url) => break url,
            // The address is written down after the upload was answered.
            None => number += 1,
        }
        assert!(number < 1_000);
    };
    assert!(url.as_str().unwrap().starts_with("mxc://"), "{url}");

    scene.stub().join(ALICE, &room_id);
    scene.stub().say(ALICE, &room_id, "for @Eve 🌺 and me@Bob");
    let mentions = scene
        .double
        .wait_for(PATIENCE, |state| {
            let said = state.posts.iter().find(|(_, _, post)| post.author == Author::Owner)?;
            Some(said.2.mentions.clone())
        })
        .await;
    assert_eq!(mentions, [Mention { person: Some("p-eve".into()), is_owner: false, range: (4, 13) }]);
    scene.end().await;
}

/// Somebody came back from the homeserver's page, and the homeserver is gone at that moment.
#[tokio::test]
async fn what_cannot_be_taken_up_yet_is_not_tried_without_a_pause() {
    let mut stuck = None;
    let make = |served: &Served| {
        let account = account(served);
        account.is_stuck.store(true, Ordering::SeqCst);
        stuck = Some(Arc::clone(&account));
        config(served, account)
    };
    let begun = tokio::time::Instant::now();
    let scene = Scene::start_as(NETWORK, furnish, make).await;
    let account = stuck.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let opens = account.opens.load(Ordering::SeqCst);
    let pauses = begun.elapsed().as_millis() / scene.config.timings.first_pause.as_millis();
    assert!(opens > 1 && opens as u128 <= pauses + 1, "{opens} tries in {pauses} pauses");
    account.is_stuck.store(false, Ordering::SeqCst);
    let is_up = |up: Option<&Health>| (up == Some(&Health::Up)).then_some(());
    scene.double.wait_for(PATIENCE, |state| is_up(state.health.get(&NETWORK.into()))).await;
}

/// Alice's room of so many, with the bot in it.
async fn room_of(scene: &Scene, room_id: &str, others: &[&str]) {
    let stub = scene.stub();
    // The stub tells of no invitation before the first position.
    let position = (NETWORK.into(), "position".to_owned());
    scene.double.wait_for(PATIENCE, |state| state.notes.get(&position).map(drop)).await;
    for other in others {
        stub.human(other);
    }
    stub.invite(ALICE, room_id, BOT);
    others.iter().for_each(|other| stub.join(other, room_id));
    stub.wait_for(|world| world.is_in(room_id, BOT).then_some(())).await;
}

/// The group's room, with Alice and a stranger in it.
async fn lively_group(scene: &Scene) -> String {
    scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("hello"))).await;
    let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
    scene.stub().human("@other:test");
    scene.stub().join(ALICE, &room_id);
    scene.stub().join("@other:test", &room_id);
    room_id
}

/// Waits until something that Alice says was taken, and so everything from before it.
async fn taken(scene: &Scene, room_id: &str, text: &str) {
    scene.stub().say(ALICE, room_id, text);
    let is_it = |post: &wxgate_contract::Post| post.body == Body::text(text);
    scene
        .double
        .wait_for(PATIENCE, |state| state.posts.iter().any(|(_, _, post)| is_it(post)).then_some(()))
        .await;
}

/// The answers of the bot to somebody's words.
fn refused(scene: &Scene, room_id: &str) -> usize {
    said(&scene.served, room_id).iter().filter(|(_, words)| words.contains("was not delivered")).count()
}

/// What an account may say is counted by its homeserver, and everybody here shares it.
#[tokio::test]
async fn who_may_not_speak_is_told_once() {
    let scene = scene().await;
    let room_id = lively_group(&scene).await;
    (0..9).for_each(|n| drop(scene.stub().say("@other:test", &room_id, &format!("line {n}"))));
    taken(&scene, &room_id, "mine").await;
    let told = async {
        while refused(&scene, &room_id) == 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    taken(&scene, &room_id, "mine again").await;
    assert_eq!(refused(&scene, &room_id), 1);
    scene.clock.advance(Duration::from_secs(3601));
    scene.stub().say("@other:test", &room_id, "an hour later");
    let again = async {
        while refused(&scene, &room_id) == 1 {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn what_is_told_later_keeps_no_invitation_back() {
    let scene = scene().await;
    let room_id = lively_group(&scene).await;
    scene.stub().fault("/send/m.room.message", Fault::Limited(600_000));
    scene.stub().say("@other:test", &room_id, "may I?");
    scene.stub().wait_for(|world| world.faults.is_empty().then_some(())).await;
    room_of(&scene, "!elsewhere", &[]).await;
    scene.end().await;
}

#[tokio::test]
async fn a_token_of_somebody_elses_says_nothing_about_ours() {
    let scene = scene().await;
    room_of(&scene, "!desk", &[]).await;
    let greetings = |scene: &Scene| scene.stub().world().count("GET", "/account/whoami");
    let before = greetings(&scene);
    scene.stub().say(ALICE, "!desk", "login-matrix rubbish");
    scene
        .stub()
        .wait_for(|world| {
            world.texts("!desk").iter().any(|(_, text)| text.contains("speak as you")).then_some(())
        })
        .await;
    scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("hello"))).await;
    assert_eq!(greetings(&scene), before, "it was not taken for away");
    scene.end().await;
}

#[tokio::test]
async fn talk_in_another_room_pushes_no_command_out() {
    let scene = scene().await;
    room_of(&scene, "!desk", &[]).await;
    room_of(&scene, "!a-team", &["@other:test", "@third:test"]).await;
    scene.stub().set_reachable(false);
    for n in 0..40 {
        scene.stub().say(ALICE, "!a-team", &format!("line {n}"));
    }
    scene.stub().say(ALICE, "!desk", "version");
    scene.stub().set_reachable(true);
    let answered = |world: &mut stub::World| {
        world
            .texts("!desk")
            .iter()
            .any(|(sender, text)| sender == BOT && text.contains("wxgate"))
            .then_some(())
    };
    scene.stub().wait_for(answered).await;
    let asked = scene.stub().world().count("GET", "a-team/joined_members");
    assert!(asked <= 1, "{asked}");
    scene.end().await;
}

#[tokio::test]
async fn who_asks_faster_than_they_are_answered_hears_what_was_passed_over() {
    let scene = scene().await;
    room_of(&scene, "!desk", &[]).await;
    scene.stub().set_reachable(false);
    for n in 0..40 {
        scene.stub().say(ALICE, "!desk", &format!("version {n}"));
    }
    scene.stub().set_reachable(true);
    let told = |world: &mut stub::World| {
        world.texts("!desk").iter().any(|(_, text)| text.contains("faster than I can answer")).then_some(())
    };
    scene.stub().wait_for(told).await;
    let texts = scene.stub().texts("!desk");
    let versions = texts.iter().filter(|(sender, text)| sender == BOT && text.contains("wxgate")).count();
    assert!(versions >= 16, "{versions}");
    scene.end().await;
}

/// A catch-up that is cut off hands everything over again.
#[tokio::test]
async fn a_command_is_carried_out_once_whatever_else_was_said() {
    let scene = scene().await;
    room_of(&scene, "!a-desk", &[]).await;
    room_of(&scene, "!b-team", &["@other:test", "@third:test"]).await;
    scene.stub().set_reachable(false);
    scene.stub().say(ALICE, "!a-desk", "logout alice");
    for n in 0..650 {
        scene.stub().say("@other:test", "!b-team", &format!("line {n}"));
        if n % 3 == 0 {
            let nick = json!({ "membership": "join", "displayname": n.to_string() });
            scene.stub().set_state("@third:test", "!b-team", "m.room.member", "@third:test", nick);
        }
    }
    (0..6).for_each(|_| scene.stub().fault("b-team/messages", Fault::Slow(1)));
    scene.stub().fault("b-team/messages", Fault::Status(500));
    scene.stub().set_reachable(true);
    scene.stub().wait_for(|world| world.faults.is_empty().then_some(())).await;
    // The next command is taken when everything before it is.
    let asked = |state: &wxgate_contract::conformance::State| {
        state.commands.iter().filter(|command| matches!(command, Command::SignOut { .. })).count()
    };
    let is_asked = |state: &mut wxgate_contract::conformance::State| (asked(state) > 0).then_some(());
    scene.double.wait_for(PATIENCE, is_asked).await;
    scene.stub().say(ALICE, "!a-desk", "version");
    let answered = |world: &mut stub::World| {
        world
            .texts("!a-desk")
            .iter()
            .any(|(sender, text)| sender == BOT && text.contains("This is wxgate"))
            .then_some(())
    };
    scene.stub().wait_for(answered).await;
    assert_eq!(asked(&scene.double.state()), 1);
    scene.end().await;
}

/// The keys are seen to until nothing is left, by a session that is signed in and works meanwhile.
#[tokio::test]
async fn what_is_left_of_the_keys_is_told_and_seen_to_again() {
    let wish = || Ok(Some("put the key there".to_owned()));
    let failed = CallError::Failed { endpoint: "recovery", status: 500, by_homeserver: true };
    let cut_off = CallError::Network { endpoint: "sign device" };
    let mut account_of = None;
    let make = |served: &Served| {
        let account = account(served);
        account.keys.lock().unwrap().extend([Err(cut_off), Err(failed), wish(), wish()]);
        account_of = Some(Arc::clone(&account));
        let config = config(served, account);
        let timings = Timings {
            catch_up: Duration::from_millis(400),
            catch_up_soonest: Duration::from_millis(200),
            ..config.timings
        };
        MatrixConfig { timings, ..config }
    };
    let scene = Scene::start_as(NETWORK, furnish, make).await;
    let account = account_of.unwrap();
    let health = async |wanted: Health| {
        let is_so = |health: Option<&Health>| (health == Some(&wanted)).then_some(());
        scene.double.wait_for(PATIENCE, |state| is_so(state.health.get(&NETWORK.into()))).await;
    };
    let why = "the keys of the account are not in their place yet (the homeserver failed during \"recovery\" (500))";
    health(Health::Degraded { why: why.to_owned() }).await;
    scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("said meanwhile"))).await;
    health(Health::NeedsHuman { step: "put the key there".to_owned() }).await;
    health(Health::Up).await;
    assert!(account.keys.lock().unwrap().is_empty());
    assert_eq!(account.opens.load(Ordering::SeqCst), 1, "it is signed in once");
    scene.end().await;
}
