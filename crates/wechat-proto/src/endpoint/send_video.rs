//! `POST BASE/webwxsendvideomsg`: a video (mp4, below 20 MB).
//!
//! Source: the protocol sheet, sections 2.17 and 6.3.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// The page refuses more. Source: the protocol sheet, section 6.3.
pub const MAX_VIDEO_BYTES: u64 = 20 * 1024 * 1024;

/// The video.
#[derive(Debug, Clone, Copy)]
pub struct SendVideo<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// Of an upload as `video`.
    pub media_id: &'a str,
}

impl Endpoint for SendVideo<'_> {
    send_endpoint!("webwxsendvideomsg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let fields =
            Fields { kind: 43, content: Some(""), media_id: Some(self.media_id), ..Fields::default() };
        let address = Address::new(call, HostRole::Base, Self::NAME).with("fun", "async").with("f", "json");
        envelope::request(Self::NAME, call, address, &self.to, fields, Scene::Original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientMsgId,
        endpoint::fixture::{body, call, query},
    };

    #[test]
    fn item_69_the_pass_ticket_is_the_real_one() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let send = SendVideo { to: To { own: &own, to: &to, id: &id }, media_id: "@crypt_m" };
        let request = send.request(&call()).unwrap();
        assert_eq!(query(&request)["pass_ticket"], call().credentials.unwrap().pass_ticket.reveal());
        assert_eq!(body(&request)["Msg"]["Type"], 43);
    }
}
