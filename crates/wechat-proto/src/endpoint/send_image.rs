//! `POST BASE/webwxsendmsgimg`: an image.
//!
//! Source: the protocol sheet, section 2.16.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// Which image.
#[derive(Debug, Clone, Copy)]
pub enum ImageSource<'a> {
    /// The `MediaId` of an upload as `pic`.
    Uploaded(&'a str),
    /// The XML of a received image, decoded and without sender prefix.
    Forward(&'a str),
}

/// The image.
#[derive(Debug, Clone, Copy)]
pub struct SendImage<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// Which image.
    pub image: ImageSource<'a>,
}

impl Endpoint for SendImage<'_> {
    send_endpoint!("webwxsendmsgimg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let (media_id, content, scene) = match self.image {
            ImageSource::Uploaded(media_id) => (media_id, "", Scene::Original),
            ImageSource::Forward(xml) => ("", xml, Scene::Forward),
        };
        let fields =
            Fields { kind: 3, content: Some(content), media_id: Some(media_id), ..Fields::default() };
        let address = Address::new(call, HostRole::Base, Self::NAME).with("fun", "async").with("f", "json");
        envelope::request(Self::NAME, call, address, &self.to, fields, scene)
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
    fn an_uploaded_image_originates_here_and_a_received_one_is_passed_on() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let to = To { own: &own, to: &to, id: &id };
        let request = SendImage { to, image: ImageSource::Uploaded("@crypt_m") }.request(&call()).unwrap();
        let json = body(&request);
        assert_eq!(
            (&json["Msg"]["Type"], &json["Msg"]["MediaId"], &json["Scene"]),
            (&3.into(), &"@crypt_m".into(), &0.into())
        );
        assert_eq!((query(&request)["fun"].as_str(), query(&request)["f"].as_str()), ("async", "json"));
        let json = body(&SendImage { to, image: ImageSource::Forward("<msg/>") }.request(&call()).unwrap());
        assert_eq!((&json["Msg"]["Content"], &json["Scene"]), (&"<msg/>".into(), &2.into()));
    }
}
