//! Rooms and who is in them.

use std::time::Duration;

use serde_json::json;
use wxgate_contract::conformance::State;
use wxgate_contract::{Author, Body, ChatProfile, Health, Outcome};
use wxgate_matrix::Secret;

use super::scene::{ALICE, Scene, by, group, post};
use super::stub::{Fault, PATIENCE, PUPPET_TOKEN, Room};

#[tokio::test]
async fn a_private_chat_is_a_direct_room_with_the_other_side_in_it() {
    let scene = Scene::start().await;
    scene.deliver(post("p-bob", "1", by("p-bob", "Bob"), Body::text("hi"))).await;
    let check = |world: &mut super::stub::World| {
        let room_id = world.room_of("wechat_alice_p-bob").unwrap();
        let created = world.asked.iter().find(|asked| asked.path.ends_with("/createRoom")).unwrap();
        assert_eq!(created.body["is_direct"], true);
        assert_eq!(created.body["name"], "Bob");
        assert_eq!(
            created.body["creation_content"]["wxgate.chat"],
            json!({ "network": "wechat:alice", "chat": "p-bob" })
        );
        assert_eq!(world.membership(&room_id, ALICE), Some("invite"));
        assert!(world.is_in(&room_id, "@wechat_alice_p-bob:test"));
        assert_eq!(world.users["@wechat_alice_p-bob:test"].name, "Bob (WeChat)");
        let key = ("uk.half-shot.bridge".to_owned(), "wxgate://wechat:alice/p-bob".to_owned());
        assert_eq!(world.rooms[&room_id].state[&key]["content"]["protocol"]["id"], "wechat");
    };
    check(&mut scene.stub().world());
    scene.end().await;
}

#[tokio::test]
async fn the_rules_of_the_room_version_are_kept() {
    for (version, listed, later) in [("12", false, "11"), ("11", true, "12")] {
        let scene = Scene::start().await;
        let pinged = |times| {
            move |world: &mut super::stub::World| (world.count("POST", "/ping") >= times).then_some(())
        };
        scene.stub().wait_for(pinged(1)).await;
        scene.stub().world().version = version.to_owned();
        let scene = scene.restart().await;
        scene.stub().wait_for(pinged(2)).await;
        let room_id = scene.open_group().await;
        let levels = |world: &super::stub::World| {
            let key = ("m.room.power_levels".to_owned(), String::new());
            world.rooms[&room_id].state[&key]["content"]["users"].clone()
        };
        let users = levels(&scene.stub().world());
        assert_eq!(users.get("@wechatbot:test").is_some(), listed, "version {version}");
        // Rooms that are made from now on have another version, and this one keeps its own.
        scene.stub().world().version = later.to_owned();
        let scene = scene.restart().await;
        scene.stub().wait_for(pinged(3)).await;
        scene.change(ChatProfile { is_owned: true, ..group("g1", "Family", &["p-bob", "p-eve"]) });
        let owns = |world: &mut super::stub::World| {
            let users = levels(world);
            (users[ALICE] == 50).then_some(users)
        };
        let users = scene.stub().wait_for(owns).await;
        assert_eq!(users.get("@wechatbot:test").is_some(), listed, "version {version}, later {later}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_room_that_was_made_and_not_written_down_is_found_again() {
    let scene = Scene::start().await;
    scene.stub().fault("/createRoom", Fault::LoseAnswer);
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("hi")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    // The owner is faster than the repetition.
    let room_id = scene.stub().world().room_of("wechat_alice_g1").unwrap();
    scene.stub().join(ALICE, &room_id);
    scene.stub().say(ALICE, &room_id, "already here");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    let key = ("m.room.create".to_owned(), String::new());
    let mirrors = |room: &&Room| room.state[&key]["content"]["wxgate.chat"]["chat"] == "g1";
    assert_eq!(scene.stub().world().rooms.values().filter(mirrors).count(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_room_that_the_homeserver_is_still_making_is_waited_for() {
    const BOT: &str = "@wechatbot:test";
    let scene = Scene::start().await;
    // The alias is there before anybody is in the room, and whoever asked for it has died.
    let half_made = |room_id: &str, localpart: &str| {
        let mut world = scene.stub().world();
        world.rooms.insert(room_id.to_owned(), Room::default());
        world.aliases.insert(format!("#{localpart}:test"), room_id.to_owned());
    };
    half_made("!slow", "wechat_alice_g1");
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("hi")));
    for n in 0..2 {
        scene.hand(&delivery).await;
        let waits = scene.outcome(delivery.id, n).await;
        assert!(matches!(waits, Outcome::TryLater { .. }), "{waits:?}");
    }
    scene.stub().world().set_member(BOT, BOT, "!slow", "join");
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 2).await, Outcome::Sent { .. }));
    assert_eq!(scene.stub().world().room_of("wechat_alice_g1").as_deref(), Some("!slow"));
    assert_eq!(scene.stub().texts("!slow").len(), 1);
    // One that is never finished is given up.
    half_made("!never", "wechat_alice_p-bob");
    let delivery = scene.delivery(post("p-bob", "2", by("p-bob", "Bob"), Body::text("hi")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.clock.advance(Duration::from_secs(61));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    assert_ne!(scene.stub().world().room_of("wechat_alice_p-bob").as_deref(), Some("!never"));
    scene.end().await;
}

#[tokio::test]
async fn the_other_side_is_in_the_room_wherever_the_making_of_it_broke_off() {
    let scene = Scene::start().await;
    scene.stub().fault("/join/", Fault::Status(500));
    let delivery = scene.delivery(post("p-bob", "1", Author::Owner, Body::text("from my phone")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    let room_id = scene.stub().world().room_of("wechat_alice_p-bob").unwrap();
    assert!(scene.stub().world().is_in(&room_id, "@wechat_alice_p-bob:test"));
    scene.end().await;
}

#[tokio::test]
async fn a_room_that_is_lost_is_replaced() {
    let scene = Scene::start().await;
    let first = scene.open_group().await;
    // Somebody with power threw everybody of ours out.
    {
        let mut world = scene.stub().world();
        for user in ["@wechatbot:test", "@wechat_alice_p-bob:test"] {
            world.set_member(ALICE, user, &first, "leave");
        }
    }
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("again"))).await;
    let second = scene.stub().world().room_of("wechat_alice_g1").unwrap();
    assert_ne!(first, second);
    assert_eq!(scene.stub().texts(&second).len(), 1);
    scene.end().await;
}

/// The bot alone was sent away: what a ghost says there needs the bot to ask how the room is encrypted.
#[cfg(feature = "encryption")]
#[tokio::test]
async fn a_room_that_the_bot_may_ask_nothing_about_is_replaced() {
    let scene = Scene::start_with(|config| config.encryption = wxgate_matrix::Encryption::Allow).await;
    let first = scene.open_group().await;
    scene.stub().world().set_member(ALICE, "@wechatbot:test", &first, "leave");
    let scene = scene.restart().await;
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("again"))).await;
    let second = scene.stub().world().room_of("wechat_alice_g1").unwrap();
    assert_ne!(first, second);
    assert_eq!(scene.stub().texts(&second).len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_homeserver_restored_from_a_backup_is_furnished_again() {
    let scene = Scene::start().await;
    scene.open_group().await;
    {
        let mut world = scene.stub().world();
        world.rooms.clear();
        world.aliases.clear();
        world.txns_on_disk.clear();
        world.txns_in_memory.clear();
        world.users.retain(|_, user| !user.is_ghost);
    }
    scene.deliver(post("g1", "2", by("p-eve", "Eve"), Body::text("after the backup"))).await;
    let room_id = scene.stub().world().room_of("wechat_alice_g1").unwrap();
    assert_eq!(
        scene.stub().texts(&room_id),
        [("@wechat_alice_p-eve:test".to_owned(), "after the backup".to_owned())]
    );
    scene.end().await;
}

#[tokio::test]
async fn own_words_stand_in_the_owners_name_where_that_is_set_up() {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new(PUPPET_TOKEN)).await;
    let room_id = scene.open_group().await;
    scene.deliver(post("g1", "2", Author::Owner, Body::text("from my phone"))).await;
    assert_eq!(scene.stub().texts(&room_id).pop(), Some((ALICE.to_owned(), "from my phone".to_owned())));
    // It comes back in a transaction and must not be said in WeChat again.
    scene.stub().say(ALICE, &room_id, "typed");
    scene.double.wait_for(PATIENCE, |state| (!state.posts.is_empty()).then_some(())).await;
    assert_eq!(scene.double.state().posts.len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn what_a_token_without_a_device_said_is_said_once_over_a_restart_of_the_homeserver() {
    let scene = Scene::start().await;
    let own = ("matrix".into(), format!("token/{ALICE}"));
    scene.double.state().notes.insert(own, bytes::Bytes::from(format!("token of {ALICE}")));
    let room_id = scene.open_group().await;
    // A homeserver remembers the transaction ids of such a token in its memory alone.
    let mut delivery = scene.delivery(post("g1", "2", Author::Owner, Body::text("from my phone")));
    scene.stub().fault("/send/m.room.message", Fault::LoseAnswer);
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.stub().restart();
    delivery.attempt = 2;
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    let said: Vec<_> =
        scene.stub().texts(&room_id).into_iter().filter(|(_, text)| text == "from my phone").collect();
    assert_eq!(said, [(ALICE.to_owned(), "from my phone".to_owned())]);
    scene.end().await;
}

#[tokio::test]
async fn own_words_are_the_own_ghosts_where_nothing_better_is_set_up() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.deliver(post("g1", "2", Author::Owner, Body::text("from my phone"))).await;
    let (sender, _) = scene.stub().texts(&room_id).pop().unwrap();
    assert_eq!(sender, "@wechat_alice_:test");
    assert_eq!(scene.stub().world().users[&sender].name, "alice (WeChat)");
    scene.end().await;
}

#[tokio::test]
async fn only_the_owner_speaks_in_a_room_unless_it_relays() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().human("@mallory:test");
    scene.stub().join("@mallory:test", &room_id);
    scene.stub().say("@mallory:test", &room_id, "let me in");
    let told = |world: &mut super::stub::World| {
        world.texts(&room_id).pop().filter(|(sender, _)| sender == "@wechatbot:test").map(|(_, text)| text)
    };
    let text = scene.stub().wait_for(told).await;
    assert_eq!(text, "Your message was not delivered, because only the owner of the account can speak here.");
    assert!(scene.double.state().posts.is_empty());
    scene.end().await;
}

#[tokio::test]
async fn what_follows_from_an_event_is_done_after_a_crash() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let first = scene.stub().texts(&room_id);
    scene.stub().human("@mallory:test");
    scene.stub().join("@mallory:test", &room_id);
    // The homeserver takes the refusal badly, and the program dies before it tries again.
    let sends = |world: &super::stub::World| world.count("PUT", "/send/m.room.message");
    let before = sends(&scene.stub().world());
    scene.stub().fault("/send/m.room.message", Fault::Status(500));
    scene.stub().say("@mallory:test", &room_id, "let me in");
    scene.stub().wait_for(|world| (sends(world) > before).then_some(())).await;
    let scene = scene.kill().await;
    let refusal = |world: &mut super::stub::World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.contains("only the owner"))
    };
    scene.stub().wait_for(refusal).await;
    // It is forgotten then, and not said again at the next start.
    let done =
        |state: &mut State| (!state.notes.keys().any(|(_, key)| key.starts_with("todo/"))).then_some(());
    scene.double.wait_for(PATIENCE, done).await;
    let scene = scene.restart().await;
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("goes on"))).await;
    assert_eq!(scene.stub().texts(&room_id).len(), first.len() + 3);
    scene.end().await;
}

#[tokio::test]
async fn people_who_are_relayed_are_named_as_the_operator_has_it() {
    let scene =
        Scene::start_with(|config| config.relay_name_template = "{name} [{localpart}]".to_owned()).await;
    let room_id = relaying(&scene, "Mallory\nAlice").await;
    scene.stub().say("@mallory:test", &room_id, "hello");
    let posts =
        scene.double.wait_for(PATIENCE, |state| state.posts.first().cloned().map(|(.., post)| post)).await;
    let Author::Person { name, .. } = posts.author else { panic!("{posts:?}") };
    assert_eq!(name, "Mallory Alice [mallory]");
    scene.end().await;
}

/// Their own homeserver may be far away or gone, and what ours cannot tell is no reason to ask it nothing more.
#[tokio::test]
async fn people_who_are_relayed_are_called_as_in_the_room_whatever_their_homeserver_says() {
    let scene = Scene::start().await;
    let room_id = relaying(&scene, "Mallory").await;
    let profile = "/profile/%40mallory%3Atest";
    for fault in [Fault::Hangs, Fault::Status(502), Fault::Hangs] {
        scene.stub().fault(profile, fault);
    }
    let began = tokio::time::Instant::now();
    let named = |text: &'static str| {
        move |state: &mut State| {
            let post = state.posts.iter().find(|(.., post)| post.body == Body::text(text))?;
            match &post.2.author {
                Author::Person { name, .. } => Some(name.clone()),
                other => panic!("{other:?}"),
            }
        }
    };
    // The homeserver says itself that it does not know now.
    scene.stub().fault("/state/m.room.member/%40mallory%3Atest", Fault::Status(502));
    scene.stub().say("@mallory:test", &room_id, "one");
    assert_eq!(scene.double.wait_for(PATIENCE, named("one")).await, "mallory");
    for text in ["two", "three"] {
        scene.stub().say("@mallory:test", &room_id, text);
        assert_eq!(scene.double.wait_for(PATIENCE, named(text)).await, "Mallory");
    }
    let asked = |world: &super::stub::World| {
        let all =
            world.asked.iter().filter(|asked| asked.path.ends_with("/state/m.room.member/@mallory:test"));
        all.count()
    };
    assert_eq!(asked(&scene.stub().world()), 2, "a name that is known is not asked for again");
    let called = |name: serde_json::Value| {
        let mut world = scene.stub().world();
        let content = json!({ "membership": "join", "displayname": name });
        world.put_event("@mallory:test", &room_id, "m.room.member", Some("@mallory:test"), content, None);
    };
    called(json!("Mal"));
    scene.stub().say("@mallory:test", &room_id, "four");
    assert_eq!(scene.double.wait_for(PATIENCE, named("four")).await, "Mal");
    called(json!(5));
    scene.stub().say("@mallory:test", &room_id, "five");
    assert_eq!(scene.double.wait_for(PATIENCE, named("five")).await, "mallory");
    scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("goes on"))).await;
    assert!(began.elapsed() < Duration::from_secs(5), "nobody was waited for: {:?}", began.elapsed());
    assert_eq!(scene.double.state().health[&"matrix".into()], Health::Up);
    scene.end().await;
}

#[tokio::test]
async fn two_bridges_do_not_answer_each_other_for_ever() {
    let scene = Scene::start().await;
    let room_id = relaying(&scene, "Mallory").await;
    let mut text = "hi".to_owned();
    for _ in 0..12 {
        scene.stub().say("@mallory:test", &room_id, &text);
        text = format!("Bob (WeChat): {text}");
    }
    scene.stub().say("@mallory:test", &room_id, "something else");
    let said = |state: &mut State| {
        let bodies: Vec<Body> = state.posts.iter().map(|(.., post)| post.body.clone()).collect();
        bodies.contains(&Body::text("something else")).then_some(bodies.len())
    };
    assert_eq!(scene.double.wait_for(PATIENCE, said).await, 7);
    let told = |world: &mut super::stub::World| {
        let texts = world.texts(&room_id).into_iter();
        Some(texts.filter(|(_, text)| text.contains("another bridge")).count()).filter(|told| *told > 0)
    };
    assert_eq!(scene.stub().wait_for(told).await, 1);
    scene.end().await;
}

#[tokio::test]
async fn what_everybody_answers_alike_is_relayed_each_time() {
    let scene = Scene::start().await;
    let room_id = relaying(&scene, "Mallory").await;
    for _ in 0..12 {
        scene.stub().say("@mallory:test", &room_id, "+1");
    }
    let all = |state: &mut State| (state.posts.len() == 12).then_some(());
    scene.double.wait_for(PATIENCE, all).await;
    scene.end().await;
}

#[tokio::test]
async fn a_room_with_another_bridge_to_wechat_in_it_does_not_relay() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let other = "@otherbot:test";
    scene.stub().human(other);
    scene.stub().join(other, &room_id);
    let bridge = json!({ "bridgebot": other, "protocol": { "id": "wechat" } });
    scene.stub().set_state(other, &room_id, "m.bridge", "other://1", bridge);
    scene.stub().say(ALICE, &room_id, "!wx set-relay");
    let told = |world: &mut super::stub::World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.contains("Another bridge to WeChat"))
    };
    scene.stub().wait_for(told).await;
    // It may have left.
    scene.stub().world().set_member(other, other, &room_id, "leave");
    scene.stub().say(ALICE, &room_id, "!wx set-relay");
    let told = |world: &mut super::stub::World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.contains("speaks through your account"))
    };
    scene.stub().wait_for(told).await;
    scene.end().await;
}

#[tokio::test]
async fn an_edit_of_somebody_elses_words_takes_nothing_back() {
    let scene = Scene::start().await;
    let room_id = relaying(&scene, "Mallory").await;
    scene.stub().say(ALICE, &room_id, "!wx set edits replace");
    let told = |world: &mut super::stub::World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.starts_with("From now on"))
    };
    scene.stub().wait_for(told).await;
    let mine = scene.stub().say(ALICE, &room_id, "mine");
    let edit = |by: &str, text: &str| {
        let relates = json!({ "rel_type": "m.replace", "event_id": mine });
        let new = json!({ "msgtype": "m.text", "body": text });
        let content =
            json!({ "msgtype": "m.text", "body": "* x", "m.new_content": new, "m.relates_to": relates });
        scene.stub().send(by, &room_id, "m.room.message", content);
    };
    edit("@mallory:test", "not yours");
    edit(ALICE, "mine again");
    let said = |state: &mut State| {
        let bodies: Vec<Body> = state.posts.iter().map(|(.., post)| post.body.clone()).collect();
        bodies.contains(&Body::text("mine again")).then_some(bodies)
    };
    let recall = Body::Recall { target: Some(mine.as_str().into()), notice: String::new() };
    let wanted = [Body::text("mine"), Body::text("(edit) not yours"), recall, Body::text("mine again")];
    assert_eq!(scene.double.wait_for(PATIENCE, said).await, wanted);
    scene.end().await;
}

/// The group's room, in which somebody of that name speaks through the account.
async fn relaying(scene: &Scene, name: &str) -> String {
    let room_id = scene.open_group().await;
    scene.stub().human("@mallory:test");
    scene.stub().world().users.get_mut("@mallory:test").unwrap().name = name.to_owned();
    scene.stub().join("@mallory:test", &room_id);
    scene.stub().say(ALICE, &room_id, "!wx set-relay");
    let told = |world: &mut super::stub::World| {
        world.texts(&room_id).into_iter().find(|(_, text)| text.contains("speaks through your account"))
    };
    scene.stub().wait_for(told).await;
    room_id
}

#[tokio::test]
async fn accounts_of_people_with_permission_are_mirrored() {
    let scene = Scene::start().await;
    let wanted = ("wechat:alice".into(), "matrix".into());
    scene.double.wait_for(PATIENCE, |state| state.mirrors.contains(&wanted).then_some(())).await;
    scene.end().await;
}
