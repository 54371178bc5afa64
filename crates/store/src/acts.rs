//! The audit trail: what was done to the instance, by whom, and where it was asked. Never a message, never a
//! secret.

use wxgate_contract::{Timestamp, UserName};

use crate::error::StoreError;
use crate::limits;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Acts that are kept; the oldest go. Chosen: years of a large host, in some ten megabytes.
const KEPT: i64 = 100_000;
/// Longest subject in characters; the rest is cut.
const ABOUT_CHARS: usize = 256;

/// Forgets what a person did and what was done about them. What is about an account, a chat or a network of the same
/// name is not about them.
pub(crate) const OF_PERSON: &str = "DELETE FROM act WHERE who = $1 OR (about = $1 AND what IN (\
    'person-added', 'administrator-added', 'person-removed', 'signed-in', 'password-changed', 'token-made', \
    'token-ended', 'certificate-added', 'certificate-removed', 'identity-set', 'quota-changed', 'data-exported'))";

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// By whom; `None`: the operator of the machine, or a network that acts for nobody.
    pub who: Option<UserName>,
    /// Where it was asked: a network, `commands`, `api`, `pages`.
    pub door: String,
    /// What, as a word that never changes: `account-added`.
    pub what: String,
    /// Which account, person or chat it is about.
    pub about: String,
}

/// An act with its place in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActRow {
    /// Grows with each act.
    pub id: i64,
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub act: Act,
}

impl Store {
    /// Writes down what was done.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be written.
    pub async fn record(&self, mut act: Act) -> Result<(), StoreError> {
        const DOING: &str = "writing the audit trail";
        act.about = act.about.chars().filter(|c| *c != '\0').take(ABOUT_CHARS).collect();
        let now = self.0.clock.now().ms();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "INSERT INTO act (at_ms, who, door, what, about) VALUES ($1, $2, $3, $4, $5) \
                                RETURNING id";
                    let who = act.who.as_ref().map(UserName::as_str);
                    let values = row![now, who, act.door.as_str(), act.what.as_str(), act.about.as_str()];
                    let rows = sql::fetch(tx, DOING, text, values).await?;
                    let id = rows.first().map_or(Ok(0), |row| row.at::<i64>(0))?;
                    sql::run(tx, DOING, "DELETE FROM act WHERE id <= $1", row![id - KEPT]).await.map(|_| ())
                })
            })
            .await
    }

    /// The acts before `before`, or the last ones; the newest first, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn acts(&self, before: Option<i64>, limit: usize) -> Result<Vec<ActRow>, StoreError> {
        const DOING: &str = "reading the audit trail";
        let mut conn = self.reader(DOING).await?;
        let text =
            "SELECT id, at_ms, who, door, what, about FROM act WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let values = row![before.unwrap_or(i64::MAX), limits::rows(limit)];
        let rows = sql::fetch(&mut conn, DOING, text, values).await?;
        rows.iter()
            .map(|row| {
                let act = Act {
                    who: row.at::<Option<String>>(2)?.map(UserName::new),
                    door: row.at(3)?,
                    what: row.at(4)?,
                    about: row.at(5)?,
                };
                Ok(ActRow { id: row.at(0)?, at: Timestamp(row.at(1)?), act })
            })
            .collect()
    }
}
