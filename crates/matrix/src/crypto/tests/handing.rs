//! Who is given keys, and when it is looked again for those who were not.

use tokio::time::Instant;

use super::*;
use crate::crypto::devices::Device;

const FAR: &str = "@ann:far";

/// Users that something was sent to in a room's name, for their devices to read: keys, or that there are none.
fn told(scene: &Scene) -> BTreeSet<String> {
    let kept = scene.homeserver.kept();
    let sent = kept.sent.iter().flat_map(|(_, _, to)| to.as_object().unwrap().keys().cloned());
    sent.collect()
}

/// Whether a device will look again for people in a room, within a minute.
async fn is_looked_for(device: &Device, room_id: &str) -> bool {
    device.room(room_id).lock().await.look.is_due(Instant::now() + Duration::from_secs(60))
}

#[tokio::test]
async fn whoever_is_of_a_homeserver_that_was_away_is_looked_for_again() {
    let scene = Scene::start().await;
    scene.homeserver.kept().members.push(FAR.to_owned());
    scene.homeserver.kept().is_away = Some("far");
    scene.says(ONE).await;
    let device = scene.shared.device(ONE).await.unwrap();
    assert!(is_looked_for(&device, ROOM).await);
    // An answer that leaves somebody out is none for others.
    let asked = || scene.homeserver.questions_about(FAR);
    let before = asked();
    scene.says(TWO).await;
    assert!(asked() > before);
}

#[tokio::test]
async fn keys_that_a_homeserver_did_not_give_are_looked_for_again() {
    let scene = Scene::start().await;
    let far = Machine::open(Arc::new(Double::new()), network(), FAR, "FAR", Purpose::Reads).await.unwrap();
    for request in far.signing().await.unwrap() {
        scene.shared.carry(FAR, &far, &request).await.unwrap();
    }
    scene.homeserver.kept().members.push(FAR.to_owned());
    // Its devices were known before.
    let device = scene.shared.device(ONE).await.unwrap();
    device.machine.track(&[FAR.to_owned()]).await.unwrap();
    scene.shared.carry_all(ONE, &device.machine).await.unwrap();
    assert!(device.machine.claim(&[FAR.to_owned()]).await.unwrap().is_some());
    scene.homeserver.kept().is_away = Some("far");
    scene.says(ONE).await;
    assert!(is_looked_for(&device, ROOM).await);
}

#[tokio::test]
async fn whoever_has_a_key_that_is_not_theirs_is_looked_for_again() {
    let scene = Scene::start().await;
    let _ann = people(&scene, ANN).await;
    for key in scene.homeserver.kept().one_time.get_mut(ANN).unwrap().values_mut() {
        key["signatures"] = json!({});
    }
    scene.says(ONE).await;
    let device = scene.shared.device(ONE).await.unwrap();
    assert!(is_looked_for(&device, ROOM).await);
}

#[tokio::test]
async fn whoever_is_left_out_in_one_room_is_looked_for_there_whatever_is_said_in_another() {
    const OTHER: &str = "!other:test";
    const THIRD: &str = "!third:test";
    let scene = Scene::start().await;
    let _sue = people(&scene, SUE).await;
    scene.homeserver.kept().members.push(FAR.to_owned());
    scene.homeserver.kept().is_away = Some("far");
    scene.says(ONE).await;
    let device = scene.shared.device(ONE).await.unwrap();
    // Somebody else's keys come, who are all of the other room.
    scene.homeserver.kept().members = [ONE, SUE].map(str::to_owned).into();
    scene.says_in(OTHER, ONE).await;
    assert!(is_looked_for(&device, ROOM).await && !is_looked_for(&device, OTHER).await);
    // The machine does not ask again so soon.
    let asked = scene.homeserver.questions_about(FAR);
    scene.homeserver.kept().members.push(FAR.to_owned());
    scene.says_in(THIRD, ONE).await;
    assert_eq!(scene.homeserver.questions_about(FAR), asked);
    assert!(is_looked_for(&device, THIRD).await);
}

#[tokio::test]
async fn nobody_who_was_only_asked_in_reads_what_is_for_those_who_are_in() {
    for (visibility, is_given) in [("shared", true), ("invited", true), ("joined", false)] {
        let scene = Scene::start().await;
        let ann = people(&scene, ANN).await;
        let sue = people(&scene, SUE).await;
        scene.homeserver.kept().members.retain(|user| user != SUE);
        scene.homeserver.kept().invited = vec![SUE.to_owned()];
        scene.homeserver.kept().visibility = Some(visibility);
        scene.homeserver.kept().sent.clear();
        scene.says(ONE).await;
        let told = told(&scene);
        assert!(told.contains(ANN), "{visibility} {told:?}");
        assert_eq!(told.contains(SUE), is_given, "{visibility} {told:?}");
        drop((ann, sue));
    }
}

#[tokio::test]
async fn whoever_is_asked_in_again_has_their_devices_asked_for() {
    let scene = Scene::start().await;
    scene.says(ONE).await;
    for (membership, is_asked) in [("leave", false), ("invite", true), ("join", true)] {
        let before = scene.questions();
        let content = json!({ "membership": membership });
        scene.shared.follow_encryption(ROOM, "m.room.member", ANN, &content).await.unwrap();
        scene.says(ONE).await;
        assert_eq!(scene.questions() > before, is_asked, "{membership}");
    }
}

#[tokio::test]
async fn a_room_whose_encryption_may_not_be_asked_for_is_not_spoken_in_in_clear() {
    let mut scene = Scene::start().await;
    scene.homeserver.kept().refused = Some("/state/m.room.encryption");
    let says = async |scene: &Scene| {
        let ghost = Arc::new(Ghost { user_id: ONE.to_owned(), ..Ghost::default() });
        let content = json!({ "msgtype": "m.text", "body": "hi" });
        scene.shared.seal(ROOM, &Speaker::Ghost(ghost), "m.room.message", &content).await
    };
    let refused = says(&scene).await;
    assert!(refused.is_err(), "it went as it is");
    // It was seen when it was switched on, perhaps by an earlier run.
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    scene.shared.follow_encryption(ROOM, "m.room.encryption", "", &content).await.unwrap();
    for _ in 0..2 {
        assert!(says(&scene).await.unwrap().is_some());
        scene.again();
    }
}

/// The types of what was sent to somebody's devices.
fn types(scene: &Scene, user_id: &str) -> Vec<String> {
    let kept = scene.homeserver.kept();
    let theirs = kept.sent.iter().filter(|(_, _, to)| to.get(user_id).is_some());
    theirs.map(|(kind, ..)| kind.clone()).collect()
}

#[tokio::test]
async fn where_only_signed_devices_count_no_other_is_given_a_key() {
    let mut scene = Scene::start().await;
    let _ann = people(&scene, ANN).await;
    let _sue = people(&scene, SUE).await;
    let strange =
        Machine::open(Arc::new(Double::new()), network(), FAR, "FAR", Purpose::Reads).await.unwrap();
    scene.shared.carry_all(FAR, &strange).await.unwrap();
    scene.homeserver.kept().members.extend([SUE, FAR].map(str::to_owned));
    scene.says(ONE).await;
    assert_eq!(types(&scene, FAR), ["m.room.encrypted"]);
    scene.config.only_signed_devices = true;
    scene.again();
    // Ann was verified by the bot, and had other keys then.
    scene.far.double.state().notes.retain(|(_, key), _| !key.contains("e2ee/"));
    scene.shared.device(BOT).await.unwrap();
    let key = format!("{}verified/ann", scene.far.shelves().first().unwrap());
    let noted = json!({ "user_id": ANN, "master_key": "another" }).to_string();
    scene.far.double.state().notes.insert((network(), key), Bytes::from(noted));
    scene.homeserver.kept().sent.clear();
    scene.says(TWO).await;
    assert_eq!(types(&scene, FAR), ["m.room_key.withheld"]);
    assert_eq!((types(&scene, SUE), types(&scene, ANN)), (vec!["m.room.encrypted".to_owned()], vec![]));
}
