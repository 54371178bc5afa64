//! PRIVMSG, NOTICE, TAGMSG.

use crate::server::caps::Caps;
use crate::server::client::Client;
use crate::server::commands::Turn;
use crate::server::hall::{Event, Spoken, status_target, talk_of};
use crate::server::inbound::{Target, Typed};
use crate::server::multiline::Part;
use crate::server::registry::ClientId;
use crate::server::roster::IsRetired;
use crate::server::session::Session;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Targets of one line; announced as TARGMAX.
const MAX_TARGETS: usize = 4;

/// NOTICE never causes an error reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errors {
    Told,
    Silent,
}

pub(super) async fn privmsg(session: &mut Session, turn: &Turn<'_>) {
    say(session, turn, Errors::Told).await;
}

pub(super) async fn notice(session: &mut Session, turn: &Turn<'_>) {
    say(session, turn, Errors::Silent).await;
}

async fn say(session: &mut Session, turn: &Turn<'_>, errors: Errors) {
    let id = turn.client;
    let fail = |session: &mut Session, code: u16, rest: &str| {
        if errors == Errors::Told {
            session.numeric(id, code, rest);
        }
    };
    let targets = turn.param(0);
    if targets.split(',').all(str::is_empty) {
        return fail(
            session,
            n::ERR_NORECIPIENT,
            &format!(":No recipient given ({})", turn.message.command.to_ascii_uppercase()),
        );
    }
    let text = turn.param(1);
    if text.is_empty() {
        return fail(session, n::ERR_NOTEXTTOSEND, ":No text to send");
    }
    let targets: Vec<&str> = targets.split(',').filter(|target| !target.is_empty()).collect();
    if targets.len() > MAX_TARGETS {
        let shown = Line::new().command("").param(turn.param(0)).build();
        return fail(session, n::ERR_TOOMANYTARGETS, &format!("{} :Too many targets", shown.trim()));
    }
    let mut label = turn.label.clone();
    let words = Typed {
        text: text.to_owned(),
        parts: vec![Part { text: text.to_owned(), is_concat: false }],
        tags: turn.client_tags(),
        reply: turn.reply(),
        is_notice: errors == Errors::Silent,
        ..Typed::default()
    };
    for name in targets {
        if session.is_local(name) {
            session.flush_held(id).await;
            session.say_local(id, &Typed { target: name.to_owned(), ..words.clone() });
            continue;
        }
        let shown = Line::new().command("").param(name).build();
        let shown = shown.trim();
        if is_part_of_group(session, name) {
            fail(session, n::ERR_CANNOTSENDTOCHAN, &format!("{shown} :A group hears all of it or nothing"));
            continue;
        }
        if name.starts_with(['#', '&']) {
            let Some(Target::Channel(ix)) = session.target(name) else {
                fail(session, n::ERR_NOSUCHCHANNEL, &format!("{shown} :No such channel"));
                continue;
            };
            if !session.roster.channel(ix).is_some_and(|channel| channel.is_joined) {
                fail(session, n::ERR_CANNOTSENDTOCHAN, &format!("{shown} :Cannot send to channel"));
                continue;
            }
            if let Some(request) = ctcp(text) {
                match is_empty_action(request) {
                    true => fail(session, n::ERR_NOTEXTTOSEND, ":No text to send"),
                    // It is no text, and nobody there could answer.
                    false => {
                        fail(session, n::ERR_CANNOTSENDTOCHAN, &format!("{shown} :A group takes no CTCP"))
                    }
                }
                continue;
            }
        } else if let Some(request) = ctcp(text) {
            if session.who_is(name).is_none() {
                fail(session, n::ERR_NOSUCHNICK, &format!("{shown} :No such nick/channel"));
            } else if is_empty_action(request) {
                fail(session, n::ERR_NOTEXTTOSEND, ":No text to send");
            } else if errors == Errors::Told {
                session.ctcp(id, name, request);
            }
            continue;
        } else if session.is_service(name) {
            to_service(session, id, &words).await;
            continue;
        } else if is_same(name, &session.nick) {
            to_oneself(session, id, &words);
            continue;
        } else if session.target(name).is_none() {
            fail(session, n::ERR_NOSUCHNICK, &format!("{shown} :No such nick/channel"));
            continue;
        }
        hint_at_rename(session, turn, name);
        let labels = label.take().into_iter().collect();
        session.typed(id, Typed { target: name.to_owned(), labels, ..words.clone() }).await;
    }
}

impl Session {
    /// A message that the client sent in several lines.
    pub(in crate::server) async fn said_in_lines(&mut self, turn: &Turn<'_>, verb: &str, typed: Typed) {
        let errors = if verb == "NOTICE" { Errors::Silent } else { Errors::Told };
        let name = typed.target.clone();
        let fail = |session: &mut Self, code: u16, text: &str| {
            if errors == Errors::Told {
                let shown = Line::new().command("").param(&name).build();
                session.numeric(turn.client, code, &format!("{} :{text}", shown.trim()));
            }
        };
        self.flush_held(turn.client).await;
        if self.is_local(&name) {
            return self.say_local(turn.client, &typed);
        }
        if self.is_service(&name) {
            return to_service(self, turn.client, &typed).await;
        }
        if is_same(&name, &self.nick) {
            return to_oneself(self, turn.client, &typed);
        }
        match self.target(&name) {
            None if name.starts_with(['#', '&']) => fail(self, n::ERR_NOSUCHCHANNEL, "No such channel"),
            None => fail(self, n::ERR_NOSUCHNICK, "No such nick/channel"),
            Some(Target::Channel(ix))
                if !self.roster.channel(ix).is_some_and(|channel| channel.is_joined) =>
            {
                fail(self, n::ERR_CANNOTSENDTOCHAN, "Cannot send to channel");
            }
            Some(_) => self.say(turn.client, typed).await,
        }
    }
}

/// A CTCP request other than an ACTION of something.
fn ctcp(text: &str) -> Option<&str> {
    let request = text.strip_prefix('\x01')?.trim_end_matches('\x01');
    let is_action = request.strip_prefix("ACTION ").is_some_and(|text| !text.trim().is_empty());
    (!is_action).then_some(request)
}

fn is_empty_action(request: &str) -> bool {
    request.trim_end() == "ACTION"
}

/// `@#group`: what is meant for some of its members.
fn is_part_of_group(session: &Session, name: &str) -> bool {
    let group = status_target(name).and_then(|(_, group)| session.target(group));
    matches!(group, Some(Target::Channel(_))) && session.target(name).is_none()
}

async fn to_service(session: &mut Session, id: ClientId, typed: &Typed) {
    let aside = Aside::new(session, &session.shared.config.service_nick, typed);
    echo(session, id, &aside);
    // A client's automatic NOTICE must not start a conversation of machines.
    if !typed.is_notice {
        session.service(id, &typed.text.replace('\n', " ")).await;
    }
}

/// A note to oneself goes to all of one's clients and nowhere else.
fn to_oneself(session: &mut Session, id: ClientId, typed: &Typed) {
    let aside = Aside::new(session, &session.nick, typed);
    // Delivered; an echo is another line, and the answer to a label.
    for client in session.clients.values_mut() {
        aside.lines(client).iter().for_each(|line| client.raw_line(line));
    }
    echo(session, id, &aside);
}

/// What is said to a window of which nothing is kept.
struct Aside {
    event: Event,
    words: Spoken,
}

impl Aside {
    fn new(session: &Session, target: &str, typed: &Typed) -> Self {
        let event = session.spoken(session.own_deed(String::new()));
        let words = talk_of(typed.verb(), target, &typed.parts, &typed.tags).spoken(target.to_owned());
        Self { event: Event { tags: typed.tags.clone(), ..event }, words }
    }

    fn lines(&self, client: &Client) -> Vec<String> {
        self.words.lines(&self.event, client.caps(), "")
    }
}

fn echo(session: &mut Session, id: ClientId, aside: &Aside) {
    if let Some(client) = session.clients.get_mut(&id)
        && client.has(Caps::ECHO_MESSAGE)
    {
        aside.lines(client).iter().for_each(|line| client.line(line));
    }
}

/// A retired nick still reaches its person; the new one is told.
fn hint_at_rename(session: &mut Session, turn: &Turn<'_>, name: &str) {
    let now = session.shared.clock.now();
    if let Some((ix, IsRetired(true))) = session.roster.by_nick(name, now)
        && let Some(person) = session.roster.person(ix)
    {
        let text = format!("[gateway] {name} is called {} now", person.nick);
        let notice = session.spoken(session.deed_of(ix, format!("NOTICE {} :{text}", session.nick)));
        // Past the answers of a labelled command: it is about the person, not about the line.
        if let Some(client) = session.clients.get_mut(&turn.client) {
            let line = notice.line(client.caps(), "");
            client.raw_line(&line);
        }
    }
}

/// Only tags: typing and reactions have no counterpart in the web protocol.
pub(super) fn tagmsg(session: &mut Session, turn: &Turn<'_>) {
    let server = session.shared.config.server_name.clone();
    let name = turn.param(0);
    if session.is_local(name) {
        let tags = turn.client_tags();
        session.on_floor(turn.client, |floor| floor.tagmsg(name, &tags));
        return;
    }
    let shown = Line::new().command("").param(name).build();
    let shown = shown.trim();
    if session.target(name).is_none() && session.who_is(name).is_none() {
        let code = if name.starts_with(['#', '&']) { n::ERR_NOSUCHCHANNEL } else { n::ERR_NOSUCHNICK };
        let what = if name.starts_with(['#', '&']) { "No such channel" } else { "No such nick/channel" };
        return session.numeric(turn.client, code, &format!("{shown} :{what}"));
    }
    let is_reaction = turn.message.tags.iter().any(|(key, _)| key == "+draft/react");
    let speaks = session.clients.get(&turn.client).is_some_and(|client| client.has(Caps::STANDARD_REPLIES));
    if is_reaction && speaks {
        let text = "WeChat has no reactions in its web protocol";
        session.to(turn.client, &format!(":{server} FAIL TAGMSG REACTION_UNSUPPORTED {shown} :{text}"));
    }
}
