//! One person's own connection: registers, enters channels, says lines and tells what became of them.
//!
//! It relays nothing that the network shows it (only the relay's own connection listens), and keeps no
//! lists of who is where. Its queries go to the relay. Source: the IRC notes, section 8, "Puppets".

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use encoding_rs::Encoding;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use wxgate_contract::Timestamp;

use super::answers::Answers;
use super::config::{Limits, Rate};
use super::echoes::Echoes;
use super::ident::Ident;
use super::isupport::Isupport;
use super::multiline::Part;
use super::pace::Pace;
use super::stream;
use crate::wire::framing::LineBuffer;
use crate::wire::message::Line;

mod lines;
mod say;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PuppetId(pub(super) u64);

/// Bytes that may wait to be written. Chosen: pacing keeps it at a few lines.
const OUT_BYTES: usize = 16 * 1024;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_millis(500);
/// Words behind which it answers no stranger; a flood of questions gets silence.
const WAITING: usize = 5;
/// The longest nap.
const NAP: Duration = Duration::from_secs(1);

/// What one begins with.
pub(super) struct Setup {
    pub(super) id: PuppetId,
    pub(super) address: String,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The server's own (`PASS`).
    pub(super) password: Option<String>,
    pub(super) nick: String,
    /// What is tried where it is taken, in this order.
    pub(super) other_nicks: VecDeque<String>,
    pub(super) user: String,
    pub(super) realname: String,
    pub(super) charset: &'static Encoding,
    pub(super) rate: Rate,
    pub(super) limits: Limits,
    pub(super) ident: Option<Ident>,
    /// The address that it connects from.
    pub(super) from: Option<IpAddr>,
    pub(super) news: mpsc::Sender<(PuppetId, News)>,
}

/// What it is told.
#[derive(Debug)]
pub(super) enum Word {
    Join(String),
    Part(String),
    Say {
        number: u64,
        target: String,
        /// One line, or a message of several.
        parts: Vec<Part>,
        /// The id of the message that it answers to.
        reply: Option<String>,
    },
    /// Take back what it said.
    TakeBack {
        number: u64,
        target: String,
        msgid: String,
    },
    Notice {
        nick: String,
        text: String,
    },
    /// The person has another name.
    Rename {
        nick: String,
        realname: String,
    },
    Leave(&'static str),
}

/// What it tells.
#[derive(Debug)]
pub(super) enum News {
    /// Registered under this nick, or given another one.
    Called(String),
    /// The network takes no such nick.
    BadNick,
    /// In a channel, seen as `nick!user@host` there.
    In {
        channel: String,
        prefix: String,
    },
    /// Not in it, or not any more.
    Out {
        channel: String,
    },
    /// The network has the line; under which id, if it tells.
    Said {
        number: u64,
        msgid: Option<String>,
    },
    NotSaid {
        number: u64,
        /// It is for this line only: what follows may go.
        passes: bool,
    },
    Query(Query),
    /// The connection is over.
    Gone(Gone),
}

/// Something that somebody said to it alone.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) nick: String,
    pub(super) account: Option<String>,
    pub(super) text: String,
    pub(super) is_notice: bool,
    pub(super) msgid: Option<String>,
    pub(super) at: Option<Timestamp>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// As it was told to.
    Left,
    Lost(String),
    /// Too many connections, or too fast.
    Throttled(String),
    /// Banned, or a wrong password.
    Barred(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    Ready,
}

/// Something that has gone and is not confirmed.
struct Open {
    number: u64,
    /// Folded.
    target: String,
    /// It is a message of several lines.
    is_whole: bool,
    /// The end of what is said; `None` for what is taken back.
    text: Option<String>,
    /// The server has shown it, without a label; under this id, if it tells.
    is_echoed: bool,
    msgid: Option<String>,
}

struct Puppet {
    setup: Setup,
    phase: Phase,
    nick: String,
    is_held: bool,
    offered: Vec<String>,
    tags: bool,
    labels: bool,
    echo: bool,
    takes_whole: bool,
    sets_name: bool,
    takes_back: bool,
    support: Isupport,
    pace: Pace,
    waiting: VecDeque<Word>,
    /// What has gone and is not confirmed.
    open: Vec<Open>,
    answers: Answers,
    echoes: Echoes,
    /// What is to be told.
    news: VecDeque<News>,
    out: Vec<u8>,
    end: Option<Gone>,
    began: Instant,
    heard: Instant,
    asked: Option<Instant>,
}

/// Lives until it is told to leave, or the connection is lost.
pub(super) async fn run(setup: Setup, words: mpsc::Receiver<Word>) {
    let (id, news) = (setup.id, setup.news.clone());
    let ident = setup.ident.as_ref().map(|ident| (ident, setup.user.as_str()));
    let gone = match stream::connect(&setup.address, setup.tls.as_ref(), ident, setup.from).await {
        Ok(connection) => Box::pin(live(setup, connection, words)).await,
        Err(error) => Gone::Lost(format!("cannot connect: {error}")),
    };
    // A relay that is gone needs no news.
    let _ = news.send((id, News::Gone(gone))).await;
}

async fn live(setup: Setup, connection: stream::Connection, mut words: mpsc::Receiver<Word>) -> Gone {
    let (mut reader, mut writer) = tokio::io::split(connection.stream);
    let _known_to_ident = connection.ident;
    let (id, tell) = (setup.id, setup.news.clone());
    let mut lines = LineBuffer::default();
    let mut chunk = vec![0; 4096];
    let mut puppet = Puppet::new(setup);
    puppet.register();
    let gone = loop {
        puppet.advance(Instant::now());
        while let Some(news) = puppet.news.pop_front() {
            if tell.send((id, news)).await.is_err() {
                puppet.end.get_or_insert(Gone::Left);
            }
        }
        if let Some(end) = puppet.end.take() {
            break end;
        }
        let wake = puppet.wake();
        tokio::select! {
            read = reader.read(&mut chunk) => match read {
                Ok(count @ 1..) => {
                    lines.push(chunk.get(..count).unwrap_or_default());
                    puppet.read(&mut lines);
                }
                Ok(_) => puppet.lost("the server closed the connection"),
                Err(error) => puppet.lost(&format!("the connection broke: {error}")),
            },
            wrote = writer.write(&puppet.out), if !puppet.out.is_empty() => match wrote {
                Ok(count @ 1..) => {
                    puppet.out.drain(..count.min(puppet.out.len()));
                    if puppet.out.is_empty() && let Err(error) = writer.flush().await {
                        puppet.lost(&format!("the connection broke: {error}"));
                    }
                }
                Ok(_) => puppet.lost("the connection takes nothing more"),
                Err(error) => puppet.lost(&format!("the connection broke: {error}")),
            },
            word = words.recv() => puppet.told(word.unwrap_or(Word::Leave("the relay is gone"))),
            () = sleep_until(wake) => {}
        }
    };
    // The last words; a server that does not take them is left without.
    let _ = timeout(FAREWELL, async {
        writer.write_all(&puppet.out).await?;
        writer.shutdown().await
    })
    .await;
    gone
}

impl Puppet {
    fn new(setup: Setup) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Registering,
            nick: setup.nick.clone(),
            is_held: false,
            offered: Vec::new(),
            tags: false,
            labels: false,
            echo: false,
            takes_whole: false,
            sets_name: false,
            takes_back: false,
            support: Isupport::default(),
            pace: Pace::new(setup.rate, now),
            waiting: VecDeque::new(),
            open: Vec::new(),
            answers: Answers::default(),
            echoes: Echoes::default(),
            news: VecDeque::new(),
            out: Vec::new(),
            end: None,
            began: now,
            heard: now,
            asked: None,
            setup,
        }
    }

    fn send(&mut self, line: &str) {
        if self.out.len() + line.len() > OUT_BYTES {
            return self.lost("the server takes nothing more");
        }
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn lost(&mut self, why: &str) {
        self.end.get_or_insert(Gone::Lost(why.to_owned()));
    }

    fn register(&mut self) {
        self.send("CAP LS 302");
        if let Some(password) = self.setup.password.clone() {
            self.send(&Line::new().command("PASS").last(&password).build());
        }
        self.send(&Line::new().command("NICK").param(&self.nick.clone()).build());
        let user = Line::new().command("USER").param(&self.setup.user).param("0").param("*");
        self.send(&user.last(&self.setup.realname).build());
    }

    fn wake(&self) -> Instant {
        let nap = Instant::now() + NAP;
        if self.waiting.is_empty() { nap } else { self.pace.ready_at(1.0).min(nap) }
    }

    /// All that time brings about.
    fn advance(&mut self, now: Instant) {
        let limits = &self.setup.limits;
        if self.phase == Phase::Registering {
            if now >= self.began + limits.registration {
                self.lost("the server did not let it in in time");
            }
            return;
        }
        match self.asked {
            Some(asked) if now >= asked + limits.answer => return self.lost("the server does not answer"),
            None if now >= self.heard + limits.ping_after => {
                self.asked = Some(now);
                self.send("PING :alive");
            }
            _ => {}
        }
        while !self.waiting.is_empty() && self.pace.take(1.0, now) {
            if let Some(word) = self.waiting.pop_front() {
                self.do_word(word);
            }
        }
    }

    fn told(&mut self, word: Word) {
        match word {
            Word::Leave(why) => {
                self.send(&Line::new().command("QUIT").last(why).build());
                self.end.get_or_insert(Gone::Left);
            }
            Word::Notice { .. } if self.waiting.len() >= WAITING => {}
            word => self.waiting.push_back(word),
        }
    }
}
