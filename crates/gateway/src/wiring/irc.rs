//! IRC networks that are joined as guests.

use std::time::Duration;

use wxgate_contract::NetworkId;
use wxgate_irc::{Encoding, Ident, IrcClientAdapter, IrcClientConfig, Puppets, Rate, Sasl, Tls};

use super::IRC_KIND;
use crate::config::{IrcNetworkEntry, set};

/// Lines that pass at once when the operator has set a rate. Source: RFC 1459, 8.10: ten seconds
/// ahead, two seconds a line.
const BURST: f64 = 5.0;

/// Whoever has not spoken for so long has no connection any more. Source: the IRC notes, section 8.
const PUPPET_IDLE: Duration = Duration::from_secs(24 * 3600);

/// How the certificate of a network is judged, and ours shown; `None` without TLS.
pub(crate) fn tls_of(entry: &IrcNetworkEntry) -> Option<Tls> {
    let owned = |path| set(path).map(ToOwned::to_owned);
    let own = owned(&entry.tls_cert).zip(owned(&entry.tls_key));
    entry.tls.then(|| Tls { fingerprint: entry.fingerprint(), own })
}

/// The adapter of one entry; what it holds was checked with the configuration.
pub(super) fn guest(entry: &IrcNetworkEntry, ident: Option<Ident>) -> IrcClientAdapter {
    let network = NetworkId::new(format!("{IRC_KIND}:{}", entry.name));
    let mut config = IrcClientConfig::new(network, entry.address.clone(), entry.nick.clone());
    let owned = |path| set(path).map(ToOwned::to_owned);
    let has_certificate = set(&entry.tls_cert).and(set(&entry.tls_key)).is_some();
    config.tls = tls_of(entry);
    config.password_file = owned(&entry.password_file);
    let password_file = owned(&entry.sasl.password_file);
    config.sasl = (has_certificate || password_file.is_some())
        .then(|| Sasl { user: entry.sasl.user.clone(), password_file });
    config.nickserv_file = owned(&entry.nickserv_password_file);
    if let Some(charset) = Encoding::for_label(entry.charset.as_bytes()) {
        config.charset = charset;
    }
    config.colours = entry.colours;
    config.relay_bots = entry.bots;
    config.show_joins = entry.joins;
    config.tell_recalls = entry.recalls;
    config.puppets = entry.puppets.then(|| Puppets {
        most: entry.max_puppets,
        nick: entry.puppet_nick.clone(),
        idle: PUPPET_IDLE,
        // Empty where there is none; it was checked.
        from: entry.puppet_addresses.parse().ok(),
    });
    config.ident = ident;
    if entry.lines_per_minute > 0 {
        let per_second = f64::from(entry.lines_per_minute) / 60.0;
        config.limits.rate = Some(Rate { burst: BURST, per_second });
    }
    IrcClientAdapter::new(config)
}
