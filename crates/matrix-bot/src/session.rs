//! Signs in once and takes up the session at every later start.
//!
//! What makes a device is decided and kept before the homeserver hears of it: a start that is cut off
//! leads to the same device at the next one, and the store on disk never belongs to another.

use std::time::Duration;

use bytes::Bytes;
use matrix_sdk::authentication::AuthSession;
use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::authentication::oauth::{ClientId, OAuthSession, UserSession};
use matrix_sdk::config::RequestConfig;
use matrix_sdk::encryption::{BackupDownloadStrategy, EncryptionSettings};
use matrix_sdk::ruma::DeviceKeyAlgorithm;
use matrix_sdk::ruma::api::client::keys::get_keys;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::{Client, SessionMeta, SessionTokens, SqliteStoreConfig};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wxgate_matrix::{AccountError, CallError, Keep, Opened, Secret};

use crate::tokens::Tokens;
use crate::{Entrance, Open, Refused, SdkAccount, follow, wrong};

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
pub(crate) struct Kept {
    user: String,
    device: String,
    /// Seals the SDK's store.
    key: [u8; 32],
    /// Empty before the first sign-in was answered.
    pub(crate) token: String,
    /// What gives the next token; empty where tokens are not renewed.
    #[serde(default)]
    refresh: String,
    /// For how long a token is good, in milliseconds, as the sign-in told.
    #[serde(default)]
    life_ms: Option<u64>,
    /// As what the sign-in service knows this program, where a page of it was signed in on.
    #[serde(default)]
    client_id: Option<String>,
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
            refresh: String::new(),
            life_ms: None,
            client_id: None,
            has_replaced,
        })
    }

    /// The same with other tokens.
    pub(crate) fn with(&self, tokens: SessionTokens) -> Self {
        let SessionTokens { access_token: token, refresh_token } = tokens;
        Self { token, refresh: refresh_token.unwrap_or_default(), ..self.clone() }
    }

    /// A device that is to sign in again.
    fn without_tokens(&self) -> Self {
        Self { token: String::new(), refresh: String::new(), ..self.clone() }
    }

    /// The same as a session of the sign-in service's.
    pub(crate) fn with_client(self, client_id: &str, life_ms: u64) -> Self {
        Self { client_id: Some(client_id.to_owned()), life_ms: Some(life_ms), ..self }
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn is_device_of(&self, other: &Self) -> bool {
        self.device == other.device && self.key == other.key
    }

    pub(crate) fn has_replaced(&self) -> bool {
        self.has_replaced
    }

    pub(crate) fn has_tokens_of(&self, other: &Self) -> bool {
        self.token == other.token && self.refresh == other.refresh
    }

    pub(crate) fn can_be_renewed(&self) -> bool {
        !self.refresh.is_empty()
    }

    /// For how long a token is good, if anybody told.
    pub(crate) fn life(&self) -> Option<Duration> {
        self.life_ms.map(Duration::from_millis)
    }

    /// As it is kept.
    pub(crate) fn bytes(&self) -> Bytes {
        // Our own type always has a JSON form.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    fn session(&self) -> Option<AuthSession> {
        let meta = SessionMeta {
            user_id: self.user.as_str().try_into().ok()?,
            device_id: self.device.as_str().into(),
        };
        let refresh_token = self.can_be_renewed().then(|| self.refresh.clone());
        let tokens = SessionTokens { access_token: self.token.clone(), refresh_token };
        let session = match &self.client_id {
            None => AuthSession::Matrix(MatrixSession { meta, tokens }),
            Some(client_id) => AuthSession::OAuth(Box::new(OAuthSession {
                client_id: ClientId::new(client_id.clone()),
                user: UserSession { meta, tokens },
            })),
        };
        (!self.token.is_empty()).then_some(session)
    }
}

pub(crate) async fn save(keep: &Keep, kept: &Kept) -> Result<(), AccountError> {
    Ok(keep(kept.bytes(), Secret::new(&kept.token)).await?)
}

/// What became of a session that was kept.
enum Resumed {
    Opened(Opened),
    /// Its tokens are over, and it is not: whoever signs in again as its device goes on with it.
    /// Source: client-server API, "Soft logout".
    Expired,
    /// Somebody ended it, or there is none.
    Ended,
}

impl SdkAccount {
    /// Takes up the kept session, or makes one.
    pub(crate) async fn open_session(&self, kept: Option<Bytes>, keep: Keep) -> Result<Opened, AccountError> {
        let known = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        // Another account was configured: its device is no business of this one.
        let mut known = known.filter(|kept| kept.user == self.config.user);
        let mut has_replaced = known.as_ref().is_some_and(|kept| kept.has_replaced && kept.token.is_empty());
        if self.has_store()
            && let Some(kept) = &known
        {
            match self.resume(kept, &keep).await? {
                Resumed::Opened(opened) => return Ok(opened),
                Resumed::Expired => known = Some(kept.without_tokens()),
                Resumed::Ended => has_replaced |= !kept.token.is_empty(),
            }
        }
        self.judge_refusal()?;
        self.begin(known, has_replaced, &keep).await
    }

    /// Whether the keys of a device are here. Not in a restored backup, nor where the directory was deleted: the device
    /// is gone then as well.
    fn has_store(&self) -> bool {
        self.config.store.join(KEYS).is_file()
    }

    /// The kept session, if the homeserver still knows it.
    async fn resume(&self, kept: &Kept, keep: &Keep) -> Result<Resumed, AccountError> {
        if kept.token.is_empty() {
            return Ok(Resumed::Ended);
        }
        let known = self.open_now();
        let is_first = known.is_none();
        let open = match known {
            Some(open) => open,
            None => {
                let client = self.restored(kept).await?;
                let tokens = Tokens::of(&client, kept.clone(), keep, None)?;
                Open { client, tokens }
            }
        };
        if let Err(error) = open.client.whoami().await {
            let error = wrong::http("whoami", &error);
            if !matches!(&error, CallError::Refused { code, .. } if code == "M_UNKNOWN_TOKEN") {
                return Err(error.into());
            }
            self.set_open(None);
            if self.is_only_expired(&open.tokens.token(), kept).await? {
                tracing::info!("the tokens of the account are over; it signs in again as the same device");
                return Ok(Resumed::Expired);
            }
            return Ok(Resumed::Ended);
        }
        self.set_open(Some(open.clone()));
        if is_first {
            follow::tidy(&open.client).await;
        }
        Ok(Resumed::Opened(opened(&open, kept)))
    }

    /// Whether the homeserver would let a session go on, and whether we can: who has a password can sign in again.
    async fn is_only_expired(&self, token: &Secret, kept: &Kept) -> Result<bool, AccountError> {
        let Entrance::Password(_) = self.config.entrance else { return Ok(false) };
        let alone = Kept { token: token.reveal().to_owned(), refresh: String::new(), ..kept.clone() };
        let Some(session) = alone.session() else { return Ok(false) };
        let probe = self.probe(session).await?;
        Ok(probe.whoami().await.is_err_and(|error| wrong::is_soft(&error)))
    }

    /// A client without a store, for one question.
    async fn probe(&self, session: AuthSession) -> Result<Client, AccountError> {
        let probe = Client::builder().homeserver_url(&self.config.homeserver).request_config(patience());
        let probe = probe.build().await.map_err(|error| AccountError::Human(error.to_string()))?;
        let restored = probe.restore_session(session).await;
        restored.map_err(|error| wrong::call("restore session", &error))?;
        Ok(probe)
    }

    /// A device that nobody has seen, and an empty store for it.
    pub(crate) async fn fresh(&self, has_replaced: bool) -> Result<Kept, AccountError> {
        let store = &self.config.store;
        match tokio::fs::remove_dir_all(store).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(AccountError::Human(format!("{} cannot be emptied: {error}", store.display())))
            }
            _ => Kept::new(&self.config.user, has_replaced),
        }
    }

    /// Signs in. The device is the known one where that is to sign in, or was never signed in.
    async fn begin(
        &self,
        known: Option<Kept>,
        has_replaced: bool,
        keep: &Keep,
    ) -> Result<Opened, AccountError> {
        let (client, kept) = match &self.config.entrance {
            Entrance::Token(token) => self.take_token(known, has_replaced, token, keep).await?,
            Entrance::Password(password) => {
                let kept = self.device(known, has_replaced, keep).await?;
                self.log_in(kept, password).await?
            }
            Entrance::Page(entrance) => {
                let kept = self.device(known, has_replaced, keep).await?;
                self.sign_in_by_page(entrance, kept, keep).await?
            }
        };
        let saved = save(keep, &kept).await;
        if let Entrance::Page(entrance) = &self.config.entrance {
            entrance.page.went(saved.as_ref().map(drop).map_err(ToString::to_string));
        }
        saved?;
        let tokens = Tokens::of(&client, kept.clone(), keep, Some(Instant::now()))?;
        let open = Open { client, tokens };
        self.set_open(Some(open.clone()));
        tracing::info!(user = %kept.user, device = %kept.device, "the account is signed in");
        Ok(opened(&open, &kept))
    }

    /// The device to sign in as. One that was ended is not taken up again.
    async fn device(
        &self,
        known: Option<Kept>,
        has_replaced: bool,
        keep: &Keep,
    ) -> Result<Kept, AccountError> {
        if let Some(kept) = known.filter(|kept| kept.token.is_empty()) {
            return Ok(kept);
        }
        if has_replaced {
            tracing::warn!("the homeserver has ended the session of the account; another one is begun");
        }
        let kept = self.fresh(has_replaced).await?;
        save(keep, &kept).await?;
        Ok(kept)
    }

    async fn log_in(&self, kept: Kept, password: &Secret) -> Result<(Client, Kept), AccountError> {
        let client = self.build(&kept).await?;
        let auth = client.matrix_auth();
        let login = auth
            .login_username(&self.config.user, password.reveal())
            .device_id(&kept.device)
            .initial_device_display_name(DEVICE_NAME)
            .request_refresh_token();
        let answer = login.send().await.map_err(|error| self.no_entrance(wrong::call("login", &error)))?;
        let (refresh, life) = (answer.refresh_token.unwrap_or_default(), answer.expires_in);
        let life_ms = life.and_then(|life| u64::try_from(life.as_millis()).ok());
        Ok((client, Kept { token: answer.access_token, refresh, life_ms, client_id: None, ..kept }))
    }

    /// Goes in with a token. Where it is another one of the device that is known, that goes on with its keys; they are
    /// thrown away for another device, and when the homeserver has taken its token.
    async fn take_token(
        &self,
        known: Option<Kept>,
        has_replaced: bool,
        token: &Secret,
        keep: &Keep,
    ) -> Result<(Client, Kept), AccountError> {
        let device = self.device_of(token).await?;
        let (token, none) = (token.reveal().to_owned(), String::new());
        let with = |kept: Kept| Kept {
            token: token.clone(),
            refresh: none.clone(),
            life_ms: None,
            client_id: None,
            ..kept
        };
        if let Some(kept) = known.filter(|kept| kept.device == device && self.has_store()) {
            let kept = with(kept);
            let client = self.restored(&kept).await?;
            if has_its_keys(&client).await? {
                return Ok((client, kept));
            }
        }
        let kept = Kept { device, ..self.fresh(has_replaced).await? };
        save(keep, &kept).await?;
        let kept = with(kept);
        Ok((self.restored(&kept).await?, kept))
    }

    /// The device that a token belongs to, which only the homeserver knows.
    async fn device_of(&self, token: &Secret) -> Result<String, AccountError> {
        let asking = Kept { token: token.reveal().to_owned(), ..Kept::new(&self.config.user, false)? };
        let session =
            asking.session().ok_or_else(|| AccountError::Human("the access token is empty".to_owned()))?;
        let probe = self.probe(session).await?;
        let me = probe.whoami().await.map_err(|error| self.no_entrance(wrong::http("whoami", &error)))?;
        let device = me.device_id.filter(|_| me.user_id == self.config.user);
        device.map(|device| device.to_string()).ok_or_else(|| {
            let what = format!("the access token is not one of a device of {}", self.config.user);
            AccountError::Human(what)
        })
    }

    /// The kept session with its store.
    async fn restored(&self, kept: &Kept) -> Result<Client, AccountError> {
        let client = self.build(kept).await?;
        if let Some(session) = kept.session() {
            let restored = client.restore_session(session).await;
            restored.map_err(|error| wrong::call("restore session", &error))?;
        }
        Ok(client)
    }

    pub(crate) async fn build(&self, kept: &Kept) -> Result<Client, AccountError> {
        // Fails when the program installed a provider already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = SqliteStoreConfig::new(&self.config.store).key(Some(&kept.key));
        let built = Client::builder()
            .homeserver_url(&self.config.homeserver)
            .sqlite_store_with_config_and_cache_path(store, None::<std::path::PathBuf>)
            .request_config(patience())
            .handle_refresh_tokens()
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

fn opened(open: &Open, kept: &Kept) -> Opened {
    Opened { token: open.tokens.token(), replaced: kept.has_replaced.then(|| kept.device.clone()) }
}

/// Whether the homeserver has a device with the keys that are here.
async fn has_its_keys(client: &Client) -> Result<bool, CallError> {
    let (Some(user), Some(device)) = (client.user_id(), client.device_id()) else { return Ok(false) };
    let mut asked = get_keys::v3::Request::new();
    asked.device_keys.insert(user.to_owned(), vec![device.to_owned()]);
    let told = client.send(asked).await.map_err(|error| wrong::http("query keys", &error))?;
    let theirs = told.device_keys.get(user).and_then(|devices| devices.get(device));
    let Some(Ok(theirs)) = theirs.map(Raw::deserialize) else { return Ok(false) };
    let ours = client.encryption().ed25519_key().await;
    Ok(ours.is_some_and(|ours| {
        theirs.keys.iter().any(|(id, key)| id.algorithm() == DeviceKeyAlgorithm::Ed25519 && *key == ours)
    }))
}

fn patience() -> RequestConfig {
    RequestConfig::new().retry_limit(RETRIES).timeout(TIMEOUT)
}
