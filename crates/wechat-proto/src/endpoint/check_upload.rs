//! `POST BASE/webwxcheckupload`: asks before a large file is uploaded.
//!
//! Source: the protocol sheet, section 2.21.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY};
use crate::{
    BaseResponse, Call, ProtoError, RetCode, Secret, UserName,
    call::{self, Address, BaseRequest},
    flex,
    hosts::HostRole,
    json, upload,
};

/// What is going to be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct CheckUpload<'a> {
    /// Self.
    pub own: &'a UserName,
    /// For whom.
    pub to: &'a UserName,
    /// Size.
    pub bytes: u64,
    /// Lower-case hex of the whole file.
    pub md5: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    /// Anything but `Ok`: show its message and stop.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Not empty: the server has the file; skip the upload.
    #[serde(default, deserialize_with = "flex::string")]
    pub media_id: String,
    /// For the upload.
    #[serde(default, rename = "AESKey")]
    pub aes_key: Secret,
    /// For the upload and for the send.
    #[serde(default)]
    pub signature: Secret,
    /// Opaque.
    #[serde(default, deserialize_with = "flex::string")]
    pub encry_file_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    from_user_name: &'a UserName,
    to_user_name: &'a UserName,
    file_size: u64,
    file_md5: &'a str,
    file_name: &'a str,
    file_type: u8,
}

/// Mandatory. Source: the protocol sheet, section 2.21 (PW).
const FILE_TYPE: u8 = 7;

impl Endpoint for CheckUpload<'_> {
    type Reply = Checked;
    const NAME: &'static str = "webwxcheckupload";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let body = Body {
            base_request: call.base_request(Self::NAME)?,
            from_user_name: self.own,
            to_user_name: self.to,
            file_size: self.bytes,
            file_md5: self.md5,
            file_name: upload::base_name(self.name),
            file_type: FILE_TYPE,
        };
        let address = Address::new(call, HostRole::Base, Self::NAME).with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Checked, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Checked) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, body, call};

    #[test]
    fn item_66_a_large_file_is_announced() {
        let check = CheckUpload {
            own: &"@s".into(),
            to: &"@a".into(),
            bytes: 31_457_280,
            md5: "0cc175b9c0f1b6a831c399e269772661",
            name: "/tmp/big.zip",
        };
        let json = body(&check.request(&call()).unwrap());
        assert_eq!(
            (&json["FileType"], &json["FileName"], &json["FileSize"]),
            (&7.into(), &"big.zip".into(), &31_457_280.into())
        );
        assert!(!upload::needs_check(26_214_400) && upload::needs_check(26_214_401));
        let reply = check
            .parse(&answer(r#"{"BaseResponse":{"Ret":0},"MediaId":"","AESKey":"k","Signature":"s"}"#))
            .unwrap();
        assert_eq!((reply.aes_key.reveal(), reply.signature.reveal()), ("k", "s"));
    }
}
