//! A plain HTTP client over TCP or a Unix socket, one connection at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Place {
    /// `127.0.0.1:9000`.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Place {
    /// A socket in the file system.
    pub fn unix(path: &Path) -> Self {
        Self::Unix(path.to_path_buf())
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; an empty one is `null`.
    pub fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).with_context(|| format!("read as JSON: {}", self.text()))
    }

    /// Itself when the status tells success.
    pub fn good(self, what: &str) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        bail!("{what}: status {}: {}", self.status, self.text())
    }
}

/// One connection that is used again.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// Moves the bytes; ends with the connection.
    _wire: JoinSet<()>,
}

impl Connection {
    /// Connects.
    pub async fn open(place: &Place) -> Result<Self> {
        match place {
            Place::Tcp(address) => {
                let stream =
                    TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
                stream.set_nodelay(true)?;
                Self::begin(TokioIo::new(stream), address).await
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .with_context(|| format!("connect to {}", path.display()))?;
                Self::begin(TokioIo::new(stream), "localhost").await
            }
        }
    }

    async fn begin<S>(io: TokioIo<S>, host: &str) -> Result<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(io).await.context("begin to speak HTTP")?;
        let mut wire = JoinSet::new();
        wire.spawn(async move {
            // An error shows at the sender as well.
            let _ = connection.await;
        });
        Ok(Self { sender, host: host.to_owned(), _wire: wire })
    }

    /// Asks and reads the whole answer.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        self.sender.ready().await.context("wait for the connection")?;
        let answer = self.sender.send_request(request).await.with_context(|| format!("{method} {path}"))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.with_context(|| format!("read the answer to {method} {path}"))?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
    }
}

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    waiting: Vec<u8>,
    _connection: Connection,
}

impl Lines {
    /// Asks; the answer's head must tell success.
    pub async fn follow(place: &Place, method: &str, path: &str) -> Result<Self> {
        Self::follow_with(place, method, path, &[]).await
    }

    /// The same with headers.
    pub async fn follow_with(
        place: &Place,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self> {
        let mut connection = Connection::open(place).await?;
        let mut request = Request::builder().method(method).uri(path).header("host", &connection.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = connection.sender.send_request(request.body(Full::default())?).await?;
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            let text = (&mut body).collect().await?.to_bytes();
            bail!("{method} {path}: status {}: {}", head.status, String::from_utf8_lossy(&text));
        }
        Ok(Self { body, waiting: Vec::new(), _connection: connection })
    }

    /// The next line, read as JSON; `None` at the end.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Value>> {
        let line = self.next_text(limit).await?;
        line.map(|line| Ok(serde_json::from_str(&line)?)).transpose()
    }

    /// The next line, without its end; `None` at the end of all.
    pub async fn next_text(&mut self, limit: Duration) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                return Ok(Some(String::from_utf8(line)?.trim_end().to_owned()));
            }
            let frame = tokio::time::timeout(limit, self.body.frame()).await;
            match frame.map_err(|_| anyhow!("nothing more came within {limit:?}"))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.waiting.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// One request on a connection of its own.
pub async fn ask(
    place: &Place,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
    limit: Duration,
) -> Result<Answer> {
    let body = body.into();
    let asked = async {
        let mut connection = Connection::open(place).await?;
        connection.ask(method, path, headers, body).await
    };
    let done = tokio::time::timeout(limit, asked).await;
    done.map_err(|_| anyhow!("{method} {path} was not answered within {limit:?}"))?
}

/// One request with a JSON body (none for `Value::Null`), whose answer must tell success and is JSON.
pub async fn json(place: &Place, method: &str, path: &str, body: &Value, limit: Duration) -> Result<Value> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    ask(place, method, path, &headers, text, limit).await?.good(&format!("{method} {path}"))?.json()
}

/// Percent-encodes everything but letters, digits, `-`, `_`, `.` and `~`.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
