//! The account's identity: its device signed by it, and its secrets in reach of a recovery key, so that
//! a device that is made anew is the same person to everybody.

use matrix_sdk::Client;
use matrix_sdk::encryption::recovery::{RecoveryError, RecoveryState};
use matrix_sdk::ruma::api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier};
use wxgate_matrix::AccountError;

use crate::{Entrance, SdkAccount, recovery_file, wrong};

impl SdkAccount {
    /// Signs the device and sets recovery up, as far as that was not done. Gives what somebody has to do
    /// about it; the account works without, but clients that ask for signed devices keep from it what is
    /// said.
    pub(crate) async fn see_to_keys(&self, client: &Client) -> Result<Option<String>, AccountError> {
        let encryption = client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        self.bootstrap(client).await?;
        let file = self.config.recovery_key_file.as_path();
        let key = match recovery_file::read(file) {
            Ok(key) => key,
            Err(error) => {
                return Ok(Some(format!("the recovery key in {} cannot be read: {error}", file.display())));
            }
        };
        let recovery = encryption.recovery();
        let made = match (recovery.state(), key) {
            (RecoveryState::Disabled, None) => recovery.enable().await.map(Some),
            (RecoveryState::Disabled, Some(_)) => {
                return Ok(Some(format!(
                    "the account has no recovery, but {} holds a key; empty the file, so that a new one is made",
                    file.display()
                )));
            }
            // It was made, and we died before it was written down.
            (RecoveryState::Enabled, None) => recovery.reset_key().await.map(Some),
            (RecoveryState::Incomplete, Some(key)) => match recovery.recover(key.reveal()).await {
                Err(RecoveryError::SecretStorage(_)) => {
                    return Ok(Some(format!(
                        "the key in {} is not the account's recovery key",
                        file.display()
                    )));
                }
                recovered => recovered.map(|()| None),
            },
            (RecoveryState::Incomplete, None) => {
                return Ok(Some(format!(
                    "the account has a recovery key; put it into {}, so that this device is signed",
                    file.display()
                )));
            }
            (RecoveryState::Enabled | RecoveryState::Unknown, _) => Ok(None),
        };
        let made = made.map_err(|error| recovery_call(&error))?;
        if let Some(made) = made
            && let Err(error) = recovery_file::write(file, &made)
        {
            return Ok(Some(format!("the recovery key cannot be written to {}: {error}", file.display())));
        }
        self.judge_device(client).await
    }

    /// Makes an identity where the account has none.
    async fn bootstrap(&self, client: &Client) -> Result<(), AccountError> {
        let encryption = client.encryption();
        let Err(error) = encryption.bootstrap_cross_signing_if_needed(None).await else { return Ok(()) };
        let Some(asked) = error.as_uiaa_response() else {
            return Err(wrong::call("sign device", &error).into());
        };
        let password = match &self.config.entrance {
            Entrance::Password(password) => password,
            Entrance::Token(_) => {
                let what = "the homeserver asks for a password to set up signing; set it up in a client, or use password_file";
                return Err(AccountError::Human(what.to_owned()));
            }
            Entrance::Page(_) => {
                let what = "the homeserver does not let this program set up signing; set it up in a client";
                return Err(AccountError::Human(what.to_owned()));
            }
        };
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.config.user.clone()));
        let mut auth = Password::new(user, password.reveal().to_owned());
        auth.session.clone_from(&asked.session);
        let signed = encryption.bootstrap_cross_signing(Some(AuthData::Password(auth))).await;
        signed.map_err(|error| wrong::call("sign device", &error).into())
    }

    async fn judge_device(&self, client: &Client) -> Result<Option<String>, AccountError> {
        let is_signed = async || {
            let own = client.encryption().get_own_device().await;
            own.ok().flatten().is_some_and(|device| device.is_cross_signed_by_owner())
        };
        if is_signed().await {
            return Ok(None);
        }
        // What was signed a moment ago is known once the homeserver has told it.
        if let Some(own) = client.user_id() {
            let asked = client.encryption().request_user_identity(own).await;
            asked.map_err(|error| wrong::call("query keys", &error))?;
        }
        Ok((!is_signed().await)
            .then(|| "this device of the account is not signed by it; verify it in a client".to_owned()))
    }
}

fn recovery_call(error: &RecoveryError) -> AccountError {
    match error {
        RecoveryError::Sdk(error) => wrong::call("recovery", error).into(),
        RecoveryError::BackupExistsOnServer => AccountError::Human(
            "the account has a backup of keys that belongs to no recovery key; set recovery up in a client"
                .to_owned(),
        ),
        other => AccountError::Human(format!("recovery cannot be set up: {other}")),
    }
}
