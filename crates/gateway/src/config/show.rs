//! The effective configuration, with secrets masked.

use config::ValueKind;
use serde::Serialize;
use url::Url;

use super::env::quoted;
use super::keys::{self, SECTIONS};
use super::{Loaded, Origin};

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

/// Every key in the order of the reference. Lists of sections are shown by their names only.
pub(crate) fn shown(loaded: &Loaded) -> Vec<ShownKey> {
    let mut all = Vec::new();
    for section in SECTIONS.iter().filter(|section| !section.is_list) {
        for key in section.keys {
            let path = keys::join(section.path, key.name);
            let value = loaded.layered.get::<config::Value>(&path);
            let value = value.map_or_else(|_| key.default.to_owned(), |value| toml(&value.kind));
            let origin = match loaded.origin(&path) {
                Origin::Default => "default".to_owned(),
                other => other.to_string(),
            };
            all.push(ShownKey { key: path, value: mask(&value), origin });
        }
    }
    all
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

fn has_secret(url: &Url) -> bool {
    is_known(url) || url.query().is_some_and(|query| query.split('&').any(|pair| is_secret(pair)))
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
