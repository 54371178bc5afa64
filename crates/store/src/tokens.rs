//! Tokens: each stands in the place of its owner's password, for some doors or for all. None is stored, only
//! what checks it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use tokio::time::timeout;
use wxgate_contract::{Timestamp, UserName};

use crate::error::StoreError;
use crate::seal::random;
use crate::sql::{self, Columns, hex, row};
use crate::store::Store;
use crate::users::found;

/// Tokens of one person. Chosen: one for each of their devices and scripts.
const MAX_TOKENS: i64 = 32;
/// Longest label in characters. Chosen: a line of a table.
const LABEL_CHARS: usize = 64;

/// The last use is written down at most this often, so that looking does not become writing.
const USE_NOTED_MS: i64 = 3_600_000;
/// … and whoever used the token waits so long for it at most: a door opens although nothing can be written.
const USE_NOTED_WITHIN: Duration = Duration::from_millis(250);

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opens(u8);

impl Opens {
    /// Looking at what is theirs, over the API.
    pub const READ: Self = Self(1);
    /// Changing it, over the API.
    pub const WRITE: Self = Self(2);
    /// Logging in as with the password: on IRC, and on the pages.
    pub const LOGIN: Self = Self(4);
    /// What administrators may do, when its owner is one.
    pub const ADMIN: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);
    /// Each with its word.
    const WORDS: [(Self, &str); 4] =
        [(Self::READ, "read"), (Self::WRITE, "write"), (Self::LOGIN, "login"), (Self::ADMIN, "admin")];

    /// True when it opens all that `wanted` does.
    pub fn includes(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The words for what it opens.
    pub fn words(self) -> Vec<&'static str> {
        Self::WORDS.iter().filter(|(one, _)| self.includes(*one)).map(|(_, word)| *word).collect()
    }
}

impl fmt::Display for Opens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl FromStr for Opens {
    type Err = String;

    /// Words with spaces or commas between them; who may change something may look at it too.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut opens = Self(0);
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let Some((one, _)) = Self::WORDS.iter().find(|(_, known)| *known == word) else {
                return Err(format!("{word:?} is none of read, write, login, admin"));
            };
            opens.0 |= one.0;
        }
        if opens.includes(Self::WRITE) || opens.includes(Self::ADMIN) {
            opens.0 |= Self::READ.0;
        }
        match opens.0 {
            0 => Err("a token opens at least one of read, write, login, admin".to_owned()),
            _ => Ok(opens),
        }
    }
}

/// A token as it is listed; what it says is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What its owner calls it.
    pub label: String,
    /// What it opens.
    pub opens: Opens,
    /// When it was made.
    pub made: Timestamp,
    /// When it last opened something, to the hour; none while nobody used it.
    pub used: Option<Timestamp>,
}

impl Store {
    /// Makes a token for a person; one with the same label ends. It is shown this once.
    ///
    /// # Errors
    /// `Invalid` when there is no such person or the label is bad, `Conflict` when they have too many.
    pub async fn add_token(&self, name: &UserName, label: &str, opens: Opens) -> Result<String, StoreError> {
        const DOING: &str = "making a token";
        check_label(label)?;
        let mut bytes = [0_u8; 32];
        random(&mut bytes)?;
        let token = format!("wxgate_{}", URL_SAFE_NO_PAD.encode(bytes));
        let (name, label, hash) = (name.clone(), label.to_owned(), token_hash(&token));
        let now = self.0.clock.now().ms();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT (SELECT COUNT(*) FROM gateway_user WHERE name = $1), \
                                (SELECT COUNT(*) FROM token WHERE gateway_user = $1 AND label <> $2)";
                    let rows = sql::fetch(tx, DOING, text, row![name.as_str(), label.as_str()]).await?;
                    let counts =
                        rows.first().map(|row| Ok::<_, StoreError>((row.at::<i64>(0)?, row.at::<i64>(1)?)));
                    let (people, others) = counts.transpose()?.unwrap_or_default();
                    found(&name, u64::from(people > 0))?;
                    if others >= MAX_TOKENS {
                        return Err(StoreError::conflict(format!(
                            "{name} has {others} tokens already; end one of them first"
                        )));
                    }
                    let text = "DELETE FROM token WHERE gateway_user = $1 AND label = $2";
                    sql::run(tx, DOING, text, row![name.as_str(), label.as_str()]).await?;
                    let text = "INSERT INTO token (hash, gateway_user, label, opens, created_ms) \
                                VALUES ($1, $2, $3, $4, $5)";
                    let values = row![hash, name.as_str(), label.as_str(), opens.to_string(), now];
                    sql::run(tx, DOING, text, values).await.map(|_| ())
                })
            })
            .await?;
        Ok(token)
    }

    /// A token opens nothing any more.
    ///
    /// # Errors
    /// `Invalid` when this person has none of that label.
    pub async fn remove_token(&self, name: &UserName, label: &str) -> Result<(), StoreError> {
        const DOING: &str = "ending a token";
        let (name, label) = (name.clone(), label.to_owned());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "DELETE FROM token WHERE gateway_user = $1 AND label = $2";
                    match sql::run(tx, DOING, text, row![name.as_str(), label.as_str()]).await? {
                        0 => Err(StoreError::invalid(format!("{name} has no token called {label:?}"))),
                        _ => Ok(()),
                    }
                })
            })
            .await
    }

    /// The tokens of a person, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn tokens(&self, name: &UserName) -> Result<Vec<TokenRow>, StoreError> {
        const DOING: &str = "reading tokens";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT label, opens, created_ms, used_ms FROM token WHERE gateway_user = $1 \
                    ORDER BY created_ms, label";
        let rows = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
        rows.iter()
            .map(|row| {
                Ok(TokenRow {
                    label: row.at(0)?,
                    opens: opens(&row.at::<String>(1)?)?,
                    made: Timestamp(row.at(2)?),
                    used: row.at::<Option<i64>>(3)?.map(Timestamp),
                })
            })
            .collect()
    }

    /// Whose token this is, and what it opens.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn verify_token(&self, token: &str) -> Result<Option<(UserName, Opens)>, StoreError> {
        const DOING: &str = "checking a token";
        let hash = token_hash(token);
        let mut conn = self.reader(DOING).await?;
        // The token is random, so finding its hash by an index gives nothing away.
        let text = "SELECT gateway_user, opens, used_ms FROM token WHERE hash = $1";
        let rows = sql::fetch(&mut conn, DOING, text, row![hash.as_str()]).await?;
        drop(conn);
        let Some(row) = rows.first() else { return Ok(None) };
        let owner = (UserName::new(row.at::<String>(0)?), opens(&row.at::<String>(1)?)?);
        let now = self.0.clock.now().ms();
        if row.at::<Option<i64>>(2)?.is_none_or(|used| now.saturating_sub(used) >= USE_NOTED_MS) {
            // For its owner's eyes only: nothing depends on it.
            let _ = timeout(USE_NOTED_WITHIN, self.note_token_use(hash, now)).await;
        }
        Ok(Some(owner))
    }

    async fn note_token_use(&self, hash: String, now_ms: i64) -> Result<(), StoreError> {
        const DOING: &str = "noting the use of a token";
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE token SET used_ms = $1 WHERE hash = $2";
                    sql::run(tx, DOING, text, row![now_ms, hash]).await.map(|_| ())
                })
            })
            .await
    }
}

pub(crate) fn opens(stored: &str) -> Result<Opens, StoreError> {
    stored.parse().map_err(|why: String| StoreError::corrupt("token", &why))
}

fn check_label(label: &str) -> Result<(), StoreError> {
    let fits = |c: char| !c.is_control();
    if label.trim() != label
        || label.is_empty()
        || label.chars().count() > LABEL_CHARS
        || !label.chars().all(fits)
    {
        return Err(StoreError::invalid(format!(
            "the label of a token has 1 to {LABEL_CHARS} characters, none of them a control character and no space \
             at its ends"
        )));
    }
    Ok(())
}

pub(crate) fn token_hash(token: &str) -> String {
    hex(digest(&SHA256, token.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_opens_is_said_in_words() {
        for (given, wanted) in [
            ("read", "read"),
            ("write", "read write"),
            ("login,read", "read login"),
            ("admin", "read admin"),
            (" admin  login write read,", "read write login admin"),
        ] {
            assert_eq!(given.parse::<Opens>().unwrap().to_string(), wanted, "{given:?}");
        }
        assert_eq!(Opens::ALL.to_string().parse(), Ok(Opens::ALL));
        for bad in ["", " ,", "Read", "everything", "read;write"] {
            assert!(bad.parse::<Opens>().is_err(), "{bad:?}");
        }
        assert!(Opens::ALL.includes(Opens::ADMIN) && !Opens::READ.includes(Opens::WRITE));
    }
}
