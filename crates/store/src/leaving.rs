//! People who are being removed. It takes many steps: that it was begun is written down first, so that the next start
//! goes on with it after a crash.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use wxgate_contract::{NetworkId, UserName};

use crate::error::StoreError;
use crate::sql::{self, Columns, Value, row};
use crate::store::Store;
use crate::users::found;

/// Whose notes they are: no network, and no account, is called so.
const GATEWAY: &str = "gateway";
/// Their keys, before the name of whoever goes.
const LEAVING: &str = "leaving/";
const DOING: &str = "removing a person";
/// Where it was ordered, when that cannot be read any more.
const UNKNOWN: &str = "unknown";

/// A person whose removal was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingUser {
    /// Who goes.
    pub name: UserName,
    /// Who ordered it; `None`: the operator of the machine.
    pub who: Option<UserName>,
    /// Where it was ordered, as the audit trail has it.
    pub door: String,
}

/// What the note of such a person says.
#[derive(Serialize, Deserialize)]
struct Order {
    who: Option<UserName>,
    door: String,
}

impl Store {
    /// Begins to remove a person: from here on they get no new account and nobody else is added under their name,
    /// until [`Store::has_left`]. `with_accounts`: the accounts that they have are to go first.
    ///
    /// # Errors
    /// `Invalid` when there is no such person, `Conflict` when they have accounts which are not to go; `Unavailable`
    /// when the database failed. Nothing was changed then.
    pub async fn leave_user(&self, person: &LeavingUser, with_accounts: bool) -> Result<(), StoreError> {
        let number = self.number(&GATEWAY.into()).await?;
        let name = person.name.clone();
        let order = Order { who: person.who.clone(), door: person.door.clone() };
        let order =
            serde_json::to_vec(&order).map_err(|_| StoreError::corrupt("note", key_of(name.as_str())))?;
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT 1 FROM gateway_user WHERE name = $1";
                    let rows = sql::fetch(tx, DOING, text, row![name.as_str()]).await?;
                    found(&name, u64::from(!rows.is_empty()))?;
                    if !with_accounts {
                        must_have_no_accounts(tx, &name).await?;
                    }
                    let text = "INSERT INTO note (network, key, is_secret, value) VALUES ($1, $2, 0, $3) \
                                ON CONFLICT (network, key) DO UPDATE SET value = excluded.value";
                    let [number, key] = row![number, key_of(name.as_str())];
                    sql::run(tx, DOING, text, [number, key, Value::Blob(order)]).await.map(drop)
                })
            })
            .await
    }

    /// People whose removal was begun and not finished, in name order. One whose note makes no sense goes all the same,
    /// ordered by nobody who is known any more, at a door that is called so.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn leaving_users(&self) -> Result<Vec<LeavingUser>, StoreError> {
        let notes = self.notes(&GATEWAY.into(), LEAVING, None, usize::MAX).await?;
        Ok(notes.into_iter().filter_map(|(key, value)| leaving(&key, &value)).collect())
    }

    /// Whether the removal of somebody of this name was begun and not finished.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn is_leaving(&self, name: &UserName) -> Result<bool, StoreError> {
        let network = NetworkId::from(GATEWAY);
        Ok(self.note(&network, &key_of(name.as_str())).await?.is_some())
    }

    /// The removal is finished: the name may be given to somebody else.
    ///
    /// # Errors
    /// `Unavailable` when the database failed.
    pub async fn has_left(&self, name: &UserName) -> Result<(), StoreError> {
        let number = self.number(&GATEWAY.into()).await?;
        let key = key_of(name.as_str());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "DELETE FROM note WHERE network = $1 AND key = $2";
                    sql::run(tx, DOING, text, row![number, key]).await.map(drop)
                })
            })
            .await
    }
}

fn key_of(name: &str) -> String {
    format!("{LEAVING}{name}")
}

fn leaving(key: &str, value: &Bytes) -> Option<LeavingUser> {
    let unknown = |_| Order { who: None, door: UNKNOWN.to_owned() };
    let Order { who, door } = serde_json::from_slice(value).unwrap_or_else(unknown);
    Some(LeavingUser { name: key.strip_prefix(LEAVING)?.into(), who, door })
}

/// Whether somebody of this name is being removed.
pub(crate) async fn is_leaving(
    tx: &mut AnyConnection,
    doing: &'static str,
    name: &str,
) -> Result<bool, StoreError> {
    let text =
        "SELECT 1 FROM note n JOIN network w ON w.id = n.network WHERE w.name = $1 AND n.key = $2 LIMIT 1";
    Ok(!sql::fetch(tx, doing, text, row![GATEWAY, key_of(name)]).await?.is_empty())
}

/// `Conflict` while a person has accounts, those that are being removed among them.
pub(crate) async fn must_have_no_accounts(tx: &mut AnyConnection, name: &UserName) -> Result<(), StoreError> {
    let text = "SELECT COUNT(*) FROM account WHERE owner = $1";
    let rows = sql::fetch(tx, DOING, text, row![name.as_str()]).await?;
    match rows.first().map_or(Ok(0), |row| row.at::<i64>(0))? {
        0 => Ok(()),
        accounts => {
            Err(StoreError::conflict(format!("{name} still has {accounts} accounts; remove them first")))
        }
    }
}
