//! What all sends have in common.
//!
//! Source: the protocol sheet, sections 2.14 and 6.2.

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::{
    BaseResponse, Call, ClientMsgId, MsgId, ProtoError, UserName,
    call::{self, Address, BaseRequest},
    flex, json,
};

/// From whom to whom, and under which id of ours.
#[derive(Debug, Clone, Copy)]
pub struct To<'a> {
    /// Self.
    pub own: &'a UserName,
    /// A friend, a group or `filehelper`.
    pub to: &'a UserName,
    /// The same for every repetition of this message.
    pub id: &'a ClientMsgId,
}

/// How the answer of every send reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sent {
    /// Anything but `Ok`: not sent. One refusal, 1101 included, is no proof that the session is
    /// over.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// The server's id: the `MsgId` under which an echo comes back, and what a revoke needs.
    #[serde(default, rename = "MsgID")]
    pub msg_id: MsgId,
    /// Our id, returned.
    #[serde(default, rename = "LocalID", deserialize_with = "flex::string")]
    pub local_id: String,
}

/// 0 for what originates here, 2 for what is passed on. Source: the protocol sheet, section 2.14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    Original,
    Forward,
}

/// The fields of `Msg`; those that are `None` are left out.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Fields<'a> {
    #[serde(rename = "Type")]
    pub(crate) kind: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) emoji_flag: Option<u8>,
    #[serde(rename = "EMoticonMd5", skip_serializing_if = "Option::is_none")]
    pub(crate) emoticon_md5: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Msg<'a> {
    #[serde(flatten)]
    fields: Fields<'a>,
    from_user_name: &'a UserName,
    to_user_name: &'a UserName,
    #[serde(rename = "LocalID")]
    local_id: &'a ClientMsgId,
    client_msg_id: &'a ClientMsgId,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    base_request: BaseRequest<'a>,
    msg: Msg<'a>,
    scene: u8,
}

pub(crate) fn request(
    endpoint: &'static str,
    call: &Call<'_>,
    address: Address,
    to: &To<'_>,
    fields: Fields<'_>,
    scene: Scene,
) -> Result<Request<Bytes>, ProtoError> {
    if to.to.is_empty() || to.own.is_empty() {
        return Err(ProtoError::request(endpoint, "a sender and a recipient", "an empty name"));
    }
    let msg =
        Msg { fields, from_user_name: to.own, to_user_name: to.to, local_id: to.id, client_msg_id: to.id };
    let scene = match scene {
        Scene::Original => 0,
        Scene::Forward => 2,
    };
    let body = Body { base_request: call.base_request(endpoint)?, msg, scene };
    call::post_json(endpoint, call, address.with_session(call), &body)
}

/// Reads the answer; a success must name the message.
pub(crate) fn parse(endpoint: &'static str, reply: &Response<Bytes>) -> Result<Sent, ProtoError> {
    let sent: Sent = json::parse(endpoint, reply)?;
    if sent.base.ret.is_ok() && sent.msg_id.is_empty() {
        return Err(ProtoError::answer(endpoint, "a MsgID", reply.body()));
    }
    Ok(sent)
}

/// Implements what is the same for every send.
macro_rules! send_endpoint {
    ($name:literal) => {
        type Reply = super::Sent;
        const NAME: &'static str = $name;
        const TIMEOUT: std::time::Duration = super::SEND_TIMEOUT;
        const BODY_LIMIT: usize = super::SMALL_BODY;

        fn parse(&self, reply: &http::Response<bytes::Bytes>) -> Result<super::Sent, crate::ProtoError> {
            super::envelope::parse(Self::NAME, reply)
        }

        fn verdict(reply: &super::Sent) -> crate::RetCode {
            reply.base.ret
        }
    };
}
pub(crate) use send_endpoint;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RetCode,
        endpoint::{
            Endpoint, SendText,
            fixture::{answer, body, call},
        },
    };

    #[test]
    fn item_70_a_repetition_has_the_same_id() {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let send = SendText { to: To { own: &own, to: &to, id: &id }, text: "x" };
        let first = body(&send.request(&call()).unwrap());
        let again = body(&send.request(&Call { now_ms: 1_800_000_000_000, nonce: 9, ..call() }).unwrap());
        assert_eq!(first["Msg"], again["Msg"]);
        assert_eq!(first["Msg"]["LocalID"], first["Msg"]["ClientMsgId"]);
    }

    #[test]
    fn item_77_a_refusal_of_a_send_is_a_reply_not_a_session_end() {
        let sent = parse(
            "webwxsendmsgimg",
            &answer(r#"{"BaseResponse":{"Ret":1101,"ErrMsg":""},"MsgID":"","LocalID":""}"#),
        );
        assert_eq!(sent.unwrap().base.ret, RetCode::SessionInvalid);
    }

    #[test]
    fn success_without_an_id_and_pages_are_ambiguous() {
        for text in ["", "<html>", r#"{"BaseResponse":{"Ret":0},"MsgID":""}"#] {
            assert!(parse("webwxsendmsg", &answer(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn item_72_the_id_that_an_echo_will_have_is_kept() {
        let sent = parse(
            "webwxsendmsg",
            &answer(r#"{"BaseResponse":{"Ret":0},"MsgID":7294813305518270465,"LocalID":"1"}"#),
        );
        assert_eq!(sent.unwrap().msg_id.as_str(), "7294813305518270465");
    }
}
