//! How much room everything takes.

use crate::engine::Engine;
use crate::error::{Doing, StoreError};
use crate::sql::{self, Columns};
use crate::store::Store;

const DOING: &str = "measuring the store";

/// Room that is taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The database, with its log where it is a file.
    pub database_bytes: u64,
    /// Files of attachments.
    pub media_bytes: u64,
    /// How many attachments have a file.
    pub attachments: u64,
}

impl Store {
    /// How much room everything takes. A reading of a moment: what is being written may or may not count.
    ///
    /// # Errors
    /// `Unavailable` when the database or its file cannot be read.
    pub async fn room(&self) -> Result<Room, StoreError> {
        let database_bytes = match &self.0.engine {
            Engine::Sqlite { path } => {
                let log = path.with_file_name(format!(
                    "{}-wal",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ));
                let database = tokio::fs::metadata(path).await.doing(DOING)?.len();
                // Gone after a clean end.
                database + tokio::fs::metadata(log).await.map_or(0, |log| log.len())
            }
            Engine::Postgres => {
                let mut conn = self.reader(DOING).await?;
                let text = "SELECT pg_database_size(current_database())";
                let rows = sql::fetch(&mut conn, DOING, text, []).await?;
                count(rows.first().map_or(Ok(0), |row| row.at(0))?)
            }
        };
        let media_bytes = self.media_bytes().await?;
        let mut conn = self.reader(DOING).await?;
        let rows = sql::fetch(&mut conn, DOING, "SELECT COUNT(*) FROM media WHERE state = 1", []).await?;
        let attachments = count(rows.first().map_or(Ok(0), |row| row.at(0))?);
        Ok(Room { database_bytes, media_bytes, attachments })
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
