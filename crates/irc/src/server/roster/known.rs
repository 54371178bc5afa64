//! Which names are people's and groups' of an account. The hall looks here too, in the name of whoever else wants to
//! be called so: behind locks of their own, held for look-ups only and never while another one is taken.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wxgate_contract::Timestamp;

use super::{ChannelIx, IsRetired, PersonIx, RETIRED_FOR, Retired};
use crate::wire::casemap::fold;

/// What an account's clients know by name.
#[derive(Debug, Default)]
pub(in crate::server) struct Known {
    /// Nicks.
    pub(in crate::server) people: Names<PersonIx>,
    /// Names of channels.
    pub(in crate::server) groups: Names<ChannelIx>,
}

/// Names and what they lead to, those among them that it had until a rename.
#[derive(Debug)]
pub(in crate::server) struct Names<T> {
    tables: Mutex<Tables<T>>,
}

/// By folded name.
#[derive(Debug)]
struct Tables<T> {
    present: HashMap<String, T>,
    retired: HashMap<String, Retired<T>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        let (present, retired) = (HashMap::new(), HashMap::new());
        Self { tables: Mutex::new(Tables { present, retired }) }
    }
}

impl<T: Copy + PartialEq> Names<T> {
    fn lock(&self) -> MutexGuard<'_, Tables<T>> {
        // A panic elsewhere leaves tables that are whole.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has this name; a retired one still leads to what had it, and says so.
    pub(super) fn find(&self, name: &str, now: Timestamp) -> Option<(T, IsRetired)> {
        let (folded, tables) = (fold(name), self.lock());
        if let Some(ix) = tables.present.get(&folded) {
            return Some((*ix, IsRetired(false)));
        }
        let retired = tables.retired.get(&folded).filter(|retired| retired.until > now)?;
        Some((retired.to, IsRetired(true)))
    }

    /// The name leads to something of the account.
    pub(in crate::server) fn has(&self, name: &str, now: Timestamp) -> bool {
        self.find(name, now).is_some()
    }

    /// Whether a folded name is not to be had by `by`; what that had itself before it may have again.
    pub(super) fn is_taken(&self, folded: &str, by: Option<T>, now: Timestamp) -> bool {
        let tables = self.lock();
        let retired = tables.retired.get(folded);
        tables.present.contains_key(folded)
            || retired.is_some_and(|retired| retired.until > now && Some(retired.to) != by)
    }

    pub(super) fn give(&self, name: &str, to: T) {
        let (folded, mut tables) = (fold(name), self.lock());
        tables.retired.remove(&folded);
        tables.present.insert(folded, to);
    }

    pub(super) fn take(&self, name: &str) {
        self.lock().present.remove(&fold(name));
    }

    /// A name that something had leads to it for a while; until when.
    pub(super) fn retire(&self, name: &str, of: T, now: Timestamp) -> Timestamp {
        let until = now.after(RETIRED_FOR);
        let mut tables = self.lock();
        tables.retired.retain(|_, retired| retired.until > now);
        tables.retired.insert(fold(name), Retired { to: of, until });
        until
    }

    /// The same, as it was stored.
    pub(super) fn load_retired(&self, name: &str, of: T, until: Timestamp) {
        self.lock().retired.insert(fold(name), Retired { to: of, until });
    }
}
