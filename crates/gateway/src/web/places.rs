//! Places for what takes long, such as streams that follow what happens: bounded for all, and for each person, so that
//! nobody takes all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wxgate_contract::UserName;

/// Who has some.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Mutex<HashMap<UserName, usize>>,
    /// For everybody together.
    all: usize,
    /// For one person.
    each: usize,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    user: UserName,
}

impl Places {
    /// Of those of all and of each person, how many more there are for what cannot wait: one for eight.
    const KEPT: usize = 8;

    /// So many places for all together, and of these so many for each person.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { taken: Mutex::default(), all, each }
    }

    /// One more place for somebody; `None` when they or all together have as many as there are.
    pub(crate) fn take(self: &Arc<Self>, user: &UserName) -> Option<Place> {
        self.of(user, self.all, self.each)
    }

    /// The same for what cannot wait, for which some are kept beyond those.
    pub(crate) fn take_kept(self: &Arc<Self>, user: &UserName) -> Option<Place> {
        let more = |count: usize| count + count.div_ceil(Self::KEPT);
        self.of(user, more(self.all), more(self.each))
    }

    fn of(self: &Arc<Self>, user: &UserName, all: usize, each: usize) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.get(user).copied().unwrap_or_default();
        if theirs >= each || taken.values().sum::<usize>() >= all {
            return None;
        }
        taken.insert(user.clone(), theirs + 1);
        Some(Place { places: Arc::clone(self), user: user.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all() {
        const ALL: usize = 40;
        const EACH: usize = 16;
        let places = Arc::new(Places::new(ALL, EACH));
        let ann: Vec<Place> = std::iter::from_fn(|| places.take(&"ann".into())).collect();
        assert_eq!(ann.len(), EACH);
        let bob = places.take(&"bob".into());
        assert!(bob.is_some(), "another person has their own");
        drop(ann);
        assert!(places.take(&"ann".into()).is_some());
        let all: Vec<Place> =
            (0..ALL).filter_map(|at| places.take(&UserName::from(format!("user{at}")))).collect();
        assert_eq!(all.len(), ALL - 1, "one is taken");
        assert!(places.take(&"late".into()).is_none());
        let kept: Vec<Place> = std::iter::from_fn(|| places.take_kept(&"late".into())).collect();
        assert_eq!(kept.len(), ALL / 8, "what cannot wait has places of its own, and not for ever");
        drop(kept);
        drop((all, bob));
        assert!(places.taken.lock().unwrap().is_empty(), "who left is forgotten");
    }
}
