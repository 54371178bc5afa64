//! Numbers of the one sequence, which orders posts, deliveries and timelines.
//!
//! SQLite has one writer, so it takes them from the table in blocks: a commit that finds some left
//! neither asks for them nor writes the row. On PostgreSQL each transaction takes what it needs; the row
//! stays locked until the commit, so that numbers of several instances become visible in their own order.

use std::cell::Cell;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::engine::Engine;
use crate::error::StoreError;
use crate::sql::{Columns, Many, row};
use crate::tx::Tx;

/// Numbers taken at once. Chosen: the row is written once in a few hundred messages, and a restart
/// skips no more than that.
const BLOCK: usize = 256;
const DOING: &str = "numbering rows";

/// The numbers at hand.
#[derive(Default)]
pub(crate) struct Numbers {
    block: usize,
    /// The next one, and the first that is not ours.
    left: Cell<(i64, i64)>,
}

impl Numbers {
    pub(crate) fn new(engine: &Engine) -> Self {
        let block = match engine {
            Engine::Sqlite { .. } => BLOCK,
            Engine::Postgres => 0,
        };
        Self { block, left: Cell::new((0, 0)) }
    }

    /// After a transaction that failed: whether the table knows of the block is not certain, so the
    /// table is asked again. What was left is skipped.
    pub(super) fn forget(&self) {
        self.left.set((0, 0));
    }

    /// Takes `count` numbers and gives the first; a question goes with what waits.
    pub(super) async fn take_with(&self, tx: &mut Tx<'_>, count: usize) -> Result<i64, StoreError> {
        match self.take_left(count) {
            Some(first) => Ok(first),
            None => self.answered(&tx.ask(self.question(count), DOING).await?.rows, count),
        }
    }

    /// The same on the connection itself.
    pub(super) async fn take(&self, conn: &mut AnyConnection, count: usize) -> Result<i64, StoreError> {
        match self.take_left(count) {
            Some(first) => Ok(first),
            None => self.answered(&self.question(count).fetch(conn, DOING).await?, count),
        }
    }

    fn take_left(&self, count: usize) -> Option<i64> {
        let (next, end) = self.left.get();
        let after = next.checked_add(i64::try_from(count).ok()?)?;
        (after <= end).then(|| {
            self.left.set((after, end));
            next
        })
    }

    fn step(&self, count: usize) -> i64 {
        i64::try_from(count.max(self.block)).unwrap_or(i64::MAX)
    }

    fn question(&self, count: usize) -> Many {
        let mut many =
            Many::new("UPDATE counter SET value = value + ", " WHERE name = 'seq' RETURNING value");
        many.push(row![self.step(count)]);
        many
    }

    fn answered(&self, rows: &[AnyRow], count: usize) -> Result<i64, StoreError> {
        let Some(row) = rows.first() else { return Err(StoreError::corrupt("counter", "seq")) };
        let last: i64 = row.at(0)?;
        let first = last - self.step(count) + 1;
        self.left.set((first + i64::try_from(count).unwrap_or(0), last + 1));
        Ok(first)
    }
}
