//! A token that does not show itself.

use ring::digest;
use ring::hmac;

/// A token. Its `Debug` tells nothing, and it compares in constant time.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes a token as it stands in its file, without the line break at its end.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().trim().to_owned())
    }

    /// True when nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares with what somebody presents. The time it takes says nothing about where they
    /// differ: both are compared as keyed hashes, by a comparison made for that.
    pub(crate) fn is(&self, presented: &str) -> bool {
        let key =
            hmac::Key::new(hmac::HMAC_SHA256, digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref());
        let tag = hmac::sign(&key, self.0.as_bytes());
        !self.0.is_empty() && hmac::verify(&key, presented.as_bytes(), tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        let token = Secret::new("hs_token\n");
        assert!(token.is("hs_token"));
        assert!(!token.is("hs_tokem") && !token.is("") && !token.is("hs_token "));
        assert!(!Secret::default().is(""), "no token is set: nobody is let in");
        assert_eq!(format!("{token:?}"), "Secret(…)");
    }
}
