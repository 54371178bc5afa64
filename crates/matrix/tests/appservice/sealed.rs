//! What comes encrypted: what may be in it, and what becomes of it while its key is not there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use wxgate_contract::conformance::State;
use wxgate_contract::{Body, Health};
use wxgate_matrix::MatrixConfig;

use super::ordinary::{self, BRINGS_KEYS, NETWORK, Plain};
use super::scene::{ALICE, Scene, by, post};
use super::stub::{PATIENCE, World};

const MALLORY: &str = "@mallory:test";

/// The group's room of an ordinary account, with the account that has the keys.
async fn scene() -> (Scene, Arc<Plain>, String) {
    scene_with(|_| {}).await
}

async fn scene_with(change: impl FnOnce(&mut MatrixConfig)) -> (Scene, Arc<Plain>, String) {
    let mut kept = None;
    let config = |served: &_| {
        let account = ordinary::account(served);
        kept = Some(Arc::clone(&account));
        let mut config = ordinary::config(served, account);
        change(&mut config);
        config
    };
    let scene = Scene::start_as(NETWORK, ordinary::furnish, config).await;
    let is_up = |state: &mut State| (state.health.get(&NETWORK.into()) == Some(&Health::Up)).then_some(());
    scene.double.wait_for(PATIENCE, is_up).await;
    scene.deliver(post("g1", "first", by("p-bob", "Bob"), Body::text("hello"))).await;
    let room_id = scene.stub().world().aliases.values().next().unwrap().clone();
    scene.stub().join(ALICE, &room_id);
    (scene, kept.unwrap(), room_id)
}

/// Somebody else speaks there through the account.
async fn relays(scene: &Scene, room_id: &str) {
    scene.stub().human(MALLORY);
    scene.stub().join(MALLORY, room_id);
    scene.stub().say(ALICE, room_id, "!wx set-relay");
    let told = |world: &mut World| {
        world.texts(room_id).into_iter().find(|(_, text)| text.contains("speaks through your account"))
    };
    scene.stub().wait_for(told).await;
}

/// Somebody sends something encrypted; gives the event's id.
fn seal(scene: &Scene, user_id: &str, room_id: &str, kind: &str, content: &Value) -> String {
    let sealed =
        json!({ "algorithm": "test", "session_id": user_id, "says": { "type": kind, "content": content } });
    scene.stub().send(user_id, room_id, "m.room.encrypted", sealed)
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

/// What was said by people, once it ends with these words.
async fn said_until(scene: &Scene, last: &str) -> Vec<Body> {
    scene
        .double
        .wait_for(PATIENCE, |state| {
            let said: Vec<Body> = state.posts.iter().map(|(.., post)| post.body.clone()).collect();
            (said.last() == Some(&Body::text(last))).then_some(said)
        })
        .await
}

/// The homeserver cannot see that somebody takes back what is not theirs.
#[tokio::test]
async fn nothing_is_taken_back_by_a_ciphertext() {
    let (scene, _, room_id) = scene().await;
    relays(&scene, &room_id).await;
    let mine = seal(&scene, ALICE, &room_id, "m.room.message", &text("mine"));
    said_until(&scene, "mine").await;
    seal(&scene, MALLORY, &room_id, "m.room.redaction", &json!({ "redacts": mine }));
    seal(&scene, MALLORY, &room_id, "m.room.message", &text("after it"));
    assert_eq!(said_until(&scene, "after it").await, ["mine", "after it"].map(Body::text));
    // In clear the homeserver has looked.
    scene.stub().send(ALICE, &room_id, "m.room.redaction", json!({ "redacts": mine }));
    let recalled = |state: &mut State| match &state.posts.last()?.2.body {
        Body::Recall { target, .. } => target.clone(),
        _ => None,
    };
    assert_eq!(scene.double.wait_for(PATIENCE, recalled).await.as_str(), mine);
    scene.end().await;
}

/// Its key comes late, and it was taken back meanwhile: in the same breath, soon, and after its sender was told.
#[tokio::test]
async fn what_is_taken_back_while_it_waits_for_its_key_is_never_said() {
    let (scene, account, room_id) = scene().await;
    account.has_keys.store(false, Ordering::SeqCst);
    let redact = |target: &str| {
        scene.stub().send(ALICE, &room_id, "m.room.redaction", json!({ "redacts": target }));
    };
    let soon = seal(&scene, ALICE, &room_id, "m.room.message", &text("soon"));
    redact(&soon);
    let waits = |state: &mut State| {
        let waiting = state.notes.iter().filter(|((_, key), _)| key.starts_with("parked/"));
        let waiting: Vec<String> =
            waiting.map(|(_, note)| String::from_utf8(note.to_vec()).unwrap()).collect();
        Some(waiting)
    };
    let late = seal(&scene, ALICE, &room_id, "m.room.message", &text("late"));
    let is_parked = |state: &mut State| waits(state).filter(|all| all.iter().any(|one| one.contains(&late)));
    scene.double.wait_for(PATIENCE, is_parked).await;
    scene.clock.advance(std::time::Duration::from_secs(6));
    let told = |world: &mut World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.contains("has not come yet"))
    };
    scene.stub().wait_for(told).await;
    redact(&late);
    scene.double.wait_for(PATIENCE, |state| waits(state).filter(Vec::is_empty)).await;
    account.has_keys.store(true, Ordering::SeqCst);
    seal(&scene, ALICE, &room_id, "m.room.message", &text("after it"));
    assert_eq!(said_until(&scene, "after it").await, ["after it"].map(Body::text));
    // Given again, it is known.
    let scene = scene.restart().await;
    scene.stub().say(ALICE, &room_id, "still well");
    assert_eq!(said_until(&scene, "still well").await, ["after it", "still well"].map(Body::text));
    scene.end().await;
}

/// The key comes while what waits for it is looked at, or just before something else that needs it does.
#[tokio::test]
async fn what_waited_for_its_key_for_long_is_said_before_what_needs_the_same_key() {
    let (scene, account, room_id) = scene().await;
    let says = |words: &str| seal(&scene, ALICE, &room_id, "m.room.message", &text(words));
    let mut wanted = Vec::new();
    for (n, (first, second)) in
        [("1", format!("2{BRINGS_KEYS}")), ("3", format!("4{BRINGS_KEYS}"))].iter().enumerate()
    {
        account.has_keys.store(false, Ordering::SeqCst);
        let (waits, is_soon) = (says(first), n == 0);
        let is_parked = |state: &mut State| {
            let mut notes = state.notes.iter().filter(|((_, key), _)| key.starts_with("parked/"));
            notes.any(|(_, note)| String::from_utf8_lossy(note).contains(&waits)).then_some(())
        };
        scene.double.wait_for(PATIENCE, is_parked).await;
        if is_soon {
            says(second);
        }
        scene.clock.advance(std::time::Duration::from_secs(6));
        if !is_soon {
            let told = |world: &mut World| {
                world.texts(&room_id).into_iter().find(|(_, text)| text.contains("has not come yet"))
            };
            scene.stub().wait_for(told).await;
            says(second);
        }
        wanted.extend([Body::text(*first), Body::text(second.clone())]);
        assert_eq!(said_until(&scene, second).await, wanted);
    }
    scene.end().await;
}

/// An answer that is encrypted does not carry in what was refused for being in clear.
#[tokio::test]
async fn what_may_not_be_said_in_clear_may_not_be_sent_again_either() {
    let (scene, _, room_id) = scene_with(|config| config.encryption_required = true).await;
    let refusals = |world: &mut World| {
        let texts = world.texts(&room_id).into_iter();
        Some(texts.filter(|(_, text)| text.contains("it was sent in clear")).count())
    };
    let mine = scene.stub().say(ALICE, &room_id, "in clear");
    scene.stub().wait_for(|world| refusals(world).filter(|told| *told == 1)).await;
    let retry = |target: &str| {
        let mut content = text("!wx retry");
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": target } });
        seal(&scene, ALICE, &room_id, "m.room.message", &content);
    };
    retry(&mine);
    scene.stub().wait_for(|world| refusals(world).filter(|told| *told == 2)).await;
    // What was encrypted is sent again.
    let sealed = seal(&scene, ALICE, &room_id, "m.room.message", &text("encrypted"));
    said_until(&scene, "encrypted").await;
    retry(&sealed);
    seal(&scene, ALICE, &room_id, "m.room.message", &text("after it"));
    assert_eq!(said_until(&scene, "after it").await, ["encrypted", "encrypted", "after it"].map(Body::text));
    scene.end().await;
}
