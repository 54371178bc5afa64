//! A homeserver that keeps keys in memory, and holds up or refuses what it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use url::Url;

#[derive(Default)]
pub(super) struct Kept {
    /// Keys of devices, by user and device.
    devices: BTreeMap<String, BTreeMap<String, Value>>,
    signing: BTreeMap<String, Value>,
    account_data: BTreeMap<String, Value>,
    /// Keys that devices offer, by user.
    pub(super) one_time: BTreeMap<String, Map<String, Value>>,
    /// What was sent to devices: the type, who sent it, and its content by user and device.
    pub(super) sent: Vec<(String, String, Value)>,
    /// Who is in every room, and who was asked in.
    pub(super) members: Vec<String>,
    pub(super) invited: Vec<String>,
    /// The history of every room is for them.
    pub(super) visibility: Option<&'static str>,
    /// What a device's sync says; nothing when there is none.
    pub(super) synced: Option<Value>,
    /// By id.
    pub(super) events: BTreeMap<String, Value>,
    /// A homeserver that cannot be asked for keys.
    pub(super) is_away: Option<&'static str>,
    /// Method, path and body of everything that was asked.
    pub(super) asked: Vec<(String, Value)>,
    /// Whatever has this in its path waits until it is let go.
    held: Vec<(String, Arc<Semaphore>)>,
    /// Whatever has this in its path is refused.
    pub(super) refused: Option<&'static str>,
    /// Whatever has this in its path fails.
    pub(super) fails: Option<&'static str>,
}

/// The homeserver; the last copy of it ends it.
#[derive(Clone)]
pub(super) struct Homeserver {
    kept: Arc<Mutex<Kept>>,
    changed: Arc<Notify>,
}

/// Holds something up until it is dropped.
pub(super) struct Hold(pub(super) Arc<Semaphore>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Homeserver {
    /// One that answers, its address, and what it runs in.
    pub(super) async fn start() -> (Self, Url, JoinSet<()>) {
        let homeserver = Self { kept: Arc::default(), changed: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(homeserver.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (homeserver, url, tasks)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds up whatever has `part` in its path.
    pub(super) fn hold(&self, part: &str) -> Hold {
        let gate = Arc::new(Semaphore::new(0));
        self.kept().held.push((part.to_owned(), Arc::clone(&gate)));
        Hold(gate)
    }

    /// How often somebody asked for the devices of `user_id`.
    pub(super) fn questions_about(&self, user_id: &str) -> usize {
        let kept = self.kept();
        let is_it = |(path, body): &&(String, Value)| {
            path.ends_with("/keys/query") && body["device_keys"].get(user_id).is_some()
        };
        kept.asked.iter().filter(is_it).count()
    }

    /// Waits until something was asked that has `part` in its path.
    pub(super) async fn is_asked(&self, part: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.kept().asked.iter().any(|(path, _)| path.contains(part)) {
                return;
            }
            changed.await;
        }
    }
}

async fn answer(State(homeserver): State<Homeserver>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let user = query.into_iter().find(|(key, _)| key == "user_id").map(|(_, user)| user.into_owned());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let gates: Vec<_> = {
        let mut kept = homeserver.kept();
        kept.asked.push((path.clone(), body.clone()));
        kept.held
            .iter()
            .filter(|(part, _)| path.contains(part.as_str()))
            .map(|(_, gate)| Arc::clone(gate))
            .collect()
    };
    homeserver.changed.notify_waiters();
    for gate in gates {
        // It is closed when it is let go.
        let _ = gate.acquire().await;
    }
    let (status, told) = homeserver.kept().answer(&method, &path, &user.unwrap_or_default(), &body);
    (StatusCode::from_u16(status).unwrap(), axum::Json(told)).into_response()
}

fn no(status: u16, code: &str) -> (u16, Value) {
    (status, json!({ "errcode": code, "error": code }))
}

impl Kept {
    fn answer(&mut self, method: &Method, path: &str, user: &str, body: &Value) -> (u16, Value) {
        if self.refused.is_some_and(|part| path.contains(part)) {
            return no(if path.contains("/state/") { 403 } else { 400 }, "M_UNKNOWN_POS");
        }
        if self.fails.is_some_and(|part| path.contains(part)) {
            return no(500, "M_UNKNOWN");
        }
        let parts: Vec<&str> = path.trim_start_matches("/_matrix/client/v3/").split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("PUT", ["devices", _]) => (200, json!({})),
            ("PUT", ["sendToDevice", kind, ..]) => {
                self.sent.push(((*kind).to_owned(), user.to_owned(), body["messages"].clone()));
                (200, json!({}))
            }
            ("DELETE", ["devices", device]) => {
                self.devices.entry(user.to_owned()).or_default().remove(*device);
                self.one_time.remove(user);
                (200, json!({}))
            }
            ("POST", ["keys", "upload"]) => {
                let offered = body["one_time_keys"].as_object().cloned().unwrap_or_default();
                let stock = self.one_time.entry(user.to_owned()).or_default();
                if let Some((id, _)) =
                    offered.iter().find(|(id, key)| stock.get(*id).is_some_and(|there| there != *key))
                {
                    let why = format!("One time key {id} already exists. Old key: {{}}; new key: {{}}");
                    return (400, json!({ "errcode": "M_UNKNOWN", "error": why }));
                }
                stock.extend(offered);
                if let Some(id) = body["device_keys"]["device_id"].as_str() {
                    let keys = body["device_keys"].clone();
                    self.devices.entry(user.to_owned()).or_default().insert(id.to_owned(), keys);
                }
                (200, json!({ "one_time_key_counts": { "signed_curve25519": 50 } }))
            }
            ("POST", ["keys", "device_signing", "upload"]) => {
                self.signing.insert(user.to_owned(), body.clone());
                (200, json!({}))
            }
            ("POST", ["keys", "signatures", "upload"]) => {
                self.sign(user, body);
                (200, json!({ "failures": {} }))
            }
            ("POST", ["keys", "query"]) => (200, self.query(body)),
            ("POST", ["keys", "claim"]) => (200, self.claim(body)),
            ("GET", ["rooms", _, "state", "m.room.encryption", ..]) => {
                (200, json!({ "sender": "@ann:test", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }))
            }
            ("GET", ["rooms", _, "members"]) => {
                let member =
                    |user: &String| json!({ "state_key": user, "content": { "membership": "join" } });
                let asked =
                    |user: &String| json!({ "state_key": user, "content": { "membership": "invite" } });
                let all = self.members.iter().map(member).chain(self.invited.iter().map(asked));
                (200, json!({ "chunk": all.collect::<Vec<_>>() }))
            }
            ("GET", ["rooms", _, "state", "m.room.history_visibility", ..]) => match self.visibility {
                Some(told) => {
                    (200, json!({ "sender": "@ann:test", "content": { "history_visibility": told } }))
                }
                None => no(404, "M_NOT_FOUND"),
            },
            ("GET", ["rooms", _, "event", id]) => match self.events.get(*id) {
                Some(event) => (200, event.clone()),
                None => no(404, "M_NOT_FOUND"),
            },
            ("PUT", ["rooms", _, "send", ..]) => (200, json!({ "event_id": "$said" })),
            ("GET", ["user", _, "account_data", kind]) => match self.account_data.get(*kind) {
                Some(data) => (200, data.clone()),
                None => no(404, "M_NOT_FOUND"),
            },
            ("PUT", ["user", _, "account_data", kind]) => {
                self.account_data.insert((*kind).to_owned(), body.clone());
                (200, json!({}))
            }
            ("GET", ["sync"]) => (200, self.synced.clone().unwrap_or_else(|| json!({ "next_batch": "s1" }))),
            _ => no(404, "M_NOT_FOUND"),
        }
    }

    /// Signatures of a user's own devices.
    fn sign(&mut self, user: &str, body: &Value) {
        for (id, signed) in body[user].as_object().into_iter().flatten() {
            let device = self.devices.get_mut(user).and_then(|devices| devices.get_mut(id));
            let there = device.and_then(|device| device["signatures"][user].as_object_mut());
            if let (Some(there), Some(new)) = (there, signed["signatures"][user].as_object()) {
                there.extend(new.clone());
            }
        }
    }

    /// A key of each device that has one left.
    fn claim(&mut self, body: &Value) -> Value {
        let mut told = json!({ "one_time_keys": {}, "failures": {} });
        for (user, devices) in body["one_time_keys"].as_object().into_iter().flatten() {
            if let Some(server) = self.is_away.filter(|server| user.ends_with(server)) {
                told["failures"][server] = json!({});
                continue;
            }
            let stock = self.one_time.entry(user.clone()).or_default();
            for device in devices.as_object().into_iter().flatten().map(|(device, _)| device) {
                let next = stock.keys().next().cloned();
                if let Some((id, key)) = next.and_then(|id| stock.remove_entry(&id)) {
                    told["one_time_keys"][user][device] = json!({ id: key });
                }
            }
        }
        told
    }

    fn query(&self, body: &Value) -> Value {
        let mut told = json!({ "device_keys": {}, "failures": {} });
        for user in body["device_keys"].as_object().into_iter().flatten().map(|(user, _)| user) {
            if let Some(server) = self.is_away.filter(|server| user.ends_with(server)) {
                told["failures"][server] = json!({});
                continue;
            }
            told["device_keys"][user] = json!(self.devices.get(user).cloned().unwrap_or_default());
            let Some(signing) = self.signing.get(user) else { continue };
            for kind in ["master_key", "self_signing_key", "user_signing_key"] {
                told[format!("{kind}s")][user] = signing[kind].clone();
            }
        }
        told
    }
}
