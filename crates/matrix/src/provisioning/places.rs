//! How much is carried out at once: for everybody together, of this so much for one person, and for whoever is not known
//! yet apart from them. Nobody takes the places of all, and a stranger takes none of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Refusal;

/// Requests at once, over all listeners. Chosen: half of the connections of the application service's own listener, so
/// that requests which hang never keep the homeserver out.
const REQUESTS: usize = 32;
/// Those of one person. Chosen: two steps that hang, and what a page asks beside them.
const OF_ONE: usize = 8;
/// Tokens that the homeserver is asked about at once, of those who were not let in lately. Chosen: few guesses wait for it
/// at a time, and it answers within milliseconds.
const STRANGERS: usize = 8;

/// What is taken.
pub(super) struct Places {
    // Locked to count.
    taken: Mutex<HashMap<String, usize>>,
    strangers: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { taken: Mutex::default(), strangers: Semaphore::new(STRANGERS) }
    }
}

/// A place of somebody's; free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    user_id: String,
}

impl Places {
    /// A place for a request of somebody who may sign in. Too many at once are turned away, and not kept waiting.
    pub(super) fn take(self: &Arc<Self>, user_id: &str) -> Result<Place, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.get(user_id).copied().unwrap_or_default();
        if theirs >= OF_ONE || taken.values().sum::<usize>() >= REQUESTS {
            return Err(too_many());
        }
        taken.insert(user_id.to_owned(), theirs + 1);
        Ok(Place { places: Arc::clone(self), user_id: user_id.to_owned() })
    }

    /// A place for asking the homeserver who a stranger is.
    pub(super) fn stranger(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.strangers.try_acquire().map_err(|_| too_many())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.user_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.user_id)),
        }
    }
}

fn too_many() -> Refusal {
    let error = "too many requests are under way; try again";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_one_person_nor_a_stranger_takes_the_places_of_all() {
        let places = Arc::new(Places::default());
        let strangers: Vec<_> = std::iter::from_fn(|| places.stranger().ok()).collect();
        assert_eq!(strangers.len(), STRANGERS);
        let ann: Vec<Place> = std::iter::from_fn(|| places.take("@ann:x").ok()).collect();
        assert_eq!(ann.len(), OF_ONE);
        let bob = places.take("@bob:x");
        assert!(bob.is_ok(), "another person has their own");
        let others: Vec<Place> = (0..REQUESTS).filter_map(|n| places.take(&format!("@{n}:x")).ok()).collect();
        assert_eq!(others.len(), REQUESTS - OF_ONE - 1);
        drop((ann, others, bob));
        assert!(places.taken.lock().unwrap().is_empty(), "who left is forgotten");
        drop(strangers);
        assert!(places.stranger().is_ok());
    }
}
