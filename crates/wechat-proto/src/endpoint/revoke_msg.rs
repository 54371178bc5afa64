//! `POST BASE/webwxrevokemsg`: takes a message of ours back, within two minutes.
//!
//! Not for `filehelper`. Source: the protocol sheet, section 2.26.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY};
use crate::{
    BaseResponse, Call, ClientMsgId, MsgId, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// How long after sending it works. Source: the protocol sheet, sections 2.26 and 6.3.
pub const REVOKE_WINDOW: Duration = Duration::from_secs(120);

/// Which message.
#[derive(Debug, Clone, Copy)]
pub struct RevokeMsg<'a> {
    /// From the answer of the send.
    pub msg_id: &'a MsgId,
    /// The chat.
    pub to: &'a UserName,
    /// The original one.
    pub id: &'a ClientMsgId,
}

/// An answer that is a result and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Done {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    svr_msg_id: &'a MsgId,
    to_user_name: &'a UserName,
    client_msg_id: &'a ClientMsgId,
}

impl Endpoint for RevokeMsg<'_> {
    type Reply = Done;
    const NAME: &'static str = "webwxrevokemsg";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let base_request = call.base_request(Self::NAME)?;
        let body =
            Body { base_request, svr_msg_id: self.msg_id, to_user_name: self.to, client_msg_id: self.id };
        let address = Address::new(call, HostRole::Base, Self::NAME).with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Done, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Done) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, body, call};

    #[test]
    fn the_servers_id_and_ours_are_named() {
        let (msg_id, id) = (MsgId::new("7294813305518270462"), ClientMsgId::new(1_700_000_060_000, 123));
        let revoke = RevokeMsg { msg_id: &msg_id, to: &"@a".into(), id: &id };
        let json = body(&revoke.request(&call()).unwrap());
        assert_eq!(
            (&json["SvrMsgId"], &json["ClientMsgId"]),
            (&"7294813305518270462".into(), &"17000000600000123".into())
        );
        let done =
            revoke.parse(&answer(r#"{"BaseResponse":{"Ret":-1,"ErrMsg":"late"},"SysWording":""}"#)).unwrap();
        assert_eq!((done.base.ret, done.base.err_msg.as_str()), (RetCode::System, "late"));
    }
}
