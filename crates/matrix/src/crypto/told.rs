//! What the homeserver said about people's devices, for every device of ours that wants to know it.
//!
//! Two hundred ghosts that speak in one group ask two hundred times for the devices of the same people, and the
//! answer is the same for all of them until a device changes or somebody comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use wxgate_e2ee::Request;

use super::devices::Device;
use crate::api::keys::Ask;
use crate::client::Actor;
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Answers at hand. Chosen: lively rooms of one moment; each room's people are a question of their own.
const AT_HAND: usize = 64;
/// The largest answer that is kept: sixty-four of them are sixteen megabytes at most, and usually two kilobytes each.
const ANSWER_BYTES: usize = 256 << 10;

/// The answers.
#[derive(Default)]
pub(super) struct Told {
    // Locked for the length of a lookup.
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    /// The count of changes that they belong to.
    changes: u64,
    by_question: HashMap<Vec<u8>, Arc<[u8]>>,
}

impl Told {
    fn answers(&self, changes: u64) -> MutexGuard<'_, Answers> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.changes < changes {
            *answers = Answers { changes, by_question: HashMap::new() };
        }
        answers
    }

    fn get(&self, changes: u64, question: &[u8]) -> Option<Arc<[u8]>> {
        let answers = self.answers(changes);
        answers.by_question.get(question).filter(|_| answers.changes == changes).map(Arc::clone)
    }

    fn keep(&self, changes: u64, question: &[u8], answer: &[u8]) {
        let mut answers = self.answers(changes);
        if answers.changes != changes || answer.len() > ANSWER_BYTES {
            return;
        }
        if answers.by_question.len() >= AT_HAND {
            answers.by_question.clear();
        }
        answers.by_question.insert(question.to_owned(), answer.into());
    }
}

impl Shared {
    /// Has a device learn what it wants to know of others', and notes whose homeservers could not be asked. `changes`
    /// is the count from before it was asked who is in the room: what is known to have changed since then is asked for
    /// anew.
    pub(super) async fn learn_devices(
        &self,
        device: &Device,
        request: &Request,
        changes: u64,
    ) -> Result<(), Trouble> {
        let machine = &device.machine;
        // The bot is told more than others are about itself and whom it has verified.
        let is_ghost = self.names.who(&device.user_id) == Who::Ghost;
        let kept = self.crypto.told.get(changes, &request.body).filter(|_| is_ghost);
        if let Some(answer) = kept {
            machine.answered(request, &answer).await?;
            device.unknown.note(asked_for(&request.body, &Map::new()));
            return Ok(());
        }
        let actor = Actor::As { user_id: &device.user_id, device_id: Some(machine.device_id()) };
        let answer = self.client.call(actor, &Ask(request)).await?;
        machine.answered(request, answer.get().as_bytes()).await?;
        let failures = failures(answer.get());
        if is_ghost && failures.is_empty() {
            self.crypto.told.keep(changes, &request.body, answer.get().as_bytes());
        }
        device.unknown.note(asked_for(&request.body, &failures));
        Ok(())
    }
}

/// The homeservers that could not be asked.
fn failures(answer: &str) -> Map<String, Value> {
    #[derive(Default, Deserialize)]
    struct Told {
        #[serde(default)]
        failures: Map<String, Value>,
    }
    // The machine has read it.
    serde_json::from_str::<Told>(answer).unwrap_or_default().failures
}

/// Everybody whose devices were asked for, and whether their homeserver is among those that could not be asked.
fn asked_for(question: &[u8], failures: &Map<String, Value>) -> Vec<(String, bool)> {
    #[derive(Default, Deserialize)]
    struct Asked {
        #[serde(default)]
        device_keys: Map<String, Value>,
    }
    let asked = serde_json::from_slice::<Asked>(question).unwrap_or_default().device_keys;
    let has_failed =
        |user_id: &str| user_id.split_once(':').is_some_and(|(_, server)| failures.contains_key(server));
    asked.into_iter().map(|(user_id, _)| (user_id.clone(), has_failed(&user_id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_serves_until_something_changes() {
        let told = Told::default();
        told.keep(3, b"who", b"them");
        assert_eq!(told.get(3, b"who").as_deref(), Some(&b"them"[..]));
        assert!(told.get(3, b"others").is_none());
        assert!(told.get(4, b"who").is_none(), "somebody came");
        told.keep(3, b"who", b"them");
        assert!(told.get(4, b"who").is_none(), "asked before somebody came");
        assert!(told.get(3, b"who").is_none(), "it is not known what of it changed");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let told = Told::default();
        told.keep(0, b"large", &vec![0; ANSWER_BYTES + 1]);
        assert!(told.get(0, b"large").is_none());
        for n in 0..=AT_HAND {
            told.keep(0, &n.to_le_bytes(), b"x");
        }
        assert!(told.answers(0).by_question.len() <= AT_HAND);
    }
}
