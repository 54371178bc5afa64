//! Keys to what was said are found by the device that they came from.

use bytes::Bytes;

use super::*;

impl Party {
    fn change_notes(&self, change: impl Fn(&str, &mut Bytes)) {
        self.double.state().notes.iter_mut().for_each(|((_, key), value)| change(key, value));
    }

    /// Whose keys, as far as it is known.
    fn senders(&self) -> Vec<Value> {
        let state = self.double.state();
        let found = state.notes.iter().filter(|((_, key), _)| key.contains("/inbound-of/"));
        found.map(|(_, row)| serde_json::from_slice::<Value>(row).unwrap()["sender_data"].clone()).collect()
    }
}

/// Each of a person's devices that changes has its keys looked for: those of all others must not be read for that.
#[tokio::test]
async fn a_device_that_changes_costs_no_reading_of_others_keys() {
    let (ghost, ann) = two(false).await;
    let said = ghost.say(ANN, &rules(json!({})), "hello").await;
    assert_eq!(ann.read(GHOST, &said, false).await.unwrap(), "hello");
    ann.change_notes(|key, value| {
        if key.contains("/inbound/") {
            *value = Bytes::from_static(b"not to be read");
        }
    });
    ann.meet(GHOST).await;
    let keys = Arc::clone(&ann.keys);
    let _sue = Party::new("@sue:test", &keys, true).await;
    ann.meet("@sue:test").await;
}

#[tokio::test]
async fn keys_from_before_they_could_be_found_are_found() {
    let (ghost, mut ann) = two(false).await;
    let said = ghost.say(ANN, &rules(json!({})), "hello").await;
    assert_eq!(ann.read(GHOST, &said, false).await.unwrap(), "hello");
    assert_eq!(ann.senders(), ["DeviceInfo"]);
    let mark = crate::rows::part("inbound-found-by-sender");
    ann.double.state().notes.retain(|(_, key), _| !key.contains("/inbound-of/") && !key.ends_with(&mark));
    ann.machine = open(&ann.double, ANN).await;
    ghost.set_up(true, "").await;
    ann.meet(GHOST).await;
    assert_eq!(ann.senders(), ["SenderUnverified"]);
    assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), "hello");
}
