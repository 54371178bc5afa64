//! The words of the client-server API that a bridge needs: some thirty endpoints as plain types.
//!
//! Own words and no library of them: see docs/decisions/0007. One family per file; a type says what
//! it asks, [`Endpoint::call`] turns it into a request, `Reply` is what comes back. Unknown fields
//! are ignored, so that a newer homeserver is no trouble.
//!
//! Source of every endpoint: <https://spec.matrix.org/v1.16/client-server-api/>

pub(crate) mod account;
pub(crate) mod event;
#[cfg(feature = "encryption")]
pub(crate) mod keys;
pub(crate) mod media;
pub(crate) mod membership;
pub(crate) mod room;
pub(crate) mod server;
pub(crate) mod sync;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What stands for itself in a path: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One thing that is asked of a homeserver.
pub(crate) trait Endpoint: Sync {
    /// For errors and logs.
    const NAME: &'static str;
    /// Longest answer that is read. Source: the member list of a group of two thousand.
    const ANSWER_BYTES: usize = 8 << 20;
    /// What comes back.
    type Reply: DeserializeOwned + Send;
    /// The request.
    fn call(&self) -> Call;
}

/// A request as it goes out, identity and token aside.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// From the root, encoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    /// JSON; empty for none.
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// `base` is written as it is, segments are encoded.
    pub(crate) fn new(method: Method, base: &'static str, segments: &[&str]) -> Self {
        let mut path = base.to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        Self { method, path, query: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(base: &'static str, segments: &[&str]) -> Self {
        Self::new(Method::GET, base, segments)
    }

    pub(crate) fn put(base: &'static str, segments: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::PUT, base, segments).json(body)
    }

    pub(crate) fn post(base: &'static str, segments: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::POST, base, segments).json(body)
    }

    fn json(mut self, body: &impl Serialize) -> Self {
        // Our own words are always JSON; an empty body would be refused by the homeserver, not lost.
        self.body = serde_json::to_vec(body).unwrap_or_default();
        self
    }

    pub(crate) fn with_query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }
}

/// An answer that says nothing.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Nothing {}

/// A body that says nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_into_the_path() {
        let call = Call::get("/_matrix/client/v3/rooms", &["!a/b:x", "state", "m.é"]);
        assert_eq!(call.path, "/_matrix/client/v3/rooms/%21a%2Fb%3Ax/state/m.%C3%A9");
    }
}
