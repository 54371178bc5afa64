//! `POST BASE/webwxinit`: the start of a session, and again after a restart.
//!
//! Source: the protocol sheet, section 2.7.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Endpoint, LIST_BODY, PLAIN_TIMEOUT};
use crate::{
    BaseResponse, Call, Contact, ProtoError, RetCode, Secret, SelfUser, SyncKey, UserName, WireText,
    call::{self, Address, BaseRequest},
    flex,
    hosts::HostRole,
    json,
};

/// The request has no fields of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Init;

/// What a session starts with; on a refusal everything but `base` is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Initial {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Recent conversations only, not the address book; groups have dirty member lists.
    #[serde(default, deserialize_with = "flex::list")]
    pub contact_list: Vec<Contact>,
    /// Where the first sync starts.
    #[serde(default, deserialize_with = "flex::object")]
    pub sync_key: SyncKey,
    /// Oneself.
    #[serde(default, deserialize_with = "flex::object")]
    pub user: SelfUser,
    /// Comma-separated names of recent chats; see [`Initial::chats`].
    #[serde(default, deserialize_with = "flex::string")]
    pub chat_set: String,
    /// Replaces `skey` if it is not empty.
    #[serde(default, rename = "SKey")]
    pub skey: Secret,
    /// The phone's version.
    #[serde(default, deserialize_with = "flex::int")]
    pub client_version: i64,
    /// The server's clock, in seconds.
    #[serde(default, deserialize_with = "flex::int")]
    pub system_time: i64,
    /// Above this size of a group, members are invited and not added.
    #[serde(default, deserialize_with = "flex::int")]
    pub invite_start_count: i64,
    /// Recent articles of followed accounts.
    #[serde(default, rename = "MPSubscribeMsgList", deserialize_with = "flex::list")]
    pub subscriptions: Vec<Subscription>,
}

/// Recent articles of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Subscription {
    /// The account.
    pub user_name: UserName,
    /// Its name.
    pub nick_name: WireText,
    /// Unix seconds.
    #[serde(deserialize_with = "flex::int")]
    pub time: i64,
    /// The articles.
    #[serde(rename = "MPArticleList", deserialize_with = "flex::list")]
    pub articles: Vec<SubscribedArticle>,
}

/// One article.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubscribedArticle {
    /// Headline.
    pub title: WireText,
    /// Summary.
    pub digest: WireText,
    /// Address of a picture.
    #[serde(deserialize_with = "flex::string")]
    pub cover: String,
    /// Address of the text.
    #[serde(deserialize_with = "flex::string")]
    pub url: String,
}

impl Initial {
    /// The recent chats, most recent first; may name groups that are nowhere else.
    pub fn chats(&self) -> impl Iterator<Item = UserName> + '_ {
        self.chat_set.split(',').filter(|name| !name.is_empty()).map(UserName::new)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
}

impl Endpoint for Init {
    type Reply = Initial;
    const NAME: &'static str = "webwxinit";
    const TIMEOUT: Duration = PLAIN_TIMEOUT;
    const BODY_LIMIT: usize = LIST_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let address = Address::new(call, HostRole::Base, "webwxinit")
            .with_number("r", i64::from(call.inverted_ms()))
            .with_session(call);
        call::post_json(Self::NAME, call, address, &Body { base_request: call.base_request(Self::NAME)? })
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Initial, ProtoError> {
        let mut initial: Initial = json::parse(Self::NAME, reply)?;
        initial.contact_list = super::named(initial.contact_list);
        if initial.base.ret.is_ok() && (initial.user.user_name.is_empty() || !initial.sync_key.is_usable()) {
            return Err(ProtoError::answer(Self::NAME, "User and SyncKey", reply.body()));
        }
        Ok(initial)
    }

    fn verdict(reply: &Initial) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    #[test]
    fn a_refusal_has_empty_fields() {
        let body = r#"{"BaseResponse":{"Ret":1102,"ErrMsg":""},"Count":0,"ContactList":[],"SyncKey":{"Count":0,"List":[]},"User":{"Uin":0,"UserName":""},"ChatSet":"","SKey":""}"#;
        let initial = Init.parse(&answer(body)).unwrap();
        assert_eq!(Init::verdict(&initial), RetCode::CookieInvalid);
        assert!(!initial.sync_key.is_usable());
    }

    #[test]
    fn item_35_the_chats_name_groups_that_no_list_has() {
        let body = r#"{"BaseResponse":{"Ret":0},"ContactList":[],"SyncKey":{"Count":1,"List":[{"Key":1,"Val":2}]},"User":{"UserName":"@s"},"ChatSet":"filehelper,@@unsaved,,@a,"}"#;
        let initial = Init.parse(&answer(body)).unwrap();
        let chats: Vec<UserName> = initial.chats().collect();
        assert_eq!(chats, ["filehelper".into(), "@@unsaved".into(), "@a".into()]);
    }

    #[test]
    fn item_44_an_own_name_that_is_cut_in_the_middle_of_a_character_costs_no_session() {
        let body = r#"{"BaseResponse":{"Ret":0},"ContactList":[{"UserName":"@a","NickName":"\ud83d"}],"SyncKey":{"Count":1,"List":[{"Key":1,"Val":2}]},"User":{"UserName":"@s","NickName":"Lin \ud83d"}}"#;
        let initial = Init.parse(&answer(body)).unwrap();
        assert_eq!((initial.user.user_name.as_str(), initial.contact_list.len()), ("@s", 1));
    }

    #[test]
    fn success_without_a_self_or_a_key_is_no_success() {
        assert!(Init.parse(&answer(r#"{"BaseResponse":{"Ret":0,"ErrMsg":""}}"#)).is_err());
    }
}
