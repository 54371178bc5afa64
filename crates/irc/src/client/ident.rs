//! Tells IRC servers which of our connections belongs to whom, so that their operators can tell our people
//! apart.
//!
//! Source: RFC 1413.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wxgate_contract::Stop;

/// Questions at once; more wait. Chosen: servers ask once for each connection.
const AT_ONCE: usize = 16;
/// Longest question. Source: RFC 1413, section 3: two ports; and room for odd spaces.
const QUESTION_BYTES: u64 = 64;
/// How long a question may take. Chosen: a server that asks waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Our end and theirs.
type Ends = (SocketAddr, SocketAddr);

/// Who is behind which connection, shared by all networks.
///
/// A lock and not a channel: a connection is known before its first byte leaves, or the server might ask
/// too early. It is held for one look into a table.
#[derive(Clone, Debug, Default)]
pub struct Ident(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    users: HashMap<Ends, String>,
    /// Servers that are being connected to: they may ask before we know our own end.
    called: Vec<IpAddr>,
}

/// Keeps a server in the table while it is being connected to.
#[derive(Debug)]
pub(super) struct Called {
    ident: Ident,
    server: IpAddr,
}

impl Drop for Called {
    fn drop(&mut self) {
        let mut table = self.ident.lock();
        if let Some(at) = table.called.iter().position(|server| *server == self.server) {
            table.called.swap_remove(at);
        }
    }
}

/// Keeps a connection in the table.
#[derive(Debug)]
pub(super) struct Known {
    ident: Ident,
    ends: Ends,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.ident.lock().users.remove(&self.ends);
    }
}

impl Ident {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server is going to be connected to.
    pub(super) fn call(&self, server: SocketAddr) -> Called {
        let server = canonical(server).ip();
        self.lock().called.push(server);
        Called { ident: self.clone(), server }
    }

    /// True for servers that we have to do with.
    fn knows(&self, server: SocketAddr) -> bool {
        let (server, table) = (canonical(server).ip(), self.lock());
        table.called.contains(&server) || table.users.keys().any(|(_, theirs)| theirs.ip() == server)
    }

    /// A connection is somebody's until the answer is dropped.
    pub(super) fn tell(&self, stream: &TcpStream, user: &str) -> Option<Known> {
        let ends = (canonical(stream.local_addr().ok()?), canonical(stream.peer_addr().ok()?));
        self.lock().users.insert(ends, user.to_owned());
        Some(Known { ident: self.clone(), ends })
    }

    /// Answers servers until the gateway stops.
    pub async fn serve(self, listener: TcpListener, stop: Stop) {
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.stopping() => return,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                accepted = listener.accept(), if tasks.len() < AT_ONCE => accepted,
            };
            match accepted {
                // Nobody else has anything to ask, or may keep servers waiting.
                Ok((_, peer)) if !self.knows(peer) => {}
                Ok((stream, _)) => {
                    let ident = self.clone();
                    tasks.spawn(async move {
                        // Who does not get an answer takes us for a machine without ident.
                        let _ = tokio::time::timeout(PATIENCE, ident.answer(stream)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a question to the ident server could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let (ours, theirs) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
        let (read, mut write) = stream.into_split();
        let mut question = String::new();
        BufReader::new(read.take(QUESTION_BYTES)).read_line(&mut question).await?;
        write.write_all(self.reply(&question, ours, theirs).as_bytes()).await
    }

    /// The answer to a server, which only hears of connections with itself.
    fn reply(&self, question: &str, ours: SocketAddr, theirs: SocketAddr) -> String {
        let ports = question.trim().split_once(',').and_then(|(ours, theirs)| {
            let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
            Some((port(ours)?, port(theirs)?))
        });
        let Some((our_port, their_port)) = ports else { return "0, 0 : ERROR : INVALID-PORT\r\n".to_owned() };
        let ends = (SocketAddr::new(ours.ip(), our_port), SocketAddr::new(theirs.ip(), their_port));
        match self.lock().users.get(&ends) {
            Some(user) => format!("{our_port}, {their_port} : USERID : UNIX : {user}\r\n"),
            None => format!("{our_port}, {their_port} : ERROR : NO-USER\r\n"),
        }
    }
}

/// An IPv4 address is itself, by whichever listener it came.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_hears_of_its_own_connections_and_of_no_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let ident = Ident::default();
        let known = ident.tell(&stream, "u0000002a").unwrap();
        let (ours, theirs) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let ports = format!("{}, {}", ours.port(), theirs.port());
        let asked_by = |ip: [u8; 4], question: &str| {
            ident.reply(question, "127.0.0.1:113".parse().unwrap(), SocketAddr::new(ip.into(), 5000))
        };
        assert_eq!(asked_by([127, 0, 0, 1], &ports), format!("{ports} : USERID : UNIX : u0000002a\r\n"));
        assert_eq!(asked_by([127, 0, 0, 2], &ports), format!("{ports} : ERROR : NO-USER\r\n"));
        for odd in ["", "x", "0, 1", "1", "70000, 1", ","] {
            assert_eq!(asked_by([127, 0, 0, 1], odd), "0, 0 : ERROR : INVALID-PORT\r\n", "{odd}");
        }
        drop(known);
        assert_eq!(asked_by([127, 0, 0, 1], &ports), format!("{ports} : ERROR : NO-USER\r\n"));
    }

    async fn from(ip: &str, to: SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn strangers_who_say_nothing_keep_no_server_waiting() {
        let irc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ident = Ident::default();
        let called = ident.call(irc.local_addr().unwrap());
        assert!(ident.knows("127.0.0.1:9".parse().unwrap()), "it may ask at once");
        let stream = TcpStream::connect(irc.local_addr().unwrap()).await.unwrap();
        let _known = ident.tell(&stream, "u0000002a").unwrap();
        drop(called);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_handle, stop) = wxgate_contract::StopHandle::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(ident.serve(listener, stop));
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE * 2 {
            silent.push(from("127.0.0.2", address).await);
        }
        let mut server = from("127.0.0.1", address).await;
        let ports = format!("{}, {}", stream.local_addr().unwrap().port(), irc.local_addr().unwrap().port());
        server.write_all(format!("{ports}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE / 2, server.read_to_string(&mut answer)).await;
        assert!(read.is_ok(), "strangers hold it up");
        assert_eq!(answer, format!("{ports} : USERID : UNIX : u0000002a\r\n"));
    }
}
