//! `POST BASE/webwxupdatechatroom`: members and topic of a group.
//!
//! The real change arrives as a modified contact. Source: the protocol sheet, section 2.24.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::Serialize;

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY, revoke_msg::Done};
use crate::{
    Call, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    hosts::HostRole,
    json,
};

/// From here on members are invited instead of added, if `webwxinit` does not tell.
///
/// Source: the protocol sheet, sections 2.7 (`InviteStartCount`) and 2.24.
pub const INVITE_START_COUNT: usize = 40;

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomChange<'a> {
    /// Members are added; for a small group.
    Add(&'a [UserName]),
    /// Members are invited; for a large one.
    Invite(&'a [UserName]),
    /// Members are removed; owner only.
    Remove(&'a [UserName]),
    /// The topic changes.
    Topic(&'a str),
    /// We leave.
    Quit,
}

impl<'a> RoomChange<'a> {
    /// Adds or invites, by the page's rule: members and newcomers together reach the threshold.
    #[must_use]
    pub fn bring_in(newcomers: &'a [UserName], present: usize, threshold: usize) -> Self {
        if present.saturating_add(newcomers.len()) >= threshold {
            Self::Invite(newcomers)
        } else {
            Self::Add(newcomers)
        }
    }
}

/// The change.
#[derive(Debug, Clone, Copy)]
pub struct UpdateChatroom<'a> {
    /// Which group.
    pub room: &'a UserName,
    /// What changes.
    pub change: RoomChange<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    chat_room_name: &'a UserName,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_member_list: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_member_list: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    del_member_list: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_topic: Option<&'a str>,
}

fn joined(names: &[UserName]) -> Option<String> {
    Some(names.iter().map(UserName::as_str).collect::<Vec<_>>().join(","))
}

impl Endpoint for UpdateChatroom<'_> {
    type Reply = Done;
    const NAME: &'static str = "webwxupdatechatroom";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = LIST;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let mut body = Body {
            base_request: call.base_request(Self::NAME)?,
            chat_room_name: self.room,
            add_member_list: None,
            invite_member_list: None,
            del_member_list: None,
            new_topic: None,
        };
        let fun = match self.change {
            RoomChange::Add(names) => {
                body.add_member_list = joined(names);
                "addmember"
            }
            RoomChange::Invite(names) => {
                body.invite_member_list = joined(names);
                "invitemember"
            }
            RoomChange::Remove(names) => {
                body.del_member_list = joined(names);
                "delmember"
            }
            RoomChange::Topic(topic) => {
                body.new_topic = Some(topic);
                "modtopic"
            }
            RoomChange::Quit => "quitchatroom",
        };
        let address = Address::new(call, HostRole::Base, Self::NAME).with("fun", fun).with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Done, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Done) -> RetCode {
        reply.base.ret
    }
}

/// The answer lists the members. Chosen: 500 members of 1 KiB, doubled.
const LIST: usize = SMALL_BODY * 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{body, call, query};

    #[test]
    fn item_75_every_change_says_its_fun_and_its_ticket() {
        let names: [UserName; 2] = ["@a".into(), "@b".into()];
        for (change, fun, field, value) in [
            (RoomChange::Add(&names), "addmember", "AddMemberList", "@a,@b"),
            (RoomChange::Invite(&names), "invitemember", "InviteMemberList", "@a,@b"),
            (RoomChange::Remove(&names), "delmember", "DelMemberList", "@a,@b"),
            (RoomChange::Topic("T"), "modtopic", "NewTopic", "T"),
            (RoomChange::Quit, "quitchatroom", "ChatRoomName", "@@r"),
        ] {
            let request = UpdateChatroom { room: &"@@r".into(), change }.request(&call()).unwrap();
            assert_eq!(query(&request)["fun"], fun);
            assert!(query(&request).contains_key("pass_ticket"));
            assert_eq!(body(&request)[field], value);
        }
    }

    #[test]
    fn a_group_that_reaches_the_threshold_is_invited() {
        let names: [UserName; 1] = ["@a".into()];
        assert_eq!(RoomChange::bring_in(&names, 38, INVITE_START_COUNT), RoomChange::Add(&names));
        assert_eq!(RoomChange::bring_in(&names, 39, INVITE_START_COUNT), RoomChange::Invite(&names));
    }
}
