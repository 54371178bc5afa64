//! `GET BASE/webwxpushloginurl`: asks the phone to confirm a new login, without a scan.
//!
//! Needs the cookies of an earlier login of the account. Source: the protocol sheet, section 2.5.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::Deserialize;

use super::{Endpoint, LOGIN_TIMEOUT, SMALL_BODY, js_login};
use crate::{
    Call, Profile, ProtoError, RetCode,
    call::{self, Address, Referer},
    flex,
    hosts::HostRole,
    json,
};

/// For which account.
#[derive(Debug, Clone, Copy)]
pub struct PushLogin {
    /// `wxuin` of the earlier login.
    pub uin: i64,
}

/// What the service says; without a uuid, fall back to a QR code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PushAnswer {
    /// A text in captures, a number in the page's comment.
    pub ret: RetCode,
    /// A sentence.
    #[serde(deserialize_with = "flex::string")]
    pub msg: String,
    /// To be polled like one of a QR code.
    #[serde(deserialize_with = "flex::string")]
    pub uuid: String,
}

impl PushAnswer {
    /// The uuid to poll, if the push was accepted.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        (self.ret.is_ok() && js_login::well_formed(&self.uuid)).then_some(self.uuid.as_str())
    }
}

impl Endpoint for PushLogin {
    type Reply = PushAnswer;
    const NAME: &'static str = "webwxpushloginurl";
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let address = Address::new(call, HostRole::Base, "webwxpushloginurl").with_number("uin", self.uin);
        let address = match call.profile {
            Profile::Desktop => address.with("mod", "desktop"),
            Profile::Web => address,
        };
        call::get(Self::NAME, call, address, Referer::BaseHost)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<PushAnswer, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &PushAnswer) -> RetCode {
        reply.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, call, query};

    #[test]
    fn item_14_a_refusal_or_garbage_gives_no_uuid_and_no_crash() {
        let push = PushLogin { uin: 1 };
        let ok = push.parse(&answer(r#"{"ret": "0", "msg": "all ok", "uuid": "Qd8sVt1LpA=="}"#)).unwrap();
        assert_eq!(ok.uuid(), Some("Qd8sVt1LpA=="));
        for body in [r#"{"ret":"1"}"#, r#"{"ret":0,"uuid":""}"#, r#"{"ret":1,"uuid":"x"}"#] {
            assert_eq!(push.parse(&answer(body)).unwrap().uuid(), None, "{body}");
        }
        assert!(push.parse(&answer("<html>busy</html>")).is_err());
    }

    #[test]
    fn item_13_the_desktop_profile_says_so_here_too() {
        let desktop = Call { profile: Profile::Desktop, ..call() };
        assert_eq!(query(&PushLogin { uin: 7 }.request(&desktop).unwrap())["mod"], "desktop");
        assert!(!query(&PushLogin { uin: 7 }.request(&call()).unwrap()).contains_key("mod"));
    }
}
