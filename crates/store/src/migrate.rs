//! Numbered migrations: the same numbers for both engines, never edited after a release.

use ring::digest::{SHA256, digest};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::engine::Engine;
use crate::error::{Sql, StoreError};
use crate::sql::hex;

pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sqlite: include_str!("../migrations/sqlite/0001_pipe.sql"),
        postgres: include_str!("../migrations/postgres/0001_pipe.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("../migrations/sqlite/0002_media.sql"),
        postgres: include_str!("../migrations/postgres/0002_media.sql"),
    },
    Migration {
        version: 3,
        sqlite: include_str!("../migrations/sqlite/0003_faces.sql"),
        postgres: include_str!("../migrations/postgres/0003_faces.sql"),
    },
    Migration {
        version: 4,
        sqlite: include_str!("../migrations/sqlite/0004_relayed.sql"),
        postgres: include_str!("../migrations/postgres/0004_relayed.sql"),
    },
    Migration {
        version: 5,
        sqlite: include_str!("../migrations/sqlite/0005_doors.sql"),
        postgres: include_str!("../migrations/postgres/0005_doors.sql"),
    },
    Migration {
        version: 6,
        sqlite: include_str!("../migrations/sqlite/0006_tokens_and_acts.sql"),
        postgres: include_str!("../migrations/postgres/0006_tokens_and_acts.sql"),
    },
    Migration {
        version: 7,
        sqlite: include_str!("../migrations/sqlite/0007_token_use.sql"),
        postgres: include_str!("../migrations/postgres/0007_token_use.sql"),
    },
    Migration {
        version: 8,
        sqlite: include_str!("../migrations/sqlite/0008_quota.sql"),
        postgres: include_str!("../migrations/postgres/0008_quota.sql"),
    },
    Migration {
        version: 9,
        sqlite: include_str!("../migrations/sqlite/0009_attached.sql"),
        postgres: include_str!("../migrations/postgres/0009_attached.sql"),
    },
    Migration {
        version: 10,
        sqlite: include_str!("../migrations/sqlite/0010_leader.sql"),
        postgres: include_str!("../migrations/postgres/0010_leader.sql"),
    },
];

impl Migration {
    fn text(&self, engine: &Engine) -> &'static str {
        match engine {
            Engine::Sqlite { .. } => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }
}

const DOING: &str = "bringing the database schema up to date";

/// Applies what is missing, up to `head`. Each migration is one transaction; a crash in between leaves a
/// database that the next start continues with.
pub(crate) async fn migrate(
    conn: &mut AnyConnection,
    engine: &Engine,
    head: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut tx = conn.begin().await.sql(DOING)?;
    if matches!(engine, Engine::Postgres) {
        // Two instances that start at once: the second one waits here for the first.
        let lock = "SELECT pg_advisory_xact_lock(7783120) IS NULL";
        sqlx::query(lock).execute(&mut *tx).await.sql(DOING)?;
    }
    let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY, \
                 hash TEXT NOT NULL, applied_ms BIGINT NOT NULL)";
    sqlx::query(table).execute(&mut *tx).await.sql(DOING)?;
    let applied = applied(&mut tx, engine).await?;
    for migration in MIGRATIONS.iter().filter(|m| m.version > applied && m.version <= head) {
        let text = migration.text(engine);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *tx).await.sql(DOING)?;
        sqlx::query("INSERT INTO schema_version (version, hash, applied_ms) VALUES ($1, $2, $3)")
            .bind(migration.version)
            .bind(sha256_hex(text))
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .sql(DOING)?;
    }
    tx.commit().await.sql(DOING)
}

/// The newest schema that this program knows.
pub(crate) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |last| last.version)
}

/// The schema that a database has.
///
/// # Errors
/// `Schema` when it is newer than this program or not of its making.
pub(crate) async fn applied(conn: &mut AnyConnection, engine: &Engine) -> Result<i64, StoreError> {
    let rows = sqlx::query("SELECT version, hash FROM schema_version ORDER BY version");
    let rows = rows.fetch_all(&mut *conn).await.sql(DOING)?;
    let known = known();
    let mut applied = 0;
    for row in rows {
        let (version, hash): (i64, String) = (row.try_get(0).sql(DOING)?, row.try_get(1).sql(DOING)?);
        let Some(migration) = MIGRATIONS.iter().find(|m| m.version == version) else {
            return Err(StoreError::schema(format!(
                "the database was written by a newer version of this program (schema {version}, \
                 this one knows {known}); use that version"
            )));
        };
        if sha256_hex(migration.text(engine)) != hash {
            return Err(StoreError::schema(format!(
                "the database has another schema {version} than this program; it was made by a build \
                 that was never released"
            )));
        }
        applied = version;
    }
    Ok(applied)
}

pub(crate) const HEAD: i64 = i64::MAX;

fn sha256_hex(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list beside the files is what a review sees: a released line may never change.
    #[test]
    fn migrations_are_those_of_the_checked_list() {
        let listed: Vec<&str> = include_str!("../migrations/hashes.txt").lines().collect();
        let mut actual = Vec::new();
        for m in MIGRATIONS {
            actual.push(format!("{:04} sqlite {}", m.version, sha256_hex(m.sqlite)));
            actual.push(format!("{:04} postgres {}", m.version, sha256_hex(m.postgres)));
        }
        assert_eq!(listed, actual, "a migration changed; after a release, write a new one instead");
    }

    #[test]
    fn every_migration_file_is_in_the_table_and_numbers_have_no_gap() {
        for engine in ["sqlite", "postgres"] {
            let dir = format!("{}/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
            let mut names: Vec<String> = std::fs::read_dir(dir)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let numbers: Vec<i64> = names.iter().map(|n| n[..4].parse().unwrap()).collect();
            let versions: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();
            assert_eq!(numbers, versions);
            assert_eq!(versions, (1..=i64::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
        }
    }
}
