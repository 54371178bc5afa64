//! A database that was put back as it once was goes on beyond all numbers it gave since.
//!
//! Others know rows by their number: a client by the `msgid` of a message, whoever follows events by the place
//! that it has read up to, a network by the id of a delivery. A number that stood for something before the database
//! was put back must never stand for something else.

use ring::digest::{SHA256, digest};
use sqlx::AnyConnection;

use crate::error::StoreError;
use crate::sql::{self, Columns, row};
use crate::tx;

const DOING: &str = "going on beyond the numbers that were used";

/// Numbers that a millisecond may use up: a gateway that was restored goes on at this many times the present time, so
/// that one restored later, from the same copy too, goes on beyond all that this one used. Chosen: far more than
/// any disk commits, and small enough for numbers to stay exact as JSON (2^53) for a thousand years.
const PER_MS: i64 = 256;
/// The least that is skipped, where the clock is wrong. Chosen: years of a busy gateway.
const LEAST: i64 = 1 << 32;

/// Leaps once for each `word`; an empty one stands for a database that was never put back. Open deliveries
/// keep their numbers.
pub(crate) async fn leap(conn: &mut AnyConnection, word: &str, now_ms: i64) -> Result<(), StoreError> {
    if word.is_empty() {
        return Ok(());
    }
    let mark = number_of(word);
    tx::whole(conn, DOING, move |tx| {
        Box::pin(async move {
            let known =
                sql::fetch(tx, DOING, "SELECT value FROM counter WHERE name = 'put back'", []).await?;
            if known.first().map(|row| row.at::<i64>(0)).transpose()? == Some(mark) {
                return Ok(());
            }
            let rows = sql::fetch(tx, DOING, "SELECT value FROM counter WHERE name = 'seq'", []).await?;
            let seq: i64 = rows.first().ok_or_else(|| StoreError::corrupt("counter", "seq"))?.at(0)?;
            let beyond = seq.saturating_add(LEAST).max(now_ms.saturating_mul(PER_MS));
            let text = "UPDATE counter SET value = $1 WHERE name = 'seq'";
            sql::run(tx, DOING, text, row![beyond]).await?;
            let text = "INSERT INTO counter (name, value) VALUES ('put back', $1) \
                        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            sql::run(tx, DOING, text, row![mark]).await?;
            Ok(())
        })
    })
    .await
}

/// A word as the table of counters can hold it.
fn number_of(word: &str) -> i64 {
    let hash = digest(&SHA256, word.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))
}
