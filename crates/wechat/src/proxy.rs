//! Which way out one account takes, where it is not the one of all.

use bytes::Bytes;
use url::Url;
use wxgate_contract::{FarEnd, FarError, NetworkId, Note};

use crate::own::OwnError;

/// The note of an account that says its way out. It is sealed: the address may hold a password.
const NOTE: &str = "way-out";
/// No proxy, whatever the others take.
const DIRECT: &str = "direct";
/// What reqwest carries connections through.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];
/// Longest address in bytes. Chosen: a host name, a name and a password of the longest kind.
const MAX_BYTES: usize = 1024;

/// The way out of one account.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum WayOut {
    /// As `wechat.proxy` says.
    #[default]
    AsAll,
    /// No proxy.
    Direct,
    /// A proxy's address.
    Proxy(String),
}

impl WayOut {
    /// `default`, `direct`, or the address of a proxy.
    ///
    /// # Errors
    /// A sentence without the address, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "default" => return Ok(Self::AsAll),
            DIRECT => return Ok(Self::Direct),
            _ => {}
        }
        let is_proxy = |url: &Url| SCHEMES.contains(&url.scheme()) && url.has_host();
        match Url::parse(text) {
            Ok(url) if is_proxy(&url) && text.len() <= MAX_BYTES => Ok(Self::Proxy(text.to_owned())),
            _ => Err("must be \"default\", \"direct\", or http://HOST:PORT or socks5://HOST:PORT".to_owned()),
        }
    }

    /// For people: as it was given, without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::AsAll => "default".to_owned(),
            Self::Direct => DIRECT.to_owned(),
            Self::Proxy(address) => match Url::parse(address) {
                Ok(mut url) if url.password().is_some() => {
                    // Only an address without a host refuses a password.
                    let _ = url.set_password(Some("masked"));
                    url.to_string()
                }
                _ => address.clone(),
            },
        }
    }

    /// The note that keeps it.
    #[must_use]
    pub fn note(&self) -> Note {
        let value = match self {
            Self::AsAll => None,
            Self::Direct => Some(Bytes::from_static(DIRECT.as_bytes())),
            Self::Proxy(address) => Some(Bytes::from(address.clone())),
        };
        Note { key: NOTE.to_owned(), value, is_secret: true }
    }

    /// The way out of an account.
    ///
    /// # Errors
    /// `Far` when the store cannot be read now, `Unreadable` when somebody has to set it anew.
    pub async fn of(far: &dyn FarEnd, account: &NetworkId) -> Result<Self, OwnError> {
        let unreadable = || OwnError::Unreadable { account: account.name().to_owned(), what: "proxy" };
        let value = match far.note(account, NOTE).await {
            // Without its own way the account would be seen at another address.
            Err(FarError::Sealed { .. }) => return Err(unreadable()),
            other => other?,
        };
        let Some(value) = value else { return Ok(Self::AsAll) };
        Self::parse(&String::from_utf8_lossy(&value)).map_err(|_| unreadable())
    }

    /// The proxy of an account where all others take `all`.
    pub(crate) fn proxy(&self, all: Option<&str>) -> Option<String> {
        match self {
            Self::AsAll => all.map(str::to_owned),
            Self::Direct => None,
            Self::Proxy(address) => Some(address.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_told_from_nonsense_and_shown_without_its_password() {
        for (text, shown) in [
            ("default", "default"),
            ("direct", "direct"),
            ("socks5h://10.0.0.1:1080", "socks5h://10.0.0.1:1080"),
            ("http://me:hunter2@proxy.example:3128", "http://me:masked@proxy.example:3128/"),
        ] {
            assert_eq!(WayOut::parse(text).unwrap().shown(), shown);
        }
        for text in
            ["", "proxy.example:3128", "ftp://proxy.example", "http://", "me:hunter2@host", "socks5:1080"]
        {
            let why = WayOut::parse(text).err().unwrap();
            assert!(why.contains("socks5://HOST:PORT") && !why.contains("hunter2"), "{text}: {why}");
        }
    }

    #[test]
    fn an_account_takes_its_own_way_before_that_of_all() {
        let all = Some("http://all:1");
        let proxy = |text: &str| WayOut::parse(text).unwrap().proxy(all);
        assert_eq!(proxy("default").as_deref(), all);
        assert_eq!(proxy("direct"), None);
        assert_eq!(proxy("http://own:2").as_deref(), Some("http://own:2"));
    }
}
