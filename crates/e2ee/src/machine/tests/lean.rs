//! What a device that only sends asks of a homeserver.

use super::*;

fn names(requests: &[Request]) -> Vec<&'static str> {
    requests.iter().map(|request| request.name).collect()
}

#[tokio::test]
async fn a_device_that_only_sends_offers_one_key_for_all_and_is_signed_as_it_comes() {
    let keys = Arc::<Mutex<Keys>>::default();
    let double = Double::new();
    let ghost = Party { user: GHOST, machine: open(&double, GHOST).await, double, keys: Arc::clone(&keys) };
    let asked = ghost.machine.signing().await.unwrap();
    assert_eq!(names(&asked), ["upload keys", "upload signing keys"]);
    let upload: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert!(upload.get("one_time_keys").is_none(), "{upload}");
    assert_eq!(upload["fallback_keys"].as_object().unwrap().len(), 1);
    for request in &asked {
        ghost.carry(request).await;
    }
    ghost.carry(&ghost.machine.query(&[GHOST.to_owned()])).await;
    assert!(ghost.machine.is_signed().await.unwrap());
    let more = ghost.machine.outgoing().await.unwrap();
    assert!(!names(&more).contains(&"upload keys"), "{:?}", names(&more));

    // Several people can all the same give it a key, and none of them is left without.
    for (user, name) in [(ANN, "ann"), ("@sue:test", "sue")] {
        let person = Party::new(user, &keys, true).await;
        person.say(GHOST, &rules(json!({})), "to a ghost").await;
        let sent = keys.lock().unwrap().inbox.remove(GHOST).unwrap_or_default();
        assert_eq!(sent.len(), 1, "{name}");
        assert_eq!(sent[0]["type"], "m.room.encrypted", "{name}");
    }
}

#[tokio::test]
async fn a_device_that_died_between_its_keys_and_its_signature_is_signed_by_the_next_run() {
    let keys = Arc::<Mutex<Keys>>::default();
    let mut ghost =
        Party { user: GHOST, double: Double::new(), machine: open(&Double::new(), GHOST).await, keys };
    ghost.machine = open(&ghost.double, GHOST).await;
    let asked = ghost.machine.signing().await.unwrap();
    ghost.carry(&asked[0]).await;
    ghost.machine = open(&ghost.double, GHOST).await;
    let again = ghost.machine.signing().await.unwrap();
    assert_eq!(names(&again), ["upload signing keys", "upload signatures"]);
    for request in &again {
        ghost.carry(request).await;
    }
    ghost.carry(&ghost.machine.query(&[GHOST.to_owned()])).await;
    assert!(ghost.machine.is_signed().await.unwrap());
}

#[tokio::test]
async fn nothing_is_written_when_strangers_change_their_devices() {
    let (ghost, _ann) = two(true).await;
    ghost.meet(ANN).await;
    let before = ghost.double.state().notes.clone();
    ghost.machine.devices_changed(&["@stranger:test".to_owned()]).await.unwrap();
    assert!(ghost.double.state().notes == before);
    ghost.machine.devices_changed(&[ANN.to_owned()]).await.unwrap();
    assert!(names(&ghost.machine.outgoing().await.unwrap()).contains(&"query keys"));
}
