//! What every request needs to know besides its own fields.

use bytes::Bytes;
use http::{Method, Request, header};
use serde::{Deserialize, Serialize};

use crate::{Family, ProtoError, Secret, hosts::HostRole, percent};

/// As which client the gateway presents itself.
///
/// Source: the protocol sheet, section 2.1.6. The desktop profile is an allowance of the server
/// that can be withdrawn, so it is configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The page with `target=t`, in the shell of the UOS desktop.
    #[default]
    Desktop,
    /// The plain page.
    Web,
}

/// What the ticket exchange of a login gives; proves the session in every later request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The account's number, its only key that survives a login.
    pub uin: i64,
    /// `wxsid`.
    pub sid: Secret,
    /// `skey`; a non-empty `SKey` of a later answer replaces it.
    pub skey: Secret,
    /// `pass_ticket`, percent-decoded.
    pub pass_ticket: Secret,
}

/// The circumstances of one request.
///
/// Time and randomness are the caller's: `now_ms` and `nonce` are to be fresh for every request.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Absent before the ticket exchange.
    pub credentials: Option<&'a Credentials>,
    /// The row of hosts that the session lives on.
    pub family: &'a Family,
    /// Plain page or desktop.
    pub profile: Profile,
    /// Language of the service's own texts: `zh_CN`, `en_US`, `zh_TW`.
    pub lang: &'a str,
    /// The same for the whole life of a session. Source: the protocol sheet, section 2.1.5.
    pub user_agent: &'a str,
    /// Unix time in milliseconds.
    pub now_ms: i64,
    /// The `_` of `synccheck`: the time the session began, plus one per poll.
    pub poll_counter_ms: i64,
    /// Fresh randomness, for `DeviceID`.
    pub nonce: u64,
}

/// The part of a JSON body that proves the session.
///
/// Source: the protocol sheet, section 2.1.1.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BaseRequest<'a> {
    uin: i64,
    sid: &'a Secret,
    skey: &'a Secret,
    #[serde(rename = "DeviceID")]
    device_id: String,
}

impl<'a> Call<'a> {
    /// The credentials, which this endpoint cannot do without.
    ///
    /// # Errors
    ///
    /// If the session has none yet.
    pub fn needs_credentials(&self, endpoint: &'static str) -> Result<&'a Credentials, ProtoError> {
        self.credentials.ok_or_else(|| ProtoError::request(endpoint, "credentials of a session", "none"))
    }

    /// A device id: `e` and 15 digits, new for each request.
    ///
    /// Source: the protocol sheet, section 2.1.1.
    #[must_use]
    pub fn device_id(&self) -> String {
        format!("e{:015}", self.nonce % 1_000_000_000_000_000)
    }

    /// The current time as the page writes it in `r` and `rr`.
    #[must_use]
    pub fn inverted_ms(&self) -> i32 {
        inverted_ms(self.now_ms)
    }

    pub(crate) fn base_request(&self, endpoint: &'static str) -> Result<BaseRequest<'a>, ProtoError> {
        let credentials = self.needs_credentials(endpoint)?;
        Ok(BaseRequest {
            uin: credentials.uin,
            sid: &credentials.sid,
            skey: &credentials.skey,
            device_id: self.device_id(),
        })
    }
}

/// JavaScript's bitwise-not of a time: the low 32 bits, inverted.
///
/// Source: the protocol sheet, section 0.3.
#[must_use]
pub fn inverted_ms(now_ms: i64) -> i32 {
    // `as` keeps the low 32 bits, which is the point.
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are wanted")]
    let low = now_ms as i32;
    !low
}

/// A URL of the service under construction.
#[derive(Debug)]
pub(crate) struct Address {
    url: String,
    has_query: bool,
}

impl Address {
    /// A path under `cgi-bin/mmwebwx-bin` of one of the family's hosts.
    pub(crate) fn new(call: &Call<'_>, role: HostRole, path: &str) -> Self {
        Self::raw(format!("https://{}/cgi-bin/mmwebwx-bin/{path}", call.family.host(role)))
    }

    /// A whole URL that may have a query already.
    pub(crate) fn raw(url: String) -> Self {
        let has_query = url.contains('?');
        Self { url, has_query }
    }

    /// Adds one parameter, encoding its value once.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.url.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.url.push_str(key);
        self.url.push('=');
        percent::encode_into(&mut self.url, value);
        self
    }

    pub(crate) fn with_number(self, key: &str, value: i64) -> Self {
        self.with(key, &value.to_string())
    }

    /// Adds what the page adds to every API call.
    ///
    /// Source: the protocol sheet, section 2.1.3.
    pub(crate) fn with_session(self, call: &Call<'_>) -> Self {
        let ticket = call.credentials.map(|credentials| credentials.pass_ticket.reveal());
        let address = match ticket {
            Some(ticket) if !ticket.is_empty() => self.with("pass_ticket", ticket),
            _ => self,
        };
        if call.lang.is_empty() { address } else { address.with("lang", call.lang) }
    }
}

/// Whether a request shows where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referer {
    None,
    BaseHost,
}

/// Source: the protocol sheet, section 2.1.4.
pub(crate) const JSON_TYPE: &str = "application/json;charset=UTF-8";

pub(crate) fn get(
    endpoint: &'static str,
    call: &Call<'_>,
    address: Address,
    referer: Referer,
) -> Result<Request<Bytes>, ProtoError> {
    finish(endpoint, builder(call, Method::GET, address, referer), Bytes::new())
}

pub(crate) fn post(
    endpoint: &'static str,
    call: &Call<'_>,
    address: Address,
    content_type: &str,
    body: Bytes,
) -> Result<Request<Bytes>, ProtoError> {
    let builder =
        builder(call, Method::POST, address, Referer::BaseHost).header(header::CONTENT_TYPE, content_type);
    finish(endpoint, builder, body)
}

/// Bodies are raw UTF-8: `serde_json` writes neither `\u` escapes for text nor HTML escapes.
///
/// Source: the protocol sheet, section 2.1.4.
pub(crate) fn post_json<T: Serialize>(
    endpoint: &'static str,
    call: &Call<'_>,
    address: Address,
    body: &T,
) -> Result<Request<Bytes>, ProtoError> {
    let body = serde_json::to_vec(body).map_err(|_| {
        ProtoError::request(endpoint, "a body that can be written as JSON", "one that cannot")
    })?;
    post(endpoint, call, address, JSON_TYPE, Bytes::from(body))
}

pub(crate) fn builder(
    call: &Call<'_>,
    method: Method,
    address: Address,
    referer: Referer,
) -> http::request::Builder {
    let builder =
        Request::builder().method(method).uri(address.url).header(header::USER_AGENT, call.user_agent);
    match referer {
        Referer::None => builder,
        Referer::BaseHost => builder.header(header::REFERER, format!("https://{}/", call.family.base())),
    }
}

pub(crate) fn finish(
    endpoint: &'static str,
    builder: http::request::Builder,
    body: Bytes,
) -> Result<Request<Bytes>, ProtoError> {
    builder.body(body).map_err(|error| ProtoError::request(endpoint, "a valid request", &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_inverted_as_javascript_does() {
        assert_eq!(inverted_ms(1_700_000_000_000), 807_049_215);
        assert_eq!(inverted_ms(1_453_124_908_000), -1_425_961_953);
        assert_eq!(inverted_ms(1_735_689_600_123), -522_812_540);
    }

    #[test]
    fn item_12_device_ids_are_15_digits_of_the_callers_randomness() {
        let call = crate::endpoint::fixture::call();
        let ids: Vec<String> = [0, 7, u64::MAX, 123_456_789_012_345]
            .into_iter()
            .map(|nonce| Call { nonce, ..call }.device_id())
            .collect();
        assert_eq!(ids, ["e000000000000000", "e000000000000007", "e744073709551615", "e123456789012345"]);
    }

    #[test]
    fn a_request_that_needs_a_session_is_refused_without_one() {
        let call = Call { credentials: None, ..crate::endpoint::fixture::call() };
        let error = call.base_request("webwxinit").unwrap_err();
        assert_eq!(error.to_string(), "webwxinit: expected credentials of a session, found none");
    }
}
