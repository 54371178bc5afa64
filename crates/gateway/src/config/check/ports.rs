//! Two listeners on one port: the second could never start.

use std::net::{IpAddr, SocketAddr};

use super::Complaints;
use crate::config::Settings;

/// Complains of each address that an earlier one takes already.
pub(super) fn check(settings: &Settings, complaints: &mut Complaints) {
    let all = listeners(settings);
    for (at, (key, address)) in all.iter().enumerate() {
        let earlier = all.iter().take(at).find(|(_, other)| overlap(address, other));
        if let Some((other_key, other)) = earlier {
            let message = match key == other_key && address == other {
                true => format!("{address} is named twice"),
                false => format!("{address} is taken by {other_key}, which is {other}"),
            };
            complaints.add(key, message);
        }
    }
}

/// Every address that this configuration listens on, with its key.
fn listeners(settings: &Settings) -> Vec<(&'static str, &str)> {
    let mut all = vec![
        ("web.listen", settings.web.listen.as_str()),
        ("instance.listen", settings.instance.listen.as_str()),
    ];
    let server = &settings.irc.server;
    if server.enabled {
        for (key, list) in [
            ("irc.server.listen", &server.listen),
            ("irc.server.tls_listen", &server.tls_listen),
            ("irc.server.websocket_listen", &server.websocket_listen),
        ] {
            all.extend(list.iter().map(|address| (key, address.as_str())));
        }
    }
    all.extend(settings.irc.ident.listen.iter().map(|address| ("irc.ident.listen", address.as_str())));
    if settings.matrix.appservice.enabled {
        all.push(("matrix.appservice.listen", &settings.matrix.appservice.listen));
    }
    all
}

/// Whether both cannot be listened on at once. Port 0 is another one each time.
fn overlap(one: &str, other: &str) -> bool {
    let parts = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let ip = address.parse::<SocketAddr>().map(|address| address.ip());
        // A name that is looked up; the one that everybody has is known.
        let ip = ip.ok().or_else(|| (host == "localhost").then_some(IpAddr::from([127, 0, 0, 1])));
        Some((host.to_owned(), port, ip))
    };
    let (Some((host, port, ip)), Some((other_host, other_port, other_ip))) = (parts(one), parts(other))
    else {
        return false;
    };
    if port != other_port || port == 0 {
        return false;
    }
    match (ip, other_ip) {
        (Some(ip), Some(other)) => ip == other || covers(ip, other) || covers(other, ip),
        _ => host == other_host,
    }
}

/// Whether listening on `every` takes the port of `one` too: "::" takes IPv4 along.
fn covers(every: IpAddr, one: IpAddr) -> bool {
    every.is_unspecified() && (every.is_ipv6() || one.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use config::{Config, File, FileFormat};

    use super::*;
    use crate::config::keys::{Key, Kind, SECTIONS, defaults, join};

    fn settings(text: &str) -> Settings {
        let toml = |text: &str| File::from_str(text, FileFormat::Toml);
        let layered = Config::builder().add_source(toml(&defaults())).add_source(toml(text)).build();
        layered.and_then(Config::try_deserialize).unwrap()
    }

    #[test]
    fn every_key_that_is_listened_on_is_looked_at() {
        let text = "[irc.server]\nlisten = [\"a:1\"]\ntls_listen = [\"a:2\"]\nwebsocket_listen = [\"a:3\"]\n\
                    [irc.ident]\nlisten = [\"a:4\"]\n[matrix.appservice]\nenabled = true\n";
        let settings = settings(text);
        let looked_at: BTreeSet<&str> = listeners(&settings).into_iter().map(|(key, _)| key).collect();
        let is_listener =
            |key: &&Key| matches!(key.kind, Kind::Address | Kind::Addresses) && key.name.ends_with("listen");
        let there_are: BTreeSet<String> = SECTIONS
            .iter()
            .flat_map(|section| {
                section.keys.iter().filter(is_listener).map(|key| join(section.path, key.name))
            })
            .collect();
        assert!(there_are.iter().map(String::as_str).eq(looked_at), "{there_are:?}");
    }

    #[test]
    fn addresses_overlap_by_port_and_by_what_stands_for_all() {
        for (one, other, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("localhost:80", "127.0.0.1:80", true),
            ("wx.example.org:80", "wx.example.org:80", true),
            ("wx.example.org:80", "192.0.2.1:80", false),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (wanted, wanted), "{one} {other}");
        }
    }
}
