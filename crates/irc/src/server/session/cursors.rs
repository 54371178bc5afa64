//! How far clients have confirmed what they were given, and where each client name goes on after a restart.

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{Batch, Note};

use super::{RETRY_AFTER, Session};
use crate::server::registry::ClientId;

impl Session {
    /// A PING behind what was queued: its PONG says that all of it arrived. Only then may the
    /// cursor move; bytes written to a dead connection are not given.
    pub(super) fn ask_for_confirmation(&mut self, now: Instant) {
        let limits = &self.shared.config.limits;
        for client in self.clients.values_mut() {
            if client.ask_at(limits).is_some_and(|at| at <= now) {
                client.unasked = None;
                client.asked_at = Some(now);
                client.asked_seq = client.sent_seq;
                let ping = format!("PING :wxgate-{}", client.sent_seq);
                client.raw_line(&ping);
            }
        }
    }

    /// A client confirmed what it was given.
    pub(in crate::server) fn confirmed(&mut self, id: ClientId, seq: i64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if seq > client.asked_seq || seq <= client.confirmed_seq {
            return;
        }
        client.confirmed_seq = seq;
        let name = client.name.clone();
        if self.cursors.get(&name).is_none_or(|cursor| seq > *cursor) {
            self.keep_cursor(&name, seq);
            self.cursors_changed.get_or_insert_with(Instant::now);
        }
    }

    /// Remembers where a client name stands; stored with the next save.
    pub(super) fn keep_cursor(&mut self, name: &str, seq: i64) {
        self.cursors.insert(name.to_owned(), seq);
        if !self.unsaved_cursors.iter().any(|unsaved| unsaved == name) {
            self.unsaved_cursors.push(name.to_owned());
        }
    }

    pub(super) async fn save_cursors(&mut self) {
        self.cursors_changed = None;
        let names = std::mem::take(&mut self.unsaved_cursors);
        if names.is_empty() {
            return;
        }
        let notes: Vec<Note> = names
            .iter()
            .filter_map(|name| {
                let seq = self.cursors.get(name)?;
                let key = self.roster.note_key("cursor", name);
                Some(Note { key, value: Some(Bytes::from(seq.to_string())), is_secret: false })
            })
            .collect();
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            // Lines may be shown again after a restart, under the same msgid; nothing is lost.
            tracing::debug!(%error, "replay positions could not be stored yet");
            self.unsaved_cursors = names;
            self.cursors_changed = Some(Instant::now() + RETRY_AFTER);
        }
    }

    /// Where a client name stands; `None` for one that was never seen.
    pub(in crate::server) async fn cursor(&mut self, name: &str) -> Option<i64> {
        if let Some(seq) = self.cursors.get(name) {
            return Some(*seq);
        }
        let key = self.roster.note_key("cursor", name);
        let value = self.shared.far.note(&self.shared.network, &key).await.ok()??;
        let seq = std::str::from_utf8(&value).ok()?.parse().ok()?;
        self.cursors.insert(name.to_owned(), seq);
        Some(seq)
    }
}
