//! Whether what somebody came in with still opens their doors.

use ring::digest::{SHA256, digest};
use wxgate_contract::{Credential, UserName};

use crate::error::StoreError;
use crate::sql::{self, Columns, hex, row};
use crate::store::Store;
use crate::tokens::{Opens, opens, token_hash};
use crate::users::check_name;

/// A password by what is stored of it: that has a salt, so no two are alike, not even of the same password.
pub(crate) fn password(stored: &str) -> Credential {
    Credential::Password(hex(digest(&SHA256, stored.as_bytes()).as_ref()))
}

/// What a token is to whoever came in with it.
pub fn token_credential(token: &str) -> Credential {
    Credential::Token(token_hash(token))
}

impl Store {
    /// What this opens now, when it lets this person in; `None` when it does not, or not any more.
    ///
    /// A certificate is for logging in, and opens no more than a token that is made for that: whoever has one of
    /// these may add one.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn still_opens(
        &self,
        name: &UserName,
        credential: &Credential,
    ) -> Result<Option<Opens>, StoreError> {
        const DOING: &str = "checking what somebody came in with";
        if check_name(name).is_err() {
            return Ok(None);
        }
        match credential {
            Credential::Password(_) => {
                let mut conn = self.reader(DOING).await?;
                let text = "SELECT password FROM gateway_user WHERE name = $1";
                let rows = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
                let stored = rows.first().map(|row| row.at::<Option<String>>(0)).transpose()?.flatten();
                Ok(stored.filter(|stored| password(stored) == *credential).map(|_| Opens::ALL))
            }
            Credential::Token(hash) => {
                let mut conn = self.reader(DOING).await?;
                let text = "SELECT opens FROM token WHERE hash = $1 AND gateway_user = $2";
                let rows = sql::fetch(&mut conn, DOING, text, row![hash.as_str(), name.as_str()]).await?;
                let found = rows.first().map(|row| opens(&row.at::<String>(0)?)).transpose()?;
                Ok(found.filter(|opens| opens.includes(Opens::LOGIN)))
            }
            Credential::Certificate(fingerprint) => {
                let whose = self.user_of_certificate(fingerprint).await?;
                Ok(whose.filter(|whose| whose == name).map(|_| Opens::LOGIN))
            }
            Credential::Identity(person) => {
                let who = self.user_of(person).await?;
                Ok(who.filter(|who| who == name).map(|_| Opens::ALL))
            }
        }
    }
}
