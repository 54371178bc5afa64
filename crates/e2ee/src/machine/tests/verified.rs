//! Whom a device has verified, whatever the homeserver shows of it.

use matrix_sdk_crypto::{Sas, Verification};
use ruma::events::key::verification::VerificationMethod;

use super::*;
use crate::machine::user;
use crate::prune::Leftover;
use crate::verify::Stage;

const SUE: &str = "@sue:test";

impl Party {
    /// Hears what was sent to it, and follows verifications.
    async fn hear(&self) {
        let events = self.keys.lock().unwrap().inbox.remove(self.user).unwrap_or_default();
        let heard = self.machine.hear(&json!({ "to_device": { "events": events } })).await.unwrap();
        self.machine.follow(heard.steps).await.unwrap();
        self.carry_all().await;
    }

    async fn go_on(&self) {
        self.hear().await;
        for flow in self.machine.flows() {
            for request in self.machine.go_on(&flow) {
                self.carry(&request).await;
            }
        }
    }

    fn sas(&self, with: &str, id: &str) -> Sas {
        match self.machine.olm.get_verification(&user(with).unwrap(), id) {
            Some(Verification::SasV1(sas)) => *sas,
            _ => panic!("there are no pictures"),
        }
    }

    /// Somebody verifies the other one by emoji, from beginning to end.
    async fn verifies(&self, other: &Self) {
        self.meet(other.user).await;
        other.meet(self.user).await;
        let device = self.machine.olm.get_device(&user(other.user).unwrap(), DEVICE.into(), None).await;
        let methods = vec![VerificationMethod::SasV1];
        let (request, asked) = device.unwrap().unwrap().request_verification_with_methods(methods);
        self.carry(&Request::verification(&asked)).await;
        other.go_on().await;
        self.hear().await;
        let (_, start) = request.start_sas().await.unwrap().unwrap();
        self.carry(&Request::verification(&start)).await;
        for _ in 0..3 {
            other.go_on().await;
            self.hear().await;
        }
        let flow = other.machine.flows().pop().unwrap();
        assert!(matches!(other.machine.stage(&flow), Some(Stage::Compare(_))));
        let (said, _) = self.sas(other.user, request.flow_id().as_str()).confirm().await.unwrap();
        for request in &said {
            self.carry(&Request::verification(request)).await;
        }
        for request in other.machine.decide(&flow, true).await.unwrap() {
            other.carry(&request).await;
        }
        for _ in 0..3 {
            self.hear().await;
            other.go_on().await;
            if other.machine.stage(&flow) == Some(Stage::Done) {
                return self.hear().await;
            }
        }
        panic!("it does not come to an end");
    }
}

/// Two who have verified each other, over a homeserver that takes the signature and shows it to nobody.
async fn verified() -> (Party, Party) {
    let keys = Arc::default();
    let (ann, sue) = (Party::new(ANN, &keys, true).await, Party::new(SUE, &keys, true).await);
    sue.verifies(&ann).await;
    keys.lock().unwrap().hide_signatures();
    (ann, sue)
}

impl Keys {
    /// Those of others.
    fn hide_signatures(&mut self) {
        for (user, keys) in &mut self.signing {
            if let Some(signatures) = keys["master_key"]["signatures"].as_object_mut() {
                signatures.retain(|by, _| by == user);
            }
        }
    }
}

async fn says(sue: &Party, text: &str) -> Value {
    sue.say(ANN, &rules(json!({ "rotation_period_msgs": 1 })), text).await
}

async fn reads(ann: &Party, said: &Value) -> Result<String, Unreadable> {
    let read = ann.read(SUE, said, true).await;
    if read.is_err() {
        let loose = ann.read(SUE, said, false).await;
        assert_eq!(loose.is_ok(), !matches!(read, Err(Unreadable::OtherKeys)), "{read:?} {loose:?}");
    }
    read
}

#[tokio::test]
async fn other_keys_say_nothing_where_the_homeserver_never_shows_that_somebody_is_verified() {
    let (ann, sue) = verified().await;
    ann.meet(SUE).await;
    assert_eq!(reads(&ann, &says(&sue, "before").await).await.unwrap(), "before");
    sue.begin_anew().await;
    ann.meet(SUE).await;
    let after = says(&sue, "after").await;
    assert!(matches!(reads(&ann, &after).await, Err(Unreadable::OtherKeys)));
    // Verified as they are now.
    sue.verifies(&ann).await;
    assert_eq!(reads(&ann, &after).await.unwrap(), "after");
}

#[tokio::test]
async fn other_keys_say_nothing_after_somebody_was_gone() {
    let (mut ann, sue) = verified().await;
    let gone = Leftover::new(0, [ROOM.to_owned()], vec![SUE.to_owned()]);
    let far = Arc::new(ann.double.clone());
    assert_eq!(Machine::forget_people(far, network(), ANN, &gone).await.unwrap().people, 1);
    ann.machine = open(&ann.double, ANN).await;
    sue.begin_anew().await;
    ann.meet(SUE).await;
    assert!(matches!(reads(&ann, &says(&sue, "back").await).await, Err(Unreadable::OtherKeys)));
}

#[tokio::test]
async fn other_keys_say_nothing_after_a_device_began_anew() {
    let (mut ann, mut sue) = verified().await;
    let before = says(&sue, "before").await;
    assert_eq!(reads(&ann, &before).await.unwrap(), "before");
    ann.keys.lock().unwrap().delete(ANN);
    Machine::forget(Arc::new(ann.double.clone()), network(), ANN).await.unwrap();
    ann.machine = open(&ann.double, ANN).await;
    ann.set_up(true, "").await;
    // With the keys to what was said nobody is known yet.
    assert!(matches!(reads(&ann, &before).await, Err(Unreadable::NotSigned)));
    ann.meet(SUE).await;
    assert_eq!(reads(&ann, &before).await.unwrap(), "before");
    sue.begin_anew().await;
    ann.meet(SUE).await;
    // Another device of hers would have another id; here its keys change under one.
    let gone = Leftover::new(0, [ROOM.to_owned()], vec![ANN.to_owned()]);
    Machine::forget_people(Arc::new(sue.double.clone()), network(), SUE, &gone).await.unwrap();
    sue.machine = open(&sue.double, SUE).await;
    assert!(matches!(reads(&ann, &says(&sue, "after").await).await, Err(Unreadable::OtherKeys)));
}

#[tokio::test]
async fn whom_the_homeserver_shows_as_verified_is_written_down() {
    let keys = Arc::default();
    let (mut ann, sue) = (Party::new(ANN, &keys, true).await, Party::new(SUE, &keys, true).await);
    sue.verifies(&ann).await;
    // By a gateway that wrote nothing down.
    ann.double.state().notes.retain(|(_, key), _| !key.contains("/verified/"));
    ann.machine = open(&ann.double, ANN).await;
    ann.meet(SUE).await;
    assert_eq!(reads(&ann, &says(&sue, "before").await).await.unwrap(), "before");
    assert!(ann.double.state().notes.keys().any(|(_, key)| key.contains("/verified/")));
}

#[tokio::test]
async fn a_signature_that_was_lost_is_given_again() {
    let (ann, sue) = verified().await;
    ann.meet(SUE).await;
    let again = ann.machine.sign_again().await.unwrap();
    assert_eq!(again.len(), 1);
    ann.carry(&again[0]).await;
    ann.meet(SUE).await;
    assert!(ann.machine.sign_again().await.unwrap().is_empty(), "it is shown");
    // Keys that were not compared are not signed.
    sue.begin_anew().await;
    ann.meet(SUE).await;
    assert!(ann.machine.sign_again().await.unwrap().is_empty());
}

impl Keys {
    /// The types of what was sent to somebody since it was looked at last.
    fn sent_to(&mut self, user: &str) -> Vec<String> {
        let events = self.inbox.remove(user).unwrap_or_default();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn keys_for_signed_devices_go_to_no_other_and_to_nobody_with_other_keys() {
    let keys = Arc::default();
    let (ann, sue) = (Party::new(ANN, &keys, true).await, Party::new(SUE, &keys, true).await);
    let _eve = Party::new("@eve:test", &keys, false).await;
    let loose = rules(json!({ "rotation_period_msgs": 1 }));
    let strict = loose.clone().for_signed_devices();
    let sent_to = async |user: &str, rules: &RoomRules| {
        ann.say(user, rules, "something").await;
        keys.lock().unwrap().sent_to(user)
    };
    assert_eq!(sent_to("@eve:test", &strict).await, ["m.room_key.withheld"]);
    assert_eq!(sent_to("@eve:test", &loose).await, ["m.room.encrypted"]);
    assert_eq!(sent_to(SUE, &strict).await, ["m.room.encrypted"]);
    // Those of the machine's own knowledge, and those that another machine knows of.
    ann.verify(SUE).await;
    let verified = Machine::verified(Arc::new(ann.double.clone()), network(), ANN).await.unwrap();
    let other = Party::new("@other:test", &keys, true).await;
    other.meet(SUE).await;
    let people = [SUE.to_owned()];
    assert!(other.machine.with_other_keys(&people, &verified).await.unwrap().is_empty());
    sue.begin_anew().await;
    ann.meet(SUE).await;
    other.meet(SUE).await;
    assert_eq!(sent_to(SUE, &strict).await, [""; 0]);
    assert_eq!(sent_to(SUE, &loose).await, ["m.room.encrypted"]);
    assert_eq!(other.machine.with_other_keys(&people, &verified).await.unwrap(), people);
}
