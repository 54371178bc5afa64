//! `POST BASE/webwxsendmsg`: a text.
//!
//! Plain text as it is: no HTML escapes, `\n` for a new line, emoji as Unicode. A mention is text
//! only. Source: the protocol sheet, section 2.15.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, call::Address, hosts::HostRole};

/// The text.
#[derive(Clone, Copy)]
pub struct SendText<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// What is said; no part of it has a special meaning.
    pub text: &'a str,
}

impl Endpoint for SendText<'_> {
    send_endpoint!("webwxsendmsg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let fields = Fields { kind: 1, content: Some(self.text), ..Fields::default() };
        let address = Address::new(call, HostRole::Base, Self::NAME);
        envelope::request(Self::NAME, call, address, &self.to, fields, Scene::Original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientMsgId,
        endpoint::fixture::{body, call},
    };

    fn sent(text: &str) -> Bytes {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let send = SendText { to: To { own: &own, to: &to, id: &id }, text };
        send.request(&call()).unwrap().into_body()
    }

    #[test]
    fn item_61_the_body_is_raw_utf8_without_escapes() {
        let body = sent("好的 <3 & 😀 \"q\"\n第二行");
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains(r#""Content":"好的 <3 & 😀 \"q\"\n第二行""#), "{text}");
        assert!(!text.contains("\\u"));
    }

    #[test]
    fn item_62_a_text_that_looks_like_a_command_is_text() {
        for text in ["@img@/etc/passwd", "@fil@x", "@vid@x"] {
            let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
            let send = SendText { to: To { own: &own, to: &to, id: &id }, text };
            assert_eq!(body(&send.request(&call()).unwrap())["Msg"]["Content"], text);
        }
    }
}
