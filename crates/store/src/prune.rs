//! Forgetting what is settled and old.

use crate::error::StoreError;
use crate::report::Pruned;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Settled deliveries are kept this long, so that late echoes find them.
const KEEP_MS: i64 = 30 * 86_400_000;
/// Rows per step; other writers get their turn in between.
const STEP_ROWS: i64 = 1000;

impl Store {
    /// Forgets deliveries that were settled more than 30 days ago. Posts, and the ids they got,
    /// stay.
    ///
    /// # Errors
    /// `Unavailable` when the database failed; what was removed stays removed.
    pub async fn prune(&self) -> Result<Pruned, StoreError> {
        const DOING: &str = "pruning settled deliveries";
        let before = self.0.clock.now().ms().saturating_sub(KEEP_MS);
        let networks = {
            let mut conn = self.reader(DOING).await?;
            let rows = sql::fetch(&mut conn, DOING, "SELECT id FROM network", []).await?;
            rows.iter().map(|row| row.at::<i64>(0)).collect::<Result<Vec<_>, _>>()?
        };
        let mut pruned = Pruned::default();
        let writer = self.writer()?;
        for network in networks {
            loop {
                let text = "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery \
                            WHERE network = $1 AND closed_ms IS NOT NULL AND closed_ms < $2 LIMIT $3)";
                let gone = writer.transaction(DOING, move |tx| {
                    Box::pin(async move { sql::run(tx, DOING, text, row![network, before, STEP_ROWS]).await })
                });
                let gone = gone.await?;
                pruned.deliveries += gone;
                if gone == 0 {
                    break;
                }
            }
        }
        Ok(pruned)
    }
}
