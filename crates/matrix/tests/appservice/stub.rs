//! A homeserver on loopback: as strict as Synapse about identity, membership, aliases, transaction
//! ids and room versions, and recording every request.
//!
//! Source of its behaviour: the Matrix notes (proven against Synapse 1.163.2).

#[path = "stub/answer.rs"]
mod answer;
#[path = "stub/endpoints.rs"]
mod endpoints;
#[path = "stub/powers.rs"]
mod powers;
#[path = "stub/push.rs"]
mod push;
#[path = "stub/stream.rs"]
mod stream;
#[path = "stub/world.rs"]
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) use world::{Absence, Asked, Fault, Room, World};

pub(crate) const DOMAIN: &str = "test";
pub(crate) const AS_TOKEN: &str = "as_token_of_the_test";
pub(crate) const HS_TOKEN: &str = "hs_token_of_the_test";
pub(crate) const PUPPET_TOKEN: &str = "puppet_token_of_the_test";
/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

struct Inner {
    world: Mutex<World>,
    changed: Notify,
    pushed: Notify,
    http: reqwest::Client,
}

/// The homeserver.
#[derive(Clone)]
pub(crate) struct Stub(Arc<Inner>);

/// Keeps it running; dropping it ends it.
pub(crate) struct Served {
    pub(crate) stub: Stub,
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Starts a homeserver on a free port.
pub(crate) async fn serve() -> Served {
    // The stub's own client wants it too; fails when somebody installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let inner =
        Inner { world: Mutex::new(World::new()), changed: Notify::new(), pushed: Notify::new(), http };
    let stub = Stub(Arc::new(inner));
    let router = Router::new().fallback(handle).with_state(stub.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    tasks.spawn(push::run(stub.clone()));
    Served { stub, address, _tasks: tasks }
}

async fn handle(
    State(stub): State<Stub>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer::answer(stub, method, uri, headers, body).await
}

impl Stub {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.0.changed.notify_waiters();
        self.0.pushed.notify_one();
    }

    /// Waits until `what` gives something.
    pub(crate) async fn wait_for<T>(&self, mut what: impl FnMut(&mut World) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = what(&mut self.world()) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain; it was asked:\n{}", self.world().protocol()),
        }
    }

    /// Where the application service listens.
    pub(crate) fn set_bridge(&self, address: SocketAddr) {
        self.world().bridge = Some(address);
        self.changed();
    }

    /// A person of this homeserver, with a client.
    pub(crate) fn human(&self, user_id: &str) {
        self.world().add_user(user_id, false);
    }

    /// Somebody sends an event; it goes to the application service as well.
    pub(crate) fn send(&self, user_id: &str, room_id: &str, kind: &str, content: Value) -> String {
        let event_id = self.world().put_event(user_id, room_id, kind, None, content, None);
        self.changed();
        event_id
    }

    pub(crate) fn say(&self, user_id: &str, room_id: &str, text: &str) -> String {
        self.send(user_id, room_id, "m.room.message", json!({ "msgtype": "m.text", "body": text }))
    }

    /// A person changes a piece of state; a membership as the rules of the homeserver allow them.
    pub(crate) fn set_state(&self, user_id: &str, room_id: &str, kind: &str, key: &str, content: Value) {
        let mut world = self.world();
        match content["membership"].as_str() {
            Some(membership) => world.set_member(user_id, key, room_id, membership),
            None => drop(world.put_event(user_id, room_id, kind, Some(key), content, None)),
        }
        drop(world);
        self.changed();
    }

    /// A person opens a room and invites somebody.
    pub(crate) fn invite(&self, user_id: &str, room_id: &str, invited: &str) {
        let mut world = self.world();
        world.rooms.entry(room_id.to_owned()).or_default();
        if !world.is_in(room_id, user_id) {
            world.set_member(user_id, user_id, room_id, "join");
        }
        world.set_member(user_id, invited, room_id, "invite");
        drop(world);
        self.changed();
    }

    /// A person accepts an invitation.
    pub(crate) fn join(&self, user_id: &str, room_id: &str) {
        self.world().set_member(user_id, user_id, room_id, "join");
        self.changed();
    }

    /// A person's client says how far they have read.
    pub(crate) fn receipt(&self, user_id: &str, room_id: &str, event_id: &str, ts: i64) {
        let read = json!({ "m.read": { user_id: { "ts": ts } } });
        let content = json!({ event_id: read });
        let mut world = self.world();
        let n = world.next();
        if let Some(room) = world.rooms.get_mut(room_id) {
            room.marks.push((n, json!({ "type": "m.receipt", "content": content })));
        }
        // What is not durable never waits for an application service that is away.
        if !world.loses_transactions {
            let event = json!({ "type": "m.receipt", "room_id": room_id, "content": content });
            world.queue.push_back((n.to_string(), json!({ "events": [], "ephemeral": [event] })));
        }
        drop(world);
        self.changed();
    }

    /// The texts in a room, oldest first, with their senders.
    pub(crate) fn texts(&self, room_id: &str) -> Vec<(String, String)> {
        self.world().texts(room_id)
    }

    /// Cuts both directions.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.world().is_down = !reachable;
        self.changed();
    }

    /// Forgets what Synapse keeps in memory only.
    pub(crate) fn restart(&self) {
        self.world().txns_in_memory.clear();
    }

    /// Forgets what Synapse forgets after a day.
    pub(crate) fn forget_transaction_ids(&self) {
        let mut world = self.world();
        world.txns_in_memory.clear();
        world.txns_on_disk.clear();
    }

    /// The next requests whose path contains `part` go wrong.
    pub(crate) fn fault(&self, part: &str, fault: Fault) {
        self.world().faults.push((part.to_owned(), fault));
    }

    /// Gives the last transaction again, as after a lost answer.
    pub(crate) fn repeat_last(&self) {
        let mut world = self.world();
        if let Some(last) = world.last_txn.clone() {
            world.queue.push_front(last);
        }
        drop(world);
        self.changed();
    }
}
