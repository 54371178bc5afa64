//! Keys that begin sessions, and what is given for them.

use matrix_sdk_crypto::vodozemac::olm::{Account, SessionConfig};
use matrix_sdk_crypto::vodozemac::{Curve25519PublicKey, base64_encode as base64};

use super::*;

const EVE: &str = "@eve:test";

/// A ghost that knows two people, and its claim of their keys.
async fn met() -> (Party, Request) {
    let keys = Arc::default();
    let ghost = Party::new(GHOST, &keys, true).await;
    let people = [ANN, EVE].map(str::to_owned);
    for user in [ANN, EVE] {
        Party::new(user, &keys, true).await;
        ghost.meet(user).await;
    }
    let claim = ghost.machine.claim(&people).await.unwrap().unwrap();
    (ghost, claim)
}

#[tokio::test]
async fn a_bad_key_is_none_and_takes_nothing_from_others() {
    let long = format!("signed_curve25519{}:A", "\u{e9}".repeat(200));
    let (ghost, claim) = met().await;
    let mut answer = ghost.keys.lock().unwrap().answer(GHOST, &claim);
    let signed_by_nobody = json!({ "key": "9uRzRGJWRDQTcMUXZSyUzhBB7nFlsVbdZXKBXkRkcUo", "signatures": {} });
    for bad in [
        json!(7),
        json!({}),
        json!({ "x": {} }),
        json!({ long: {} }),
        json!({ "signed_curve25519:A": {} }),
        json!({ "signed_curve25519:A": signed_by_nobody }),
    ] {
        answer["one_time_keys"][EVE][DEVICE] = bad.clone();
        let heard = ghost.machine.answered(&claim, answer.to_string().as_bytes()).await;
        assert!(heard.is_ok(), "{bad}: {heard:?}");
        let lacks = ghost.machine.lacks(&claim).await.unwrap();
        assert_eq!(lacks, [(ANN.to_owned(), false), (EVE.to_owned(), true)], "{bad}");
    }
}

#[tokio::test]
async fn one_device_in_words_that_are_none_leaves_the_others_known() {
    let (ghost, _) = met().await;
    let people = [ANN, EVE].map(str::to_owned);
    let query = ghost.machine.query(&people);
    let mut answer = ghost.keys.lock().unwrap().answer(GHOST, &query);
    let long = format!("ed25519{}:A", "\u{e9}".repeat(200));
    for bad in [json!(7), json!({ DEVICE: { "keys": { long: "x" } } })] {
        answer["device_keys"][EVE] = bad.clone();
        let heard = ghost.machine.answered(&query, answer.to_string().as_bytes()).await;
        assert!(heard.is_ok(), "{bad}: {heard:?}");
    }
    let claim = ghost.machine.claim(&people).await.unwrap().unwrap();
    let asked: Value = serde_json::from_slice(&claim.body).unwrap();
    assert!(asked["one_time_keys"].get(ANN).is_some(), "{asked}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told() {
    let (ghost, claim) = met().await;
    for none in ["", "[1]", "{}", r#"{"one_time_keys":7}"#] {
        assert!(ghost.machine.answered(&claim, none.as_bytes()).await.is_err(), "{none}");
    }
}

/// A message of Olm that whoever knows the device's keys can make: with these words about the sender's own device.
async fn sent_to_ann(keys: &Arc<Mutex<Keys>>, about: Value) -> Value {
    let (device, key) = {
        let mut keys = keys.lock().unwrap();
        let claimed = keys.claim(&json!({ "one_time_keys": { ANN: {} } }));
        let key = claimed["one_time_keys"][ANN][DEVICE].as_object().unwrap().values().next().unwrap().clone();
        (keys.devices[ANN].clone(), key["key"].as_str().unwrap().to_owned())
    };
    let of = |kind: &str| device["keys"][format!("{kind}:{DEVICE}")].as_str().unwrap().to_owned();
    let (curve, signing) = (of("curve25519"), of("ed25519"));
    let eve = Account::new();
    let to = Curve25519PublicKey::from_base64(&curve).unwrap();
    let with = Curve25519PublicKey::from_base64(&key).unwrap();
    let mut session = eve.create_outbound_session(SessionConfig::version_1(), to, with).unwrap();
    let words = json!({
        "type": "m.dummy", "content": {}, "sender": EVE, "recipient": ANN,
        "recipient_keys": { "ed25519": signing }, "keys": { "ed25519": eve.ed25519_key().to_base64() },
        "sender_device_keys": about,
    });
    let (kind, body) = session.encrypt(words.to_string()).unwrap().to_parts();
    json!({ "type": "m.room.encrypted", "sender": EVE, "content": {
        "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": eve.curve25519_key().to_base64(),
        "ciphertext": { curve: { "type": kind, "body": base64(&body) } },
    }})
}

#[tokio::test]
async fn words_that_the_library_panics_at_take_nothing_from_others() {
    let keys = Arc::default();
    let (ann, sue) = (Party::new(ANN, &keys, true).await, Party::new("@sue:test", &keys, true).await);
    let id = format!("ed25519{}:A", "\u{e9}".repeat(200));
    let about = json!({ "user_id": EVE, "device_id": DEVICE, "algorithms": [], "keys": { id: "x" }, "signatures": {} });
    let bad = sent_to_ann(&keys, about).await;
    sue.say(ANN, &rules(json!({})), "something").await;
    let mut inbox = keys.lock().unwrap().inbox.remove(ANN).unwrap();
    inbox.insert(0, bad);
    let heard = ann.machine.hear(&json!({ "to_device": { "events": inbox } })).await.unwrap();
    assert_eq!(heard.rooms, [ROOM]);
}
