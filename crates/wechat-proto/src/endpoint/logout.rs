//! `POST BASE/webwxlogout`: ends the session for good.
//!
//! Not to be called because the process stops, nor on errors. Source: the protocol sheet,
//! section 2.13.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{Endpoint, LOGIN_TIMEOUT, SMALL_BODY};
use crate::{
    Call, ProtoError, RetCode,
    call::{self, Address},
    hosts::HostRole,
    percent,
};

/// Why. Source: the protocol sheet, section 2.13 (`type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogoutCause {
    /// The user wants it (type 0).
    #[default]
    User,
    /// The session was found invalid (type 1).
    Invalid,
}

/// The logout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logout {
    /// Why.
    pub cause: LogoutCause,
}

impl Endpoint for Logout {
    /// Nothing: whatever comes back, the session is over.
    type Reply = ();
    const NAME: &'static str = "webwxlogout";
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let credentials = call.needs_credentials(Self::NAME)?;
        let kind = match self.cause {
            LogoutCause::User => "0",
            LogoutCause::Invalid => "1",
        };
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("redirect", "1")
            .with("type", kind)
            .with("skey", credentials.skey.reveal())
            .with("lang", call.lang);
        let body = format!("sid={}&uin={}", percent::encode(credentials.sid.reveal()), credentials.uin);
        call::post(Self::NAME, call, address, "application/x-www-form-urlencoded", Bytes::from(body))
    }

    /// The answer is a redirect, HTML or nothing, and is ignored.
    fn parse(&self, _: &Response<Bytes>) -> Result<(), ProtoError> {
        Ok(())
    }

    fn verdict((): &()) -> RetCode {
        RetCode::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    #[test]
    fn item_76_the_answer_of_a_logout_is_ignored() {
        for body in ["", "<html></html>", "{\"x\":", "301"] {
            assert_eq!(Logout::default().parse(&answer(body)), Ok(()));
        }
    }
}
