//! One connection, from the first byte to the last. This task owns everything about it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf};
use tokio::time::Instant;
use wxgate_contract::{CommandError, Health, Order, Request};

use super::answers::Answers;
use super::catchup::CatchUps;
use super::charset;
use super::config::{GENTLE, SAFE};
use super::echoes::Echoes;
use super::isupport::Isupport;
use super::multiline::{Bounds, Gathering};
use super::pace::Pace;
use super::puppet::{News, PuppetId};
use super::puppets::Puppets;
use super::regain::Wanted;
use super::register::Registration;
use super::relay::{Done, Relay};
use super::stream::{Connection, Duplex};
use crate::wire::framing::LineBuffer;
use crate::wire::message::{Line, Message};

/// Bytes that may wait to be written; a server that does not take them is gone. Chosen: pacing
/// keeps it at a few lines.
const OUT_BYTES: usize = 64 * 1024;
/// How long the last words may take when we leave.
const FAREWELL: Duration = Duration::from_secs(4);
/// And how long writing them.
const FAREWELL_WRITE: Duration = Duration::from_millis(500);
/// The longest nap: timers that need more precision say so.
const NAP: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    Stopped,
    /// Connect again.
    Lost(String),
    /// Connect again, but later.
    Throttled(String),
    /// Do not connect again before hours have passed.
    Barred(String),
    /// Do not connect again before somebody changed something.
    Fatal(String),
}

/// What was agreed upon.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caps {
    pub(super) tags: bool,
    pub(super) echo: bool,
    pub(super) labels: bool,
    pub(super) redaction: bool,
    pub(super) relaymsg: bool,
    pub(super) batch: bool,
    pub(super) history: bool,
    /// Whoever says something is told with their account.
    pub(super) accounts: bool,
    pub(super) multiline: Option<Bounds>,
}

/// Who we are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Me {
    pub(super) nick: String,
    pub(super) user: Option<String>,
    pub(super) host: Option<String>,
    pub(super) account: Option<String>,
}

/// How far we are.
pub(super) enum Phase {
    Registering(Box<Registration>),
    /// The welcome is over; channels are entered when the time has come.
    Joining {
        not_before: Instant,
    },
    Ready,
}

pub(super) struct Session<'a> {
    pub(super) relay: &'a mut Relay,
    pub(super) phase: Phase,
    pub(super) caps: Caps,
    pub(super) support: Isupport,
    pub(super) me: Me,
    /// What NickServ wants to hear, where nothing else signs us in.
    pub(super) nickserv: Option<String>,
    pub(super) pace: Pace,
    /// Commands that are paced with the rest, and take turns with it.
    pub(super) queue: VecDeque<String>,
    /// Answers to strangers, behind the commands.
    pub(super) courtesies: VecDeque<String>,
    /// A command went last: what is to be said in chats is next.
    pub(super) is_words_turn: bool,
    pub(super) next_token: u64,
    pub(super) next_join: Instant,
    pub(super) wanted_nick: Wanted,
    pub(super) puppets: Puppets,
    pub(super) catch_ups: CatchUps,
    pub(super) answers: Answers,
    pub(super) echoes: Echoes,
    pub(super) gathering: Gathering,
    /// Nicks that were told that nobody reads their query.
    pub(super) told: HashSet<String>,
    pub(super) end: Option<End>,
    out: Vec<u8>,
    needs_flush: bool,
    began: Instant,
    heard: Instant,
    asked: Option<Instant>,
    /// When we decided to leave.
    leaving: Option<Instant>,
}

enum Event {
    Stop,
    Done(Done),
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    Flushed(std::io::Result<()>),
    Order(Option<Order>),
    Linked,
    Puppet(PuppetId, News),
    Tick,
}

/// Writes what there is, and flushes when there is nothing. Dropping it loses nothing.
async fn push(writer: &mut WriteHalf<Box<dyn Duplex>>, out: &[u8]) -> Event {
    match out.is_empty() {
        true => Event::Flushed(writer.flush().await),
        false => Event::Wrote(writer.write(out).await),
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(relay: &'a mut Relay, registration: Registration, puppets: Puppets) -> Self {
        let now = Instant::now();
        let rate = relay.config.limits.rate.unwrap_or(GENTLE);
        let me = Me { nick: relay.config.nick.clone(), ..Me::default() };
        Self {
            relay,
            phase: Phase::Registering(Box::new(registration)),
            caps: Caps::default(),
            support: Isupport::default(),
            me,
            nickserv: None,
            pace: Pace::new(rate, now),
            queue: VecDeque::new(),
            courtesies: VecDeque::new(),
            is_words_turn: false,
            next_token: 0,
            next_join: now,
            wanted_nick: Wanted::new(now),
            puppets,
            catch_ups: CatchUps::default(),
            answers: Answers::default(),
            echoes: Echoes::default(),
            gathering: Gathering::default(),
            told: HashSet::new(),
            end: None,
            out: Vec::new(),
            needs_flush: false,
            began: now,
            heard: now,
            asked: None,
            leaving: None,
        }
    }

    /// Lives until the end, and says which it was and whether we ever were ready.
    pub(super) async fn live(mut self, connection: Connection) -> (End, bool) {
        let (mut reader, mut writer) = tokio::io::split(connection.stream);
        let _known_to_ident = connection.ident;
        let mut lines = LineBuffer::default();
        let mut chunk = vec![0; 8192];
        self.register();
        let end = loop {
            self.advance(Instant::now());
            if let Some(end) = self.end.take() {
                break end;
            }
            let wake = self.wake();
            let is_leaving = self.leaving.is_some();
            let (has_room, wants_orders) =
                (self.relay.has_room(), self.relay.flights.has_room() && !is_leaving);
            let event = {
                let Relay { stop, work, orders, linked, .. } = &mut *self.relay;
                let (out, puppets) = (&self.out, &mut self.puppets);
                tokio::select! {
                    () = stop.stopping(), if !is_leaving => Event::Stop,
                    Some(done) = work.next() => Event::Done(done),
                    read = reader.read(&mut chunk), if has_room => Event::Read(read),
                    wrote = push(&mut writer, out), if self.needs_flush || !out.is_empty() => wrote,
                    order = orders.recv(), if wants_orders => Event::Order(order),
                    () = linked.changed() => Event::Linked,
                    Some((id, news)) = puppets.news.recv(), if has_room => Event::Puppet(id, news),
                    () = tokio::time::sleep_until(wake) => Event::Tick,
                }
            };
            match event {
                Event::Stop => self.leave(),
                Event::Done(done) => self.done(done),
                Event::Read(Ok(count)) if count > 0 => {
                    lines.push(chunk.get(..count).unwrap_or_default());
                    self.read(&mut lines);
                }
                Event::Read(Ok(_)) => self.finish("the server closed the connection"),
                Event::Wrote(Ok(count)) if count > 0 => {
                    self.out.drain(..count.min(self.out.len()));
                    self.needs_flush = true;
                }
                Event::Wrote(Ok(_)) => self.finish("the connection takes nothing more"),
                Event::Flushed(Ok(())) => self.needs_flush = false,
                Event::Read(Err(error)) | Event::Wrote(Err(error)) | Event::Flushed(Err(error)) => {
                    self.finish(&format!("the connection broke: {error}"));
                }
                Event::Order(Some(Order::Deliver(delivery))) => self.take(*delivery),
                // There is nobody to sign in or out.
                Event::Order(Some(Order::SignIn | Order::SignOut)) => {}
                Event::Order(Some(Order::Ask(ask))) => {
                    let answer = match ask.request {
                        Request::Retry => self.forgive(),
                        _ => Err(CommandError::Refused("an IRC network has no such thing".to_owned())),
                    };
                    // Nobody waiting any more is no trouble.
                    let _ = ask.answer.try_send(answer);
                }
                Event::Order(None) => self.leave(),
                Event::Linked => self.link(),
                Event::Puppet(id, news) => self.puppet_news(id, news),
                Event::Tick => {}
            }
        };
        // The last words; a server that does not take them is left without.
        let _ = tokio::time::timeout(FAREWELL_WRITE, async {
            writer.write_all(&self.out).await?;
            writer.shutdown().await
        })
        .await;
        // What they know of lines that have gone is not asked again.
        while let Ok((id, news)) = self.puppets.news.try_recv() {
            self.puppet_news(id, news);
        }
        let why = if end == End::Stopped { "wxgate stops" } else { "the relay lost its connection" };
        let _ = tokio::time::timeout(FAREWELL_WRITE, self.puppets.dismiss(why)).await;
        self.give_up_gathering();
        self.give_up_history();
        let was_ready = matches!(self.phase, Phase::Ready);
        self.relay.rooms.disconnected(Instant::now());
        self.relay.flights.disconnected();
        self.relay.bound.disconnected();
        (end, was_ready)
    }

    fn read(&mut self, lines: &mut LineBuffer) {
        self.heard = Instant::now();
        self.asked = None;
        while self.end.is_none() {
            let line = match lines.next_line() {
                Ok(Some(line)) => charset::decode(line, self.relay.config.charset).into_owned(),
                Ok(None) => return,
                Err(error) => return self.finish(&error.to_string()),
            };
            match Message::parse(&line) {
                Ok(message) => self.line(&message),
                Err(why) => tracing::debug!(network = %self.relay.network, %why, "a line makes no sense"),
            }
        }
    }

    /// The connection is over; what that means was perhaps said before.
    pub(super) fn finish(&mut self, why: &str) {
        let end = if self.leaving.is_some() { End::Stopped } else { End::Lost(why.to_owned()) };
        self.end.get_or_insert(end);
    }

    fn leave(&mut self) {
        self.leaving.get_or_insert_with(Instant::now);
    }

    /// Writes a line at once, past the pacing.
    pub(super) fn send(&mut self, line: &str) {
        if self.out.len() + line.len() > OUT_BYTES {
            return self.finish("the server takes nothing more");
        }
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// All that time brings about.
    fn advance(&mut self, now: Instant) {
        let limits = self.relay.config.limits.clone();
        if let Some(since) = self.leaving {
            // Lines that have gone are given a moment to be confirmed.
            let is_done = !self.has_unconfirmed() && self.relay.is_idle();
            if is_done || now >= since + FAREWELL {
                self.send(&Line::new().command("QUIT").last("wxgate stops").build());
                self.end.get_or_insert(End::Stopped);
            }
            return;
        }
        if !self.relay.has_room() {
            self.excuse(now);
        }
        if matches!(self.phase, Phase::Registering(_)) && now >= self.began + limits.registration {
            return self.finish("the server did not let us in in time");
        }
        match self.asked {
            Some(asked) if now >= asked + limits.answer => return self.finish("the server does not answer"),
            None if now >= self.heard + limits.ping_after => {
                self.asked = Some(now);
                self.send("PING :alive");
            }
            _ => {}
        }
        if let Phase::Joining { not_before } = self.phase
            && now >= not_before
        {
            self.phase = Phase::Ready;
            self.link();
        }
        if matches!(self.phase, Phase::Ready) {
            self.regain(now);
            self.tend_puppets(now);
            self.check_history(now);
            self.look_at_queries(now);
            self.send_queue(now);
            self.enter_rooms(now);
            self.fly(now);
            let health = self.health();
            self.relay.tell_health(health);
        }
    }

    /// Nothing is read now, because of us: whoever is waited for has all its time from here on.
    fn excuse(&mut self, now: Instant) {
        self.heard = now;
        self.asked = self.asked.map(|_| now);
        self.relay.flights.excuse(now);
        self.catch_ups.excuse(now);
    }

    /// True when there are commands whose turn has not come.
    pub(super) fn has_commands(&self) -> bool {
        !self.queue.is_empty() || self.catch_ups.has_questions()
    }

    fn has_lines(&self) -> bool {
        self.has_commands() || !self.courtesies.is_empty()
    }

    /// Sends commands and then courtesies, one for each line that waits to be said: neither may hold the other up for
    /// as long as it lasts.
    fn send_queue(&mut self, now: Instant) {
        while self.has_lines() && !(self.is_words_turn && self.has_clear(now)) && self.pace.take(1.0, now) {
            let command = self.queue.pop_front().or_else(|| self.next_question(now));
            if let Some(line) = command.or_else(|| self.courtesies.pop_front()) {
                self.send(&line);
                self.is_words_turn = true;
            }
        }
    }

    fn wake(&self) -> Instant {
        let now = Instant::now();
        let nap = now + NAP;
        let waits = self.has_lines() || self.has_clear(now);
        if waits { self.pace.ready_at(1.0).min(nap) } else { nap }
    }

    /// The network's own rate, unless the operator set one.
    pub(super) fn learn_rate(&mut self) {
        let own = if self.support.is_safe { SAFE } else { GENTLE };
        self.pace.set(self.relay.config.limits.rate.unwrap_or(own), Instant::now());
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Committed { batch, result } => self.relay.committed(batch, result),
            Done::Settled { id, outcome } => self.relay.settled(id, outcome),
            Done::Stored { id, link } => self.stored(id, link),
            Done::Behind { id, behind } => self.found_behind(id, behind),
            Done::Members { chat, home, members } => self.relay.members_are(&chat, home, members),
        }
    }

    /// It works also without the channels that do not let us in: nothing else waits for them.
    fn health(&self) -> Health {
        let barred = self.relay.rooms.0.values().filter_map(|room| match &room.presence {
            super::rooms::Presence::Barred { why, .. } => Some((room, why)),
            _ => None,
        });
        let mut barred = barred.peekable();
        match barred.peek() {
            Some((room, why)) => {
                let why = format!("not in {}: {why}", room.name);
                Health::Partial { missing: u32::try_from(barred.count()).unwrap_or(u32::MAX), why }
            }
            None => Health::Up,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
