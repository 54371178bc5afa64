//! What a session does when its time has come.

use tokio::time::Instant;
use wxgate_contract::{Batch, Note};

use super::{IDLE, NOTES_AT_ONCE, RETRY_AFTER, SAVE_EVERY, Session};
use crate::server::registry::ClientId;

impl Session {
    /// The next moment at which something has to be done.
    pub(super) fn next_deadline(&self) -> Instant {
        let limits = &self.shared.config.limits;
        let mut next = Instant::now() + IDLE;
        for client in self.clients.values() {
            if let Some(held) = &client.held {
                next = next.min(held.until);
            }
            next = client.ask_at(limits).map_or(next, |at| next.min(at));
        }
        next = self.save_names_at.map_or(next, |at| next.min(at));
        next = self.reread_at.map_or(next, |at| next.min(at));
        next = self.look_again_at.map_or(next, |at| next.min(at));
        self.cursors_changed.map_or(next, |changed| next.min(changed + SAVE_EVERY))
    }

    pub(super) async fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<ClientId> = self
            .clients
            .values()
            .filter(|client| client.held.as_ref().is_some_and(|held| held.until <= now))
            .map(|client| client.id)
            .collect();
        for client in due {
            self.flush_held(client).await;
        }
        self.ask_for_confirmation(now);
        if self.look_again_at.is_some_and(|at| at <= now) {
            self.look_at_doors(None).await;
        }
        if self.cursors_changed.is_some_and(|changed| changed + SAVE_EVERY <= now) {
            self.begin_saving_cursors();
        }
    }

    /// Stores names that were given. They are shown before they are stored: a name that is lost in
    /// a crash is given again from the same profile.
    pub(super) async fn save_names(&mut self) {
        if self.save_names_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.save_names_at = None;
        while !self.roster.unsaved.is_empty() {
            let count = self.roster.unsaved.len().min(NOTES_AT_ONCE);
            let notes: Vec<Note> = self.roster.unsaved.drain(..count).collect();
            if let Err(error) = self.commit(Batch { notes: notes.clone(), ..Batch::default() }).await {
                tracing::debug!(%error, "names could not be stored yet");
                self.roster.unsaved.splice(0..0, notes);
                self.save_names_at = Some(Instant::now() + RETRY_AFTER);
                return;
            }
        }
    }
}
