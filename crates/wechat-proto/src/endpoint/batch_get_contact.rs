//! `POST BASE/webwxbatchgetcontact`: details of given names, groups and their members above all.
//!
//! Source: the protocol sheet, section 2.10.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, LIST_BODY, PLAIN_TIMEOUT};
use crate::{
    BaseResponse, Call, Contact, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    flex,
    hosts::HostRole,
    json,
};

/// With more entries, only so many come back. Source: the protocol sheet, section 2.10.
pub const MAX_ENTRIES: usize = 50;

/// One name to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wanted {
    /// Whose details.
    pub user_name: UserName,
    /// Empty, or for a member who is not a friend: the group's `EncryChatRoomId`, and if that
    /// gives nothing, the group's `UserName` (sources disagree).
    pub encry_chat_room_id: String,
}

impl Wanted {
    /// A friend or a group.
    #[must_use]
    pub fn plain(user_name: UserName) -> Self {
        Self { user_name, encry_chat_room_id: String::new() }
    }

    /// A member of a group.
    #[must_use]
    pub fn member(user_name: UserName, room: impl Into<String>) -> Self {
        Self { user_name, encry_chat_room_id: room.into() }
    }
}

/// The lookup; make one per slice of [`slices`].
#[derive(Debug, Clone, Copy)]
pub struct BatchGetContact<'a> {
    /// At most [`MAX_ENTRIES`].
    pub wanted: &'a [Wanted],
}

/// Cuts a list into calls of at most [`MAX_ENTRIES`].
pub fn slices(wanted: &[Wanted]) -> impl Iterator<Item = BatchGetContact<'_>> {
    wanted.chunks(MAX_ENTRIES).map(|wanted| BatchGetContact { wanted })
}

/// Sizes in which the page repeats a failed call, to find the one bad entry.
///
/// Source: the protocol sheet, section 2.10.
pub const RETRY_SIZES: [usize; 3] = [10, 5, 1];

/// What was found: in any order, perhaps not all. Match by `UserName`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Found {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Entries without a name are dropped.
    #[serde(default, deserialize_with = "flex::list")]
    pub contact_list: Vec<Contact>,
}

impl Found {
    /// The record of one name.
    #[must_use]
    pub fn of(&self, user_name: &UserName) -> Option<&Contact> {
        self.contact_list.iter().find(|contact| contact.user_name == *user_name)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    count: usize,
    list: &'a [Wanted],
}

impl Endpoint for BatchGetContact<'_> {
    type Reply = Found;
    const NAME: &'static str = "webwxbatchgetcontact";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = LIST_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        if self.wanted.is_empty() || self.wanted.len() > MAX_ENTRIES {
            return Err(ProtoError::request(Self::NAME, "1 to 50 names", &self.wanted.len().to_string()));
        }
        let address = Address::new(call, HostRole::Base, "webwxbatchgetcontact")
            .with("type", "ex")
            .with_number("r", call.now_ms)
            .with_session(call);
        let base_request = call.base_request(Self::NAME)?;
        let body = Body { base_request, count: self.wanted.len(), list: self.wanted };
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Found, ProtoError> {
        let mut found: Found = json::parse(Self::NAME, reply)?;
        found.contact_list = super::named(found.contact_list);
        Ok(found)
    }

    fn verdict(reply: &Found) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, call};

    #[test]
    fn item_37_no_call_has_more_than_50_names() {
        let wanted: Vec<Wanted> = (0..120).map(|n| Wanted::plain(UserName::new(format!("@{n}")))).collect();
        let sizes: Vec<usize> = slices(&wanted).map(|call| call.wanted.len()).collect();
        assert_eq!(sizes, [50, 50, 20]);
        assert!(BatchGetContact { wanted: &wanted }.request(&call()).is_err());
        assert!(BatchGetContact { wanted: &[] }.request(&call()).is_err());
    }

    #[test]
    fn item_38_answers_are_matched_by_name() {
        let wanted = [Wanted::plain("@a".into()), Wanted::plain("@b".into()), Wanted::plain("@c".into())];
        let body = r#"{"BaseResponse":{"Ret":0},"Count":2,"ContactList":[{"UserName":"@c","NickName":"C"},{"UserName":""},{"UserName":"@a","NickName":"A"}]}"#;
        let found = BatchGetContact { wanted: &wanted }.parse(&answer(body)).unwrap();
        assert_eq!(found.of(&"@a".into()).unwrap().nick_name.raw(), "A");
        assert!(found.of(&"@b".into()).is_none());
        assert_eq!(found.contact_list.len(), 2);
    }
}
