//! `POST BASE/webwxsync`: fetches what changed.
//!
//! Source: the protocol sheet, section 2.12.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

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
}

/// What changed, to be applied in the order profile, deleted, modified, messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Changes {
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
    /// New messages; drop those whose id is known. An answer with one that cannot be read is none: its key would lose it.
    #[serde(default, rename = "AddMsgList", deserialize_with = "flex::whole_list")]
    pub messages: Vec<RawMessage>,
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
        json::parse(Self::NAME, reply)
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
        FetchChanges { key: &key("1_1") }.parse(&answer(body)).unwrap()
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
