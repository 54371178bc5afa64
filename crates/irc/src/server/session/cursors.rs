//! How far clients have confirmed what they were given, and where each client name goes on after a restart.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{Batch, Note};

use super::{RETRY_AFTER, Session};
use crate::server::registry::{ClientId, Incoming};

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

    /// Stores where client names stand, beside the session: a commit takes as long as the disk does, and what clients
    /// ask meanwhile does not wait for it. The end comes back as [`Incoming::CursorsKept`].
    pub(super) fn begin_saving_cursors(&mut self) {
        if !self.saving_cursors.is_empty() {
            // One at a time keeps their order.
            self.cursors_changed = Some(Instant::now());
            return;
        }
        self.cursors_changed = None;
        let names = std::mem::take(&mut self.unsaved_cursors);
        let notes = self.cursor_notes(&names);
        if notes.is_empty() {
            return;
        }
        self.saving_cursors = names;
        let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
        self.tasks.spawn(async move {
            let (far, wait) = (&shared.far, shared.config.limits.commit_timeout);
            let batch = Batch { notes, ..Batch::default() };
            let committed = tokio::time::timeout(wait, far.commit(&shared.network, batch)).await;
            // A session that is gone has stored them at its end.
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::CursorsKept(matches!(committed, Ok(Ok(_))))).await;
            }
        });
    }

    /// What was begun so has ended.
    pub(super) fn cursors_kept(&mut self, are_kept: bool) {
        let names = std::mem::take(&mut self.saving_cursors);
        if !are_kept {
            self.cursors_stay(names);
        }
    }

    /// Stores them and waits for it.
    pub(super) async fn save_cursors(&mut self) {
        self.cursors_changed = None;
        let mut names = std::mem::take(&mut self.unsaved_cursors);
        // What is on its way may never arrive where the session is about to end.
        names.extend(self.saving_cursors.iter().cloned());
        let notes = self.cursor_notes(&names);
        if notes.is_empty() {
            return;
        }
        if self.commit(Batch { notes, ..Batch::default() }).await.is_err() {
            self.cursors_stay(names);
        }
    }

    /// They could not be stored: lines may be shown again after a restart, under the same msgid; nothing is lost.
    fn cursors_stay(&mut self, names: Vec<String>) {
        tracing::debug!("replay positions could not be stored yet");
        for name in names {
            if !self.unsaved_cursors.contains(&name) {
                self.unsaved_cursors.push(name);
            }
        }
        self.cursors_changed = Some(Instant::now() + RETRY_AFTER);
    }

    fn cursor_notes(&self, names: &[String]) -> Vec<Note> {
        let note = |name: &String| {
            let seq = self.cursors.get(name)?;
            let key = self.roster.note_key("cursor", name);
            Some(Note { key, value: Some(Bytes::from(seq.to_string())), is_secret: false })
        };
        names.iter().filter_map(note).collect()
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
