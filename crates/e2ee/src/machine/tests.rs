//! Devices among themselves, over a homeserver's keys in memory.

mod claimed;
mod found;
mod lean;
mod prune;
mod reading;
mod verified;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use wxgate_contract::NetworkId;
use wxgate_contract::conformance::Double;

use super::{Machine, RoomRules, Standing};
use crate::read::{Decrypted, Origin, Unreadable};
use crate::wire::{Purpose, Request};

const ROOM: &str = "!room:test";
const GHOST: &str = "@ghost:test";
const ANN: &str = "@ann:test";
const DEVICE: &str = "DEVICE";

/// What a homeserver keeps of keys.
#[derive(Default)]
struct Keys {
    devices: BTreeMap<String, Value>,
    one_time: BTreeMap<String, Map<String, Value>>,
    fallback: BTreeMap<String, Map<String, Value>>,
    signing: BTreeMap<String, Value>,
    inbox: BTreeMap<String, Vec<Value>>,
}

impl Keys {
    fn answer(&mut self, user: &str, request: &Request) -> Value {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match request.name {
            "upload keys" => self.upload(user, &body),
            "query keys" => self.query(&body),
            "claim keys" => self.claim(&body),
            "send to devices" => {
                for (to, devices) in body["messages"].as_object().unwrap() {
                    let content = devices.get(DEVICE).or_else(|| devices.get("*")).unwrap();
                    let event = json!({ "type": request.segments[0], "sender": user, "content": content });
                    self.inbox.entry(to.clone()).or_default().push(event);
                }
                json!({})
            }
            "upload signing keys" => {
                self.signing.insert(user.to_owned(), body);
                json!({})
            }
            "upload signatures" => {
                for (of, signed) in body.as_object().unwrap() {
                    if let (Some(device), Some(signed)) = (self.devices.get_mut(of), signed.get(DEVICE)) {
                        let signatures = signed["signatures"][user].as_object().unwrap();
                        let there = device["signatures"][user].as_object_mut().unwrap();
                        there.extend(signatures.clone());
                    }
                    // Somebody's own key, signed by whoever has verified them.
                    let master = signed.as_object().unwrap().iter().find(|(id, _)| *id != DEVICE);
                    if let (Some(keys), Some((_, signed))) = (self.signing.get_mut(of), master) {
                        keys["master_key"]["signatures"][user] = signed["signatures"][user].clone();
                    }
                }
                json!({})
            }
            other => panic!("nobody answers {other}"),
        }
    }

    fn upload(&mut self, user: &str, body: &Value) -> Value {
        if let Some(keys) = body.get("device_keys").filter(|keys| !keys.is_null()) {
            self.devices.insert(user.to_owned(), keys.clone());
        }
        if let Some(keys) = body["fallback_keys"].as_object().filter(|keys| !keys.is_empty()) {
            self.fallback.insert(user.to_owned(), keys.clone());
        }
        let stock = self.one_time.entry(user.to_owned()).or_default();
        stock.extend(body["one_time_keys"].as_object().cloned().unwrap_or_default());
        json!({ "one_time_key_counts": { "signed_curve25519": stock.len() } })
    }

    fn query(&self, body: &Value) -> Value {
        let mut answer = json!({
            "device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "user_signing_keys": {}, "failures": {},
        });
        for user in body["device_keys"].as_object().unwrap().keys() {
            answer["device_keys"][user] = match self.devices.get(user) {
                Some(keys) => json!({ DEVICE: keys }),
                None => json!({}),
            };
            let Some(signing) = self.signing.get(user) else { continue };
            for kind in ["master_key", "self_signing_key", "user_signing_key"] {
                answer[format!("{kind}s")][user] = signing[kind].clone();
            }
        }
        answer
    }

    fn claim(&mut self, body: &Value) -> Value {
        let mut answer = json!({ "one_time_keys": {}, "failures": {} });
        for user in body["one_time_keys"].as_object().unwrap().keys() {
            if let Some(keys) = body["fallback_keys"].as_object().filter(|keys| !keys.is_empty()) {
                self.fallback.insert(user.to_owned(), keys.clone());
            }
            let stock = self.one_time.entry(user.clone()).or_default();
            let (id, key) = match stock.keys().next().cloned() {
                Some(id) => (id.clone(), stock.remove(&id).unwrap()),
                None => match self.fallback.get(user).and_then(|keys| keys.iter().next()) {
                    Some((id, key)) => (id.clone(), key.clone()),
                    None => continue,
                },
            };
            answer["one_time_keys"][user] = json!({ DEVICE: { id: key } });
        }
        answer
    }

    /// The device is deleted, and its keys with it.
    fn delete(&mut self, user: &str) {
        self.devices.remove(user);
        self.one_time.remove(user);
    }
}

/// Somebody with a device, and where their notes are.
struct Party {
    user: &'static str,
    double: Double,
    keys: Arc<Mutex<Keys>>,
    machine: Machine,
}

async fn open(double: &Double, user: &str) -> Machine {
    let purpose = if user == GHOST { Purpose::OnlySends } else { Purpose::Reads };
    Machine::open(Arc::new(double.clone()), network(), user, DEVICE, purpose).await.unwrap()
}

fn network() -> NetworkId {
    "matrix".into()
}

impl Party {
    async fn new(user: &'static str, keys: &Arc<Mutex<Keys>>, is_signed: bool) -> Self {
        let double = Double::new();
        let machine = open(&double, user).await;
        let party = Self { user, double, keys: Arc::clone(keys), machine };
        party.set_up(is_signed, "").await;
        party
    }

    async fn set_up(&self, is_signed: bool, epoch: &str) {
        if is_signed {
            for request in self.machine.signing().await.unwrap() {
                self.carry(&request).await;
            }
        }
        self.carry_all().await;
        self.carry(&self.machine.query(&[self.user.to_owned()])).await;
        assert_eq!(self.machine.is_signed().await.unwrap(), is_signed);
        self.machine.note_ready(epoch).await.unwrap();
    }

    async fn carry(&self, request: &Request) {
        let answer = self.keys.lock().unwrap().answer(self.user, request);
        self.machine.answered(request, answer.to_string().as_bytes()).await.unwrap();
    }

    async fn carry_all(&self) {
        for request in self.machine.outgoing().await.unwrap() {
            self.carry(&request).await;
        }
    }

    /// Knows somebody's devices.
    async fn meet(&self, other: &str) {
        self.machine.track(&[other.to_owned()]).await.unwrap();
        self.machine.devices_changed(&[other.to_owned()]).await.unwrap();
        self.carry_all().await;
    }

    /// Says something for somebody; the content of the event.
    async fn say(&self, to: &str, rules: &RoomRules, text: &str) -> Value {
        let to = [to.to_owned()];
        self.meet(&to[0]).await;
        if let Some(claim) = self.machine.claim(&to).await.unwrap() {
            self.carry(&claim).await;
        }
        for request in self.machine.share(ROOM, &to, rules).await.unwrap() {
            self.carry(&request).await;
        }
        let content = json!({ "msgtype": "m.text", "body": text });
        self.machine.encrypt(ROOM, "m.room.message", &content).await.unwrap()
    }

    /// Reads something that somebody said.
    async fn read(&self, from: &str, content: &Value, only_signed: bool) -> Result<String, Unreadable> {
        let origin = if only_signed { Origin::SignedBySender } else { Origin::Sender };
        let read = self.read_as(from, content, origin).await?;
        Ok(read.content["body"].as_str().unwrap().to_owned())
    }

    async fn read_as(&self, from: &str, content: &Value, origin: Origin) -> Result<Decrypted, Unreadable> {
        let events = self.keys.lock().unwrap().inbox.remove(self.user).unwrap_or_default();
        self.machine.hear(&json!({ "to_device": { "events": events } })).await.unwrap();
        let session = content["session_id"].as_str().unwrap();
        let event = json!({
            "type": "m.room.encrypted", "event_id": format!("${session}"), "sender": from, "room_id": ROOM,
            "origin_server_ts": 1, "content": content,
        });
        let raw = serde_json::value::to_raw_value(&event).unwrap();
        self.machine.decrypt(ROOM, &raw, origin).await
    }
}

fn rules(more: Value) -> RoomRules {
    let mut encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    encryption.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    RoomRules::new(&encryption, "shared").unwrap()
}

fn session(content: &Value) -> String {
    content["session_id"].as_str().unwrap().to_owned()
}

async fn two(is_signed: bool) -> (Party, Party) {
    let keys = Arc::default();
    let (ghost, ann) = (Party::new(GHOST, &keys, is_signed).await, Party::new(ANN, &keys, true).await);
    ann.meet(GHOST).await;
    (ghost, ann)
}

#[tokio::test]
async fn a_key_serves_for_as_many_messages_as_the_room_says() {
    let (ghost, ann) = two(true).await;
    let rules = rules(json!({ "rotation_period_msgs": 2 }));
    let mut sessions = Vec::new();
    for n in 0..5 {
        let said = ghost.say(ANN, &rules, &format!("message {n}")).await;
        assert_eq!(ann.read(GHOST, &said, true).await.unwrap(), format!("message {n}"));
        sessions.push(session(&said));
    }
    assert!(sessions[0] == sessions[1] && sessions[2] == sessions[3], "{sessions:?}");
    sessions.dedup();
    assert_eq!(sessions.len(), 3, "{sessions:?}");
}

#[tokio::test]
async fn a_key_serves_for_as_long_as_the_room_says() {
    const HOUR_MS: u64 = 3_600_000;
    let (mut ghost, ann) = two(true).await;
    let rules = rules(json!({ "rotation_period_ms": HOUR_MS }));
    let first = session(&ghost.say(ANN, &rules, "one").await);
    assert_eq!(session(&ghost.say(ANN, &rules, "two").await), first, "within the hour");
    // The clock is the system's: what is written down is made older instead.
    let mut aged = 0;
    for ((_, key), bytes) in &mut ghost.double.state().notes {
        if key.contains("/outbound/") {
            let mut pickle: Value = serde_json::from_slice(bytes).unwrap();
            let made = pickle["creation_time"].as_u64().unwrap();
            pickle["creation_time"] = (made - HOUR_MS / 1000 - 1).into();
            *bytes = serde_json::to_vec(&pickle).unwrap().into();
            aged += 1;
        }
    }
    assert_eq!(aged, 1);
    ghost.machine = open(&ghost.double, GHOST).await;
    let later = ghost.say(ANN, &rules, "an hour later").await;
    assert_ne!(session(&later), first);
    assert_eq!(ann.read(GHOST, &later, true).await.unwrap(), "an hour later");
}

#[tokio::test]
async fn an_older_copy_of_a_device_uses_no_key_twice_and_is_the_same_person() {
    let (mut ghost, ann) = two(true).await;
    let rules = rules(json!({}));
    let before = ghost.say(ANN, &rules, "before").await;
    let copy = ghost.double.state().notes.clone();
    let master = ghost.machine.fingerprint().await.unwrap().master_key;
    let after = ghost.say(ANN, &rules, "after").await;
    assert_eq!(session(&after), session(&before));
    for (said, text) in [(&before, "before"), (&after, "after")] {
        assert_eq!(ann.read(GHOST, said, true).await.unwrap(), text);
    }

    ghost.double.state().notes = copy;
    ghost.machine = open(&ghost.double, GHOST).await;
    assert_eq!(ghost.machine.standing("").await.unwrap(), Standing::Ready);
    assert_eq!(ghost.machine.standing("restored").await.unwrap(), Standing::Stale);
    ghost.keys.lock().unwrap().delete(GHOST);
    Machine::forget(Arc::new(ghost.double.clone()), network(), GHOST).await.unwrap();
    assert_eq!(Machine::device_of(Arc::new(ghost.double.clone()), network(), GHOST).await.unwrap(), None);
    ghost.machine = open(&ghost.double, GHOST).await;
    assert_eq!(ghost.machine.device_id(), DEVICE);
    assert_eq!(ghost.machine.standing("restored").await.unwrap(), Standing::New);
    ghost.set_up(true, "restored").await;
    assert_eq!(ghost.machine.standing("restored").await.unwrap(), Standing::Ready);

    let again = ghost.say(ANN, &rules, "again").await;
    assert_ne!(session(&again), session(&before), "a step of a ratchet would be used twice");
    ann.meet(GHOST).await;
    assert_eq!(ann.read(GHOST, &again, true).await.unwrap(), "again");
    assert_eq!(ghost.machine.fingerprint().await.unwrap().master_key, master);
    // What was said before can still be read, for answers that quote it.
    assert_eq!(ghost.read(GHOST, &before, false).await.unwrap(), "before");
}

#[tokio::test]
async fn what_a_forgetting_that_was_cut_off_left_is_not_gone_on_with() {
    let (mut ghost, ann) = two(true).await;
    let rules = rules(json!({}));
    let before = ghost.say(ANN, &rules, "before").await;
    assert_eq!(ann.read(GHOST, &before, true).await.unwrap(), "before");
    let master = ghost.machine.fingerprint().await.unwrap().master_key;
    // Rows go page by page; the program died behind the first, which has the account.
    ghost.keys.lock().unwrap().delete(GHOST);
    ghost.double.state().notes.retain(|(_, key), _| !key.ends_with("/account"));
    assert!(ghost.double.state().notes.keys().any(|(_, key)| key.contains("/outbound/")));
    ghost.machine = open(&ghost.double, GHOST).await;
    ghost.set_up(true, "").await;
    let after = ghost.say(ANN, &rules, "after").await;
    assert_ne!(session(&after), session(&before), "another device's ratchet");
    ann.meet(GHOST).await;
    assert_eq!(ann.read(GHOST, &after, true).await.unwrap(), "after");
    assert_eq!(ghost.machine.fingerprint().await.unwrap().master_key, master);
}

#[test]
fn no_id_is_given_twice() {
    let ids = [(); 2].map(|()| Machine::new_device_id("WXGATE").unwrap());
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 16 && id.starts_with("WXGATE")), "{ids:?}");
}

#[tokio::test]
async fn a_device_that_is_forgotten_leaves_nothing() {
    let (ghost, _ann) = two(true).await;
    ghost.say(ANN, &rules(json!({})), "something").await;
    Machine::forget_all(Arc::new(ghost.double.clone()), network(), GHOST).await.unwrap();
    assert!(ghost.double.state().notes.is_empty());
}

#[tokio::test]
async fn an_unsigned_device_is_read_unless_signed_ones_are_asked_for() {
    let (ghost, ann) = two(false).await;
    let said = ghost.say(ANN, &rules(json!({})), "who am I").await;
    assert!(matches!(ann.read(GHOST, &said, true).await, Err(Unreadable::NotSigned)));
    assert_eq!(ann.read(GHOST, &said, false).await.unwrap(), "who am I");
}
