//! Verification by emoji: somebody's client asks for it, both sides show seven pictures, and who sees the same ones
//! says so.
//!
//! Nothing of it is kept over a restart; whoever was in the middle begins again, as in all clients.
//! Source: client-server API, "Short Authentication String (SAS) verification".

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use matrix_sdk_crypto::types::requests::OutgoingVerificationRequest;
use matrix_sdk_crypto::{Sas, Verification, VerificationRequestState};
use ruma::OwnedUserId;
use ruma::events::AnyMessageLikeEvent;
use ruma::events::key::verification::VerificationMethod;
use ruma::events::key::verification::cancel::CancelCode;
use ruma::serde::Raw;
use serde_json::Value;

use crate::machine::{Machine, MachineError, user};
use crate::wire::Request;

/// Verifications that are followed at once. Chosen: each takes two people a minute; the oldest one goes, and its
/// client gives it up after ten.
const FOLLOWED: usize = 32;
/// Those of one person. Chosen: clients have one at a time, and one that is over is told of.
const OF_ONE: usize = 4;

/// How far a verification is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Their client is asked on, or has to do something.
    Going,
    /// Both show these: symbol and name.
    Compare(Vec<(String, String)>),
    /// We have said that they are the same.
    Agreed,
    /// It is done.
    Done,
    /// It was given up; why, as a clause for people.
    Cancelled(String),
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who asked.
    pub user_id: String,
    /// What it is told from others by.
    pub id: String,
}

/// Those that are followed.
#[derive(Debug, Default)]
pub(crate) struct Flows(Mutex<VecDeque<Followed>>);

#[derive(Debug)]
struct Followed {
    flow: Flow,
    /// Whom it verified is written down.
    is_noted: bool,
}

impl Flows {
    fn note(&self, flow: Flow) {
        let mut flows = self.flows();
        if flows.iter().any(|followed| followed.flow == flow) {
            return;
        }
        let is_theirs = |followed: &&Followed| followed.flow.user_id == flow.user_id;
        if flows.iter().filter(is_theirs).count() >= OF_ONE {
            let oldest = flows.iter().position(|followed| is_theirs(&followed));
            oldest.map(|at| flows.remove(at));
        }
        if flows.len() >= FOLLOWED {
            flows.pop_front();
        }
        flows.push_back(Followed { flow, is_noted: false });
    }

    fn flows(&self) -> MutexGuard<'_, VecDeque<Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Flow> {
        self.flows().iter().map(|followed| followed.flow.clone()).collect()
    }

    /// Those of which is not written down whom they verified.
    pub(crate) fn not_noted(&self) -> Vec<Flow> {
        let flows = self.flows();
        flows.iter().filter(|followed| !followed.is_noted).map(|followed| followed.flow.clone()).collect()
    }

    /// It is written down.
    pub(crate) fn noted(&self, flow: &Flow) {
        let mut flows = self.flows();
        flows
            .iter_mut()
            .filter(|followed| followed.flow == *flow)
            .for_each(|followed| followed.is_noted = true);
    }
}

/// Whether an event is a step of a verification, and of which: the id of the request.
pub fn step_of(kind: &str, event_id: &str, content: &Value) -> Option<String> {
    if kind == "m.room.message" {
        let is_request = content.get("msgtype").and_then(Value::as_str) == Some("m.key.verification.request");
        return is_request.then(|| event_id.to_owned());
    }
    kind.strip_prefix("m.key.verification.")?;
    let in_room = content.pointer("/m.relates_to/event_id").and_then(Value::as_str);
    let to_device = content.get("transaction_id").and_then(Value::as_str);
    in_room.or(to_device).map(str::to_owned)
}

/// The verification of which an event is a step that was sent to a device.
pub(crate) fn sent_step(event: &Value) -> Option<Flow> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = step_of(text("type"), "", event.get("content")?).filter(|id| !id.is_empty())?;
    Some(Flow { user_id: text("sender").to_owned(), id })
}

impl Machine {
    /// Hears a step that was said in a room, decrypted. The devices of its sender have to be known.
    ///
    /// # Errors
    /// `Words` when it is no event; `Store`.
    pub async fn hear_step(&self, event: &Value, flow: Flow) -> Result<(), MachineError> {
        let words =
            |error| MachineError::Words(format!("a step of a verification cannot be understood: {error}"));
        let event = Raw::new(event).map_err(words)?.cast_unchecked::<AnyMessageLikeEvent>();
        let event = event.deserialize().map_err(words)?;
        self.olm.receive_verification_event(&event).await?;
        self.follow([flow]).await
    }

    /// Follows verifications of which the device has heard a step: of those who may verify it, because only so many are
    /// followed. Whom those that are done have verified is written down.
    ///
    /// # Errors
    /// `Store`.
    pub async fn follow(&self, flows: impl IntoIterator<Item = Flow>) -> Result<(), MachineError> {
        flows.into_iter().for_each(|flow| self.flows.note(flow));
        self.note_done().await
    }

    /// The verifications that are followed.
    pub fn flows(&self) -> Vec<Flow> {
        self.flows.all()
    }

    /// What has to be said to get on with one that somebody else began.
    pub fn go_on(&self, flow: &Flow) -> Vec<Request> {
        let Ok(user_id) = user(&flow.user_id) else { return Vec::new() };
        let mut said = Vec::new();
        let request = self.olm.get_verification_request(&user_id, &flow.id);
        if let Some(request) = request.filter(|request| !request.we_started())
            && matches!(request.state(), VerificationRequestState::Requested { .. })
        {
            said.extend(request.accept_with_methods(vec![VerificationMethod::SasV1]));
        }
        if let Some(sas) = self.sas(&user_id, flow)
            && !sas.we_started()
            && !sas.has_been_accepted()
        {
            said.extend(sas.accept());
        }
        said.iter().map(Request::verification).collect()
    }

    /// How far one is; `None` when nothing is known of it any more.
    pub fn stage(&self, flow: &Flow) -> Option<Stage> {
        let user_id = user(&flow.user_id).ok()?;
        let request = self.olm.get_verification_request(&user_id, &flow.id);
        if let Some(info) = request.as_ref().and_then(|request| request.cancel_info()) {
            return Some(Stage::Cancelled(info.reason().to_owned()));
        }
        let Some(sas) = self.sas(&user_id, flow) else { return request.map(|_| Stage::Going) };
        if let Some(info) = sas.cancel_info() {
            return Some(Stage::Cancelled(info.reason().to_owned()));
        }
        Some(match sas.emoji() {
            _ if sas.is_done() => Stage::Done,
            _ if sas.have_we_confirmed() => Stage::Agreed,
            Some(emoji) if sas.can_be_presented() => Stage::Compare(
                emoji.iter().map(|one| (one.symbol.to_owned(), one.description.to_owned())).collect(),
            ),
            _ => Stage::Going,
        })
    }

    /// Says whether the pictures are the same, as somebody has seen.
    ///
    /// # Errors
    /// `Store` when what was verified cannot be written down.
    pub async fn decide(&self, flow: &Flow, are_the_same: bool) -> Result<Vec<Request>, MachineError> {
        let Some(sas) = self.sas(&user(&flow.user_id)?, flow) else { return Ok(Vec::new()) };
        if !are_the_same {
            let cancelled = sas.cancel_with_code(CancelCode::MismatchedSas);
            return Ok(cancelled.iter().map(Request::verification).collect());
        }
        let (said, signatures) = sas.confirm().await?;
        // One that is done by this alone. Most are once the other side's `done` was heard: until then nobody is noted, and
        // nobody is told that they are verified.
        self.note_done().await?;
        let id = ruma::TransactionId::new();
        let signatures = signatures.as_ref().map(|signatures| Request::signatures(&id, signatures));
        Ok(said.iter().map(Request::verification).chain(signatures).collect())
    }

    pub(crate) fn sas(&self, user_id: &OwnedUserId, flow: &Flow) -> Option<Sas> {
        match self.olm.get_verification(user_id, &flow.id)? {
            Verification::SasV1(sas) => Some(*sas),
            _ => None,
        }
    }
}

impl Request {
    pub(crate) fn verification(request: &OutgoingVerificationRequest) -> Self {
        match request {
            OutgoingVerificationRequest::ToDevice(request) => Self::to_device(request),
            OutgoingVerificationRequest::InRoom(request) => Self::said(&request.txn_id, request),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_from_words() {
        let asked = json!({ "msgtype": "m.key.verification.request", "body": "x" });
        assert_eq!(step_of("m.room.message", "$asked", &asked).as_deref(), Some("$asked"));
        assert_eq!(step_of("m.room.message", "$said", &json!({ "msgtype": "m.text" })), None);
        let start = json!({ "m.relates_to": { "rel_type": "m.reference", "event_id": "$asked" } });
        assert_eq!(step_of("m.key.verification.start", "$start", &start).as_deref(), Some("$asked"));
        let sent = json!({ "transaction_id": "t1" });
        assert_eq!(step_of("m.key.verification.key", "", &sent).as_deref(), Some("t1"));
        assert_eq!(step_of("m.key.verification.key", "", &json!({})), None);
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let flows = Flows::default();
        let flow = |user: &str, id: usize| Flow { user_id: format!("@{user}:test"), id: id.to_string() };
        flows.note(flow("owner", 0));
        for n in 0..FOLLOWED * 2 {
            flows.note(flow("ann", n));
        }
        let all = flows.all();
        assert_eq!(all[0], flow("owner", 0), "somebody else pushes it out");
        assert_eq!((all.len(), &all[1]), (1 + OF_ONE, &flow("ann", FOLLOWED * 2 - OF_ONE)));
        for n in 0..FOLLOWED * 2 {
            flows.note(flow(&n.to_string(), n));
        }
        assert_eq!(flows.all().len(), FOLLOWED);
    }
}
