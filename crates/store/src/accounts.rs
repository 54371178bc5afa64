//! Accounts of this instance.

use sqlx::any::AnyRow;
use wxgate_contract::{NetworkId, UserName};

use crate::error::StoreError;
use crate::leaving::is_leaving;
use crate::limits;
use crate::report::{AccountChange, AccountRow};
use crate::sql::{self, Columns, row};
use crate::store::Store;

impl Store {
    /// Adds an account for a person of this instance.
    ///
    /// # Errors
    /// `Conflict` when there is such an account, or one that is called so but for small and capital letters; `Invalid`
    /// for a name that addresses cannot carry, and when there is no such person or they are being removed.
    pub async fn add_account(&self, network: &NetworkId, owner: &UserName) -> Result<AccountRow, StoreError> {
        const DOING: &str = "adding an account";
        if matches!(network.name(), "." | "..") {
            return Err(StoreError::invalid("an account is not called '.' or '..': addresses walk up there"));
        }
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
                    if is_leaving(tx, DOING, who.as_str()).await? {
                        return Err(StoreError::invalid(format!("{who} is being removed")));
                    }
                    // Names of accounts are ASCII, so both engines and we agree on their case.
                    let text = "SELECT n.name FROM account a JOIN network n ON n.id = a.network \
                                WHERE LOWER(n.name) = $1 AND n.name <> $2 LIMIT 1";
                    let wanted = row![name.as_str().to_ascii_lowercase(), name.as_str()];
                    if let Some(row) = sql::fetch(tx, DOING, text, wanted).await?.first() {
                        let known: String = row.at(0)?;
                        let message = format!("{name} differs from {known} only by its case");
                        return Err(StoreError::conflict(message));
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

    /// The accounts of one person, in name order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn accounts_of(&self, owner: &UserName) -> Result<Vec<AccountRow>, StoreError> {
        const DOING: &str = "reading somebody's accounts";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT n.name, a.owner, a.own_name, a.wants_online FROM account a \
                    JOIN network n ON n.id = a.network WHERE a.owner = $1 AND a.is_leaving = 0 ORDER BY n.name";
        sql::fetch(&mut conn, DOING, text, row![owner.as_str()]).await?.iter().map(account).collect()
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

    /// Accounts whose removal was begun and not finished.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn leaving_accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        const DOING: &str = "reading accounts";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT n.name, a.owner, a.own_name, a.wants_online FROM account a \
                    JOIN network n ON n.id = a.network WHERE a.is_leaving = 1 ORDER BY n.name";
        sql::fetch(&mut conn, DOING, text, []).await?.iter().map(account).collect()
    }
}

fn account(row: &AnyRow) -> Result<AccountRow, StoreError> {
    Ok(AccountRow {
        network: NetworkId::new(row.at::<String>(0)?),
        owner: UserName::new(row.at::<String>(1)?),
        own_name: row.at(2)?,
        wants_online: row.at::<i64>(3)? != 0,
    })
}
