//! Once a day takes away what devices keep and nothing needs any more: `wxgate_e2ee` says what that is. What was
//! signed and is not shown so is signed again.

use wxgate_contract::Note;
use wxgate_e2ee::Leftover;

use super::daily::{Daily, Ghosts, PAGE};
use crate::api::keys::JoinedRooms;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the notes about people begin with with whom no room is shared any more.
const GONE: &str = "gone/";
/// People that are forgotten in one sweep; the rest waits for the next day.
const PEOPLE: usize = 10_000;

/// Once a day.
pub(super) const PRUNE: Daily = Daily {
    note: "pruned",
    cannot: "keys that nothing needs any more cannot be cleared away yet",
    work: |shared, now_ms| Box::pin(shared.prune(now_ms)),
};

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

    async fn prune(&self, now_ms: i64) -> Result<Vec<Note>, Trouble> {
        let gone = self.all_gone().await?;
        let people = gone.iter().filter_map(|key| key.strip_prefix(GONE)).map(str::to_owned).collect();
        let rooms = self.client.call(self.bot(), &JoinedRooms).await?.joined_rooms;
        let leftover = Leftover::new(now_ms, rooms, people);
        let mut rows = self.prune_device(self.names.bot(), &leftover).await?;
        let mut ghosts = Ghosts::default();
        while let Some(page) = ghosts.next(self).await? {
            for (user_id, _) in &page {
                rows += self.prune_device(user_id, &leftover).await?;
            }
        }
        self.sign_verified_again().await?;
        if rows > 0 {
            tracing::info!(rows, "keys that nothing needs any more were cleared away");
        }
        Ok(gone.into_iter().map(|key| Note { key, value: None, is_secret: false }).collect())
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
