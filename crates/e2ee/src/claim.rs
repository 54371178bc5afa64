//! Keys that begin a session with somebody's device, and devices that had none to give.
//!
//! Each device keeps some on the homeserver, and each is given once. A client that is slow, or not there, while many
//! people speak for the first time runs out of them, unless it offers one that all may use (the fallback key).
//! Source: <https://spec.matrix.org/v1.16/client-server-api/#one-time-and-fallback-keys>

use ruma::{DeviceId, OwnedOneTimeKeyId};
use serde_json::{Map, Value};

use crate::machine::{Machine, MachineError, user};
use crate::store::kind;
use crate::told::is_sound;
use crate::wire::Request;

/// The part of a claim that names devices, and of its answer that has their keys: by user and device.
pub(crate) const KEYS: &str = "one_time_keys";
/// What the ids of keys that are claimed begin with.
const ALGORITHM: &str = "signed_curve25519:";

/// What a claim was answered, as far as it was.
#[derive(Debug, Default)]
pub struct Claimed {
    /// By user and device.
    keys: Map<String, Value>,
    /// Homeservers that could not be asked.
    failures: Map<String, Value>,
}

impl Claimed {
    /// Takes a further answer to the same claim. What it says of a device comes from the homeserver of its owner, word
    /// for word: one that gives no key in the form of one counts as left out, and takes nothing from the others.
    pub fn add(&mut self, answer: &Value) {
        for (user_id, devices) in object(answer, KEYS).filter(|(user_id, _)| user(user_id).is_ok()) {
            let known = self.keys.entry(user_id.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let (Some(known), Some(devices)) = (known.as_object_mut(), devices.as_object()) {
                let given = devices.iter().filter(|(_, keys)| is_key(keys));
                known.extend(given.map(|(device_id, keys)| (device_id.clone(), keys.clone())));
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

impl Machine {
    /// Everybody whose devices a claim names, and whether one of them can still be sent nothing, for whatever reason:
    /// also one whose key was there and is not signed as it has to be.
    ///
    /// # Errors
    /// `Store`.
    pub async fn lacks(&self, claim: &Request) -> Result<Vec<(String, bool)>, MachineError> {
        let asked: Value = serde_json::from_slice(&claim.body).unwrap_or_default();
        let mut people = Vec::new();
        for (user_id, devices) in object(&asked, KEYS) {
            let mut is_lacking = false;
            for device_id in devices.as_object().into_iter().flatten().map(|(device_id, _)| device_id) {
                is_lacking = is_lacking || !self.has_session(user_id, device_id).await?;
            }
            people.push((user_id.clone(), is_lacking));
        }
        Ok(people)
    }

    /// True as well for a device that is gone: there is nothing that it could be sent.
    async fn has_session(&self, user_id: &str, device_id: &str) -> Result<bool, MachineError> {
        let device = self.olm.get_device(&user(user_id)?, <&DeviceId>::from(device_id), None).await?;
        let Some(key) = device.and_then(|device| device.curve25519_key()) else { return Ok(true) };
        let sessions = self.rows.list::<serde::de::IgnoredAny>(kind::SESSION, &[&key.to_base64()]).await?;
        Ok(!sessions.is_empty())
    }
}

impl Request {
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

/// True for the key of one device, by its id.
fn is_key(keys: &Value) -> bool {
    let is_id = |id: &String| id.starts_with(ALGORITHM) && OwnedOneTimeKeyId::try_from(id.as_str()).is_ok();
    // Looked through before any of it is taken for an id.
    is_sound(keys) && keys.as_object().is_some_and(|keys| !keys.is_empty() && keys.keys().all(is_id))
}

fn object<'a>(value: &'a Value, part: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(part).and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KIND: &str = "signed_curve25519";

    fn key(n: u8) -> Value {
        json!({ "signed_curve25519:AAAA": { "key": n } })
    }

    #[test]
    fn who_was_left_out_is_asked_for_alone_and_all_answers_become_one() {
        let devices = json!({ "@ann:a": { "ONE": KIND, "TWO": KIND }, "@sue:b": { "S": KIND } });
        let claim = Request::claim_of(&json!({ KEYS: devices }));
        let mut so_far = Claimed::default();
        so_far.add(&json!({ KEYS: { "@ann:a": { "ONE": key(1) } }, "failures": { "b": {} } }));
        let (again, names) = claim.left_out(&so_far).unwrap();
        assert_eq!(names, ["@ann:a TWO"]);
        let body: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(body, json!({ KEYS: { "@ann:a": { "TWO": KIND } } }));
        so_far.add(&json!({ KEYS: { "@ann:a": { "TWO": key(2) } } }));
        assert!(claim.left_out(&so_far).is_none(), "the rest is of a homeserver that is away");
        let body: Value = serde_json::from_slice(&so_far.body()).unwrap();
        assert_eq!(body[KEYS]["@ann:a"], json!({ "ONE": key(1), "TWO": key(2) }));
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

    #[test]
    fn what_is_no_key_is_left_out_alone() {
        let claim = Request::claim_of(&json!({ KEYS: { "@ann:a": { "ONE": KIND, "TWO": KIND } } }));
        let long = format!("signed_curve25519{}\u{e9}:A", "\u{e9}".repeat(200));
        for bad in [
            json!(7),
            json!({}),
            json!({ "x": {} }),
            json!({ ":x": {} }),
            json!({ "curve25519:AAAA": {} }),
            json!({ long.clone(): {} }),
            json!({ "signed_curve25519:A": { "signatures": { "@ann:a": { long: "" } } } }),
        ] {
            let mut so_far = Claimed::default();
            so_far.add(
                &json!({ KEYS: { "@ann:a": { "ONE": bad, "TWO": key(2) }, "nobody": { "X": key(3) } } }),
            );
            assert_eq!(claim.left_out(&so_far).unwrap().1, ["@ann:a ONE"], "{bad}");
            let body: Value = serde_json::from_slice(&so_far.body()).unwrap();
            assert_eq!(body[KEYS], json!({ "@ann:a": { "TWO": key(2) } }));
        }
    }
}
