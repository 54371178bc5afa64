//! `GET BASE/webwxgetcontact`: the address book, page by page.
//!
//! Only groups "saved to contacts" are in it. Source: the protocol sheet, section 2.9.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::Deserialize;

use super::{CONTACTS_TIMEOUT, Endpoint, LIST_BODY};
use crate::{
    BaseResponse, Call, Contact, ProtoError, RetCode,
    call::{self, Address, Referer},
    flex,
    hosts::HostRole,
    json,
};

/// The page stops after so many pages. Source: the protocol sheet, section 2.9.
pub const MAX_PAGES: usize = 17;

/// One page.
#[derive(Debug, Clone, Copy, Default)]
pub struct GetContact {
    /// 0 at first, then the `Seq` of the last answer.
    pub seq: i64,
}

/// A part of the address book.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContactPage {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// In no meaningful order; may include oneself.
    #[serde(default, deserialize_with = "flex::list")]
    pub member_list: Vec<Contact>,
    /// Not 0: more pages follow.
    #[serde(default, deserialize_with = "flex::int")]
    pub seq: i64,
}

impl ContactPage {
    /// What to ask for next, having asked for `asked`; `None` when all is there, or when the
    /// service repeats itself.
    #[must_use]
    pub fn next(&self, asked: GetContact) -> Option<GetContact> {
        (self.base.ret.is_ok() && self.seq != 0 && self.seq != asked.seq)
            .then_some(GetContact { seq: self.seq })
    }
}

impl Endpoint for GetContact {
    type Reply = ContactPage;
    const NAME: &'static str = "webwxgetcontact";
    const TIMEOUT: Duration = CONTACTS_TIMEOUT;
    const BODY_LIMIT: usize = LIST_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let credentials = call.needs_credentials(Self::NAME)?;
        let address = Address::new(call, HostRole::Base, "webwxgetcontact")
            .with_session(call)
            .with_number("r", call.now_ms)
            .with_number("seq", self.seq)
            .with("skey", credentials.skey.reveal());
        call::get(Self::NAME, call, address, Referer::BaseHost)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<ContactPage, ProtoError> {
        let mut page: ContactPage = json::parse(Self::NAME, reply)?;
        page.member_list = super::named(page.member_list);
        Ok(page)
    }

    fn verdict(reply: &ContactPage) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    #[test]
    fn item_36_paging_follows_seq_until_it_is_0_or_repeats() {
        let page = |seq: i64| {
            let body = format!(r#"{{"BaseResponse":{{"Ret":0}},"MemberList":[],"Seq":{seq}}}"#);
            GetContact { seq: 0 }.parse(&answer(body)).unwrap()
        };
        assert_eq!(page(9).next(GetContact { seq: 0 }).map(|next| next.seq), Some(9));
        assert!(page(9).next(GetContact { seq: 9 }).is_none());
        assert!(page(0).next(GetContact { seq: 9 }).is_none());
    }

    #[test]
    fn item_44_one_bad_nickname_does_not_cost_the_list() {
        let body = b"{\"BaseResponse\":{\"Ret\":0,\"ErrMsg\":\"\"},\"MemberList\":[{\"UserName\":\"@a\",\"NickName\":\"\xe5\xbe\"},{\"UserName\":\"@b\",\"NickName\":7}],\"Seq\":0}";
        assert_eq!(GetContact::default().parse(&answer(&body[..])).unwrap().member_list.len(), 2);
        let half =
            r#"{"BaseResponse":{"Ret":0},"MemberList":[{"UserName":"@a","NickName":"\ud83d"}],"Seq":0}"#;
        assert_eq!(GetContact::default().parse(&answer(half)).unwrap().member_list.len(), 1);
    }
}
