//! `POST BASE/webwxoplog`: remark names and pins.
//!
//! Success codes may have no effect any more. Source: the protocol sheet, section 2.25.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::Serialize;

use super::{Endpoint, LOGIN_TIMEOUT, SMALL_BODY, revoke_msg::Done};
use crate::{
    Call, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// Gives a contact a name of ours.
#[derive(Clone, Copy)]
pub struct SetRemark<'a> {
    /// Whom.
    pub user_name: &'a UserName,
    /// The new name; empty removes it.
    pub remark: &'a str,
}

/// Where a chat goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// To the top.
    Pinned,
    /// Back in line.
    Unpinned,
}

/// Pins or unpins a chat.
#[derive(Clone, Copy)]
pub struct SetPin<'a> {
    /// Which chat.
    pub user_name: &'a UserName,
    /// Where it goes.
    pub pin: Pin,
    /// The **present** remark, decoded: the service erases the remark if it is not sent along.
    pub present_remark: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    user_name: &'a UserName,
    cmd_id: u8,
    #[serde(rename = "OP", skip_serializing_if = "Option::is_none")]
    op: Option<u8>,
    remark_name: &'a str,
}

const NAME: &str = "webwxoplog";

impl Endpoint for SetRemark<'_> {
    type Reply = Done;
    const NAME: &'static str = NAME;
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let base_request = call.base_request(NAME)?;
        let body =
            Body { base_request, user_name: self.user_name, cmd_id: 2, op: None, remark_name: self.remark };
        call::post_json(NAME, call, Address::new(call, HostRole::Base, NAME).with_session(call), &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Done, ProtoError> {
        json::parse(NAME, reply)
    }

    fn verdict(reply: &Done) -> RetCode {
        reply.base.ret
    }
}

impl Endpoint for SetPin<'_> {
    type Reply = Done;
    const NAME: &'static str = NAME;
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let op = match self.pin {
            Pin::Pinned => 1,
            Pin::Unpinned => 0,
        };
        let body = Body {
            base_request: call.base_request(NAME)?,
            user_name: self.user_name,
            cmd_id: 3,
            op: Some(op),
            remark_name: self.present_remark,
        };
        call::post_json(NAME, call, Address::new(call, HostRole::Base, NAME).with_session(call), &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Done, ProtoError> {
        json::parse(NAME, reply)
    }

    fn verdict(reply: &Done) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{body, call};

    #[test]
    fn item_73_pinning_carries_the_remark() {
        let pin = SetPin { user_name: &"@a".into(), pin: Pin::Pinned, present_remark: "安娜" };
        let json = body(&pin.request(&call()).unwrap());
        assert_eq!(
            (&json["CmdId"], &json["OP"], &json["RemarkName"]),
            (&3.into(), &1.into(), &"安娜".into())
        );
        let remark = SetRemark { user_name: &"@a".into(), remark: "A" };
        let json = body(&remark.request(&call()).unwrap());
        assert_eq!((&json["CmdId"], json.get("OP")), (&2.into(), None));
    }
}
