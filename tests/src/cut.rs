//! A wire that can be cut: stands between a client and a server of HTTP and loses one request, or the
//! answer to one, when a story wants that; or holds one until its sender has died.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::http::{Answer, Connection, Place};

/// "Too many requests". Source: client-server API, "Rate limiting".
const TOO_MANY: u16 = 429;
/// How much of what passed is told where nothing was caught. Chosen: what two chats ask.
const LAST: usize = 80;
/// What is said of one connection alone.
const HOP_BY_HOP: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// Where a request is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server carries it out, and nobody hears the answer.
    After,
}

/// Where a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The server has not seen it.
    Before,
    /// The server has answered, and the answer is still here.
    Answered,
    /// The server sees it when the next of its kind comes, and both at once: as what a network, or a queue, has of
    /// somebody who died.
    Late,
}

/// Which request is held, and where.
#[derive(Debug, Clone)]
pub struct Trap {
    /// The method, and parts of path, query and body, with spaces between: all of it has to be there.
    pub words: String,
    /// So many that fit pass first.
    pub skip: u32,
    /// Where it is held.
    pub at: Hold,
}

/// One request, read whole.
#[derive(Debug)]
struct Asked {
    head: Parts,
    path: String,
    body: Bytes,
}

#[derive(Debug, Default)]
struct State {
    /// A part of the path, and where to cut; for one request.
    armed: Option<(String, Cut)>,
    hits: u32,
    /// For one request.
    trap: Option<Trap>,
    /// What was held, as method and path.
    caught: Option<String>,
    /// One that is to be passed on with the next of its kind.
    late: Option<(String, Box<Asked>)>,
    /// What went through, as method and path.
    passed: Vec<String>,
    /// What of it the server refused, as status, method and path.
    refused: Vec<String>,
    /// How many of them the server refused because there were too many.
    limited: u32,
    /// Which bodies are kept, and they.
    keeps: Option<&'static str>,
    kept: Vec<Bytes>,
    /// How much is under way, and when the last of it ended; what a server holds until something happens aside.
    under_way: usize,
    last: Option<Instant>,
}

/// Something that is under way.
struct Errand(Arc<Shared>);

impl Errand {
    /// `None` for what a server holds until something happens.
    fn begin(shared: &Arc<Shared>, path: &str) -> Option<Self> {
        (!path.contains("/sync")).then(|| {
            shared.state().under_way += 1;
            Self(Arc::clone(shared))
        })
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.last = Some(Instant::now());
    }
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
    open: Notify,
    lost: Notify,
}

/// What becomes of a request.
enum Fate {
    Passes,
    Cut(Cut),
    Held(Trap),
    /// It passes together with one that was held.
    With(String, Box<Asked>),
}

impl Shared {
    // A poisoned lock belongs to a test that failed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate_of(&self, what: &str, body: &Bytes) -> Fate {
        let mut state = self.state();
        if state.keeps.is_some_and(|words| fits(what, words)) {
            state.kept.push(body.clone());
        }
        if let Some((_, cut)) = state.armed.take_if(|(part, _)| what.contains(part.as_str())) {
            return Fate::Cut(cut);
        }
        if state.trap.is_none() && state.late.is_none() {
            return Fate::Passes;
        }
        let whole = format!("{what} {}", String::from_utf8_lossy(body));
        if let Some((words, late)) = state.late.take_if(|(words, _)| fits(&whole, words)) {
            return Fate::With(words, late);
        }
        match state.trap.take() {
            Some(trap) if fits(&whole, &trap.words) && trap.skip == 0 => return Fate::Held(trap),
            Some(trap) if fits(&whole, &trap.words) => {
                state.trap = Some(Trap { skip: trap.skip - 1, ..trap });
            }
            other => state.trap = other,
        }
        Fate::Passes
    }

    fn hit(&self) {
        self.state().hits += 1;
        self.cut.notify_waiters();
    }

    /// Holds what was caught; an error when it is to be lost.
    async fn hold(&self, what: String, late: Option<(String, Box<Asked>)>) -> Result<()> {
        let (open, lost) = (self.open.notified(), self.lost.notified());
        {
            let mut state = self.state();
            (state.late, state.caught) = (late, Some(what));
        }
        self.cut.notify_waiters();
        tokio::select! {
            () = open => Ok(()),
            () = lost => Err(anyhow!("it was held, and is lost")),
        }
    }

    /// Has the server answer.
    async fn ask(&self, asked: &Asked) -> Result<Answer> {
        let mut server = Connection::open(&Place::Tcp(self.server.clone())).await?;
        let headers: Vec<(&str, &str)> = asked
            .head
            .headers
            .iter()
            .filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let answer =
            server.ask(asked.head.method.as_str(), &asked.path, &headers, asked.body.clone()).await?;
        {
            let mut state = self.state();
            state.passed.push(format!("{} {}", asked.head.method, asked.path));
            if (400..500).contains(&answer.status) {
                state.refused.push(format!("{} {} {}", answer.status, asked.head.method, asked.path));
            }
            state.limited += u32::from(answer.status == TOO_MANY);
        }
        self.more.notify_one();
        Ok(answer)
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
            open: Notify::new(),
            lost: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Loses the next request whose path contains `part`.
    pub fn arm(&self, part: &str, cut: Cut) {
        self.shared.state().armed = Some((part.to_owned(), cut));
    }

    /// Holds a request, until it is let go or its sender is gone.
    pub fn set(&self, trap: Trap) {
        let mut state = self.shared.state();
        (state.trap, state.caught) = (Some(trap), None);
    }

    /// Holds nothing any more.
    pub fn unset(&self) {
        self.shared.state().trap = None;
    }

    /// Passes on what is held.
    pub fn let_go(&self) {
        self.shared.open.notify_waiters();
    }

    /// Loses what is held, and its connection; what is late still comes.
    pub fn lose(&self) {
        self.shared.lost.notify_waiters();
    }

    /// Waits until something is held; gives it, as method and path. The error tells what passed last.
    pub async fn caught(&self, limit: Duration) -> Result<String> {
        self.until(|state| state.caught.take(), limit).await.with_context(|| {
            let passed = self.passed();
            let last = passed.get(passed.len().saturating_sub(LAST)..).unwrap_or_default().join("\n");
            format!(
                "nothing was sent that could be held; what passed last:\n{last}\nthe trap: {:?}",
                self.shared.state().trap
            )
        })
    }

    /// Keeps the bodies of what fits from here on: a method, and parts of path and query.
    pub fn keep(&self, words: &'static str) {
        self.shared.state().keeps = Some(words);
    }

    /// What was kept.
    pub fn kept(&self) -> Vec<Bytes> {
        self.shared.state().kept.clone()
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

    /// What the server refused (4xx), as status, method and path.
    pub fn refused(&self) -> Vec<String> {
        self.shared.state().refused.clone()
    }

    /// Waits until nothing was asked for so long, but for what a server holds until something happens.
    pub async fn rest(&self, quiet: Duration, limit: Duration) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(100);
        let end = Instant::now() + limit;
        loop {
            let is_quiet = {
                let state = self.shared.state();
                state.under_way == 0 && state.last.is_none_or(|last| last.elapsed() >= quiet)
            };
            if is_quiet {
                return Ok(());
            }
            ensure!(Instant::now() < end, "something is asked all the time, for {limit:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for the next request that is answered.
    pub async fn more(&self) {
        self.shared.more.notified().await;
    }

    /// Waits until what was armed has happened for the `n`th time.
    pub async fn cut(&self, n: u32, limit: Duration) -> Result<()> {
        let done = self.until(|state| (state.hits >= n).then_some(()), limit).await;
        done.context("nothing was sent that could be cut")
    }

    async fn until<T>(&self, mut what: impl FnMut(&mut State) -> Option<T>, limit: Duration) -> Result<T> {
        let waited = tokio::time::timeout(limit, async {
            loop {
                let more = self.shared.cut.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = what(&mut self.shared.state()) {
                    return found;
                }
                more.await;
            }
        });
        waited.await.map_err(|_| anyhow!("within {limit:?}"))
    }
}

/// Whether a request, as method and path, has all the words.
fn fits(what: &str, words: &str) -> bool {
    let mut words = words.split(' ');
    words.next().is_some_and(|method| what.starts_with(method)) && words.all(|part| what.contains(part))
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
async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let _errand = Errand::begin(&shared, &path);
    let what = format!("{} {path}", head.method);
    let body = body.collect().await?.to_bytes();
    let fate = shared.fate_of(&what, &body);
    let asked = Asked { head, path, body };
    let answer = match fate {
        Fate::Passes => shared.ask(&asked).await?,
        Fate::With(words, late) => {
            let (first, answer) = tokio::join!(shared.ask(&late), shared.ask(&asked));
            if first.is_err() {
                // Nobody is there yet.
                shared.state().late = Some((words, late));
            }
            answer?
        }
        Fate::Cut(Cut::Before) => {
            shared.hit();
            return Err(anyhow!("cut before the server"));
        }
        Fate::Cut(Cut::After) => {
            shared.ask(&asked).await?;
            shared.hit();
            return Err(anyhow!("cut behind the server"));
        }
        Fate::Held(Trap { at: Hold::Before, .. }) => {
            shared.hold(what, None).await?;
            shared.ask(&asked).await?
        }
        Fate::Held(trap @ Trap { at: Hold::Answered, .. }) => match shared.ask(&asked).await {
            Ok(answer) => {
                shared.hold(what, None).await?;
                answer
            }
            Err(error) => {
                shared.state().trap = Some(trap);
                return Err(error);
            }
        },
        Fate::Held(Trap { at: Hold::Late, words, .. }) => {
            shared.hold(what, Some((words, Box::new(asked)))).await?;
            return Err(anyhow!("what comes late cannot be let go"));
        }
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        if !HOP_BY_HOP.contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Full::new(answer.body))?)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_request_is_told_by_its_words() {
        let what = "GET /_matrix/client/v3/sync?timeout=0&device_id=X";
        assert!(fits(what, "GET /v3/sync? device_id=") && fits(what, "GET"));
        assert!(!fits(what, "PUT /v3/sync?") && !fits(what, "GET /v3/sync? user_id="));
    }
}
