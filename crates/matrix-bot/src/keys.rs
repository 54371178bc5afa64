//! The account's identity: its device signed by it, and its secrets in reach of a recovery key, so that
//! a device that is made anew is the same person to everybody.
//!
//! Each step looks at what is there and not at what was done: whoever was cut off in the middle begins at the same place.

use std::path::Path;

use matrix_sdk::Client;
use matrix_sdk::encryption::identities::ManualVerifyError;
use matrix_sdk::encryption::recovery::{RecoveryError, RecoveryState};
use matrix_sdk::encryption::secret_storage::{ImportError, SecretStorageError};
use matrix_sdk::ruma::api::client::backup::{BackupAlgorithm, delete_backup_version, get_latest_backup_info};
use matrix_sdk::ruma::api::client::keys::get_keys;
use matrix_sdk::ruma::api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier};
use wxgate_matrix::CallError;

use crate::{Entrance, SdkAccount, recovery_file, wrong};

/// What came of a step: `None` when it is done, else what somebody has to do, as a sentence.
type Wish = Result<Option<String>, CallError>;

impl SdkAccount {
    /// Signs the device and sets recovery up, as far as that was not done. Gives what somebody has to do
    /// about it; the account works without, but clients that ask for signed devices keep from it what is
    /// said.
    pub(crate) async fn see_to_keys(&self) -> Wish {
        let client = self.open_client("keys")?;
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        if let Some(wish) = self.see_to_identity_of(&client).await? {
            return Ok(Some(wish));
        }
        match self.see_to_recovery(&client).await? {
            Some(wish) => Ok(Some(wish)),
            None => judge_device(&client).await,
        }
    }

    /// Makes an identity where the homeserver knows none: what stands in our own store may never have reached it.
    /// Source: matrix-sdk-crypto 0.18, `OlmMachine::bootstrap_cross_signing`, which stores before it is sent.
    async fn see_to_identity_of(&self, client: &Client) -> Wish {
        let Some(own) = client.user_id() else { return Ok(None) };
        if is_signed(client).await {
            return Ok(None);
        }
        let mut asked = get_keys::v3::Request::new();
        asked.device_keys.insert(own.to_owned(), Vec::new());
        let told = client.send(asked).await.map_err(|error| wrong::http("query keys", &error))?;
        if !told.master_keys.contains_key(own) {
            return self.bootstrap(client).await;
        }
        ask(client).await?;
        sign(client).await
    }

    async fn bootstrap(&self, client: &Client) -> Wish {
        let encryption = client.encryption();
        let Err(error) = encryption.bootstrap_cross_signing(None).await else { return Ok(None) };
        let Some(asked) = error.as_uiaa_response() else {
            return Err(wrong::call("sign device", &error));
        };
        let password = match &self.config.entrance {
            Entrance::Password(password) => password,
            Entrance::Token(_) => {
                let what = "the homeserver asks for a password to set up signing; set it up in a client, or use password_file";
                return Ok(Some(what.to_owned()));
            }
            Entrance::Page(_) => {
                let what = "the homeserver does not let this program set up signing; set it up in a client";
                return Ok(Some(what.to_owned()));
            }
        };
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.config.user.clone()));
        let mut auth = Password::new(user, password.reveal().to_owned());
        auth.session.clone_from(&asked.session);
        let signed = encryption.bootstrap_cross_signing(Some(AuthData::Password(auth))).await;
        signed.map(|()| None).map_err(|error| wrong::call("sign device", &error))
    }

    async fn see_to_recovery(&self, client: &Client) -> Wish {
        let file = self.config.recovery_key_file.as_path();
        let key = match recovery_file::read(file) {
            Ok(key) => key,
            Err(error) => {
                return Ok(Some(format!("the recovery key in {} cannot be read: {error}", file.display())));
            }
        };
        let recovery = client.encryption().recovery();
        let state = recovery_state(client).await?;
        // One that is made and cannot be written down is nobody's, and another one is made the next time.
        let is_made = key.is_none() && matches!(state, RecoveryState::Disabled | RecoveryState::Enabled);
        if let Some(error) = is_made.then(|| recovery_file::can_be_written(file).err()).flatten() {
            return Ok(Some(format!("a recovery key could not be written to {}: {error}", file.display())));
        }
        let made = match (state, key) {
            (RecoveryState::Disabled, None) => match recovery.enable().await {
                Err(RecoveryError::BackupExistsOnServer) if give_up_backup(client).await? => {
                    recovery.enable().await.map(Some)
                }
                made => made.map(Some),
            },
            (RecoveryState::Disabled, Some(_)) => {
                return Ok(Some(format!(
                    "the account has no recovery, but {} holds a key; empty the file, so that a new one is made",
                    file.display()
                )));
            }
            // It was made, and we died before it was written down.
            (RecoveryState::Enabled, None) => recovery.reset_key().await.map(Some),
            (RecoveryState::Incomplete, Some(key)) => recovery.recover(key.reveal()).await.map(|()| None),
            (RecoveryState::Incomplete, None) => {
                return Ok(Some(format!(
                    "the account has a recovery key; put it into {}, so that this device is signed",
                    file.display()
                )));
            }
            (RecoveryState::Enabled | RecoveryState::Unknown, _) => Ok(None),
        };
        match made {
            Ok(None) => Ok(None),
            Ok(Some(made)) => Ok(recovery_file::write(file, &made)
                .err()
                .map(|error| format!("the recovery key cannot be written to {}: {error}", file.display()))),
            Err(error) => not_recovered(&error, file).map(Some),
        }
    }
}

/// Whether this device is signed, as far as the homeserver has told.
async fn is_signed(client: &Client) -> bool {
    let own = client.encryption().get_own_device().await;
    own.ok().flatten().is_some_and(|device| device.is_cross_signed_by_owner())
}

/// What the homeserver has of a recovery, asked anew where it could not be when the session was taken up.
async fn recovery_state(client: &Client) -> Result<RecoveryState, CallError> {
    let recovery = client.encryption().recovery();
    if recovery.state() == RecoveryState::Unknown {
        // Source: matrix-sdk 0.18, `Recovery::update_state_after_keys_query`.
        ask(client).await?;
    }
    match recovery.state() {
        RecoveryState::Unknown => {
            Err(CallError::Failed { endpoint: "recovery", status: 0, by_homeserver: false })
        }
        state => Ok(state),
    }
}

/// Has the homeserver forget a backup that this device began and whose key it does not have, because it was cut off
/// before it wrote that down: nobody can have put anything there. Whether there was one.
async fn give_up_backup(client: &Client) -> Result<bool, CallError> {
    let told = client.send(get_latest_backup_info::v3::Request::new()).await;
    let told = told.map_err(|error| wrong::http("backup", &error))?;
    let (Some(own), Some(device)) = (client.user_id(), client.device_id()) else { return Ok(false) };
    let algorithm = told.algorithm.deserialize();
    let is_ours = algorithm.is_ok_and(|algorithm| is_begun_by(&algorithm, own.as_str(), device.as_str()));
    if !is_ours || told.count != 0_u32.into() {
        return Ok(false);
    }
    let gone = client.send(delete_backup_version::v3::Request::new(told.version)).await;
    gone.map_err(|error| wrong::http("backup", &error))?;
    tracing::info!("a backup of keys that was begun and never used is made anew");
    Ok(true)
}

/// Whether a device stands among those that signed a backup.
fn is_begun_by(algorithm: &BackupAlgorithm, user: &str, device: &str) -> bool {
    let signed = algorithm.auth_data();
    let by_user = signed.get("signatures").and_then(|signatures| signatures.get(user));
    by_user.is_some_and(|by_user| by_user.get(format!("ed25519:{device}")).is_some())
}

/// What somebody has to do about a recovery that came to nothing; the error where it may do at another time.
fn not_recovered(error: &RecoveryError, file: &Path) -> Result<String, CallError> {
    let file = file.display();
    Err(match error {
        RecoveryError::BackupExistsOnServer => {
            return Ok("the account has a backup of keys that belongs to no recovery key; set recovery up in a client"
                .to_owned());
        }
        RecoveryError::SecretStorage(
            SecretStorageError::SecretStorageKey(_) | SecretStorageError::Decryption(_),
        ) => return Ok(format!("the key in {file} is not the account's recovery key")),
        RecoveryError::Sdk(error)
        | RecoveryError::SecretStorage(
            SecretStorageError::Sdk(error)
            | SecretStorageError::ImportError { error: ImportError::Sdk(error), .. },
        ) => wrong::call("recovery", error),
        RecoveryError::SecretStorage(SecretStorageError::Verification(ManualVerifyError::Http(error))) => {
            wrong::http("sign device", error)
        }
        RecoveryError::SecretStorage(
            SecretStorageError::InconsistentBackupDecryptionKey
            | SecretStorageError::MissingOrInvalidBackupDecryptionKey,
        ) => {
            return Ok(format!(
                "the account's backup of keys cannot be opened with the recovery key in {file} ({error}); set recovery up in a client"
            ));
        }
        other => return Ok(format!("the account cannot be recovered with the key in {file}: {other}")),
    })
}

/// Asks for the account's keys: what was signed a moment ago is known once the homeserver has told it.
async fn ask(client: &Client) -> Result<(), CallError> {
    let Some(own) = client.user_id() else { return Ok(()) };
    let asked = client.encryption().request_user_identity(own).await;
    asked.map(drop).map_err(|error| wrong::call("query keys", &error))
}

/// Signs the device where the account's key is here and only the signature did not get through.
async fn sign(client: &Client) -> Wish {
    let encryption = client.encryption();
    let can_sign = encryption.cross_signing_status().await.is_some_and(|status| status.has_self_signing);
    let (false, true) = (is_signed(client).await, can_sign) else { return Ok(None) };
    let Ok(Some(device)) = encryption.get_own_device().await else { return Ok(None) };
    match device.verify().await {
        Ok(()) => ask(client).await.map(|()| None),
        Err(ManualVerifyError::Http(error)) => Err(wrong::http("sign device", &error)),
        Err(error) => Ok(Some(format!("this device of the account cannot be signed: {error}"))),
    }
}

async fn judge_device(client: &Client) -> Wish {
    if is_signed(client).await {
        return Ok(None);
    }
    ask(client).await?;
    let wish = "this device of the account is not signed by it; verify it in a client";
    Ok((!is_signed(client).await).then(|| wish.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use matrix_sdk::encryption::secret_storage::SecretStorageError as Storage;
    use matrix_sdk::ruma::events::secret::request::SecretName;
    use matrix_sdk::{Error, HttpError, RefreshTokenError};
    use serde_json::json;

    use super::*;

    fn judged(error: Storage) -> Result<String, CallError> {
        not_recovered(&RecoveryError::SecretStorage(error), &PathBuf::from("bot.recovery"))
    }

    fn away() -> Error {
        Error::Http(Box::new(HttpError::RefreshToken(RefreshTokenError::RefreshTokenRequired)))
    }

    #[test]
    fn a_homeserver_that_fails_is_not_a_wrong_key() {
        let import =
            Storage::ImportError { name: SecretName::CrossSigningMasterKey, error: ImportError::Sdk(away()) };
        for error in [Storage::Sdk(away()), import] {
            assert!(matches!(judged(error), Err(CallError::Failed { endpoint: "recovery", .. })));
        }
        let nothing = judged(Storage::MissingKeyInfo { key_id: None }).unwrap();
        assert!(nothing.contains("bot.recovery: The info about"), "{nothing}");
        let backup = judged(Storage::InconsistentBackupDecryptionKey).unwrap();
        assert!(backup.starts_with("the account's backup of keys"), "{backup}");
    }

    #[test]
    fn a_backup_is_known_by_the_device_that_began_it() {
        let signed = |by: &str| {
            let algorithm = json!({
                "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
                "auth_data": { "public_key": "YWJjZGVm", "signatures": { "@bot:test": { by: "c2ln" } } },
            });
            let algorithm: BackupAlgorithm = serde_json::from_value(algorithm).unwrap();
            is_begun_by(&algorithm, "@bot:test", "WXGATE1")
        };
        assert!(signed("ed25519:WXGATE1"));
        assert!(!signed("ed25519:ELEMENT") && !signed("ed25519:masterkey"));
    }
}
