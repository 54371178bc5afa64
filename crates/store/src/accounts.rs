//! Accounts of this instance, and their removal without holding anybody else up.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wxgate_contract::{NetworkId, UserName};

use crate::error::StoreError;
use crate::limits;
use crate::report::{AccountChange, AccountRow};
use crate::sql::{self, Columns, Many, Value, row};
use crate::store::Store;

/// Rows that one step of a removal deletes; other writers get their turn in between.
const STEP_ROWS: i64 = 1000;

impl Store {
    /// Adds an account for a person of this instance.
    ///
    /// # Errors
    /// `Conflict` when there is such an account, `Invalid` when there is no such person.
    pub async fn add_account(&self, network: &NetworkId, owner: &UserName) -> Result<AccountRow, StoreError> {
        const DOING: &str = "adding an account";
        let number = self.number(network).await?;
        let now = self.0.clock.now().ms();
        let (name, who) = (network.clone(), owner.clone());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT 1 FROM gateway_user WHERE name = $1";
                    if sql::fetch(tx, DOING, text, row![who.as_str()]).await?.is_empty() {
                        return Err(StoreError::invalid(format!("there is no person called {who}")));
                    }
                    let text = "INSERT INTO account (network, owner, own_name, wants_online, is_leaving, created_ms) \
                                VALUES ($1, $2, '', 0, 0, $3) ON CONFLICT (network) DO NOTHING";
                    match sql::run(tx, DOING, text, row![number, who.as_str(), now]).await? {
                        1 => Ok(()),
                        _ => Err(StoreError::conflict(format!("there is an account {name} already"))),
                    }
                })
            })
            .await?;
        let (network, owner) = (network.clone(), owner.clone());
        Ok(AccountRow { network, owner, own_name: String::new(), wants_online: false })
    }

    /// All accounts, in name order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        const DOING: &str = "reading accounts";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT n.name, a.owner, a.own_name, a.wants_online FROM account a \
                    JOIN network n ON n.id = a.network WHERE a.is_leaving = 0 ORDER BY n.name";
        sql::fetch(&mut conn, DOING, text, []).await?.iter().map(account).collect()
    }

    /// One account.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn account(&self, network: &NetworkId) -> Result<Option<AccountRow>, StoreError> {
        const DOING: &str = "reading an account";
        let Some(number) = self.find(network).await? else { return Ok(None) };
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT n.name, a.owner, a.own_name, a.wants_online FROM account a \
                    JOIN network n ON n.id = a.network WHERE a.network = $1 AND a.is_leaving = 0";
        sql::fetch(&mut conn, DOING, text, row![number]).await?.first().map(account).transpose()
    }

    /// Changes what is known about an account.
    ///
    /// # Errors
    /// `Invalid` when there is no such account.
    pub async fn set_account_state(
        &self,
        network: &NetworkId,
        change: AccountChange,
    ) -> Result<(), StoreError> {
        const DOING: &str = "changing an account";
        if let Some(own_name) = &change.own_name {
            limits::check_id("the own name of an account", own_name)?;
        }
        let number = self.find(network).await?.unwrap_or_default();
        let name = network.clone();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE account SET own_name = COALESCE($1, own_name), \
                                wants_online = COALESCE($2, wants_online) WHERE network = $3 AND is_leaving = 0";
                    let values = row![change.own_name.as_deref(), change.wants_online.map(i64::from), number];
                    match sql::run(tx, DOING, text, values).await? {
                        1 => Ok(()),
                        _ => Err(StoreError::invalid(format!("there is no account {name}"))),
                    }
                })
            })
            .await
    }

    /// Forgets an account and everything of it, in many small transactions. After a crash in
    /// between, call it again (`leaving_accounts` tells which).
    ///
    /// # Errors
    /// `Unavailable` when the database failed; what was not deleted yet is still marked.
    pub async fn remove_account(&self, network: &NetworkId) -> Result<(), StoreError> {
        const DOING: &str = "removing an account";
        let Some(number) = self.find(network).await? else { return Ok(()) };
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    // From here on nobody sees the account, and nothing reaches its chats by a link.
                    let text = "UPDATE account SET is_leaving = 1 WHERE network = $1";
                    sql::run(tx, DOING, text, row![number]).await?;
                    let text = "DELETE FROM link_member WHERE network = $1";
                    sql::run(tx, DOING, text, row![number]).await?;
                    crate::links::drop_lonely(tx).await
                })
            })
            .await?;
        let writer = self.writer()?;
        loop {
            let posts = writer.transaction(DOING, move |tx| Box::pin(remove_posts(tx, number)));
            if posts.await? == 0 {
                break;
            }
        }
        // What networks were still to show of it: their lanes begin with its name, and the sign
        // after the slash ends the range.
        let lanes = (format!("{network}/"), format!("{network}0"));
        loop {
            let (from, to) = lanes.clone();
            let step = writer.transaction(DOING, move |tx| {
                let values = row![from, to, number, STEP_ROWS];
                Box::pin(async move { sql::run(tx, DOING, MIRRORED, values).await })
            });
            if step.await? == 0 {
                break;
            }
        }
        for text in REMOVALS {
            loop {
                let step = writer.transaction(DOING, move |tx| {
                    Box::pin(async move { sql::run(tx, DOING, text, row![number, STEP_ROWS]).await })
                });
                if step.await? == 0 {
                    break;
                }
            }
        }
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    sql::run(tx, DOING, "DELETE FROM mirror WHERE account = $1", row![number]).await?;
                    sql::run(tx, DOING, "DELETE FROM account WHERE network = $1", row![number])
                        .await
                        .map(|_| ())
                })
            })
            .await
    }

    /// Accounts whose removal was begun and not finished.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn leaving_accounts(&self) -> Result<Vec<NetworkId>, StoreError> {
        const DOING: &str = "reading accounts";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT n.name FROM account a JOIN network n ON n.id = a.network WHERE a.is_leaving = 1";
        let rows = sql::fetch(&mut conn, DOING, text, []).await?;
        rows.iter().map(|row| Ok(NetworkId::new(row.at::<String>(0)?))).collect()
    }
}

const MIRRORED: &str = "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE closed_ms IS NULL \
     AND chat >= $1 AND chat < $2 AND network IN (SELECT face FROM mirror WHERE account = $3) LIMIT $4)";

/// Everything but posts that has the number of the network; each deletes at most `$2` rows.
const REMOVALS: [&str; 8] = [
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE network = $1 AND closed_ms IS NULL LIMIT $2)",
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE network = $1 AND closed_ms IS NOT NULL LIMIT $2)",
    "DELETE FROM remote_id WHERE network = $1 AND remote_id IN \
     (SELECT remote_id FROM remote_id WHERE network = $1 LIMIT $2)",
    "DELETE FROM note WHERE network = $1 AND key IN (SELECT key FROM note WHERE network = $1 LIMIT $2)",
    "DELETE FROM chat WHERE network = $1 AND chat IN (SELECT chat FROM chat WHERE network = $1 LIMIT $2)",
    "DELETE FROM person WHERE network = $1 AND person IN (SELECT person FROM person WHERE network = $1 LIMIT $2)",
    "DELETE FROM media WHERE id IN (SELECT id FROM media WHERE network = $1 LIMIT $2)",
    "DELETE FROM relayed WHERE network = $1 AND shown_seq IN \
     (SELECT shown_seq FROM relayed WHERE network = $1 LIMIT $2)",
];

/// Posts go with the ids that other networks gave them.
async fn remove_posts(tx: &mut AnyConnection, number: i64) -> Result<u64, StoreError> {
    const DOING: &str = "removing posts";
    const SHOWN: &str = "SELECT id FROM post WHERE network = $1 AND shown_seq IS NOT NULL LIMIT $2";
    const UNSHOWN: &str = "SELECT id FROM post WHERE network = $1 AND shown_seq IS NULL LIMIT $2";
    let mut rows = sql::fetch(tx, DOING, SHOWN, row![number, STEP_ROWS]).await?;
    if rows.is_empty() {
        rows = sql::fetch(tx, DOING, UNSHOWN, row![number, STEP_ROWS]).await?;
    }
    let mut ids = Many::new("DELETE FROM remote_id WHERE post IN (VALUES ", ")");
    let mut relayed = Many::new("DELETE FROM relayed WHERE post IN (VALUES ", ")");
    let mut posts = Many::new("DELETE FROM post WHERE id IN (VALUES ", ")");
    for row in &rows {
        let id: i64 = row.at(0)?;
        ids.push([Value::Int(id)]);
        relayed.push([Value::Int(id)]);
        posts.push([Value::Int(id)]);
    }
    ids.run(tx, DOING).await?;
    relayed.run(tx, DOING).await?;
    posts.run(tx, DOING).await?;
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

fn account(row: &AnyRow) -> Result<AccountRow, StoreError> {
    Ok(AccountRow {
        network: NetworkId::new(row.at::<String>(0)?),
        owner: UserName::new(row.at::<String>(1)?),
        own_name: row.at(2)?,
        wants_online: row.at::<i64>(3)? != 0,
    })
}
