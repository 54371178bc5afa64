//! The named points: every kind of call by which the pipe touches a disk or a socket.
//!
//! A process that dies between two calls is, for everybody else, one that died before the second. So these
//! are the instants that differ; the rest of the list of ARCHITECTURE.md ("what happens on a crash") lies
//! between them.

use wxgate_tests::fault::{About, Act, Call, Order};

/// What the gateway is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    /// People talk in both directions.
    Talk,
    /// It starts again, and people have talked meanwhile.
    Start,
}

/// One named point.
#[derive(Debug)]
pub(crate) struct Point {
    /// As it is told.
    pub(crate) name: &'static str,
    /// When it is looked for.
    pub(crate) during: During,
    /// The call.
    pub(crate) call: Call,
    /// What it is about.
    pub(crate) about: About,
    /// What happens.
    pub(crate) act: Act,
    /// Up to so many of these calls may pass first; more often they do not come.
    pub(crate) skips: u32,
}

impl Point {
    /// The order to die there.
    pub(crate) fn order(&self, skip: u32) -> Order {
        let calls: &'static [Call] = match self.call {
            Call::Send => &[Call::Send],
            Call::Recv => &[Call::Recv],
            Call::Write => &[Call::Write],
            Call::Sync => &[Call::Sync],
            Call::Rename => &[Call::Rename],
            Call::Lock => &[Call::Lock],
        };
        Order { calls, about: self.about, act: self.act, skip }
    }
}

const fn talk(name: &'static str, call: Call, about: About, act: Act, skips: u32) -> Point {
    Point { name, during: During::Talk, call, about, act, skips }
}

const fn start(name: &'static str, call: Call, about: About, act: Act) -> Point {
    Point { name, during: During::Start, call, about, act, skips: 1 }
}

const LOG: About = About::File("wxgate.db-wal");
const POLL: About = About::Words("/synccheck?");
const POLLED: About = About::Words("window.synccheck=");
const NEWS: About = About::Words("/webwxsync?");
const NEWS_READ: About = About::Words("\"AddMsgList\"");
const SENDING: About = About::Words("/webwxsendmsg?");
const SENT: About = About::Words("\"LocalID\"");
const LINE: About = About::Words("PRIVMSG ");

/// All of them.
pub(crate) const POINTS: &[Point] = &[
    talk("before it polls", Call::Send, POLL, Act::DieBefore, 8),
    talk("when the answer to a poll was read", Call::Recv, POLLED, Act::DieAfter, 8),
    talk("before it asks for news", Call::Send, NEWS, Act::DieBefore, 8),
    talk("when it has asked for news", Call::Send, NEWS, Act::DieAfter, 8),
    talk("when news were read", Call::Recv, NEWS_READ, Act::DieAfter, 8),
    talk("before a page of a commit is written", Call::Write, LOG, Act::DieBefore, 200),
    talk("within a page of a commit", Call::Write, LOG, Act::DieHalfway, 200),
    talk("when a page of a commit was written", Call::Write, LOG, Act::DieAfter, 200),
    talk("before a commit is synced", Call::Sync, LOG, Act::DieBefore, 40),
    talk("when a commit was synced and nobody was told", Call::Sync, LOG, Act::DieAfter, 40),
    talk("before a client is shown something", Call::Send, LINE, Act::DieBefore, 20),
    talk("within what a client is shown", Call::Send, LINE, Act::DieHalfway, 20),
    talk("when a client was shown something", Call::Send, LINE, Act::DieAfter, 20),
    talk("when a client has confirmed", Call::Recv, About::Words("PONG "), Act::DieAfter, 4),
    talk("when a typed line was read", Call::Recv, LINE, Act::DieAfter, 8),
    talk("before a message is sent to the service", Call::Send, SENDING, Act::DieBefore, 8),
    talk("within a message to the service", Call::Send, SENDING, Act::DieHalfway, 8),
    talk("when a message was sent to the service", Call::Send, SENDING, Act::DieAfter, 8),
    talk("when the service's answer was read", Call::Recv, SENT, Act::DieAfter, 8),
    start("before the first page after a start", Call::Write, LOG, Act::DieBefore),
    start("when the first commit after a start was synced", Call::Sync, LOG, Act::DieAfter),
    start("when it asks for what it has missed", Call::Send, NEWS, Act::DieAfter),
    start("when what it has missed was read", Call::Recv, NEWS_READ, Act::DieAfter),
];

const FILE: About = About::File("wxgate.db");

/// The log is copied into the main file once in some thousand pages: reached when there is time for it.
pub(crate) const RARE: &[Point] = &[
    talk("before a page is copied into the main file", Call::Write, FILE, Act::DieBefore, 60),
    talk("within a page of the main file", Call::Write, FILE, Act::DieHalfway, 60),
    talk("before the main file is synced", Call::Sync, FILE, Act::DieBefore, 0),
    talk("when the main file was synced", Call::Sync, FILE, Act::DieAfter, 0),
];
