//! The one file that knows both the networks and the bridge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;
use wxgate_bridge::{AdapterFactory, Bridge, BridgeConfig};
use wxgate_contract::{Adapter, Clock, Timestamp};
use wxgate_irc::{IrcServerAdapter, IrcServerConfig};
use wxgate_store::{AccountRow, SealKey, Store, StoreConfig, StoreError};
use wxgate_wechat::{Timings, Ways, WechatAdapter, WechatConfig};

use crate::config::{Profile, Settings};
use crate::failure::Failure;
use crate::web::{self, Links, Web};

/// The kind of network that accounts are.
pub(crate) const ACCOUNT_KIND: &str = "wechat";
/// The built-in server.
const IRC: &str = "irc:local";
/// How long adapters may take to stop. Chosen: one round trip to a slow service, and below the
/// time after which service managers kill.
const GRACE: Duration = Duration::from_secs(8);
/// Between two clean-ups of old files and settled deliveries. Chosen.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// The gateway, running.
pub(crate) struct Gateway {
    pub(crate) bridge: Arc<Bridge>,
    /// Where the IRC server listens; empty until it does, or when it is off.
    pub(crate) irc: watch::Receiver<Vec<SocketAddr>>,
    /// Where the web listener listens.
    pub(crate) web: SocketAddr,
    tasks: JoinSet<()>,
    store: Store,
}

/// The time of day. The only place of the program that asks for it.
#[expect(clippy::disallowed_methods, reason = "the program's one clock; everybody else is handed it")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Starts everything that `settings` ask for.
pub(crate) async fn start(settings: &Settings) -> Result<Gateway, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(now);
    make_data_dir(settings)?;
    if settings.irc.server.enabled {
        let listen = settings.irc.server.listen.iter().chain(&settings.irc.server.tls_listen);
        for address in listen {
            probe(address, "irc.server.listen").await?;
        }
    }
    let listener = bind(&settings.web.listen, "web.listen").await?;
    let web_address = listener.local_addr().map_err(|e| Failure::environment(format!("web.listen: {e}")))?;
    let store = open_store(settings, Arc::clone(&clock)).await?;
    let links = Links::load(settings, web_address, Arc::clone(&clock))?;
    let vault = store.vault(links.writer());
    let config = BridgeConfig {
        store: store.clone(),
        vault: Arc::clone(&vault),
        clock: Arc::clone(&clock),
        seed: seed()?,
        account_kind: ACCOUNT_KIND,
        factory: factory(settings)?,
        accounts_per_user: settings.limits.accounts_per_user,
        grace: GRACE,
    };
    let bridge = Bridge::new(config).await.map_err(store_failed)?;
    let (bound, irc) = watch::channel(Vec::new());
    if settings.irc.server.enabled {
        bridge.add_network(Arc::new(irc_server(settings, bound)?), None);
    }
    let accounts = bridge.add_accounts().await.map_err(store_failed)?;
    tracing::info!(accounts, "started");
    let mut tasks = JoinSet::new();
    let web = Web::new(Arc::clone(&bridge), vault, links, irc.clone(), settings);
    tasks.spawn(web::serve(listener, web.clone()));
    tasks.spawn(web::serve_socket(web::bind_socket(&settings.socket())?, web));
    tasks.spawn(prune(store.clone(), settings.media.keep_days, settings.media.max_store_bytes));
    Ok(Gateway { bridge, irc, web: web_address, tasks, store })
}

impl Gateway {
    /// Waits until the IRC server listens. Fails when it cannot.
    pub(crate) async fn irc_ready(&self) -> Result<SocketAddr, Failure> {
        let mut irc = self.irc.clone();
        let ready = tokio::time::timeout(Duration::from_secs(10), irc.wait_for(|bound| !bound.is_empty())).await;
        let first = ready.ok().and_then(Result::ok).and_then(|bound| bound.first().copied());
        first.ok_or_else(|| {
            let down = self.bridge.healths().into_iter().find(|(network, _, _)| network.as_str() == IRC);
            let why = down.map(|(_, _, health)| health.detail().to_owned()).unwrap_or_default();
            Failure::environment(format!("the IRC server does not listen: {why}"))
        })
    }

    /// Stops in order: adapters, pipe, listeners, store.
    pub(crate) async fn stop(mut self) {
        self.bridge.shutdown().await;
        self.tasks.shutdown().await;
        self.store.close().await;
    }
}

fn make_data_dir(settings: &Settings) -> Result<(), Failure> {
    let dir = &settings.data_dir;
    let failed = |e: std::io::Error| Failure::environment(format!("cannot use the data directory {}: {e}", dir.display()));
    let is_new = !dir.exists();
    std::fs::create_dir_all(dir).map_err(failed)?;
    if is_new {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

async fn bind(address: &str, key: &str) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::bind(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Failure::environment(format!(
            "{address} is taken by another program; stop that one, or set {key} to another address"
        )),
        _ => Failure::environment(format!("cannot listen on {address} ({key}): {e}")),
    })
}

/// A port that is taken must end the start, while the adapter could only tell its health.
async fn probe(address: &str, key: &str) -> Result<(), Failure> {
    bind(address, key).await.map(drop)
}

async fn open_store(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Store, Failure> {
    let key_file = match crate::config::set(&settings.store.seal_key_file) {
        Some(path) => path.to_owned(),
        None => settings.data_dir.join("seal.key"),
    };
    let config = StoreConfig {
        url: settings.store.url.parse().map_err(|e: StoreError| Failure::config(format!("store.url: {e}")))?,
        data_dir: settings.data_dir.clone(),
        seal_key: SealKey::load_or_create(&key_file).map_err(store_failed)?,
        max_media_bytes: settings.wechat.max_media_bytes,
    };
    Store::open(config, clock).await.map_err(store_failed)
}

fn store_failed(error: StoreError) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    Failure::environment(format!("the store cannot be used: {text}"))
}

pub(crate) fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| Failure::environment("the system gives no random numbers"))?;
    Ok(seed)
}

fn factory(settings: &Settings) -> Result<AdapterFactory, Failure> {
    let ways = Ways::new();
    let wechat = settings.wechat.clone();
    let sends_per_minute = settings.limits.sends_per_minute;
    let service: Option<Url> = match wechat.service.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|e| Failure::config(format!("wechat.service: {e}")))?),
    };
    let profile = match wechat.profile {
        Profile::Desktop => wechat_proto::Profile::Desktop,
        Profile::Web => wechat_proto::Profile::Web,
    };
    Ok(Arc::new(move |row: &AccountRow| -> Arc<dyn Adapter> {
        let config = WechatConfig {
            network: row.network.clone(),
            service: service.clone(),
            proxy: (!wechat.proxy.is_empty()).then(|| wechat.proxy.clone()),
            profile,
            device_name: wechat.device_name.clone(),
            lang: "zh_CN".to_owned(),
            max_media_bytes: wechat.max_media_bytes,
            sends_per_minute,
            timings: Timings::default(),
        };
        Arc::new(WechatAdapter::new(config, ways.clone()))
    }))
}

fn irc_server(settings: &Settings, bound: watch::Sender<Vec<SocketAddr>>) -> Result<IrcServerAdapter, Failure> {
    let server = &settings.irc.server;
    let mut config = IrcServerConfig::new(IRC.into(), server.name.clone());
    config.listen = addresses(&server.listen, "irc.server.listen")?;
    config.tls_listen = addresses(&server.tls_listen, "irc.server.tls_listen")?;
    config.tls_cert = crate::config::set(&server.tls_cert).map(ToOwned::to_owned);
    config.tls_key = crate::config::set(&server.tls_key).map(ToOwned::to_owned);
    config.motd_file = crate::config::set(&server.motd_file).map(ToOwned::to_owned);
    config.on_bound = Some(Arc::new(move |plain: &[SocketAddr], tls: &[SocketAddr]| {
        bound.send_replace(plain.iter().chain(tls).copied().collect());
    }));
    Ok(IrcServerAdapter::new(config))
}

fn addresses(texts: &[String], key: &str) -> Result<Vec<SocketAddr>, Failure> {
    let parse = |text: &String| text.parse().map_err(|e| Failure::config(format!("{key}: {text}: {e}")));
    texts.iter().map(parse).collect()
}

async fn prune(store: Store, keep_days: u32, max_store_bytes: u64) {
    loop {
        tokio::time::sleep(PRUNE_EVERY).await;
        let media = store.prune_media(keep_days, max_store_bytes).await;
        let settled = store.prune().await;
        match media.and(settled) {
            Ok(pruned) => tracing::debug!(deliveries = pruned.deliveries, "cleaned up"),
            Err(error) => tracing::warn!(%error, "could not clean up; trying again in an hour"),
        }
    }
}
