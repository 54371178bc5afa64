//! Keys that begin sessions, and what is given for them.

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
