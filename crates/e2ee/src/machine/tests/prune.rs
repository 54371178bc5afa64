//! What sweeps take away, and that nobody reads less for it.

use bytes::Bytes;
use wxgate_contract::{Batch, FarEnd};

use super::*;
use crate::prune::{Leftover, Pruned};
use crate::read::Place;

const DAY_MS: i64 = 86_400_000;

impl Party {
    async fn sweep(&self, day: i64, rooms: &[&str]) -> Pruned {
        let rooms = rooms.iter().map(|room| (*room).to_owned());
        self.machine.prune(&Leftover::new(day * DAY_MS, rooms, Vec::new())).await.unwrap()
    }

    pub(super) async fn take(&self, place: &Place, event_id: &str) {
        let notes = vec![self.machine.taken_note(ROOM, place, event_id)];
        self.double.commit(&network(), Batch { notes, ..Batch::default() }).await.unwrap();
    }

    fn count(&self, kind: &str) -> usize {
        let part = format!("/{kind}/");
        self.double.state().notes.keys().filter(|(_, key)| key.contains(&part)).count()
    }
}

#[tokio::test]
async fn a_key_that_has_a_successor_goes_after_ninety_days_and_the_last_one_stays() {
    let (ghost, ann) = two(true).await;
    let rules = rules(json!({ "rotation_period_msgs": 1 }));
    let mut said = Vec::new();
    for text in ["one", "two"] {
        said.push(ghost.say(ANN, &rules, text).await);
        assert_eq!(ann.read(GHOST, &said[said.len() - 1], true).await.unwrap(), text);
    }
    assert_eq!(ann.sweep(1, &[ROOM]).await, Pruned::default());
    // Nobody knows which of the two is the last one.
    ann.sweep(200, &[ROOM]).await;
    assert_eq!(ann.count("inbound"), 2);
    said.push(ghost.say(ANN, &rules, "three").await);
    assert_eq!(ann.read(GHOST, &said[2], true).await.unwrap(), "three");
    ann.sweep(90, &[ROOM]).await;
    assert_eq!(ann.count("inbound"), 3, "a day before its time");
    ann.sweep(91, &[ROOM]).await;
    assert_eq!(ann.count("inbound"), 1);
    assert!(matches!(ann.read(GHOST, &said[0], true).await, Err(Unreadable::NoKey)));
    ann.sweep(1_000, &[ROOM]).await;
    assert_eq!(ann.count("inbound"), 1, "a client may go on using it");
    assert_eq!(ann.read(GHOST, &said[2], true).await.unwrap(), "three");
}

#[tokio::test]
async fn keys_of_a_room_that_was_left_go_with_the_second_sweep() {
    let (ghost, ann) = two(true).await;
    let said = ghost.say(ANN, &rules(json!({})), "something").await;
    assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), "something");
    assert_eq!(ann.sweep(1, &[]).await.rows, 0, "it may only just have been entered");
    assert_eq!(ann.sweep(2, &[]).await.rows, 1);
    assert_eq!(ann.count("inbound"), 0);
    assert_eq!(ghost.count("outbound"), 1);
    ghost.sweep(1, &["!other:test"]).await;
    assert_eq!(ghost.count("outbound"), 0);
    // A room that was made this moment has its key at hand.
    let again = ghost.say(ANN, &rules(json!({})), "and again").await;
    assert_eq!(session(&again), session(&said));
    assert_eq!(ghost.count("outbound"), 1);
}

#[tokio::test]
async fn what_was_read_with_a_key_goes_with_it_and_not_before() {
    let (ghost, ann) = two(true).await;
    let rules = rules(json!({ "rotation_period_msgs": 2 }));
    for n in 0..4 {
        let said = ghost.say(ANN, &rules, "something").await;
        let place = ann.read_as(GHOST, &said, Origin::Sender).await.unwrap().place;
        ann.take(&place, &format!("${n}")).await;
        if n == 1 {
            ann.sweep(1, &[ROOM]).await;
        }
    }
    ann.sweep(2, &[ROOM]).await;
    assert_eq!((ann.count("inbound"), ann.count("inbound-of"), ann.count("taken")), (2, 2, 4));
    ann.sweep(92, &[ROOM]).await;
    assert_eq!((ann.count("inbound"), ann.count("inbound-of"), ann.count("taken")), (1, 1, 2));
    ann.sweep(93, &[]).await;
    assert_eq!((ann.count("inbound"), ann.count("inbound-of"), ann.count("taken")), (0, 0, 0));
}

#[tokio::test]
async fn the_sessions_that_were_used_last_stay() {
    let (ghost, ann) = two(true).await;
    let said = ghost.say(ANN, &rules(json!({})), "hello").await;
    assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), "hello");
    let multiply = |at: i64| {
        let mut state = ann.double.state();
        let found = state.notes.iter().find(|((_, key), _)| key.contains("/olm/"));
        let ((network, key), bytes) = found.map(|(key, bytes)| (key.clone(), bytes.clone())).unwrap();
        let cut = key.len() - 32;
        for n in 0..9_i64 {
            let mut row: Value = serde_json::from_slice(&bytes).unwrap();
            row["last_use_time"] = (at + n).into();
            let key = format!("{}{n:032x}", &key[..cut]);
            state.notes.insert((network.clone(), key), Bytes::from(row.to_string()));
        }
    };
    multiply(1);
    assert_eq!(ann.count("olm"), 10);
    assert_eq!(ann.sweep(1, &[ROOM]).await.rows, 4);
    let left: Vec<String> = ann
        .double
        .state()
        .notes
        .keys()
        .map(|(_, key)| key.clone())
        .filter(|key| key.contains("/olm/"))
        .collect();
    let ends = |n: usize| left.iter().any(|key| key.ends_with(&format!("{n:032x}")));
    assert!((0..4).all(|n| !ends(n)) && (4..9).all(ends), "{left:?}");
    // The one that is in use was used last of all.
    let next = ghost.say(ANN, &rules(json!({ "rotation_period_msgs": 1 })), "and on").await;
    assert_eq!(ann.read(GHOST, &next, true).await.unwrap(), "and on");
}

#[tokio::test]
async fn a_device_that_is_not_known_and_silent_leaves_nothing() {
    let (ghost, ann) = two(true).await;
    let said = ghost.say(ANN, &rules(json!({})), "hello").await;
    assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), "hello");
    ann.double.state().notes.retain(|(_, key), _| !key.contains("/device/"));
    let used = {
        let state = ann.double.state();
        let row =
            state.notes.iter().find(|((_, key), _)| key.contains("/olm/")).map(|(_, bytes)| bytes.clone());
        serde_json::from_slice::<Value>(&row.unwrap()).unwrap()["last_use_time"].as_i64().unwrap() / 86_400
    };
    ann.sweep(used + 29, &[ROOM]).await;
    assert_eq!(ann.count("olm"), 1);
    ann.sweep(used + 31, &[ROOM]).await;
    assert_eq!(ann.count("olm"), 0);
}

#[tokio::test]
async fn what_tells_repetitions_stays_for_a_week() {
    let (ghost, ann) = two(true).await;
    let said = ghost.say(ANN, &rules(json!({})), "hello").await;
    assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), "hello");
    assert_eq!(ann.count("hash"), 1);
    for (day, left) in [(1, 1), (2, 1), (7, 1), (8, 0)] {
        ann.sweep(day, &[ROOM]).await;
        assert_eq!(ann.count("hash"), left, "day {day}");
    }
}

#[tokio::test]
async fn people_who_are_gone_are_forgotten_and_known_again_when_they_are_back() {
    let (mut ghost, ann) = two(true).await;
    let before = ghost.say(ANN, &rules(json!({})), "before").await;
    assert_eq!(ann.read(GHOST, &before, true).await.unwrap(), "before");
    let gone = Leftover::new(DAY_MS, [ROOM.to_owned()], vec![ANN.to_owned(), "@nobody:test".to_owned()]);
    assert_eq!(ghost.machine.prune(&gone).await.unwrap().people, 1);
    let far = Arc::new(ghost.double.clone());
    let pruned = Machine::forget_people(far, network(), GHOST, &gone).await.unwrap();
    assert_eq!((pruned.people, pruned.rows), (1, 3), "whether they are known, who they are, a device");
    ghost.machine = open(&ghost.double, GHOST).await;
    assert_eq!(ghost.machine.prune(&gone).await.unwrap().people, 0);
    let after = ghost.say(ANN, &rules(json!({})), "after").await;
    assert_eq!(ann.read(GHOST, &after, true).await.unwrap(), "after");
}
