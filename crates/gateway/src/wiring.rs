//! Builds the gateway out of its parts. The one file that knows both the networks and the bridge.

mod crew;
mod files;
#[cfg(feature = "postgres")]
pub(crate) mod instances;
#[cfg(not(feature = "postgres"))]
#[path = "wiring/instances_absent.rs"]
pub(crate) mod instances;
mod irc;
pub(crate) mod matrix;
pub(crate) mod matrix_bot;
mod ports;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use wechat_proto::Profile as WechatProfile;
use wxgate_bridge::{AdapterFactory, Bridge, BridgeConfig};
use wxgate_contract::{Adapter, Clock, Health, MediaVault, NetworkId, Stop, StopHandle};
use wxgate_convert::Converter;
use wxgate_irc::{Filehost, Guests, Ident, IrcServerAdapter, IrcServerConfig, Listening, LocalChannels};
use wxgate_matrix::WebSignIn;
use wxgate_store::AccountRow;
use wxgate_tls::{Certificate, Use};
use wxgate_wechat::{OnSynced, Ways, WechatAdapter, WechatConfig};

use crate::config::{GuestsChoice, LocalChannelsChoice, Profile, Settings, parse_network, set};
use crate::failure::Failure;
use crate::history::{self, Day};
use crate::metrics::Counters;
use crate::web::allowance::Allowance;
use crate::web::invitations::Invitations;
use crate::web::links::Links;
use crate::web::places::Places;
use crate::web::serve::{self, Served};
use crate::web::{self, sessions::Sessions};
use crate::{clean, clock};

use crew::Crew;
#[cfg(feature = "otel")]
pub(crate) use files::kept_number;
pub(crate) use files::secret_key;
pub(crate) use irc::tls_of;
pub(crate) use ports::taken;
pub(crate) use store::{copy_store, open_store, store_failure, store_url, unopened};

/// Prefix of an account's network.
pub(crate) const ACCOUNT_KIND: &str = "wechat";
/// The network of the built-in IRC server.
pub(crate) const IRC_NETWORK: &str = "irc:local";
/// Prefix of an IRC network that is joined.
pub(crate) const IRC_KIND: &str = "irc";
/// True for a network that belongs to somebody else.
pub(crate) fn is_guest(network: &NetworkId) -> bool {
    network.kind() == IRC_KIND && network.as_str() != IRC_NETWORK
}

/// How long adapters may take to report what is in flight when the program stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long a face may take to listen.
const BIND_PATIENCE: Duration = Duration::from_secs(15);
/// Streams at once: half of what the listener takes, so that pages always come through.
const STREAMS: usize = 256;
/// Streams of one person. Chosen: a page on each of their devices, and a few forgotten ones.
const STREAMS_EACH: usize = 16;
/// Uploads at once; more are told to come back. Chosen: each holds a file open and a piece in memory.
const UPLOADS: usize = 8;
/// Uploads of one person. Chosen: clients hand over one after the other, and somebody may have two.
const UPLOADS_EACH: usize = 2;
/// Of what may be stored, one person hands over one so many-th a day. Chosen: a few people do not push everybody else's
/// files out before these were fetched.
const ONE_PERSONS_PART: u64 = 8;
/// Between two looks at what is in memory. Chosen: two looks after a burst what it left is given back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);

/// What the HTTP faces and the commands read.
pub(crate) struct Parts {
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) vault: Arc<dyn MediaVault>,
    pub(crate) links: Arc<Links>,
    pub(crate) counters: Arc<Counters>,
    /// What the last day was like.
    pub(crate) day: Day,
    /// Where IRC clients connect.
    pub(crate) irc: Listening,
    /// By what name they reach this machine from elsewhere, when that is known.
    pub(crate) client_host: Option<String>,
    /// Where the homeserver delivers events.
    pub(crate) matrix: Option<SocketAddr>,
    /// What bridge managers ask, when the application service runs.
    pub(crate) managers: Option<axum::Router>,
    /// Where the Matrix bot is signed in, when that is done on a page of its homeserver's.
    pub(crate) web_sign_in: Option<Arc<WebSignIn>>,
    /// Who is signed in to the web pages.
    pub(crate) sessions: Sessions,
    /// Who was given a link to come in by.
    pub(crate) invitations: Arc<Invitations>,
    /// Who reads the metrics.
    pub(crate) metrics_from: Vec<IpNet>,
    /// Places for pages that follow what happens.
    pub(crate) streams: Arc<Places>,
    /// Places for files that are handed over.
    pub(crate) uploads: Arc<Places>,
    /// How much of them each person may.
    pub(crate) handed: Allowance,
    /// The data directory, for backups.
    pub(crate) data_dir: PathBuf,
    /// The seal key's file, for backups.
    pub(crate) seal_key_file: PathBuf,
    /// What operators set bounds to.
    pub(crate) limits: Limits,
    /// The instances that share the database; `None` where it is a file.
    pub(crate) lead: Option<instances::Lead>,
    pub(crate) stop: Stop,
}

/// Bounds that pages show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) accounts_per_user: usize,
    pub(crate) sends_per_minute: u32,
    /// Days that messages are kept; 0: for ever.
    pub(crate) history_days: u32,
    /// Days that attachments are kept after their last use.
    pub(crate) media_days: u32,
    pub(crate) media_bytes: u64,
}

impl Limits {
    fn of(settings: &Settings) -> Self {
        Self {
            accounts_per_user: settings.limits.accounts_per_user,
            sends_per_minute: settings.limits.sends_per_minute,
            history_days: settings.history.keep_days,
            media_days: settings.media.keep_days,
            media_bytes: settings.media.max_store_bytes,
        }
    }
}

/// The gateway, running.
pub(crate) struct Gateway {
    pub(crate) parts: Arc<Parts>,
    pub(crate) web: SocketAddr,
    settings: Settings,
    stop: StopHandle,
    crew: Crew,
}

/// Starts everything. What was begun is undone by dropping when a later step fails. While another instance has the
/// database, this one works for it; `None` when `until` came before the database was free.
pub(crate) async fn start(settings: &Settings, until: &Stop) -> Result<Option<Gateway>, Failure> {
    files::data_dir(&settings.data_dir)?;
    crate::backup::assert_whole(&settings.data_dir)?;
    // First: a second gateway on the same data is told so, and not that a port is taken.
    let Some(store) = store::take_over(settings, until).await? else { return Ok(None) };
    let bound = async {
        let certificate = certificate(settings)?;
        let listener = ports::bind(&settings.web.listen, "web.listen").await?;
        let web = listener.local_addr().map_err(|e| Failure::environment(format!("web.listen: {e}")))?;
        let mut ident = Vec::new();
        for address in ports::resolve(&settings.irc.ident.listen, "irc.ident.listen").await? {
            ident.push(ports::bind(&address.to_string(), "irc.ident.listen").await?);
        }
        let lead = instances::lead(settings, &store).await?;
        Ok::<_, Failure>(((listener, certificate), web, ident, lead))
    };
    let (web_listener, web, ident_listeners, lead) = match bound.await {
        Ok(bound) => bound,
        Err(failure) => {
            store.close().await;
            return Err(failure);
        }
    };
    // The store's lock is ours: a socket that is still there belongs to nobody.
    let socket = files::control_socket(settings)?;
    let links = links(settings, web)?;
    let writer = Arc::clone(&links);
    let vault = store.vault(Arc::new(move |media, name: &str| Some(writer.write(media, name))));
    let converter = converter(settings)?;
    let counters = Arc::<Counters>::default();
    let invitations = Arc::new(Invitations::new(Arc::new(clock::now)));
    let (doorman, writer) = (Arc::clone(&invitations), Arc::clone(&links));
    let factory = factory(accounts(settings, converter.clone(), &counters)?);
    let bridge = Bridge::new(BridgeConfig {
        store,
        vault: Arc::clone(&vault),
        clock: Arc::new(clock::now) as Arc<dyn Clock>,
        seed: clock::random()?,
        account_kind: ACCOUNT_KIND,
        factory: lead.iter().fold(factory, |factory, lead| lead.share(factory)),
        accounts_per_user: settings.limits.accounts_per_user,
        pages: Arc::new(move |user, credential| {
            doorman.make(user, credential).map(|token| writer.enter(&token))
        }),
        grace: GRACE,
    })
    .await
    .map_err(store_failure)?;
    let faces = async {
        let irc = add_irc(settings, &bridge, &links).await?;
        let mirror = matrix::add(settings, &bridge, converter.clone()).await?;
        let web_sign_in = matrix_bot::add(settings, &bridge, converter, links.base())?;
        Ok::<_, Failure>((irc, mirror, web_sign_in))
    };
    let (irc, mirror, web_sign_in) = match faces.await {
        Ok(bound) => bound,
        Err(failure) => {
            bridge.shutdown().await;
            bridge.store().close().await;
            return Err(failure);
        }
    };
    let (matrix, managers) = mirror.unzip();
    bridge.go_on_removing().await.map_err(store_failure)?;
    let ident = (!ident_listeners.is_empty()).then(Ident::default);
    for network in &settings.irc.network {
        bridge.add_network(Arc::new(irc::guest(network, ident.clone())), None);
    }
    let accounts = bridge.add_accounts().await.map_err(store_failure)?;
    let (stop, token) = StopHandle::new();
    let parts = Arc::new(Parts {
        bridge,
        vault,
        links,
        counters,
        day: Day::default(),
        irc,
        client_host: settings.client_host(),
        matrix,
        managers,
        web_sign_in,
        sessions: Sessions::new(&clock::random()?, Arc::new(clock::now)),
        invitations,
        metrics_from: networks(&settings.web.metrics_from),
        streams: Arc::new(Places::new(STREAMS, STREAMS_EACH)),
        uploads: Arc::new(Places::new(UPLOADS, UPLOADS_EACH)),
        handed: Allowance::new(settings.media.max_store_bytes / ONE_PERSONS_PART),
        data_dir: settings.data_dir.clone(),
        seal_key_file: settings.seal_key_file(),
        limits: Limits::of(settings),
        lead,
        stop: token,
    });
    let mut crew = serve_all(settings, &parts, web_listener, socket);
    for listener in ident_listeners {
        let Some(ident) = ident.clone() else { break };
        crew.door("the ident server", ident.serve(listener, parts.stop.clone()));
    }
    tracing::info!(accounts, %web, data_dir = %settings.data_dir.display(), "the gateway is ready");
    Ok(Some(Gateway { parts, web, settings: settings.clone(), stop, crew }))
}

impl Gateway {
    /// Waits until it cannot go on: the database is another gateway's, or a bug ended a part without which nothing
    /// crosses or nobody is answered. Whoever hears it ends the program at once, and a service manager starts it anew.
    pub(crate) async fn failed(&self) -> Failure {
        let bug = |why: String| {
            Failure::bug(format!(
                "{why}; the gateway ends, to be started anew. What was committed is kept. Please report the line \
                 above that says where"
            ))
        };
        tokio::select! {
            why = self.parts.bridge.store().lost() => Failure::environment(why),
            why = self.cut_off() => Failure::environment(why),
            why = self.parts.bridge.broke() => bug(why),
            name = self.crew.broke() => bug(format!("a bug ended {name}")),
        }
    }

    /// As the one that leads among several instances.
    async fn cut_off(&self) -> String {
        match &self.parts.lead {
            Some(lead) => lead.cut_off().await,
            None => std::future::pending().await,
        }
    }

    /// Ends in order: no new requests, deliveries in flight report, adapters end, the store closes.
    pub(crate) async fn stop(self) {
        self.stop.stop();
        // Gone first, so that commands say that nobody is there instead of waiting.
        let _ = std::fs::remove_file(self.settings.socket());
        self.parts.bridge.shutdown().await;
        if let Some(lead) = &self.parts.lead {
            lead.end(self.parts.bridge.store()).await;
        }
        self.crew.finish().await;
        self.parts.bridge.store().close().await;
        tracing::info!("the gateway has stopped");
    }
}

fn serve_all(
    settings: &Settings,
    parts: &Arc<Parts>,
    (web_listener, certificate): (TcpListener, Option<Certificate>),
    socket: UnixListener,
) -> Crew {
    let mut crew = Crew::new(parts.stop.clone());
    let stop = || parts.stop.clone();
    let pages =
        Served { router: web::public(Arc::clone(parts)), proxies: networks(&settings.web.proxy_from).into() };
    crew.door("the web listener", serve::serve(web_listener, pages, certificate, stop()));
    let commands = Served { router: web::control(Arc::clone(parts)), proxies: Arc::default() };
    crew.door("the control socket", serve::serve(socket, commands, None, stop()));
    if let Some(lead) = &parts.lead {
        crew.door("the lines of other instances", lead.serve());
    }
    let stop = stop();
    crew.chore("memory", move || give_back(stop.clone()));
    let day = Arc::clone(parts);
    crew.chore("the day's counts", move || {
        let day = Arc::clone(&day);
        async move { history::keep(&day).await }
    });
    let (parts, media, keep) = (Arc::clone(parts), settings.media.clone(), settings.history.keep());
    crew.chore("clean-up", move || clean::run(Arc::clone(&parts), media.clone(), keep));
    crew
}

/// Gives memory back when a burst has passed.
async fn give_back(stop: Stop) {
    let mut watch = wxgate_heap::Watch::default();
    while !stop.is_stopping() {
        tokio::select! {
            () = stop.stopping() => return,
            () = tokio::time::sleep(GIVE_BACK_EVERY) => {}
        }
        let Some(before) = wxgate_heap::resident_bytes() else { return };
        if !watch.is_time(before) {
            continue;
        }
        // It walks through all free memory, beside the threads that serve.
        let gave = tokio::task::spawn_blocking(wxgate_heap::give_back).await.unwrap_or(false);
        let after = wxgate_heap::resident_bytes().unwrap_or(before);
        watch.gave(after);
        tracing::debug!(gave, before_bytes = before, after_bytes = after, "memory given back");
    }
}

/// Of the web listener; `None` where it speaks HTTP.
fn certificate(settings: &Settings) -> Result<Option<Certificate>, Failure> {
    let (Some(cert), Some(key)) = (set(&settings.web.tls_cert), set(&settings.web.tls_key)) else {
        return Ok(None);
    };
    let loaded = Certificate::load(Use::Web, cert, key);
    loaded.map(Some).map_err(|error| Failure::config(format!("web.tls_cert: {error}")))
}

fn links(settings: &Settings, web: SocketAddr) -> Result<Arc<Links>, Failure> {
    let key = secret_key(&settings.data_dir.join("links.key"), &settings.data_dir)?;
    let base = match settings.web.public_url.is_empty() {
        // With port 0 the configured address would lead nowhere.
        true => format!("{}://{web}", settings.web.scheme()),
        false => settings.link_base(),
    };
    let hours = u64::from(settings.media.link_ttl_hours);
    let ttl = Duration::from_secs(hours.saturating_mul(3600));
    Ok(Arc::new(Links::new(base, &key, ttl, Arc::new(clock::now))))
}

/// Whoever brings files into other forms; `None` where there is no program for it.
fn converter(settings: &Settings) -> Result<Option<Arc<Converter>>, Failure> {
    let Some(program) = settings.media.ffmpeg() else { return Ok(None) };
    let scratch = settings.data_dir.join("convert.tmp");
    tracing::info!(program = %program.display(), "files are converted where a network demands it");
    let converter = Converter::new(program, scratch.clone());
    let failed = |error| Failure::environment(format!("{} cannot be made anew: {error}", scratch.display()));
    converter.map(|converter| Some(Arc::new(converter))).map_err(failed)
}

/// Makes the adapter of an account.
type Accounts = Arc<dyn Fn(&NetworkId) -> Arc<dyn Adapter> + Send + Sync>;

fn factory(accounts: Accounts) -> AdapterFactory {
    Arc::new(move |row: &AccountRow| accounts(&row.network))
}

fn accounts(
    settings: &Settings,
    converter: Option<Arc<Converter>>,
    counters: &Arc<Counters>,
) -> Result<Accounts, Failure> {
    let counters = Arc::clone(counters);
    let on_synced = OnSynced::new(move |took| counters.synced(took));
    let section = settings.wechat.clone();
    let sends_per_minute = settings.limits.sends_per_minute;
    let service = match section.service.as_str() {
        "" => None,
        url => Some(url.parse().map_err(|e| Failure::config(format!("wechat.service: {e}")))?),
    };
    let proxy = (!section.proxy.is_empty()).then(|| section.proxy.clone());
    let ways = Ways::new();
    // A proxy that cannot be used is told now and not by each account.
    ways.way(proxy.as_deref()).map_err(|e| Failure::config(format!("wechat.proxy: {e}")))?;
    Ok(Arc::new(move |network: &NetworkId| {
        let config = WechatConfig {
            service: service.clone(),
            proxy: proxy.clone(),
            profile: match section.profile {
                Profile::Desktop => WechatProfile::Desktop,
                Profile::Web => WechatProfile::Web,
            },
            max_media_bytes: section.max_media_bytes,
            converter: converter.clone(),
            emoji_as_faces: section.emoji_as_faces,
            remark_markers: section.remark_markers,
            sends_per_minute,
            on_synced: on_synced.clone(),
            ..WechatConfig::new(network.clone())
        };
        Arc::new(WechatAdapter::new(config, ways.clone())) as Arc<dyn Adapter>
    }))
}

/// Addresses and networks of a list. What is none was complained of when the configuration was read.
fn networks(list: &[String]) -> Vec<IpNet> {
    list.iter().filter_map(|text| parse_network(text)).collect()
}

/// Adds the IRC server and waits until it listens.
async fn add_irc(
    settings: &Settings,
    bridge: &Arc<Bridge>,
    links: &Arc<Links>,
) -> Result<Listening, Failure> {
    let section = &settings.irc.server;
    if !section.enabled {
        return Ok(Listening::default());
    }
    let network = NetworkId::from(IRC_NETWORK);
    let listen = ports::resolve(&section.listen, "irc.server.listen").await?;
    let tls_listen = ports::resolve(&section.tls_listen, "irc.server.tls_listen").await?;
    let websocket_listen = ports::resolve(&section.websocket_listen, "irc.server.websocket_listen").await?;
    ports::probe(&listen, "irc.server.listen").await?;
    ports::probe(&tls_listen, "irc.server.tls_listen").await?;
    ports::probe(&websocket_listen, "irc.server.websocket_listen").await?;
    let (tell, told) = watch::channel(None);
    let follow = Arc::clone(links);
    let follow = Arc::new(move |link: &str| follow.follow(link));
    let mut config = IrcServerConfig {
        filehost: Some(Filehost {
            url: links.upload(),
            is_local: settings.web.public_url.is_empty(),
            follow,
        }),
        listen,
        guests: match section.guests {
            GuestsChoice::Off => Guests::Off,
            GuestsChoice::Loopback => Guests::Loopback,
            GuestsChoice::Anywhere => Guests::Anywhere,
        },
        local_channels: match section.local_channels {
            LocalChannelsChoice::Off => LocalChannels::Off,
            LocalChannelsChoice::Ampersand => LocalChannels::Ampersand,
            LocalChannelsChoice::Hash => LocalChannels::Hash,
        },
        tls_listen,
        websocket_listen,
        websocket_origins: section.websocket_origins.clone(),
        sts_seconds: section.sts_seconds,
        proxy_from: networks(&section.proxy_from),
        forwarded: web::forwarded::client,
        tls_cert: set(&section.tls_cert).map(ToOwned::to_owned),
        tls_key: set(&section.tls_key).map(ToOwned::to_owned),
        motd_file: set(&section.motd_file).map(ToOwned::to_owned),
        on_bound: Some(Arc::new(move |bound: &Listening| {
            tell.send_replace(Some(bound.clone()));
        })),
        in_chinese: wxgate_wechat::in_chinese,
        ..IrcServerConfig::new(network.clone(), section.name.clone())
    };
    if !section.flood_control {
        config.limits.flood = None;
    }
    config.limits.hold = Duration::from_millis(section.join_lines_ms);
    config.limits.guests_per_address = section.guests_per_address;
    config.limits.users_in_hall = section.max_guests;
    bridge.add_network(Arc::new(IrcServerAdapter::new(config)), None);
    until_bound(bridge, &network, "the IRC server", told).await
}

/// Waits until a network tells where it listens, or why it cannot.
async fn until_bound<T: Clone>(
    bridge: &Arc<Bridge>,
    network: &NetworkId,
    what: &str,
    mut told: watch::Receiver<Option<T>>,
) -> Result<T, Failure> {
    let deadline = tokio::time::sleep(BIND_PATIENCE);
    tokio::pin!(deadline);
    loop {
        if let Some(bound) = told.borrow_and_update().clone() {
            return Ok(bound);
        }
        if let Some((_, Health::Down { why })) = bridge.health_of(network) {
            return Err(Failure::environment(format!("{what} cannot run: {why}")));
        }
        tokio::select! {
            _ = told.changed() => {}
            // Its health has no wake-up here; starting happens once.
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            () = &mut deadline => return Err(Failure::environment(format!("{what} does not come up"))),
        }
    }
}
