//! `POST BASE/webwxsync`: fetches what changed.
//!
//! Source: the protocol sheet, section 2.12.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::{Endpoint, LIST_BODY, SEND_TIMEOUT};
use crate::{
    BaseResponse, Call, ModContact, ProfileChange, ProtoError, RawMessage, RetCode, Secret, SyncKey,
    call::{self, Address, BaseRequest},
    contact::DelContact,
    flex,
    hosts::HostRole,
    json,
};

/// Since when. One at a time: two with the same key deliver the same messages twice.
#[derive(Debug, Clone, Copy)]
pub struct FetchChanges<'a> {
    /// The last `SyncKey`, unchanged. Repeating a call with the same key is safe.
    pub key: &'a SyncKey,
    /// How much of the answer has to be readable.
    pub reading: Reading,
}

/// How much of an answer has to be readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Each message, else there is no answer: its key would lose those that are not.
    #[default]
    Whole,
    /// What can be read of each, which is for an answer that came often and never whole: the key brings no other one.
    WhatCanBe,
}

/// What changed, to be applied in the order profile, deleted, modified, messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "M: DeserializeOwned"))]
pub struct Changes<M = RawMessage> {
    /// The result.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Change of the own profile.
    #[serde(default, deserialize_with = "flex::object")]
    pub profile: ProfileChange,
    /// Friends and groups that are gone.
    #[serde(default, rename = "DelContactList", deserialize_with = "flex::list")]
    pub deleted: Vec<DelContact>,
    /// Changed and new contacts; a new group's record comes with or before its first message.
    #[serde(default, rename = "ModContactList", deserialize_with = "flex::list")]
    pub modified: Vec<ModContact>,
    /// New messages; drop those whose id is known.
    #[serde(default, rename = "AddMsgList", deserialize_with = "flex::whole_list")]
    pub messages: Vec<M>,
    /// How many of them are not whole.
    #[serde(skip)]
    pub damaged: usize,
    /// Not 0: perhaps more waits; see [`Changes::continues`].
    #[serde(default, deserialize_with = "flex::int")]
    pub continue_flag: i64,
    /// For the next `webwxsync`, to be adopted after the batch was handed on.
    #[serde(default, deserialize_with = "flex::object")]
    pub sync_key: SyncKey,
    /// For the next `synccheck`.
    #[serde(default, deserialize_with = "flex::object")]
    pub sync_check_key: SyncKey,
    /// Replaces `skey` if it is not empty.
    #[serde(default, rename = "SKey")]
    pub skey: Secret,
}

impl Changes {
    /// Whether nothing happened at all, which is normal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.modified.is_empty()
            && self.deleted.is_empty()
            && !self.profile.is_change()
    }

    /// Whether to sync again at once, a bounded number of times.
    ///
    /// Source: the protocol sheet, section 2.12 (`ContinueFlag`, uncertain: "safe handling").
    #[must_use]
    pub fn continues(&self) -> bool {
        self.base.ret.is_ok() && self.continue_flag != 0 && !self.is_empty()
    }

    /// Adopts the keys of this answer; says whether the key of `webwxsync` moved.
    ///
    /// Only on success, and each only if it is usable; otherwise the old one stays.
    /// Source: the protocol sheet, section 2.12, rule 1.
    pub fn adopt_keys(&self, sync: &mut SyncKey, check: &mut SyncKey) -> bool {
        let moved = sync.adopt(self.base.ret, &self.sync_key);
        check.adopt(self.base.ret, &self.sync_check_key);
        moved
    }
}

/// What could be read of a message.
struct Salvaged {
    message: RawMessage,
    is_whole: bool,
}

impl<'de> Deserialize<'de> for Salvaged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(message) = flex::read(&raw) {
            return Ok(Self { message, is_whole: true });
        }
        let mut fields = flex::readable(&raw);
        if !fields.contains_key("Content") {
            // Without its content it is of no kind that could be shown.
            fields.remove("MsgType");
        }
        let message = serde_json::from_value(Value::Object(fields)).unwrap_or_default();
        Ok(Self { message, is_whole: false })
    }
}

impl From<Changes<Salvaged>> for Changes {
    fn from(read: Changes<Salvaged>) -> Self {
        let damaged = read.messages.iter().filter(|salvaged| !salvaged.is_whole).count();
        Self {
            base: read.base,
            profile: read.profile,
            deleted: read.deleted,
            modified: read.modified,
            messages: read.messages.into_iter().map(|salvaged| salvaged.message).collect(),
            damaged,
            continue_flag: read.continue_flag,
            sync_key: read.sync_key,
            sync_check_key: read.sync_check_key,
            skey: read.skey,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    sync_key: &'a SyncKey,
    #[serde(rename = "rr")]
    inverted_ms: i32,
}

impl Endpoint for FetchChanges<'_> {
    type Reply = Changes;
    const NAME: &'static str = "webwxsync";
    const TIMEOUT: Duration = SEND_TIMEOUT;
    const BODY_LIMIT: usize = LIST_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let credentials = call.needs_credentials(Self::NAME)?;
        let address = Address::new(call, HostRole::Base, "webwxsync")
            .with("sid", credentials.sid.reveal())
            .with("skey", credentials.skey.reveal())
            .with_session(call);
        let base_request = call.base_request(Self::NAME)?;
        let body = Body { base_request, sync_key: self.key, inverted_ms: call.inverted_ms() };
        call::post_json(Self::NAME, call, address, &body)
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Changes, ProtoError> {
        match self.reading {
            Reading::Whole => json::parse(Self::NAME, reply),
            Reading::WhatCanBe => json::parse::<Changes<Salvaged>>(Self::NAME, reply).map(Changes::from),
        }
    }

    fn verdict(reply: &Changes) -> RetCode {
        reply.base.ret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    fn key(text: &str) -> SyncKey {
        SyncKey::from_text(text).unwrap()
    }

    fn changes(body: &'static str) -> Changes {
        FetchChanges { key: &key("1_1"), reading: Reading::Whole }.parse(&answer(body)).unwrap()
    }

    #[test]
    fn a_message_that_can_never_be_read_as_a_whole_costs_no_other_one_and_is_shown() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let body = format!(
            r#"{{"BaseResponse":{{"Ret":0}},"AddMsgList":[{{"MsgId":"1","MsgType":1,"Content":"hi","ImgWidth":1e999}},
            {{"MsgId":"2","FromUserName":"@a","MsgType":1,"CreateTime":7,"Content":{deep},"Content":{deep}}},
            {{"MsgId":"3","MsgType":1,"Content":"whole"}}]}}"#
        );
        let body = http::Response::new(Bytes::from(body));
        let (key, reading) = (key("1_1"), Reading::WhatCanBe);
        assert!(FetchChanges { key: &key, reading: Reading::Whole }.parse(&body).is_err());
        let reply = FetchChanges { key: &key, reading }.parse(&body).unwrap();
        let read: Vec<_> =
            reply.messages.iter().map(|m| (m.msg_id.as_str(), m.msg_type, &*m.content)).collect();
        assert_eq!(read, [("1", 1, "hi"), ("2", 0, ""), ("3", 1, "whole")]);
        assert_eq!((reply.messages[1].from_user_name.as_str(), reply.messages[1].create_time), ("@a", 7));
        assert_eq!(reply.damaged, 2);
        let broken =
            http::Response::new(Bytes::from_static(b"{\"BaseResponse\":{\"Ret\":0},\"AddMsgList\":[{"));
        assert!(FetchChanges { key: &key, reading }.parse(&broken).is_err(), "that is no answer");
    }

    #[test]
    fn item_15_the_poll_gets_its_own_key() {
        let reply = changes(
            r#"{"BaseResponse":{"Ret":0},"SyncKey":{"Count":1,"List":[{"Key":1,"Val":2}]},"SyncCheckKey":{"Count":1,"List":[{"Key":1,"Val":3}]}}"#,
        );
        let (mut sync, mut check) = (key("1_1"), key("1_1"));
        assert!(reply.adopt_keys(&mut sync, &mut check));
        assert_eq!((sync.text().as_str(), check.text().as_str()), ("1_2", "1_3"));
    }

    #[test]
    fn item_17_a_dead_session_shows_in_the_sync_and_moves_no_key() {
        let reply = changes(
            r#"{"BaseResponse":{"Ret":1101,"ErrMsg":""},"SyncKey":{"Count":0,"List":[]},"SyncCheckKey":{"Count":0,"List":[]}}"#,
        );
        assert!(FetchChanges::verdict(&reply).ends_session());
        let (mut sync, mut check) = (key("1_1"), key("1_5"));
        assert!(!reply.adopt_keys(&mut sync, &mut check));
        assert_eq!((sync.text().as_str(), check.text().as_str()), ("1_1", "1_5"));
    }

    #[test]
    fn item_44_half_a_surrogate_pair_costs_no_message_and_no_contact() {
        let reply = changes(
            r#"{"BaseResponse":{"Ret":0},"AddMsgList":[{"MsgId":"1","MsgType":1,"Content":"hi \ud83d"}],"ModContactList":[{"UserName":"@b","NickName":"\udc00B"}]}"#,
        );
        assert_eq!(reply.messages[0].content, "hi \u{fffd}");
        assert_eq!(reply.modified[0].nick_name.raw(), "\u{fffd}B");
    }

    #[test]
    fn item_25_everything_that_an_answer_can_say_is_read() {
        let reply = changes(
            r#"{"BaseResponse":{"Ret":0},"DelContactList":[{"UserName":"@a","ContactFlag":2}],"ModContactList":[{"UserName":"@b","NickName":"B"}],"Profile":{"BitFlag":190,"NickName":{"Buff":"N"}},"SKey":"@crypt_new","ContinueFlag":1}"#,
        );
        assert_eq!(reply.deleted[0].user_name.as_str(), "@a");
        assert_eq!(reply.modified[0].nick_name.raw(), "B");
        assert_eq!(reply.profile.nick_name.buff.raw(), "N");
        assert_eq!(reply.skey.reveal(), "@crypt_new");
        assert!(reply.continues() && !reply.is_empty());
        assert!(!changes(r#"{"BaseResponse":{"Ret":0},"ContinueFlag":1}"#).continues(), "empty: no loop");
    }
}
