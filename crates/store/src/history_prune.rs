//! Forgetting what was said long ago, or what is more than somebody wants to keep. Oldest first, in small steps.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wxgate_contract::{NetworkId, Timestamp};

use crate::error::StoreError;
use crate::limits;
use crate::media;
use crate::removal::remove_post_rows;
use crate::report::Pruned;
use crate::sql::{self, Columns, Many, row};
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

/// A message that may go.
struct Message {
    id: i64,
    seq: i64,
    at_ms: i64,
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

    /// Forgets messages of a network beyond what is to be kept. What is still to be delivered somewhere stays, counts
    /// among what is too much, and goes another time.
    ///
    /// # Errors
    /// `Unavailable` when the database failed; what was removed stays removed.
    pub async fn prune_history(&self, network: &NetworkId, keep: Keep) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let Some(number) = self.find(network).await? else { return Ok(pruned) };
        let age_ms = keep.age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let before = age_ms.map_or(i64::MIN, |age_ms| self.0.clock.now().ms().saturating_sub(age_ms));
        let mut surplus = match keep.messages {
            Some(most) => self.messages(number).await?.saturating_sub(limits::count(most)),
            None => 0,
        };
        // Mostly there is nothing to do, and one message tells.
        let (mut after, mut limit) = (i64::MIN, 1);
        loop {
            let oldest = self.oldest(number, after, limit).await?;
            let Some(last) = oldest.last() else { return Ok(pruned) };
            (after, limit) = (last.seq, STEP_ROWS);
            let old = oldest.iter().take_while(|message| {
                surplus -= 1;
                surplus >= 0 || message.at_ms < before
            });
            let old: Vec<i64> = old.map(|message| message.id).collect();
            let is_over = old.len() < oldest.len();
            self.forget(number, old, &mut pruned).await?;
            if is_over {
                return Ok(pruned);
            }
        }
    }

    /// The oldest messages behind a place of the timeline.
    async fn oldest(&self, number: i64, after: i64, limit: i64) -> Result<Vec<Message>, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT id, shown_seq, post FROM post WHERE network = $1 AND shown_seq IS NOT NULL \
                    AND shown_seq > $2 ORDER BY shown_seq LIMIT $3";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, after, limit]).await?;
        let message = |row: &AnyRow| {
            // One that cannot be read is old.
            let at_ms =
                serde_json::from_str::<Said>(&row.at::<String>(2)?).map_or(i64::MIN, |said| said.at.ms());
            Ok(Message { id: row.at(0)?, seq: row.at(1)?, at_ms })
        };
        rows.iter().map(message).collect()
    }

    /// Forgets those of these messages that are not still to be delivered.
    async fn forget(&self, number: i64, ids: Vec<i64>, pruned: &mut Pruned) -> Result<(), StoreError> {
        let mut conn = self.reader(DOING).await?;
        let ids = at_rest(&mut conn, ids).await?;
        drop(conn);
        if ids.is_empty() {
            return Ok(());
        }
        let _gate = self.0.media_gate.lock().await;
        let writer = self.writer()?;
        let step = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                // What became of one may have been ordered to be told meanwhile.
                let ids = at_rest(tx, ids).await?;
                let hashes = media::forget_words(tx, DOING, &ids).await?;
                let shown = remove_post_rows(tx, DOING, &ids).await?;
                media::hand_over(tx, DOING, number, shown).await?;
                Ok((ids.len(), hashes))
            })
        });
        let (gone, hashes) = step.await?;
        self.remove_contents(&hashes, pruned).await?;
        pruned.messages += u64::try_from(gone).unwrap_or(u64::MAX);
        Ok(())
    }

    async fn messages(&self, number: i64) -> Result<i64, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT COUNT(*) FROM post WHERE network = $1 AND shown_seq IS NOT NULL";
        sql::fetch(&mut conn, DOING, text, row![number]).await?.first().map_or(Ok(0), |row| row.at(0))
    }
}

/// Those that are not still to be delivered somewhere.
async fn at_rest(conn: &mut AnyConnection, mut ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    let mut many = Many::new(
        "WITH w (post) AS (VALUES ",
        ") SELECT w.post FROM w WHERE EXISTS \
         (SELECT 1 FROM delivery d WHERE d.post = w.post AND d.closed_ms IS NULL)",
    );
    ids.iter().for_each(|id| many.push(row![*id]));
    let rows = many.fetch(conn, DOING).await?;
    let waiting: HashSet<i64> = rows.iter().map(|row| row.at(0)).collect::<Result<_, _>>()?;
    ids.retain(|id| !waiting.contains(id));
    Ok(ids)
}
