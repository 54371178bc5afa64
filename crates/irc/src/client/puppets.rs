//! Connections for people who speak: who has one, who gets one, and what they say through it.
//!
//! A puppet lives as long as the relay's own connection, which does all the listening. Until a person's
//! puppet is in a channel the relay says their words, so that nothing waits for a connection to come up;
//! whatever goes wrong with a puppet, the relay speaks instead. Source: the IRC notes, section 8.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wxgate_contract::{Author, ChatKey, PersonKey, Say};

use super::config::{GENTLE, Puppets as Settings, SAFE};
use super::flights::{Proof, Step};
use super::puppet::{self, Gone, News, PuppetId, Setup, Word};
use super::session::{Phase, Session};
use super::words;
use crate::server::names;

mod called;
mod news;
mod speak;

/// Somebody who spoke this recently is not sent away for somebody else. Chosen: a conversation lasts
/// longer than a pause in it, and who comes and goes with every line is worse than none.
const IN_TALK: Duration = Duration::from_secs(300);
/// A line that was handed to a puppet waits for its pacing as well as for the network: so many times as
/// long as one of our own.
const PUPPET_PATIENCE: u32 = 3;
/// Words that wait for one puppet: a line per chat at a time, and what enters channels. Chosen.
const WORDS: usize = 64;
/// News of all puppets together; beyond it they wait, and read no more. Chosen.
const NEWS: usize = 256;
/// For how long what comes under the nick of one who went is still ours. Chosen: longer than lines are under way.
const LINGER: Duration = Duration::from_secs(120);
/// So many of them are remembered. Chosen: as many as there can be at once.
const FORMER: usize = 1000;
/// How often another nick is tried.
const NICK_TRIES: usize = 8;
/// People without a connection who are remembered. Chosen: each cost a connection, and those follow slowly.
const WITHOUT: usize = 1000;
/// So many with addresses of their own are sent away before it means everybody. Chosen: one or two are theirs.
const MOST_BARRED: usize = 3;
/// The note that says which template of nicks the network refused because of its signs.
pub(super) const REFUSED: &str = "puppets/refused";

/// One person's connection.
struct Puppet {
    id: PuppetId,
    person: String,
    /// The person, as others name them; the owner of an account is nobody to be mentioned.
    key: Option<PersonKey>,
    words: mpsc::Sender<Word>,
    nick: String,
    is_ready: bool,
    /// Folded names of channels it is in, and of those it is not let into; of people too whom it does not reach.
    inside: HashSet<String>,
    barred: HashSet<String>,
    /// Channels it has been told to enter.
    asked: HashSet<String>,
    /// Chats in which the person spoke, and the name there.
    chats: HashMap<ChatKey, String>,
    prefix: Option<String>,
    spoke: Instant,
    told: HashSet<String>,
}

/// All of them.
pub(super) struct Puppets {
    settings: Option<Settings>,
    tls: Option<Arc<ClientConfig>>,
    password: Option<String>,
    all: Vec<Puppet>,
    tasks: JoinSet<()>,
    tell: mpsc::Sender<(PuppetId, News)>,
    pub(super) news: mpsc::Receiver<(PuppetId, News)>,
    next_id: u64,
    next_connect: Instant,
    failures: u32,
    /// At most so many: the setting, or what the network bears.
    most: usize,
    /// Who said what, by the network's id.
    spoken: VecDeque<(String, PuppetId)>,
    /// Nicks of those who went, folded, and when: what they said may still be on its way to us.
    former: VecDeque<(String, Instant)>,
    /// People whose nick the network refused in letters too, or whose address: they get no other connection.
    without: HashSet<String>,
    /// How many it sent away for good of those who have an address each.
    times_barred: usize,
}

impl Puppets {
    pub(super) fn new(
        settings: Option<Settings>,
        tls: Option<Arc<ClientConfig>>,
        password: Option<String>,
        now: Instant,
    ) -> Self {
        let (tell, news) = mpsc::channel(NEWS);
        let most = settings.as_ref().map_or(0, |settings| settings.most);
        Self {
            settings,
            tls,
            password,
            all: Vec::new(),
            tasks: JoinSet::new(),
            tell,
            news,
            next_id: 0,
            next_connect: now,
            failures: 0,
            most,
            spoken: VecDeque::new(),
            former: VecDeque::new(),
            without: HashSet::new(),
            times_barred: 0,
        }
    }

    /// How one is called now.
    pub(super) fn nick_of(&self, id: PuppetId) -> Option<String> {
        self.all.iter().find(|puppet| puppet.id == id).map(|puppet| puppet.nick.clone())
    }

    fn get(&mut self, id: PuppetId) -> Option<&mut Puppet> {
        self.all.iter_mut().find(|puppet| puppet.id == id)
    }

    /// The nicks of those who are there; one on its way has only asked for its nick, and somebody else may have it.
    pub(super) fn nicks(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter(|puppet| puppet.is_ready).map(|puppet| puppet.nick.as_str())
    }

    /// Somebody gets no other connection while the relay's lasts.
    fn goes_without(&mut self, person: String) {
        if self.without.len() < WITHOUT {
            self.without.insert(person);
        }
    }

    /// Somebody was sent away for good. True when that says nothing about the others, who have addresses of their own.
    fn barred(&mut self, person: &str) -> bool {
        self.times_barred += 1;
        let has_own = self.settings.as_ref().is_some_and(|settings| settings.from.is_some());
        let is_alone = has_own && self.times_barred < MOST_BARRED;
        if is_alone {
            self.goes_without(person.to_owned());
        }
        is_alone
    }

    /// Lets them say their last words.
    pub(super) async fn dismiss(&mut self, why: &'static str) {
        for puppet in self.all.drain(..) {
            // One that is gone needs no word.
            let _ = puppet.words.try_send(Word::Leave(why));
        }
        self.news.close();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One that a bug ended cannot tell so itself, and would be waited for.
async fn watched(id: PuppetId, run: impl Future<Output = ()>, tell: mpsc::Sender<(PuppetId, News)>) {
    if AssertUnwindSafe(run).catch_unwind().await.is_err() {
        let why = "a bug in the gateway ended its connection".to_owned();
        // An error means that the relay's own connection has ended.
        let _ = tell.send((id, News::Gone(Gone::Lost(why)))).await;
    }
}

impl Session<'_> {
    /// A channel is not linked any more.
    pub(super) fn puppets_leave(&mut self, channel: &str) {
        let folded = self.support.fold(channel);
        for puppet in &mut self.puppets.all {
            puppet.barred.remove(&folded);
            puppet.inside.remove(&folded);
            // Its JOIN may be under way still.
            if puppet.asked.remove(&folded) {
                let _ = puppet.words.try_send(Word::Part(channel.to_owned()));
            }
        }
    }

    pub(super) fn is_puppet(&self, nick: &str) -> bool {
        let folded = self.support.fold(nick);
        self.puppets.nicks().any(|nick| self.support.fold(nick) == folded)
            || self.puppets.former.iter().any(|(former, at)| *former == folded && at.elapsed() < LINGER)
    }

    /// Our own nicks, folded.
    pub(super) fn own_nicks(&self) -> HashSet<String> {
        let own = std::iter::once(self.me.nick.as_str()).chain(self.puppets.nicks());
        own.map(|nick| self.support.fold(nick)).collect()
    }

    /// The puppet that can say this now. If there is none, one is on its way from here on, where the
    /// ceiling lets it.
    pub(super) fn puppet_for(&mut self, say: &Say, chat: &ChatKey, now: Instant) -> Option<PuppetId> {
        self.puppets.settings.as_ref()?;
        if words::author(say).is_empty() {
            return None;
        }
        let person = words::person(say);
        let channel = self.relay.rooms.by_key(chat).map(|room| room.name.clone());
        let Some(at) = self.puppets.all.iter().position(|puppet| puppet.person == person) else {
            self.engage(say, chat, now);
            return None;
        };
        let folded = self.support.fold(channel.as_deref().unwrap_or(chat.as_str()));
        let puppet = self.puppets.all.get_mut(at)?;
        puppet.spoke = now;
        if puppet.words.capacity() < 2 || puppet.words.is_closed() {
            // It takes nothing now: nothing waits for that.
            return None;
        }
        let name = words::author(say);
        let before = puppet.chats.insert(chat.clone(), name.clone());
        // Other chats may know the same person by another name; that is no change.
        if before.is_some_and(|before| before != name) {
            self.rename(at, say);
        }
        let puppet = self.puppets.all.get_mut(at)?;
        // What it was refused the relay says, in a query too.
        if !puppet.is_ready || puppet.barred.contains(&folded) {
            return None;
        }
        match channel {
            // A query: nothing has to be entered.
            None => Some(puppet.id),
            // In a netsplit it may stand on the other side: there it talks to nobody of ours.
            Some(_) if puppet.inside.contains(&folded) => {
                let (id, nick) = (puppet.id, self.support.fold(&puppet.nick));
                let room = self.relay.rooms.by_key(chat)?;
                (room.hides_joins || room.members.contains_key(&nick)).then_some(id)
            }
            Some(channel) => {
                if puppet.asked.insert(folded) {
                    let _ = puppet.words.try_send(Word::Join(channel));
                }
                None
            }
        }
    }

    /// Begins a connection for somebody.
    fn engage(&mut self, say: &Say, chat: &ChatKey, now: Instant) {
        let person = words::person(say);
        let goes_without = self.puppets.most == 0 || self.puppets.without.contains(&person);
        if goes_without || now < self.puppets.next_connect || !matches!(self.phase, Phase::Ready) {
            return;
        }
        if self.puppets.all.len() >= self.puppets.most {
            // Whoever has been silent longest makes room, unless all are in talk.
            let oldest = self.puppets.all.iter().filter(|puppet| now >= puppet.spoke + IN_TALK);
            if let Some(oldest) = oldest.min_by_key(|puppet| puppet.spoke) {
                let _ = oldest.words.try_send(Word::Leave("somebody else speaks now"));
            }
            return;
        }
        self.puppets.next_connect = now + self.relay.config.limits.puppet_pause;
        let nick = self.puppet_nick(say, "");
        let others = 2..=NICK_TRIES;
        let limits = self.relay.config.limits.clone();
        let own = if self.support.is_safe { SAFE } else { GENTLE };
        self.puppets.next_id += 1;
        let id = PuppetId(self.puppets.next_id);
        let (words, told) = mpsc::channel(WORDS);
        let setup = Setup {
            id,
            address: self.relay.config.address.clone(),
            tls: self.puppets.tls.clone(),
            password: self.puppets.password.clone(),
            nick: nick.clone(),
            other_nicks: others.map(|at| self.puppet_nick(say, &format!("_{at}"))).collect(),
            user: names::user_part(&person),
            realname: self.realname(say),
            charset: self.relay.config.charset,
            rate: limits.rate.unwrap_or(own),
            limits,
            ident: self.relay.config.ident.clone(),
            from: self.puppets.settings.as_ref().and_then(|own| Some(own.from?.address_of(&person))),
            news: self.puppets.tell.clone(),
        };
        let key = match &say.post.author {
            Author::Person { person, .. } => Some(person.seen_from_elsewhere(&say.post.chat.network)),
            Author::Owner | Author::Network | Author::Gateway => None,
        };
        let tell = self.puppets.tell.clone();
        self.puppets.tasks.spawn(watched(id, puppet::run(setup, told), tell));
        self.puppets.all.push(Puppet {
            id,
            person,
            key,
            words,
            nick,
            is_ready: false,
            inside: HashSet::new(),
            barred: HashSet::new(),
            asked: HashSet::new(),
            chats: [(chat.clone(), words::author(say))].into(),
            prefix: None,
            spoke: now,
            told: HashSet::new(),
        });
    }

    /// Those whose people have been silent for long leave, and those that confirm nothing.
    pub(super) fn tend_puppets(&mut self, now: Instant) {
        while self.puppets.tasks.try_join_next().is_some() {}
        let patience = self.relay.config.limits.answer * PUPPET_PATIENCE;
        let silent = self.relay.flights.all.iter().find_map(|flight| match flight.step {
            Step::Sent { proof: Proof::Puppet(id, _), since } if now >= since + patience => Some(id),
            _ => None,
        });
        if let Some(id) = silent {
            self.puppet_gone(id, Gone::Lost("it does not confirm what was said".to_owned()));
        }
        let Some(idle) = self.puppets.settings.as_ref().map(|settings| settings.idle) else { return };
        for puppet in self.puppets.all.iter().filter(|puppet| now >= puppet.spoke + idle) {
            // Told again with the next round, if it has no room now.
            let _ = puppet.words.try_send(Word::Leave("has not spoken for a long time"));
        }
    }
}

#[cfg(test)]
mod tests;
