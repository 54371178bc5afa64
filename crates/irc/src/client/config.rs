//! What the operator may set.

use std::path::PathBuf;
use std::time::Duration;

use encoding_rs::Encoding;
use wxgate_contract::NetworkId;

use super::ident::Ident;
use super::source::SourcePrefix;

/// A network that is joined as a guest.
#[derive(Clone, Debug)]
pub struct IrcClientConfig {
    /// Its network, `irc:NAME`.
    pub network: NetworkId,
    /// `HOST:PORT` of a server; every address behind the name is tried.
    pub address: String,
    /// TLS, unless `None`.
    pub tls: Option<Tls>,
    /// The nick that is wanted.
    pub nick: String,
    /// File with the server's own password (`PASS`).
    pub password_file: Option<PathBuf>,
    /// How to sign in at the network's services.
    pub sasl: Option<Sasl>,
    /// File with the password for NickServ, for networks without SASL.
    pub nickserv_file: Option<PathBuf>,
    /// What lines that are not UTF-8 are taken for.
    pub charset: &'static Encoding,
    /// Colour the names of people.
    pub colours: bool,
    /// Take what bots say.
    pub relay_bots: bool,
    /// Tell who comes and goes.
    pub show_joins: bool,
    /// Tell who recalled something, where the network cannot take it back.
    pub tell_recalls: bool,
    /// Connections for people who speak; `None`: the relay speaks for everybody.
    pub puppets: Option<Puppets>,
    /// Where servers ask who is behind a connection, if anywhere.
    pub ident: Option<Ident>,
    /// Bounds.
    pub limits: Limits,
}

/// How the network's certificate is judged, and ours shown.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// SHA-256 of the only certificate to be taken; otherwise the system's authorities judge.
    pub fingerprint: Option<[u8; 32]>,
    /// Our certificate and its key (PEM), for SASL EXTERNAL.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// An account at the network's services.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// Its name; may be empty with a certificate.
    pub user: String,
    /// File with the password; without one the certificate signs in.
    pub password_file: Option<PathBuf>,
}

/// Connections for people who speak.
#[derive(Clone, Debug)]
pub struct Puppets {
    /// Most of them at once.
    pub most: usize,
    /// `{nick}` stands for the person's name.
    pub nick: String,
    /// Without having spoken for this long, one leaves.
    pub idle: Duration,
    /// Each connects from an address of its own in it.
    pub from: Option<SourcePrefix>,
}

/// How fast lines may follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Lines that pass at once.
    pub burst: f64,
    /// Lines per second after that.
    pub per_second: f64,
}

/// The penalty of RFC 1459, 8.10: two seconds a line, ten seconds ahead.
pub(super) const GENTLE: Rate = Rate { burst: 5.0, per_second: 0.5 };
/// Where the network says SAFERATE it does not end a client that keeps to this.
/// Source: the IRC notes, section 8.
pub(super) const SAFE: Rate = Rate { burst: 20.0, per_second: 4.0 };

/// Bounds. Times are chosen unless they name a source.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `None`: by what the network announces.
    pub rate: Option<Rate>,
    /// From connecting to the end of registration.
    pub registration: Duration,
    /// Silence after which the server is asked whether it is there.
    /// Source of this and the next: the IRC notes, section 8.
    pub ping_after: Duration,
    /// How long it may take to answer, and to confirm what was said.
    pub answer: Duration,
    /// First pause before connecting again; doubles up to `longest_pause`.
    /// Source of these three: the IRC notes, section 8.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The first pause when the server said that we come too fast.
    pub throttled_pause: Duration,
    /// A connection that lasted this long starts the pauses anew.
    pub stable: Duration,
    /// Pause before a channel is entered again after a kick or a refusal.
    pub rejoin: Duration,
    /// How long lines wait for the people of a channel that a netsplit emptied.
    pub company: Duration,
    /// What was said longer ago is late.
    pub late: Duration,
    /// Where so many wait behind what is late, they go as one text. Source: the IRC notes, section 8, where 500 lines
    /// are the end; chosen to be less, which is five minutes of one channel at the slower pace.
    pub many: usize,
    /// Between the connections of two people. Source: the IRC notes, section 8.
    pub puppet_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: None,
            registration: Duration::from_secs(60),
            ping_after: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(600),
            throttled_pause: Duration::from_secs(60),
            stable: Duration::from_secs(300),
            rejoin: Duration::from_secs(60),
            company: Duration::from_secs(60),
            late: Duration::from_secs(60),
            many: 100,
            puppet_pause: Duration::from_secs(5),
        }
    }
}

impl IrcClientConfig {
    /// The defaults: no TLS, nobody signed in.
    pub fn new(network: NetworkId, address: impl Into<String>, nick: impl Into<String>) -> Self {
        Self {
            network,
            address: address.into(),
            tls: None,
            nick: nick.into(),
            password_file: None,
            sasl: None,
            nickserv_file: None,
            charset: encoding_rs::WINDOWS_1252,
            colours: true,
            relay_bots: false,
            show_joins: false,
            tell_recalls: false,
            puppets: None,
            ident: None,
            limits: Limits::default(),
        }
    }
}
