//! Further ways in for people of this instance: SCRAM-SHA-256, and certificates of clients.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::{digest, hmac, pbkdf2};
use unicode_normalization::UnicodeNormalization as _;
use wxgate_contract::{Credential, ScramVerifier, UserName};

use crate::credentials;
use crate::error::StoreError;
use crate::seal::{Place, SealKey, random};
use crate::sql::{self, Columns, row};
use crate::store::Store;
use crate::users::check_name;

/// Rounds of PBKDF2. The client works them too; what is stored is sealed besides. Chosen, above the
/// least that RFC 7677 asks for (4096).
const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000).expect("not zero");
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// Certificates of one person. Chosen.
const MAX_CERTIFICATES: i64 = 20;

impl Store {
    /// What checks SCRAM-SHA-256 for a person; `None` when nobody is called so, when the password was last typed
    /// before this was kept, and when it was sealed with a key that is not here any more.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn scram(&self, name: &UserName) -> Result<Option<ScramVerifier>, StoreError> {
        const DOING: &str = "reading what checks a password";
        if check_name(name).is_err() {
            return Ok(None);
        }
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT scram, password FROM gateway_user WHERE name = $1";
        let rows = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (sealed, stored) = (row.at::<Option<String>>(0)?, row.at::<Option<String>>(1)?);
        let Some((sealed, stored)) = sealed.zip(stored) else { return Ok(None) };
        Ok(self.verifier(name, &sealed).and_then(|opened| read(&opened, credentials::password(&stored))))
    }

    /// What is sealed there; the next login with the password writes one that cannot be opened anew.
    pub(crate) fn verifier(&self, name: &UserName, sealed: &str) -> Option<Vec<u8>> {
        self.0.key.open(&place(name), &STANDARD_NO_PAD.decode(sealed).ok()?)
    }

    /// Keeps what checks SCRAM for a password that was just found right, in the place of `old`, which is none or
    /// cannot be opened.
    pub(crate) async fn remember_scram(
        &self,
        name: &UserName,
        password: &str,
        old: Option<String>,
    ) -> Result<(), StoreError> {
        const DOING: &str = "writing what checks a password";
        let _sealing = self.0.key.sealing().await;
        let sealed = sealed(&self.0.key, name, password)?;
        let name = name.clone();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text =
                        "UPDATE gateway_user SET scram = $1 WHERE name = $2 AND COALESCE(scram, '') = $3";
                    let values = row![sealed.as_str(), name.as_str(), old.unwrap_or_default()];
                    sql::run(tx, DOING, text, values).await.map(|_| ())
                })
            })
            .await
    }

    /// From now on a client certificate opens the door of a person.
    ///
    /// # Errors
    /// `Conflict` when it is somebody else's or there are too many, `Invalid` when there is no such person
    /// or it is no fingerprint.
    pub async fn add_certificate(&self, name: &UserName, fingerprint: &str) -> Result<(), StoreError> {
        const DOING: &str = "adding a certificate";
        check_fingerprint(fingerprint)?;
        let (name, fingerprint, now) = (name.clone(), fingerprint.to_owned(), self.0.clock.now().ms());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "SELECT (SELECT COUNT(*) FROM gateway_user WHERE name = $1), \
                                (SELECT COUNT(*) FROM certificate WHERE gateway_user = $1)";
                    let rows = sql::fetch(tx, DOING, text, row![name.as_str()]).await?;
                    let counts =
                        rows.first().map(|row| Ok::<_, StoreError>((row.at::<i64>(0)?, row.at::<i64>(1)?)));
                    let (people, certificates) = counts.transpose()?.unwrap_or_default();
                    if people == 0 {
                        return Err(StoreError::invalid(format!("there is no person called {name}")));
                    }
                    if certificates >= MAX_CERTIFICATES {
                        return Err(StoreError::conflict(format!(
                            "{name} has {certificates} certificates already"
                        )));
                    }
                    let text = "INSERT INTO certificate (fingerprint, gateway_user, created_ms) \
                                VALUES ($1, $2, $3) ON CONFLICT (fingerprint) DO NOTHING";
                    let values = row![fingerprint.as_str(), name.as_str(), now];
                    match sql::run(tx, DOING, text, values).await? {
                        1 => Ok(()),
                        _ => Err(StoreError::conflict("this certificate opens a door already".to_owned())),
                    }
                })
            })
            .await
    }

    /// A certificate opens nothing any more.
    ///
    /// # Errors
    /// `Invalid` when it is none of this person's.
    pub async fn remove_certificate(&self, name: &UserName, fingerprint: &str) -> Result<(), StoreError> {
        const DOING: &str = "removing a certificate";
        let (name, fingerprint) = (name.clone(), fingerprint.to_owned());
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "DELETE FROM certificate WHERE fingerprint = $1 AND gateway_user = $2";
                    match sql::run(tx, DOING, text, row![fingerprint.as_str(), name.as_str()]).await? {
                        0 => Err(StoreError::invalid(format!("{name} has no such certificate"))),
                        _ => Ok(()),
                    }
                })
            })
            .await
    }

    /// The certificates of a person, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn certificates(&self, name: &UserName) -> Result<Vec<String>, StoreError> {
        const DOING: &str = "reading certificates";
        let mut conn = self.reader(DOING).await?;
        let text =
            "SELECT fingerprint FROM certificate WHERE gateway_user = $1 ORDER BY created_ms, fingerprint";
        let rows = sql::fetch(&mut conn, DOING, text, row![name.as_str()]).await?;
        rows.iter().map(|row| row.at::<String>(0)).collect()
    }

    /// Whose door a certificate opens.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn user_of_certificate(&self, fingerprint: &str) -> Result<Option<UserName>, StoreError> {
        const DOING: &str = "checking a certificate";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT gateway_user FROM certificate WHERE fingerprint = $1";
        let rows = sql::fetch(&mut conn, DOING, text, row![fingerprint]).await?;
        rows.first().map(|row| Ok(UserName::new(row.at::<String>(0)?))).transpose()
    }
}

fn check_fingerprint(text: &str) -> Result<(), StoreError> {
    let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if text.len() != 2 * KEY_BYTES || !is_hex {
        return Err(StoreError::invalid("a fingerprint is a SHA-256 in 64 small hex digits"));
    }
    Ok(())
}

fn place(name: &UserName) -> Place<'_> {
    Place::Scram { user: name.as_str() }
}

/// What checks this password, as it is stored. Takes as long as the rounds do.
pub(crate) fn sealed(key: &SealKey, name: &UserName, password: &str) -> Result<String, StoreError> {
    let mut salt = [0_u8; SALT_BYTES];
    random(&mut salt)?;
    let mut bytes = ROUNDS.get().to_be_bytes().to_vec();
    bytes.extend_from_slice(&salt);
    for part in keys(password, &salt) {
        bytes.extend_from_slice(&part);
    }
    key.seal(&place(name), &bytes).map(|sealed| STANDARD_NO_PAD.encode(sealed))
}

/// The stored key and the server's. Source: RFC 5802, section 3; RFC 7677. The password is normalized as clients do it
/// (NFKC).
fn keys(password: &str, salt: &[u8]) -> [Vec<u8>; 2] {
    let password: String = password.nfkc().collect();
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, password.as_bytes(), &mut salted);
    let signed = |text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), text);
    let stored = digest::digest(&digest::SHA256, signed(b"Client Key").as_ref());
    [stored.as_ref().to_vec(), signed(b"Server Key").as_ref().to_vec()]
}

fn read(bytes: &[u8], credential: Credential) -> Option<ScramVerifier> {
    let (rounds, rest) = bytes.split_at_checked(4)?;
    let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
    let (stored_key, server_key) = rest.split_at_checked(KEY_BYTES)?;
    Some(ScramVerifier {
        rounds: u32::from_be_bytes(rounds.try_into().ok()?),
        salt: salt.to_vec(),
        stored_key: stored_key.to_vec(),
        server_key: (server_key.len() == KEY_BYTES).then(|| server_key.to_vec())?,
        credential,
    })
}
