//! Replacing the seal key while the store goes on working.
//!
//! The new key is put before the old one in the key file, then every secret is sealed anew, then the old key
//! is forgotten. A crash in between leaves a file with both keys: everything opens, and the next replacement
//! goes on with it.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Executor as _, Row as _};
use wxgate_contract::BoxFuture;

use crate::engine::Engine;
use crate::error::{Sql, StoreError};
use crate::report::Replaced;
use crate::seal::{Place, Resealed};
use crate::sql::{self, Columns, Value, row};
use crate::store::Store;
use crate::writer::{Answer, Request, Step};

const DOING: &str = "replacing the seal key";
/// Secrets per step; other writers get their turn in between.
const STEP_ROWS: i64 = 200;

const NOTES: &str = "SELECT network, key, value FROM note WHERE is_secret = 1 AND (network, key) > ($1, $2) \
                     ORDER BY network, key LIMIT $3";
const SOURCES: &str = "SELECT network, id, source FROM media WHERE source IS NOT NULL AND network IS NOT NULL \
                       AND id > $1 ORDER BY id LIMIT $2";
const VERIFIERS: &str = "SELECT CAST(0 AS BIGINT), name, scram FROM gateway_user WHERE scram IS NOT NULL \
                         AND name > $1 ORDER BY name LIMIT $2";
// Whoever wrote a newer value meanwhile sealed it with the new key.
const NOTE: &str = "UPDATE note SET value = $1 WHERE network = $2 AND key = $3 AND value = $4";
const SOURCE: &str = "UPDATE media SET source = $1 WHERE id = $2 AND source = $3";

const VERIFIER: &str = "UPDATE gateway_user SET scram = $1 WHERE name = $2 AND scram = $3";

/// A sealed thing: whose, its key or id, and the bytes.
type Sealed = (i64, String, Vec<u8>);

impl Store {
    /// Makes a new seal key, seals everything with it and forgets the old one. `path` is the key file.
    ///
    /// # Errors
    /// `Conflict` while it is being replaced already and while a backup begins, `Invalid` when the file is not the key in use,
    /// `Unavailable` when the file or the database cannot be written: both keys are then in the file, and
    /// calling again goes on.
    pub async fn replace_seal_key(&self, path: &Path) -> Result<Replaced, StoreError> {
        let Ok(_alone) = self.0.replacing.try_lock() else {
            return Err(StoreError::conflict(
                "the seal key is being replaced already, or a backup is beginning",
            ));
        };
        self.0.key.begin_replacing(path).await?;
        // What was handed to the writer before is committed when this is.
        self.writer()?.transaction(DOING, |_| Box::pin(async { Ok(()) })).await?;
        let mut replaced = Replaced::default();
        self.reseal_notes(&mut replaced).await?;
        self.reseal_sources(&mut replaced).await?;
        self.reseal_verifiers(&mut replaced).await?;
        self.reseal_probe().await?;
        self.erase_traces().await?;
        self.0.key.end_replacing(path)?;
        Ok(replaced)
    }

    async fn reseal_notes(&self, replaced: &mut Replaced) -> Result<(), StoreError> {
        let mut after = (i64::MIN, String::new());
        loop {
            let page = self.sealed(NOTES, row![after.0, &*after.1, STEP_ROWS]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.0, last.1.clone());
            let mut changes = Vec::new();
            for (network, key, old) in page {
                let name = self.name_of(network).await?;
                let place = Place::Note { network: &name, key: &key };
                if let Some(new) = self.anew(&place, &old, replaced)? {
                    changes.push(vec![Value::Blob(new), network.into(), key.into(), Value::Blob(old)]);
                }
            }
            self.write(NOTE, changes).await?;
        }
    }

    async fn reseal_sources(&self, replaced: &mut Replaced) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let page = self.sealed(SOURCES, row![&*after, STEP_ROWS]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.1);
            let mut changes = Vec::new();
            for (network, id, old) in page {
                let name = self.name_of(network).await?;
                if let Some(new) = self.anew(&Place::Media { network: &name, media: &id }, &old, replaced)? {
                    changes.push(vec![Value::Blob(new), id.into(), Value::Blob(old)]);
                }
            }
            self.write(SOURCE, changes).await?;
        }
    }

    /// What checks passwords in SCRAM, which is kept as text.
    async fn reseal_verifiers(&self, replaced: &mut Replaced) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let mut conn = self.reader(DOING).await?;
            let rows = sql::fetch(&mut conn, DOING, VERIFIERS, row![&*after, STEP_ROWS]).await?;
            drop(conn);
            let mut changes = Vec::new();
            for row in &rows {
                let (user, old) = (row.at::<String>(1)?, row.at::<String>(2)?);
                // What cannot be read as text opens nothing either, and is counted so.
                let sealed = STANDARD_NO_PAD.decode(&old).unwrap_or_default();
                if let Some(new) = self.anew(&Place::Scram { user: &user }, &sealed, replaced)? {
                    let new = STANDARD_NO_PAD.encode(new);
                    changes.push(vec![new.into(), user.as_str().into(), old.into()]);
                }
                after = user;
            }
            self.write(VERIFIER, changes).await?;
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    fn anew(
        &self,
        place: &Place<'_>,
        old: &[u8],
        replaced: &mut Replaced,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self.0.key.reseal(place, old)? {
            Resealed::Is => Ok(None),
            Resealed::Now(new) => {
                replaced.resealed += 1;
                Ok(Some(new))
            }
            Resealed::Never => {
                replaced.unreadable += 1;
                Ok(None)
            }
        }
    }

    async fn name_of(&self, network: i64) -> Result<String, StoreError> {
        // Asked for each secret: of a server, a connection costs a round trip.
        if let Some(name) = self.0.names.known_name(network) {
            return Ok(name.as_str().to_owned());
        }
        let mut conn = self.reader(DOING).await?;
        Ok(self.0.names.name(&mut conn, network).await?.as_str().to_owned())
    }

    async fn sealed(
        &self,
        text: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Sealed>, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let rows = sql::fetch(&mut conn, DOING, text, values).await?;
        rows.iter().map(|row: &AnyRow| Ok((row.at(0)?, row.at(1)?, row.at(2)?))).collect()
    }

    async fn write(&self, text: &'static str, changes: Vec<Vec<Value>>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let step = self.erasing(DOING, move |tx| {
            Box::pin(async move {
                for values in changes {
                    sql::run(tx, DOING, text, values).await?;
                }
                Ok(())
            })
        });
        step.await
    }

    /// The log holds what was overwritten until it is written over itself.
    pub(crate) async fn erase_traces(&self) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            return Ok(());
        }
        self.writer()?.ask(|answer| Request::Step(Box::new(EmptyLog { answer }))).await
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.0.engine, Engine::Sqlite { .. })
    }
}

/// How long the log is tried to be emptied while another connection copies it (the writer's threshold of 64 MiB on
/// a slow disk), and the pause between two tries.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(20);

/// A checkpoint beside it keeps it from its work at once, without waiting. Source: sqlite3_wal_checkpoint_v2.
async fn empty_log(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    loop {
        let row = conn.fetch_one(sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")).await?;
        let was_kept_from_it = row.try_get::<i64, _>(0)? != 0;
        if !was_kept_from_it || begun.elapsed() >= PATIENCE {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Copies the log into the main file and cuts it to nothing. What readers still need stays, and goes with the
/// next one.
struct EmptyLog {
    answer: Answer<()>,
}

impl Step for EmptyLog {
    fn run<'a>(self: Box<Self>, conn: &'a mut AnyConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let done = empty_log(conn).await.sql(DOING);
            // An error means that nobody waits for the answer any more.
            let _ = self.answer.send(done);
            true
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}
