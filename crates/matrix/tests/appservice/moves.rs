//! Rooms that are replaced by others.

use serde_json::{Value, json};
use wxgate_contract::{Body, ChatKey};

use super::furnish::state_of;
use super::scene::{ALICE, Scene, by, post};
use super::stub::{Fault, PATIENCE, Room, World};

const BOT: &str = "@wechatbot:test";
const SECOND: &str = "!second";

/// A room of Alice's that says that it follows another one.
fn open_second(scene: &Scene, first: &str) {
    let mut world = scene.stub().world();
    world.rooms.insert(SECOND.to_owned(), Room::default());
    let created = json!({ "room_version": "12", "predecessor": { "room_id": first } });
    world.put_event(ALICE, SECOND, "m.room.create", Some(""), created, None);
    world.set_member(ALICE, ALICE, SECOND, "join");
}

fn joins(world: &World, status: u16) -> usize {
    let is_join = |path: &str| path.ends_with("/join/!second");
    world.asked.iter().filter(|asked| is_join(&asked.path) && asked.status == status).count()
}

#[tokio::test]
async fn a_chat_follows_its_room_when_the_bot_is_invited_to_the_replacement_later() {
    let scene = Scene::start().await;
    let first = scene.open_group().await;
    open_second(&scene, &first);
    scene.stub().set_state(ALICE, &first, "m.room.tombstone", "", json!({ "replacement_room": SECOND }));
    let refused = |world: &mut World| (joins(world, 403) > 0).then_some(());
    scene.stub().wait_for(refused).await;
    let via = |name: &str| {
        let world = scene.stub().world();
        let asked = world.asked.iter().find(|asked| asked.path.ends_with("/join/!second")).unwrap();
        asked.query.get(name).cloned()
    };
    assert_eq!((via("via"), via("server_name")), (Some("test".to_owned()), Some("test".to_owned())));
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("still in the first"))).await;
    assert_eq!(scene.stub().texts(SECOND).len(), 0);
    // Also over a restart.
    let scene = scene.restart().await;
    scene.stub().invite(ALICE, SECOND, BOT);
    scene.waits_for_member(SECOND, BOT, "join").await;
    scene.stub().wait_for(|world| state_of(world, SECOND, "m.room.name", "")).await;
    scene.deliver(post("g1", "3", by("p-bob", "Bob"), Body::text("I follow"))).await;
    assert_eq!(scene.stub().texts(SECOND).len(), 1);
    let waits = scene.double.state().notes.keys().any(|(_, key)| key.starts_with("moves/"));
    assert!(!waits, "it waits for nothing any more");
    scene.end().await;
}

#[tokio::test]
async fn a_chat_follows_its_room_though_the_homeserver_cannot_join_at_first() {
    let scene = Scene::start().await;
    let first = scene.open_group().await;
    open_second(&scene, &first);
    // Invited, and not told of it: nothing but the tombstone leads there.
    {
        let mut world = scene.stub().world();
        world.rooms.get_mut(SECOND).unwrap().members.insert(BOT.to_owned(), "invite".to_owned());
    }
    for _ in 0..2 {
        scene.stub().fault("/join/%21second", Fault::Status(503));
    }
    scene.stub().set_state(ALICE, &first, "m.room.tombstone", "", json!({ "replacement_room": SECOND }));
    scene.stub().wait_for(|world| state_of(world, SECOND, "m.room.name", "")).await;
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("I follow"))).await;
    assert_eq!(scene.stub().texts(SECOND).len(), 1);
    assert_eq!(joins(&scene.stub().world(), 503), 2);
    scene.end().await;
}

#[tokio::test]
async fn a_chat_follows_its_room_to_the_replacement() {
    let scene = Scene::start().await;
    let first = scene.open_group().await;
    let second = "!replacement".to_owned();
    {
        let mut world = scene.stub().world();
        world.rooms.insert(second.clone(), Room::default());
        let created = json!({ "room_version": "12", "predecessor": { "room_id": first } });
        world.put_event(ALICE, &second, "m.room.create", Some(""), created, None);
        world.set_member(ALICE, ALICE, &second, "join");
        world.set_member(ALICE, "@wechatbot:test", &second, "invite");
        world.put_event(
            ALICE,
            &first,
            "m.room.tombstone",
            Some(""),
            json!({ "replacement_room": second }),
            None,
        );
    }
    scene.stub().say(ALICE, &first, "we move");
    scene.waits_for_member(&second, "@wechatbot:test", "join").await;
    let named = |world: &mut World| state_of(world, &second, "m.room.name", "");
    scene.stub().wait_for(named).await;
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("I follow"))).await;
    assert_eq!(scene.stub().texts(&second).len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn the_replacement_of_a_room_that_was_handed_over_keeps_its_own_name() {
    let scene = Scene::start().await;
    let bot = "@wechatbot:test";
    let stub = scene.stub();
    stub.wait_for(|world| world.users.contains_key(bot).then_some(())).await;
    let open = |room_id: &str, created: Value| {
        stub.invite(ALICE, room_id, bot);
        stub.set_state(ALICE, room_id, "m.room.create", "", created);
        stub.set_state(ALICE, room_id, "m.room.power_levels", "", json!({ "users": { ALICE: 100 } }));
        stub.set_state(ALICE, room_id, "m.room.name", "", json!({ "name": "Ours" }));
    };
    open("!ours", json!({ "room_version": "11" }));
    scene.waits_for_member("!ours", bot, "join").await;
    stub.human("@other:test");
    stub.join("@other:test", "!ours");
    stub.say(ALICE, "!ours", "!wx bridge Family");
    let eve = "@wechat_alice_p-eve:test";
    scene.waits_for_member("!ours", eve, "join").await;
    open("!new", json!({ "room_version": "11", "predecessor": { "room_id": "!ours" } }));
    stub.set_state(ALICE, "!ours", "m.room.tombstone", "", json!({ "replacement_room": "!new" }));
    // Members come after names.
    scene.waits_for_member("!new", eve, "join").await;
    let name = state_of(&stub.world(), "!new", "m.room.name", "");
    assert_eq!(name, Some(json!({ "name": "Ours" })));
    scene.end().await;
}

#[tokio::test]
async fn a_chat_does_not_follow_its_room_into_one_that_is_not_its_replacement() {
    let scene = Scene::start().await;
    let first = scene.open_group().await;
    scene.deliver(post("p-bob", "1", by("p-bob", "Bob"), Body::text("hi"))).await;
    let others = scene.stub().world().room_of("wechat_alice_p-bob").unwrap();
    scene.stub().join(ALICE, &others);
    // Another one mirrors nothing, and names no predecessor: the bot is only let in.
    let stranger = "!stranger".to_owned();
    {
        let mut world = scene.stub().world();
        world.rooms.insert(stranger.clone(), Room::default());
        world.put_event(ALICE, &stranger, "m.room.create", Some(""), json!({ "room_version": "12" }), None);
        world.set_member(ALICE, ALICE, &stranger, "join");
        world.set_member(ALICE, "@wechatbot:test", &stranger, "invite");
    }
    for to in [&others, &stranger] {
        scene.stub().set_state(ALICE, &first, "m.room.tombstone", "", json!({ "replacement_room": to }));
    }
    // What follows from events is done in their order.
    scene.stub().human("@other:test");
    scene.stub().say("@other:test", &first, "?");
    let answered = |world: &mut World| {
        world.texts(&first).iter().any(|(_, text)| text.contains("not delivered")).then_some(())
    };
    scene.stub().wait_for(answered).await;
    scene.stub().say(ALICE, &first, "to the group");
    scene.stub().say(ALICE, &others, "to Bob alone");
    let chats = scene
        .double
        .wait_for(PATIENCE, |state| {
            let chats: Vec<ChatKey> = state.posts.iter().map(|(.., post)| post.chat.chat.clone()).collect();
            (chats.len() == 2).then_some(chats)
        })
        .await;
    assert_eq!(chats, [ChatKey::from("g1"), ChatKey::from("p-bob")]);
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("still here"))).await;
    assert!(scene.stub().texts(&first).iter().any(|(_, text)| text == "still here"));
    assert_eq!(state_of(&scene.stub().world(), &others, "m.room.name", "").unwrap()["name"], "Bob");
    scene.end().await;
}
