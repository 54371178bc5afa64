//! Which networks show which accounts, and who somebody on such a network is here.

use wxgate_contract::{NetworkId, PersonKey, PersonRef, UserName};

use crate::error::StoreError;
use crate::leaving::is_leaving;
use crate::limits;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Names tried for a new person before giving up. Chosen: nobody has so many namesakes by chance.
const NAMESAKES: u32 = 1000;

impl Store {
    /// From now on `face` shows `account`. Doing it twice changes nothing.
    ///
    /// # Errors
    /// `Invalid` for a bad name, `Unavailable` when the database failed.
    pub async fn add_mirror(&self, account: &NetworkId, face: &NetworkId) -> Result<(), StoreError> {
        const DOING: &str = "adding a mirror";
        let (account, face) = (self.number(account).await?, self.number(face).await?);
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "INSERT INTO mirror (account, face) VALUES ($1, $2) ON CONFLICT (account, face) DO NOTHING";
                    sql::run(tx, DOING, text, row![account, face]).await.map(|_| ())
                })
            })
            .await
    }

    /// `face` no longer shows `account`; what was ordered stays ordered.
    ///
    /// # Errors
    /// `Unavailable` when the database failed.
    pub async fn remove_mirror(&self, account: &NetworkId, face: &NetworkId) -> Result<(), StoreError> {
        const DOING: &str = "removing a mirror";
        let (Some(account), Some(face)) = (self.find(account).await?, self.find(face).await?) else {
            return Ok(());
        };
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "DELETE FROM mirror WHERE account = $1 AND face = $2";
                    sql::run(tx, DOING, text, row![account, face]).await.map(|_| ())
                })
            })
            .await
    }

    /// Every account that is shown, with the network that shows it.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn mirrors(&self) -> Result<Vec<(NetworkId, NetworkId)>, StoreError> {
        const DOING: &str = "reading mirrors";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT a.name, f.name FROM mirror m JOIN network a ON a.id = m.account \
                    JOIN network f ON f.id = m.face ORDER BY a.name, f.name";
        let rows = sql::fetch(&mut conn, DOING, text, []).await?;
        rows.iter()
            .map(|row| Ok((NetworkId::new(row.at::<String>(0)?), NetworkId::new(row.at::<String>(1)?))))
            .collect()
    }

    /// Which person of this instance somebody is.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn user_of(&self, person: &PersonRef) -> Result<Option<UserName>, StoreError> {
        const DOING: &str = "looking up a person";
        limits::check_id("a person key", person.person.as_str())?;
        let Some(number) = self.find(&person.network).await? else { return Ok(None) };
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT gateway_user FROM identity WHERE network = $1 AND person = $2";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, person.person.as_str()]).await?;
        rows.first().map(|row| Ok(UserName::new(row.at::<String>(0)?))).transpose()
    }

    /// Who a person of this instance is on a network; the first by name when they are several.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn person_of(
        &self,
        user: &UserName,
        network: &NetworkId,
    ) -> Result<Option<PersonKey>, StoreError> {
        const DOING: &str = "looking up a person";
        let Some(number) = self.find(network).await? else { return Ok(None) };
        let mut conn = self.reader(DOING).await?;
        let text =
            "SELECT person FROM identity WHERE gateway_user = $1 AND network = $2 ORDER BY person LIMIT 1";
        let rows = sql::fetch(&mut conn, DOING, text, row![user.as_str(), number]).await?;
        rows.first().map(|row| Ok(PersonKey::new(row.at::<String>(0)?))).transpose()
    }

    /// Says who somebody is, also when it was somebody else before.
    ///
    /// # Errors
    /// `Invalid` when there is no such person of this instance.
    pub async fn identify(&self, person: &PersonRef, user: &UserName) -> Result<(), StoreError> {
        const DOING: &str = "identifying a person";
        limits::check_id("a person key", person.person.as_str())?;
        let number = self.number(&person.network).await?;
        let (person, user) = (person.person.clone(), user.clone());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT 1 FROM gateway_user WHERE name = $1";
                    if sql::fetch(tx, DOING, text, row![user.as_str()]).await?.is_empty() {
                        return Err(StoreError::invalid(format!("there is no person called {user}")));
                    }
                    let text = "INSERT INTO identity (network, person, gateway_user) VALUES ($1, $2, $3) \
                                ON CONFLICT (network, person) DO UPDATE SET gateway_user = excluded.gateway_user";
                    sql::run(tx, DOING, text, row![number, person.as_str(), user.as_str()]).await.map(|_| ())
                })
            })
            .await
    }

    /// The person of this instance that somebody is; a new one, without a password and called
    /// `wanted` or `wanted_2` …, when there is none.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be used, `Unavailable` when the database failed.
    pub async fn introduce(&self, person: &PersonRef, wanted: &UserName) -> Result<UserName, StoreError> {
        const DOING: &str = "introducing a person";
        limits::check_id("a person key", person.person.as_str())?;
        crate::users::check_name(wanted)?;
        let number = self.number(&person.network).await?;
        let (person, wanted, now) = (person.person.clone(), wanted.clone(), self.0.clock.now().ms());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT gateway_user FROM identity WHERE network = $1 AND person = $2";
                    if let Some(row) =
                        sql::fetch(tx, DOING, text, row![number, person.as_str()]).await?.first()
                    {
                        return Ok(UserName::new(row.at::<String>(0)?));
                    }
                    let text = "INSERT INTO gateway_user (name, is_admin, created_ms) VALUES ($1, 0, $2) \
                                ON CONFLICT (name) DO NOTHING";
                    for namesake in 1..=NAMESAKES {
                        let name = match namesake {
                            1 => wanted.to_string(),
                            more => format!("{wanted}_{more}"),
                        };
                        // What is still kept of somebody of this name would become theirs.
                        if is_leaving(tx, DOING, &name).await? {
                            continue;
                        }
                        if sql::run(tx, DOING, text, row![&*name, now]).await? == 1 {
                            let text =
                                "INSERT INTO identity (network, person, gateway_user) VALUES ($1, $2, $3)";
                            sql::run(tx, DOING, text, row![number, person.as_str(), &*name]).await?;
                            return Ok(UserName::new(name));
                        }
                    }
                    Err(StoreError::conflict(format!("every name like {wanted} is taken")))
                })
            })
            .await
    }
}
