//! `POST BASE/webwxstatusnotify`: tells the phone that the session began or a chat was read.
//!
//! Source: the protocol sheet, section 2.8.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, SEND_TIMEOUT, SMALL_BODY};
use crate::{
    BaseResponse, Call, MsgId, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify<'a> {
    /// Code 3: the session began; makes the service push the list of chats.
    Began,
    /// Code 1: this chat was read. From is always self, To the chat, also when the last message
    /// was our own.
    Read(&'a UserName),
}

/// The notification.
#[derive(Debug, Clone, Copy)]
pub struct StatusNotify<'a> {
    /// Self.
    pub own: &'a UserName,
    /// What is told.
    pub notify: Notify<'a>,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Notified {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Of no use.
    #[serde(default, rename = "MsgID")]
    pub msg_id: MsgId,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    code: u8,
    from_user_name: &'a UserName,
    to_user_name: &'a UserName,
    client_msg_id: i64,
}

impl Endpoint for StatusNotify<'_> {
    type Reply = Notified;
    const NAME: &'static str = "webwxstatusnotify";
    const TIMEOUT: Duration = SEND_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let (code, to) = match self.notify {
            Notify::Began => (3, self.own),
            Notify::Read(chat) => (1, chat),
        };
        let body = Body {
            base_request: call.base_request(Self::NAME)?,
            code,
            from_user_name: self.own,
            to_user_name: to,
            client_msg_id: call.now_ms,
        };
        let address = Address::new(call, HostRole::Base, "webwxstatusnotify").with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Notified, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Notified) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{body, call};

    #[test]
    fn reading_is_told_from_self_to_the_chat() {
        let (own, chat) = (UserName::new("@self"), UserName::new("@anna"));
        let request = StatusNotify { own: &own, notify: Notify::Read(&chat) }.request(&call()).unwrap();
        let json = body(&request);
        assert_eq!((&json["FromUserName"], &json["ToUserName"]), (&"@self".into(), &"@anna".into()));
        assert_eq!(json["Code"], 1);
        assert!(json["ClientMsgId"].as_i64().unwrap() > 0);
    }
}
