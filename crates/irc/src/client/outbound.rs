//! Deliveries become lines: one line per chat at a time, each after its note is on disk, each
//! confirmed by a labelled answer or by a PING that only comes back behind it.
//!
//! Source: IRCv3 echo-message, labeled-response, message-redaction; the IRC notes, section 8.

use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{Delivery, DeliveryId, Job, MediaError, Outcome, RemoteId, Say};

use super::flights::{Flight, Proof, Step};
use super::multiline::Part;
use super::rooms::Presence;
use super::session::{Phase, Session};
use super::words;
use crate::server::names::{self, Style};
use crate::wire::message::Line;
use crate::wire::split;

mod backlog;
mod confirm;
mod whole;

/// What a line says that may have been said before. Product promise 2.
const REPEATED: &str = "[may be repeated] ";
/// What stands behind the nick of a RELAYMSG. Source: draft/relaymsg: a sign that no nick has.
const RELAYED: &str = "/wx";
/// Lines of a message that are said; of a longer one the first three and a link.
/// Source: the IRC notes, section 8.
const MOST_LINES: usize = 4;
/// Lines when nothing can hold the full text: far more than people write, an end all the same.
const MOST_LINES_WITHOUT_LINK: usize = 40;
/// When a chat that cannot be entered now is tried again.
const LATER: Duration = Duration::from_secs(60);
/// By when a network is told of a new link, many times over.
const TOLD_SOON: Duration = Duration::from_secs(2);
/// What a barrier costs of the pacing. A server counts a PING too, but less than a line.
const BARRIER: f64 = 0.5;
/// User and host as others see them, while they are not known: `~` and 9, and 63.
/// Source: the IRC notes, section 1.
const UNKNOWN_USER: usize = 10;
const UNKNOWN_HOST: usize = 63;

impl Session<'_> {
    pub(super) fn take(&mut self, delivery: Delivery) {
        if let Job::Say(say) = &delivery.job {
            self.relay.remember_home(&delivery.chat, &say.post.chat);
            self.relay.remember_said(say.post_id, words::author(say));
        }
        if let Some((id, outcome)) = self.relay.flights.take(delivery) {
            self.relay.settle(id, outcome);
        }
    }

    pub(super) fn has_unconfirmed(&self) -> bool {
        let is_open = |f: &Flight| matches!(f.step, Step::Sent { .. } | Step::Settling);
        self.relay.flights.all.iter().any(is_open)
    }

    /// True when a line waits for nothing but the pacing.
    pub(super) fn has_clear(&self, now: Instant) -> bool {
        let may_go = |f: &Flight| f.step == Step::Clear && matches!(self.gate(f, now), Gate::Open);
        matches!(self.phase, Phase::Ready) && self.relay.flights.all.iter().any(may_go)
    }

    /// Moves every delivery as far as it goes now.
    pub(super) fn fly(&mut self, now: Instant) {
        self.check_time(now);
        let mut served = Vec::new();
        for _ in 0..self.relay.flights.all.len() {
            let Some(flight) = self.relay.flights.all.first() else { break };
            let (step, id) = (flight.step.clone(), flight.delivery.id);
            let may_go = match step {
                Step::Fresh | Step::Clear => self.gate(flight, now),
                _ => Gate::Wait,
            };
            match (step, may_go) {
                (_, Gate::Never(outcome)) => self.relay.settle(id, outcome),
                (Step::Fresh, Gate::Open) => self.prepare(),
                (Step::Clear, Gate::Open) if self.say(now) => {
                    self.spoke();
                    served.push(id);
                }
                _ => {}
            }
            self.relay.flights.all.rotate_left(1);
        }
        self.is_words_turn &= served.is_empty();
        // Who was served stands behind who was not: fair between chats, whatever each has to say.
        self.relay.flights.all.sort_by_key(|flight| served.contains(&flight.delivery.id));
        self.ask_barrier(now);
    }

    /// The first flight said something: the nick under which it did is in use.
    fn spoke(&mut self) {
        let puppet = self.relay.flights.all.first().and_then(|flight| match flight.step {
            Step::Sent { proof: Proof::Puppet(id, _), .. } => Some(id),
            _ => None,
        });
        let nick = match puppet {
            Some(id) => self.puppets.nick_of(id),
            None => Some(self.me.nick.clone()),
        };
        if let Some(nick) = nick {
            self.relay.is_called(self.support.fold(&nick));
        }
    }

    /// Whether a flight may speak in its chat.
    fn gate(&self, flight: &Flight, now: Instant) -> Gate {
        let company = self.relay.config.limits.company;
        if !self.support.is_channel(flight.chat().as_str()) {
            return self.query_gate(flight, now);
        }
        let Some(room) = self.relay.rooms.by_key(flight.chat()) else {
            if self.relay.linked.now().contains(flight.chat()) {
                return Gate::Wait;
            }
            // A link that was made this moment may order something before we are told of it.
            let why = "the channel is not linked".to_owned();
            return Gate::Never(match flight.delivery.attempt {
                1 | 2 => Outcome::TryLater { after: TOLD_SOON, why },
                _ => flight.given_up(why),
            });
        };
        match &room.presence {
            Presence::In if room.has_ears(company, now) => Gate::Open,
            Presence::In | Presence::Out | Presence::Joining(_) => Gate::Wait,
            Presence::Barred { why, is_final: true, .. } => Gate::Never(flight.given_up(why.clone())),
            Presence::Barred { why, .. } => Gate::Never(Outcome::TryLater { after: LATER, why: why.clone() }),
        }
    }

    /// Cuts the first flight into lines.
    fn prepare(&mut self) {
        let Some(flight) = self.relay.flights.all.first() else { return };
        let (id, chat) = (flight.delivery.id, flight.chat().clone());
        match &flight.delivery.job {
            Job::Recall { remote_ids, post } => {
                let ids: Vec<String> =
                    remote_ids.iter().filter(|id| is_msgid(id)).map(|id| id.to_string()).collect();
                if !self.caps.redaction || ids.is_empty() {
                    // The network cannot take anything back; the text stays, as everybody there knows.
                    let by = self.relay.said_by(*post).filter(|by| !by.is_empty());
                    let Some(by) = by.filter(|_| self.relay.config.tell_recalls) else {
                        return self.relay.settle(id, Outcome::Sent { remote_ids: Vec::new() });
                    };
                    let told = vec![format!("{by} recalled a message")];
                    return self.ready(id, told);
                }
                self.ready(id, ids);
            }
            // What people said here is said; there is nothing to be told about it.
            Job::Report(_) => self.relay.settle(id, Outcome::Sent { remote_ids: Vec::new() }),
            Job::Say(say) if self.is_late(flight, say) => self.look_behind(),
            Job::Say(say) => {
                let Some(text) = words::text(say) else {
                    let why = "this network cannot show it".to_owned();
                    return self.relay.settle(id, Outcome::Refused { why });
                };
                let members = self.relay.rooms.by_key(&chat).map(|room| &room.members);
                let nick_of = |word: &str| members?.get(&self.support.fold(word)).cloned();
                let text = words::addressed(text, nick_of);
                let budget = self.budget(say, chat.as_str());
                let post = say.post_id;
                let lines: Vec<String> =
                    split::split(&text, budget).into_iter().map(std::borrow::Cow::into_owned).collect();
                if lines.len() <= MOST_LINES {
                    let pieces = self.pieces(say, &chat, text, lines);
                    return self.ready(id, pieces);
                }
                if let Some(flight) = self.relay.flights.all.first_mut() {
                    flight.pieces = lines;
                    flight.step = Step::Storing;
                }
                self.relay.store(id, post, "message.txt", text);
            }
        }
    }

    /// The full text of a long message has a place.
    pub(super) fn stored(&mut self, id: DeliveryId, link: Result<Option<String>, MediaError>) {
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else { return };
        if flight.is_backlog() {
            return self.stored_backlog(id, link);
        }
        let lines = std::mem::take(&mut flight.pieces);
        let (job, chat) = (flight.delivery.job.clone(), flight.chat().clone());
        match link {
            Ok(Some(link)) => {
                let count = lines.len();
                let mut shown: Vec<String> = lines.into_iter().take(MOST_LINES - 1).collect();
                shown.push(format!("… all {count} lines: {link}"));
                let pieces = match &job {
                    Job::Say(say) => self.pieces(say, &chat, shown.join("\n"), shown),
                    Job::Recall { .. } | Job::Report(_) => shown,
                };
                self.ready(id, pieces);
            }
            Ok(None) if lines.len() <= MOST_LINES_WITHOUT_LINK => self.ready(id, lines),
            Ok(None) => {
                let why = "the message is too long, and nothing here can hold its text".to_owned();
                self.relay.settle(id, Outcome::Refused { why });
            }
            Err(error) => {
                let why = format!("the full text could not be stored: {error}");
                self.relay.settle(id, Outcome::TryLater { after: LATER, why });
            }
        }
    }

    /// Has lines; the note about the first one comes before it.
    fn ready(&mut self, id: DeliveryId, pieces: Vec<String>) {
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else { return };
        (flight.pieces, flight.at, flight.step) = (pieces, 0, Step::Noting);
        let note = flight.note();
        self.relay.note(note);
    }

    /// Writes the next line of the first flight; false when it has to wait.
    fn say(&mut self, now: Instant) -> bool {
        let Some(flight) = self.relay.flights.all.first() else { return false };
        let Some(piece) = flight.pieces.get(flight.at).cloned() else { return false };
        let (id, chat) = (flight.delivery.id, flight.chat().clone());
        let job = flight.delivery.job.clone();
        let (is_first, is_repeat) = (flight.at == 0, flight.is_repeat);
        let (no_relaymsg, by_relay, mut is_spoofed) = (flight.no_relaymsg, flight.by_relay, false);
        // Nobody's words in particular: the relay says itself what it has.
        let is_backlog = flight.is_backlog();
        let mut line = Line::new();
        let label = (self.caps.labels && self.caps.echo).then(|| self.token());
        if let Some(label) = label {
            line = line.tag("label", &format!("w{label}"));
        }
        match &job {
            Job::Recall { .. } if !is_msgid(&RemoteId::from(piece.as_str())) => {
                let room = self.relay.rooms.by_key(&chat);
                let target = room.map_or(chat.to_string(), |room| room.name.clone());
                let mark = if is_repeat { REPEATED } else { "" };
                line = line.command("NOTICE").param(&target).last(&format!("{mark}{piece}"));
            }
            Job::Recall { .. } | Job::Report(_) => {
                if let Some(speaker) = self.speaker(&piece) {
                    return self.take_back_as(speaker, chat.as_str(), &piece, now);
                }
                line = line.command("REDACT").param(chat.as_str()).last(&piece);
            }
            Job::Say(say) => {
                let puppet = if is_backlog || by_relay { None } else { self.puppet_for(say, &chat, now) };
                let budget = match puppet {
                    // Never less than what a text can be cut to, or it would be cut for ever.
                    Some(puppet) => {
                        let whole = self.puppet_budget(puppet, chat.as_str());
                        whole.saturating_sub(REPEATED.len()).max(split::MIN_BUDGET_BYTES)
                    }
                    None => self.budget(say, chat.as_str()),
                };
                if piece.len() > budget || piece.contains('\n') {
                    let whole = (!is_backlog).then_some((piece.as_str(), is_repeat));
                    let parts =
                        whole.and_then(|whole| self.parts(say, &chat, whole, budget, puppet.is_some()));
                    let Some(parts) = parts else { return self.cut_again(id, &piece, budget) };
                    return match puppet {
                        Some(puppet) => self.say_through(puppet, say, parts, now),
                        None => self.say_whole(say, &parts, label, now),
                    };
                }
                let mark = if is_repeat { REPEATED } else { "" };
                if let Some(puppet) = puppet {
                    let part = Part { text: format!("{mark}{piece}"), is_concat: false };
                    return self.say_through(puppet, say, vec![part], now);
                }
                if let Some(quoted) = say.quoted_remote_id.as_ref().filter(|id| is_msgid(id))
                    && is_first
                    && !is_backlog
                    && self.caps.tags
                {
                    line = line.tag("+draft/reply", quoted.as_str());
                }
                let name = if is_backlog { String::new() } else { self.name_of(say, &chat) };
                let target =
                    self.relay.rooms.by_key(&chat).map_or(chat.to_string(), |room| room.name.clone());
                let spoofed = self.spoofed(say, &chat).filter(|_| !no_relaymsg && !is_backlog);
                is_spoofed = spoofed.is_some();
                line = match spoofed {
                    Some(nick) => {
                        let line = line.command("RELAYMSG").param(&target).param(&nick);
                        line.last(&format!("{mark}{piece}"))
                    }
                    None => line.command("PRIVMSG").param(&target).last(&format!("{name}{mark}{piece}")),
                };
            }
        }
        if !self.pace.take(1.0, now) {
            return false;
        }
        let line = line.build();
        self.send(&line);
        let proof = label.map_or(Proof::Unasked, Proof::Label);
        if let Some(flight) = self.relay.flights.all.first_mut() {
            (flight.step, flight.is_whole) = (Step::Sent { proof, since: now }, false);
            (flight.is_spoofed, flight.is_echoed) = (is_spoofed, false);
        }
        if let Job::Say(say) = &job
            && !is_backlog
        {
            self.remember(say, &chat);
        }
        true
    }

    /// Our prefix has grown since the text was cut, or it has to go in lines now.
    fn cut_again(&mut self, id: DeliveryId, piece: &str, budget: usize) -> bool {
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else {
            return false;
        };
        // Of a line that may have been said every part may have been; the first is marked as it goes.
        let room = budget.saturating_sub(REPEATED.len());
        let is_marked = flight.is_repeat && room >= split::MIN_BUDGET_BYTES;
        let (mark, room) = if is_marked { (REPEATED, room) } else { ("", budget) };
        let parts = split::split(piece, room).into_iter().enumerate();
        let parts: Vec<String> = parts
            .map(|(at, part)| if at == 0 { part.into_owned() } else { format!("{mark}{part}") })
            .collect();
        let at = flight.at;
        flight.pieces.splice(at..=at, parts);
        flight.step = Step::Noting;
        let note = flight.note();
        self.relay.note(note);
        false
    }

    /// Bytes of text that a line has room for, whatever becomes of its marks.
    fn budget(&self, say: &Say, target: &str) -> usize {
        let unknown =
            |part: &Option<String>, length: usize| part.clone().unwrap_or_else(|| "x".repeat(length));
        let (user, host) = (unknown(&self.me.user, UNKNOWN_USER), unknown(&self.me.host, UNKNOWN_HOST));
        let prefix = format!("{}!{user}@{host}", self.me.nick);
        // `<`, a colour code and its end, an invisible space, `> `
        let name = words::author(say).len() + 10;
        let whole = split::budget(&prefix, "PRIVMSG", target) + (self.support.line_len - 512);
        whole.saturating_sub(name + REPEATED.len()).max(split::MIN_BUDGET_BYTES)
    }

    /// `<name> `, as the channel can show it.
    fn name_of(&self, say: &Say, chat: &wxgate_contract::ChatKey) -> String {
        let name = words::author(say);
        if name.is_empty() {
            return String::new();
        }
        let room = self.relay.rooms.by_key(chat);
        let is_nick = room.is_some_and(|room| room.members.contains_key(&self.support.fold(&name)));
        let shown = if is_nick { super::nicks::without_ping(&name) } else { name };
        let is_plain = room.is_none_or(|room| room.is_plain) || !self.relay.config.colours;
        match is_plain {
            true => format!("<{shown}> "),
            false => format!("<\x03{:02}{shown}\x0f> ", super::nicks::colour(&words::person(say))),
        }
    }

    /// The nick of a RELAYMSG, where we may.
    fn spoofed(&self, say: &Say, chat: &wxgate_contract::ChatKey) -> Option<String> {
        let room = self.relay.rooms.by_key(chat)?;
        let name = words::author(say);
        if !self.caps.relaymsg || room.no_relaymsg || name.is_empty() {
            return None;
        }
        // Source: Ergo, CasefoldName: what its casemapping does not hold is refused here too, whatever UTF8ONLY says.
        let is_utf8 = self.support.folds_unicode();
        let style = if is_utf8 { Style::Utf8 } else { Style::Pinyin };
        let mut nick = names::nick_from(&style.write(&name), &words::person(say));
        nick.retain(|c| is_utf8 || c.is_ascii());
        names::cut(&mut nick, self.support.nick_len.saturating_sub(RELAYED.len()).max(1));
        (!nick.is_empty()).then(|| nick + RELAYED)
    }

    /// The people of the channel may address the author by the name that they see.
    fn remember(&mut self, say: &Say, chat: &wxgate_contract::ChatKey) {
        if let wxgate_contract::Author::Person { person, .. } = &say.post.author {
            let key = person.seen_from_elsewhere(&say.post.chat.network);
            self.relay.remember_name(chat, &words::author(say), key);
        }
    }
}

pub(super) enum Gate {
    Open,
    Wait,
    Never(Outcome),
}

/// Ids that the network gave; ours mean nothing to it. Ours have a space, which no tag's value from
/// a network has in it unescaped and no id needs.
fn is_msgid(id: &RemoteId) -> bool {
    !id.as_str().is_empty() && !id.as_str().contains(' ')
}
