//! The few names that a burst needs again and again.

use std::collections::{HashMap, VecDeque};

use super::Named;

/// Entries kept: a noisy group's speakers. 48 entries are about 12 KiB, of the 64 KiB that an
/// account may use; an idle account has none. Chosen.
const ENTRIES: usize = 48;

/// Least recently used first out. A scan over 48 keys is cheaper than a second index.
#[derive(Debug, Default)]
pub(crate) struct Cache(VecDeque<(Box<str>, Named)>);

impl Cache {
    pub(crate) fn get(&mut self, key: &str) -> Option<Named> {
        let at = self.0.iter().position(|(known, _)| **known == *key)?;
        let entry = self.0.remove(at)?;
        let named = entry.1.clone();
        self.0.push_back(entry);
        Some(named)
    }

    pub(crate) fn put(&mut self, key: &str, named: &Named) {
        if let Some(at) = self.0.iter().position(|(known, _)| **known == *key) {
            self.0.remove(at);
        } else if self.0.len() >= ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back((key.into(), named.clone()));
    }

    /// New values of known entries first of all: a stale name must not survive its change.
    pub(crate) fn put_all(&mut self, fresh: HashMap<String, Named>) {
        for (key, named) in &fresh {
            if self.0.len() < ENTRIES || self.0.iter().any(|(known, _)| **known == **key) {
                self.put(key, named);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| **known != *key);
    }

    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Kind;

    fn named(name: &str) -> Named {
        Named::new(name, Kind::Person, name)
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::default();
        cache.put("first", &named("first"));
        for at in 0..200 {
            cache.put(&at.to_string(), &named("x"));
            assert!(cache.get("first").is_some());
        }
        assert_eq!(cache.0.len(), ENTRIES);
        assert!(cache.get("0").is_none());
    }

    #[test]
    fn a_changed_name_replaces_the_cached_one() {
        let mut cache = Cache::default();
        for at in 0..ENTRIES {
            cache.put(&at.to_string(), &named("old"));
        }
        let fresh = (0..500).map(|at| (at.to_string(), named("new"))).collect();
        cache.put_all(fresh);
        assert!((0..ENTRIES).all(|at| cache.get(&at.to_string()).is_none_or(|n| n.name == "new")));
        assert_eq!(cache.0.len(), ENTRIES);
    }
}
