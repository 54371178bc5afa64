//! Forgetting what is settled and old, and what the clock said when that was done last.

use wxgate_contract::Timestamp;

use crate::error::StoreError;
use crate::report::Pruned;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Settled deliveries are kept this long, so that late echoes find them.
const KEEP_MS: i64 = 30 * 86_400_000;
/// Rows per step; other writers get their turn in between.
const STEP_ROWS: i64 = 1000;

/// What the clock said to earlier runs of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockSeen {
    /// The latest time that was believed; `None` before there was one.
    pub believed: Option<Timestamp>,
    /// Since when a later time is told that is not believed yet.
    pub doubted: Option<Timestamp>,
}

const BELIEVED: &str = "clock believed";
const DOUBTED: &str = "clock doubted";

impl Store {
    /// What was kept with [`Store::keep_clock_seen`] last.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn clock_seen(&self) -> Result<ClockSeen, StoreError> {
        const DOING: &str = "reading what the clock said";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT name, value FROM counter WHERE name IN ($1, $2)";
        let mut seen = ClockSeen::default();
        for row in sql::fetch(&mut conn, DOING, text, row![BELIEVED, DOUBTED]).await? {
            let at = Some(Timestamp(row.at(1)?));
            match row.at::<String>(0)?.as_str() {
                BELIEVED => seen.believed = at,
                _ => seen.doubted = at,
            }
        }
        Ok(seen)
    }

    /// Keeps what the clock says for later runs.
    ///
    /// # Errors
    /// `Unavailable` when nothing was changed.
    pub async fn keep_clock_seen(&self, seen: ClockSeen) -> Result<(), StoreError> {
        const DOING: &str = "keeping what the clock says";
        let writer = self.writer()?;
        let keep = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                for (name, at) in [(BELIEVED, seen.believed), (DOUBTED, seen.doubted)] {
                    match at {
                        Some(at) => {
                            let text = "INSERT INTO counter (name, value) VALUES ($1, $2) \
                                        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                            sql::run(tx, DOING, text, row![name, at.ms()]).await?
                        }
                        None => {
                            sql::run(tx, DOING, "DELETE FROM counter WHERE name = $1", row![name]).await?
                        }
                    };
                }
                Ok(())
            })
        });
        keep.await
    }

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
            // A reader looks first: names are never forgotten, and for most there is nothing to write.
            let text = "SELECT id FROM network WHERE EXISTS (SELECT 1 FROM delivery \
                        WHERE delivery.network = network.id AND closed_ms IS NOT NULL AND closed_ms < $1)";
            let rows = sql::fetch(&mut conn, DOING, text, row![before]).await?;
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
                if gone < STEP_ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(pruned)
    }
}
