//! An IRC client that knows tags and nothing else: what the server says is kept as it came.

mod line;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use line::{Line, Source};

use crate::clock::now_us;

/// How long a client waits for something that should come at once.
pub const SOON: Duration = Duration::from_secs(20);
/// Lines that wait to be looked at; a test that lets more pile up slows the server's writer down.
const LINES_WAITING: usize = 65_536;
/// The last lines shown when something expected did not come.
const LINES_SHOWN: usize = 25;
/// What a client with everything asks for; the server's own offer decides.
pub const ALL_CAPS: &str = "server-time message-tags batch echo-message labeled-response account-tag \
     multi-prefix userhost-in-names extended-join setname standard-replies cap-notify";

/// How to sign in.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// The person of the instance.
    pub user: &'a str,
    /// Their password.
    pub password: &'a str,
    /// The WeChat account, or empty for none.
    pub account: &'a str,
    /// The name of the client, or empty for none.
    pub client: &'a str,
    /// Capabilities to ask for, separated by spaces; those not offered are left out.
    pub caps: &'a str,
}

impl Login<'_> {
    fn name(&self) -> String {
        let mut name = self.user.to_owned();
        if !self.account.is_empty() {
            name.push('/');
            name.push_str(self.account);
        }
        if !self.client.is_empty() {
            name.push('@');
            name.push_str(self.client);
        }
        name
    }
}

/// One connection to the server.
#[derive(Debug)]
pub struct IrcClient {
    /// Who it is in reports of failures.
    pub label: String,
    /// Our nick, as 001 told it.
    pub nick: String,
    lines: mpsc::Receiver<Line>,
    out: Arc<Mutex<OwnedWriteHalf>>,
    /// Reads the socket; ends with the client.
    _reader: JoinSet<()>,
    seen: Vec<Line>,
    asked: Asked,
}

/// How often the server has asked (PING), shared with the reader.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<AtomicU64>);

impl Asked {
    /// How often so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl IrcClient {
    /// A bare connection that has said nothing.
    pub async fn connect(address: &str, label: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let out = Arc::new(Mutex::new(write));
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        let mut reader = JoinSet::new();
        let asked = Asked::default();
        reader.spawn(read_lines(read, sender, out.clone(), asked.clone()));
        Ok(Self {
            label: label.to_owned(),
            nick: String::new(),
            lines,
            out,
            _reader: reader,
            seen: Vec::new(),
            asked,
        })
    }

    /// Connects, asks for what is offered of the capabilities, signs in by `PASS` and waits for the
    /// end of the welcome. What comes after it stays to be read.
    pub async fn login(address: &str, login: &Login<'_>) -> Result<Self> {
        let mut client = Self::connect(address, &login.name()).await?;
        client.negotiate(login.caps).await?;
        client.send(&format!("PASS :{}:{}", login.name(), login.password)).await?;
        client.introduce(login.user).await?;
        Ok(client)
    }

    /// Somebody without a password, in `channel` or in none.
    pub async fn guest(address: &str, nick: &str, channel: &str) -> Result<Self> {
        let mut person = Self::connect(address, nick).await?;
        person.send(&format!("NICK {nick}")).await?;
        person.send(&format!("USER {nick} 0 * :{nick}")).await?;
        let welcomed = |line: &Line| ["376", "422"].contains(&line.verb.as_str());
        person.expect("the end of the welcome", welcomed).await?;
        nick.clone_into(&mut person.nick);
        if !channel.is_empty() {
            person.send(&format!("JOIN {channel}")).await?;
            person.expect("the list of names", |line| line.verb == "366").await?;
        }
        Ok(person)
    }

    /// The same by SASL PLAIN.
    pub async fn login_sasl(address: &str, login: &Login<'_>) -> Result<Self> {
        let mut client = Self::connect(address, &login.name()).await?;
        client.negotiate(&format!("sasl {}", login.caps)).await?;
        client.send("AUTHENTICATE PLAIN").await?;
        client.expect("AUTHENTICATE +", |line| line.verb == "AUTHENTICATE").await?;
        let plain = format!("\0{}\0{}", login.name(), login.password);
        client.send(&format!("AUTHENTICATE {}", base64(plain.as_bytes()))).await?;
        let end = client.expect("903", |line| line.verb.starts_with("90") && line.verb != "900").await?;
        if end.verb != "903" {
            bail!("{}: SASL failed: {end}", client.label);
        }
        client.introduce(login.user).await?;
        Ok(client)
    }

    async fn negotiate(&mut self, wanted: &str) -> Result<()> {
        if wanted.trim().is_empty() {
            return Ok(());
        }
        self.send("CAP LS 302").await?;
        let mut offered = Vec::new();
        loop {
            let line = self.expect("CAP LS", |line| line.verb == "CAP" && line.param(1) == "LS").await?;
            let names = line.last().split_whitespace();
            offered.extend(names.map(|cap| cap.split('=').next().unwrap_or_default().to_owned()));
            if line.param(2) != "*" {
                break;
            }
        }
        let wanted: Vec<&str> =
            wanted.split_whitespace().filter(|cap| offered.iter().any(|known| known == cap)).collect();
        if !wanted.is_empty() {
            self.send(&format!("CAP REQ :{}", wanted.join(" "))).await?;
            let answer = self
                .expect("CAP ACK", |line| line.verb == "CAP" && ["ACK", "NAK"].contains(&line.param(1)))
                .await?;
            if answer.param(1) != "ACK" {
                bail!("{}: capabilities refused: {answer}", self.label);
            }
        }
        self.send("CAP END").await
    }

    async fn introduce(&mut self, user: &str) -> Result<()> {
        self.send(&format!("NICK {user}")).await?;
        self.send(&format!("USER {user} 0 * :{user}")).await?;
        let welcome = self.expect("the welcome", |line| line.verb == "001" || line.verb == "ERROR").await?;
        if welcome.verb == "ERROR" {
            bail!("{}: not let in: {welcome}", self.label);
        }
        welcome.param(0).clone_into(&mut self.nick);
        self.expect("the end of the message of the day", |line| line.verb == "376" || line.verb == "422")
            .await?;
        Ok(())
    }

    /// Sends a line.
    pub async fn send(&self, line: &str) -> Result<()> {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = self.out.lock().await;
        let sent = tokio::time::timeout(SOON, out.write_all(bytes)).await;
        sent.map_err(|_| anyhow!("{}: the server does not read", self.label))??;
        Ok(())
    }

    /// Says something to a nick or channel.
    pub async fn say(&self, target: &str, text: &str) -> Result<()> {
        self.send(&format!("PRIVMSG {target} :{text}")).await
    }

    /// The next line, or `None` when the server has closed the connection.
    pub async fn next(&mut self, end: Instant) -> Result<Option<Line>> {
        match tokio::time::timeout_at(end, self.lines.recv()).await {
            Ok(Some(line)) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Ok(None) => Ok(None),
            Err(_) => bail!("{}: nothing more came", self.label),
        }
    }

    /// Takes in what has come, without waiting.
    pub fn pick_up(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
    }

    /// Reads on until a line fits.
    pub async fn expect(&mut self, what: &str, fits: impl FnMut(&Line) -> bool) -> Result<Line> {
        self.expect_within(SOON, what, fits).await
    }

    /// Reads on until a line fits, at most for `limit`.
    pub async fn expect_within(
        &mut self,
        limit: Duration,
        what: &str,
        mut fits: impl FnMut(&Line) -> bool,
    ) -> Result<Line> {
        let end = Instant::now() + limit;
        loop {
            match self.next(end).await {
                Ok(Some(line)) if fits(&line) => return Ok(line),
                Ok(Some(_)) => {}
                Ok(None) => {
                    bail!("{}: closed while waiting for {what}; last lines:\n{}", self.label, self.tail())
                }
                Err(_) => {
                    bail!("{}: waited {limit:?} in vain for {what}; last lines:\n{}", self.label, self.tail())
                }
            }
        }
    }

    /// Reads on until somebody says something that contains `text`.
    pub async fn expect_text(&mut self, text: &str) -> Result<Line> {
        self.expect(&format!("a message with “{text}”"), |line| {
            line.is_said() && line.last().contains(text)
        })
        .await
    }

    /// Sends a PING and reads everything up to its PONG: what the server had to say before.
    pub async fn drain(&mut self) -> Result<Vec<Line>> {
        let token = format!("drain-{}", now_us());
        let from = self.seen.len();
        self.send(&format!("PING {token}")).await?;
        self.expect("PONG", |line| line.verb == "PONG" && line.last() == token).await?;
        Ok(self.seen.get(from..).unwrap_or_default().to_vec())
    }

    /// Reads until the server has closed the connection.
    pub async fn expect_close(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while let Some(line) = self.next(end).await.with_context(|| format!("{}: still open", self.label))? {
            drop(line);
        }
        Ok(())
    }

    /// Counts the server's questions; each was answered before it is counted.
    pub fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// Forgets what came so far.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Everything that came so far and was looked at.
    pub fn seen(&self) -> &[Line] {
        &self.seen
    }

    /// Messages (PRIVMSG) that came so far.
    pub fn said(&self) -> impl Iterator<Item = &Line> {
        self.seen.iter().filter(|line| line.is_said())
    }

    fn tail(&self) -> String {
        let from = self.seen.len().saturating_sub(LINES_SHOWN);
        let lines = self.seen.get(from..).unwrap_or_default();
        lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

async fn read_lines(
    read: OwnedReadHalf,
    lines: mpsc::Sender<Line>,
    out: Arc<Mutex<OwnedWriteHalf>>,
    asked: Asked,
) {
    let mut reader = BufReader::new(read);
    let mut raw = Vec::new();
    loop {
        raw.clear();
        match reader.read_until(b'\n', &mut raw).await {
            // What the end of the connection cut off is no line. Source: RFC 1459, section 8.
            Ok(1..) if raw.ends_with(b"\n") => {}
            _ => return,
        }
        let line = Line::parse(&String::from_utf8_lossy(&raw), now_us());
        if line.verb == "PING" {
            let pong = format!("PONG :{}\r\n", line.last());
            if out.lock().await.write_all(pong.as_bytes()).await.is_err() {
                return;
            }
            asked.0.fetch_add(1, Ordering::Relaxed);
        } else if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let at = |n: usize| group.get(n).map_or(0, |byte| u32::from(*byte));
        let bits = (at(0) << 16) | (at(1) << 8) | at(2);
        for n in 0..4 {
            let digit = usize::try_from((bits >> (18 - 6 * n)) & 63).unwrap_or(0);
            let is_padding = n > group.len();
            out.push(if is_padding { '=' } else { char::from(DIGITS.get(digit).copied().unwrap_or(b'=')) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
