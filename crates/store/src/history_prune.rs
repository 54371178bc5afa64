//! Forgetting what was said long ago, or what is more than somebody wants to keep. Oldest first, in small steps.

use std::time::Duration;

use serde::Deserialize;
use sqlx::AnyConnection;
use wxgate_contract::{NetworkId, Timestamp};

use crate::error::StoreError;
use crate::limits;
use crate::media;
use crate::removal::remove_post_rows;
use crate::report::Pruned;
use crate::sql::{self, Columns, row};
use crate::store::Store;

const DOING: &str = "pruning history";
/// Messages per step; other writers get their turn in between.
const STEP_ROWS: i64 = 500;

/// What is kept; `None` keeps it for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Nothing that was said longer ago than this.
    pub age: Option<Duration>,
    /// No more than so many messages of a network.
    pub messages: Option<u64>,
}

/// The one field of a post that is read.
#[derive(Deserialize)]
struct Said {
    at: Timestamp,
}

impl Store {
    /// Networks of which something is kept: accounts, and networks of others whose channels are or were linked.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn networks_with_history(&self) -> Result<Vec<NetworkId>, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT name FROM network WHERE EXISTS \
                    (SELECT 1 FROM post WHERE post.network = network.id AND shown_seq IS NOT NULL) ORDER BY id";
        let rows = sql::fetch(&mut conn, DOING, text, []).await?;
        rows.iter().map(|row| Ok(NetworkId::new(row.at::<String>(0)?))).collect()
    }

    /// Forgets messages of a network beyond what is to be kept. What is still to be delivered somewhere stays,
    /// and what is behind it goes another time.
    ///
    /// # Errors
    /// `Unavailable` when the database failed; what was removed stays removed.
    pub async fn prune_history(&self, network: &NetworkId, keep: Keep) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let Some(number) = self.find(network).await? else { return Ok(pruned) };
        let before = keep.age.map(|age| {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            self.0.clock.now().ms().saturating_sub(age_ms)
        });
        let mut surplus = match keep.messages {
            Some(most) => self.messages(number).await?.saturating_sub(limits::count(most)),
            None => 0,
        };
        loop {
            let writer = self.writer()?;
            let limit = if surplus > 0 { surplus.min(STEP_ROWS) } else { STEP_ROWS };
            let is_surplus = surplus > 0;
            let _gate = self.0.media_gate.lock().await;
            let step = writer.transaction(DOING, move |tx| {
                let before = if is_surplus { Some(i64::MAX) } else { before };
                Box::pin(async move { forget(tx, number, before, limit).await })
            });
            let (gone, hashes) = step.await?;
            self.remove_contents(&hashes, &mut pruned).await?;
            pruned.messages += gone;
            surplus = surplus.saturating_sub(i64::try_from(gone).unwrap_or(i64::MAX));
            if gone == 0 {
                return Ok(pruned);
            }
        }
    }

    async fn messages(&self, number: i64) -> Result<i64, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT COUNT(*) FROM post WHERE network = $1 AND shown_seq IS NOT NULL";
        sql::fetch(&mut conn, DOING, text, row![number]).await?.first().map_or(Ok(0), |row| row.at(0))
    }
}

/// Forgets the oldest messages as long as they are older than `before`; says how many, and which content nothing names
/// any more.
async fn forget(
    tx: &mut AnyConnection,
    number: i64,
    before: Option<i64>,
    limit: i64,
) -> Result<(u64, Vec<String>), StoreError> {
    let Some(before) = before else { return Ok((0, Vec::new())) };
    let text = "SELECT p.id, p.post, CASE WHEN p.id IN (SELECT post FROM delivery WHERE closed_ms IS NULL) \
                THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END FROM post p \
                WHERE p.network = $1 AND p.shown_seq IS NOT NULL ORDER BY p.shown_seq LIMIT $2";
    let rows = sql::fetch(tx, DOING, text, row![number, limit]).await?;
    let mut ids = Vec::new();
    for row in &rows {
        let at = serde_json::from_str::<Said>(&row.at::<String>(1)?).map_or(0, |said| said.at.ms());
        if at >= before || row.at::<i64>(2)? != 0 {
            break;
        }
        ids.push(row.at::<i64>(0)?);
    }
    let hashes = media::forget_words(tx, DOING, &ids).await?;
    let shown = remove_post_rows(tx, DOING, &ids).await?;
    media::hand_over(tx, DOING, number, shown).await?;
    Ok((u64::try_from(ids.len()).unwrap_or(u64::MAX), hashes))
}
