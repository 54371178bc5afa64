//! The machine's requests as a caller makes them, and the answers as the machine hears them.
//!
//! Source of every path: <https://spec.matrix.org/v1.16/client-server-api/#end-to-end-encryption>

use http::Method;
use matrix_sdk_crypto::OlmMachine;
use matrix_sdk_crypto::types::requests::{
    AnyIncomingResponse, AnyOutgoingRequest, KeysQueryRequest, OutgoingRequest, RoomMessageRequest,
    ToDeviceRequest, UploadSigningKeysRequest,
};
use ruma::api::IncomingResponse;
use ruma::api::client::keys::{claim_keys, get_keys, upload_keys, upload_signatures, upload_signing_keys};
use ruma::api::client::message::send_message_event;
use ruma::api::client::to_device::send_event_to_device;
use ruma::events::MessageLikeEventContent;
use ruma::{OwnedTransactionId, TransactionId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::MachineError;
use crate::told;

const KEYS: &str = "/_matrix/client/v3/keys";
/// An answer to an upload that counts nothing.
const NO_STOCK: &[u8] = br#"{"one_time_key_counts":{}}"#;

/// What an answer is an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Upload,
    Query,
    Claim,
    ToDevice,
    Signatures,
    SigningKeys,
    RoomMessage,
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It reads what is sent to it.
    Reads,
    /// It only sends. What clients send to it nobody ever reads, so it does not keep fifty keys in stock, each for
    /// one of them: it offers the one that all of them may use (the fallback key).
    OnlySends,
}

/// A request of the machine.
#[derive(Debug)]
pub struct Request {
    /// For errors and logs.
    pub name: &'static str,
    /// Which method.
    pub method: Method,
    /// The path's beginning, as it is.
    pub base: &'static str,
    /// The rest of the path, to be encoded.
    pub segments: Vec<String>,
    /// JSON.
    pub body: Vec<u8>,
    id: OwnedTransactionId,
    kind: Kind,
}

impl Request {
    fn post(name: &'static str, kind: Kind, last: &str, id: &TransactionId, body: &impl Serialize) -> Self {
        Self {
            name,
            method: Method::POST,
            base: KEYS,
            segments: last.split('/').map(str::to_owned).collect(),
            // Such types always have a JSON form; an empty body would be refused by the homeserver.
            body: serde_json::to_vec(body).unwrap_or_default(),
            id: id.to_owned(),
            kind,
        }
    }

    pub(crate) fn query(id: &TransactionId, request: &KeysQueryRequest) -> Self {
        let body = json!({ "device_keys": request.device_keys });
        Self::post("query keys", Kind::Query, "query", id, &body)
    }

    pub(crate) fn claim(id: &TransactionId, request: &claim_keys::v3::Request) -> Self {
        let body = json!({ "one_time_keys": request.one_time_keys });
        Self::post("claim keys", Kind::Claim, "claim", id, &body)
    }

    #[cfg(test)]
    pub(crate) fn claim_of(body: &Value) -> Self {
        Self::post("claim keys", Kind::Claim, "claim", &TransactionId::new(), body)
    }

    /// The same request with another body.
    pub(crate) fn with_body(&self, body: &Value) -> Self {
        let (base, segments, id) = (self.base, self.segments.clone(), self.id.clone());
        // JSON of JSON.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { name: self.name, method: self.method.clone(), base, segments, body, id, kind: self.kind }
    }

    fn upload(id: &TransactionId, request: &upload_keys::v3::Request, purpose: Purpose) -> Self {
        let mut body = json!({ "fallback_keys": request.fallback_keys });
        if let Some(keys) = &request.device_keys {
            body["device_keys"] = json!(keys);
        }
        if purpose == Purpose::Reads {
            body["one_time_keys"] = json!(request.one_time_keys);
        }
        Self::post("upload keys", Kind::Upload, "upload", id, &body)
    }

    pub(crate) fn signing_keys(request: &UploadSigningKeysRequest) -> Self {
        let body = json!({
            "master_key": request.master_key,
            "self_signing_key": request.self_signing_key,
            "user_signing_key": request.user_signing_key,
        });
        let id = TransactionId::new();
        Self::post("upload signing keys", Kind::SigningKeys, "device_signing/upload", &id, &body)
    }

    pub(crate) fn signatures(id: &TransactionId, request: &upload_signatures::v3::Request) -> Self {
        Self::post("upload signatures", Kind::Signatures, "signatures/upload", id, &request.signed_keys)
    }

    pub(crate) fn to_device(request: &ToDeviceRequest) -> Self {
        Self {
            name: "send to devices",
            method: Method::PUT,
            base: "/_matrix/client/v3/sendToDevice",
            segments: vec![request.event_type.to_string(), request.txn_id.to_string()],
            body: serde_json::to_vec(&json!({ "messages": request.messages })).unwrap_or_default(),
            id: request.txn_id.clone(),
            kind: Kind::ToDevice,
        }
    }

    /// A step of a verification that is said in a room.
    pub(crate) fn said(id: &TransactionId, request: &RoomMessageRequest) -> Self {
        let kind = request.content.event_type().to_string();
        let room_id = request.room_id.to_string();
        Self {
            name: "send a step of a verification",
            method: Method::PUT,
            base: "/_matrix/client/v3/rooms",
            segments: vec![room_id, "send".to_owned(), kind, request.txn_id.to_string()],
            body: serde_json::to_vec(&request.content).unwrap_or_default(),
            id: id.to_owned(),
            kind: Kind::RoomMessage,
        }
    }

    /// What it says in a room, and where: the room, the event's type, the transaction id and the content. Where the
    /// room is encrypted it has to be as well.
    pub fn said_in_room(&self) -> Option<(&str, &str, &str, Value)> {
        match (self.kind, self.segments.as_slice()) {
            (Kind::RoomMessage, [room_id, _, kind, txn_id]) => {
                Some((room_id, kind, txn_id, serde_json::from_slice(&self.body).unwrap_or_default()))
            }
            _ => None,
        }
    }

    pub(crate) fn of(outgoing: &OutgoingRequest, purpose: Purpose) -> Self {
        let id = outgoing.request_id();
        match outgoing.request() {
            AnyOutgoingRequest::KeysUpload(request) => Self::upload(id, request, purpose),
            AnyOutgoingRequest::KeysQuery(request) => Self::query(id, request),
            AnyOutgoingRequest::KeysClaim(request) => Self::claim(id, request),
            AnyOutgoingRequest::ToDeviceRequest(request) => Self::to_device(request),
            AnyOutgoingRequest::SignatureUpload(request) => Self::signatures(id, request),
            AnyOutgoingRequest::RoomMessage(request) => Self::said(id, request),
        }
    }

    /// True for a question for devices: whoever asks it gets the same answer, until a device changes.
    pub fn asks_for_devices(&self) -> bool {
        self.kind == Kind::Query
    }

    /// The machine hears the answer.
    pub(crate) async fn answered(
        &self,
        olm: &OlmMachine,
        body: &[u8],
        purpose: Purpose,
    ) -> Result<(), MachineError> {
        match self.kind {
            // How many keys are in stock is no business of a device that keeps none: it would make more.
            Kind::Upload if purpose == Purpose::OnlySends => {
                let answer: upload_keys::v3::Response = read(self.name, NO_STOCK)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::Upload => {
                let answer: upload_keys::v3::Response = read(self.name, body)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::Query => {
                // Most are taken as they are; of others what can be read.
                let whole = told::is_short(body).then(|| read(self.name, body).ok()).flatten();
                let answer: get_keys::v3::Response = match whole {
                    Some(answer) => answer,
                    None => read(self.name, &self.readable(told::of_query(body))?)?,
                };
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::Claim => {
                let answer: claim_keys::v3::Response =
                    read(self.name, &self.readable(told::of_claim(body))?)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::ToDevice => {
                let answer: send_event_to_device::v3::Response = read(self.name, body)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::Signatures => {
                let answer: upload_signatures::v3::Response = read(self.name, body)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
            Kind::SigningKeys => {
                let answer: upload_signing_keys::v3::Response = read(self.name, body)?;
                olm.mark_request_as_sent(&self.id, AnyIncomingResponse::SigningKeysUpload(&answer)).await
            }
            Kind::RoomMessage => {
                let answer: send_message_event::v3::Response = read(self.name, body)?;
                olm.mark_request_as_sent(&self.id, &answer).await
            }
        }
        .map_err(MachineError::of_olm)
    }

    fn readable(&self, told: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, MachineError> {
        told.map_err(|error| MachineError::Answer { what: self.name, why: error.to_string() })
    }
}

/// An answer in the machine's own words.
fn read<T: IncomingResponse>(what: &'static str, body: &[u8]) -> Result<T, MachineError> {
    T::try_from_http_response(http::Response::new(body))
        .map_err(|error| MachineError::Answer { what, why: error.to_string() })
}
