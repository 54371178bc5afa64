//! For whom a reverse proxy speaks.
//!
//! Each proxy puts the address that it hears from at the end of a list. What stands in front of the first address that
//! no proxy of ours vouches for was said by a stranger, who may say anything.
//!
//! Source: RFC 7239 (`Forwarded`); `X-Forwarded-For` as nginx, HAProxy and Caddy write it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// Hops that are looked at. Chosen: far more proxies than stand behind each other.
const HOPS: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from that `peer` handed over. Where the two headers differ, a client wrote one of them and the
/// proxy let it pass: nobody is believed then.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    if !is_of(peer, proxies) {
        return peer;
    }
    let said = [
        last_stranger(peer, proxies, hops(headers, &X_FORWARDED_FOR, address)),
        last_stranger(peer, proxies, hops(headers, &header::FORWARDED, forwarded_for)),
    ];
    match said {
        [Some(one), Some(other)] if one != other => peer,
        [one, other] => one.or(other).unwrap_or(peer),
    }
}

/// Whether a request says that somebody sent it on.
pub(super) fn is_relayed(headers: &HeaderMap) -> bool {
    let names = [X_FORWARDED_FOR, header::FORWARDED, header::VIA, HeaderName::from_static("x-real-ip")];
    names.iter().any(|name| headers.contains_key(name))
}

/// Whether an address is one of these networks.
pub(super) fn is_of(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The hops of all lines of a header, the last first; `None` for one that is no address.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
) -> impl Iterator<Item = Option<IpAddr>> + 'a {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("")).collect();
    let backwards = lines.into_iter().rev().flat_map(|line| line.rsplit(','));
    backwards.take(HOPS).map(move |hop| read(hop.trim()))
}

/// The first hop from the end that is no proxy of ours; the last proxy where there is none, or where it hides it.
/// `None` without any hop.
fn last_stranger(
    peer: IpAddr,
    proxies: &[IpNet],
    hops: impl Iterator<Item = Option<IpAddr>>,
) -> Option<IpAddr> {
    let mut found = None;
    for hop in hops {
        let Some(hop) = hop else { return Some(found.unwrap_or(peer)) };
        found = Some(hop);
        if !is_of(hop, proxies) {
            break;
        }
    }
    found
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let found = text.parse::<IpAddr>().ok().or_else(bare).or_else(with_port)?;
    Some(found.to_canonical())
}

/// The `for` of `for="[2001:db8::1]:4711";proto=https;by=203.0.113.43`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies() -> Vec<IpNet> {
        ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect()
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";

    #[test]
    fn a_listed_proxy_says_who_comes() {
        for (lines, wanted) in [
            (vec![(XFF, "203.0.113.7")], "203.0.113.7"),
            (vec![(XFF, "203.0.113.7:4711")], "203.0.113.7"),
            (vec![(XFF, "2001:db8::7")], "2001:db8::7"),
            (vec![(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
            (vec![(XFF, "::ffff:203.0.113.7")], "203.0.113.7"),
            (vec![(FWD, "for=203.0.113.7;proto=https;by=203.0.113.43")], "203.0.113.7"),
            (vec![(FWD, "Proto=https; For=\"[2001:db8::7]:4711\"")], "2001:db8::7"),
            (vec![(XFF, "203.0.113.7"), (FWD, "for=203.0.113.7")], "203.0.113.7"),
            (vec![], "127.0.0.1"),
        ] {
            let found = client("127.0.0.1".parse().unwrap(), &headers(&lines), &proxies());
            assert_eq!(found.to_string(), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        for (lines, wanted, why) in [
            (vec![(XFF, "1.1.1.1, 203.0.113.7")], "203.0.113.7", "the last is the proxy's"),
            (vec![(XFF, "1.1.1.1"), (XFF, "203.0.113.7")], "203.0.113.7", "in two lines"),
            (vec![(XFF, "1.1.1.1, 203.0.113.7, 10.1.2.3")], "203.0.113.7", "two proxies"),
            (vec![(XFF, "10.9.9.9, 203.0.113.7, 10.1.2.3")], "203.0.113.7", "as if through a proxy of ours"),
            (vec![(FWD, "for=1.1.1.1, for=203.0.113.7, for=\"[fd00::1]\"")], "203.0.113.7", "the same"),
            (vec![(FWD, "for=\"1.1.1.1, for=203.0.113.7")], "203.0.113.7", "an open quote"),
            (vec![(XFF, "203.0.113.7"), (FWD, "for=1.1.1.1")], "127.0.0.1", "the headers differ"),
            (vec![(XFF, "1.1.1.1, unknown")], "127.0.0.1", "the proxy hides it"),
            (vec![(XFF, "1.1.1.1, _hidden, 10.1.2.3")], "10.1.2.3", "the one behind it hides it"),
            (vec![(FWD, "for=1.1.1.1, proto=https")], "127.0.0.1", "nobody is named"),
            (vec![(XFF, "")], "127.0.0.1", "empty"),
            (vec![(XFF, "10.1.2.3, 10.1.2.4")], "10.1.2.3", "the proxies among themselves"),
        ] {
            let found = client("127.0.0.1".parse().unwrap(), &headers(&lines), &proxies());
            assert_eq!(found.to_string(), wanted, "{why}: {lines:?}");
        }
    }

    #[test]
    fn who_is_not_listed_speaks_for_nobody() {
        let lines = headers(&[(XFF, "203.0.113.7"), (FWD, "for=203.0.113.7")]);
        for peer in ["192.0.2.1", "127.0.0.2", "2001:db8::1"] {
            assert_eq!(client(peer.parse().unwrap(), &lines, &proxies()).to_string(), peer);
        }
        assert_eq!(client("127.0.0.1".parse().unwrap(), &lines, &[]).to_string(), "127.0.0.1");
        assert!(is_relayed(&lines) && !is_relayed(&headers(&[("accept", "*/*")])));
    }

    #[test]
    fn a_long_list_is_read_from_its_end_and_not_whole() {
        let long = format!("203.0.113.7{}", ", 10.0.0.1".repeat(10_000));
        let mut lines = HeaderMap::new();
        lines.insert(X_FORWARDED_FOR, HeaderValue::from_str(&long).unwrap());
        assert_eq!(client("127.0.0.1".parse().unwrap(), &lines, &proxies()).to_string(), "10.0.0.1");
    }

    #[test]
    fn whatever_stands_in_front_the_end_decides() {
        let noise = [
            "",
            ",",
            ",,;",
            "\"",
            "\\\"",
            "for=",
            "for=\"",
            "[",
            "]:",
            "[::1",
            ";;;=",
            "for=for=1.1.1.1;",
            "%",
            "1.1.1.1;",
        ];
        for noise in noise {
            for (name, end) in [(FWD, "for=203.0.113.7"), (XFF, "203.0.113.7")] {
                let mut lines = HeaderMap::new();
                let value = HeaderValue::from_str(&format!("{noise},{end}")).unwrap();
                lines.insert(HeaderName::from_static(name), value);
                let found = client("127.0.0.1".parse().unwrap(), &lines, &proxies());
                assert_eq!(found.to_string(), "203.0.113.7", "{noise}");
            }
        }
    }
}
