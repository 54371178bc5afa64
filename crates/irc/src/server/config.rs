//! What the operator may set.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use ipnet::IpNet;
use wxgate_contract::{MediaId, NetworkId};

/// The addresses that were bound, each list in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Without TLS.
    pub plain: Vec<SocketAddr>,
    /// With TLS.
    pub tls: Vec<SocketAddr>,
    /// For WebSocket clients.
    pub websocket: Vec<SocketAddr>,
}

/// Is told the addresses.
pub type Bound = Arc<dyn Fn(&Listening) + Send + Sync>;

/// The built-in server.
#[derive(Clone)]
pub struct IrcServerConfig {
    /// Its network, `irc:local`.
    pub network: NetworkId,
    /// What it calls itself, ASCII without spaces.
    pub server_name: String,
    /// Listeners without TLS.
    pub listen: Vec<SocketAddr>,
    /// Listeners with TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// Listeners for WebSocket clients; TLS in front of them is a reverse proxy's.
    pub websocket_listen: Vec<SocketAddr>,
    /// Pages that may connect there, as their browsers name their origins; without any, all may.
    pub websocket_origins: Vec<String>,
    /// Reverse proxies: who comes from there says for whom, with the PROXY protocol, or over WebSocket with what
    /// `forwarded` reads.
    pub proxy_from: Vec<IpNet>,
    /// Reads from a WebSocket client's request for whom a reverse proxy speaks.
    pub forwarded: Forwarded,
    /// Certificate chain, PEM; read again when the file changes.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// How long clients that came once shall insist on TLS, in seconds; 0 takes it back. Told where TLS
    /// is spoken, and never to this machine.
    pub sts_seconds: u32,
    /// Message of the day, read at each MOTD.
    pub motd_file: Option<PathBuf>,
    /// The nick of the gateway itself.
    pub service_nick: String,
    /// Who may come in without a password. They see each other and nothing of WeChat.
    pub guests: Guests,
    /// Which names are channels of the users among themselves.
    pub local_channels: LocalChannels,
    /// Where clients hand files over, if somewhere. Source: soju.im/FILEHOST.
    pub filehost: Option<Filehost>,
    /// Puts what accounts say about themselves into Chinese; `None` for what is not theirs, or WeChat's own words.
    pub in_chinese: Translate,
    /// Bounds.
    pub limits: Limits,
    /// Called once everything listens.
    pub on_bound: Option<Bound>,
}

impl std::fmt::Debug for IrcServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IrcServerConfig")
            .field("network", &self.network)
            .field("server_name", &self.server_name)
            .field("listen", &self.listen)
            .field("tls_listen", &self.tls_listen)
            .field("websocket_listen", &self.websocket_listen)
            .finish_non_exhaustive()
    }
}

impl IrcServerConfig {
    /// The users of the gateway see each other.
    pub(super) fn has_hall(&self) -> bool {
        self.guests != Guests::Off || self.local_channels != LocalChannels::Off
    }

    /// The name is one that local channels have.
    pub(super) fn is_local_name(&self, name: &str) -> bool {
        match self.local_channels {
            LocalChannels::Off => false,
            LocalChannels::Ampersand => name.starts_with('&'),
            LocalChannels::Hash => name.starts_with(['&', '#']),
        }
    }

    /// The defaults, with no listener.
    pub fn new(network: NetworkId, server_name: impl Into<String>) -> Self {
        Self {
            network,
            server_name: server_name.into(),
            listen: Vec::new(),
            tls_listen: Vec::new(),
            websocket_listen: Vec::new(),
            websocket_origins: Vec::new(),
            proxy_from: Vec::new(),
            forwarded: |proxy, _, _| proxy,
            tls_cert: None,
            tls_key: None,
            sts_seconds: 0,
            motd_file: None,
            service_nick: "wechat".to_owned(),
            guests: Guests::Off,
            local_channels: LocalChannels::Off,
            filehost: None,
            in_chinese: |_| None,
            limits: Limits::default(),
            on_bound: None,
        }
    }
}

/// From where a request comes that somebody handed over, by its headers and by who is known as a proxy.
pub type Forwarded = fn(IpAddr, &HeaderMap, &[IpNet]) -> IpAddr;

/// A sentence in another language, where it is one of ours.
pub type Translate = fn(&str) -> Option<String>;

/// The attachment that a link leads to, where all of it is one of ours and still holds.
pub type Follow = Arc<dyn Fn(&str) -> Option<MediaId> + Send + Sync>;

/// Where clients hand files over.
#[derive(Clone)]
pub struct Filehost {
    /// The address that takes them.
    pub url: String,
    /// It leads to this machine from everywhere: only clients here are told of it.
    pub is_local: bool,
    /// Reads its links back.
    pub follow: Follow,
}

/// Who may come in without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// Nobody.
    Off,
    /// Who connects from this machine, but not over WebSocket: any page in a browser of this machine
    /// could.
    Loopback,
    /// Everybody.
    Anywhere,
}

/// Which names are channels of the users among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalChannels {
    /// None.
    Off,
    /// `&name`.
    Ampersand,
    /// `&name`, and `#name` where it is no group of the account.
    Hash,
}

/// Bounds. Each protects the others from one client.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From connecting to the welcome.
    pub registration_timeout: Duration,
    /// Silence after which a client is asked whether it is there.
    pub ping_after: Duration,
    /// Silence after that question that ends the connection; so does asking and taking nothing for so long.
    pub ping_timeout: Duration,
    /// Bytes that may wait for a client; beyond it the connection is closed.
    pub sendq_bytes: usize,
    /// `None` switches flood control off (tests).
    pub flood: Option<Flood>,
    /// Connections that may share an account.
    pub connections_per_account: usize,
    /// Users that see each other, beyond which no guest comes in; who has an account does.
    pub users_in_hall: usize,
    /// Guests of one address; of IPv6, of one /64.
    pub guests_per_address: usize,
    /// The same for this machine itself, where a reverse proxy may be what everybody comes through.
    pub guests_on_loopback: usize,
    /// Connections of one address that have not registered yet; of IPv6, of one /64.
    pub unregistered_per_address: usize,
    /// The same for this machine itself, where all people of an instance may sit behind one address
    /// and reconnect at once after a restart.
    pub unregistered_on_loopback: usize,
    /// Pause after a wrong password.
    pub failed_login_pause: Duration,
    /// How long a line waits for the rest of what a client cut itself.
    pub hold: Duration,
    /// How long a line waits for it that may have been cut.
    pub long_hold: Duration,
    /// Lines per chat that a returning client gets.
    pub replay_per_chat: usize,
    /// Lines per chat that a new client name gets.
    pub first_replay_per_chat: usize,
    /// Lines looked at for one answer to SEARCH: the account's other clients wait meanwhile.
    pub searched_items: usize,
    /// Pause after which a client is asked to confirm what it was given.
    pub confirm_after: Duration,
    /// Pause between two such questions. irssi counts its answers against its own flood control
    /// (five commands, then one per 2.2 s): asked every other second it never gets to send what its
    /// user types. Seen in irssi 1.4.
    pub confirm_pause: Duration,
    /// How long a change of a store may take before the sender is told that it failed.
    pub commit_timeout: Duration,
}

/// A bucket of lines.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Lines that pass at once.
    pub burst: u32,
    /// Lines that pass per second after that; more have to wait, nothing is dropped.
    pub per_second: u32,
}

impl Limits {
    /// Bytes of one part of an answer about what was said. It has two parts at most, and comes on top of a quarter
    /// of the queue.
    pub(super) fn answer_bytes(&self) -> usize {
        self.sendq_bytes / 3
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            registration_timeout: Duration::from_secs(30),
            ping_after: Duration::from_secs(120),
            ping_timeout: Duration::from_secs(60),
            sendq_bytes: 1024 * 1024,
            flood: Some(Flood { burst: 10, per_second: 5 }),
            connections_per_account: 10,
            users_in_hall: 10_000,
            guests_per_address: 20,
            guests_on_loopback: 1000,
            unregistered_per_address: 3,
            unregistered_on_loopback: 1000,
            failed_login_pause: Duration::from_secs(1),
            searched_items: 50_000,
            hold: Duration::from_millis(300),
            long_hold: Duration::from_millis(3500),
            replay_per_chat: 100,
            first_replay_per_chat: 20,
            confirm_after: Duration::from_millis(200),
            confirm_pause: Duration::from_secs(5),
            commit_timeout: Duration::from_secs(10),
        }
    }
}
