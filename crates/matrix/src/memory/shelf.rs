//! Notes of one kind, and a bounded part of them at hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wxgate_contract::{FarError, Note};

use super::Memory;
use crate::names::hex;

/// Things of one kind at hand, at most twice this many. Chosen: an entry is a few hundred bytes,
/// and a read from the store costs less than a call to the homeserver.
const AT_HAND: usize = 2048;
/// Longest key of a note that is written as it is; the contract allows 512 bytes.
const KEY_BYTES: usize = 400;

/// Notes of one kind.
pub(crate) struct Shelf<T> {
    prefix: &'static str,
    // Locked for the length of a lookup; many deliveries read side by side.
    recent: Mutex<Recent<T>>,
}

/// Two generations: what is asked for moves to the young one; when that is full, the old one goes.
pub(crate) struct Recent<T> {
    young: HashMap<String, Arc<T>>,
    old: HashMap<String, Arc<T>>,
    /// Counts what was forgotten: what was read before may be of that.
    forgotten: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), forgotten: 0 }
    }
}

impl<T> Recent<T> {
    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<T>> {
        if let Some(found) = self.young.get(key) {
            return Some(Arc::clone(found));
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.put(key, Arc::clone(&found));
        Some(found)
    }

    pub(crate) fn put(&mut self, key: String, value: Arc<T>) {
        if self.young.len() >= AT_HAND {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Has at hand what was read; gives it, or what somebody wrote since. `forgotten` is the count from before.
    fn put_read(&mut self, key: &str, value: Arc<T>, forgotten: u64) -> Arc<T> {
        match self.get(key) {
            Some(newer) => newer,
            None => {
                if self.forgotten == forgotten {
                    self.put(key.to_owned(), Arc::clone(&value));
                }
                value
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.young.remove(key);
        self.old.remove(key);
        self.forgotten += 1;
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.forgotten += 1;
    }
}

impl<T: Serialize + DeserializeOwned> Shelf<T> {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, recent: Mutex::new(Recent::default()) }
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent<T>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key(&self, key: &str) -> String {
        match key.len() <= KEY_BYTES {
            true => format!("{}/{key}", self.prefix),
            false => format!("{}/#{}", self.prefix, hex(key.as_bytes())),
        }
    }

    /// The thing of that name; `None` when there is none or its note cannot be read any more.
    pub(crate) async fn get(&self, memory: &Memory, key: &str) -> Result<Option<Arc<T>>, FarError> {
        let (found, forgotten) = {
            let mut recent = self.recent();
            (recent.get(key), recent.forgotten)
        };
        if found.is_some() {
            return Ok(found);
        }
        let Some(bytes) = memory.far.note(&memory.network, &self.key(key)).await? else { return Ok(None) };
        match serde_json::from_slice::<T>(&bytes) {
            Ok(value) => Ok(Some(self.recent().put_read(key, Arc::new(value), forgotten))),
            Err(error) => {
                tracing::warn!(%error, kind = self.prefix, "a note cannot be read and is made anew");
                Ok(None)
            }
        }
    }

    /// The note that makes the thing lasting.
    pub(crate) fn note(&self, key: &str, value: &T) -> Note {
        // Our own types always have a JSON form.
        let value = serde_json::to_vec(value).unwrap_or_default();
        Note { key: self.key(key), value: Some(Bytes::from(value)), is_secret: false }
    }

    /// Writes one thing, then has it at hand.
    pub(crate) async fn put(&self, memory: &Memory, key: &str, value: T) -> Result<Arc<T>, FarError> {
        memory.save(vec![self.note(key, &value)]).await?;
        Ok(self.keep(key, value))
    }

    /// Has at hand what was just written.
    pub(crate) fn keep(&self, key: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.recent().put(key.to_owned(), Arc::clone(&value));
        value
    }

    pub(super) fn look_again(&self) {
        self.recent().clear();
    }

    /// Forgets one thing for good.
    pub(crate) async fn forget(&self, memory: &Memory, key: &str) -> Result<(), FarError> {
        memory.save(vec![Note { key: self.key(key), value: None, is_secret: false }]).await?;
        self.recent().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_hand_is_bounded_and_what_is_used_stays() {
        let mut recent = Recent::default();
        recent.put("kept".to_owned(), Arc::new(0));
        for n in 0..10 * AT_HAND {
            recent.put(n.to_string(), Arc::new(n));
            recent.get("kept");
        }
        assert!(recent.young.len() + recent.old.len() <= 2 * AT_HAND);
        assert_eq!(recent.get("kept").as_deref(), Some(&0));
        assert_eq!(recent.get("0"), None);
    }

    #[test]
    fn what_was_read_takes_the_place_of_nothing_that_was_written_since() {
        let mut recent = Recent::default();
        assert_eq!(*recent.put_read("a", Arc::new("read"), 0), "read");
        recent.put("b".to_owned(), Arc::new("written"));
        assert_eq!(*recent.put_read("b", Arc::new("read before"), 0), "written");
        // It was forgotten between the read and now.
        recent.remove("c");
        assert_eq!(*recent.put_read("c", Arc::new("read before"), 0), "read before");
        assert_eq!((recent.get("c"), recent.get("b").as_deref()), (None, Some(&"written")));
    }
}
