//! The commands of a registered client, as a table.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wxgate_contract::BoxFuture;

use super::caps::Caps;
use super::client::Capture;
use super::held::Held;
use super::registration::{bad_control, bad_text};
use super::registry::ClientId;
use super::session::Session;
use crate::wire::message::{BadLine, Line, Message};
use crate::wire::numeric as n;
use crate::wire::tags::{Tags, escape_into};

mod channel;
mod connection;
mod info;
mod list;
mod message;
mod monitor;
pub(super) mod query;

pub(super) use connection::{AWAY_CHARS, Who};

/// One line being carried out.
pub(super) struct Turn<'a> {
    pub(super) client: ClientId,
    pub(super) message: &'a Message<'a>,
    /// Of labeled-response, where the client negotiated it.
    pub(super) label: Option<String>,
}

impl Turn<'_> {
    /// A parameter; empty when absent, where that makes no difference.
    pub(super) fn param(&self, at: usize) -> &str {
        self.message.param(at).unwrap_or("")
    }

    /// Tags that clients send each other, as they came; of a repeated one the last.
    pub(super) fn client_tags(&self) -> String {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        for (key, value) in self.message.tags.iter().filter(|(key, _)| key.starts_with('+')) {
            tags.retain(|(known, _)| *known != key);
            tags.push((key, value));
        }
        let words = tags
            .into_iter()
            .map(|(key, value)| if value.is_empty() { key.to_owned() } else { format!("{key}={value}") });
        words.collect::<Vec<_>>().join(";")
    }

    /// The `msgid` that the line answers to. Source: IRCv3 client-tags, `+draft/reply`.
    pub(super) fn reply(&self) -> Option<String> {
        let tags = &self.message.tags;
        tags.get("+draft/reply").or_else(|| tags.get("+reply")).map(std::borrow::Cow::into_owned)
    }
}

type Later = for<'a> fn(&'a mut Session, &'a Turn<'a>) -> BoxFuture<'a, ()>;

enum Run {
    Now(fn(&mut Session, &Turn<'_>)),
    /// Reads or commits on the way.
    Later(Later),
}

struct Command {
    name: &'static str,
    min_params: usize,
    /// To a client that did not negotiate these it is no command at all.
    needs: Caps,
    run: Run,
}

impl Command {
    const fn needs(self, caps: Caps) -> Self {
        let Self { name, min_params, run, .. } = self;
        Self { name, min_params, needs: caps, run }
    }
}

const fn now(name: &'static str, min_params: usize, run: fn(&mut Session, &Turn<'_>)) -> Command {
    Command { name, min_params, needs: Caps::NONE, run: Run::Now(run) }
}

const fn later(name: &'static str, min_params: usize, run: Later) -> Command {
    Command { name, min_params, needs: Caps::NONE, run: Run::Later(run) }
}

/// Every command. Before registration only those of `registration.rs` work; the others are 451.
const COMMANDS: &[Command] = &[
    now("ADMIN", 0, info::admin),
    later("AUTHENTICATE", 1, |session, turn| Box::pin(connection::authenticate(session, turn))),
    now("AWAY", 0, connection::away),
    later("BATCH", 1, |session, turn| Box::pin(session.batch_command(turn))).needs(Caps::MULTILINE),
    later("BOUNCER", 1, |session, turn| Box::pin(session.bouncer(turn))).needs(Caps::BOUNCER),
    now("CAP", 1, connection::cap),
    later("CHATHISTORY", 0, |session, turn| Box::pin(session.chathistory(turn))),
    now("HELP", 0, info::help),
    now("HELPOP", 0, info::help),
    now("INFO", 0, info::info),
    now("INVITE", 0, channel::invite),
    now("ISON", 1, query::ison),
    now("ISUPPORT", 0, info::isupport).needs(Caps::EXTENDED_ISUPPORT),
    later("JOIN", 1, |session, turn| Box::pin(channel::join(session, turn))),
    now("KICK", 2, channel::kick),
    now("KILL", 1, info::kill),
    now("LINKS", 0, info::links),
    later("LIST", 0, |session, turn| Box::pin(list::list(session, turn))),
    now("LUSERS", 0, info::lusers),
    later("MARKREAD", 0, |session, turn| Box::pin(session.markread(turn))).needs(Caps::READ_MARKER),
    later("METADATA", 2, |session, turn| Box::pin(session.metadata(turn))).needs(Caps::METADATA),
    now("MODE", 1, channel::mode),
    now("MONITOR", 1, monitor::monitor),
    now("MOTD", 0, info::motd),
    later("NAMES", 0, |session, turn| Box::pin(channel::names(session, turn))),
    now("NICK", 0, connection::nick),
    later("NOTICE", 0, |session, turn| Box::pin(message::notice(session, turn))),
    later("OPER", 2, |session, turn| Box::pin(info::oper(session, turn))),
    later("PART", 1, |session, turn| Box::pin(channel::part(session, turn))),
    now("PASS", 0, connection::already),
    later("PING", 0, |session, turn| Box::pin(connection::ping(session, turn))),
    now("PONG", 0, connection::pong),
    later("PRIVMSG", 0, |session, turn| Box::pin(message::privmsg(session, turn))),
    later("QUIT", 0, |session, turn| Box::pin(connection::quit(session, turn))),
    later("REDACT", 2, |session, turn| Box::pin(session.redact(turn))).needs(Caps::REDACTION),
    now("REHASH", 0, info::operators_only),
    now("RENAME", 2, channel::rename),
    now("RESTART", 0, info::operators_only),
    later("SEARCH", 1, |session, turn| Box::pin(session.search(turn))).needs(Caps::SEARCH),
    now("SETNAME", 1, connection::setname),
    now("STATS", 0, info::stats),
    now("TAGMSG", 1, message::tagmsg).needs(Caps::MESSAGE_TAGS),
    now("TIME", 0, info::time),
    later("TOPIC", 1, |session, turn| Box::pin(channel::topic(session, turn))),
    now("USER", 0, connection::already),
    now("USERHOST", 1, query::userhost),
    now("VERSION", 0, info::version),
    now("WALLOPS", 1, info::wallops),
    later("WHO", 0, |session, turn| Box::pin(query::who(session, turn))),
    later("WHOIS", 0, |session, turn| Box::pin(query::whois(session, turn))),
    now("WHOWAS", 0, query::whowas),
];

/// True for a command that exists.
pub(super) fn is_known(word: &str) -> bool {
    COMMANDS.iter().any(|command| command.name == word)
}

/// Longest label. Source: IRCv3 labeled-response.
const MAX_LABEL_BYTES: usize = 64;

impl Session {
    /// Carries out one line of a client.
    pub(super) async fn line(&mut self, id: ClientId, line: &str, permit: Option<OwnedSemaphorePermit>) {
        let queue = self.clients.get(&id).map(|client| Arc::clone(&client.queue));
        self.carry_out(id, line, permit).await;
        if let Some(queue) = queue {
            queue.release();
        }
    }

    async fn carry_out(&mut self, id: ClientId, line: &str, permit: Option<OwnedSemaphorePermit>) {
        let message = match Message::parse(line) {
            Ok(message) => message,
            Err(BadLine::Control) => return self.control_line(id, line),
            Err(BadLine::NoCommand) => return self.odd_word(id, line),
            Err(BadLine::Empty) => return,
        };
        let label = self.label_of(id, message.tags);
        let Some(client) = self.clients.get_mut(&id) else { return };
        if label.is_some() {
            // What is done on the way is told when all of it is done, and what others do meanwhile comes after that.
            client.capture = Some(Capture::default());
            client.queue.hold();
        }
        let word = message.command.to_ascii_uppercase();
        // Whatever is typed after a held line comes after it; only the rest of the same text joins it. What clients ask by
        // themselves (irssi after it has joined, both every minute) does not cut a text in two that comes by and by.
        let goes_between = match word.as_str() {
            "PRIVMSG" | "NOTICE" | "PONG" | "TAGMSG" => true,
            "PING" | "MODE" | "WHO" | "ISON" | "USERHOST" => {
                client.held.as_ref().is_some_and(Held::may_go_on)
            }
            _ => false,
        };
        if !goes_between {
            self.flush_held(id).await;
        }
        self.is_deferred = false;
        let turn = Turn { client: id, message: &message, label: label.clone() };
        if self.batched_line(&turn) {
            if let Some(label) = label {
                // The batch as a whole is answered; what is said about this line is its own.
                self.is_deferred = true;
                self.answer_labelled(id, &label);
            }
            return;
        }
        let was_answering = self.is_answering(id);
        let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
        match COMMANDS.iter().find(|command| command.name == word && caps.has(command.needs)) {
            None => {
                let shown = Line::new().command("").param(message.command).build();
                self.numeric(id, n::ERR_UNKNOWNCOMMAND, &format!("{} :Unknown command", shown.trim()));
            }
            Some(command) if message.params().len() < command.min_params => {
                self.numeric(id, n::ERR_NEEDMOREPARAMS, &format!("{word} :Not enough parameters"));
            }
            Some(Command { run: Run::Now(run), .. }) => run(self, &turn),
            Some(Command { run: Run::Later(run), .. }) => run(self, &turn).await,
        }
        match label {
            label if self.is_answering(id) && !was_answering => {
                self.keep_answering(id, label.as_deref(), permit);
            }
            Some(label) => self.answer_labelled(id, &label),
            None => {}
        }
    }

    /// The label of a line, where the client negotiated labels.
    fn label_of(&self, id: ClientId, tags: Tags<'_>) -> Option<String> {
        let has_labels = self.clients.get(&id).is_some_and(|client| client.has(Caps::LABELED_RESPONSE));
        let is_label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL_BYTES;
        tags.get("label").filter(|label| has_labels && is_label(label)).map(std::borrow::Cow::into_owned)
    }

    /// A word that cannot be a command is an unknown one, and no line is dropped without a word.
    fn odd_word(&mut self, id: ClientId, line: &str) {
        let (tags, rest) =
            line.trim_start().strip_prefix('@').and_then(|t| t.split_once(' ')).unwrap_or(("", line));
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let Some(word) = words.find(|word| !word.starts_with([':', '@'])) else { return };
        let shown = Line::new().command("").param(word).build();
        let label = self.label_of(id, Tags::parse(tags));
        let tag = label.map(|label| Line::new().tag("label", &label).build());
        let server = &self.shared.config.server_name;
        let answer =
            format!(":{server} {} {} {} :Unknown command", n::ERR_UNKNOWNCOMMAND, self.nick, shown.trim());
        self.to(id, &tag.map_or_else(|| answer.clone(), |tag| format!("{tag} {answer}")));
        self.leaves_hole(id, Some(Tags::parse(tags)));
    }

    /// A line with NUL or CR in it.
    fn control_line(&mut self, id: ClientId, line: &str) {
        let readable = line.replace(['\0', '\r'], "\u{FFFD}");
        self.not_taken(id, &readable, |server, label| bad_control(server, line, label));
    }

    /// A line that is not UTF-8; `line` is what can be read of it.
    pub(super) fn unreadable_line(&mut self, id: ClientId, line: &str) {
        self.not_taken(id, line, |server, label| Some(bad_text(server, line, label)));
    }

    /// A line that says nothing, with what is answered to it: the server's name and the line's label are given.
    fn not_taken(
        &mut self,
        id: ClientId,
        readable: &str,
        answer: impl FnOnce(&str, Option<&str>) -> Option<String>,
    ) {
        let tags = Message::parse(readable).ok().map(|message| message.tags);
        let label = self.label_of(id, tags.unwrap_or_default());
        if let Some(answer) = answer(&self.shared.config.server_name, label.as_deref()) {
            self.to(id, &answer);
        }
        self.leaves_hole(id, tags);
    }

    /// A line of which nothing was kept.
    pub(super) fn long_line(&mut self, id: ClientId) {
        self.numeric(id, n::ERR_INPUTTOOLONG, ":Input line was too long");
        self.leaves_hole(id, None);
    }

    /// The collected answers: none is an ACK, one carries the label, more are a batch. With them the label is answered:
    /// what becomes of the line later has none.
    pub(super) fn answer_labelled(&mut self, id: ClientId, label: &str) {
        let server = self.shared.config.server_name.clone();
        let reference = format!("l{}", self.shared.next_number());
        let is_deferred = std::mem::take(&mut self.is_deferred);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let lines = client.capture.take().map(|capture| capture.lines).unwrap_or_default();
        let mut tag = String::from("label=");
        escape_into(&mut tag, label);
        if is_deferred && !lines.is_empty() {
            let pending = self.pending.values_mut().filter(|pending| pending.client == id);
            pending.for_each(|pending| pending.labels.retain(|later| later != label));
        }
        let with = |tag: &str, line: &str| match line.strip_prefix('@') {
            Some(rest) => format!("@{tag};{rest}"),
            None => format!("@{tag} {line}"),
        };
        match lines.as_slice() {
            [] if is_deferred => {}
            [] => client.raw_line(&format!("@{tag} :{server} ACK")),
            [line] => client.raw_line(&with(&tag, line)),
            [first, rest @ ..] if is_one_batch(first, rest) => {
                client.raw_line(&with(&tag, first));
                rest.iter().for_each(|line| client.raw_line(line));
            }
            lines if client.has(Caps::BATCH) => {
                client.raw_line(&format!("@{tag} :{server} BATCH +{reference} labeled-response"));
                lines.iter().for_each(|line| client.batched_line(Some(&reference), line));
                client.raw_line(&format!(":{server} BATCH -{reference}"));
            }
            lines => lines.iter().for_each(|line| client.raw_line(line)),
        }
    }
}

/// True when an answer is one batch already, which then carries the label itself.
fn is_one_batch(first: &str, rest: &[String]) -> bool {
    let reference = |line: &str, sign: char| {
        let (_, words) = line.split_once(" BATCH ")?;
        words.strip_prefix(sign)?.split(' ').next().map(str::to_owned)
    };
    let opened = reference(first, '+');
    opened.is_some() && opened == rest.last().and_then(|last| reference(last, '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_twins() {
        let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(is_known("PRIVMSG") && !is_known("FOO"));
    }
}
