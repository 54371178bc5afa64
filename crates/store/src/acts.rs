//! The audit trail: what was done to the instance, by whom, and where it was asked. Never a message, never a
//! secret.

use std::collections::HashMap;

use sqlx::AnyConnection;
use wxgate_contract::{Timestamp, UserName};

use crate::error::StoreError;
use crate::limits;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Acts that are kept. Chosen: years of a large host, in some ten megabytes.
const KEPT: i64 = 100_000;
/// It is looked once in so many acts whether there are more. Chosen: counting all of them takes some ten milliseconds.
const LOOK: i64 = 256;
/// Longest subject in characters; the rest is cut.
const ABOUT_CHARS: usize = 256;

/// What is done about people; they are the subject.
macro_rules! about_people {
    () => {
        "'person-added', 'administrator-added', 'person-removed', 'signed-in', 'password-changed', 'token-made', \
         'token-ended', 'certificate-added', 'certificate-removed', 'identity-set', 'quota-changed', 'data-exported'"
    };
}

/// What is done to the whole instance, by administrators.
macro_rules! about_the_instance {
    () => {
        "'seal-key-replaced', 'backup-taken', 'backup-taken-with-key', 'matrix-account-signed-in', 'network-retried'"
    };
}

/// Forgets what a person did with what is theirs, and what was done about them. What is about an account, a chat or a
/// network of the same name is not about them; what they did to others and to the instance is told also when they are
/// gone.
pub(crate) const OF_PERSON: &str = concat!(
    "DELETE FROM act WHERE (about = $1 AND what IN (",
    about_people!(),
    ")) OR (who = $1 AND what NOT IN (",
    about_people!(),
    ", ",
    about_the_instance!(),
    "))"
);

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
                    match rows.first().map_or(Ok(0), |row| row.at::<i64>(0))? % LOOK {
                        0 => thin(tx).await,
                        _ => Ok(()),
                    }
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

/// Lets go what is too much: of whoever did most, of what they did most often, the oldest. Who repeats something pushes
/// out what they repeated, and neither the acts of others nor what they did once.
async fn thin(tx: &mut AnyConnection) -> Result<(), StoreError> {
    const DOING: &str = "shortening the audit trail";
    let text = "SELECT COALESCE(who, ''), what, COUNT(*) FROM act GROUP BY who, what";
    let mut done: HashMap<String, Vec<(i64, String)>> = HashMap::new();
    for row in sql::fetch(tx, DOING, text, []).await? {
        done.entry(row.at(0)?).or_default().push((row.at(2)?, row.at(1)?));
    }
    let all = |acts: &[(i64, String)]| acts.iter().map(|(count, _)| count).sum::<i64>();
    let mut excess = done.values().map(|acts| all(acts)).sum::<i64>() - KEPT;
    while excess > 0 {
        let Some((who, acts)) = done.iter_mut().max_by_key(|(_, acts)| all(acts)) else { break };
        let Some((count, what)) = acts.iter_mut().max() else { break };
        let going = excess.min(*count);
        let text = "DELETE FROM act WHERE id IN \
                    (SELECT id FROM act WHERE COALESCE(who, '') = $1 AND what = $2 ORDER BY id LIMIT $3)";
        sql::run(tx, DOING, text, row![who.as_str(), what.as_str(), going]).await?;
        (*count, excess) = (*count - going, excess - going);
    }
    Ok(())
}
