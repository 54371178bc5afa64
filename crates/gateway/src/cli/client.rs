//! Talks to the running gateway over its control socket.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Globals, print};
use crate::failure::Failure;
use crate::web::READY;

/// Largest answer: ten thousand accounts are about three million bytes.
const ANSWER_BYTES: usize = 64 << 20;
/// Longest line of a followed answer.
const LINE_BYTES: usize = 64 << 10;
/// How long an answer may take, unless what is asked for takes as long as there is much of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is told that something long goes on.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// The running gateway.
pub(super) struct Client {
    socket: PathBuf,
    how_to_start: String,
    /// Programs read what is printed.
    is_json: bool,
}

/// What is told of readiness.
#[derive(Deserialize)]
struct Readiness {
    reasons: Vec<String>,
}

/// Whether to go on following.
pub(super) enum Follow {
    On,
    Done(Result<(), Failure>),
}

impl Client {
    /// The gateway of the configuration that the command line names.
    pub(super) fn new(globals: &Globals) -> Result<Self, Failure> {
        let loaded = globals.load()?;
        let option = loaded.file.as_ref().map(|file| format!(" -c {}", file.display())).unwrap_or_default();
        let socket = loaded.settings.socket();
        Ok(Self { socket, how_to_start: format!("wxgate run{option}"), is_json: globals.json })
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let socket = self.socket.display();
        UnixStream::connect(&self.socket).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Failure::asked(format!(
                "no gateway is running here (nobody answers at {socket}); start it with: {}",
                self.how_to_start
            )),
            std::io::ErrorKind::PermissionDenied => not_ours(&self.socket),
            _ => Failure::asked(format!("cannot reach the gateway at {socket}: {e}")),
        })
    }

    /// One question, one answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        let late = |_| Failure::asked(format!("the gateway did not answer within {} s", PATIENCE.as_secs()));
        understood(tokio::time::timeout(PATIENCE, self.ask(method, path, body)).await.map_err(late)??)
    }

    /// The same, of something that may take long and that the gateway brings to its end whoever waits for it: it has no
    /// limit, and people are told on standard error while it goes on. The connection's end tells of a gateway that is gone.
    pub(super) async fn see_through<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
    ) -> Result<T, Failure> {
        let answer = self.ask(method, path, None);
        tokio::pin!(answer);
        let mut waited = Duration::ZERO;
        loop {
            match tokio::time::timeout(TELL_EVERY, &mut answer).await {
                Ok(answer) => return understood(answer?),
                Err(_) => waited += TELL_EVERY,
            }
            if self.is_json {
                continue;
            }
            let waited = waited.as_secs();
            print::err(&format!(
                "{what}: {waited} s; the gateway goes on with it also when this command is ended"
            ));
        }
    }

    /// Why the gateway is not ready; nothing when it is.
    pub(super) async fn readiness(&self) -> Result<Vec<String>, Failure> {
        let (status, bytes) = self.ask(Method::GET, READY, None).await?;
        match serde_json::from_slice::<Readiness>(&bytes) {
            Ok(told) => Ok(told.reasons),
            Err(_) => Err(refusal(status, &bytes)),
        }
    }

    /// One question, and what was answered.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let (mut sender, connection) = handshake(self.connect().await?).await?;
        let asked = async move {
            let response = sender.send_request(request(method, path, body)?).await.map_err(broken)?;
            whole(response).await
        };
        let (_, answer) = tokio::join!(connection, asked);
        answer
    }

    /// One question, an answer of many lines of JSON.
    pub(super) async fn follow(
        &self,
        method: Method,
        path: &str,
        mut each: impl FnMut(Value) -> Follow,
    ) -> Result<(), Failure> {
        let stream = self.connect().await?;
        let (mut sender, connection) = handshake(stream).await?;
        let followed = async {
            let mut response = sender.send_request(request(method, path, None)?).await.map_err(broken)?;
            if !response.status().is_success() {
                let (status, bytes) = whole(response).await?;
                return Err(refusal(status, &bytes));
            }
            let mut waiting = BytesMut::new();
            while let Some(frame) = response.frame().await {
                let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
                waiting.extend_from_slice(&data);
                while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                    let line = waiting.split_to(end + 1);
                    let value = serde_json::from_slice(&line)
                        .map_err(|e| Failure::bug(format!("the gateway's answer is not understood: {e}")))?;
                    if let Follow::Done(result) = each(value) {
                        return result;
                    }
                }
                if waiting.len() > LINE_BYTES {
                    return Err(Failure::bug("the gateway's answer has no end"));
                }
            }
            Err(Failure::asked("the gateway stopped before this was over; ask again when it is back"))
        };
        tokio::select! {
            biased;
            result = followed => result,
            _ = connection => Err(Failure::asked("the gateway closed the connection")),
        }
    }
}

/// An answer that comes in pieces.
pub(super) struct Download {
    /// Bytes of all of it, when the gateway told.
    pub(super) size_bytes: Option<u64>,
    body: Incoming,
    _sender: Sender,
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
}

impl Download {
    /// The next piece; `None` at the end. An answer that is cut short is an error.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                _ = &mut self.connection => return Err(Failure::asked("the gateway closed the connection")),
            };
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(piece) = frame.map_err(broken)?.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

impl Client {
    /// One question, an answer of any length.
    pub(super) async fn download(&self, method: Method, path: &str) -> Result<Download, Failure> {
        let stream = self.connect().await?;
        let (mut sender, connection) = handshake(stream).await?;
        let mut connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>> = Box::pin(connection);
        let asked = sender.send_request(request(method, path, None)?);
        let response = tokio::select! {
            biased;
            response = asked => response.map_err(broken)?,
            _ = &mut connection => return Err(Failure::asked("the gateway closed the connection")),
        };
        if !response.status().is_success() {
            let refused = async {
                let (status, bytes) = whole(response).await?;
                Err(refusal(status, &bytes))
            };
            return tokio::select! {
                biased;
                refused = refused => refused,
                _ = connection => Err(Failure::asked("the gateway closed the connection")),
            };
        }
        let size_bytes = hyper::body::Body::size_hint(response.body()).exact();
        Ok(Download { size_bytes, body: response.into_body(), _sender: sender, connection })
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

async fn handshake(stream: UnixStream) -> Result<(Sender, impl Future<Output = hyper::Result<()>>), Failure> {
    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)
}

fn request(method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, Failure> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "wxgate")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| Failure::bug(format!("cannot ask the gateway: {e}")))
}

async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    let body = body.map_err(|e| Failure::asked(format!("the gateway's answer broke off: {e}")))?;
    Ok((status, body.to_bytes()))
}

fn understood<T: DeserializeOwned>((status, bytes): (StatusCode, Bytes)) -> Result<T, Failure> {
    if !status.is_success() {
        return Err(refusal(status, &bytes));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| Failure::bug(format!("the gateway's answer is not understood: {e}")))
}

fn refusal(status: StatusCode, bytes: &[u8]) -> Failure {
    let told = serde_json::from_slice::<Value>(bytes).ok();
    let message = match told.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => format!("the gateway refused with status {}", status.as_u16()),
    };
    match status {
        // As without a gateway in between: the store is away, or a program that it needs.
        StatusCode::SERVICE_UNAVAILABLE => Failure::environment(message),
        _ => Failure::asked(message),
    }
}

fn broken(error: hyper::Error) -> Failure {
    Failure::asked(format!("the connection to the gateway broke: {error}"))
}

/// One part of a path.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A dot too: "." and ".." would be taken for directories by the far side.
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Nobody but the gateway's user and root may ask it.
fn not_ours(socket: &Path) -> Failure {
    let socket = socket.display();
    Failure::asked(format!(
        "the control socket {socket} belongs to another user; run this as the user of the gateway"
    ))
}

/// Whether somebody answers at the socket; an error where this user may not know.
pub(super) async fn answers(socket: &Path) -> Result<bool, Failure> {
    match tokio::time::timeout(Duration::from_secs(2), UnixStream::connect(socket)).await {
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(not_ours(socket)),
        connected => Ok(matches!(connected, Ok(Ok(_)))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_waited_for_and_what_does_not_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut slow = JoinSet::new();
        slow.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                tokio::time::sleep(PATIENCE * 60).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
        });
        let client = Client { socket, how_to_start: String::new(), is_json: false };
        let removed: Result<Value, _> = client.see_through("Removing", Method::DELETE, "/a").await;
        assert_eq!(removed, Ok(serde_json::json!({})));
        let late: Result<Value, _> = client.call(Method::GET, "/a", None).await;
        assert_eq!(late, Err(Failure::asked("the gateway did not answer within 60 s")));
    }
}
