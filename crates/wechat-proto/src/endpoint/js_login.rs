//! `GET LOGIN/jslogin`: asks for the uuid that a login QR code stands for.
//!
//! Source: the protocol sheet, section 2.2.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{Endpoint, LOGIN_TIMEOUT, SMALL_BODY};
use crate::{
    Call, Profile, ProtoError, RetCode,
    call::{self, Address, Referer},
    hosts::HostRole,
    script,
};

/// Shown on the phone as Web WeChat. Source: the protocol sheet, section 2.2.
pub const APP_ID: &str = "wx782c26e4c19acffb";

/// The request has no fields of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsLogin;

/// A uuid, or the code that came in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUuid {
    /// 200 when there is a uuid.
    pub code: i64,
    /// Absent: wait a second or more and ask again; perhaps the address is blocked.
    pub uuid: Option<String>,
}

impl Endpoint for JsLogin {
    type Reply = LoginUuid;
    const NAME: &'static str = "jslogin";
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let mut redirect = format!("https://{}/cgi-bin/mmwebwx-bin/webwxnewloginpage", call.family.base());
        if call.profile == Profile::Desktop {
            redirect.push_str("?mod=desktop");
        }
        let address = Address::raw(format!("https://{}/jslogin", call.family.host(HostRole::Login)))
            .with("appid", APP_ID)
            .with("redirect_uri", &redirect)
            .with("fun", "new")
            .with("lang", call.lang)
            .with_number("_", call.now_ms);
        call::get(Self::NAME, call, address, Referer::None)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<LoginUuid, ProtoError> {
        let text = String::from_utf8_lossy(reply.body());
        let code = script::number(&text, "QRLogin.code")
            .ok_or_else(|| ProtoError::answer(Self::NAME, "window.QRLogin.code", reply.body()))?;
        let uuid = script::value(&text, "QRLogin.uuid").filter(|uuid| well_formed(uuid)).map(str::to_owned);
        Ok(LoginUuid { code, uuid: uuid.filter(|_| code == 200) })
    }

    fn verdict(_: &LoginUuid) -> RetCode {
        RetCode::Ok
    }
}

/// Short and base64-like: it becomes part of URLs and of what a person scans.
pub(super) fn well_formed(uuid: &str) -> bool {
    !uuid.is_empty()
        && uuid.len() <= 128
        && uuid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'+' | b'/' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, call, query};

    #[test]
    fn item_13_the_desktop_profile_asks_for_its_own_redirect() {
        let call = Call { profile: Profile::Desktop, ..call() };
        let redirect = query(&JsLogin.request(&call).unwrap())["redirect_uri"].clone();
        assert_eq!(redirect, "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?mod=desktop");
    }

    #[test]
    fn another_code_has_no_uuid() {
        let reply = JsLogin.parse(&answer("window.QRLogin.code = 500; window.QRLogin.uuid = \"\";")).unwrap();
        assert_eq!(reply, LoginUuid { code: 500, uuid: None });
        assert!(JsLogin.parse(&answer("<html>")).is_err());
        let evil =
            JsLogin.parse(&answer("window.QRLogin.code=200;window.QRLogin.uuid=\"a b<script>\"")).unwrap();
        assert_eq!(evil.uuid, None);
    }
}
