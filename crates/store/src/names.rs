//! Networks by number: every row that belongs to a network has its number instead of its name.
//!
//! Names are never forgotten, so a number means the same network for as long as the database
//! lives, and the maps here only grow (one entry per network ever seen).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sqlx::{AnyConnection, AnyPool};
use wxgate_contract::NetworkId;

use crate::error::{Sql, StoreError};
use crate::sql::{self, Columns, row};
use crate::tx;

/// A lock and not a message: every read of the store asks here, and nothing awaits inside.
#[derive(Default)]
pub(crate) struct Names(RwLock<Maps>);

#[derive(Default)]
struct Maps {
    numbers: HashMap<NetworkId, i64>,
    names: HashMap<i64, NetworkId>,
}

const DOING: &str = "reading the names of networks";

impl Names {
    fn learn(&self, name: NetworkId, number: i64) {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        maps.names.insert(number, name.clone());
        maps.numbers.insert(name, number);
    }

    /// The number of a network that was seen before.
    pub(crate) fn known(&self, name: &NetworkId) -> Option<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name).copied()
    }

    /// The name for a number that was seen before.
    pub(crate) fn known_name(&self, number: i64) -> Option<NetworkId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).names.get(&number).cloned()
    }

    /// The number, for reading: `None` means that the store has nothing of that network. Another
    /// instance on the same database may have given it meanwhile, so the table is asked.
    pub(crate) async fn find(&self, readers: &AnyPool, name: &NetworkId) -> Result<Option<i64>, StoreError> {
        if let Some(number) = self.known(name) {
            return Ok(Some(number));
        }
        let mut conn = readers.acquire().await.sql(DOING)?;
        let text = "SELECT id FROM network WHERE name = $1";
        let found = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let number = row.at(0)?;
        self.learn(name.clone(), number);
        Ok(Some(number))
    }

    /// The name for a number found in a row.
    pub(crate) async fn name(&self, conn: &mut AnyConnection, number: i64) -> Result<NetworkId, StoreError> {
        if let Some(name) = self.known_name(number) {
            return Ok(name);
        }
        self.load(conn).await?;
        self.known_name(number).ok_or_else(|| StoreError::corrupt("network", number))
    }

    /// Reads all names.
    pub(crate) async fn load(&self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        for row in sql::fetch(conn, DOING, "SELECT id, name FROM network", []).await? {
            self.learn(NetworkId::new(row.at::<String>(1)?), row.at(0)?);
        }
        Ok(())
    }

    /// Gives a new network its number, in a transaction of its own: a number that is known here
    /// is on disk, whatever becomes of the batch that brought the name.
    pub(crate) async fn give(&self, conn: &mut AnyConnection, name: &NetworkId) -> Result<i64, StoreError> {
        const DOING: &str = "numbering a network";
        if let Some(number) = self.known(name) {
            return Ok(number);
        }
        let wanted = name.clone();
        let number = tx::whole(conn, DOING, move |tx| {
            Box::pin(async move {
                let text = "UPDATE counter SET value = value + 1 WHERE name = 'network' RETURNING value";
                let number: i64 = match sql::fetch(tx, DOING, text, []).await?.first() {
                    Some(row) => row.at(0)?,
                    None => return Err(StoreError::corrupt("counter", "network")),
                };
                let text = "INSERT INTO network (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
                sql::run(tx, DOING, text, row![number, wanted.as_str()]).await?;
                let text = "SELECT id FROM network WHERE name = $1";
                match sql::fetch(tx, DOING, text, row![wanted.as_str()]).await?.first() {
                    Some(row) => row.at(0),
                    None => Err(StoreError::corrupt("network", wanted.as_str())),
                }
            })
        })
        .await?;
        self.learn(name.clone(), number);
        Ok(number)
    }
}
