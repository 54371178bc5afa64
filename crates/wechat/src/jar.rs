//! The cookies of one account.
//!
//! A small jar of our own: one account has about ten cookies, a thousand accounts must not carry
//! a thousand general-purpose stores, and the keys are the service's *logical* hosts even when a
//! configured service stands for all of them. Domains are matched as browsers do.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use wechat_proto::{Secret, hosts};

/// More cookies than this are not kept: the service has ten. Chosen.
const MAX_COOKIES: usize = 64;
/// A longer name and value are refused, as browsers do. Chosen: 4 KiB.
const MAX_COOKIE_BYTES: usize = 4096;
/// What seems to have expired is still sent for so long. Chosen: a clock that was set forward by hours, or that is
/// wrong at a start, must sign nobody out; whether a cookie is still good is for the service to say.
const GRACE_MS: i64 = 86_400_000;
/// A value whose end moves on by less is not written to disk again. Chosen: the service moves the end of its twelve
/// hours with every answer, and what lies on the disk must not be older than a restart may find it.
/// Source: the protocol sheet, section 2.1.5 (lifetime of the login cookies).
const RENEWED_MS: u64 = 3_600_000;
/// Domains that stand for everybody, not for the service.
const PUBLIC: [&str; 4] = ["com", "cn", "net", "com.cn"];

/// One cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cookie {
    #[serde(rename = "n")]
    name: Box<str>,
    #[serde(rename = "v")]
    value: Box<str>,
    /// Without a leading dot.
    #[serde(rename = "d")]
    domain: Box<str>,
    /// The domain is one host, not a tree of hosts.
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    host_only: bool,
    #[serde(rename = "p", default = "root", skip_serializing_if = "is_root")]
    path: Box<str>,
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    secure: bool,
    /// Milliseconds since the epoch; `None` is the end of the session.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
}

fn root() -> Box<str> {
    "/".into()
}

fn is_root(path: &str) -> bool {
    path == "/"
}

/// Which host a request goes to, seen by the service, and whether somebody stands in for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The service's own host name.
    pub(crate) host: &'a str,
    /// Path of the request.
    pub(crate) path: &'a str,
    /// The host that was really asked, when a configured service stands for all hosts.
    pub(crate) stand_in: Option<&'a str>,
}

/// The cookies of one account.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Jar(Vec<Cookie>);

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|cookie| format!("{}@{}=…", cookie.name, cookie.domain));
        f.debug_list().entries(entries).finish()
    }
}

impl Jar {
    /// Keeps what an answer sets; says whether anything changed.
    pub(crate) fn keep(&mut self, place: Place<'_>, headers: &HeaderMap, now_ms: i64) -> bool {
        let mut changed = false;
        let ahead_ms = ahead_ms(headers, now_ms);
        for line in headers.get_all(header::SET_COOKIE) {
            // The service writes ASCII; what is not UTF-8 could not be sent back unchanged.
            let Ok(line) = line.to_str() else { continue };
            let cookie = parse(place, line, now_ms, ahead_ms);
            changed |= cookie.is_some_and(|cookie| self.put(cookie, now_ms));
        }
        changed
    }

    fn put(&mut self, cookie: Cookie, now_ms: i64) -> bool {
        let same =
            |old: &Cookie| old.name == cookie.name && old.domain == cookie.domain && old.path == cookie.path;
        let is_expired = cookie.expires_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if is_expired {
            let before = self.0.len();
            self.0.retain(|old| !same(old));
            return self.0.len() < before;
        }
        if let Some(old) = self.0.iter_mut().find(|old| same(old)) {
            let is_renewed = match (old.expires_ms, cookie.expires_ms) {
                (Some(old), Some(new)) => new.abs_diff(old) >= RENEWED_MS,
                (old, new) => old != new,
            };
            let changed = old.value != cookie.value || is_renewed;
            if changed {
                *old = cookie;
            }
            return changed;
        }
        let has_room = self.0.len() < MAX_COOKIES;
        if has_room {
            self.0.push(cookie);
        }
        has_room
    }

    /// The `Cookie` header for a request; longer paths first, as browsers do.
    pub(crate) fn header(&self, place: Place<'_>, now_ms: i64) -> Option<HeaderValue> {
        let is_good = |at_ms: i64| at_ms.saturating_add(GRACE_MS) > now_ms;
        let fits = |cookie: &&Cookie| covers(cookie, place) && cookie.expires_ms.is_none_or(is_good);
        let mut found: Vec<&Cookie> = self.0.iter().filter(fits).collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> =
            found.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value of a cookie, wherever it belongs.
    pub(crate) fn value(&self, name: &str) -> Option<Secret> {
        self.0.iter().rev().find(|cookie| &*cookie.name == name).map(|cookie| Secret::new(&*cookie.value))
    }

    /// After a sign-out: all but what a later push login needs.
    ///
    /// Source: the protocol sheet, section 5.9.
    pub(crate) fn keep_long_lived(&mut self) {
        const LONG_LIVED: [&str; 6] =
            ["webwxuvid", "webwx_auth_ticket", "wxuin", "mm_lang", "wxpluginkey", "wxloadtime"];
        self.0.retain(|cookie| LONG_LIVED.contains(&&*cookie.name));
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

fn covers(cookie: &Cookie, place: Place<'_>) -> bool {
    // Requests under a configured service are HTTPS as far as the service's words go.
    let in_domain = if cookie.host_only {
        place.host.eq_ignore_ascii_case(&cookie.domain)
    } else {
        is_within(place.host, &cookie.domain)
    };
    in_domain && path_covers(&cookie.path, place.path)
}

/// Whether `host` is `domain` or below it.
fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.as_bytes(), domain.as_bytes());
    let Some(split) = host.len().checked_sub(domain.len()) else { return false };
    let (head, tail) = host.split_at(split);
    tail.eq_ignore_ascii_case(domain) && (head.is_empty() || head.ends_with(b"."))
}

fn path_covers(covering: &str, path: &str) -> bool {
    path.strip_prefix(covering)
        .is_some_and(|rest| rest.is_empty() || covering.ends_with('/') || rest.starts_with('/'))
}

/// How far our clock is ahead of the one by which the service writes its dates.
fn ahead_ms(headers: &HeaderMap, now_ms: i64) -> i64 {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(http_date_ms);
    date.map_or(0, |date_ms| now_ms.saturating_sub(date_ms))
}

/// Reads one `Set-Cookie` line; `None` for what must not be kept.
fn parse(place: Place<'_>, line: &str, now_ms: i64, ahead_ms: i64) -> Option<Cookie> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty()
        || name.len() + value.len() > MAX_COOKIE_BYTES
        || value.contains(|c: char| c.is_control())
    {
        return None;
    }
    let (mut domain, mut path, mut secure) = (None, None, false);
    let (mut expires_ms, mut max_age) = (None, None);
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "domain" => domain = Some(value.trim_start_matches('.')).filter(|domain| !domain.is_empty()),
            "path" if value.starts_with('/') => path = Some(value),
            "secure" => secure = true,
            "max-age" => max_age = value.parse::<i64>().ok(),
            "expires" => expires_ms = http_date_ms(value).map(|at_ms| at_ms.saturating_add(ahead_ms)),
            _ => {}
        }
    }
    if let Some(seconds) = max_age {
        expires_ms = Some(now_ms.saturating_add(seconds.saturating_mul(1000)));
    }
    let (domain, host_only) = scope(place, domain)?;
    let path = path.unwrap_or_else(|| default_path(place.path));
    Some(Cookie {
        name: name.into(),
        value: value.into(),
        domain,
        host_only,
        path: path.into(),
        secure,
        expires_ms,
    })
}

/// The domain a cookie is kept for, and whether it is that host alone; `None` for foreign ones.
fn scope(place: Place<'_>, domain: Option<&str>) -> Option<(Box<str>, bool)> {
    let domain = domain.map(str::to_ascii_lowercase);
    if let Some(stand_in) = place.stand_in
        && domain.as_deref().is_none_or(|domain| domain.eq_ignore_ascii_case(stand_in))
    {
        // One server stands for all hosts of the family: what it sets for itself, all of them get.
        let tree = if is_within(place.host, "wechat.com") { "wechat.com" } else { "qq.com" };
        return Some((tree.into(), false));
    }
    match domain {
        None => Some((place.host.to_ascii_lowercase().into(), true)),
        Some(domain) if PUBLIC.contains(&domain.as_str()) => None,
        // A stand-in cannot know which of the hosts was meant, so any known tree is its own.
        Some(domain) if is_within(place.host, &domain) => Some((domain.into(), false)),
        Some(domain) if place.stand_in.is_some() && is_ours(&domain) => Some((domain.into(), false)),
        Some(_) => None,
    }
}

fn is_ours(domain: &str) -> bool {
    hosts::is_known_host(domain) || domain == "qq.com" || domain == "wechat.com"
}

/// The directory of the request. Source: RFC 6265, section 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => path.get(..end).unwrap_or("/"),
    }
}

/// Reads `Wed, 21 Oct 2015 07:28:00 GMT` and its dashed form; `None` for everything else.
fn http_date_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (_, rest) = text.split_once(',')?;
    let mut words = rest.split([' ', '-']).filter(|word| !word.is_empty());
    let day: i64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?.to_ascii_lowercase();
    let month = i64::try_from(MONTHS.iter().position(|name| month.starts_with(name))?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok().filter(|year| (0..=9999).contains(year))?;
    let year = if year < 70 {
        year + 2000
    } else if year < 100 {
        year + 1900
    } else {
        year
    };
    let mut clock =
        words.next()?.split(':').map(|part| part.parse::<i64>().ok().filter(|n| (0..=60).contains(n)));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since the epoch by the civil calendar: years that begin in March make the leap day last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests;
