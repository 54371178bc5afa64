//! Looking at a database without changing it.

use std::path::Path;

use sqlx::Executor as _;

use crate::engine::{Address, Engine, lock};
use crate::error::{Sql, StoreError};
use crate::migrate;
use crate::sql::{self, Columns};
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
}

/// Looks at a database that no gateway of this data directory has open; nothing is changed, brought up to date or
/// taken over, and where there is no database none is made.
///
/// # Errors
/// `Conflict` when another process has the SQLite file or the data directory, `Schema` when the database is of a
/// program that is none of ours or newer, `Unavailable` for the rest.
pub async fn inspect(url: &StoreUrl, data_dir: &Path) -> Result<Inspection, StoreError> {
    let address = Address::new(url, data_dir)?;
    let known = migrate::known();
    let nothing = Inspection { schema: 0, known, accounts: 0 };
    let _lock = match &address.engine {
        Engine::Sqlite { path } if !path.exists() => return Ok(nothing),
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
    Ok(Inspection { schema, known, accounts: u64::try_from(accounts).unwrap_or(0) })
}
