//! `GET LOGIN/cgi-bin/mmwebwx-bin/login`: waits until the code is scanned and confirmed.
//!
//! Source: the protocol sheet, section 2.4.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use url::Url;

use super::{Endpoint, POLL_TIMEOUT};
use crate::{
    Call, ProtoError, RetCode,
    call::{self, Address, Referer},
    hosts::{self, HostRole},
    script,
};

/// Whether this uuid has been polled before; the page sends `tip=1` on the first poll only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// First poll of this uuid.
    NotYet,
    /// Every later poll, whatever the last answer was.
    Asked,
}

/// One poll.
#[derive(Debug, Clone, Copy)]
pub struct LoginPoll<'a> {
    /// From `jslogin` or the push login.
    pub uuid: &'a str,
    /// Chooses `tip`.
    pub scanned: Scanned,
}

/// Where the login stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginStatus {
    /// Code 200. The host of the redirect is the account's base host for the whole session; it was
    /// checked to be one of the service's.
    Confirmed {
        /// Carries the ticket.
        redirect: Url,
    },
    /// Code 201. Poll on with the same uuid.
    Scanned {
        /// Base64 of a JPEG, if the answer has one.
        avatar_base64: Option<String>,
    },
    /// Code 408. Poll on with the same uuid.
    Waiting,
    /// 202: declined on the phone. Ask for a new code.
    Declined,
    /// 400, 500 and 0. Ask for a new code.
    Expired {
        /// As it came.
        code: i64,
    },
    /// Any other code: ask for a new code.
    Unknown {
        /// As it came.
        code: i64,
    },
}

impl Endpoint for LoginPoll<'_> {
    type Reply = LoginStatus;
    const NAME: &'static str = "login";
    const TIMEOUT: Duration = POLL_TIMEOUT;
    /// With room for the avatar.
    const BODY_LIMIT: usize = 1024 * 1024;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let tip = match self.scanned {
            Scanned::NotYet => "1",
            Scanned::Asked => "0",
        };
        let address = Address::new(call, HostRole::Login, "login")
            .with("loginicon", "true")
            .with("uuid", self.uuid)
            .with("tip", tip)
            .with_number("r", i64::from(call.inverted_ms()))
            .with_number("_", call.now_ms);
        call::get(Self::NAME, call, address, Referer::None)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<LoginStatus, ProtoError> {
        let text = String::from_utf8_lossy(reply.body());
        let code = script::number(&text, "window.code")
            .ok_or_else(|| ProtoError::answer(Self::NAME, "window.code", reply.body()))?;
        // Source: the protocol sheet, section 2.4 (table of codes, every row).
        Ok(match code {
            200 => {
                let redirect = script::value(&text, "redirect_uri").unwrap_or_default();
                LoginStatus::Confirmed { redirect: hosts::check_redirect(redirect)? }
            }
            201 => LoginStatus::Scanned { avatar_base64: avatar(&text) },
            408 => LoginStatus::Waiting,
            202 => LoginStatus::Declined,
            400 | 500 | 0 => LoginStatus::Expired { code },
            code => LoginStatus::Unknown { code },
        })
    }

    fn verdict(_: &LoginStatus) -> RetCode {
        RetCode::Ok
    }
}

/// The picture behind `data:…;base64,`; its media type is not looked at, since the service's
/// `img/jpg` is none. Source: the protocol sheet, section 7 (item 7).
fn avatar(text: &str) -> Option<String> {
    let (_, after) = text.split_once("userAvatar")?;
    let (_, after) = after.split_once(";base64,")?;
    let data: String =
        after.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')).collect();
    (!data.is_empty()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, call, query};

    fn status(body: &'static str) -> LoginStatus {
        LoginPoll { uuid: "u", scanned: Scanned::Asked }.parse(&answer(body)).unwrap()
    }

    #[test]
    fn item_05_a_poll_without_news_is_not_an_expiry() {
        assert_eq!(status("window.code=408;"), LoginStatus::Waiting);
        for code in [400, 500, 0] {
            let body = format!("window.code={code};");
            let reply = LoginPoll { uuid: "u", scanned: Scanned::Asked }.parse(&answer(body)).unwrap();
            assert_eq!(reply, LoginStatus::Expired { code });
        }
    }

    #[test]
    fn item_06_declining_is_understood_and_unknown_codes_are_kept() {
        assert_eq!(status("window.code=202;"), LoginStatus::Declined);
        assert_eq!(status("window.code = 299 ;"), LoginStatus::Unknown { code: 299 });
    }

    #[test]
    fn item_08_nothing_is_evaluated() {
        let redirect = "window.code=200;window.redirect_uri=String.fromCharCode(104)+'ttps://wx.qq.com/';";
        assert!(LoginPoll { uuid: "u", scanned: Scanned::Asked }.parse(&answer(redirect)).is_err());
    }

    #[test]
    fn item_07_the_avatar_has_an_odd_media_type() {
        let reply = status("window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ';");
        assert_eq!(reply, LoginStatus::Scanned { avatar_base64: Some("/9j/4AAQ".into()) });
        assert_eq!(status("window.code=201;"), LoginStatus::Scanned { avatar_base64: None });
    }

    #[test]
    fn a_redirect_to_a_stranger_is_an_error() {
        for uri in ["https://example.org/x", "http://wx2.qq.com/x", ""] {
            let body = format!("window.code=200;\nwindow.redirect_uri=\"{uri}\";");
            assert!(LoginPoll { uuid: "u", scanned: Scanned::Asked }.parse(&answer(body)).is_err(), "{uri}");
        }
    }

    #[test]
    fn only_the_first_poll_has_tip_1() {
        let first = LoginPoll { uuid: "u", scanned: Scanned::NotYet }.request(&call()).unwrap();
        let later = LoginPoll { uuid: "u", scanned: Scanned::Asked }.request(&call()).unwrap();
        assert_eq!((query(&first)["tip"].as_str(), query(&later)["tip"].as_str()), ("1", "0"));
    }
}
