//! Which nicks are people's of an account. The hall looks here too, in the name of whoever else wants to be
//! called so: behind a lock of its own, held for look-ups only and never while another one is taken.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wxgate_contract::Timestamp;

use super::{IsRetired, PersonIx, RETIRED_FOR, Retired};
use crate::wire::casemap::fold;

/// Nicks of people, those among them that they had until a rename.
#[derive(Debug, Default)]
pub(in crate::server) struct Nicks {
    tables: Mutex<Tables>,
}

/// By folded nick.
#[derive(Debug, Default)]
struct Tables {
    present: HashMap<String, PersonIx>,
    retired: HashMap<String, Retired<PersonIx>>,
}

impl Nicks {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A panic elsewhere leaves tables that are whole.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody by nick; a retired nick still finds its person, and says so.
    pub(super) fn find(&self, nick: &str, now: Timestamp) -> Option<(PersonIx, IsRetired)> {
        let (folded, tables) = (fold(nick), self.lock());
        if let Some(ix) = tables.present.get(&folded) {
            return Some((*ix, IsRetired(false)));
        }
        let retired = tables.retired.get(&folded).filter(|retired| retired.until > now)?;
        Some((retired.to, IsRetired(true)))
    }

    /// The nick leads to somebody of the account.
    pub(in crate::server) fn has(&self, nick: &str, now: Timestamp) -> bool {
        self.find(nick, now).is_some()
    }

    /// Whether a folded nick is not to be had by `by`; what they had themselves before they may have again.
    pub(super) fn is_taken(&self, folded: &str, by: Option<PersonIx>, now: Timestamp) -> bool {
        let tables = self.lock();
        let retired = tables.retired.get(folded);
        tables.present.contains_key(folded)
            || retired.is_some_and(|retired| retired.until > now && Some(retired.to) != by)
    }

    pub(super) fn give(&self, nick: &str, to: PersonIx) {
        let (folded, mut tables) = (fold(nick), self.lock());
        tables.retired.remove(&folded);
        tables.present.insert(folded, to);
    }

    pub(super) fn take(&self, nick: &str) {
        self.lock().present.remove(&fold(nick));
    }

    /// A nick that somebody had leads to them for a while; until when.
    pub(super) fn retire(&self, nick: &str, of: PersonIx, now: Timestamp) -> Timestamp {
        let until = now.after(RETIRED_FOR);
        let mut tables = self.lock();
        tables.retired.retain(|_, retired| retired.until > now);
        tables.retired.insert(fold(nick), Retired { to: of, until });
        until
    }

    /// The same, as it was stored.
    pub(super) fn load_retired(&self, nick: &str, of: PersonIx, until: Timestamp) {
        self.lock().retired.insert(fold(nick), Retired { to: of, until });
    }
}
