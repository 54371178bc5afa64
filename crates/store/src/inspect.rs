//! Looking at a database without changing it.

use std::path::Path;

use sqlx::Executor as _;

use crate::engine::{Address, Engine, lock};
use crate::error::{Doing as _, Sql, StoreError};
use crate::migrate;
use crate::seal::{Place, SealKey};
use crate::sql::{self, Columns, row};
use crate::url::StoreUrl;

const DOING: &str = "looking at the database";

/// What there is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its schema; 0 before the first start.
    pub schema: i64,
    /// The schema that this program brings it to.
    pub known: i64,
    /// Accounts in it.
    pub accounts: u64,
    /// Sealed notes in it that do not open with the key.
    pub unreadable: u64,
}

/// Looks at a database that no gateway of this data directory has open; nothing is changed, brought up to date or
/// taken over, and where there is no database none is made. With a key it is tried on every sealed note of a
/// database of this program's own schema.
///
/// # Errors
/// `Conflict` when another process has the SQLite file or the data directory, `Schema` when the database is of a
/// program that is none of ours or newer, `Unavailable` for the rest.
pub async fn inspect(
    url: &StoreUrl,
    data_dir: &Path,
    key: Option<&SealKey>,
) -> Result<Inspection, StoreError> {
    let address = Address::new(url, data_dir)?;
    let known = migrate::known();
    let nothing = Inspection { schema: 0, known, accounts: 0, unreadable: 0 };
    let _lock = match &address.engine {
        // What this user may not see may be there.
        Engine::Sqlite { path } if !path.try_exists().doing(DOING)? => return Ok(nothing),
        // No gateway runs on a directory that is not there.
        Engine::Postgres if !data_dir.is_dir() => None,
        engine => Some(lock(engine, data_dir)?),
    };
    let mut conn = address.plain().await?;
    let (guard, table) = match address.engine {
        Engine::Sqlite { .. } => {
            ("PRAGMA query_only = 1", "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_version'")
        }
        Engine::Postgres => (
            "SET default_transaction_read_only = on",
            "SELECT COUNT(*) FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_name = 'schema_version'",
        ),
    };
    conn.execute(sqlx::raw_sql(guard)).await.sql(DOING)?;
    let count = async |conn: &mut sqlx::AnyConnection, text: &'static str| {
        let rows = sql::fetch(conn, DOING, text, []).await?;
        rows.first().map_or(Ok(0), |row| row.at::<i64>(0))
    };
    if count(&mut conn, table).await? == 0 {
        return Ok(nothing);
    }
    let schema = migrate::applied(&mut conn, &address.engine).await?;
    let accounts = count(&mut conn, "SELECT COUNT(*) FROM account").await?;
    let unreadable = match key.filter(|_| schema == known) {
        Some(key) => unreadable(&mut conn, key).await?,
        None => 0,
    };
    Ok(Inspection { schema, known, accounts: u64::try_from(accounts).unwrap_or(0), unreadable })
}

/// Sealed notes, page by page.
const SEALED: &str = "SELECT n.network, n.key, n.value, w.name FROM note n JOIN network w ON w.id = n.network \
                      WHERE n.is_secret = 1 AND (n.network, n.key) > ($1, $2) ORDER BY n.network, n.key LIMIT 200";

async fn unreadable(conn: &mut sqlx::AnyConnection, key: &SealKey) -> Result<u64, StoreError> {
    let (mut after, mut count) = ((i64::MIN, String::new()), 0);
    loop {
        let rows = sql::fetch(conn, DOING, SEALED, row![after.0, &*after.1]).await?;
        if rows.is_empty() {
            return Ok(count);
        }
        for row in &rows {
            let (number, note, sealed, network): (i64, String, Vec<u8>, String) =
                (row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?);
            let place = Place::Note { network: &network, key: &note };
            count += u64::from(key.open(&place, &sealed).is_none());
            after = (number, note);
        }
    }
}
