//! A homeserver that does nothing but answer and take down: what the gateway alone can do shows against
//! it, and not against Synapse. It answers as Synapse does (1.163), from memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock::now_us;
use crate::http::{Connection, Place};

/// The part of ids behind the colon.
pub(super) const DOMAIN: &str = "bench";
/// The bot of the gateway.
const BOT: &str = "@wechatbot:bench";

/// A message that was sent into a room.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at_us: u64,
    pub(super) room: String,
    pub(super) body: String,
}

#[derive(Debug, Default)]
struct Book {
    sent: Vec<Sent>,
    /// Requests by what they ask for.
    asked: BTreeMap<&'static str, u64>,
    events: u64,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    changed: Notify,
}

/// The homeserver; dropping it ends it.
#[derive(Debug)]
pub(super) struct Stub {
    /// `127.0.0.1:port`.
    pub(super) address: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Stub {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::<Shared>::default();
        let (mut tasks, served) = (JoinSet::new(), shared.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = served.clone();
                connections.spawn(async move {
                    // Small answers must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    // A connection that breaks is the gateway's affair.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, shared, _tasks: tasks })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }

    /// What was sent since the last time.
    pub(super) fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.book().sent)
    }

    /// How many texts that begin with `mark` were sent and not taken.
    pub(super) fn count(&self, mark: &str) -> usize {
        self.book().sent.iter().filter(|sent| sent.body.starts_with(mark)).count()
    }

    /// Requests so far, by what they ask for.
    pub(super) fn asked(&self) -> BTreeMap<&'static str, u64> {
        self.book().asked.clone()
    }

    /// Waits for the next request.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Shared {
    // A poisoned lock belongs to a measurement that failed; what it left behind is whole.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    let (what, status, value) = shared.say(parts.method.as_str(), &segments, parts.uri.query(), &body);
    *shared.book().asked.entry(what).or_default() += 1;
    shared.changed.notify_one();
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status.try_into().unwrap_or_default();
    Ok(response)
}

impl Shared {
    fn say(
        &self,
        method: &str,
        segments: &[&str],
        query: Option<&str>,
        body: &Bytes,
    ) -> (&'static str, u16, Value) {
        let event = || {
            let mut book = self.book();
            book.events += 1;
            json!({ "event_id": format!("$e{}", book.events) })
        };
        let [_, _, rest @ ..] = segments else { return unknown() };
        let done = |what| (what, 200, json!({}));
        match (method, rest) {
            ("PUT", ["rooms", room, "send", kind, _]) => {
                if *kind == "m.room.message" {
                    self.take_down(room, body);
                }
                ("send", 200, event())
            }
            ("PUT", ["rooms", _, "state", ..]) => ("state", 200, event()),
            ("PUT", ["rooms", _, "redact", ..]) => ("redact", 200, event()),
            ("GET", ["rooms", _, "joined_members"]) => {
                ("joined members", 200, json!({ "joined": { BOT: {} } }))
            }
            ("GET", ["rooms", _, "messages"]) => ("messages", 200, json!({ "chunk": [] })),
            ("POST", ["rooms", _, "invite" | "leave"]) => done("membership"),
            ("POST", ["rooms", _, "receipt", ..]) => done("receipt"),
            ("POST", ["join", room]) => ("membership", 200, json!({ "room_id": room })),
            ("POST", ["createRoom"]) => {
                let mut book = self.book();
                book.events += 1;
                ("create room", 200, json!({ "room_id": format!("!r{}", book.events) }))
            }
            ("POST", ["register"]) => ("register", 200, json!({ "user_id": "@x:bench" })),
            ("PUT", ["devices", _]) => done("device"),
            ("PUT", ["profile", ..]) => done("profile"),
            ("GET", ["account", "whoami"]) => ("whoami", 200, json!({ "user_id": user(query) })),
            ("GET", ["capabilities"]) => {
                let versions = json!({ "default": "12", "available": { "12": "stable" } });
                ("capabilities", 200, json!({ "capabilities": { "m.room_versions": versions } }))
            }
            ("GET", ["media", "config"]) => ("media config", 200, json!({ "m.upload.size": 50 << 20 })),
            ("POST", ["upload"]) => ("upload", 200, json!({ "content_uri": "mxc://bench/x" })),
            ("POST", ["appservice", _, "ping"]) => ("ping", 200, json!({ "duration_ms": 0 })),
            ("GET", ["sync"]) => ("sync", 200, json!({ "next_batch": "s1" })),
            ("PUT", ["user", ..]) => done("account data"),
            _ => unknown(),
        }
    }

    fn take_down(&self, room: &str, body: &Bytes) {
        let content: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = content["body"].as_str().unwrap_or_default().to_owned();
        self.book().sent.push(Sent { at_us: now_us(), room: room.replace("%21", "!"), body: text });
    }
}

fn unknown() -> (&'static str, u16, Value) {
    ("nothing", 404, json!({ "errcode": "M_NOT_FOUND", "error": "there is no such thing" }))
}

fn user(query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let id = pairs.filter_map(|pair| pair.strip_prefix("user_id=")).next().unwrap_or_default();
    id.replace("%40", "@").replace("%3A", ":")
}

/// The homeserver's way to the gateway.
#[derive(Debug)]
pub(super) struct Pusher {
    connection: Connection,
    token: String,
    next: u64,
}

impl Pusher {
    pub(super) async fn connect(address: &str, token: &str) -> Result<Self> {
        let connection = Connection::open(&Place::Tcp(address.to_owned())).await?;
        Ok(Self { connection, token: format!("Bearer {token}"), next: 0 })
    }

    /// Gives a transaction of texts, and waits until it is taken.
    pub(super) async fn push(&mut self, texts: &[(String, String)], sender: &str) -> Result<()> {
        let mut events = Vec::with_capacity(texts.len());
        for (room, text) in texts {
            self.next += 1;
            events.push(json!({
                "event_id": format!("$said{}", self.next),
                "room_id": room,
                "sender": sender,
                "type": "m.room.message",
                "origin_server_ts": now_us() / 1000,
                "content": { "msgtype": "m.text", "body": text },
            }));
        }
        let body = json!({ "events": events }).to_string();
        let path = format!("/_matrix/app/v1/transactions/{}", self.next);
        let headers = [("authorization", self.token.as_str())];
        let taken = self.connection.ask("PUT", &path, &headers, body).await.context("give a transaction")?;
        ensure!(taken.status == 200, "a transaction was answered with {}", taken.status);
        Ok(())
    }
}
