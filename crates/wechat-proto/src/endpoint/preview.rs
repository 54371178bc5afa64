//! `GET BASE/webwxpreview`: a picture that was just uploaded.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a> {
    /// Of the upload.
    pub media_id: &'a str,
}

impl Endpoint for Preview<'_> {
    media_endpoint!("webwxpreview");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let address = Address::new(call, HostRole::Base, Self::NAME)
            .with("fun", "preview")
            .with("mediaid", self.media_id);
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn the_upload_is_named() {
        assert_eq!(query(&Preview { media_id: "@crypt_m" }.request(&call()).unwrap())["mediaid"], "@crypt_m");
    }
}
