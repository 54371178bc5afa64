//! Text that must not reach a log.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A session key, ticket or cookie value: `Debug` prints `…`, there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for putting it into a request.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(empty)" } else { "…" })
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::flex::string(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_81_a_secret_is_not_printed() {
        let credentials = crate::Credentials {
            uin: 1,
            sid: "sid-value".into(),
            skey: "skey-value".into(),
            pass_ticket: "ticket-value".into(),
        };
        let text = format!("{credentials:?} {:?}", Secret::default());
        assert!(!text.contains("-value"), "{text}");
        assert!(text.contains('…') && text.contains("(empty)"));
    }
}
