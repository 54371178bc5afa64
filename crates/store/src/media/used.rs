//! How full the vault is, without counting it anew for each file.

use crate::store::Store;

/// Bytes of the vault: as they were counted when it was last cleaned up, and what came since. The same content twice
/// counts twice until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    counted: u64,
    since: u64,
}

impl Used {
    fn all(self) -> u64 {
        self.counted.saturating_add(self.since)
    }

    /// A file came.
    pub(crate) fn stored(&mut self, bytes: u64) {
        self.since = self.since.saturating_add(bytes);
    }

    /// It is being counted: what comes from here on may be in it or not.
    pub(crate) fn counting(&mut self) {
        *self = Self { counted: self.all(), since: 0 };
    }

    /// So much there was.
    pub(crate) fn counted(&mut self, bytes: u64) {
        self.counted = bytes;
    }
}

impl Store {
    /// Bytes that attachments take at most, as far as they were counted: the first clean-up begins it.
    pub fn media_used(&self) -> u64 {
        self.0.media_used.borrow().all()
    }

    /// Waits until attachments take more than so many bytes.
    pub async fn media_beyond(&self, bytes: u64) {
        let mut used = self.0.media_used.subscribe();
        // An error means that the store is gone, which this holds.
        let _ = used.wait_for(|used| used.all() > bytes).await;
    }
}
