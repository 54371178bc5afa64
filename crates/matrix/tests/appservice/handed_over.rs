//! Rooms that somebody else made and handed over, in which the bot may do what its makers let it do.

use serde_json::{Value, json};
use wxgate_contract::{Author, Body, Job, Outcome, PostId};
use wxgate_matrix::Secret;

use super::scene::{ALICE, Scene, by, group, post};
use super::stub::{PATIENCE, PUPPET_TOKEN, World};

const BOT: &str = "@wechatbot:test";
const OURS: &str = "!ours";

/// A room of Alice's, with these power levels and somebody else in it, becomes that of the group; gives what the bot
/// says about it.
async fn hand_over(scene: &Scene, levels: Value) -> String {
    let stub = scene.stub();
    stub.wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    stub.invite(ALICE, OURS, BOT);
    stub.set_state(ALICE, OURS, "m.room.create", "", json!({ "room_version": "11" }));
    stub.set_state(ALICE, OURS, "m.room.power_levels", "", levels);
    stub.wait_for(|world| world.is_in(OURS, BOT).then_some(())).await;
    stub.human("@other:test");
    stub.join("@other:test", OURS);
    stub.say(ALICE, OURS, "!wx bridge Family");
    let told = |world: &mut World| {
        let texts = world.texts(OURS).into_iter();
        texts.map(|(_, text)| text).find(|text| text.starts_with("This room mirrors"))
    };
    stub.wait_for(told).await
}

fn last(scene: &Scene, room_id: &str, kind: &str) -> Value {
    scene.stub().world().events(room_id, kind).last().cloned().unwrap()
}

/// In a room that somebody handed over, the bot may have no power over what others said.
#[tokio::test]
async fn what_the_bot_may_not_take_back_goes_by_its_own_sender_or_is_marked() {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new(PUPPET_TOKEN)).await;
    let stub = scene.stub();
    let told = hand_over(&scene, json!({ "users": { ALICE: 100 } })).await;
    assert!(told.contains("I lack the power to take back what was recalled;"), "{told}");
    let recall = async |ids: &[String], id: &str| {
        let mut delivery = scene.delivery(post("g1", id, by("p-bob", "Bob"), Body::text("")));
        let remote_ids = ids.iter().map(|id| id.as_str().into()).collect();
        delivery.job = Job::Recall { post: PostId(1), remote_ids };
        scene.hand(&delivery).await;
        let outcome = scene.outcome(delivery.id, 0).await;
        assert!(matches!(&outcome, Outcome::Sent { remote_ids } if remote_ids.len() == 1), "{outcome:?}");
    };
    let by_ghost = scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("oops"))).await;
    recall(&by_ghost, "2").await;
    let redaction = last(&scene, OURS, "m.room.redaction");
    assert_eq!(
        (&redaction["sender"], &redaction["content"]["redacts"]),
        (&json!("@wechat_alice_p-bob:test"), &json!(by_ghost[0]))
    );
    // What Alice said on the phone, and what she typed here.
    let by_puppet = scene.deliver(post("g1", "3", Author::Owner, Body::text("from my phone"))).await;
    recall(&by_puppet, "4").await;
    let typed = stub.say(ALICE, OURS, "typed");
    recall(std::slice::from_ref(&typed), "5").await;
    let redaction = last(&scene, OURS, "m.room.redaction");
    assert_eq!((&redaction["sender"], &redaction["content"]["redacts"]), (&json!(ALICE), &json!(typed)));
    // Somebody else's words are theirs.
    let others = stub.say("@other:test", OURS, "mine");
    recall(std::slice::from_ref(&others), "6").await;
    let marks = stub.world().events(OURS, "m.room.message");
    let mark = marks.iter().find(|event| event["content"]["body"] == "This message was recalled.").unwrap();
    assert_eq!(mark["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], others.as_str());
    // None of it comes back as a recall of hers.
    stub.say(ALICE, OURS, "goes on");
    let said = |state: &mut wxgate_contract::conformance::State| {
        let bodies: Vec<Body> = state.posts.iter().map(|(.., post)| post.body.clone()).collect();
        bodies.contains(&Body::text("goes on")).then_some(bodies)
    };
    assert_eq!(scene.double.wait_for(PATIENCE, said).await, ["typed", "goes on"].map(Body::text));
    scene.end().await;
}

fn bridges(world: &World) -> Vec<Value> {
    let key = "wxgate://wechat:alice/g1".to_owned();
    let state = |kind: &str| world.rooms[OURS].state.get(&(kind.to_owned(), key.clone()));
    let told = ["m.bridge", "uk.half-shot.bridge"].into_iter().filter_map(state);
    told.map(|event| event["content"].clone()).collect()
}

#[tokio::test]
async fn a_room_says_who_bridges_it_as_long_as_somebody_does() {
    let scene = Scene::start().await;
    let told = hand_over(&scene, json!({ "users": { ALICE: 100, BOT: 50 } })).await;
    assert!(!told.contains("I lack"), "{told}");
    let shows = |name: &'static str| {
        move |world: &mut World| {
            let told = bridges(world);
            let is = |told: &Value| told["bridgebot"] == BOT && told["channel"]["displayname"] == name;
            (told.len() == 2 && told.iter().all(is)).then_some(())
        }
    };
    scene.stub().wait_for(shows("Family")).await;
    scene.change(group("g1", "Relatives", &["p-bob", "p-eve"]));
    scene.stub().wait_for(shows("Relatives")).await;
    scene.stub().say(ALICE, OURS, "!wx unbridge");
    let cleared = |world: &mut World| (bridges(world) == [json!({}), json!({})]).then_some(());
    scene.stub().wait_for(cleared).await;
    scene.end().await;
}

#[tokio::test]
async fn a_room_is_bridged_also_where_the_bot_may_not_say_so() {
    let scene = Scene::start().await;
    hand_over(&scene, json!({ "users": { ALICE: 100 } })).await;
    scene.waits_for_member(OURS, "@wechat_alice_p-eve:test", "join").await;
    assert_eq!(bridges(&scene.stub().world()), Vec::<Value>::new());
    let tries = scene.stub().world().count("PUT", "/state/m.bridge/");
    scene.change(group("g1", "Family", &["p-bob"]));
    scene.waits_for_member(OURS, "@wechat_alice_p-eve:test", "leave").await;
    assert_eq!((tries, scene.stub().world().count("PUT", "/state/m.bridge/")), (1, 1), "nor asks again");
    scene.end().await;
}

#[tokio::test]
async fn a_bridge_that_has_ended_is_none_though_its_bot_stays() {
    const OTHER: &str = "@otherbot:test";
    let scene = Scene::start().await;
    let stub = scene.stub();
    stub.human(OTHER);
    stub.invite(ALICE, OURS, BOT);
    stub.join(OTHER, OURS);
    let info = json!({ "bridgebot": OTHER, "protocol": { "id": "wechat" } });
    stub.set_state(OTHER, OURS, "m.bridge", "wxgate://wechat:alice/g7", info);
    stub.set_state(ALICE, OURS, "m.room.create", "", json!({ "room_version": "11" }));
    stub.set_state(ALICE, OURS, "m.room.power_levels", "", json!({ "users": { ALICE: 100 } }));
    stub.wait_for(|world| world.is_in(OURS, BOT).then_some(())).await;
    let says = |words: &'static str| {
        move |world: &mut World| world.texts(OURS).iter().any(|(_, text)| text.contains(words)).then_some(())
    };
    stub.say(ALICE, OURS, "!wx bridge Family");
    stub.wait_for(says("Another bridge to WeChat is in this room")).await;
    stub.set_state(OTHER, OURS, "m.bridge", "wxgate://wechat:alice/g7", json!({}));
    stub.say(ALICE, OURS, "!wx bridge Family");
    stub.wait_for(says("This room mirrors")).await;
    scene.end().await;
}
