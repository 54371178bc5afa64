//! `POST BASE/webwxsendmsg`: a received location, passed on.
//!
//! Source: the protocol sheet, section 2.15 (location forward).

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// The location.
#[derive(Clone, Copy)]
pub struct SendLocation<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// The received `OriContent`, entities resolved.
    pub xml: &'a str,
}

impl Endpoint for SendLocation<'_> {
    send_endpoint!("webwxsendmsg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let fields = Fields { kind: 48, content: Some(self.xml), ..Fields::default() };
        let address = Address::new(call, HostRole::Base, Self::NAME);
        envelope::request(Self::NAME, call, address, &self.to, fields, Scene::Forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientMsgId,
        endpoint::fixture::{body, call},
    };

    #[test]
    fn a_location_is_passed_on_as_it_came() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let send =
            SendLocation { to: To { own: &own, to: &to, id: &id }, xml: "<msg><location x=\"1\"/></msg>" };
        let json = body(&send.request(&call()).unwrap());
        assert_eq!((&json["Msg"]["Type"], &json["Scene"]), (&48.into(), &2.into()));
    }
}
