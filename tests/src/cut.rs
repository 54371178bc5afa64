//! A wire that can be cut: stands between a client and a server of HTTP and loses one request, or the
//! answer to one, when a story wants that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::http::{Connection, Place};

/// "Too many requests". Source: client-server API, "Rate limiting".
const TOO_MANY: u16 = 429;

/// Where a request is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server carries it out, and nobody hears the answer.
    After,
}

#[derive(Debug, Default)]
struct State {
    /// A part of the path, and where to cut; for one request.
    armed: Option<(String, Cut)>,
    hits: u32,
    /// What went through, as method and path.
    passed: Vec<String>,
    /// How many of them the server refused because there were too many.
    limited: u32,
}

/// The wire.
#[derive(Debug)]
pub struct Wire {
    /// Where clients connect, `127.0.0.1:port`.
    pub address: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    state: Mutex<State>,
    cut: Notify,
    more: Notify,
}

impl Shared {
    // A poisoned lock belongs to a test that failed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where this request is to be lost.
    fn cut_of(&self, path: &str) -> Option<Cut> {
        let mut state = self.state();
        let (_, cut) = state.armed.take_if(|(part, _)| path.contains(part.as_str()))?;
        Some(cut)
    }

    fn hit(&self) {
        self.state().hits += 1;
        self.cut.notify_waiters();
    }
}

impl Wire {
    /// Leads to `server`, whether somebody listens there yet or not.
    pub async fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for the wire")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            state: Mutex::default(),
            cut: Notify::new(),
            more: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Loses the next request whose path contains `part`.
    pub fn arm(&self, part: &str, cut: Cut) {
        self.shared.state().armed = Some((part.to_owned(), cut));
    }

    /// What went through and was answered, as method and path.
    pub fn passed(&self) -> Vec<String> {
        self.shared.state().passed.clone()
    }

    /// How much of it fits.
    pub fn count(&self, fits: impl Fn(&str) -> bool) -> usize {
        self.shared.state().passed.iter().filter(|path| fits(path)).count()
    }

    /// How often the server answered that there were too many requests.
    pub fn limited(&self) -> u32 {
        self.shared.state().limited
    }

    /// Waits for the next request that is answered.
    pub async fn more(&self) {
        self.shared.more.notified().await;
    }

    /// Waits until what was armed has happened for the `n`th time.
    pub async fn cut(&self, n: u32, limit: Duration) -> Result<()> {
        let waited = tokio::time::timeout(limit, async {
            loop {
                let more = self.shared.cut.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if self.shared.state().hits >= n {
                    return;
                }
                more.await;
            }
        });
        waited.await.map_err(|_| anyhow!("nothing was sent that could be cut within {limit:?}"))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| pass(shared.clone(), request));
            // A connection that breaks is what this is for.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection without an answer.
async fn pass(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, anyhow::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let cut = shared.cut_of(&path);
    let body = body.collect().await?.to_bytes();
    if cut == Some(Cut::Before) {
        shared.hit();
        return Err(anyhow!("cut before the server"));
    }
    let mut server = Connection::open(&Place::Tcp(shared.server.clone())).await?;
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter(|(name, _)| {
            !["host", "content-length", "connection", "transfer-encoding"].contains(&name.as_str())
        })
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let answer = server.ask(head.method.as_str(), &path, &headers, body).await?;
    {
        let mut state = shared.state();
        state.passed.push(format!("{} {path}", head.method));
        state.limited += u32::from(answer.status == TOO_MANY);
    }
    shared.more.notify_one();
    if cut == Some(Cut::After) {
        shared.hit();
        return Err(anyhow!("cut behind the server"));
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Full::new(answer.body))?)
}
