//! A client that costs as little as one can: what comes is stamped when it is read, and looked at in place. With a
//! hundred clients that take lines apart, the bench would measure itself.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::now_us;
use crate::irc::{Login, SOON};

/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// How much of it was looked at.
    done: usize,
    /// When the last of it was read, Unix microseconds.
    read_us: u64,
}

impl Wire {
    async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::new(), done: 0, read_us: 0 })
    }

    /// Somebody without a password, in `channel`.
    pub(super) async fn guest(address: &str, nick: &str, channel: &str) -> Result<Self> {
        let mut wire = Self::connect(address).await?;
        wire.send(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}")).await?;
        wire.until(SOON, is_welcomed).await?;
        wire.send(&format!("JOIN {channel}")).await?;
        wire.until(SOON, |line| numeric(line) == "366").await?;
        Ok(wire)
    }

    /// Somebody with an account, who waits for the end of the welcome.
    pub(super) async fn login(address: &str, login: &Login<'_>) -> Result<Self> {
        let mut wire = Self::connect(address).await?;
        let Login { user, password, account, client, caps } = login;
        let lines = format!(
            "CAP REQ :{caps}\r\nPASS :{user}/{account}@{client}:{password}\r\nNICK {user}\r\n\
             USER {user} 0 * :{user}\r\nCAP END"
        );
        wire.send(&lines).await?;
        let mut is_refused = false;
        wire.until(SOON, |line| {
            is_refused |= line.contains(" NAK ");
            is_welcomed(line)
        })
        .await?;
        match is_refused {
            true => bail!("not all of these are offered: {caps}"),
            false => Ok(wire),
        }
    }

    /// Sends a line.
    pub(super) async fn send(&mut self, line: &str) -> Result<()> {
        let bytes = format!("{line}\r\n");
        let sent = timeout(SOON, self.stream.write_all(bytes.as_bytes())).await;
        Ok(sent.map_err(|_| anyhow!("the server does not read"))??)
    }

    /// Reads on until a line fits; when it was read, Unix microseconds. PINGs are answered.
    pub(super) async fn until(&mut self, limit: Duration, mut fits: impl FnMut(&str) -> bool) -> Result<u64> {
        let reading = async {
            loop {
                while let Some(end) =
                    self.bytes.get(self.done..).unwrap_or_default().iter().position(|byte| *byte == b'\n')
                {
                    let line = self.bytes.get(self.done..self.done + end).unwrap_or_default();
                    let line = std::str::from_utf8(line).context("a line that is not UTF-8")?.trim_end();
                    self.done += end + 1;
                    if let Some(token) = asks(line) {
                        let pong = format!("PONG {token}\r\n");
                        self.stream.write_all(pong.as_bytes()).await?;
                    } else if fits(line) {
                        return Ok(self.read_us);
                    }
                }
                self.bytes.drain(..self.done);
                self.done = 0;
                self.bytes.reserve(READ_BYTES);
                if self.stream.read_buf(&mut self.bytes).await? == 0 {
                    bail!("the server closed the connection");
                }
                self.read_us = now_us();
            }
        };
        timeout(limit, reading).await.map_err(|_| anyhow!("waited {limit:?} in vain"))?
    }
}

/// The token of a PING.
fn asks(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(':').and_then(|line| line.split_once(' ')).map_or(line, |(_, rest)| rest);
    rest.strip_prefix("PING ")
}

fn is_welcomed(line: &str) -> bool {
    ["376", "422"].contains(&numeric(line))
}

/// The second word: of a line with a source its command.
fn numeric(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or_default()
}

/// Does something on a thread of its own, so that it shares no queue with whoever measures. The result comes when it
/// is done.
pub(super) fn apart<T, W>(work: impl FnOnce() -> W + Send + 'static) -> oneshot::Receiver<Result<T>>
where
    T: Send + 'static,
    W: Future<Output = Result<T>>,
{
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let did = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(work()));
        // Whoever gave up waiting needs no result.
        let _ = done.send(did);
    });
    result
}

/// How late a thread is woken that does nothing but sleep a millisecond: the pauses of the machine and of its
/// scheduler, which everything that runs beside it has too.
#[derive(Debug)]
pub(super) struct Sleeper {
    over: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Vec<u64>>,
}

impl Sleeper {
    pub(super) fn start() -> Self {
        const NAP: Duration = Duration::from_millis(1);
        let (over, is_over) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut late = Vec::new();
            loop {
                let begun = std::time::Instant::now();
                if !matches!(is_over.recv_timeout(NAP), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
                    return late;
                }
                let over = begun.elapsed().saturating_sub(NAP);
                late.push(u64::try_from(over.as_micros()).unwrap_or(u64::MAX));
            }
        });
        Self { over, thread }
    }

    /// By how many microseconds each time.
    pub(super) fn end(self) -> Result<Vec<u64>> {
        drop(self.over);
        self.thread.join().map_err(|_| anyhow!("the sleeper fell"))
    }
}
