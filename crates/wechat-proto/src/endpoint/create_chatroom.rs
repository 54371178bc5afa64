//! `POST BASE/webwxcreatechatroom`: a new group.
//!
//! The most throttled call of all. Source: the protocol sheet, section 2.23.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY};
use crate::{
    BaseResponse, Call, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// The group to be.
#[derive(Clone, Copy)]
pub struct CreateChatroom<'a> {
    /// At least two others; not self.
    pub members: &'a [UserName],
    /// May be empty.
    pub topic: &'a str,
}

/// The group that is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Created {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Its name in this session; empty for the phone until something is said.
    #[serde(default, rename = "ChatRoomName")]
    pub room: UserName,
}

impl Created {
    /// The new group: -2013 with a name counts as success.
    ///
    /// Source: the protocol sheet, section 2.23 (PW).
    #[must_use]
    pub fn room(&self) -> Option<&UserName> {
        let made = matches!(self.base.ret, RetCode::Ok | RetCode::RoomPartlyCreated);
        (made && self.room.is_room()).then_some(&self.room)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    user_name: &'a UserName,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    member_count: usize,
    member_list: Vec<Entry<'a>>,
    topic: &'a str,
}

impl Endpoint for CreateChatroom<'_> {
    type Reply = Created;
    const NAME: &'static str = "webwxcreatechatroom";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        if self.members.len() < 2 {
            return Err(ProtoError::request(
                Self::NAME,
                "two members or more",
                &self.members.len().to_string(),
            ));
        }
        let body = Body {
            base_request: call.base_request(Self::NAME)?,
            member_count: self.members.len(),
            member_list: self.members.iter().map(|user_name| Entry { user_name }).collect(),
            topic: self.topic,
        };
        let address =
            Address::new(call, HostRole::Base, Self::NAME).with_number("r", call.now_ms).with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Created, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Created) -> RetCode {
        if reply.room().is_some() { RetCode::Ok } else { reply.base.ret }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, body, call};

    #[test]
    fn a_group_needs_two_others() {
        let members: [UserName; 2] = ["@a".into(), "@b".into()];
        let create = CreateChatroom { members: &members, topic: "" };
        assert_eq!(body(&create.request(&call()).unwrap())["MemberList"][1]["UserName"], "@b");
        assert!(CreateChatroom { members: &members[..1], topic: "" }.request(&call()).is_err());
        let partly =
            create.parse(&answer(r#"{"BaseResponse":{"Ret":-2013},"ChatRoomName":"@@new"}"#)).unwrap();
        assert_eq!(partly.room(), Some(&"@@new".into()));
        let none = create.parse(&answer(r#"{"BaseResponse":{"Ret":1205},"ChatRoomName":""}"#)).unwrap();
        assert_eq!((none.room(), CreateChatroom::verdict(&none)), (None, RetCode::TooFrequent));
    }
}
