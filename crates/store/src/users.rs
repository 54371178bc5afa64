//! People of this instance and their passwords, of which only what checks them is stored.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest::{SHA256, digest};
use tokio::sync::OwnedSemaphorePermit;
use wxgate_contract::{Credential, UserName};

use crate::acts;
use crate::credentials;
use crate::doors;
use crate::error::{Doing, StoreError};
use crate::leaving::{is_leaving, must_have_no_accounts};
use crate::limits;
use crate::report::UserRow;
use crate::seal::random;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// Passwords that are worked at at once: each takes 19 MiB and some 20 ms of a core. Chosen.
pub(crate) const HASHING: usize = 2;
/// Longest password; more would only make checking it expensive.
pub const PASSWORD_BYTES: usize = 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Reads what is told of people: all of them, or those of a condition.
macro_rules! users {
    ($rest:literal) => {
        concat!(
            "SELECT name, is_admin, password, CAST(CASE WHEN EXISTS (SELECT 1 FROM token WHERE gateway_user = name) ",
            "THEN 1 ELSE 0 END AS BIGINT), accounts_max FROM gateway_user ",
            $rest
        )
    };
}

/// The hash of a password, and the sealed verifier of SCRAM.
type Checks = (Option<String>, Option<String>);

impl Store {
    /// Adds a person. Without a password only tokens open the door.
    ///
    /// # Errors
    /// `Conflict` when the name is taken or whoever has it is being removed, `Invalid` for a bad name or password.
    pub async fn add_user(
        &self,
        name: &UserName,
        password: Option<&str>,
        is_admin: bool,
    ) -> Result<(), StoreError> {
        const DOING: &str = "adding a person";
        check_new_name(name)?;
        let _sealing = self.0.key.sealing().await;
        let (hash, scram) = self.hashed(name, password).await?;
        let (name, now) = (name.clone(), self.0.clock.now().ms());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    if is_leaving(tx, DOING, name.as_str()).await? {
                        return Err(StoreError::conflict(format!("a person called {name} is being removed")));
                    }
                    let rows = sql::fetch(tx, DOING, "SELECT name FROM gateway_user", []).await?;
                    for row in &rows {
                        let known: String = row.at(0)?;
                        if known != name.as_str() && known.to_lowercase() == name.as_str().to_lowercase() {
                            let message = format!("{name} differs from {known} only by its case");
                            return Err(StoreError::conflict(message));
                        }
                    }
                    let text = "INSERT INTO gateway_user (name, is_admin, password, created_ms, scram) \
                                VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING";
                    let values = row![name.as_str(), is_admin, hash.as_deref(), now, scram.as_deref()];
                    match sql::run(tx, DOING, text, values).await? {
                        1 => Ok(()),
                        _ => Err(StoreError::conflict(format!("there is a person called {name} already"))),
                    }
                })
            })
            .await
    }

    /// Changes a password; `None` takes it away. Gives what the new one is; the old one opens nothing any more.
    ///
    /// # Errors
    /// `Invalid` when there is no such person or the password is too long.
    pub async fn set_password(
        &self,
        name: &UserName,
        password: Option<&str>,
    ) -> Result<Option<Credential>, StoreError> {
        const DOING: &str = "changing a password";
        let _sealing = self.0.key.sealing().await;
        let (hash, scram) = self.hashed(name, password).await?;
        let name = name.clone();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE gateway_user SET password = $1, scram = $2 WHERE name = $3";
                    let values = row![hash.as_deref(), scram.as_deref(), name.as_str()];
                    found(&name, sql::run(tx, DOING, text, values).await?)?;
                    Ok(hash.as_deref().map(credentials::password))
                })
            })
            .await
    }

    /// Says how many accounts a person may have; `None`: as many as everybody. What they have beyond that stays.
    ///
    /// # Errors
    /// `Invalid` when there is no such person.
    pub async fn set_quota(&self, name: &UserName, accounts_max: Option<u32>) -> Result<(), StoreError> {
        const DOING: &str = "changing how many accounts a person may have";
        let name = name.clone();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE gateway_user SET accounts_max = $1 WHERE name = $2";
                    let values = row![accounts_max.map(i64::from), name.as_str()];
                    found(&name, sql::run(tx, DOING, text, values).await?)
                })
            })
            .await
    }

    /// Everybody, in name order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        const DOING: &str = "reading people of this instance";
        let mut conn = self.reader(DOING).await?;
        let rows = sql::fetch(&mut conn, DOING, users!("ORDER BY name"), []).await?;
        rows.iter().map(user_row).collect()
    }

    /// One person.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn user(&self, name: &UserName) -> Result<Option<UserRow>, StoreError> {
        const DOING: &str = "reading a person of this instance";
        if check_name(name).is_err() {
            return Ok(None);
        }
        let mut conn = self.reader(DOING).await?;
        let rows = sql::fetch(&mut conn, DOING, users!("WHERE name = $1"), row![name.as_str()]).await?;
        rows.first().map(user_row).transpose()
    }

    /// Removes a person who has no accounts.
    ///
    /// # Errors
    /// `Conflict` while there are accounts, `Invalid` when there is no such person.
    pub async fn remove_user(&self, name: &UserName) -> Result<(), StoreError> {
        const DOING: &str = "removing a person";
        let name = name.clone();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    must_have_no_accounts(tx, &name).await?;
                    for text in [
                        "DELETE FROM identity WHERE gateway_user = $1",
                        "DELETE FROM certificate WHERE gateway_user = $1",
                        "DELETE FROM token WHERE gateway_user = $1",
                        acts::OF_PERSON,
                    ] {
                        sql::run(tx, DOING, text, row![name.as_str()]).await?;
                    }
                    let text = "DELETE FROM gateway_user WHERE name = $1";
                    found(&name, sql::run(tx, DOING, text, row![name.as_str()]).await?)
                })
            })
            .await
    }

    /// What this password is when it is theirs. Takes as long for an unknown name as for a known one, and only some
    /// are worked at at once, however many ask and go away again.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn verify_password(
        &self,
        name: &UserName,
        password: &str,
    ) -> Result<Option<Credential>, StoreError> {
        const DOING: &str = "checking a password";
        let place = self.place(DOING).await?;
        let (stored, scram) = match check_name(name) {
            Err(_) => (None, None),
            Ok(()) => {
                let mut conn = self.reader(DOING).await?;
                let text = "SELECT password, scram FROM gateway_user WHERE name = $1";
                let rows = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
                let read = rows.first().map(|row| {
                    Ok::<_, StoreError>((row.at::<Option<String>>(0)?, row.at::<Option<String>>(1)?))
                });
                read.transpose()?.unwrap_or_default()
            }
        };
        let credential = stored.as_deref().map(credentials::password);
        let typed = password.to_owned();
        let check = move || {
            let (password, _place) = (typed, place);
            let parts = stored.as_deref().map_or(Some(([0; SALT_BYTES], None)), |text| {
                let (salt, hash) = parse(text)?;
                Some((salt, Some(hash)))
            });
            let (salt, expected) =
                parts.ok_or_else(|| StoreError::corrupt("gateway_user", "a password hash"))?;
            if password.len() > PASSWORD_BYTES {
                return Ok(false);
            }
            let actual = argon2(&password, &salt)?;
            // Compared as digests, so that the time says nothing about how much of it was right.
            let same = |expected: [u8; HASH_BYTES]| {
                digest(&SHA256, &expected).as_ref() == digest(&SHA256, &actual).as_ref()
            };
            Ok(expected.is_some_and(same))
        };
        let is_right = tokio::task::spawn_blocking(check).await.doing(DOING)??;
        if is_right && scram.as_deref().is_none_or(|sealed| self.verifier(name, sealed).is_none()) {
            // From a version that kept less, or from under another seal key: the next login may use SCRAM.
            self.remember_scram(name, password, scram).await?;
        }
        Ok(credential.filter(|_| is_right))
    }

    /// A place for working at a password. It is held by the work and not by who waits for it: they may go away.
    async fn place(&self, doing: &'static str) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.0.hashing).acquire_owned().await.doing(doing)
    }

    /// What checks a password, and what checks it in SCRAM.
    async fn hashed(&self, name: &UserName, password: Option<&str>) -> Result<Checks, StoreError> {
        let Some(text) = password.map(str::to_owned) else { return Ok((None, None)) };
        let hash = hashed(password, self.place("hashing a password").await?).await?;
        let (key, name) = (self.0.key.clone(), name.clone());
        let work = move || doors::sealed(&key, &name, &text);
        let scram = tokio::task::spawn_blocking(work).await.doing("hashing a password")??;
        Ok((hash, Some(scram)))
    }
}

fn user_row(row: &sqlx::any::AnyRow) -> Result<UserRow, StoreError> {
    let accounts_max = row.at::<Option<i64>>(4)?.map(u32::try_from);
    let unfit = || StoreError::corrupt("gateway_user", "a number of accounts");
    Ok(UserRow {
        name: UserName::new(row.at::<String>(0)?),
        is_admin: row.at::<i64>(1)? != 0,
        has_password: row.at::<Option<String>>(2)?.is_some(),
        has_token: row.at::<i64>(3)? != 0,
        accounts_max: accounts_max.transpose().map_err(|_| unfit())?,
    })
}

pub(crate) fn found(name: &UserName, changed: u64) -> Result<(), StoreError> {
    if changed == 0 {
        return Err(StoreError::invalid(format!("there is no person called {name}")));
    }
    Ok(())
}

pub(crate) fn check_name(name: &UserName) -> Result<(), StoreError> {
    if name.as_str().is_empty() {
        return Err(StoreError::invalid("the name of a person is empty"));
    }
    limits::check_id("the name of a person", name.as_str())
}

/// Longest name of a new person in bytes. Chosen: it becomes a part of logins and lines of a table.
const NEW_NAME_BYTES: usize = 64;

/// A name that every login can carry: IRC's `USER/ACCOUNT@CLIENT:PASSWORD` is split at these signs; and every address:
/// browsers walk up at `..`.
fn check_new_name(name: &UserName) -> Result<(), StoreError> {
    let text = name.as_str();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_dots = matches!(text, "." | "..");
    let is_long = text.len() > NEW_NAME_BYTES;
    if text.is_empty() || is_long || is_dots || text.starts_with('-') || !text.chars().all(fits) {
        return Err(StoreError::invalid(format!(
            "the name of a person is 1 to {NEW_NAME_BYTES} bytes of letters, digits, '-', '_' and '.', does not begin \
             with '-' and is neither '.' nor '..'"
        )));
    }
    Ok(())
}

async fn hashed(password: Option<&str>, place: OwnedSemaphorePermit) -> Result<Option<String>, StoreError> {
    let Some(password) = password.map(str::to_owned) else { return Ok(None) };
    if password.is_empty() || password.len() > PASSWORD_BYTES {
        return Err(StoreError::invalid(format!("a password has 1 to {PASSWORD_BYTES} bytes")));
    }
    let work = move || {
        let _place = place;
        let mut salt = [0_u8; SALT_BYTES];
        random(&mut salt)?;
        let hash = argon2(&password, &salt)?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        let params = Params::default();
        let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
        Ok(Some(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}")))
    };
    tokio::task::spawn_blocking(work).await.doing("hashing a password")?
}

fn argon2(password: &str, salt: &[u8]) -> Result<[u8; HASH_BYTES], StoreError> {
    let mut hash = [0_u8; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .map_err(|error| StoreError::unavailable("hashing a password", error.to_string()))?;
    Ok(hash)
}

/// Salt and hash of the stored text. Other parameters than ours were never written.
fn parse(text: &str) -> Option<([u8; SALT_BYTES], [u8; HASH_BYTES])> {
    let params = Params::default();
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let rest = text.strip_prefix(&format!("$argon2id$v=19$m={m},t={t},p={p}$"))?;
    let (salt, hash) = rest.split_once('$')?;
    Some((
        STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()?,
        STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?,
    ))
}
