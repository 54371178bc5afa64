//! The session of the sheet's transcript, for the tests of the endpoints.

use std::{collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use http::{Request, Response};

use crate::{Call, Credentials, Profile, hosts};

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials {
    uin: 1_048_576_001,
    sid: "bXk+Vt/Rz0LpWn7s".into(),
    skey: "@crypt_5a1b2c3d_00112233445566778899aabbccddeeff".into(),
    pass_ticket: "Zk3/q0vT9+fixtureTicket0123456789abcdefghij=".into(),
});

/// A call in the plain profile on the family of the transcript.
pub(crate) fn call() -> Call<'static> {
    Call {
        credentials: Some(&CREDENTIALS),
        family: &hosts::WX2,
        profile: Profile::Web,
        lang: "zh_CN",
        user_agent: "Fixture/1",
        now_ms: 1_700_000_060_000,
        poll_counter_ms: 1_700_000_028_001,
        nonce: 42,
    }
}

/// The decoded query of a request.
pub(crate) fn query(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), crate::percent::decode(value)))
        .collect()
}

/// The body of a request as JSON.
pub(crate) fn body(request: &Request<Bytes>) -> serde_json::Value {
    serde_json::from_slice(request.body()).unwrap()
}

/// An answer with this body.
pub(crate) fn answer(body: impl Into<Bytes>) -> Response<Bytes> {
    Response::new(body.into())
}
