//! What does not go as it should: deliveries that wait after a failed attempt, or did not surely arrive.

use sqlx::any::AnyRow;
use wxgate_contract::{ChatRef, NetworkId, Timestamp};

use crate::error::StoreError;
use crate::prepare::chat_ref;
use crate::sql::{self, Columns, row};
use crate::store::Store;

const DOING: &str = "reading what did not arrive";

/// A delivery that did not go as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where to.
    pub lane: ChatRef,
    /// How it stands.
    pub stand: Stand,
    /// Since when: its order for one that waits, else its end.
    pub since: Timestamp,
    /// The last reason, in words; empty when none was given.
    pub why: String,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It is tried again.
    Waits {
        /// Attempts that failed.
        attempts: u32,
        /// When the next one is due.
        next: Timestamp,
    },
    /// It did not arrive and is not tried again.
    Refused,
    /// It may have arrived.
    Uncertain,
}

impl Store {
    /// What waits after a failed attempt on its way to a network, oldest first, then what did not surely arrive in
    /// the last days, newest first; at most `most` of each. Settled deliveries are forgotten after a while.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn troubles(&self, network: &NetworkId, most: u32) -> Result<Vec<Trouble>, StoreError> {
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT chat, attempt, due_ms, created_ms, why FROM delivery \
                    WHERE network = $1 AND closed_ms IS NULL AND why IS NOT NULL ORDER BY id LIMIT $2";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, i64::from(most)]).await?;
        let mut troubles = rows.iter().map(|row| waits(network, row)).collect::<Result<Vec<_>, _>>()?;
        // The numbers are those of the table: 2 refused, 3 uncertain.
        let text = "SELECT chat, state, closed_ms, why FROM delivery \
                    WHERE network = $1 AND closed_ms IS NOT NULL AND state > 1 ORDER BY closed_ms DESC LIMIT $2";
        for row in sql::fetch(&mut conn, DOING, text, row![number, i64::from(most)]).await? {
            troubles.push(Trouble {
                lane: chat_ref(network.clone(), row.at(0)?),
                stand: if row.at::<i64>(1)? == 2 { Stand::Refused } else { Stand::Uncertain },
                since: Timestamp(row.at(2)?),
                why: row.at::<Option<String>>(3)?.unwrap_or_default(),
            });
        }
        Ok(troubles)
    }

    /// What waits after a failed attempt on its way from the chats of `account` to a face that mirrors them, in the
    /// order of its chats; at most `most`.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn mirror_troubles(
        &self,
        account: &NetworkId,
        face: &NetworkId,
        most: u32,
    ) -> Result<Vec<Trouble>, StoreError> {
        let Some(number) = self.find(face).await? else { return Ok(Vec::new()) };
        let mut conn = self.reader(DOING).await?;
        // Lanes of mirrors are called after the chat: all that begin with the account and a slash. A zero is the
        // character after the slash.
        let (first, end) = (format!("{account}/"), format!("{account}0"));
        let text = "SELECT chat, attempt, due_ms, created_ms, why FROM delivery \
                    WHERE network = $1 AND chat >= $2 AND chat < $3 AND closed_ms IS NULL AND why IS NOT NULL \
                    ORDER BY chat, id LIMIT $4";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, first, end, i64::from(most)]).await?;
        rows.iter().map(|row| waits(face, row)).collect()
    }
}

fn waits(network: &NetworkId, row: &AnyRow) -> Result<Trouble, StoreError> {
    let attempts = u32::try_from(row.at::<i64>(1)?.saturating_sub(1)).unwrap_or(u32::MAX);
    Ok(Trouble {
        lane: chat_ref(network.clone(), row.at(0)?),
        stand: Stand::Waits { attempts, next: Timestamp(row.at(2)?) },
        since: Timestamp(row.at(3)?),
        why: row.at::<Option<String>>(4)?.unwrap_or_default(),
    })
}
