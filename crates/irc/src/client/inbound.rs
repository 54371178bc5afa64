//! What the server says: who is where, and what people say to whom.

use wxgate_contract::{
    Author, Body, ChatKey, ChatKind, ChatProfile, ChatRef, Mention, PersonKey, Post, Quote, RemoteId,
};

use super::answers::{self, Refusal, Told};
use super::puppet::Query;
use super::session::{End, Phase, Session};
use super::{nicks, time, words};
use crate::wire::format::strip;
use crate::wire::message::{Line, Message};

/// People who are told that nobody reads their query. Chosen: an end, whoever writes.
const TOLD: usize = 1000;
/// What somebody is told who has the nick of a linked query, and not the account of whom it is with.
pub(super) const NOT_THEIRS: &str = "This query is linked for somebody who was signed in to the services here as \
     another account than you. Sign in as them; nobody reads what is said here otherwise.";
/// Answers to strangers that may wait; a flood of questions gets silence.
const WAITING: usize = 5;

/// Words in a server's last sentence that mean: not so many, not so fast.
pub(super) const TOO_FAST: [&str; 4] = ["throttl", "too fast", "reconnect", "too many"];
/// And that mean: not at all.
pub(super) const BANNED: [&str; 7] = ["k-line", "k:line", "g-line", "z-line", "d-line", "akill", "banned"];
/// And that mean: not before a setting was changed.
const WRONG: [&str; 1] = ["bad password"];

/// A numeric that may answer a JOIN: all that refuse but those that are for what is said (404, 442, 482).
/// Source: "Numerics" in Modern IRC; 926: InspIRCd's `m_cban` and `m_denychans`.
fn is_closed(code: &str) -> bool {
    code == "926" || answers::is_refusal(code) && !matches!(code, "404" | "442" | "482" | "707" | "716")
}

/// `nick!user@host`
pub(super) fn nick_of(source: &str) -> &str {
    source.split_once('!').map_or(source, |(nick, _)| nick)
}

impl Session<'_> {
    /// One line.
    pub(super) fn line(&mut self, message: &Message<'_>) {
        let param = |at: usize| message.param(at).unwrap_or("");
        let last = message.params().last().copied().unwrap_or("");
        let is_answer = match self.answers.read(message) {
            Told::Nothing => false,
            Told::Part => true,
            Told::Whole(answer) => self.answered(answer),
        };
        if is_answer {
            return;
        }
        if matches!(self.phase, Phase::Registering(_)) && self.registering(message) {
            return;
        }
        if let Some(chat) = answers::flooded(message) {
            return self.cannot_say(chat, &Refusal::of(message));
        }
        match message.command {
            "PING" => {
                let pong = Line::new().command("PONG").last(param(0)).build();
                self.send(&pong);
            }
            "PONG" => self.ponged(last),
            "ERROR" => self.told_to_go(param(0)),
            "005" => {
                let tokens = message.params();
                self.support.take(tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default());
            }
            "396" => {
                self.me.host = message.param(1).map(|host| host.rsplit('@').next().unwrap_or(host).to_owned())
            }
            "900" => self.me.account = message.param(2).map(str::to_owned),
            "901" => self.me.account = None,
            "433" => {}
            "730" | "731" | "303" => self.nick_news(message.command, last),
            "JOIN" | "PART" | "KICK" | "QUIT" | "NICK" | "MODE" | "TOPIC" | "CHGHOST" | "324" | "332"
            | "353" | "366" => self.room_news(message),
            code if is_closed(code) && self.is_joining(param(1)) => self.not_let_in(code, param(1), last),
            "330" => self.whois_account(param(1), param(2)),
            "318" => self.whois_ends(param(1)),
            "401" | "403" | "404" | "407" | "408" | "412" | "415" | "417" | "437" | "439" | "442" | "477"
            | "480" | "482" | "486" | "489" | "492" | "531" | "707" | "716" => {
                self.whois_ends(param(1));
                // Numerics name the target behind our own nick; 408 and others do so too.
                self.cannot_say(param(1), &Refusal::of(message));
            }
            "FAIL" if param(0) == "BATCH" => self.takes_lines_only(),
            "FAIL" if param(0) == "CHATHISTORY" => self.no_history(message),
            "BATCH" => self.batch(message),
            "FAIL" => {
                let targets: Vec<String> = message.params().iter().skip(2).map(|p| (*p).to_owned()).collect();
                for target in &targets {
                    self.cannot_say(target, &Refusal::of(message));
                }
            }
            "CAP" => self.cap_news(param(1), last),
            "PRIVMSG" | "NOTICE" => self.heard(message),
            "REDACT" => self.taken_back(message),
            "RENAME" => self.channel_renamed(param(0), param(1)),
            _ => {}
        }
    }

    fn cap_news(&mut self, verb: &str, list: &str) {
        if verb == "DEL" {
            // What is gone is not relied on any more; a connection with all of it comes later.
            for cap in list.split_whitespace() {
                match cap {
                    "labeled-response" => self.caps.labels = false,
                    "echo-message" => self.caps.echo = false,
                    "draft/relaymsg" => self.caps.relaymsg = false,
                    "account-tag" => self.caps.accounts = false,
                    "draft/message-redaction" => self.caps.redaction = false,
                    "draft/multiline" => self.caps.multiline = None,
                    _ => {}
                }
            }
        }
    }

    /// ERROR: the connection is over, and its sentence says whether we may come back.
    fn told_to_go(&mut self, why: &str) {
        let said = words::from_server(why);
        let lower = why.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let end = match () {
            () if has(&TOO_FAST) => End::Throttled(said),
            () if has(&BANNED) => return self.banned(&said),
            () if has(&WRONG) => End::Fatal(said),
            () => return self.finish(&said),
        };
        self.end.get_or_insert(end);
    }

    /// We are not wanted there, with this sentence of the server's.
    pub(super) fn banned(&mut self, said: &str) {
        let how = format!("wxgate network retry {}", self.relay.network.name());
        let why = format!("{said}; it is tried again after hours, or at once with: {how}");
        self.end.get_or_insert(End::Barred(why));
    }

    pub(super) fn is_me(&self, nick: &str) -> bool {
        self.support.fold(nick) == self.support.fold(&self.me.nick)
    }

    /// Something that somebody says.
    pub(super) fn heard(&mut self, message: &Message<'_>) {
        if self.gather(message) {
            return;
        }
        let Some(source) = message.source else { return };
        let (nick, Some(target), Some(text)) = (nick_of(source), message.param(0), message.param(1)) else {
            return;
        };
        let msgid = message.tags.get("msgid");
        let time = message.tags.get("time").and_then(|time| time::parse(&time));
        let is_history = self.is_history(message);
        let speaker = message.tags.get("draft/relaymsg").unwrap_or(nick.into());
        if is_history {
            let is_news = self.count_history(message, time);
            // Without an id nobody could tell whether it was heard; our own words need no telling, under whatever
            // nick they were said.
            let is_ours = self.is_me(&speaker) || self.relay.was_called(&self.support.fold(&speaker));
            if msgid.is_none() || is_ours || !is_news {
                return;
            }
        }
        if self.is_me(&speaker) {
            // Lines of a batch are answered as one, by its label.
            if message.tags.get("batch").is_none() {
                self.echoed(target, text, msgid.as_deref());
            }
            return;
        }
        if self.is_puppet(nick) {
            return;
        }
        // Our other connections have our account; what they say was said by us.
        let account = message.tags.get("account");
        if account.is_some() && account.as_deref() == self.me.account.as_deref() {
            return;
        }
        let is_server = !source.contains('!') && (source.contains('.') || source.is_empty());
        if is_server || (message.tags.get("bot").is_some() && !self.relay.config.relay_bots) {
            return;
        }
        let is_notice = message.command == "NOTICE";
        let chat = match self.relay.rooms.0.get(&self.support.fold(target)) {
            Some(room) => room.key.clone(),
            // To some of a channel (`@#c`), or to us alone.
            None if !self.is_me(target) => return,
            None => match self.query((nick, account.as_deref()), text, is_notice) {
                Some(chat) => chat,
                None => return,
            },
        };
        let Some(body) = self.body(text) else { return };
        let (body, mentions) = self.addressed(&chat, body);
        let at = time.unwrap_or_else(|| self.relay.clock.now());
        let reply = message.tags.get("+draft/reply").or_else(|| message.tags.get("+reply"));
        let quote = reply.map(|id| Quote {
            target: Some(RemoteId::new(&*id)),
            author_name: String::new(),
            excerpt: String::new(),
        });
        let post = Post {
            remote_id: msgid.map_or_else(|| self.relay.own_id(), |id| RemoteId::new(&*id)),
            chat: ChatRef { network: self.relay.network.clone(), chat },
            author: Author::Person { person: self.person(nick, account.as_deref()), name: nick.to_owned() },
            at,
            body,
            quote,
            mentions,
            echo_of: None,
        };
        match is_history {
            true => self.relay.heard(post),
            false => self.heard_live(post, time),
        }
    }

    /// Who somebody is for good: their account, where the network tells it.
    fn person(&self, nick: &str, account: Option<&str>) -> PersonKey {
        match account.filter(|account| *account != "*" && !account.is_empty()) {
            Some(account) => PersonKey::new(format!("={account}")),
            None => PersonKey::new(self.support.fold(nick)),
        }
    }

    /// What a text is; `None` for what is not meant for people.
    fn body(&self, text: &str) -> Option<Body> {
        if let Some(ctcp) = text.strip_prefix('\x01') {
            let action = ctcp.strip_prefix("ACTION ")?;
            let text = strip(action.trim_end_matches('\x01')).trim().to_owned();
            return (!text.is_empty()).then_some(Body::Action { text });
        }
        let text = strip(text).trim_end().to_owned();
        (!text.is_empty()).then_some(Body::Text { text })
    }

    /// A query to the relay: a linked chat, a CTCP question, or words that nobody would read.
    fn query(
        &mut self,
        (nick, account): (&str, Option<&str>),
        text: &str,
        is_notice: bool,
    ) -> Option<ChatKey> {
        let folded = self.support.fold(nick);
        let linked = self.relay.linked.now();
        let chat = linked.into_iter().find(|chat| self.support.fold(chat.as_str()) == folded);
        let ctcp = text.strip_prefix('\x01').map(|t| t.trim_end_matches('\x01'));
        if let Some(ctcp) = ctcp.filter(|ctcp| !ctcp.starts_with("ACTION ")) {
            if !is_notice {
                self.answer_ctcp(nick, ctcp);
            }
            return None;
        }
        let is_linked = chat.is_some();
        let chat = chat.filter(|chat| self.is_theirs(chat, account));
        // Services and automatic answers are not written back to.
        let is_welcome = !is_notice && self.courtesies.len() < WAITING && self.told.len() < TOLD;
        if chat.is_none() && is_welcome && self.told.insert(folded) {
            let words = match is_linked {
                true => NOT_THEIRS,
                false => "I am a relay between chats. Nobody reads what is said to me here.",
            };
            self.courtesies.push_back(Line::new().command("NOTICE").param(nick).last(words).build());
        }
        chat
    }

    /// A linked query to a puppet.
    pub(super) fn heard_query(&mut self, chat: ChatKey, query: Query) {
        let Query { nick, account, text, msgid, at, .. } = query;
        let Some(body) = self.body(&text) else { return };
        let post = Post {
            remote_id: msgid.map_or_else(|| self.relay.own_id(), RemoteId::new),
            chat: ChatRef { network: self.relay.network.clone(), chat },
            author: Author::Person { person: self.person(&nick, account.as_deref()), name: nick },
            at: at.unwrap_or_else(|| self.relay.clock.now()),
            body,
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        self.relay.heard(post);
    }

    fn answer_ctcp(&mut self, nick: &str, request: &str) {
        let Some(answer) = self.ctcp_answer(request) else { return };
        if self.courtesies.len() < WAITING {
            self.courtesies.push_back(Line::new().command("NOTICE").param(nick).last(&answer).build());
        }
    }

    /// Source: "CTCP" in Modern IRC.
    pub(super) fn ctcp_answer(&self, request: &str) -> Option<String> {
        let (word, rest) = request.split_once(' ').unwrap_or((request, ""));
        let answer = match word.to_ascii_uppercase().as_str() {
            "VERSION" => format!("VERSION wxgate {}", env!("CARGO_PKG_VERSION")),
            "PING" => format!("PING {rest}"),
            "TIME" => format!("TIME {}", crate::server::stamp::long(self.relay.clock.now())),
            "CLIENTINFO" => "CLIENTINFO ACTION PING TIME VERSION".to_owned(),
            "DCC" => "ERRMSG DCC :files are not taken here; send a link".to_owned(),
            _ => return None,
        };
        Some(format!("\x01{answer}\x01"))
    }

    /// `name: words` and `@name` mean somebody whose words we carried, also behind our own nick.
    fn addressed(&self, chat: &ChatKey, body: Body) -> (Body, Vec<Mention>) {
        let Body::Text { text } = body else { return (body, Vec::new()) };
        let mut text = text;
        // `relay: 张三: hi` is for 张三.
        if let Some((first, rest)) = text.split_once([':', ','])
            && self.is_me(first)
        {
            text = rest.trim_start().to_owned();
        }
        let mut mentions = Vec::new();
        let mut mention = |start: usize, end: usize, person: &PersonKey| {
            mentions.push(Mention { person: Some(person.clone()), is_owner: false, range: (start, end) });
        };
        if let Some((length, person)) = self.relay.named(chat, &text)
            && text.get(length..).is_some_and(|rest| rest.starts_with([':', ',', '：', '，']))
        {
            mention(0, length, person);
        }
        for (at, _) in text.match_indices('@') {
            let named = text.get(at + 1..).and_then(|rest| self.relay.named(chat, rest));
            if let Some((length, person)) = named {
                mention(at, at + 1 + length, person);
            }
        }
        (Body::Text { text }, mentions)
    }

    /// REDACT. Source: IRCv3 draft/message-redaction.
    fn taken_back(&mut self, message: &Message<'_>) {
        let (Some(source), Some(target), Some(id)) = (message.source, message.param(0), message.param(1))
        else {
            return;
        };
        let nick = nick_of(source);
        // What our connections take back was recalled elsewhere.
        let account = message.tags.get("account");
        let is_our_account = account.is_some() && account.as_deref() == self.me.account.as_deref();
        if self.is_me(nick) || self.is_puppet(nick) || is_our_account {
            return;
        }
        let Some(room) = self.relay.rooms.0.get(&self.support.fold(target)) else { return };
        let chat = room.key.clone();
        let body = Body::Recall { target: Some(RemoteId::new(id)), notice: String::new() };
        let post = Post {
            remote_id: RemoteId::new(format!("{id}/redacted")),
            chat: ChatRef { network: self.relay.network.clone(), chat },
            author: Author::Person { person: self.person(nick, None), name: nick.to_owned() },
            at: self.relay.clock.now(),
            body,
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        self.relay.heard(post);
    }

    /// Tells people who comes and goes, where the operator wants it.
    pub(super) fn say_news(&mut self, chat: ChatKey, text: String) {
        if !self.relay.config.show_joins {
            return;
        }
        let post = Post {
            remote_id: self.relay.own_id(),
            chat: ChatRef { network: self.relay.network.clone(), chat },
            author: Author::Network,
            at: self.relay.clock.now(),
            body: Body::text(text),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        self.relay.heard(post);
    }

    /// What a channel is called, for lists and for other networks.
    pub(super) fn describe(&mut self, folded: &str) {
        let Some(room) = self.relay.rooms.0.get(folded) else { return };
        let profile = ChatProfile {
            chat: room.key.clone(),
            kind: ChatKind::Group,
            title: room.name.clone(),
            topic: strip(&room.topic).into_owned(),
            is_owned: false,
            owner: None,
            members: None,
            is_gone: false,
        };
        self.relay.describe(profile);
    }
}

/// A name as it may stand in a sentence.
pub(super) fn shown(nick: &str) -> String {
    nicks::clean(nick)
}
