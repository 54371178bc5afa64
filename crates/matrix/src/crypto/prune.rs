//! Once a day takes away what devices keep and nothing needs any more: `wxgate_e2ee` says what that is.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::{Note, Stop};
use wxgate_e2ee::Leftover;

use crate::api::keys::JoinedRooms;
use crate::memory::Ghost;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The note that says when it was done last, in milliseconds.
const PRUNED: &str = "pruned";
/// What the notes about people begin with with whom no room is shared any more.
const GONE: &str = "gone/";
/// How often it is done. Chosen: what a day leaves behind is little.
const EVERY_MS: i64 = 86_400_000;
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(600);
/// Notes read at once.
const PAGE: usize = 200;
/// People that are forgotten in one sweep; the rest waits for the next day.
const PEOPLE: usize = 10_000;

/// Prunes once a day until told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: Stop) {
    let mut reach = shared.client.reach();
    loop {
        let turn = async {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            if let Err(error) = Box::pin(shared.prune_when_due()).await {
                tracing::warn!(%error, "keys that nothing needs any more cannot be cleared away yet");
            }
            tokio::time::sleep(LOOK).await;
        };
        tokio::select! {
            () = stop.stopping() => return,
            () = turn => {}
        }
    }
}

impl Shared {
    /// No encrypted room is shared with them any more, the homeserver says.
    pub(super) async fn note_gone(&self, users: &[String]) -> Result<(), Trouble> {
        if users.is_empty() {
            return Ok(());
        }
        let note = |user: &String| Note {
            key: format!("{GONE}{user}"),
            value: Some(bytes::Bytes::new()),
            is_secret: false,
        };
        Ok(self.memory.save(users.iter().map(note).collect()).await?)
    }

    async fn prune_when_due(&self) -> Result<(), Trouble> {
        let last = self.memory.read(PRUNED).await?;
        let last: i64 = last.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0);
        let now = self.clock.now().ms();
        if now.saturating_sub(last) < EVERY_MS {
            return Ok(());
        }
        let gone = self.all_gone().await?;
        let people = gone.iter().filter_map(|key| key.strip_prefix(GONE)).map(str::to_owned).collect();
        let rooms = self.client.call(self.bot(), &JoinedRooms).await?.joined_rooms;
        let leftover = Leftover::new(now, rooms, people);
        let mut rows = self.prune_device(self.names.bot(), &leftover).await?;
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("ghost/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, bytes) in &page {
                let Ok(ghost) = serde_json::from_slice::<Ghost>(bytes) else { continue };
                if self.device_of(&ghost.user_id).await?.is_some() {
                    rows += self.prune_device(&ghost.user_id, &leftover).await?;
                }
            }
        }
        if rows > 0 {
            tracing::info!(rows, "keys that nothing needs any more were cleared away");
        }
        let forget = |key: String| Note { key, value: None, is_secret: false };
        let mut notes: Vec<Note> = gone.into_iter().map(forget).collect();
        let value = Some(now.to_string().into_bytes().into());
        notes.push(Note { key: PRUNED.to_owned(), value, is_secret: false });
        Ok(self.memory.save(notes).await?)
    }

    /// The notes about people that are gone.
    async fn all_gone(&self) -> Result<Vec<String>, Trouble> {
        let mut gone = Vec::new();
        let mut after: Option<String> = None;
        while gone.len() < PEOPLE {
            let page = self.memory.page(GONE, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            gone.extend(page.into_iter().map(|(key, _)| key));
        }
        Ok(gone)
    }
}
