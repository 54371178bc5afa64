//! `GET BASE/webwxgetvideo`: a video, as MP4; empty without a `Range` header.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::{HeaderValue, Request, header};

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, MsgId, ProtoError, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetVideo<'a> {
    /// Of which message.
    pub msg_id: &'a MsgId,
}

impl Endpoint for GetVideo<'_> {
    media_endpoint!("webwxgetvideo");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let skey = call.needs_credentials(Self::NAME)?.skey.reveal();
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("msgid", self.msg_id.as_str())
            .with("skey", skey);
        let mut request = media::request(Self::NAME, call, address)?;
        request.headers_mut().insert(header::RANGE, HeaderValue::from_static("bytes=0-"));
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::call;

    #[test]
    fn a_video_is_asked_for_with_a_range() {
        let id = MsgId::new("9");
        assert_eq!(GetVideo { msg_id: &id }.request(&call()).unwrap().headers()["range"], "bytes=0-");
    }
}
