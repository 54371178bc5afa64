//! `GET BASE/webwxgeticon`: the picture of a person.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, MsgId, ProtoError, UserName, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetIcon<'a> {
    /// Whose.
    pub user_name: &'a UserName,
    /// From the record's `HeadImgUrl`; 0 for members.
    pub seq: i64,
    /// For a member of a group: the group's `EncryChatRoomId`.
    pub room: Option<&'a str>,
    /// For a card or a friend request: its message.
    pub msg_id: Option<&'a MsgId>,
}

impl Endpoint for GetIcon<'_> {
    media_endpoint!("webwxgeticon");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let skey = call.needs_credentials(Self::NAME)?.skey.reveal();
        let mut address = Address::new(call, HostRole::Base, Self::NAME)
            .with_number("seq", self.seq)
            .with("username", self.user_name.as_str())
            .with("skey", skey);
        if let Some(room) = self.room {
            address = address.with("chatroomid", room);
        }
        if let Some(msg_id) = self.msg_id {
            address = address.with("msgid", msg_id.as_str());
        }
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn a_member_is_asked_for_with_the_group() {
        let get = GetIcon { user_name: &"@b".into(), seq: 0, room: Some("@5bfe"), msg_id: None };
        let query = query(&get.request(&call()).unwrap());
        assert_eq!((query["chatroomid"].as_str(), query["username"].as_str()), ("@5bfe", "@b"));
        assert!(!query.contains_key("msgid"));
    }
}
