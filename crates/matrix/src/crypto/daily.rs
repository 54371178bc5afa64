//! What is to be done once a day, over restarts as well: it is written down when it was done last.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::{BoxFuture, Note, Stop};

use crate::memory::Ghost;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How often it is done. Chosen: a lively room of two hundred ghosts brings their devices some thousand messages a
/// day; other things leave less.
const EVERY_MS: i64 = 86_400_000;
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(600);
/// Notes read at once.
pub(super) const PAGE: usize = 200;

/// Something to do: it is given the time in milliseconds, and answers with what is to be written down besides.
pub(super) type Work = for<'a> fn(&'a Shared, i64) -> BoxFuture<'a, Result<Vec<Note>, Trouble>>;

/// Work of every day.
pub(super) struct Daily {
    /// The note that says when it was done last, in milliseconds.
    pub(super) note: &'static str,
    /// What is said of a day on which it cannot be done.
    pub(super) cannot: &'static str,
    /// What is done.
    pub(super) work: Work,
}

impl Daily {
    /// Does it once a day while the homeserver is there, until told to stop.
    pub(super) async fn run(&self, shared: Arc<Shared>, stop: Stop) {
        let mut reach = shared.client.reach();
        loop {
            let turn = async {
                // An error means that the client is gone, which is the end of the run.
                let _ = reach.wait_for(|is_there| *is_there).await;
                if let Err(error) = self.when_due(&shared).await {
                    tracing::warn!(%error, "{}", self.cannot);
                }
                tokio::time::sleep(LOOK).await;
            };
            tokio::select! {
                () = stop.stopping() => return,
                () = turn => {}
            }
        }
    }

    async fn when_due(&self, shared: &Shared) -> Result<(), Trouble> {
        let last = shared.memory.read(self.note).await?;
        let last: i64 = last.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0);
        let now = shared.clock.now().ms();
        if now.saturating_sub(last) < EVERY_MS {
            return Ok(());
        }
        let mut notes = (self.work)(shared, now).await?;
        let value = Some(now.to_string().into_bytes().into());
        notes.push(Note { key: self.note.to_owned(), value, is_secret: false });
        Ok(shared.memory.save(notes).await?)
    }
}

/// Goes through the ghosts that have a device, a page of them at a time.
#[derive(Default)]
pub(super) struct Ghosts {
    after: Option<String>,
}

impl Ghosts {
    /// The ids of the next ones with those of their devices; `None` after the last.
    pub(super) async fn next(&mut self, shared: &Shared) -> Result<Option<Vec<(String, String)>>, Trouble> {
        let page = shared.memory.page("ghost/", self.after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = Some(last.clone());
        let mut found = Vec::new();
        for (_, bytes) in &page {
            let Ok(ghost) = serde_json::from_slice::<Ghost>(bytes) else { continue };
            if let Some(device_id) = shared.device_of(&ghost.user_id).await? {
                found.push((ghost.user_id, device_id));
            }
        }
        Ok(Some(found))
    }
}
