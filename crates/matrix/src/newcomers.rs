//! Ghosts that are known to be in no room at all, because they were made in this run and for the first time.
//!
//! What they say first is said after they were brought in, and not tried, refused, and then tried again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::Recent;

/// Their ids. One that is forgotten, or that came in another way meanwhile, costs a refusal as anybody else does.
#[derive(Default)]
pub(crate) struct Newcomers {
    // Locked for the length of a lookup.
    known: Mutex<Recent<()>>,
}

impl Newcomers {
    fn known(&self) -> MutexGuard<'_, Recent<()>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, user_id: &str) -> bool {
        self.known().get(user_id).is_some()
    }

    pub(crate) fn add(&self, user_id: &str) {
        self.known().put(user_id.to_owned(), Arc::new(()));
    }

    /// One is in a room.
    pub(crate) fn remove(&self, user_id: &str) {
        self.known().remove(user_id);
    }
}
