//! The ledger: everything that was said to an account and everything that was heard from it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use crate::who::Who;

/// Which way an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The world said it; the client should show it.
    ToAccount,
    /// The client said it; the world heard it.
    FromAccount,
}

/// One thing said or heard.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerEntry {
    /// Its number in this account's ledger, from 0.
    pub n: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Which way.
    pub way: Way,
    /// The conversation.
    pub chat: Who,
    /// Who said it.
    pub from: Who,
    /// What sort of thing: `text`, `image`, `recall`, `read`, ….
    pub kind: &'static str,
    /// Its words.
    pub text: Arc<str>,
    /// The server's id; text in JSON, where numbers of this size are not safe.
    #[serde(serialize_with = "as_text")]
    pub msg_id: u64,
    /// The client's own id, for what was heard.
    pub client_msg_id: Option<Arc<str>>,
    /// Lower-case hex MD5 of the file that belongs to it.
    pub media_md5: Option<Arc<str>>,
    /// Length of that file.
    pub media_bytes: Option<u64>,
    /// How many `webwxsync` answers carried it.
    pub deliveries: u32,
    /// When the first of them was made, in Unix milliseconds.
    pub delivered_ms: Option<u64>,
    /// How many repeats with the same `ClientMsgId` were dropped.
    pub repeats: u32,
}

pub(crate) fn as_text<S: serde::Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// Reads an id written as text or as a number.
pub(crate) fn from_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    use serde::Deserialize;
    let value = serde_json::Value::deserialize(from)?;
    let id = match &value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    id.ok_or_else(|| serde::de::Error::custom("msg_id is neither a number nor digits"))
}

/// The same for an id that may be left out.
pub(crate) fn maybe_from_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from_text(from).map(Some)
}

/// The entries of one account, the oldest dropped beyond a limit.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<LedgerEntry>,
    next: u64,
}

impl Ledger {
    /// Writes an entry and says its number.
    pub(crate) fn write(&mut self, mut entry: LedgerEntry, limit: usize) -> u64 {
        entry.n = self.next;
        self.next += 1;
        if self.entries.len() >= limit.max(1) {
            self.entries.pop_front();
        }
        let n = entry.n;
        self.entries.push_back(entry);
        n
    }

    fn at(&mut self, n: u64) -> Option<&mut LedgerEntry> {
        let first = self.entries.front()?.n;
        let at = usize::try_from(n.checked_sub(first)?).ok()?;
        self.entries.get_mut(at)
    }

    /// Notes that an answer carried the entry.
    pub(crate) fn deliver(&mut self, n: u64, now_ms: u64) {
        if let Some(entry) = self.at(n) {
            entry.deliveries += 1;
            entry.delivered_ms.get_or_insert(now_ms);
        }
    }

    /// Notes a suppressed repeat of what was heard with this id.
    pub(crate) fn repeat(&mut self, msg_id: u64) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.msg_id == msg_id) {
            entry.repeats += 1;
        }
    }

    pub(crate) fn find(&self, msg_id: u64) -> Option<&LedgerEntry> {
        self.entries.iter().rev().find(|entry| entry.msg_id == msg_id && entry.kind != "recall")
    }

    /// Up to `limit` entries with a number of at least `from`.
    pub(crate) fn page(&self, from: u64, limit: usize) -> Vec<LedgerEntry> {
        let first = self.entries.front().map_or(0, |entry| entry.n);
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).take(limit).cloned().collect()
    }
}
