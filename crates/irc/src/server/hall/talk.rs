//! What local users say to each other.

use super::modes::Status;
use super::{Event, Floor, UserId, shown};
use crate::server::caps::Caps;
use crate::server::multiline::{BATCH_TYPE, CONCAT_TAG, Part};
use crate::server::names::cut_text;
use crate::server::outbound::TAG_BYTES;
use crate::server::queue::whole;
use crate::wire::casemap::fold;
use crate::wire::numeric as n;
use crate::wire::split;

/// The sender's tags are repeated on each line of a message up to this many bytes; longer ones stand on the first
/// line only, because two hundred times four kilobytes are more than may wait for somebody. Chosen.
const REPEATED_TAG_BYTES: usize = 256;

/// Words of a message.
#[derive(Clone, Debug)]
pub(in crate::server) struct Spoken {
    verb: &'static str,
    target: String,
    parts: Vec<Part>,
}

/// A message as the sender gave it.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Saying<'a> {
    pub(in crate::server) verb: &'static str,
    pub(in crate::server) target: &'a str,
    pub(in crate::server) parts: &'a [Part],
    /// Client-only tags.
    pub(in crate::server) tags: &'a str,
}

/// A message to a target.
pub(in crate::server) fn saying<'a>(
    verb: &'static str,
    target: &'a str,
    parts: &'a [Part],
    tags: &'a str,
) -> Saying<'a> {
    Saying { verb, target, parts, tags }
}

impl Saying<'_> {
    /// Its words, to the target as that spells itself.
    pub(in crate::server) fn spoken(self, target: String) -> Spoken {
        Spoken { verb: self.verb, target, parts: self.parts.to_vec() }
    }
}

impl Spoken {
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.text.as_str())
    }

    /// About the bytes of its lines with all tags.
    pub(super) fn bytes(&self, event: &Event) -> usize {
        // A piece ends in the last quarter of what fits.
        let piece = self.budget(event).max(split::MIN_BUDGET_BYTES) * 3 / 4;
        let lines: usize = self.parts.iter().map(|part| part.text.len() / piece + 1).sum();
        let repeated = event.tags.len().min(REPEATED_TAG_BYTES);
        let around = event.prefix.len() + self.target.len() + repeated + TAG_BYTES;
        event.tags.len() + lines * around + self.texts().map(str::len).sum::<usize>()
    }

    /// How much of a line fits behind the sender's prefix.
    fn budget(&self, event: &Event) -> usize {
        split::budget(&event.prefix, self.verb, &self.target)
    }

    /// What was typed as one line stays one: where the prefix leaves no room for all of it, clients that
    /// take several lines as one message get it whole and the others get what fits, as on every IRC
    /// server. Source: Modern IRC, "Messages".
    fn is_cut(&self, event: &Event) -> bool {
        matches!(self.parts.as_slice(), [only] if only.text.len() > self.budget(event))
    }

    /// The lines for a client. Only the first of several messages carries the id; tags of the sender's, unless they
    /// are long, belong to each of them, because each may be all that somebody sees. Source: IRCv3 draft/multiline, "Fallback".
    pub(in crate::server) fn lines(&self, event: &Event, caps: Caps, extra: &str) -> Vec<String> {
        let budget = self.budget(event);
        let (prefix, verb, target) = (&event.prefix, self.verb, &self.target);
        let is_cut = self.is_cut(event);
        if (self.parts.len() > 1 || is_cut) && caps.takes_multiline() {
            let reference = format!("m{}", event.msgid);
            let opened = Event { body: format!("BATCH +{reference} {BATCH_TYPE} {target}"), ..event.clone() };
            let mut lines = vec![opened.line(caps, extra)];
            lines.extend(self.parts.iter().flat_map(|part| fitted(part, budget)).map(|(text, is_concat)| {
                let concat = if is_concat { format!(";{CONCAT_TAG}") } else { String::new() };
                format!("@batch={reference}{concat} :{prefix} {verb} {target} :{text}")
            }));
            lines.push(format!(":{prefix} BATCH -{reference}"));
            return lines;
        }
        // Source: IRCv3 draft/multiline, "Fallback": blank lines are left out.
        let parts = self.parts.iter().filter(|part| self.parts.len() == 1 || !part.text.is_empty());
        let pieces = parts.flat_map(|part| match is_cut {
            true => vec![cut_text(&part.text, budget).into()],
            false => split::split(&part.text, budget),
        });
        pieces
            .enumerate()
            .map(|(at, text)| {
                let mut event = Event { body: format!("{verb} {target} :{text}"), ..event.clone() };
                if at > 0 {
                    event.msgid.clear();
                    if event.tags.len() > REPEATED_TAG_BYTES {
                        event.tags.clear();
                    }
                }
                event.line(caps, extra)
            })
            .collect()
    }
}

/// A part in lines that fit; whether a line goes on where the one before it ended.
fn fitted(part: &Part, budget: usize) -> impl Iterator<Item = (&str, bool)> {
    let pieces = split::cuts(&part.text, budget).into_iter().enumerate();
    pieces.map(|(at, text)| (text, at > 0 || part.is_concat))
}

impl Floor<'_> {
    /// PRIVMSG or NOTICE to a local channel or user. NOTICE never causes an error reply.
    pub(in crate::server) fn say(&mut self, saying: Saying<'_>) {
        let is_loud = saying.verb == "PRIVMSG";
        self.touch();
        match self.receiver(saying.target) {
            Ok(Receiver::Channel(folded, name)) => {
                let said = saying.spoken(name);
                let event = Event { tags: saying.tags.to_owned(), ..self.event(String::new()) };
                self.log_said(&folded, &event, &said);
                let members = self.members(&folded);
                self.tell_said(&members, &event, &said);
            }
            Ok(Receiver::Few(users, name)) => {
                let said = saying.spoken(name);
                let event = Event { tags: saying.tags.to_owned(), ..self.event(String::new()) };
                self.tell_said(&users, &event, &said);
            }
            Ok(Receiver::User(user, nick)) => {
                let said = saying.spoken(nick.clone());
                let event = Event { tags: saying.tags.to_owned(), ..self.event(String::new()) };
                self.log_private(user, &event, Some(&said));
                self.tell_said(&[user], &event, &said);
                let away = self.state.user(user).and_then(|user| user.away.clone());
                if let Some(away) = away.filter(|_| is_loud) {
                    self.numeric(n::RPL_AWAY, &format!("{nick} :{away}"));
                }
            }
            Err((code, rest)) if is_loud => self.numeric(code, &rest),
            Err(_) => {}
        }
    }

    /// Only tags, for those who take tags.
    pub(in crate::server) fn tagmsg(&mut self, target: &str, tags: &str) {
        match self.receiver(target) {
            Ok(receiver) => {
                let (users, name) = match &receiver {
                    Receiver::Channel(folded, name) => (self.members(folded), name.clone()),
                    Receiver::Few(users, name) => (users.clone(), name.clone()),
                    Receiver::User(user, nick) => (vec![*user], nick.clone()),
                };
                let event = Event { tags: tags.to_owned(), ..self.event(format!("TAGMSG {name}")) };
                match receiver {
                    _ if is_fleeting(tags) => {}
                    Receiver::Channel(folded, _) => self.log_event(&folded, &event),
                    Receiver::User(user, _) => self.log_private(user, &event, None),
                    Receiver::Few(..) => {}
                }
                let is_query = !name.starts_with(['#', '&', '@', '%', '+']);
                let line = |caps: Caps| caps.has(Caps::MESSAGE_TAGS).then(|| event.line(caps, ""));
                self.spread(&users, is_query, &|caps| line(caps).into_iter().collect());
            }
            Err((code, rest)) => self.numeric(code, &rest),
        }
    }

    fn tell_said(&mut self, users: &[UserId], event: &Event, said: &Spoken) {
        let is_query = !said.target.starts_with(['#', '&', '@', '%', '+']);
        self.spread(users, is_query, &|caps| said.lines(event, caps, ""));
        if said.is_cut(event) && self.act.caps.has(Caps::STANDARD_REPLIES) {
            let (verb, target) = (said.verb, &said.target);
            let text = "The line is longer than what fits behind your name; some see its beginning only";
            self.out.push(format!(":{} WARN {verb} MESSAGE_TRUNCATED {target} :{text}", self.act.server));
        }
    }

    /// To the receivers, to the sender's other connections, and to the sending one if it wants an
    /// echo. What one says to oneself is delivered besides, and no answer to the line.
    fn spread(&mut self, users: &[UserId], is_query: bool, lines: &dyn Fn(Caps) -> Vec<String>) {
        let (me, client) = (self.act.me, self.act.client);
        let to_self = is_query && users.contains(&me);
        let others: Vec<_> =
            users.iter().copied().filter(|user| *user != me && self.is_seen_by(*user)).collect();
        // Clients that negotiated the same get the same bytes: a hundred of them cost one rendering.
        let mut made: Vec<(Caps, Vec<u8>)> = Vec::new();
        for user in others.into_iter().chain([me]) {
            for seat in self.state.user(user).map(|user| &user.seats).into_iter().flatten() {
                let is_own_query = user == me && is_query && !to_self;
                if !to_self && (seat.client == client || (is_own_query && !seat.caps.sees_own_lines())) {
                    continue;
                }
                let at = made.iter().position(|(caps, _)| *caps == seat.caps).unwrap_or_else(|| {
                    made.push((seat.caps, lines(seat.caps).iter().flat_map(|line| whole(line)).collect()));
                    made.len() - 1
                });
                if let Some((_, bytes)) = made.get(at).filter(|(_, bytes)| !bytes.is_empty()) {
                    if seat.client == client {
                        // What one says to oneself belongs to the answer.
                        seat.queue.push(bytes);
                        seat.queue.wake();
                    } else {
                        seat.queue.push_from_others(bytes);
                    }
                }
            }
        }
        if self.act.caps.has(Caps::ECHO_MESSAGE) {
            let echo = lines(self.act.caps);
            self.out.extend(echo);
        }
    }

    fn receiver(&self, target: &str) -> Result<Receiver, (u16, String)> {
        if let Some((sign, name)) = status_target(target) {
            return match self.receiver(name)? {
                Receiver::Channel(folded, name) => {
                    Ok(Receiver::Few(self.members_above(&folded, sign), format!("{sign}{name}")))
                }
                other => Ok(other),
            };
        }
        if target.starts_with(['#', '&']) {
            let folded = fold(target);
            let Some(channel) = self.state.channels.get(&folded) else {
                return Err((n::ERR_NOSUCHCHANNEL, format!("{} :No such channel", shown(target))));
            };
            if self.is_silenced(&folded, self.act.me) {
                return Err((n::ERR_CANNOTSENDTOCHAN, format!("{} :Cannot send to channel", channel.name)));
            }
            return Ok(Receiver::Channel(folded, channel.name.clone()));
        }
        match self.reachable(target) {
            Some((user, found)) => Ok(Receiver::User(user, found.id.nick.clone())),
            None => Err((n::ERR_NOSUCHNICK, format!("{} :No such nick/channel", shown(target)))),
        }
    }

    /// Takes a message back: one's own, or as an operator of the channel. Standard replies say
    /// why not: code, context, words.
    pub(in crate::server) fn redact(
        &mut self,
        target: &str,
        msgid: &str,
        reason: &str,
    ) -> Result<(), (&'static str, &'static str)> {
        let receiver = self.receiver(target).map_err(|_| ("INVALID_TARGET", "There is no such target"))?;
        let me = self.owner(self.act.me);
        let (users, name, is_op) = match receiver {
            Receiver::Channel(folded, name) => {
                let status = self.my_status(&folded);
                let status = status.ok_or(("INVALID_TARGET", "You're not on that channel"))?;
                (self.members(&folded), name, status.may_moderate())
            }
            Receiver::User(user, nick) => (vec![user], nick, false),
            Receiver::Few(..) => return Err(("INVALID_TARGET", "Only a part of a channel was meant")),
        };
        let unknown = ("UNKNOWN_MSGID", "This message does not exist");
        let entry = self.log_of(target).and_then(|log| log.find(msgid)).ok_or(unknown)?;
        if entry.is_redacted {
            return Err(unknown);
        }
        if !is_op && entry.author != me {
            return Err(("REDACT_FORBIDDEN", "Only your own messages can be taken back"));
        }
        entry.is_redacted = true;
        let reason = if reason.is_empty() { String::new() } else { format!(" :{reason}") };
        let event = self.event(format!("REDACT {name} {msgid}{reason}"));
        let is_query = !name.starts_with(['#', '&']);
        let line = |caps: Caps| caps.has(Caps::REDACTION).then(|| event.line(caps, ""));
        self.spread(&users, is_query, &|caps| line(caps).into_iter().collect());
        if !is_query {
            self.log_event(&fold(&name), &event);
        }
        Ok(())
    }

    /// The members of a channel of at least this rank.
    fn members_above(&self, folded: &str, sign: char) -> Vec<UserId> {
        let members = self.state.channels.get(folded).map(|channel| &channel.members);
        let fits = |status: &Status| match sign {
            '@' => status.is_op,
            '%' => status.may_moderate(),
            _ => status.may_speak(),
        };
        members.into_iter().flatten().filter(|(_, status)| fits(status)).map(|(user, _)| *user).collect()
    }

    /// The acting user did something on purpose.
    fn touch(&mut self) {
        let (me, now) = (self.act.me, self.act.now);
        if let Some(me) = self.state.users.get_mut(&me) {
            me.active = now;
        }
    }
}

/// `@#channel`: only those of at least this rank. Source: Modern IRC, STATUSMSG.
pub(in crate::server) fn status_target(target: &str) -> Option<(char, &str)> {
    let sign = target.chars().next().filter(|sign| matches!(sign, '@' | '%' | '+'))?;
    let name = target.strip_prefix(sign)?;
    name.starts_with(['#', '&']).then_some((sign, name))
}

/// Typing is over when it is read.
fn is_fleeting(tags: &str) -> bool {
    let key = |tag: &str| tag.split('=').next().unwrap_or_default().to_owned();
    tags.split(';').map(key).all(|key| matches!(key.as_str(), "" | "+typing" | "+draft/typing"))
}

enum Receiver {
    /// Folded form and name.
    Channel(String, String),
    /// Some members, and the target as it was written.
    Few(Vec<UserId>, String),
    User(UserId, String),
}
