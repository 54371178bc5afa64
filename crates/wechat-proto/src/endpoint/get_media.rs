//! `GET FILE/webwxgetmedia`: a received file (up to 25 MB; larger ones are not on the web).
//!
//! Source: the protocol sheet, section 2.22 and appendix D (`encryfilename`, `fromuser`).

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint,
    media::{self, media_endpoint},
};
use crate::{Call, ProtoError, Secret, UserName, call::Address, hosts::HostRole};

/// The download.
#[derive(Debug, Clone, Copy)]
pub struct GetMedia<'a> {
    /// The message's `FromUserName`: the group for group messages.
    pub sender: &'a UserName,
    /// The message's `MediaId`.
    pub media_id: &'a str,
    /// The message's `EncryFileName`, as it came.
    pub encry_file_name: &'a str,
    /// Value of the cookie of that name.
    pub data_ticket: &'a Secret,
}

impl Endpoint for GetMedia<'_> {
    media_endpoint!("webwxgetmedia");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let credentials = call.needs_credentials(Self::NAME)?;
        if self.data_ticket.is_empty() {
            return Err(ProtoError::request(Self::NAME, "the cookie webwx_data_ticket", "none"));
        }
        let address = Address::new(call, HostRole::File, Self::NAME)
            .with("sender", self.sender.as_str())
            .with("mediaid", self.media_id)
            .with("encryfilename", self.encry_file_name)
            .with_number("fromuser", credentials.uin)
            .with("pass_ticket", credentials.pass_ticket.reveal())
            .with("webwx_data_ticket", self.data_ticket.reveal());
        media::request(Self::NAME, call, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{call, query};

    #[test]
    fn item_68_a_file_needs_the_data_ticket() {
        let sender = UserName::new("@@r");
        let get = |ticket: &Secret| {
            GetMedia {
                sender: &sender,
                media_id: "@crypt_m",
                encry_file_name: "notes%2Etxt",
                data_ticket: ticket,
            }
            .request(&call())
        };
        assert!(get(&Secret::default()).unwrap_err().to_string().contains("webwx_data_ticket"));
        let request = get(&"gQfix".into()).unwrap();
        assert_eq!(request.uri().host(), Some("file.wx2.qq.com"));
        let query = query(&request);
        assert_eq!(
            (query["encryfilename"].as_str(), query["fromuser"].as_str()),
            ("notes%2Etxt", "1048576001")
        );
    }
}
