//! What was said in queries, by whose it is, and how much all that is remembered may be.

use std::collections::HashMap;

use super::{Entry, Log, Owner};
use crate::server::hall::{State, UserId};

/// Queries that are remembered; the one that was silent for longest goes first. Chosen.
const MAX_QUERIES: usize = 500;

/// Bytes of all channels and queries together; beyond them those that were silent for longest are forgotten, until a
/// quarter is free again. Chosen.
pub(super) const MAX_TOTAL_BYTES: usize = 128 * 1024 * 1024;
/// So much is said before it is added up again.
const LOOK_AFTER_BYTES: usize = 1024 * 1024;

/// Queries between two users.
#[derive(Debug, Default)]
pub(in crate::server::hall) struct Logs {
    pub(super) logs: HashMap<(Owner, Owner), Log>,
    /// What accounts among them were called when they last spoke.
    nicks: HashMap<Owner, String>,
}

/// A query has no direction.
fn pair(a: Owner, b: Owner) -> (Owner, Owner) {
    if a <= b { (a, b) } else { (b, a) }
}

impl Logs {
    pub(in crate::server::hall) fn push(&mut self, a: Owner, b: Owner, entry: Entry) {
        let key = pair(a, b);
        if !self.logs.contains_key(&key) && self.logs.len() >= MAX_QUERIES {
            let oldest = self.logs.iter().min_by_key(|(_, log)| log.last_at()).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.logs.remove(&oldest);
            }
            self.forget_nicks();
        }
        self.logs.entry(key).or_default().push(entry);
    }

    pub(in crate::server::hall) fn get(&mut self, a: Owner, b: Owner) -> Option<&mut Log> {
        self.logs.get_mut(&pair(a, b))
    }

    /// With whom somebody has spoken.
    pub(super) fn others(&self, me: &Owner) -> impl Iterator<Item = (&Owner, &Log)> {
        self.logs.iter().filter_map(move |((a, b), log)| match (a == me, b == me) {
            (true, _) => Some((b, log)),
            (_, true) => Some((a, log)),
            _ => None,
        })
    }

    /// What an account is called that speaks now. A guest without a connection is nobody any more.
    pub(super) fn is_called(&mut self, owner: Owner, nick: String) {
        if matches!(owner, Owner::Account(_)) {
            self.nicks.insert(owner, nick);
        }
    }

    pub(super) fn nick_of(&self, owner: &Owner) -> Option<&str> {
        self.nicks.get(owner).map(String::as_str)
    }

    /// Of those with whom nothing is remembered.
    fn forget_nicks(&mut self) {
        let logs = &self.logs;
        self.nicks.retain(|owner, _| logs.keys().any(|(a, b)| a == owner || b == owner));
    }
}

impl State {
    /// Forgets what was said where it is silent for longest, when all that is remembered is too much.
    pub(super) fn make_room(&mut self, entry: &Entry, max_bytes: usize) {
        self.said_bytes += entry.bytes();
        if self.said_bytes < LOOK_AFTER_BYTES.min(max_bytes / 4) {
            return;
        }
        self.said_bytes = 0;
        let channels = self.channels.values_mut().map(|channel| &mut channel.log);
        let mut logs: Vec<&mut Log> = channels.chain(self.queries.logs.values_mut()).collect();
        let mut bytes: usize = logs.iter().map(|log| log.bytes).sum();
        if bytes <= max_bytes {
            return;
        }
        logs.sort_by_key(|log| log.moved_at());
        for log in logs {
            if bytes <= max_bytes / 4 * 3 {
                break;
            }
            bytes -= log.bytes;
            log.clear();
        }
        self.queries.logs.retain(|_, log| !log.entries.is_empty());
        self.queries.forget_nicks();
    }

    /// What a guest said and was told is their account's from now on.
    pub(in crate::server::hall) fn owned_by(&mut self, guest: UserId, account: &str) {
        let nick = self.user(guest).map(|user| user.id.nick.clone()).unwrap_or_default();
        let (guest, account) = (Owner::Guest(guest), Owner::Account(account.to_owned()));
        let theirs = self.queries.logs.extract_if(|(a, b), _| *a == guest || *b == guest);
        let theirs: Vec<((Owner, Owner), Log)> = theirs.collect();
        let renamed = |owner: Owner| if owner == guest { account.clone() } else { owner };
        for ((a, b), log) in theirs {
            self.queries.logs.entry(pair(renamed(a), renamed(b))).or_default().join(log);
        }
        self.queries.is_called(account.clone(), nick);
        let channels = self.channels.values_mut().map(|channel| &mut channel.log);
        for log in channels.chain(self.queries.logs.values_mut()) {
            for entry in log.entries.iter_mut().filter(|entry| entry.author == guest) {
                entry.author = account.clone();
            }
        }
    }
}
