//! The listener: connections, faults on the wire, and the way from a request to its answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::endpoint::{self, Call, Syncing};
use crate::fault::Fault;
use crate::http::{Answer, Request, cookies, form};
use crate::world::World;

/// The largest request body: one piece of an upload with its form around it, and room to spare.
const BODY_BYTES: usize = 2 << 20;

/// A running listener.
#[derive(Debug)]
pub struct ServerHandle {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl ServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as the base of URLs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the listener and all its connections.
    pub async fn stop(self) {
        // An error means that it stopped by itself, which is as good.
        let _ = self.stop.send(());
        let _ = self.done.await;
    }
}

/// Which service a listener offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Web WeChat, and the control API under `/_sim/`.
    Both,
    Control,
}

/// Serves Web WeChat on `listener`, with the control API under `/_sim/`.
///
/// # Errors
/// When the listener has no address.
#[allow(clippy::unused_async, reason = "callers await it; a TLS listener will have something to wait for")]
pub async fn serve(world: World, listener: TcpListener) -> std::io::Result<ServerHandle> {
    start(world, listener, Face::Both, Plain)
}

/// Serves the control API alone.
///
/// # Errors
/// When the listener has no address.
#[allow(clippy::unused_async, reason = "the same shape as `serve`")]
pub async fn serve_control(world: World, listener: TcpListener) -> std::io::Result<ServerHandle> {
    start(world, listener, Face::Control, Plain)
}

/// How a connection begins.
pub(crate) trait Greet: Clone + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn greet(
        &self,
        stream: tokio::net::TcpStream,
    ) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

#[derive(Debug, Clone)]
struct Plain;

impl Greet for Plain {
    type Stream = tokio::net::TcpStream;

    async fn greet(&self, stream: tokio::net::TcpStream) -> std::io::Result<Self::Stream> {
        Ok(stream)
    }
}

pub(crate) fn start<G: Greet>(
    world: World,
    listener: TcpListener,
    face: Face,
    greet: G,
) -> std::io::Result<ServerHandle> {
    let addr = listener.local_addr()?;
    let (stop, mut stopped) = oneshot::channel();
    #[allow(
        clippy::disallowed_methods,
        reason = "the outside world has no supervisor; this handle owns the task"
    )]
    let done = tokio::spawn(async move {
        // Dropping the set ends every connection.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // A failure costs latency, nothing else.
                        let _ = stream.set_nodelay(true);
                        connections.spawn(connection(world.clone(), stream, face, greet.clone()));
                    }
                    // Out of file descriptors: wait for some to come back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
    });
    Ok(ServerHandle { addr, stop, done })
}

/// What the service leaves for the connection when it abandons HTTP.
type Wreck = Arc<Mutex<Option<Bytes>>>;

/// Counts itself while it lives.
struct Open(World);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection<G: Greet>(world: World, stream: tokio::net::TcpStream, face: Face, greet: G) {
    world.0.counters.connections.fetch_add(1, Ordering::Relaxed);
    let _open = Open(world.clone());
    let Ok(stream) = greet.greet(stream).await else {
        return;
    };
    let wreck = Wreck::default();
    let service = {
        let (world, wreck) = (world.clone(), wreck.clone());
        hyper::service::service_fn(move |request| {
            Box::pin(respond(world.clone(), request, face, wreck.clone()))
        })
    };
    let mut connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(true)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // A broken connection is the client's affair.
    let _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let bytes = wreck.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut stream = connection.into_parts().io.into_inner();
    if let Some(bytes) = bytes {
        let _ = stream.write_all(&bytes).await;
    }
    let _ = stream.shutdown().await;
}

/// Hyper closes the connection without an answer when the service fails with this.
#[derive(Debug)]
struct Abandoned;

impl std::fmt::Display for Abandoned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("abandoned on request of a fault")
    }
}

impl std::error::Error for Abandoned {}

type Response = hyper::Response<Full<Bytes>>;

async fn respond(
    world: World,
    request: hyper::Request<Incoming>,
    face: Face,
    wreck: Wreck,
) -> Result<Response, Abandoned> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if face == Face::Control || path.starts_with("/_sim/") {
        let body = Limited::new(body, 64 << 20).collect().await;
        let answer = match body {
            Ok(body) => crate::control::answer(&world, &head, &body.to_bytes()).await,
            Err(_) => Answer::status(413),
        };
        return Ok(write(answer));
    }
    world.0.counters.requests.fetch_add(1, Ordering::Relaxed);
    let mut request = Request {
        method: head.method.as_str().to_owned(),
        path,
        query: form(head.uri.query().unwrap_or("")),
        host: host(&head),
        cookies: head
            .headers
            .get_all(hyper::header::COOKIE)
            .iter()
            .flat_map(|value| cookies(&String::from_utf8_lossy(value.as_bytes())))
            .collect(),
        headers: head.headers,
        body: Bytes::new(),
        body_fault: None,
    };
    let account = endpoint::owner(&world, &request);
    let fault = world.strike(request.endpoint(), account.as_ref().map(|account| account.name.as_str()));
    let _syncing = Syncing::begin(&world, account.as_ref(), &request);
    let fault = match before(fault).await {
        Ok(fault) => fault,
        Err(early) => return early.map(write).map_err(|bytes| abandon(&wreck, bytes)),
    };
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => request.body = body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            request.body_fault = Some("body larger than the service reads");
        }
        // Its client went away halfway: a request that was never made, and nobody to answer.
        Err(_) => return Err(abandon(&wreck, Bytes::new())),
    }
    let forced = match &fault {
        Some(Fault::Ret(code)) => Some(*code),
        _ => None,
    };
    let call = Call { world: &world, request: &request, forced, account };
    let answer = if call.forced.is_none() && request.endpoint() == "synccheck" {
        let begun = endpoint::check(&call);
        drop(call);
        drop(request);
        match begun {
            Ok(held) => held.answer().await,
            Err(answer) => *answer,
        }
    } else {
        Box::pin(endpoint::answer(call)).await
    };
    after(fault, answer).map(write).map_err(|bytes| abandon(&wreck, bytes))
}

fn abandon(wreck: &Wreck, bytes: Bytes) -> Abandoned {
    *wreck.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    Abandoned
}

fn host(head: &hyper::http::request::Parts) -> String {
    let named = head.headers.get(hyper::header::HOST).and_then(|value| value.to_str().ok());
    head.uri.authority().map(hyper::http::uri::Authority::as_str).or(named).unwrap_or("").to_ascii_lowercase()
}

/// Faults that keep the request from having an effect: an answer, or bytes in place of one.
type Early = Box<Result<Answer, Bytes>>;

async fn before(fault: Option<Fault>) -> Result<Option<Fault>, Early> {
    match fault {
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(None)
        }
        Some(Fault::Hang) => {
            // Dropped when the client closes the connection.
            std::future::pending::<Infallible>().await;
            Ok(None)
        }
        Some(Fault::Status(status)) => Err(Box::new(Ok(Answer::status(status)))),
        Some(Fault::Body(body)) => Err(Box::new(Ok(Answer::new(200, "text/html", body)))),
        Some(Fault::CloseBeforeBody) => Err(Box::new(Err(Bytes::from_static(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 512\r\n\r\n",
        )))),
        Some(Fault::Raw(bytes)) => Err(Box::new(Err(bytes))),
        other => Ok(other),
    }
}

/// Faults that spoil the answer of a request that had its effect.
fn after(fault: Option<Fault>, mut answer: Answer) -> Result<Answer, Bytes> {
    match fault {
        Some(Fault::EmptyBody) => answer.body = Bytes::new(),
        Some(Fault::Oversized(bytes)) => answer.body = Bytes::from(vec![b' '; bytes]),
        Some(Fault::DropAfterBody) => return Err(Bytes::new()),
        Some(Fault::Truncate(bytes)) => {
            let mut cut = format!(
                "HTTP/1.1 {} OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                answer.status,
                answer.content_type,
                answer.body.len().max(bytes + 1)
            )
            .into_bytes();
            cut.extend(answer.body.iter().take(bytes));
            return Err(Bytes::from(cut));
        }
        _ => {}
    }
    Ok(answer)
}

fn write(answer: Answer) -> Response {
    let mut response = hyper::Response::new(Full::new(answer.body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(answer.content_type));
    let mut add = |name, text: &str| {
        if let Ok(value) = hyper::header::HeaderValue::from_str(text) {
            headers.append(name, value);
        }
    };
    for cookie in &answer.set_cookies {
        add(hyper::header::SET_COOKIE, cookie);
    }
    if let Some(location) = &answer.location {
        add(hyper::header::LOCATION, location);
    }
    if let Some(range) = &answer.content_range {
        add(hyper::header::CONTENT_RANGE, range);
    }
    response
}
