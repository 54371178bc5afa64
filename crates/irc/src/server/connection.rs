//! One socket: reads lines, writes what the queue holds, sees silence.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::flood::Bucket;
use super::proxy;
use super::queue::{SendQueue, Taken};
use super::registration::{self, Registered};
use super::registry::{ClientId, Incoming};
use super::shared::Shared;
use super::websocket;
use crate::wire::framing::{LineBuffer, is_too_long};

/// Bytes read at once; with what is unfinished this bounds the receive buffer.
const READ_BYTES: usize = 4096;
/// How long the last lines may take to leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// What lies between the socket and the lines.
pub(super) enum Way {
    Plain,
    Tls(TlsAcceptor),
    WebSocket,
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr, way: Way) {
    let limits = &shared.config.limits;
    let patience = limits.registration_timeout;
    let is_web = matches!(way, Way::WebSocket);
    let (mut stream, mut address, mut head) = (stream, address, None);
    if shared.config.proxy_from.iter().any(|net| net.contains(&address.ip().to_canonical())) {
        match timeout(patience, proxy::introduced(&shared.config, &mut stream, address, is_web)).await {
            Ok(Ok((client, request))) => (address, head) = (client, request),
            Ok(Err(error)) => {
                // The operator's own proxy: they want to hear of it.
                tracing::warn!(%error, proxy = %address, "a connection from irc.server.proxy_from is closed");
                return;
            }
            Err(_) => return,
        }
    }
    // IPv4 at a listener of IPv6 is what it is elsewhere too.
    address.set_ip(address.ip().to_canonical());
    let max_waiting = if address.ip().is_loopback() {
        limits.unregistered_on_loopback
    } else {
        limits.unregistered_per_address
    };
    if !shared.registry.arrive(address.ip(), max_waiting) {
        let why: &[u8] = match way {
            Way::WebSocket => b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\r\n",
            Way::Plain | Way::Tls(_) => b"ERROR :Too many connections from your address\r\n",
        };
        let _ = timeout(FAREWELL, stream.write_all(why)).await;
        return;
    }
    let mut place =
        Place { shared: &shared, address, is_web, fingerprint: None, stage: Stage::Waiting, is_guest: false };
    match way {
        Way::Plain => Box::pin(converse(&shared, stream, place, false)).await,
        Way::Tls(acceptor) => match timeout(patience, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                place.fingerprint = wxgate_tls::fingerprint(&stream);
                Box::pin(converse(&shared, stream, place, true)).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake of an IRC client failed"),
            Err(_) => tracing::debug!("a TLS handshake of an IRC client took too long"),
        },
        Way::WebSocket => {
            let origins = &shared.config.websocket_origins;
            match timeout(patience, websocket::accept(stream, head, origins)).await {
                Ok(Ok(socket)) => {
                    let (inner, outer) = tokio::io::duplex(READ_BYTES);
                    let talk = Box::pin(converse(&shared, inner, place, false));
                    tokio::join!(talk, Box::pin(websocket::carry(socket, outer, FAREWELL)));
                }
                Ok(Err(error)) => tracing::debug!(%error, "a WebSocket handshake of an IRC client failed"),
                Err(_) => tracing::debug!("a WebSocket handshake of an IRC client took too long"),
            }
        }
    }
}

/// A connection's place in the counts; given back when dropped.
pub(super) struct Place<'a> {
    shared: &'a Shared,
    pub(super) address: SocketAddr,
    /// It came over WebSocket, perhaps from a page that the person at the browser knows nothing of.
    pub(super) is_web: bool,
    /// Of the client's certificate, where it showed one.
    pub(super) fingerprint: Option<String>,
    stage: Stage,
    /// Among the guests of its address.
    is_guest: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Among the unregistered connections of its address.
    Waiting,
    /// Among the clients.
    Inside,
}

impl Place<'_> {
    /// What this client is told about TLS: nothing on this machine, where no certificate fits, and
    /// nothing in a browser, which has its own rules.
    pub(super) fn sts(&self, is_secure: bool) -> Option<String> {
        let concerns = !self.is_web && !self.address.ip().is_loopback();
        concerns.then(|| self.shared.sts.value(is_secure)).flatten()
    }

    /// Counts the connection among the guests of its address; false when there are too many.
    pub(super) fn be_guest(&mut self) -> bool {
        let (limits, address) = (&self.shared.config.limits, self.address.ip());
        let max = if address.is_loopback() { limits.guests_on_loopback } else { limits.guests_per_address };
        self.is_guest = self.is_guest || self.shared.registry.guest_came(address, max);
        self.is_guest
    }

    /// The connection has registered.
    pub(super) fn enter(&mut self) {
        if std::mem::replace(&mut self.stage, Stage::Inside) == Stage::Waiting {
            self.shared.registry.registered(self.address.ip());
            self.shared.registry.count_client(true);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_guest {
            self.shared.registry.guest_left(self.address.ip());
        }
        match self.stage {
            Stage::Waiting => self.shared.registry.registered(self.address.ip()),
            Stage::Inside => self.shared.registry.count_client(false),
        }
    }
}

/// The session that a connection was sent to, where it is told that the connection is gone.
#[derive(Default)]
pub(super) struct Inside(Mutex<Option<mpsc::Sender<Incoming>>>);

impl Inside {
    /// It is this one from now on.
    pub(super) fn set(&self, session: &mpsc::Sender<Incoming>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
    }

    fn take(&self) -> Option<mpsc::Sender<Incoming>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn converse<S>(shared: &Arc<Shared>, stream: S, mut place: Place<'_>, is_secure: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (read, mut write) = tokio::io::split(stream);
    let queue = Arc::new(SendQueue::new(shared.config.limits.sendq_bytes));
    let id = ClientId(shared.next_number());
    let mut reader = Reader {
        shared,
        stream: read,
        lines: LineBuffer::default(),
        queue: Arc::clone(&queue),
        bucket: Bucket::new(shared.config.limits.flood),
        pongs: Bucket::new(shared.config.limits.flood),
        asked: false,
        turn: Arc::new(Semaphore::new(1)),
    };
    // Where to say that the connection is gone, however it ends.
    let inside = Inside::default();
    let reading = async {
        let registering = registration::register(shared, &mut reader, id, &mut place, (is_secure, &inside));
        let registered = tokio::select! {
            registered = timeout(shared.config.limits.registration_timeout, registering) => registered,
            () = shared.stop.stopping() => {
                reader.queue.close(b"ERROR :The gateway is stopping\r\n");
                return;
            }
        };
        match registered {
            Ok(Some(Registered { session })) => {
                reader.forward(id, &session).await;
            }
            Ok(None) => {}
            Err(_) => reader.queue.close(b"ERROR :Closing link: registration timed out\r\n"),
        }
    };
    {
        let writing = write_queue(&queue, &mut write);
        tokio::pin!(reading, writing);
        // The writer ends when the queue was closed and written, or the socket is gone.
        tokio::select! {
            () = &mut writing => {}
            () = &mut reading => {
                queue.close(b"");
                let _ = timeout(FAREWELL, writing).await;
            }
        }
    }
    if let Some(session) = inside.take() {
        // A session that is gone needs no farewell.
        let _ = session.send(Incoming::Gone(id)).await;
    }
    // Whoever sees the connection end finds it in no count any more.
    drop(place);
    let _ = timeout(FAREWELL, write.shutdown()).await;
}

async fn write_queue(queue: &SendQueue, write: &mut (impl AsyncWrite + Unpin)) {
    let mut buffer = Vec::new();
    while queue.take(&mut buffer).await == Taken::Bytes {
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let Ok(length @ 1..) = write.write(rest).await else { return queue.close(b"") };
            queue.wrote(length);
            rest = rest.get(length..).unwrap_or_default();
        }
        if write.flush().await.is_err() {
            return queue.close(b"");
        }
    }
}

/// The reading half of a connection.
pub(super) struct Reader<'a, S> {
    shared: &'a Arc<Shared>,
    stream: tokio::io::ReadHalf<S>,
    lines: LineBuffer,
    pub(super) queue: Arc<SendQueue>,
    bucket: Bucket,
    /// For PONG: what a client answers by itself costs nothing of what its user types.
    pongs: Bucket,
    /// A PING of ours is open.
    asked: bool,
    /// Free while no line of this client waits for its answer.
    turn: Arc<Semaphore>,
}

/// What a read gave.
pub(super) enum Read {
    Line(String),
    /// Not UTF-8; what can be read of it.
    BadText(String),
    TooLong,
    /// The connection is over; why.
    End(&'static str),
}

/// The answer to a question of ours.
fn is_pong(line: &str) -> bool {
    line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("PONG"))
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Reader<'_, S> {
    /// The next line. Cancel safe: bytes that were read are kept.
    pub(super) async fn next(&mut self) -> Read {
        let mut chunk = [0; READ_BYTES];
        loop {
            match self.lines.next_line() {
                Ok(Some([])) => continue,
                Ok(Some(line)) if is_too_long(line) => return Read::TooLong,
                Ok(Some(line)) => {
                    return match std::str::from_utf8(line) {
                        Ok(text) => Read::Line(text.to_owned()),
                        Err(_) => Read::BadText(String::from_utf8_lossy(line).into_owned()),
                    };
                }
                Ok(None) => {}
                Err(_) => {
                    self.queue.close(b"ERROR :Closing link: the line does not end\r\n");
                    return Read::End("the line does not end");
                }
            }
            match self.stream.read(&mut chunk).await {
                Ok(0) => return Read::End("connection closed"),
                Ok(length) => self.lines.push(chunk.get(..length).unwrap_or_default()),
                Err(_) => return Read::End("connection lost"),
            }
        }
    }

    /// What was read, once it may pass; why the connection is over otherwise. Lines that are refused wait for their
    /// turn as others do.
    async fn admit(
        &mut self,
        id: ClientId,
        session: &mpsc::Sender<Incoming>,
        read: Read,
    ) -> Result<Incoming, &'static str> {
        Ok(match read {
            Read::End(why) => return Err(why),
            Read::Line(line) if is_pong(&line) => {
                self.pongs.take().await;
                Incoming::Line(id, line, None)
            }
            Read::Line(line) => Incoming::Line(id, line, Some(self.turn(id, session).await?)),
            Read::BadText(line) => {
                drop(self.turn(id, session).await?);
                Incoming::BadText(id, line)
            }
            Read::TooLong => {
                drop(self.turn(id, session).await?);
                Incoming::TooLong(id)
            }
        })
    }

    /// Waits until another line may pass and the line before was answered and its answer is read, or nearly: what a
    /// client asks for is given no faster than it reads. One that does not read at all is ended.
    async fn turn(
        &mut self,
        id: ClientId,
        session: &mpsc::Sender<Incoming>,
    ) -> Result<OwnedSemaphorePermit, &'static str> {
        self.bucket.take().await;
        let free = async {
            let mut waiting = std::pin::pin!(Arc::clone(&self.turn).acquire_owned());
            loop {
                tokio::select! {
                    turn = &mut waiting => break turn.ok(),
                    // A long answer goes on when there is room for it.
                    () = self.queue.drained() => session.send(Incoming::Drained(id)).await.ok()?,
                }
            }
        };
        let turn = async {
            let turn = self.while_it_reads(free).await??;
            self.while_it_reads(self.queue.room()).await?;
            Some(turn)
        };
        turn.await.ok_or_else(|| {
            self.queue.close(b"ERROR :SendQ exceeded\r\n");
            "it asks and does not read"
        })
    }

    /// Waits for something that comes of a client's reading; `None` when it has stopped to.
    async fn while_it_reads<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        let mut waiting = std::pin::pin!(waiting);
        loop {
            let written = self.queue.written_bytes();
            match timeout(self.shared.config.limits.ping_timeout, &mut waiting).await {
                Ok(done) => return Some(done),
                // A queue with nothing in it waits for us and not for the client.
                Err(_) if self.queue.written_bytes() > written || self.queue.len_bytes() == 0 => {}
                Err(_) => return None,
            }
        }
    }

    /// Gives lines to the session until the connection ends.
    async fn forward(&mut self, id: ClientId, session: &mpsc::Sender<Incoming>) {
        let limits = &self.shared.config.limits;
        let queue = Arc::clone(&self.queue);
        let mut deadline = Instant::now() + limits.ping_after;
        let reason = loop {
            let read = tokio::select! {
                read = timeout_at(deadline, self.next()) => read,
                () = queue.drained() => {
                    if session.send(Incoming::Drained(id)).await.is_err() {
                        break "the session ended";
                    }
                    continue;
                }
                // Also of a client that says nothing: it would wait for ever.
                () = session.closed() => {
                    self.queue.close(b"ERROR :Closing link: the session ended\r\n");
                    break "the session ended";
                }
            };
            let incoming = match read {
                Err(_) if self.asked => {
                    self.queue.close(b"ERROR :Closing link: ping timeout\r\n");
                    break "ping timeout";
                }
                Err(_) => {
                    self.asked = true;
                    deadline = Instant::now() + limits.ping_timeout;
                    let ping = format!("PING :{}\r\n", self.shared.config.server_name);
                    self.queue.push(ping.as_bytes());
                    self.queue.wake();
                    continue;
                }
                Ok(read) => match self.admit(id, session, read).await {
                    Ok(incoming) => incoming,
                    Err(why) => break why,
                },
            };
            self.asked = false;
            deadline = Instant::now() + limits.ping_after;
            if session.send(incoming).await.is_err() {
                self.queue.close(b"ERROR :Closing link: the session ended\r\n");
                break "the session ended";
            }
        };
        tracing::debug!(reason, "an IRC client is gone");
    }
}
