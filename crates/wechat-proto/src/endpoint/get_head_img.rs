//! `GET BASE/webwxgetheadimg`: the picture of a group.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, ProtoError, UserName, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetHeadImg<'a> {
    /// Which group.
    pub room: &'a UserName,
    /// From the record's `HeadImgUrl`.
    pub seq: i64,
}

impl Endpoint for GetHeadImg<'_> {
    media_endpoint!("webwxgetheadimg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let skey = call.needs_credentials(Self::NAME)?.skey.reveal();
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with_number("seq", self.seq)
            .with("username", self.room.as_str())
            .with("skey", skey);
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn a_group_is_named_with_its_version() {
        let query = query(&GetHeadImg { room: &"@@r".into(), seq: 7 }.request(&call()).unwrap());
        assert_eq!((query["username"].as_str(), query["seq"].as_str()), ("@@r", "7"));
    }
}
