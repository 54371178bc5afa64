//! Judges one value against the kind of its key.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::keys::Kind;

/// A text as complaints repeat it; not where it may hold a password.
pub(super) fn repeated(text: &str) -> String {
    if text.contains('@') { "what is written there".to_owned() } else { format!("{text:?}") }
}

/// Why `value` does not fit `kind`, if it does not. Keys inside records are judged by the caller.
pub(super) fn misfit(value: &DeValue<'_>, kind: Kind) -> Option<String> {
    let found = value.type_str();
    let wanted = |what: &str| Some(format!("must be {what}, not {}", with_article(found)));
    match kind {
        Kind::Flag => value.as_bool().map_or_else(|| wanted("true or false"), |_| None),
        Kind::Number { min, max } => match value {
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(n) if (min..=max).contains(&n) => None,
                _ => Some(format!("must be between {min} and {max}")),
            },
            _ => wanted(&format!("a whole number between {min} and {max}")),
        },
        Kind::Choice(words) => match value.as_str() {
            Some(word) if words.contains(&word) => None,
            Some(_) => Some(format!("must be {}", one_of(words))),
            None => wanted(&one_of(words)),
        },
        Kind::Addresses => match value.as_array() {
            Some(items) => items.iter().find_map(|item| match item.get_ref().as_str() {
                Some(text) => bad_address(text),
                None => wanted("a list of \"HOST:PORT\" texts"),
            }),
            None => wanted("a list of \"HOST:PORT\" texts"),
        },
        Kind::Origins => match value.as_array() {
            Some(items) => items.iter().find_map(|item| match item.get_ref().as_str() {
                Some(text) => (!is_origin(text))
                    .then(|| format!("{} is no origin such as \"https://chat.example.org\"", repeated(text))),
                None => wanted("a list of texts such as \"https://chat.example.org\""),
            }),
            None => wanted("a list of texts such as \"https://chat.example.org\""),
        },
        Kind::Networks => match value.as_array() {
            Some(items) => items.iter().find_map(|item| match item.get_ref().as_str() {
                Some(text) => parse_network(text).is_none().then(|| {
                    format!("{} is neither an address nor a network such as 10.0.0.0/8", repeated(text))
                }),
                None => wanted("a list of texts such as \"10.0.0.0/8\""),
            }),
            None => wanted("a list of texts such as \"10.0.0.0/8\""),
        },
        Kind::Record(_) | Kind::Words(_) => value.as_table().map_or_else(|| wanted("a table"), |_| None),
        Kind::Text | Kind::Address | Kind::Url | Kind::Proxy | Kind::File | Kind::SecretFile => {
            match value.as_str() {
                Some(text) => bad_text(text, kind),
                None => wanted("a text"),
            }
        }
    }
}

/// Why this word does not do in a table of words.
pub(super) fn bad_word(value: &DeValue<'_>, words: &[&str]) -> Option<String> {
    let fits = value.as_str().is_some_and(|word| words.contains(&word));
    (!fits).then(|| format!("must be {}", one_of(words)))
}

/// A scheme, a host and perhaps a port, as browsers write them: without a path. Source: RFC 6454, section 6.2.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
}

fn bad_text(text: &str, kind: Kind) -> Option<String> {
    if text.contains('\0') {
        return Some("must not contain a NUL".to_owned());
    }
    match kind {
        _ if text.is_empty() => None,
        Kind::Address => bad_address(text),
        Kind::Url => bad_url(text, &["http", "https"]),
        Kind::Proxy => bad_url(text, &["http", "https", "socks5", "socks5h"]),
        _ => None,
    }
}

fn bad_url(text: &str, schemes: &[&str]) -> Option<String> {
    match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && url.has_host() => None,
        Ok(url) if url.has_host() => Some(format!("must begin with {}", schemes.join(":// or ") + "://")),
        _ => Some(format!("{} is not an address such as {}://host:port", repeated(text), schemes.first()?)),
    }
}

/// `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
pub(crate) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `127.0.0.1:6667`, `[::1]:6667`, `localhost:6667`.
fn bad_address(text: &str) -> Option<String> {
    let told = repeated(text);
    let complaint = || Some(format!("{told} is not HOST:PORT"));
    if text.parse::<SocketAddr>().is_ok() {
        return None;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return complaint() };
    if port.parse::<u16>().is_err() {
        return Some(format!("{told} has no port between 0 and 65535"));
    }
    if host.parse::<Ipv6Addr>().is_ok() || host.contains(':') {
        return Some(format!("{told} must be written [ADDRESS]:PORT, as for every IPv6 address"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(fits) {
        return complaint();
    }
    None
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("one of {}", quoted.join(", "))
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}
