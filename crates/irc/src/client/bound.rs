//! Linked queries on networks with accounts: who spoke there first while signed in is who it is with. A nick is anybody's
//! as soon as its owner is away, so others are not heard there, and words go out only when the network says that the
//! nick is theirs.
//!
//! Source: IRCv3 account-tag; RPL_WHOISACCOUNT (330) and RPL_ENDOFWHOIS (318), "Numerics" in Modern IRC.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{ChatKey, Outcome};

use super::flights::{Flight, Step};
use super::outbound::Gate;
use super::session::Session;
use crate::wire::message::Line;

/// Begins the key of a note about a query; its key follows.
pub(super) const NOTE: &str = "bound/";
/// So long a look at a nick is good for. Chosen: nicks change hands seldom, and a question is a line of the pacing.
const FRESH: Duration = Duration::from_secs(60);
/// When it is tried again where the network does not answer.
const LATER: Duration = Duration::from_secs(60);

/// What is known of whoever has a nick now.
#[derive(Debug)]
enum Look {
    /// The network was asked, and has said so far that it is this account.
    Asked { since: Instant, account: Option<String> },
    /// It is whose query it is, or somebody else, or nobody.
    Seen { at: Instant, is_theirs: bool },
}

/// Of all queries, by the chat as it is linked.
#[derive(Debug, Default)]
pub(super) struct Bound {
    accounts: HashMap<ChatKey, String>,
    looks: HashMap<ChatKey, Look>,
}

impl Bound {
    /// As the last run left it.
    pub(super) fn resume(notes: Vec<(String, Bytes)>) -> Self {
        let read = |(key, value): (String, Bytes)| {
            let account = String::from_utf8(value.into()).ok()?;
            Some((ChatKey::new(key.strip_prefix(NOTE)?), account))
        };
        Self { accounts: notes.into_iter().filter_map(read).collect(), looks: HashMap::new() }
    }

    /// Of what is not linked any more nothing is known; the keys of its notes.
    pub(super) fn forget_unlinked(&mut self, linked: &BTreeSet<ChatKey>) -> Vec<String> {
        let gone: Vec<ChatKey> =
            self.accounts.keys().filter(|chat| !linked.contains(*chat)).cloned().collect();
        gone.iter().for_each(|chat| drop(self.accounts.remove(chat)));
        self.looks.retain(|chat, _| linked.contains(chat));
        gone.iter().map(|chat| format!("{NOTE}{chat}")).collect()
    }

    /// The connection is gone: whoever had a nick may have gone as well.
    pub(super) fn disconnected(&mut self) {
        self.looks.clear();
    }
}

/// An account as the network tells it; `None` of who is not signed in.
fn signed_in(account: Option<&str>) -> Option<&str> {
    account.filter(|account| !matches!(*account, "" | "*" | "0"))
}

impl Session<'_> {
    /// Whether somebody who writes in a linked query is whose query it is. Who is the first to be signed in is it.
    pub(super) fn is_theirs(&mut self, chat: &ChatKey, account: Option<&str>) -> bool {
        if !self.caps.accounts {
            return true;
        }
        let account = signed_in(account);
        let is_theirs = match (self.relay.bound.accounts.get(chat), account) {
            (Some(known), Some(account)) => self.support.fold(known) == self.support.fold(account),
            (Some(_), None) => false,
            (None, None) => return true,
            (None, Some(account)) => {
                tracing::info!(network = %self.relay.network, %chat, "a query is bound to an account");
                self.relay.bound.accounts.insert(chat.clone(), account.to_owned());
                self.relay.note((format!("{NOTE}{chat}"), account.to_owned().into()));
                true
            }
        };
        self.relay.bound.looks.insert(chat.clone(), Look::Seen { at: Instant::now(), is_theirs });
        is_theirs
    }

    /// Whether something may be said in a query now.
    pub(super) fn query_gate(&self, flight: &Flight, now: Instant) -> Gate {
        let Some(account) = self.relay.bound.accounts.get(flight.chat()).filter(|_| self.caps.accounts)
        else {
            return Gate::Open;
        };
        match self.relay.bound.looks.get(flight.chat()) {
            Some(Look::Seen { at, is_theirs }) if now < *at + FRESH => match is_theirs {
                true => Gate::Open,
                false => Gate::Never(
                    flight.given_up(format!("nobody who is signed in as {account} has this nick now")),
                ),
            },
            Some(Look::Asked { since, .. }) if now >= *since + self.relay.config.limits.answer => {
                let why = "the network does not say who has this nick".to_owned();
                Gate::Never(Outcome::TryLater { after: LATER, why })
            }
            _ => Gate::Wait,
        }
    }

    /// Asks who has the nicks to which something is to be said.
    pub(super) fn look_at_queries(&mut self, now: Instant) {
        let answer = self.relay.config.limits.answer;
        let mut asked = Vec::new();
        for flight in &self.relay.flights.all {
            let (chat, bound) = (flight.chat(), &self.relay.bound);
            let waits = matches!(flight.step, Step::Fresh | Step::Clear) && bound.accounts.contains_key(chat);
            let is_known = match bound.looks.get(chat) {
                Some(Look::Seen { at, .. }) => now < *at + FRESH,
                // What was not answered is asked again with the next try.
                Some(Look::Asked { since, .. }) => now < *since + answer + LATER / 2,
                None => false,
            };
            if waits && !is_known && self.caps.accounts && !self.support.is_channel(chat.as_str()) {
                asked.push(chat.clone());
            }
        }
        for chat in asked {
            self.queue.push_back(Line::new().command("WHOIS").param(chat.as_str()).build());
            self.relay.bound.looks.insert(chat, Look::Asked { since: now, account: None });
        }
    }

    /// 330: whoever has a nick is signed in as somebody.
    pub(super) fn whois_account(&mut self, nick: &str, said: &str) {
        if let Some(Look::Asked { account, .. }) = self.look_at(nick) {
            *account = Some(said.to_owned());
        }
    }

    /// 318, or that nobody has it: all was said.
    pub(super) fn whois_ends(&mut self, nick: &str) {
        let Some(Look::Asked { account, .. }) = self.look_at(nick) else { return };
        let account = account.take();
        let folded = self.support.fold(nick);
        let bound = &self.relay.bound.accounts;
        let Some((chat, known)) = bound.iter().find(|(chat, _)| self.support.fold(chat.as_str()) == folded)
        else {
            return;
        };
        let is_theirs = signed_in(account.as_deref())
            .is_some_and(|account| self.support.fold(account) == self.support.fold(known));
        let chat = chat.clone();
        self.relay.bound.looks.insert(chat, Look::Seen { at: Instant::now(), is_theirs });
    }

    fn look_at(&mut self, nick: &str) -> Option<&mut Look> {
        let folded = self.support.fold(nick);
        let looks = self.relay.bound.looks.iter_mut();
        let mut found = looks.filter(|(chat, _)| self.support.fold(chat.as_str()) == folded);
        found.next().map(|(_, look)| look)
    }
}
