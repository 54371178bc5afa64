//! `GET BASE/webwxgetpubliclinkimg`: the map of a location.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, MsgId, ProtoError, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetLocationMap<'a> {
    /// Of which message.
    pub msg_id: &'a MsgId,
}

impl Endpoint for GetLocationMap<'_> {
    media_endpoint!("webwxgetpubliclinkimg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        // Literally `xxx`, as the page does.
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("url", "xxx")
            .with("msgid", self.msg_id.as_str())
            .with("pictype", "location");
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn the_map_is_asked_for_as_the_page_does() {
        let id = MsgId::new("9");
        let query = query(&GetLocationMap { msg_id: &id }.request(&call()).unwrap());
        assert_eq!((query["url"].as_str(), query["pictype"].as_str()), ("xxx", "location"));
    }
}
