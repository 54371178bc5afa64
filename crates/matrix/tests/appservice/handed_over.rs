//! Rooms that somebody else made and handed over, in which the bot may do what its makers let it do.

use serde_json::{Value, json};
use wxgate_contract::{Author, Body, Job, Outcome, PostId};
use wxgate_matrix::Secret;

use super::scene::{ALICE, Scene, by, post};
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
