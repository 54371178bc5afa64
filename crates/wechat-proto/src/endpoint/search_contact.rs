//! `POST BASE/webwxsearchcontact`: searches the own contacts at the server.
//!
//! The page's own call is commented out. Source: the protocol sheet, section 2.28.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, PLAIN_TIMEOUT, SMALL_BODY};
use crate::{
    BaseResponse, Call, ProtoError, RetCode, UserName,
    call::{self, Address, BaseRequest},
    flex,
    hosts::HostRole,
    json,
};

/// What is looked for.
#[derive(Clone, Copy)]
pub struct SearchContact<'a> {
    /// A part of a name.
    pub key_word: &'a str,
}

/// Who was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hits {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Names in this session.
    #[serde(default, rename = "List", deserialize_with = "flex::list")]
    pub list: Vec<Hit>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hit {
    /// Name in this session.
    #[serde(rename = "EncryUserName")]
    pub user_name: UserName,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    key_word: &'a str,
}

impl Endpoint for SearchContact<'_> {
    type Reply = Hits;
    const NAME: &'static str = "webwxsearchcontact";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let body = Body { base_request: call.base_request(Self::NAME)?, key_word: self.key_word };
        let address = Address::new(call, HostRole::Base, Self::NAME).with_session(call);
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Hits, ProtoError> {
        json::parse(Self::NAME, reply)
    }

    fn verdict(reply: &Hits) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, body, call};

    #[test]
    fn hits_are_names_of_this_session() {
        let search = SearchContact { key_word: "安" };
        assert_eq!(body(&search.request(&call()).unwrap())["KeyWord"], "安");
        let hits =
            search.parse(&answer(r#"{"BaseResponse":{"Ret":0},"List":[{"EncryUserName":"@a"}]}"#)).unwrap();
        assert_eq!(hits.list[0].user_name.as_str(), "@a");
    }
}
