//! Keys that begin a session with somebody's device, and devices that had none to give.
//!
//! Each device keeps some on the homeserver, and each is given once. A client that is slow, or not there, while many
//! people speak for the first time runs out of them, unless it offers one that all may use (the fallback key).
//! Source: <https://spec.matrix.org/v1.16/client-server-api/#one-time-and-fallback-keys>

use serde_json::{Map, Value};

use crate::wire::Request;

/// The part of a claim that names devices, and of its answer that has their keys: by user and device.
const KEYS: &str = "one_time_keys";

/// What a claim was answered, as far as it was.
#[derive(Debug, Default)]
pub struct Claimed {
    /// By user and device.
    keys: Map<String, Value>,
    /// Homeservers that could not be asked.
    failures: Map<String, Value>,
}

impl Claimed {
    /// Takes a further answer to the same claim.
    pub fn add(&mut self, answer: &Value) {
        for (user_id, devices) in object(answer, KEYS) {
            let known = self.keys.entry(user_id.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let (Some(known), Some(devices)) = (known.as_object_mut(), devices.as_object()) {
                known.extend(devices.clone());
            }
        }
        let failures = object(answer, "failures");
        self.failures.extend(failures.map(|(server, why)| (server.clone(), why.clone())));
    }

    /// The answer as one.
    pub fn body(&self) -> Vec<u8> {
        // JSON of JSON.
        serde_json::to_vec(&serde_json::json!({ KEYS: self.keys, "failures": self.failures }))
            .unwrap_or_default()
    }

    fn has(&self, user_id: &str, device_id: &str) -> bool {
        self.keys.get(user_id).and_then(|devices| devices.get(device_id)).is_some()
    }

    fn has_failed(&self, user_id: &str) -> bool {
        user_id.split_once(':').is_some_and(|(_, server)| self.failures.contains_key(server))
    }
}

impl Request {
    /// Everybody whose devices it names, and whether one of them has no key, for whatever reason.
    pub fn leaves_out(&self, so_far: &Claimed) -> Vec<(String, bool)> {
        let asked: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let people = object(&asked, KEYS).filter_map(|(user_id, of)| Some((user_id, of.as_object()?)));
        let people = people.map(|(user_id, of)| {
            (user_id.clone(), of.keys().any(|device_id| !so_far.has(user_id, device_id)))
        });
        people.collect()
    }

    /// The same claim for the devices that had no key to give so far, though their homeserver answered, and which
    /// these are, as user and device; `None` when there are none.
    pub fn left_out(&self, so_far: &Claimed) -> Option<(Self, Vec<String>)> {
        let asked: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut left = Map::new();
        let mut names = Vec::new();
        for (user_id, devices) in object(&asked, KEYS).filter(|(user_id, _)| !so_far.has_failed(user_id)) {
            let devices = devices.as_object().into_iter().flatten();
            let devices: Map<String, Value> = devices
                .filter(|(device_id, _)| !so_far.has(user_id, device_id))
                .map(|(device_id, kind)| (device_id.clone(), kind.clone()))
                .collect();
            if !devices.is_empty() {
                names.extend(devices.keys().map(|device_id| format!("{user_id} {device_id}")));
                left.insert(user_id.clone(), Value::Object(devices));
            }
        }
        (!left.is_empty()).then(|| (self.with_body(&serde_json::json!({ KEYS: left })), names))
    }
}

fn object<'a>(value: &'a Value, part: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(part).and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KIND: &str = "signed_curve25519";

    #[test]
    fn who_was_left_out_is_asked_for_alone_and_all_answers_become_one() {
        let devices = json!({ "@ann:a": { "ONE": KIND, "TWO": KIND }, "@sue:b": { "S": KIND } });
        let claim = Request::claim_of(&json!({ KEYS: devices }));
        let mut so_far = Claimed::default();
        so_far.add(&json!({ KEYS: { "@ann:a": { "ONE": { "k": 1 } } }, "failures": { "b": {} } }));
        let (again, names) = claim.left_out(&so_far).unwrap();
        assert_eq!(names, ["@ann:a TWO"]);
        let body: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(body, json!({ KEYS: { "@ann:a": { "TWO": KIND } } }));
        so_far.add(&json!({ KEYS: { "@ann:a": { "TWO": { "k": 2 } } } }));
        assert!(claim.left_out(&so_far).is_none(), "the rest is of a homeserver that is away");
        let people = |ann, sue| [("@ann:a".to_owned(), ann), ("@sue:b".to_owned(), sue)];
        assert_eq!(claim.leaves_out(&so_far), people(false, true));
        so_far.add(&json!({ KEYS: { "@sue:b": { "S": { "k": 3 } } } }));
        assert_eq!(claim.leaves_out(&so_far), people(false, false));
        let body: Value = serde_json::from_slice(&so_far.body()).unwrap();
        assert_eq!(body[KEYS]["@ann:a"], json!({ "ONE": { "k": 1 }, "TWO": { "k": 2 } }));
        assert_eq!(body["failures"], json!({ "b": {} }));
    }

    #[test]
    fn an_answer_that_is_none_leaves_everybody_out() {
        let claim = Request::claim_of(&json!({ KEYS: { "@ann:a": { "ONE": KIND } } }));
        let mut so_far = Claimed::default();
        so_far.add(&json!([1]));
        so_far.add(&json!({ KEYS: { "@ann:a": 7 } }));
        assert_eq!(claim.left_out(&so_far).unwrap().1, ["@ann:a ONE"]);
    }
}
