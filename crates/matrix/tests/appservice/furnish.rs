//! What is seen to a little later.

use std::sync::Arc;

use serde_json::json;
use wxgate_contract::conformance::State;
use wxgate_contract::{
    Answer, Author, Body, ChatKey, Command, FeedEvent, MediaId, NetworkId, PersonKey, Request, Timestamp,
};
use wxgate_matrix::Secret;

use super::scene::{ACCOUNT, ALICE, SAID_AT, Scene, by, group, person, post};
use super::stub::{PATIENCE, PUPPET_TOKEN, World};

pub(crate) fn state_of(world: &World, room_id: &str, kind: &str, key: &str) -> Option<serde_json::Value> {
    let event = world.rooms.get(room_id)?.state.get(&(kind.to_owned(), key.to_owned()))?;
    Some(event["content"].clone())
}

impl Scene {
    /// The account tells that a chat changed.
    pub(crate) fn change(&self, chat: wxgate_contract::ChatProfile) {
        let key = chat.chat.clone();
        self.double.state().chats.insert((ACCOUNT.into(), key.clone()), chat);
        self.double.tell(FeedEvent::Chats(NetworkId::from(ACCOUNT), Arc::from([key])));
    }

    pub(crate) async fn waits_for_member(&self, room_id: &str, user_id: &str, membership: &str) {
        let is = |world: &mut World| (world.membership(room_id, user_id) == Some(membership)).then_some(());
        self.stub().wait_for(is).await;
    }
}

#[tokio::test]
async fn a_small_group_gets_its_members_and_follows_them() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.waits_for_member(&room_id, "@wechat_alice_p-eve:test", "join").await;
    scene.change(group("g1", "Relatives", &["p-bob", "p-new"]));
    scene.waits_for_member(&room_id, "@wechat_alice_p-new:test", "join").await;
    scene.waits_for_member(&room_id, "@wechat_alice_p-eve:test", "leave").await;
    let named = |world: &mut World| {
        (state_of(world, &room_id, "m.room.name", "")? == json!({ "name": "Relatives" })).then_some(())
    };
    scene.stub().wait_for(named).await;
    scene.end().await;
}

#[tokio::test]
async fn a_large_group_gets_its_members_as_they_speak() {
    let scene = Scene::start_with(|config| config.members_at_once = 3).await;
    let keys: Vec<String> = (0..500).map(|n| format!("p-{n}")).collect();
    let members: Vec<&str> = keys.iter().map(String::as_str).collect();
    scene.change(group("g1", "Town", &members));
    let room_id = scene.open_group().await;
    let in_space = |world: &mut World| {
        world
            .asked
            .iter()
            .any(|asked| asked.path.contains("m.space.child") && asked.status == 200)
            .then_some(())
    };
    scene.stub().wait_for(in_space).await;
    scene.deliver(post("g1", "2", by("p-7", "Seven"), Body::text("me too"))).await;
    let ghosts = |world: &World| {
        world.rooms[&room_id].members.keys().filter(|user| user.starts_with("@wechat_")).count()
    };
    assert_eq!(ghosts(&scene.stub().world()), 2);
    scene.end().await;
}

#[tokio::test]
async fn rooms_stand_in_the_space_of_their_account() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let child = |world: &mut World| {
        let space = world.room_of("wechat_alice_")?;
        state_of(world, &room_id, "m.space.parent", &space)?;
        state_of(world, &space, "m.space.child", &room_id)
    };
    assert_eq!(scene.stub().wait_for(child).await["via"], json!(["test"]));
    let space = scene.stub().world().room_of("wechat_alice_").unwrap();
    assert_eq!(state_of(&scene.stub().world(), &space, "m.room.create", "").unwrap()["type"], "m.space");
    // A second room goes into the same space; a restart makes none.
    let scene = scene.restart().await;
    scene.deliver(post("p-bob", "1", by("p-bob", "Bob"), Body::text("hi"))).await;
    let second = scene.stub().world().room_of("wechat_alice_p-bob").unwrap();
    scene.stub().wait_for(|world| state_of(world, &space, "m.space.child", &second)).await;
    assert_eq!(scene.stub().world().rooms.len(), 3);
    scene.end().await;
}

#[tokio::test]
async fn an_account_that_was_removed_leaves_no_name_behind() {
    let scene = Scene::start().await;
    scene.open_group().await;
    scene.deliver(post("p-bob", "1", by("p-bob", "Bob"), Body::text("hi"))).await;
    scene.deliver(post("p-bob", "2", Author::Owner, Body::text("hello"))).await;
    let of_account = |state: &State| -> Vec<String> {
        let notes = state.notes.keys().map(|(_, key)| key.clone());
        let kinds = ["ghost/", "room/", "chat/", "space/"];
        notes.filter(|key| kinds.iter().any(|kind| key.starts_with(kind))).collect()
    };
    assert!(of_account(&scene.double.state()).len() >= 6, "{:?}", of_account(&scene.double.state()));
    scene.double.state().accounts.clear();
    scene.double.tell(FeedEvent::Accounts("alice".into()));
    let is_gone = |state: &mut State| of_account(state).is_empty().then_some(());
    scene.double.wait_for(PATIENCE, is_gone).await;
    scene.end().await;
}

#[tokio::test]
async fn an_owner_who_is_a_puppet_is_in_and_sees_the_chat_as_direct() {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new(PUPPET_TOKEN)).await;
    scene.deliver(post("p-bob", "1", by("p-bob", "Bob"), Body::text("hi"))).await;
    let room_id = scene.stub().world().room_of("wechat_alice_p-bob").unwrap();
    scene.waits_for_member(&room_id, ALICE, "join").await;
    let list = |world: &mut World| world.users[ALICE].account_data.get("m.direct").cloned();
    assert_eq!(scene.stub().wait_for(list).await, json!({ "@wechat_alice_p-bob:test": [room_id] }));
    scene.end().await;
}

#[tokio::test]
async fn a_picture_is_uploaded_once_whoever_shows_it() {
    let scene = Scene::start().await;
    let media = MediaId([9; 16]);
    scene.double.put_media(media, "avatar", "image/png", b"\x89PNG one and the same".to_vec());
    scene.double.state().answer = Some(Answer::Media(Some(media)));
    scene.open_group().await;
    let dressed = |world: &mut World| {
        let ghosts = ["@wechat_alice_p-bob:test", "@wechat_alice_p-eve:test"];
        let has = |user: &&str| world.users.get(*user).is_some_and(|user| !user.avatar_url.is_empty());
        (ghosts.iter().all(has) && world.count("PUT", "m.room.avatar") == 1).then_some(())
    };
    scene.stub().wait_for(dressed).await;
    assert_eq!(scene.stub().world().count("POST", "/upload"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_person_who_changes_their_name_changes_it_on_their_ghost() {
    let scene = Scene::start().await;
    scene.open_group().await;
    let key = PersonKey::from("p-bob");
    scene.double.state().people.insert((ACCOUNT.into(), key.clone()), person("p-bob", "Robert"));
    scene.double.tell(FeedEvent::People(ACCOUNT.into(), Arc::from([key])));
    let renamed =
        |world: &mut World| (world.users["@wechat_alice_p-bob:test"].name == "Robert (WeChat)").then_some(());
    scene.stub().wait_for(renamed).await;
    scene.end().await;
}

#[tokio::test]
async fn an_owner_who_left_or_was_sent_away_is_asked_back_when_the_chat_speaks() {
    for sender in [ALICE, "@other:test"] {
        asked_back(sender).await;
    }
}

/// Alice's membership becomes another one, and the bot has heard of it.
async fn becomes(scene: &Scene, sender: &str, room_id: &str, membership: &str) {
    let refusals = |world: &World| {
        world.texts(room_id).iter().filter(|(_, text)| text.contains("not delivered")).count()
    };
    let before = refusals(&scene.stub().world());
    scene.stub().world().set_member(sender, ALICE, room_id, membership);
    // What comes after it in the same queue was taken: so was the leaving.
    scene.stub().say("@other:test", room_id, "?");
    scene.stub().wait_for(|world| (refusals(world) > before).then_some(())).await;
}

#[tokio::test]
async fn an_owner_who_is_banned_is_asked_back_when_they_may_come() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().human("@other:test");
    becomes(&scene, "@other:test", &room_id, "ban").await;
    let invited = |world: &World| {
        let of_alice =
            |asked: &&super::stub::Asked| asked.path.ends_with("/invite") && asked.body["user_id"] == ALICE;
        world.asked.iter().filter(of_alice).count()
    };
    let before = invited(&scene.stub().world());
    for id in ["2", "3"] {
        scene.deliver(post("g1", id, by("p-bob", "Bob"), Body::text("said without her"))).await;
    }
    assert_eq!(invited(&scene.stub().world()), before + 1, "once, and then not for a while");
    assert_eq!(scene.stub().world().membership(&room_id, ALICE), Some("ban"));
    becomes(&scene, "@other:test", &room_id, "leave").await;
    scene.deliver(post("g1", "4", by("p-bob", "Bob"), Body::text("are you there?"))).await;
    assert_eq!(scene.stub().world().membership(&room_id, ALICE), Some("invite"));
    scene.end().await;
}

async fn asked_back(sender: &str) {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().human("@other:test");
    becomes(&scene, sender, &room_id, "leave").await;
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("are you there?"))).await;
    assert_eq!(scene.stub().world().membership(&room_id, ALICE), Some("invite"));
    scene.end().await;
}

#[tokio::test]
async fn a_chat_that_never_spoke_has_no_room() {
    let scene = Scene::start().await;
    scene.change(group("g9", "Silent", &["p-bob"]));
    scene.open_group().await;
    let keys: Vec<ChatKey> = scene.double.state().chats.keys().map(|(_, key)| key.clone()).collect();
    assert!(keys.contains(&"g9".into()));
    assert_eq!(scene.stub().world().room_of("wechat_alice_g9"), None);
    scene.end().await;
}

#[tokio::test]
async fn what_is_read_on_the_phone_is_read_in_the_room() {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new(PUPPET_TOKEN)).await;
    let room_id = scene.open_group().await;
    let ids = scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("read me"))).await;
    scene.double.tell(FeedEvent::Read(super::scene::chat("g1"), Timestamp(SAID_AT)));
    let read = |world: &mut World| {
        let (user, event) = world.rooms[&room_id].receipts.last()?.clone();
        (user == ALICE).then_some(event)
    };
    assert_eq!(scene.stub().wait_for(read).await, ids[0]);
    // The mark comes back as the owner's receipt, and goes no further.
    scene.stub().receipt(ALICE, &room_id, &ids[0], SAID_AT);
    let typed = scene.stub().say(ALICE, &room_id, "typed");
    scene.stub().receipt(ALICE, &room_id, &typed, SAID_AT + 5000);
    let asked = |state: &mut wxgate_contract::conformance::State| {
        let reads = state.commands.iter().filter_map(|command| match command {
            Command::Ask { request: Request::Read { chat, at }, .. } => Some((chat.clone(), *at)),
            _ => None,
        });
        let reads: Vec<_> = reads.collect();
        (!reads.is_empty()).then_some(reads)
    };
    let reads = scene.double.wait_for(super::stub::PATIENCE, asked).await;
    assert_eq!(reads, [(ChatKey::from("g1"), Timestamp(SAID_AT + 5000))]);
    scene.end().await;
}

#[tokio::test]
async fn only_the_owner_reads_for_the_account() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().human("@other:test");
    scene.stub().receipt("@other:test", &room_id, "$1", 1);
    scene.stub().receipt(ALICE, &room_id, "$1", 2);
    let reads = |state: &mut wxgate_contract::conformance::State| {
        let is_read =
            |command: &&Command| matches!(command, Command::Ask { request: Request::Read { .. }, .. });
        state.commands.iter().find(is_read).cloned()
    };
    let Command::Ask { request: Request::Read { at, .. }, .. } =
        scene.double.wait_for(super::stub::PATIENCE, reads).await
    else {
        unreachable!()
    };
    assert_eq!(at, Timestamp(2));
    scene.end().await;
}

/// What was asked of the account about a group.
fn changes(state: &wxgate_contract::conformance::State) -> Vec<Request> {
    let asked = state.commands.iter().filter_map(|command| match command {
        Command::Ask { request, .. } => Some(request.clone()),
        _ => None,
    });
    let is_change = |request: &Request| {
        matches!(request, Request::Retitle { .. } | Request::Bring { .. } | Request::Remove { .. })
    };
    asked.filter(is_change).collect()
}

#[tokio::test]
async fn what_the_owner_changes_about_a_groups_room_is_changed_in_the_group() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let (bob, eve) = ("@wechat_alice_p-bob:test", "@wechat_alice_p-eve:test");
    scene.waits_for_member(&room_id, eve, "join").await;
    scene.double.state().answer = Some(Answer::Done);
    let stub = scene.stub();
    stub.set_state(ALICE, &room_id, "m.room.name", "", json!({ "name": "Family 2" }));
    stub.set_state(ALICE, &room_id, "m.room.member", eve, json!({ "membership": "leave" }));
    stub.set_state(ALICE, &room_id, "m.room.member", eve, json!({ "membership": "invite" }));
    let all =
        scene.double.wait_for(PATIENCE, |state| Some(changes(state)).filter(|all| all.len() == 3)).await;
    let (group, eve_too) = (ChatKey::from("g1"), vec![PersonKey::from("p-eve")]);
    let wanted = [
        Request::Retitle { group: group.clone(), title: "Family 2".to_owned() },
        Request::Remove { group: group.clone(), people: eve_too.clone() },
        Request::Bring { group, people: eve_too, present: 2 },
    ];
    assert_eq!(all, wanted);
    // The group says the same, and nothing has to be put right.
    scene.change(group_of("Family 2", &["p-bob", "p-eve"]));
    stub.set_state(ALICE, &room_id, "m.room.member", bob, json!({ "membership": "leave" }));
    scene.double.wait_for(PATIENCE, |state| (changes(state).len() == 4).then_some(())).await;
    assert!(scene.stub().texts(&room_id).iter().all(|(sender, _)| sender == bob), "something was said");
    scene.end().await;
}

fn group_of(title: &str, members: &[&str]) -> wxgate_contract::ChatProfile {
    group("g1", title, members)
}

#[tokio::test]
async fn a_change_that_is_refused_is_told_and_put_right() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let eve = "@wechat_alice_p-eve:test";
    scene.waits_for_member(&room_id, eve, "join").await;
    let stub = scene.stub();
    // The double's account gives no answer to anything.
    stub.set_state(ALICE, &room_id, "m.room.name", "", json!({ "name": "Mine" }));
    let is = |world: &mut World| {
        let name = state_of(world, &room_id, "m.room.name", "")?;
        (name["name"] == "Family").then(|| world.texts(&room_id).pop())
    };
    let told = stub.wait_for(is).await.unwrap();
    assert_eq!(told.1, "The group was not changed, because the test gave no answer.");
    stub.set_state(ALICE, &room_id, "m.room.topic", "", json!({ "topic": "Mine" }));
    let is = |world: &mut World| {
        let topic = state_of(world, &room_id, "m.room.topic", "")?;
        (topic["topic"] == "").then(|| world.texts(&room_id).pop())
    };
    let told = stub.wait_for(is).await.unwrap();
    assert!(told.1.contains("no way to set an announcement"), "{}", told.1);
    stub.set_state(ALICE, &room_id, "m.room.member", eve, json!({ "membership": "leave" }));
    scene.waits_for_member(&room_id, eve, "leave").await;
    scene.waits_for_member(&room_id, eve, "join").await;
    // Somebody else's changes are nobody's wish.
    stub.human("@other:test");
    stub.join("@other:test", &room_id);
    let before = changes(&scene.double.state()).len();
    stub.set_state("@other:test", &room_id, "m.room.name", "", json!({ "name": "Theirs" }));
    let told = |world: &mut World| {
        world.texts(&room_id).pop().filter(|(_, text)| text.contains("only the owner")).map(drop)
    };
    stub.wait_for(told).await;
    assert_eq!(changes(&scene.double.state()).len(), before);
    scene.end().await;
}
