//! The host families, and which URLs from outside may be followed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::ProtoError;

/// What a host of a family is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostRole {
    /// Everything before the session exists.
    Login,
    /// The page and the API.
    Base,
    /// Upload and file download.
    File,
    /// The event long poll.
    Push,
}

/// One row of hosts that belong together; a session never leaves its row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Family {
    base: &'static str,
    login: &'static str,
    file: &'static str,
    push: &'static str,
}

/// The entry that the page itself is served from.
///
/// Source: the protocol sheet, section 1.1.
pub const WX: Family =
    Family { base: "wx.qq.com", login: "login.wx.qq.com", file: "file.wx.qq.com", push: "webpush.wx.qq.com" };

/// Where newer accounts often live.
///
/// Source: the protocol sheet, section 1.1.
pub const WX2: Family = Family {
    base: "wx2.qq.com",
    login: "login.wx2.qq.com",
    file: "file.wx2.qq.com",
    push: "webpush.wx2.qq.com",
};

/// A third domestic row.
///
/// Source: the protocol sheet, section 1.1.
pub const WX8: Family = Family {
    base: "wx8.qq.com",
    login: "login.wx8.qq.com",
    file: "file.wx8.qq.com",
    push: "webpush.wx8.qq.com",
};

/// The overseas row.
///
/// Source: the protocol sheet, section 1.1.
pub const WEB: Family = Family {
    base: "web.wechat.com",
    login: "login.web.wechat.com",
    file: "file.web.wechat.com",
    push: "webpush.web.wechat.com",
};

/// The second overseas row.
///
/// Source: the protocol sheet, section 1.1.
pub const WEB2: Family = Family {
    base: "web2.wechat.com",
    login: "login.web2.wechat.com",
    file: "file.web2.wechat.com",
    push: "webpush.web2.wechat.com",
};

/// All rows, in the order in which the base host is looked for as a substring.
///
/// Source: the protocol sheet, section 1.1 (selection rule): `wx2.qq.com`, `wx8.qq.com`, `qq.com`,
/// `web2.wechat.com`, `wechat.com`; the first hit wins.
pub const FAMILIES: [(&str, Family); 5] = [
    ("wx2.qq.com", WX2),
    ("wx8.qq.com", WX8),
    ("qq.com", WX),
    ("web2.wechat.com", WEB2),
    ("wechat.com", WEB),
];

/// What the page uses when no row fits.
///
/// Source: the protocol sheet, section 1.1 (the page's values when nothing matches).
pub const FALLBACK: Family = Family {
    base: "wx.qq.com",
    login: "login.weixin.qq.com",
    file: "file.wx.qq.com",
    push: "webpush.weixin.qq.com",
};

/// Serves the QR pictures and the text in them, whatever the family.
///
/// Source: the protocol sheet, sections 1.2 and 2.3.
pub const QR_HOST: &str = "login.weixin.qq.com";

impl Family {
    /// The row of a base host, by the page's substring rule.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        FAMILIES.iter().find(|(part, _)| host.contains(part)).map_or(FALLBACK, |(_, family)| *family)
    }

    /// The host for one use.
    #[must_use]
    pub const fn host(&self, role: HostRole) -> &'static str {
        match role {
            HostRole::Login => self.login,
            HostRole::Base => self.base,
            HostRole::File => self.file,
            HostRole::Push => self.push,
        }
    }

    /// The host of the page and the API.
    #[must_use]
    pub const fn base(&self) -> &'static str {
        self.base
    }
}

impl Default for Family {
    /// The usual entry before a login has assigned a row.
    fn default() -> Self {
        WX
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Family({})", self.base)
    }
}

impl Serialize for Family {
    /// A family is stored as its base host.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.base)
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|host| Self::of_host(&host))
    }
}

/// Host names of the service that are in no row.
///
/// Source: the protocol sheet, section 1.2. The telemetry and static hosts are left out: no URL
/// that this client follows points there.
pub const OTHER_HOSTS: [&str; 7] = [
    "login.weixin.qq.com",
    "webpush.weixin.qq.com",
    "webpush2.weixin.qq.com",
    "webpush.wechat.com",
    "webpush1.wechat.com",
    "webpush2.wechat.com",
    "file2.wx.qq.com",
];

/// Whether a host name is exactly one of the service's own.
#[must_use]
pub fn is_known_host(host: &str) -> bool {
    const ROLES: [HostRole; 4] = [HostRole::Base, HostRole::Login, HostRole::File, HostRole::Push];
    let known = |family: &Family| ROLES.iter().any(|role| host.eq_ignore_ascii_case(family.host(*role)));
    FAMILIES.iter().any(|(_, family)| known(family))
        || OTHER_HOSTS.iter().any(|other| host.eq_ignore_ascii_case(other))
}

/// Accepts a URL from outside only if it is HTTPS on the default port of a known host and carries
/// no user name.
///
/// # Errors
///
/// For every other URL: following it would hand a login ticket to a stranger.
pub fn check_redirect(text: &str) -> Result<Url, ProtoError> {
    const WHAT: &str = "redirect_uri";
    let refuse = |expected: &'static str| ProtoError::answer(WHAT, expected, text.as_bytes());
    let url = Url::parse(text.trim()).map_err(|_| refuse("a URL"))?;
    if url.scheme() != "https" {
        return Err(refuse("https"));
    }
    if url.port().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("a plain host without port or user name"));
    }
    if !url.host_str().is_some_and(is_known_host) {
        return Err(refuse("a host of the service"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_02_file_and_push_hosts_come_from_the_table() {
        for (host, push, file) in [
            ("wx.qq.com", "webpush.wx.qq.com", "file.wx.qq.com"),
            ("wx2.qq.com", "webpush.wx2.qq.com", "file.wx2.qq.com"),
            ("wx8.qq.com", "webpush.wx8.qq.com", "file.wx8.qq.com"),
            ("web.wechat.com", "webpush.web.wechat.com", "file.web.wechat.com"),
            ("web2.wechat.com", "webpush.web2.wechat.com", "file.web2.wechat.com"),
            ("wechat.com", "webpush.web.wechat.com", "file.web.wechat.com"),
            ("example.org", "webpush.weixin.qq.com", "file.wx.qq.com"),
        ] {
            let family = Family::of_host(host);
            assert_eq!((family.host(HostRole::Push), family.host(HostRole::File)), (push, file), "{host}");
        }
    }

    #[test]
    fn item_01_the_base_host_is_the_one_of_the_redirect() {
        let url =
            check_redirect("https://wx8.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A").unwrap();
        assert_eq!(Family::of_host(url.host_str().unwrap()), WX8);
    }

    #[test]
    fn only_https_on_a_known_host_is_followed() {
        for bad in [
            "http://wx2.qq.com/x",
            "https://wx2.qq.com.example.org/x",
            "https://evil-wx2.qq.com/x",
            "https://wx2.qq.com:8443/x",
            "https://a@wx2.qq.com/x",
            "https://wx2.qq.com@example.org/x",
            "https://127.0.0.1/x",
            "javascript:alert(1)",
            "/cgi-bin/x",
            "",
        ] {
            assert!(check_redirect(bad).is_err(), "{bad}");
        }
        assert!(check_redirect("https://WX2.qq.com/x").is_ok());
        assert!(is_known_host("login.weixin.qq.com") && !is_known_host("qq.com"));
    }

    #[test]
    fn a_family_is_stored_as_its_base_host() {
        for (_, family) in FAMILIES {
            let json = serde_json::to_string(&family).unwrap();
            assert_eq!(serde_json::from_str::<Family>(&json).unwrap(), family);
        }
    }
}
