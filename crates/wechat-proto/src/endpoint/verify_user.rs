//! `POST BASE/webwxverifyuser`: friend requests, both ways.
//!
//! Source: the protocol sheet, section 2.27.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::Serialize;

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY, revoke_msg::Done};
use crate::{
    Call, ProtoError, RetCode, Secret, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// What is done.
#[derive(Clone, Copy)]
pub enum Verify<'a> {
    /// Opcode 1: follow an official account.
    Follow,
    /// Opcode 2: ask to be friends; often without effect.
    Ask {
        /// What is said along.
        greeting: &'a str,
    },
    /// Opcode 3: accept a request; without its ticket it fails.
    Accept {
        /// `RecommendInfo.Ticket`.
        ticket: &'a str,
    },
    /// Opcode 4: reject a request.
    Reject {
        /// `RecommendInfo.Ticket`.
        ticket: &'a str,
    },
}

/// The verification.
#[derive(Clone, Copy)]
pub struct VerifyUser<'a> {
    /// `RecommendInfo.UserName`, or the account to follow.
    pub user_name: &'a UserName,
    /// What is done.
    pub verify: Verify<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    value: &'a UserName,
    verify_user_ticket: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    opcode: u8,
    verify_user_list_size: u8,
    verify_user_list: [Entry<'a>; 1],
    verify_content: &'a str,
    scene_list_count: u8,
    scene_list: [u8; 1],
    #[serde(rename = "skey")]
    skey: &'a Secret,
}

/// "From the web". Source: the protocol sheet, section 2.27 (`SceneList`).
const SCENE_WEB: u8 = 33;

impl Endpoint for VerifyUser<'_> {
    type Reply = Done;
    const NAME: &'static str = "webwxverifyuser";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let (opcode, ticket, greeting) = match self.verify {
            Verify::Follow => (1, "", ""),
            Verify::Ask { greeting } => (2, "", greeting),
            Verify::Accept { ticket } => (3, ticket, ""),
            Verify::Reject { ticket } => (4, ticket, ""),
        };
        if opcode >= 3 && ticket.is_empty() {
            return Err(ProtoError::request(Self::NAME, "the ticket of the request", "none"));
        }
        let credentials = call.needs_credentials(Self::NAME)?;
        let body = Body {
            base_request: call.base_request(Self::NAME)?,
            opcode,
            verify_user_list_size: 1,
            verify_user_list: [Entry { value: self.user_name, verify_user_ticket: ticket }],
            verify_content: greeting,
            scene_list_count: 1,
            scene_list: [SCENE_WEB],
            skey: &credentials.skey,
        };
        let address =
            Address::new(call, HostRole::Base, Self::NAME).with_number("r", call.now_ms).with_session(call);
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
    use crate::endpoint::fixture::{body, call};

    #[test]
    fn item_74_accepting_needs_the_ticket() {
        let user_name = UserName::new("@b");
        let accept = |ticket| VerifyUser { user_name: &user_name, verify: Verify::Accept { ticket } };
        assert!(accept("").request(&call()).is_err());
        let json = body(&accept("v4_000b@stranger").request(&call()).unwrap());
        assert_eq!(json["Opcode"], 3);
        assert_eq!(json["VerifyUserList"][0]["VerifyUserTicket"], "v4_000b@stranger");
        assert_eq!((&json["SceneList"][0], &json["SceneListCount"]), (&33.into(), &1.into()));
        assert_eq!(json["skey"], call().credentials.unwrap().skey.reveal());
    }
}
