//! What the network says to a puppet.

use std::borrow::Cow;

use tokio::time::Instant;

use super::{Gone, News, Open, Phase, Puppet, Query};
use crate::client::answers::{self, Answer, Told};
use crate::client::{charset, inbound, multiline, time, words};
use crate::wire::format::strip;
use crate::wire::framing::LineBuffer;
use crate::wire::message::{Line, Message};

/// What confirms lines, gives them ids and takes them back, puts names right, and says who writes in a query, where the
/// network has it.
const WANTED: [&str; 9] = [
    "message-tags",
    "server-time",
    "account-tag",
    "batch",
    "echo-message",
    "labeled-response",
    multiline::NAME,
    "setname",
    "draft/message-redaction",
];

impl Puppet {
    pub(super) fn read(&mut self, lines: &mut LineBuffer) {
        self.heard = Instant::now();
        self.asked = None;
        while self.end.is_none() {
            let line = match lines.next_line() {
                Ok(Some(line)) => charset::decode(line, self.setup.charset).into_owned(),
                Ok(None) => return,
                Err(error) => return self.lost(&error.to_string()),
            };
            if let Ok(message) = Message::parse(&line) {
                self.line(&message);
            }
        }
    }

    fn is_me(&self, nick: &str) -> bool {
        self.support.fold(nick) == self.support.fold(&self.nick)
    }

    fn line(&mut self, message: &Message<'_>) {
        let param = |at: usize| message.param(at).unwrap_or("");
        let last = message.params().last().copied().unwrap_or("");
        let source = message.source.unwrap_or("");
        let nick = source.split('!').next().unwrap_or("");
        match self.answers.read(message) {
            Told::Part => return,
            Told::Whole(answer) => {
                if let Some(number) = number(&answer.label) {
                    return self.answered(number, answer);
                }
            }
            Told::Nothing => {}
        }
        if let Some(target) = answers::flooded(message) {
            self.cannot_say(target, Fate::Dropped);
            return;
        }
        match message.command {
            "PING" => self.send(&Line::new().command("PONG").last(param(0)).build()),
            "PONG" => {
                if let Some(number) = number(last) {
                    self.ponged(number);
                }
            }
            "ERROR" => {
                self.end.get_or_insert(gone(param(0)));
            }
            "CAP" => self.cap(param(1), param(2) == "*", last),
            "001" => param(0).clone_into(&mut self.nick),
            "005" => {
                let tokens = message.params();
                self.support.take(tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default());
            }
            "376" | "422" if self.phase == Phase::Registering => {
                self.phase = Phase::Ready;
                self.news.push_back(News::Called(self.nick.clone()));
            }
            "432" if self.phase == Phase::Registering => {
                self.news.push_back(News::BadNick);
                self.lost("the network takes no such nick");
            }
            "433" | "436" | "437" if self.phase == Phase::Registering => self.another_nick(),
            // Another name is not taken: the one it has serves.
            "432" | "433" | "436" | "438" | "447" | "484" => {}
            "464" | "465" if self.phase == Phase::Registering => {
                self.end.get_or_insert(Gone::Barred(last.to_owned()));
            }
            "NICK" if self.is_me(nick) => {
                param(0).clone_into(&mut self.nick);
                self.news.push_back(News::Called(self.nick.clone()));
            }
            "JOIN" if self.is_me(nick) => {
                self.news.push_back(News::In { channel: param(0).to_owned(), prefix: source.to_owned() });
            }
            "PART" if self.is_me(nick) => self.news.push_back(News::Out { channel: param(0).to_owned() }),
            "KICK" if self.is_me(param(1)) => self.news.push_back(News::Out { channel: param(0).to_owned() }),
            "FAIL" if param(0) == "BATCH" => {
                while let Some(whole) = self.open.iter().find(|open| open.is_whole) {
                    self.settled(whole.number, Fate::Refused);
                }
            }
            "FAIL" => {
                for target in message.params().iter().skip(2) {
                    self.cannot_say(target, Fate::Refused);
                }
            }
            // Lines of a batch are answered as one, by its label.
            "PRIVMSG" if self.is_me(nick) && message.tags.get("batch").is_none() => {
                let msgid = message.tags.get("msgid").map(Cow::into_owned);
                self.echoed(param(0), param(1), msgid);
            }
            // Too many channels and people in a short time: this line, and no other. Source: see `answers.rs`.
            "439" | "707" => {
                self.cannot_say(param(1), Fate::Dropped);
            }
            "PRIVMSG" | "NOTICE" if self.is_me(param(0)) && source.contains('!') => self.query(message, nick),
            // A refusal: of a JOIN, or of what was said there. Source: "Numerics" in Modern IRC.
            // 926: see `inbound.rs`.
            code if code == "926" || answers::is_refusal(code) => {
                let is_ours = self.cannot_say(param(1), Fate::Refused);
                let out = (!is_ours).then(|| News::Out { channel: param(1).to_owned() });
                self.news.extend(out);
            }
            _ => {}
        }
    }

    fn cap(&mut self, verb: &str, has_more: bool, list: &str) {
        match verb {
            "LS" => {
                let names = list.split_whitespace().map(|cap| cap.split('=').next().unwrap_or(cap));
                self.offered.extend(names.filter(|name| WANTED.contains(name)).map(str::to_owned));
                if has_more || self.is_held {
                    return;
                }
                self.is_held = true;
                let wanted = std::mem::take(&mut self.offered);
                match wanted.is_empty() {
                    true => self.send("CAP END"),
                    false => {
                        self.send(&Line::new().command("CAP").param("REQ").last(&wanted.join(" ")).build());
                    }
                }
            }
            "ACK" | "NAK" => {
                for cap in list.split_whitespace().filter(|_| verb == "ACK") {
                    match cap {
                        "message-tags" => self.tags = true,
                        "labeled-response" => self.labels = true,
                        "echo-message" => self.echo = true,
                        multiline::NAME => self.takes_whole = true,
                        "setname" => self.sets_name = true,
                        "draft/message-redaction" => self.takes_back = true,
                        _ => {}
                    }
                }
                self.send("CAP END");
            }
            "DEL" => {
                // Without either, lines are confirmed by a PING behind them.
                self.labels &= !list.contains("labeled-response");
                self.echo &= !list.contains("echo-message");
                self.takes_whole &= !list.contains(multiline::NAME);
                self.sets_name &= !list.contains("setname");
                self.takes_back &= !list.contains("draft/message-redaction");
            }
            _ => {}
        }
    }

    fn another_nick(&mut self) {
        let Some(nick) = self.setup.other_nicks.pop_front() else { return self.lost("no nick is free") };
        self.nick = nick;
        self.send(&Line::new().command("NICK").param(&self.nick.clone()).build());
    }

    /// The answer to a label has come.
    fn answered(&mut self, number: u64, answer: Answer) {
        let open = self.open.iter().find(|open| open.number == number);
        if answer.is_echo {
            self.echoes.came_in_time();
        }
        let is_proof = self.echoes.prove() && open.is_some_and(|open| self.has_echo(open));
        let is_shown = answer.is_echo || !is_proof;
        let fate = match answer.error {
            Some(refusal) if refusal.passes => Fate::Dropped,
            Some(_) => Fate::Refused,
            None if is_shown => Fate::Said(answer.msgid),
            None => Fate::Dropped,
        };
        self.settled(number, fate);
    }

    /// The server has seen a line without a label.
    fn ponged(&mut self, number: u64) {
        let Some(open) = self.open.iter().find(|open| open.number == number) else { return };
        let is_proof = self.echo && self.echoes.prove() && self.has_echo(open);
        let is_said = open.is_echoed || !is_proof;
        let msgid = open.msgid.clone();
        self.settled(number, if is_said { Fate::Said(msgid) } else { Fate::Dropped });
    }

    /// The server shows us what it says, where it says it at once: in a channel, and not what is taken back.
    fn has_echo(&self, open: &Open) -> bool {
        open.text.is_some() && self.support.is_channel(&open.target)
    }

    /// A line of ours came back, without a label.
    fn echoed(&mut self, target: &str, text: &str, msgid: Option<String>) {
        // See `outbound/confirm.rs`.
        let bare = self.support.without_signs(target);
        let (is_channel, folded) = (self.support.is_channel(bare), self.support.fold(bare));
        let is_it = |open: &&mut Open| open.target == folded && open.text.is_some() && !open.is_echoed;
        let Some(open) = self.open.iter_mut().find(is_it) else {
            if is_channel {
                self.echoes.came_late();
            }
            return;
        };
        (open.is_echoed, open.msgid) = (true, msgid);
        let said = open.text.as_deref().map(strip);
        if is_channel && said.is_some_and(|said| strip(text).ends_with(&*said)) {
            self.echoes.came_in_time();
        }
    }

    /// Something is known about a line.
    fn settled(&mut self, number: u64, fate: Fate) {
        let Some(at) = self.open.iter().position(|open| open.number == number) else { return };
        self.open.remove(at);
        self.news.push_back(match fate {
            Fate::Said(msgid) => News::Said { number, msgid },
            Fate::Refused => News::NotSaid { number, passes: false },
            Fate::Dropped => News::NotSaid { number, passes: true },
        });
    }

    /// The oldest line to a target was refused; false when there is none. What has a label has its own answer.
    fn cannot_say(&mut self, target: &str, fate: Fate) -> bool {
        if self.labels && self.echo {
            return false;
        }
        let folded = self.support.fold(target);
        let found = self.open.iter().find(|open| open.target == folded).map(|open| open.number);
        if let Some(number) = found {
            self.settled(number, fate);
        }
        found.is_some()
    }

    fn query(&mut self, message: &Message<'_>, nick: &str) {
        let tag = |key: &str| message.tags.get(key).map(Cow::into_owned);
        self.news.push_back(News::Query(Query {
            nick: nick.to_owned(),
            account: tag("account"),
            text: message.param(1).unwrap_or("").to_owned(),
            is_notice: message.command == "NOTICE",
            msgid: tag("msgid"),
            at: tag("time").and_then(|at| time::parse(&at)),
        }));
    }
}

/// What became of a line.
enum Fate {
    /// Under this id, if the network tells.
    Said(Option<String>),
    Refused,
    /// This line and no other: too much was said, or it was swallowed without a word.
    Dropped,
}

/// The number of one of our labels or barriers.
fn number(token: &str) -> Option<u64> {
    token.strip_prefix('w')?.parse().ok()
}

/// What the server's last words mean.
fn gone(why: &str) -> Gone {
    let lower = why.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let said = words::from_server(why);
    if has(&inbound::TOO_FAST) {
        Gone::Throttled(said)
    } else if has(&inbound::BANNED) {
        Gone::Barred(said)
    } else {
        Gone::Lost(said)
    }
}
