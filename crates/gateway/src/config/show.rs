//! The effective configuration, with secrets masked.

use config::{Value, ValueKind};
use serde::Serialize;
use url::Url;

use super::env::quoted;
use super::keys::{self, Key, SECTIONS};
use super::{Loaded, Origin, file};

/// One key as it is in force.
#[derive(Debug, Serialize)]
pub(crate) struct ShownKey {
    /// Dotted path.
    pub(crate) key: String,
    /// The value, written as TOML.
    pub(crate) value: String,
    /// Where it was set.
    pub(crate) origin: String,
}

/// Every key in the order of the reference; those of lists of sections for each entry, as `irc.network[0].name`.
pub(crate) fn shown(loaded: &Loaded) -> Vec<ShownKey> {
    let mut all = Vec::new();
    for section in SECTIONS {
        if section.is_list {
            let entries = loaded.layered.get_array(section.path).unwrap_or_default();
            for (number, values) in entries.into_iter().enumerate() {
                let values = values.into_table().unwrap_or_default();
                let path = file::entry(section.path, number);
                all.extend(section.keys.iter().map(|key| one(loaded, &path, key, values.get(key.name))));
            }
        } else {
            all.extend(section.keys.iter().map(|key| {
                let value = loaded.layered.get::<Value>(&keys::join(section.path, key.name));
                one(loaded, section.path, key, value.ok().as_ref())
            }));
        }
    }
    all
}

fn one(loaded: &Loaded, section: &str, key: &Key, value: Option<&Value>) -> ShownKey {
    let path = keys::join(section, key.name);
    let value = value.map_or_else(|| key.default.to_owned(), |value| toml(&value.kind));
    let origin = match loaded.origin(&path) {
        Origin::Default => "default".to_owned(),
        other => other.to_string(),
    };
    ShownKey { key: path, value: mask(&value), origin }
}

fn toml(value: &ValueKind) -> String {
    match value {
        ValueKind::Nil => quoted(""),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(n) => n.to_string(),
        ValueKind::I128(n) => n.to_string(),
        ValueKind::U64(n) => n.to_string(),
        ValueKind::U128(n) => n.to_string(),
        ValueKind::Float(n) => n.to_string(),
        ValueKind::String(text) => quoted(text),
        ValueKind::Table(table) => {
            let mut pairs: Vec<String> = table
                .iter()
                .map(|(name, value)| format!("{} = {}", quoted(name), toml(&value.kind)))
                .collect();
            pairs.sort();
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| toml(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// Hides who somebody is to the far side of an address, and with which password: `postgres://user:…@host`,
/// `http://token@proxy`, `postgres://host/db?password=…`.
fn mask(value: &str) -> String {
    let Some(text) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    match Url::parse(text) {
        Ok(url) if has_secret(&url) => quoted(masked(url).as_ref().map_or("masked", Url::as_str)),
        // An address that cannot be parsed may still hold a password.
        Err(_) if text.contains("://") && text.contains(['@', '?']) => quoted("masked"),
        _ => value.to_owned(),
    }
}

/// True for an address with a password in it, and not only a name.
pub(super) fn has_password(address: &str) -> bool {
    let has = |url: Url| {
        url.password().is_some() || url.query().is_some_and(|query| query.split('&').any(is_secret))
    };
    Url::parse(address).is_ok_and(has)
}

fn has_secret(url: &Url) -> bool {
    is_known(url) || url.query().is_some_and(|query| query.split('&').any(is_secret))
}

/// Somebody goes there as somebody.
fn is_known(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_secret(key: &str) -> bool {
    key.to_ascii_lowercase().contains("password")
}

/// The address without secrets; `None` when it cannot be written without.
fn masked(mut url: Url) -> Option<Url> {
    if is_known(&url) {
        url.set_username("masked").ok()?;
        url.set_password(None).ok()?;
    }
    if let Some(query) = url.query() {
        let told = |pair: &str| match pair.split_once('=') {
            Some((key, _)) if is_secret(key) => format!("{key}=masked"),
            _ => pair.to_owned(),
        };
        let told: Vec<String> = query.split('&').map(told).collect();
        url.set_query(Some(&told.join("&")));
    }
    Some(url)
}
