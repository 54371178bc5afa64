//! `POST BASE/webwxsendmsg`: a name card.
//!
//! Source: the protocol sheet, section 2.15 (card).

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, ProtoError, UserName, call::Address, hosts::HostRole, xml};

/// The card.
#[derive(Debug, Clone, Copy)]
pub struct SendCard<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// Whose card.
    pub person: &'a UserName,
    /// The name on it.
    pub nick_name: &'a str,
}

impl Endpoint for SendCard<'_> {
    send_endpoint!("webwxsendmsg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let (person, name) = (xml::escape(self.person.as_str()), xml::escape(self.nick_name));
        // Escaping `'` too, since the attributes are quoted with it.
        let content = format!("<msg username='{person}' nickname='{}'/>", name.replace('\'', "&#39;"));
        let fields = Fields { kind: 42, content: Some(&content), ..Fields::default() };
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

    #[test]
    fn a_card_is_xml_with_its_name_escaped() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let send =
            SendCard { to: To { own: &own, to: &to, id: &id }, person: &"@b".into(), nick_name: "O'B & co" };
        let json = body(&send.request(&call()).unwrap());
        assert_eq!(json["Msg"]["Content"], "<msg username='@b' nickname='O&#39;B &amp; co'/>");
        assert_eq!(json["Msg"]["Type"], 42);
    }
}
