//! Which gateway has a database that several share, and where the others find it.

use std::path::Path;
use std::time::Duration;

use sqlx::AnyConnection;

use crate::engine::{Address, Engine};
use crate::error::StoreError;
use crate::seal::{Place, SealKey};
use crate::sql::{self, Columns, Value, row};
use crate::store::Store;
use crate::url::StoreUrl;

/// How long a silent instance keeps what it has, where nothing else is said. Source: product.md, section 4.
const LEASE: Duration = Duration::from_secs(15);

/// A gateway among several that share a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name; empty where it was given none.
    pub name: String,
    /// How long it may be silent before another one has what it had. The server notices about then that its machine is
    /// gone.
    pub lease: Duration,
}

impl Default for Instance {
    fn default() -> Self {
        Self { name: String::new(), lease: LEASE }
    }
}

/// Who has the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderRow {
    /// How it is called.
    pub name: String,
    /// Where other instances reach it, `HOST:PORT`; empty where they do not.
    pub address: String,
}

/// Reads who has a PostgreSQL database, without taking anything. `None` where nobody has said so yet: before the first
/// start, or with the schema of an older program.
///
/// # Errors
/// `Unavailable` when the server cannot be asked, `Invalid` for a bad address.
pub async fn leader(url: &StoreUrl, data_dir: &Path) -> Result<Option<LeaderRow>, StoreError> {
    const DOING: &str = "looking for the gateway that has the database";
    let address = Address::new(url, data_dir)?;
    let mut conn = address.plain().await?;
    let there = "SELECT COUNT(*) FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_name = 'leader'";
    let rows = sql::fetch(&mut conn, DOING, there, []).await?;
    if rows.first().map(|row| row.at::<i64>(0)).transpose()?.unwrap_or_default() == 0 {
        return Ok(None);
    }
    let rows = sql::fetch(&mut conn, DOING, "SELECT name, address FROM leader", []).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(LeaderRow { name: row.at(0)?, address: row.at(1)? }))
}

/// What the probe is sealed as.
const PROBE: Place<'static> = Place::File { name: "leader" };

/// Refuses a gateway with another seal key than the one that had the database last: it would open nothing, and have
/// every account signed in anew.
///
/// # Errors
/// `Invalid` for such a key, `Unavailable` when the database cannot be read.
pub(crate) async fn check_key(conn: &mut AnyConnection, key: &SealKey) -> Result<(), StoreError> {
    const DOING: &str = "trying the seal key";
    let rows = sql::fetch(conn, DOING, "SELECT name, probe FROM leader", []).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (name, probe): (String, Vec<u8>) = (row.at(0)?, row.at(1)?);
    match key.open(&PROBE, &probe) {
        Some(_) => Ok(()),
        None => Err(StoreError::invalid(format!(
            "this instance has another seal key than {name}, which had the database last; copy the file from there"
        ))),
    }
}

impl Store {
    /// Seals the probe with the present key.
    pub(crate) async fn reseal_probe(&self) -> Result<(), StoreError> {
        const DOING: &str = "sealing the probe of the seal key";
        let probe = self.0.key.seal(&PROBE, b"")?;
        let writer = self.writer()?;
        let write = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                sql::run(tx, DOING, "UPDATE leader SET probe = $1", [Value::Blob(probe)]).await?;
                Ok(())
            })
        });
        write.await
    }

    /// Says that this gateway has the database, and where. Answers how long the leases may last under which an earlier
    /// one had lent accounts; zero when it had lent none, or has them all back.
    ///
    /// # Errors
    /// `Unavailable` when nothing was changed.
    pub async fn lead(&self, leader: LeaderRow, lease: Duration) -> Result<Duration, StoreError> {
        const DOING: &str = "saying which gateway has the database";
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let probe = self.0.key.seal(&PROBE, b"")?;
        let writer = self.writer()?;
        let lead = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                let rows = sql::fetch(tx, DOING, "SELECT lease_ms, lent FROM leader", []).await?;
                let (before, lent): (i64, i64) = match rows.first() {
                    Some(row) => (row.at(0)?, row.at(1)?),
                    None => (0, 0),
                };
                // The longer of the two, for whoever comes after a crash of this one in its first seconds.
                let longest = if lent == 0 { lease_ms } else { lease_ms.max(before) };
                let text = "INSERT INTO leader (one, name, address, lease_ms, lent, probe) \
                            VALUES (1, $1, $2, $3, $4, $5) \
                            ON CONFLICT (one) DO UPDATE SET name = excluded.name, address = excluded.address, \
                            lease_ms = excluded.lease_ms, lent = excluded.lent, probe = excluded.probe";
                let fields =
                    row![leader.name.as_str(), leader.address.as_str(), longest, lent, Value::Blob(probe)];
                sql::run(tx, DOING, text, fields).await?;
                Ok(if lent == 0 { 0 } else { before })
            })
        });
        Ok(Duration::from_millis(u64::try_from(lead.await?).unwrap_or_default()))
    }

    /// Keeps whether accounts may run at other instances.
    ///
    /// # Errors
    /// `Unavailable` when nothing was changed.
    pub async fn keep_lent(&self, are_lent: bool) -> Result<(), StoreError> {
        const DOING: &str = "keeping whether accounts run elsewhere";
        let writer = self.writer()?;
        let keep = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                sql::run(tx, DOING, "UPDATE leader SET lent = $1", row![i64::from(are_lent)]).await?;
                Ok(())
            })
        });
        keep.await
    }

    /// True when it is on a server, where several gateways may share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.engine, Engine::Postgres)
    }
}
