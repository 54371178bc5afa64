//! `GET BASE/webwxgetmsgimg`: picture of a message, cover of a link or video, sticker.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, MsgId, ProtoError, call::Address, hosts::HostRole};

/// Which picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImageSize {
    /// As it was sent.
    #[default]
    Original,
    /// `type=big`: stickers and previews.
    Big,
    /// `type=slave`: thumbnails and covers.
    Thumbnail,
}

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetMsgImg<'a> {
    /// Of which message.
    pub msg_id: &'a MsgId,
    /// Which picture.
    pub size: ImageSize,
}

impl Endpoint for GetMsgImg<'_> {
    media_endpoint!("webwxgetmsgimg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let skey = call.needs_credentials(Self::NAME)?.skey.reveal();
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("MsgID", self.msg_id.as_str())
            .with("skey", skey);
        let address = match self.size {
            ImageSize::Original => address,
            ImageSize::Big => address.with("type", "big"),
            ImageSize::Thumbnail => address.with("type", "slave"),
        };
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn sizes_have_their_types() {
        let id = MsgId::new("7294813305518270463");
        for (size, kind) in [
            (ImageSize::Original, None),
            (ImageSize::Big, Some("big")),
            (ImageSize::Thumbnail, Some("slave")),
        ] {
            let query = query(&GetMsgImg { msg_id: &id, size }.request(&call()).unwrap());
            assert_eq!(query.get("type").map(String::as_str), kind);
            assert_eq!(query["MsgID"], "7294813305518270463");
        }
    }
}
