//! What homeservers tell of other people's devices, which those wrote themselves: the part of it that can be read.
//!
//! One device in words that are none takes nothing from the others. An id of a key is taken apart at its colon, whose
//! place ruma 0.19 keeps in one byte: with a colon behind the first 255 bytes it cuts the id somewhere else, and panics
//! in the middle of a character. Source: ruma-identifiers-validation 0.12.1, `key_id.rs`.

use serde_json::{Map, Value};

use crate::claim::{Claimed, KEYS};
use crate::machine::user;

/// Bytes before which the colon of an id of a key has to be.
const ID_BYTES: usize = 255;
/// The parts of an answer that are by user: devices by their id, and homeservers that were away by their name.
const DEVICES: &str = "device_keys";
const FAILURES: &str = "failures";

/// True when no name in it, at whatever depth, is an id that must not be taken apart.
pub(crate) fn is_sound(value: &Value) -> bool {
    match value {
        Value::Object(parts) => parts
            .iter()
            .all(|(name, part)| name.find(':').is_none_or(|colon| colon <= ID_BYTES) && is_sound(part)),
        Value::Array(parts) => parts.iter().all(is_sound),
        _ => true,
    }
}

/// True when an answer has no name at all that is as long, which is the rule, and is seen without reading it.
pub(crate) fn is_short(body: &[u8]) -> bool {
    !body.contains(&b'\\') && body.split(|byte| *byte == b'"').all(|piece| piece.len() <= ID_BYTES)
}

/// The part of an answer about devices and people's keys that can be read.
///
/// # Errors
/// When it is no object.
pub(crate) fn of_query(body: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer: Map<String, Value> = serde_json::from_slice(body)?;
    for (part, told) in answer.iter_mut().filter(|(part, _)| *part != FAILURES) {
        let Some(people) = told.as_object_mut() else { continue };
        let is_devices = part == DEVICES;
        people.retain(|user_id, of| {
            let is_readable = if is_devices { of.is_object() } else { is_sound(of) };
            is_readable && user(user_id).is_ok()
        });
        if is_devices {
            let of_all = people.values_mut().filter_map(Value::as_object_mut);
            of_all.for_each(|devices| devices.retain(|_, device| is_sound(device)));
        }
    }
    serde_json::to_vec(&answer)
}

/// The same for the answer to a claim.
///
/// # Errors
/// When it names nobody's keys.
pub(crate) fn of_claim(body: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let answer: Value = serde_json::from_slice(body)?;
    if !answer.get(KEYS).is_some_and(Value::is_object) {
        return Err(serde::de::Error::missing_field(KEYS));
    }
    let mut claimed = Claimed::default();
    claimed.add(&answer);
    Ok(claimed.body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_device_in_words_that_are_none_takes_nothing_from_the_others() {
        let good = json!({ "keys": { "ed25519:ONE": "key" } });
        let long = format!("ed25519{}:A", "\u{e9}".repeat(200));
        let bad = json!({ "keys": { long.clone(): "key" } });
        let answer = json!({
            "device_keys": { "@ann:a": { "ONE": good, "TWO": bad }, "@eve:e": 7, "nobody": {} },
            "master_keys": { "@ann:a": good, "@eve:e": { "signatures": { "@eve:e": { long: "" } } } },
            "failures": { "b": {} },
        });
        let body = serde_json::to_vec(&answer).unwrap();
        assert!(!is_short(&body));
        let read: Value = serde_json::from_slice(&of_query(&body).unwrap()).unwrap();
        let wanted = json!({
            "device_keys": { "@ann:a": { "ONE": good } },
            "master_keys": { "@ann:a": good },
            "failures": { "b": {} },
        });
        assert_eq!(read, wanted);
        assert!(is_short(wanted.to_string().as_bytes()));
    }

    #[test]
    fn a_long_name_is_seen_however_it_is_written() {
        let escaped = "\\u00e9".repeat(60);
        let quoted = "a\\\"".repeat(200);
        for name in [escaped.as_str(), quoted.as_str(), &"a".repeat(256)] {
            assert!(!is_short(format!("{{\"{name}:A\":1}}").as_bytes()), "{name}");
        }
    }
}
