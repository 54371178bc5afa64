//! Which local users were found to be puppets lately, and which not.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wxgate_contract::Timestamp;

use crate::puppet::Puppet;

/// How long an answer holds. Chosen: an operator who adds the second registration sees it work
/// within minutes.
const HOLDS: Duration = Duration::from_secs(600);
/// Users at hand; beyond it everybody is asked again. Chosen: owners of accounts on one instance.
const USERS: usize = 16_384;

/// The answers.
#[derive(Default)]
pub(crate) struct Puppets {
    // Locked for the length of a lookup.
    known: Mutex<HashMap<String, (Timestamp, Option<Puppet>)>>,
}

impl Puppets {
    fn known(&self) -> MutexGuard<'_, HashMap<String, (Timestamp, Option<Puppet>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Some(None)`: known to be none.
    pub(crate) fn get(&self, user_id: &str, now: Timestamp) -> Option<Option<Puppet>> {
        let known = self.known();
        let (at, puppet) = known.get(user_id)?;
        (now.since(*at) < HOLDS).then(|| puppet.clone())
    }

    pub(crate) fn put(&self, user_id: &str, puppet: Option<Puppet>, now: Timestamp) {
        let mut known = self.known();
        if known.len() >= USERS {
            known.clear();
        }
        known.insert(user_id.to_owned(), (now, puppet));
    }

    pub(crate) fn forget(&self, user_id: &str) {
        self.known().remove(user_id);
    }
}
