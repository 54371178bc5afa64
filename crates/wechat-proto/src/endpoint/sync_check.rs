//! `GET PUSH/synccheck`: waits for news.
//!
//! Source: the protocol sheet, section 2.11.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{Endpoint, POLL_TIMEOUT};
use crate::{
    Call, ProtoError, RetCode, SyncKey,
    call::{self, Address, Referer},
    hosts::HostRole,
    script,
};

/// One poll.
#[derive(Debug, Clone, Copy)]
pub struct SyncCheck<'a> {
    /// The last `SyncCheckKey`; the `SyncKey` of `webwxinit` until there is one.
    pub key: &'a SyncKey,
}

/// What the poll says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// 0, or why there is no news to be had.
    pub ret: RetCode,
    /// Only a hint: **any** value but 0 means `webwxsync`.
    pub selector: i64,
}

impl Poll {
    /// Whether `webwxsync` has something to say.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.ret.is_ok() && self.selector != 0
    }
}

impl Endpoint for SyncCheck<'_> {
    type Reply = Poll;
    const NAME: &'static str = "synccheck";
    const TIMEOUT: Duration = POLL_TIMEOUT;
    const BODY_LIMIT: usize = 64 * 1024;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let credentials = call.needs_credentials(Self::NAME)?;
        let address = Address::new(call, HostRole::Push, "synccheck")
            .with_number("r", call.now_ms)
            .with("skey", credentials.skey.reveal())
            .with("sid", credentials.sid.reveal())
            .with_number("uin", credentials.uin)
            .with("deviceid", &call.device_id())
            .with("synckey", &self.key.text())
            .with_number("_", call.poll_counter_ms);
        call::get(Self::NAME, call, address, Referer::BaseHost)
    }

    /// An error here is never a logout: run one `webwxsync`, then poll on.
    fn parse(&self, reply: &Response<Bytes>) -> Result<Poll, ProtoError> {
        if !reply.status().is_success() {
            let status = format!("status {}", reply.status().as_u16());
            return Err(ProtoError::request(Self::NAME, "status 200", &status));
        }
        let text = String::from_utf8_lossy(reply.body());
        let ret = script::number(&text, "retcode")
            .ok_or_else(|| ProtoError::answer(Self::NAME, "window.synccheck={retcode…", reply.body()))?;
        let ret = RetCode::from_number(ret);
        match script::number(&text, "selector") {
            Some(selector) => Ok(Poll { ret, selector }),
            None if !ret.is_ok() => Ok(Poll { ret, selector: 0 }),
            None => Err(ProtoError::answer(Self::NAME, "a selector", reply.body())),
        }
    }

    fn verdict(reply: &Poll) -> RetCode {
        reply.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    fn poll(body: &'static str) -> Result<Poll, ProtoError> {
        SyncCheck { key: &SyncKey::default() }.parse(&answer(body))
    }

    #[test]
    fn item_20_every_selector_but_0_is_news() {
        for (body, news) in [
            ("window.synccheck={retcode:\"0\",selector:\"0\"}", false),
            ("window.synccheck={retcode:\"0\",selector:\"2\"}", true),
            ("window.synccheck={retcode:\"0\",selector:\"3\"}", true),
            ("window.synccheck={retcode:\"0\",selector:\"4\"}", true),
            ("window.synccheck={retcode:\"0\",selector:\"6\"}", true),
            ("window.synccheck={retcode:\"0\",selector:\"7\"}", true),
            ("window.synccheck={retcode:\"0\",selector:\"1000\"}", true),
            ("window.synccheck={retcode:\"1101\",selector:\"2\"}", false),
        ] {
            assert_eq!(poll(body).unwrap().has_news(), news, "{body}");
        }
    }

    #[test]
    fn item_18_a_dead_session_is_recognised_as_a_number() {
        assert!(poll("window.synccheck={retcode:\"1101\",selector:\"0\"}").unwrap().ret.ends_session());
        assert!(poll("window.synccheck={retcode:1102}").unwrap().ret.ends_session());
    }

    #[test]
    fn item_19_garbage_is_an_error_and_not_a_logout() {
        for body in [
            "",
            "<html>502</html>",
            "window.synccheck={}",
            "window.synccheck={retcode:\"0\"}",
            "0 -\u{1}\u{2}",
        ] {
            assert!(poll(body).is_err(), "{body}");
        }
        let mut reply = answer("window.synccheck={retcode:\"1101\",selector:\"0\"}");
        *reply.status_mut() = http::StatusCode::BAD_GATEWAY;
        assert!(SyncCheck { key: &SyncKey::default() }.parse(&reply).is_err());
    }

    #[test]
    fn item_22_the_client_waits_longer_than_the_server_holds() {
        assert_eq!(SyncCheck::TIMEOUT, Duration::from_secs(35));
        assert_eq!(crate::endpoint::LoginPoll::TIMEOUT, Duration::from_secs(35));
    }
}
