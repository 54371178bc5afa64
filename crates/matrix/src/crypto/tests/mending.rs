//! What goes wrong with one device alone, and how it is put right.

use serde_json::Value;

use super::*;

/// What a sync says when there are almost no keys of the device left.
fn asks_for_keys() -> Option<Value> {
    Some(json!({ "next_batch": "s2", "device_one_time_keys_count": { "signed_curve25519": 1 } }))
}

async fn bots_device(scene: &Scene) -> String {
    scene.shared.device(BOT).await.unwrap().machine.device_id().to_owned()
}

fn asked(scene: &Scene, part: &str) -> usize {
    scene.homeserver.kept().asked.iter().filter(|(path, _)| path.contains(part)).count()
}

#[tokio::test]
async fn what_the_bots_device_cannot_ask_keeps_nobody_from_being_heard() {
    let spoils: [fn(&mut homeserver::Kept); 2] =
        [|kept| kept.refused = Some("/keys/upload"), |kept| kept.fails = Some("/keys/upload")];
    for spoil in spoils {
        let scene = Scene::start().await;
        let device_id = bots_device(&scene).await;
        scene.homeserver.kept().synced = asks_for_keys();
        spoil(&mut scene.homeserver.kept());
        let before = asked(&scene, "/keys/upload");
        assert_eq!(scene.shared.hear_once(Some("s1")).await.unwrap(), "s2");
        assert_eq!(asked(&scene, "/keys/upload"), before + 1);
        assert_eq!(scene.shared.memory.read("heard").await.unwrap().unwrap(), "s2");
        assert_eq!(bots_device(&scene).await, device_id, "it says nothing about the device");
    }
}

#[tokio::test]
async fn a_copy_that_is_younger_than_the_mark_is_seen_by_keys_that_are_there_already() {
    let mut scene = Scene::start().await;
    scene.says(ONE).await;
    let device_id = bots_device(&scene).await;
    let ghosts = scene.shared.device(ONE).await.unwrap().machine.device_id().to_owned();
    let copy = scene.far.double.state().notes.clone();
    scene.homeserver.kept().synced = asks_for_keys();
    scene.shared.hear_once(Some("s1")).await.unwrap();
    scene.far.double.state().notes = copy;
    scene.again();
    assert_eq!(bots_device(&scene).await, device_id, "it is not noticed");
    scene.says(ONE).await;
    scene.shared.hear_once(Some("s1")).await.unwrap();
    let renewed = bots_device(&scene).await;
    assert_ne!(renewed, device_id);
    assert_ne!(scene.shared.device(ONE).await.unwrap().machine.device_id(), ghosts);
    let before = asked(&scene, "/keys/upload");
    scene.shared.hear_once(Some("s1")).await.unwrap();
    assert_eq!(asked(&scene, "/keys/upload"), before + 1, "it can offer keys again");
    assert_eq!(bots_device(&scene).await, renewed);
    assert!(!scene.shared.begin_epoch().await.unwrap(), "not again so soon");
    assert_eq!(bots_device(&scene).await, renewed);
}
