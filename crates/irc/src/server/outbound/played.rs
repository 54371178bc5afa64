//! What happened in a group, as the commands that it would have been here: for histories of clients that take those.
//!
//! Source: IRCv3 draft/chathistory, "draft/event-playback"; the IRC notes, section 5, "System lines".

use wxgate_contract::{Body, Fate, GroupEvent, TimelineItem};

use super::Window;
use crate::server::caps::Caps;
use crate::server::hall::Event;
use crate::server::roster::ChannelIx;
use crate::server::session::{Called, Session, one_line};

/// Longest reason of a KICK and longest title. Chosen: with the longest names in front it still fits one line.
const WORDS_BYTES: usize = 200;

/// One command.
#[derive(Debug)]
pub(super) struct Played {
    event: Event,
    /// Its words for clients with extended-join.
    extended: Option<String>,
}

impl Played {
    /// About the bytes of its line without tags.
    pub(super) fn len(&self) -> usize {
        self.event.prefix.len() + self.extended.as_ref().map_or(self.event.body.len(), String::len)
    }

    /// The line for a client; `extra` tags stand first.
    pub(super) fn line(&self, caps: Caps, extra: &str) -> String {
        match self.extended.as_ref().filter(|_| caps.has(Caps::EXTENDED_JOIN)) {
            Some(body) => Event { body: body.clone(), ..self.event.clone() }.line(caps, extra),
            None => self.event.line(caps, extra),
        }
    }
}

impl Session {
    /// The commands of an item. None when it is no such thing, or when it cannot be told whom it is about: then its
    /// own words say it.
    pub(super) fn played(&self, item: &TimelineItem, window: Window) -> Vec<Played> {
        let (Window::Channel(ix), Body::Event { event, text }, Fate::Said) =
            (window, &item.post.body, &item.fate)
        else {
            return Vec::new();
        };
        let channel = self.channel_name(ix);
        let words = crate::server::names::cut_text(&one_line(text), WORDS_BYTES).to_owned();
        let plain = |event: Event| Played { event, extended: None };
        let found: Option<Vec<Played>> = match event {
            GroupEvent::Joined { names, .. } => {
                names.iter().map(|name| self.joined(ix, &channel, name)).collect()
            }
            GroupEvent::Removed { names, by } => names
                .iter()
                .map(|name| {
                    let nick = self.nick_called(ix, name)?;
                    Some(plain(self.deed_by(ix, by, format!("KICK {channel} {nick} :{words}"))))
                })
                .collect(),
            GroupEvent::OwnerGone => {
                let kick = format!("KICK {channel} {} :{words}", self.nick);
                Some(vec![plain(self.service_deed(kick))])
            }
            GroupEvent::Renamed { title, by } => {
                let title = crate::server::names::cut_text(&one_line(title), WORDS_BYTES).to_owned();
                Some(vec![plain(self.deed_by(ix, by, format!("TOPIC {channel} :{title}")))])
            }
            GroupEvent::Notice => None,
        };
        let mut found = found.unwrap_or_default();
        for (at, played) in found.iter_mut().enumerate() {
            let piece = if at > 0 { format!("-{}", at + 1) } else { String::new() };
            played.event.msgid = format!("wx{}{piece}", item.post_id);
            played.event.at = item.post.at;
        }
        found
    }

    fn joined(&self, ix: ChannelIx, channel: &str, name: &str) -> Option<Played> {
        let body = format!("JOIN {channel}");
        let (event, account, realname) = match self.called(ix, name)? {
            Called::Own => (self.own_deed(body), self.account_name().unwrap_or("*"), self.realname.as_str()),
            Called::Person(person) => {
                let whole = self.roster.person(person)?;
                (self.deed_of(person, body), whole.user.as_str(), whole.realname.as_str())
            }
        };
        let extended = Some(format!("JOIN {channel} {account} :{}", one_line(realname)));
        Some(Played { event, extended })
    }

    fn nick_called(&self, ix: ChannelIx, name: &str) -> Option<String> {
        Some(match self.called(ix, name)? {
            Called::Own => self.nick.clone(),
            Called::Person(person) => self.roster.person(person)?.nick.clone(),
        })
    }

    /// Something that somebody did of whom WeChat says only a name; where that tells nobody, the gateway says it.
    fn deed_by(&self, ix: ChannelIx, name: &str, body: String) -> Event {
        match self.called(ix, name) {
            Some(Called::Own) => self.own_deed(body),
            Some(Called::Person(person)) => self.deed_of(person, body),
            None => self.service_deed(body),
        }
    }
}
