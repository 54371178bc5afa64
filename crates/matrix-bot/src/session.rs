//! Signs in once and takes up the session at every later start.
//!
//! What makes a device is decided and kept before the homeserver hears of it: a start that is cut off
//! leads to the same device at the next one, and the store on disk never belongs to another.

use std::time::Duration;

use bytes::Bytes;
use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::config::RequestConfig;
use matrix_sdk::encryption::{BackupDownloadStrategy, EncryptionSettings};
use matrix_sdk::{Client, SessionMeta, SessionTokens, SqliteStoreConfig};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wxgate_matrix::{AccountError, CallError, Keep, Opened, Secret};

use crate::{Entrance, Refused, SdkAccount, wrong};

/// How the device is called in lists of devices.
const DEVICE_NAME: &str = "wxgate";
/// The file of the SDK's store that holds the keys. Source: matrix-sdk-sqlite 0.18, crypto_store.rs.
const KEYS: &str = "matrix-sdk-crypto.sqlite3";
/// Random bytes of a device's id.
const DEVICE_BYTES: usize = 5;
/// Repetitions of a question that finds the homeserver away; after that the adapter greets it anew.
const RETRIES: usize = 2;
/// One question. Source: as `Timings::call_timeout` of the adapter.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// After a refused password. Source: Synapse lets an account be tried five times, then once in five
/// minutes; a person who corrects the file restarts the gateway.
const REFUSED_PAUSE: Duration = Duration::from_secs(900);

/// What is kept of a session: sealed, in a note of the adapter.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    user: String,
    device: String,
    /// Seals the SDK's store.
    key: [u8; 32],
    /// Empty before the first sign-in was answered.
    token: String,
    /// It took the place of a session that somebody ended.
    #[serde(default)]
    has_replaced: bool,
}

impl Kept {
    fn new(user: &str, has_replaced: bool) -> Result<Self, AccountError> {
        let (mut key, mut device) = ([0; 32], [0; DEVICE_BYTES]);
        let random = SystemRandom::new();
        let filled = random.fill(&mut key).and_then(|()| random.fill(&mut device));
        filled.map_err(|_| AccountError::Human("the system gives no random numbers".to_owned()))?;
        let device: String = device.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self {
            user: user.to_owned(),
            device: format!("WXGATE{device}"),
            key,
            token: String::new(),
            has_replaced,
        })
    }

    fn session(&self) -> Option<MatrixSession> {
        let meta = SessionMeta {
            user_id: self.user.as_str().try_into().ok()?,
            device_id: self.device.as_str().into(),
        };
        let tokens = SessionTokens { access_token: self.token.clone(), refresh_token: None };
        (!self.token.is_empty()).then_some(MatrixSession { meta, tokens })
    }
}

async fn save(keep: &Keep, kept: &Kept) -> Result<(), AccountError> {
    // Our own type always has a JSON form.
    let bytes = serde_json::to_vec(kept).unwrap_or_default();
    Ok(keep(Bytes::from(bytes)).await?)
}

impl SdkAccount {
    /// Takes up the kept session, or makes one.
    pub(crate) async fn open_session(&self, kept: Option<Bytes>, keep: Keep) -> Result<Opened, AccountError> {
        let known = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        // Another account was configured: its device is no business of this one.
        let known = known.filter(|kept| kept.user == self.config.user);
        // A restored backup, or a directory that was deleted: the device's keys are gone, and so is the device.
        let has_store = self.config.store.join(KEYS).is_file();
        let mut has_replaced = known.as_ref().is_some_and(|kept| kept.has_replaced && kept.token.is_empty());
        if let Some(kept) = known.as_ref().filter(|_| has_store) {
            if let Some(opened) = self.resume(kept).await? {
                return Ok(opened);
            }
            has_replaced |= !kept.token.is_empty();
        }
        self.judge_refusal()?;
        // A device that was never signed in is used; one that was ended is not taken up again.
        let kept = match known.filter(|kept| kept.token.is_empty()) {
            Some(kept) => kept,
            None => {
                let kept = self.fresh(has_replaced).await?;
                save(&keep, &kept).await?;
                kept
            }
        };
        self.begin(kept, &keep).await
    }

    /// The kept session, if the homeserver still knows it.
    async fn resume(&self, kept: &Kept) -> Result<Option<Opened>, AccountError> {
        let Some(session) = kept.session() else { return Ok(None) };
        let client = match self.client() {
            Some(client) => client,
            None => {
                let client = self.build(kept).await?;
                let restored = client.restore_session(session).await;
                restored.map_err(|error| wrong::call("restore session", &error))?;
                client
            }
        };
        match client.whoami().await {
            Ok(_) => {}
            Err(error) => match wrong::http("whoami", &error) {
                CallError::Refused { code, .. } if code == "M_UNKNOWN_TOKEN" => {
                    tracing::warn!(
                        "the homeserver has ended the session of the account; another one is begun"
                    );
                    self.set_client(None);
                    return Ok(None);
                }
                error => return Err(error.into()),
            },
        }
        self.set_client(Some(client.clone()));
        self.opened(&client, kept).await.map(Some)
    }

    async fn opened(&self, client: &Client, kept: &Kept) -> Result<Opened, AccountError> {
        let wants = self.see_to_keys(client).await?;
        let replaced = kept.has_replaced.then(|| kept.device.clone());
        Ok(Opened { token: Secret::new(&kept.token), wants, replaced })
    }

    /// A device that nobody has seen, and an empty store for it.
    async fn fresh(&self, has_replaced: bool) -> Result<Kept, AccountError> {
        let store = &self.config.store;
        match tokio::fs::remove_dir_all(store).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(AccountError::Human(format!("{} cannot be emptied: {error}", store.display())))
            }
            _ => Kept::new(&self.config.user, has_replaced),
        }
    }

    async fn begin(&self, kept: Kept, keep: &Keep) -> Result<Opened, AccountError> {
        let kept = match &self.config.entrance {
            Entrance::Password(password) => {
                let client = self.build(&kept).await?;
                let auth = client.matrix_auth();
                let login = auth
                    .login_username(&self.config.user, password.reveal())
                    .device_id(&kept.device)
                    .initial_device_display_name(DEVICE_NAME);
                let answer =
                    login.send().await.map_err(|error| self.no_entrance(wrong::call("login", &error)))?;
                self.set_client(Some(client));
                Kept { token: answer.access_token, ..kept }
            }
            Entrance::Token(token) => self.take_token(kept, token).await?,
        };
        save(keep, &kept).await?;
        let client = self.open_client("login")?;
        tracing::info!(user = %kept.user, device = %kept.device, "the account is signed in");
        self.opened(&client, &kept).await
    }

    /// The device that a token belongs to.
    async fn take_token(&self, kept: Kept, token: &Secret) -> Result<Kept, AccountError> {
        let mut kept = Kept { token: token.reveal().to_owned(), ..kept };
        let client = self.build(&kept).await?;
        let session =
            kept.session().ok_or_else(|| AccountError::Human("the access token is empty".to_owned()))?;
        // Whose it is, and of which device, only the homeserver knows; a client for one question.
        let probe = Client::builder().homeserver_url(&self.config.homeserver).request_config(patience());
        let probe = probe.build().await.map_err(|error| AccountError::Human(error.to_string()))?;
        let restored = probe.restore_session(session).await;
        restored.map_err(|error| wrong::call("restore session", &error))?;
        let me = probe.whoami().await.map_err(|error| self.no_entrance(wrong::http("whoami", &error)))?;
        let Some(device) = me.device_id.filter(|_| me.user_id == self.config.user) else {
            let what = format!("the access token is not one of a device of {}", self.config.user);
            return Err(AccountError::Human(what));
        };
        kept.device = device.to_string();
        if let Some(session) = kept.session() {
            let restored = client.restore_session(session).await;
            restored.map_err(|error| wrong::call("restore session", &error))?;
        }
        self.set_client(Some(client));
        Ok(kept)
    }

    async fn build(&self, kept: &Kept) -> Result<Client, AccountError> {
        // Fails when the program installed a provider already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = SqliteStoreConfig::new(&self.config.store).key(Some(&kept.key));
        let built = Client::builder()
            .homeserver_url(&self.config.homeserver)
            .sqlite_store_with_config_and_cache_path(store, None::<std::path::PathBuf>)
            .request_config(patience())
            .with_encryption_settings(EncryptionSettings {
                // Done in `keys.rs`, where what goes wrong is told.
                auto_enable_cross_signing: false,
                backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
                auto_enable_backups: false,
            })
            .build()
            .await;
        built.map_err(|error| AccountError::Human(format!("the account's store cannot be opened: {error}")))
    }

    /// A way in that was refused is not tried again for a while: homeservers count.
    fn no_entrance(&self, error: CallError) -> AccountError {
        let CallError::Refused { code, message, .. } = &error else { return error.into() };
        let why = format!(
            "the homeserver does not let {} in ({code} {message}); look at password_file or access_token_file and restart the gateway",
            self.config.user
        );
        let until = Instant::now() + REFUSED_PAUSE;
        let mut refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *refused = Some(Refused { until, why: why.clone() });
        AccountError::Human(why)
    }

    fn judge_refusal(&self) -> Result<(), AccountError> {
        let refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match refused.as_ref().filter(|refused| refused.until > Instant::now()) {
            Some(refused) => Err(AccountError::Human(refused.why.clone())),
            None => Ok(()),
        }
    }
}

fn patience() -> RequestConfig {
    RequestConfig::new().retry_limit(RETRIES).timeout(TIMEOUT)
}
