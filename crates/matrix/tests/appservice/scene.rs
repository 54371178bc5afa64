//! One account of one person, mirrored on the stub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{
    Adapter, Answer, Ask, Author, Body, ChatKind, ChatProfile, ChatRef, CommandError, Delivery, DeliveryId,
    Member, NetworkId, Order, Outcome, PersonKind, PersonProfile, PersonRef, Post, Request, Stopped,
    Timestamp,
};
use wxgate_matrix::{Level, MatrixAdapter, MatrixConfig, Permissions, Secret, Timings};

use super::stub::{self, AS_TOKEN, DOMAIN, HS_TOKEN, PATIENCE, Served, Stub};

pub(crate) const ALICE: &str = "@alice:test";
pub(crate) const ACCOUNT: &str = "wechat:alice";
/// When everything was said that has a time. Chosen: before the stub's own clock.
pub(crate) const SAID_AT: i64 = 1_600_000_000_000;

/// What an adapter for the stub is made of.
pub(crate) fn config(stub: &Stub, homeserver: SocketAddr) -> MatrixConfig {
    let told = stub.clone();
    let listen = "127.0.0.1:0".parse().unwrap();
    let permissions = [(DOMAIN.to_owned(), Level::User)];
    MatrixConfig {
        as_token: Secret::new(AS_TOKEN),
        hs_token: Secret::new(HS_TOKEN),
        permissions: Permissions::new(permissions).unwrap(),
        timings: Timings {
            call_timeout: Duration::from_secs(10),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(100),
            catch_up: Duration::from_secs(300),
            catch_up_soonest: Duration::from_secs(300),
        },
        on_bound: Some(Arc::new(move |address| told.set_bridge(address))),
        ..MatrixConfig::new("matrix".into(), format!("http://{homeserver}").parse().unwrap(), DOMAIN, listen)
    }
}

/// A person, an account, two chats.
pub(crate) fn furnish(double: &Double, stub: &Stub) {
    stub.human(ALICE);
    double.add_account("alice", "pw", ACCOUNT);
    let mut state = double.state();
    state.persons.insert(PersonRef { network: "matrix".into(), person: ALICE.into() }, "alice".into());
    let account = NetworkId::from(ACCOUNT);
    for chat in [group("g1", "Family", &["p-bob", "p-eve"]), private("p-bob", "Bob")] {
        state.chats.insert((account.clone(), chat.chat.clone()), chat);
    }
    for (key, name) in [("p-bob", "Bob"), ("p-eve", "Eve 🌺")] {
        state.people.insert((account.clone(), key.into()), person(key, name));
    }
}

pub(crate) fn person(key: &str, name: &str) -> PersonProfile {
    PersonProfile {
        person: key.into(),
        kind: PersonKind::Human,
        nickname: name.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: true,
    }
}

pub(crate) fn group(key: &str, title: &str, members: &[&str]) -> ChatProfile {
    let member = |person: &&str| Member {
        person: (*person).into(),
        name: String::new(),
        is_self: false,
        is_contact: true,
    };
    ChatProfile {
        chat: key.into(),
        kind: ChatKind::Group,
        title: title.to_owned(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: Some(members.iter().map(member).collect()),
        is_gone: false,
    }
}

pub(crate) fn private(key: &str, title: &str) -> ChatProfile {
    ChatProfile { kind: ChatKind::Private, members: None, ..group(key, title, &[]) }
}

pub(crate) fn chat(key: &str) -> ChatRef {
    ChatRef { network: ACCOUNT.into(), chat: key.into() }
}

/// Somebody's post in a chat of the account.
pub(crate) fn post(in_chat: &str, id: &str, author: Author, body: Body) -> Post {
    Post {
        remote_id: id.into(),
        chat: chat(in_chat),
        author,
        at: Timestamp(SAID_AT),
        body,
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

pub(crate) fn by(key: &str, name: &str) -> Author {
    Author::Person { person: key.into(), name: name.to_owned() }
}

/// An adapter that runs.
pub(crate) struct Scene {
    pub(crate) double: Double,
    pub(crate) served: Served,
    pub(crate) running: Running,
    pub(crate) task: tokio::task::JoinHandle<Result<Stopped, wxgate_contract::AdapterError>>,
    pub(crate) config: MatrixConfig,
    pub(crate) clock: Arc<FixedClock>,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut MatrixConfig)) -> Self {
        let (double, served) = (Double::new(), stub::serve().await);
        furnish(&double, &served.stub);
        let mut config = config(&served.stub, served.address);
        change(&mut config);
        Self::run(double, served, config)
    }

    /// The same with another adapter.
    pub(crate) async fn start_as(
        network: &'static str,
        furnish: impl FnOnce(&Double, &Served),
        config: impl FnOnce(&Served) -> MatrixConfig,
    ) -> Self {
        let (double, served) = (Double::new(), stub::serve().await);
        furnish(&double, &served);
        let config = config(&served);
        assert_eq!(config.network.as_str(), network);
        Self::run(double, served, config)
    }

    pub(crate) fn run(double: Double, served: Served, config: MatrixConfig) -> Self {
        let adapter = MatrixAdapter::new(config.clone());
        let clock = FixedClock::at(SAID_AT);
        let (ctx, running) = double.context(adapter.network(), clock.clone());
        let task = tokio::spawn(async move { adapter.run(ctx).await });
        Self { double, served, running, task, config, clock }
    }

    /// The same again with what was remembered.
    pub(crate) async fn restart(self) -> Self {
        let Self { double, served, running, task, config, .. } = self;
        running.stop.stop();
        task.await.unwrap().unwrap();
        Self::run(double, served, config)
    }

    /// The same again after the task was cut off where it stood.
    pub(crate) async fn kill(self) -> Self {
        let Self { double, served, task, config, .. } = self;
        task.abort();
        let _ = task.await;
        Self::run(double, served, config)
    }

    pub(crate) fn stub(&self) -> &Stub {
        &self.served.stub
    }

    /// Hands a delivery over; its outcome comes later.
    pub(crate) async fn hand(&self, delivery: &Delivery) {
        self.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
    }

    /// Asks something of the network.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, CommandError> {
        let (answer, mut answers) = tokio::sync::mpsc::channel(1);
        self.running.orders.send(Order::Ask(Ask { request, answer })).await.unwrap();
        tokio::time::timeout(PATIENCE, answers.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn delivery(&self, post: Post) -> Delivery {
        let lane = post.chat.mirrored_on(&self.config.network).chat;
        self.double.delivery(&lane, post)
    }

    pub(crate) async fn outcome(&self, id: DeliveryId, nth: usize) -> Outcome {
        self.double
            .wait_for(PATIENCE, |state| {
                let mut all = state.outcomes.iter().filter(|(delivery, _)| *delivery == id);
                all.nth(nth).map(|(_, outcome)| outcome.clone())
            })
            .await
    }

    /// Delivers a post and gives the ids it got.
    pub(crate) async fn deliver(&self, post: Post) -> Vec<String> {
        let delivery = self.delivery(post);
        self.hand(&delivery).await;
        match self.outcome(delivery.id, 0).await {
            Outcome::Sent { remote_ids } => remote_ids.iter().map(|id| id.as_str().to_owned()).collect(),
            other => panic!("not sent: {other:?}\n{}", self.stub().world().protocol()),
        }
    }

    /// Opens the room of the group and lets the owner join it.
    pub(crate) async fn open_group(&self) -> String {
        self.deliver(post("g1", "first", by("p-bob", "Bob"), Body::text("hello"))).await;
        let room_id = self.stub().world().room_of("wechat_alice_g1").unwrap();
        self.stub().join(ALICE, &room_id);
        room_id
    }

    pub(crate) async fn end(self) {
        self.running.stop.stop();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        assert!(matches!(ended, Ok(Ok(Ok(Stopped)))), "the adapter did not end well: {ended:?}");
        let world = self.served.stub.world();
        let unknown =
            world.asked.iter().filter(|asked| asked.status == 404 && asked.path.contains("Unrecognized"));
        assert_eq!(unknown.count(), 0);
    }
}
