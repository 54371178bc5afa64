//! What WeChat is asked to do for somebody who typed a command: members and titles of groups, answers
//! to friend requests. The session goes on meanwhile; the answer comes back to it.
//! Source: the IRC notes, section 4.

use wxgate_contract::{
    Answer, Body, Command, CommandError, HistoryRange, PersonKey, RemoteId, Reply, Request, Verdict,
};

use super::caps::Caps;
use super::client::Capture;
use super::commands::Turn;
use super::registry::{ClientId, Incoming};
use super::roster::{ChannelIx, PersonIx};
use super::session::{Session, one_line};
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Items of the timeline in which a friend request is looked for. Chosen: weeks of a busy account.
const MAX_SCANNED: usize = 20_000;
/// Items read at once.
const PAGE: usize = 500;

/// How a group is left where WeChat does not take it from here. The words are those of its menus.
const LEAVE_ON_THE_PHONE: &str = "on the phone it is the group, its menu (...), Leave (退出群聊)";

/// What a command wanted, to word the answer.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    Invite { nick: String, channel: String },
    Kick { person: PersonIx, channel: ChannelIx, reason: String },
    Topic { channel: String },
    Leave { channel: ChannelIx },
    Friend { name: String, verdict: Verdict },
    Gather { title: String },
}

/// An errand on its way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    errand: Errand,
    label: Option<String>,
}

impl Session {
    /// Asks WeChat for something; the answer to the command follows with its label.
    fn send_errand(&mut self, id: ClientId, request: Request, errand: Errand, label: Option<String>) {
        let Some(account) = self.account().cloned() else { return };
        self.is_deferred = label.is_some();
        let (control, user, own) = (self.shared.control.clone(), self.key.user.clone(), self.own.clone());
        self.tasks.spawn(async move {
            let command = Command::Ask { account, request };
            let answer = match control.run(Some(user), command).await {
                Ok(Reply::Answer(answer)) => Ok(answer),
                Ok(_) => Err(CommandError::Failed("the account gave no answer".to_owned())),
                Err(error) => Err(error),
            };
            // A session that is gone has nobody to tell.
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::Answered(id, Box::new(Sent { errand, label }), answer)).await;
            }
        });
    }

    /// WeChat answered.
    pub(super) fn errand_done(&mut self, id: ClientId, sent: Sent, answer: Result<Answer, CommandError>) {
        let Sent { errand, label } = sent;
        if label.is_some()
            && let Some(client) = self.clients.get_mut(&id)
        {
            client.capture = Some(Capture::default());
        }
        self.is_deferred = false;
        match answer {
            Ok(answer) => self.errand_succeeded(id, errand, &answer),
            Err(error) => self.errand_failed(id, errand, &error),
        }
        if let Some(label) = label {
            self.answer_labelled(id, &label);
        }
    }

    fn errand_succeeded(&mut self, id: ClientId, errand: Errand, answer: &Answer) {
        match errand {
            Errand::Invite { nick, channel } => {
                self.numeric(id, n::RPL_INVITING, &format!("{nick} {channel}"));
                if *answer == Answer::Invited {
                    let text = "They were invited and have to agree first";
                    self.remark(id, "NOTE", ("INVITE", "PENDING"), &[&nick, &channel], text);
                }
            }
            Errand::Kick { person, channel, reason } => {
                let Some(nick) = self.roster.person(person).map(|person| person.nick.clone()) else { return };
                let name = self.channel_name(channel);
                // The list of members says so again later, and is no news then.
                if self.roster.remove_member(channel, person) {
                    let reason = if reason.is_empty() { self.nick.clone() } else { reason };
                    let line = Line::new().command("KICK").param(&name);
                    let kick = self.own_deed(line.param(&nick).last(&reason).build());
                    self.tell_deed(&kick, |_| true);
                }
            }
            // The changed title comes as a change of the group, for everybody.
            Errand::Topic { .. } => {}
            Errand::Leave { channel } => self.left_group(id, channel),
            Errand::Gather { title } => {
                let found = match answer {
                    Answer::Chat(chat) => self.roster.by_chat(chat).map(|ix| self.channel_name(ix)),
                    _ => None,
                };
                let name = found.unwrap_or_else(|| if title.is_empty() { "it".to_owned() } else { title });
                self.service_says(id, &format!("the group is made; join {name} when it appears"));
            }
            Errand::Friend { name, verdict } => {
                let text = match verdict {
                    Verdict::Accept => format!("{name} is your contact now"),
                    Verdict::Decline => format!("the request of {name} was declined"),
                };
                self.service_says(id, &text);
            }
        }
    }

    fn errand_failed(&mut self, id: ClientId, errand: Errand, error: &CommandError) {
        let why = one_line(&error.to_string());
        match errand {
            Errand::Invite { nick, channel } => {
                self.remark(id, "FAIL", ("INVITE", "CANNOT_INVITE"), &[&nick, &channel], &why);
            }
            Errand::Kick { channel, .. } => {
                let name = self.channel_name(channel);
                self.numeric(id, n::ERR_CHANOPRIVSNEEDED, &format!("{name} :{why}"));
            }
            Errand::Topic { channel } => {
                self.numeric(id, n::ERR_CHANOPRIVSNEEDED, &format!("{channel} :{why}"));
            }
            Errand::Leave { channel } => {
                let name = self.channel_name(channel);
                self.service_says(id, &format!("you did not leave {name}: {why}; {LEAVE_ON_THE_PHONE}"));
            }
            Errand::Gather { .. } => self.service_says(id, &format!("the group was not made: {why}")),
            Errand::Friend { name, .. } => {
                self.service_says(id, &format!("the request of {name} was not answered: {why}"));
            }
        }
    }

    /// A standard reply, or the same words from the service for clients without them.
    fn remark(&mut self, id: ClientId, verb: &str, what: (&str, &str), context: &[&str], text: &str) {
        if self.clients.get(&id).is_some_and(|client| client.has(Caps::STANDARD_REPLIES)) {
            let line = Line::new().source(&self.shared.config.server_name).command(verb);
            let line = line.param(what.0).param(what.1);
            let line = context.iter().fold(line, |line, word| line.param(word)).last(text).build();
            return self.to(id, &line);
        }
        self.service_says(id, &format!("{} {}: {text}", what.0, context.join(" ")));
    }

    /// Brings somebody into a group.
    pub(super) fn bring(&mut self, turn: &Turn<'_>, person: PersonIx, ix: ChannelIx) {
        let (Some(key), Some(channel)) =
            (self.roster.person(person).map(|person| person.key.clone()), self.roster.channel(ix))
        else {
            return;
        };
        let (group, present, name) = (channel.chat.clone(), channel.member_count(), channel.name.clone());
        let nick = self.roster.person(person).map(|person| person.nick.clone()).unwrap_or_default();
        let request = Request::Bring { group, people: vec![key], present };
        self.send_errand(turn.client, request, Errand::Invite { nick, channel: name }, turn.label.clone());
    }

    /// Removes somebody from a group.
    pub(super) fn remove(&mut self, turn: &Turn<'_>, person: PersonIx, ix: ChannelIx, reason: &str) {
        let (Some(key), Some(channel)) =
            (self.roster.person(person).map(|person| person.key.clone()), self.roster.channel(ix))
        else {
            return;
        };
        let request = Request::Remove { group: channel.chat.clone(), people: vec![key] };
        let errand = Errand::Kick { person, channel: ix, reason: one_line(reason) };
        self.send_errand(turn.client, request, errand, turn.label.clone());
    }

    /// `leave #group`, said to the service: for good, unlike PART, and so not without being asked back.
    pub(super) fn leave_group(&mut self, id: ClientId, name: &str, is_sure: bool) {
        let found = self.roster.by_name(name, self.shared.clock.now());
        let Some((ix, channel)) = found.and_then(|ix| Some((ix, self.roster.channel(ix)?))) else {
            return self.service_says(id, &format!("there is no group {}", one_line(name)));
        };
        let (group, name, is_owned) = (channel.chat.clone(), channel.name.clone(), channel.is_owned);
        if is_sure {
            let request = Request::Leave { group };
            return self.send_errand(id, request, Errand::Leave { channel: ix }, None);
        }
        let owner = if is_owned { " It is yours: WeChat makes another member its owner." } else { "" };
        let text = format!(
            "you would be no member of {name} in WeChat any more, and only a member could bring you back.{owner} \
             If you are sure, say: leave {name} yes. To have it out of the way here only: /part {name}"
        );
        self.service_says(id, &text);
    }

    /// WeChat let the owner go. It says so to everybody of the account later, who have seen it by then.
    fn left_group(&mut self, id: ClientId, ix: ChannelIx) {
        let name = self.channel_name(ix);
        let was_joined = self.roster.channel_mut(ix).is_some_and(|c| std::mem::take(&mut c.is_joined));
        if was_joined {
            let part = self.own_deed(format!("PART {name} :left the group"));
            self.tell_deed(&part, |_| true);
        }
        let text = format!(
            "you left {name}; if it speaks here again WeChat did not do what it said: {LEAVE_ON_THE_PHONE}"
        );
        self.service_says(id, &text);
    }

    /// Makes a group of these people and the owner.
    pub(super) fn bring_together(&mut self, id: ClientId, people: Vec<PersonKey>, title: &str) {
        let title = one_line(title);
        self.send_errand(
            id,
            Request::Gather { people, title: title.clone() },
            Errand::Gather { title },
            None,
        );
    }

    /// Gives a group another title.
    pub(super) fn retitle(&mut self, turn: &Turn<'_>, ix: ChannelIx, title: &str) {
        let Some(channel) = self.roster.channel(ix) else { return };
        let (group, name) = (channel.chat.clone(), channel.name.clone());
        let request = Request::Retitle { group, title: one_line(title) };
        self.send_errand(turn.client, request, Errand::Topic { channel: name }, turn.label.clone());
    }

    /// `accept 3` and `decline 3`, said to the service.
    pub(super) async fn befriend(&mut self, id: ClientId, number: &str, verdict: Verdict) {
        let found = match number.parse() {
            Ok(number) => self.friend_request(number).await,
            Err(_) => None,
        };
        let Some((request, name)) = found else {
            return self.service_says(id, &format!("there is no request {number}"));
        };
        self.send_errand(id, Request::Befriend { request, verdict }, Errand::Friend { name, verdict }, None);
    }

    /// A friend request by the number that it was shown with.
    async fn friend_request(&self, number: i64) -> Option<(RemoteId, String)> {
        let account = self.account()?;
        let (mut before, mut scanned) = (i64::MAX, 0);
        while scanned < MAX_SCANNED {
            let range = HistoryRange::Before(before);
            let page = self.shared.directory.history(account, None, range, PAGE).await.ok()?;
            before = page.first()?.seq;
            scanned += page.len();
            for item in page.iter().filter(|item| item.post_id.0 == number) {
                if let Body::FriendRequest { name, .. } = &item.post.body {
                    return Some((item.post.remote_id.clone(), one_line(name)));
                }
            }
            // Ids grow with positions: further back there is nothing of it.
            if page.first().is_some_and(|item| item.seq < number) {
                return None;
            }
        }
        None
    }
}
