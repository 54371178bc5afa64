//! `GET BASE/webwxgetvoice`: a voice message, as MP3.
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
pub struct GetVoice<'a> {
    /// Of which message.
    pub msg_id: &'a MsgId,
}

impl Endpoint for GetVoice<'_> {
    media_endpoint!("webwxgetvoice");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let skey = call.needs_credentials(Self::NAME)?.skey.reveal();
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("msgid", self.msg_id.as_str())
            .with("skey", skey);
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn the_message_is_named_and_the_page_is_the_referer() {
        let id = MsgId::new("9");
        let request = GetVoice { msg_id: &id }.request(&call()).unwrap();
        assert_eq!(query(&request)["msgid"], "9");
        assert_eq!(request.headers()["referer"], "https://wx2.qq.com/");
        assert_eq!(request.headers()["user-agent"], "Fixture/1");
    }
}
