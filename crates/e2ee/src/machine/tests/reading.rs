//! Whose words something is taken for, and what was read before.

use super::*;

const MALLORY: &str = "@mallory:test";

#[tokio::test]
async fn nobody_speaks_in_the_name_of_another_by_the_word_of_a_homeserver() {
    for is_signed in [true, false] {
        let (ghost, ann) = two(is_signed).await;
        let said = ghost.say(ANN, &rules(json!({})), "send the money").await;
        for origin in [Origin::Sender, Origin::SignedBySender, Origin::Ours] {
            let read = ann.read_as(MALLORY, &said, origin).await;
            assert!(matches!(read, Err(Unreadable::NotTheirs)), "{origin:?} {read:?}");
        }
        assert_eq!(ann.read(GHOST, &said, is_signed).await.unwrap(), "send the money");
    }
}

/// The bot's device encrypts for ghosts in large rooms.
#[tokio::test]
async fn a_device_reads_for_others_of_ours_what_it_encrypted_itself() {
    let (bot, ann) = two(true).await;
    let said = bot.say(ANN, &rules(json!({})), "a ghost's words").await;
    let read = bot.read_as("@another:test", &said, Origin::Ours).await.unwrap();
    assert_eq!(read.content["body"], "a ghost's words");
    // Given back as a person's words they are none.
    assert!(matches!(bot.read_as(ANN, &said, Origin::Sender).await, Err(Unreadable::NotTheirs)));
    assert!(matches!(ann.read_as("@another:test", &said, Origin::Ours).await, Err(Unreadable::NotTheirs)));
}

impl Party {
    /// Has compared somebody's keys.
    pub(super) async fn verify(&self, other: &str) {
        let user = crate::machine::user(other).unwrap();
        let identity = self.machine.olm.get_identity(&user, None).await.unwrap().unwrap().other().unwrap();
        let request = identity.verify().await.unwrap();
        self.carry(&Request::signatures(&ruma::TransactionId::new(), &request)).await;
        self.machine.note_verified(&identity).await.unwrap();
        self.meet(other).await;
    }

    /// Begins with other keys under the same name.
    pub(super) async fn begin_anew(&self) {
        let asked = self.machine.olm.bootstrap_cross_signing(true).await.unwrap();
        self.carry(&Request::signing_keys(&asked.upload_signing_keys_req)).await;
        let signatures = &asked.upload_signatures_req;
        self.carry(&Request::signatures(&ruma::TransactionId::new(), signatures)).await;
    }
}

#[tokio::test]
async fn other_keys_than_those_that_were_verified_say_nothing_until_they_are_verified() {
    let (ghost, ann) = two(true).await;
    ann.verify(GHOST).await;
    let rules = rules(json!({ "rotation_period_msgs": 2 }));
    for _ in 0..2 {
        let before = ghost.say(ANN, &rules, "before").await;
        assert_eq!(ann.read(GHOST, &before, true).await.unwrap(), "before");
    }
    ghost.begin_anew().await;
    ann.meet(GHOST).await;
    let after = ghost.say(ANN, &rules, "after").await;
    for only_signed in [false, true] {
        let read = ann.read(GHOST, &after, only_signed).await;
        assert!(matches!(read, Err(Unreadable::OtherKeys)), "{read:?}");
    }
    // That they want to be verified is heard.
    let request = json!({ "msgtype": "m.key.verification.request", "body": "verify me" });
    let request = ghost.machine.encrypt(ROOM, "m.room.message", &request).await.unwrap();
    assert_eq!(ann.read(GHOST, &request, true).await.unwrap(), "verify me");
    ann.verify(GHOST).await;
    assert_eq!(ann.read(GHOST, &after, true).await.unwrap(), "after");
}

#[tokio::test]
async fn what_was_taken_is_known_by_its_place_under_whatever_id_it_comes_again() {
    let (ghost, mut ann) = two(true).await;
    let rules = rules(json!({}));
    let mut places = Vec::new();
    for text in ["one", "one"] {
        let said = ghost.say(ANN, &rules, text).await;
        let place = ann.read_as(GHOST, &said, Origin::Sender).await.unwrap().place;
        assert_eq!(ann.read_as(GHOST, &said, Origin::Sender).await.unwrap().place, place);
        places.push(place);
    }
    assert_ne!(places[0], places[1], "the same words twice are no repetition");
    assert_eq!(ann.machine.taken_at(ROOM, &places[0]).await.unwrap(), None);
    ann.take(&places[0], "$1").await;
    for _ in 0..2 {
        assert_eq!(ann.machine.taken_at(ROOM, &places[0]).await.unwrap().as_deref(), Some("$1"));
        assert_eq!(ann.machine.taken_at(ROOM, &places[1]).await.unwrap(), None);
        assert_eq!(ann.machine.taken_at("!other:test", &places[0]).await.unwrap(), None);
        // A device that begins anew keeps the keys to what was said, so it has to keep this.
        Machine::forget(Arc::new(ann.double.clone()), network(), ANN).await.unwrap();
        ann.machine = open(&ann.double, ANN).await;
    }
}
