//! `POST BASE/webwxsendemoticon`: an animated sticker or GIF.
//!
//! Source: the protocol sheet, section 2.18.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// Larger ones are not shown or fail. Source: the protocol sheet, sections 2.18 and 6.3.
pub const MAX_GIF_BYTES: u64 = 1024 * 1024;

/// Which sticker.
#[derive(Debug, Clone, Copy)]
pub enum EmoticonSource<'a> {
    /// The `MediaId` of an upload as `doc`.
    Uploaded(&'a str),
    /// The md5 of a sticker that the server knows: 32 hex digits.
    Md5(&'a str),
}

/// The sticker.
#[derive(Debug, Clone, Copy)]
pub struct SendEmoticon<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// Which sticker.
    pub emoticon: EmoticonSource<'a>,
}

impl Endpoint for SendEmoticon<'_> {
    send_endpoint!("webwxsendemoticon");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let (media_id, emoticon_md5) = match self.emoticon {
            EmoticonSource::Uploaded(media_id) => (Some(media_id), None),
            EmoticonSource::Md5(md5) if md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_hexdigit()) => {
                (None, Some(md5))
            }
            EmoticonSource::Md5(_) => {
                return Err(ProtoError::request(Self::NAME, "an md5 of 32 hex digits", "something else"));
            }
        };
        let fields = Fields { kind: 47, emoji_flag: Some(2), media_id, emoticon_md5, ..Fields::default() };
        let address = Address::new(call, HostRole::Base, Self::NAME).with("fun", "sys");
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
    fn item_63_a_sticker_is_type_47_with_its_flag() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let to = To { own: &own, to: &to, id: &id };
        let request =
            SendEmoticon { to, emoticon: EmoticonSource::Uploaded("@crypt_m") }.request(&call()).unwrap();
        let msg = &body(&request)["Msg"];
        assert_eq!(
            (&msg["Type"], &msg["EmojiFlag"], &msg["MediaId"]),
            (&47.into(), &2.into(), &"@crypt_m".into())
        );
        assert_eq!(query(&request)["fun"], "sys");
        let md5 = "0cc175b9c0f1b6a831c399e269772661";
        let msg = body(&SendEmoticon { to, emoticon: EmoticonSource::Md5(md5) }.request(&call()).unwrap());
        assert_eq!(msg["Msg"]["EMoticonMd5"], md5);
        assert!(SendEmoticon { to, emoticon: EmoticonSource::Md5("../x") }.request(&call()).is_err());
    }
}
