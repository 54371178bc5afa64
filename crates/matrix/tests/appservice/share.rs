//! Two people of one group, each with an account, in one room.

use std::time::Duration;

use serde_json::{Value, json};
use wxgate_contract::{
    Author, Body, ChatRef, Command, Delivery, Fate, FeedEvent, Health, Job, NetworkId, Outcome, PersonRef,
    Post, PostId, RemoteId, Report, Request, Timestamp,
};
use wxgate_matrix::Secret;

use super::scene::{ALICE, SAID_AT, Scene, by, group, person, post};
use super::stub::{Fault, PATIENCE, PUPPET_TOKEN};

const BOB: &str = "@bob:test";
const BOBS: &str = "wechat:bob";
const BOT: &str = "@wechatbot:test";
/// Bob as Alice's account knows him.
const BOB_TO_ALICE: &str = "p-bob";
/// Alice and Eve as Bob's account knows them.
const ALICE_TO_BOB: &str = "q-alice";
const EVE_TO_BOB: &str = "q-eve";

/// Something said after the room was shared.
fn later(mut post: Post) -> Post {
    post.at = Timestamp(SAID_AT + 60_000);
    post
}

/// The same message, as Bob's account hears it.
fn at_bobs(number: &str, author: Author, text: &str) -> Post {
    let mut post = later(post("h1", number, author, Body::text(text)));
    post.chat.network = BOBS.into();
    post
}

fn at_alices(number: &str, author: Author, text: &str) -> Post {
    later(post("g1", number, author, Body::text(text)))
}

async fn says(scene: &Scene, who: &str, room_id: &str, text: &str) -> String {
    let asked = scene.stub().say(who, room_id, text);
    let answer = scene.stub().wait_for(|world| {
        let all = world.events(room_id, "m.room.message");
        let to =
            |event: &&Value| event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == asked.as_str();
        all.iter().filter(|event| event["sender"] == BOT).find(to).cloned()
    });
    answer.await["content"]["body"].as_str().unwrap().to_owned()
}

/// Alice's room of the group, in which Bob is, and both accounts.
async fn scene() -> (Scene, String) {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new(PUPPET_TOKEN)).await;
    let bobs = NetworkId::from(BOBS);
    scene.stub().human(BOB);
    scene.double.add_account("bob", "pw", BOBS);
    {
        let mut state = scene.double.state();
        state.persons.insert(PersonRef { network: "matrix".into(), person: BOB.into() }, "bob".into());
        let chat = group("h1", "Family", &[ALICE_TO_BOB, EVE_TO_BOB]);
        state.chats.insert((bobs.clone(), chat.chat.clone()), chat);
        for (key, name) in [(ALICE_TO_BOB, "Alice L"), (EVE_TO_BOB, "Evie")] {
            state.people.insert((bobs.clone(), key.into()), person(key, name));
        }
    }
    let room_id = scene.open_group().await;
    scene.stub().join(BOB, &room_id);
    (scene, room_id)
}

/// What both accounts heard before the room is shared: one line of Eve's.
async fn hear(scene: &Scene) {
    let line = post("g1", "100", by("p-eve", "Eve"), Body::text("both hear me"));
    scene.double.show(line.clone());
    scene.deliver(line).await;
    let mut line = post("h1", "100", by(EVE_TO_BOB, "Evie"), Body::text("both hear me"));
    line.chat.network = BOBS.into();
    scene.double.show(line);
}

async fn shared() -> (Scene, String) {
    let (scene, room_id) = scene().await;
    hear(&scene).await;
    let answer = says(&scene, BOB, &room_id, "!wx share").await;
    assert!(answer.contains("through your own account bob"), "{answer}");
    (scene, room_id)
}

/// What stands in the room beside the bot's words.
fn lines(scene: &Scene, room_id: &str) -> Vec<(String, String)> {
    scene
        .stub()
        .texts(room_id)
        .into_iter()
        .filter(|(who, text)| who != BOT && !text.starts_with("!wx"))
        .collect()
}

fn pair(who: &str, text: &str) -> (String, String) {
    (who.to_owned(), text.to_owned())
}

/// Hands a delivery over as often as it is put off.
async fn until_settled(scene: &Scene, delivery: &Delivery) -> Outcome {
    until_settled_after(scene, delivery, 0).await
}

/// The same for one that was put off some times already.
async fn until_settled_after(scene: &Scene, delivery: &Delivery, times: usize) -> Outcome {
    for nth in times..100 {
        let mut again = delivery.clone();
        again.attempt += u32::try_from(nth).unwrap();
        scene.hand(&again).await;
        match scene.outcome(delivery.id, nth).await {
            Outcome::TryLater { .. } => {}
            done => return done,
        }
    }
    panic!("never settled")
}

#[tokio::test]
async fn a_message_that_both_accounts_hear_is_shown_once_whoever_brings_it_first() {
    let (scene, room_id) = shared().await;
    let first = scene.deliver(at_alices("1", by("p-eve", "Eve"), "one")).await;
    let second = scene.deliver(at_bobs("1", by(EVE_TO_BOB, "Evie"), "one")).await;
    assert!(second[0].starts_with(&format!("{} ", first[0])), "the same event under an alias: {second:?}");
    // Bob's account is faster: Eve is the one whom Alice's account shows.
    scene.deliver(at_bobs("2", by(EVE_TO_BOB, "Evie"), "two")).await;
    scene.deliver(at_alices("2", by("p-eve", "Eve"), "two")).await;
    let eve = "@wechat_alice_p-eve:test";
    let shown = lines(&scene, &room_id);
    assert_eq!(shown[2..], [pair(eve, "one"), pair(eve, "two")], "{shown:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_was_shown_before_is_not_said_again_by_the_newcomer() {
    let (scene, room_id) = shared().await;
    let mut old = at_bobs("100", by(EVE_TO_BOB, "Evie"), "both hear me");
    old.at = Timestamp(SAID_AT);
    let ids = scene.deliver(old).await;
    assert_eq!(ids.len(), 1, "replies to it find it");
    assert_eq!(lines(&scene, &room_id).len(), 2);
    scene.end().await;
}

#[tokio::test]
async fn nobody_shares_a_room_whose_group_they_have_not_heard() {
    let (scene, room_id) = scene().await;
    let answer = says(&scene, BOB, &room_id, "!wx share").await;
    assert!(answer.contains("has heard what was said here"), "{answer}");
    // The same number with other words proves nothing.
    scene.double.show(post("g1", "100", by("p-eve", "Eve"), Body::text("hi")));
    let mut other = post("h1", "100", by(EVE_TO_BOB, "Evie"), Body::text("something else"));
    other.chat.network = BOBS.into();
    scene.double.show(other);
    let answer = says(&scene, BOB, &room_id, "!wx share").await;
    assert!(answer.contains("has heard what was said here"), "{answer}");
    // A stranger without an account is told to sign in.
    scene.stub().human("@carl:test");
    scene.stub().join("@carl:test", &room_id);
    scene
        .double
        .state()
        .persons
        .insert(PersonRef { network: "matrix".into(), person: "@carl:test".into() }, "carl".into());
    let answer = says(&scene, "@carl:test", &room_id, "!wx share").await;
    assert!(answer.contains("no WeChat account"), "{answer}");
    scene.end().await;
}

/// Both find that nobody shares the room yet.
#[tokio::test]
async fn of_two_who_begin_to_share_a_room_at_once_neither_is_lost() {
    let (scene, room_id) = scene().await;
    let carls = NetworkId::from("wechat:carl");
    let carl = "@carl:test";
    scene.stub().human(carl);
    scene.double.add_account("carl", "pw", carls.as_str());
    {
        let mut state = scene.double.state();
        state.persons.insert(PersonRef { network: "matrix".into(), person: carl.into() }, "carl".into());
        let chat = group("c1", "Family", &["r-eve"]);
        state.chats.insert((carls.clone(), chat.chat.clone()), chat);
        state.people.insert((carls.clone(), "r-eve".into()), person("r-eve", "E."));
    }
    scene.stub().join(carl, &room_id);
    hear(&scene).await;
    let mut line = post("c1", "100", by("r-eve", "E."), Body::text("both hear me"));
    line.chat.network = carls;
    scene.double.show(line);
    for _ in 0..2 {
        scene.stub().fault("/messages", Fault::Slow(500));
    }
    let share = |who: &'static str| says(&scene, who, &room_id, "!wx share");
    let answers = tokio::join!(share(BOB), share(carl));
    let began = |answer: &String| answer.contains("through your own account");
    let (bob, carls) = (began(&answers.0), began(&answers.1));
    assert!(bob != carls, "one of them was first: {answers:?}");
    let later = if bob { carl } else { BOB };
    let answer = says(&scene, later, &room_id, "!wx share").await;
    assert!(began(&answer), "{answer}");
    let all = says(&scene, ALICE, &room_id, "!wx share").await;
    assert!([ALICE, BOB, carl].iter().all(|who| all.contains(who)), "{all}");
    scene.end().await;
}

#[tokio::test]
async fn everybody_speaks_through_their_own_account_and_hears_it_once() {
    let (scene, room_id) = shared().await;
    let typed = scene.stub().say(BOB, &room_id, "from bob");
    let of_bob = |state: &mut wxgate_contract::conformance::State| {
        state
            .posts
            .iter()
            .find(|(_, origin, post)| origin.as_str() == "matrix" && post.body == Body::text("from bob"))
            .cloned()
    };
    let (_, _, said) = scene.double.wait_for(PATIENCE, of_bob).await;
    assert_eq!((said.chat.network.as_str(), &said.author), (BOBS, &Author::Owner));
    // Alice's account hears it before Bob's has told that it arrived, and waits.
    let heard = scene.delivery(at_alices("5", by(BOB_TO_ALICE, "Bob"), "from bob"));
    scene.hand(&heard).await;
    assert!(matches!(scene.outcome(heard.id, 0).await, Outcome::TryLater { .. }));
    let mut told = scene.delivery(at_bobs("5", Author::Owner, ""));
    let report = Report {
        post: PostId(1),
        remote_id: typed.as_str().into(),
        fate: Fate::Said,
        native_ids: vec!["5".into()],
    };
    told.job = Job::Report(report);
    scene.hand(&told).await;
    assert!(matches!(scene.outcome(told.id, 0).await, Outcome::Sent { .. }));
    let mut again = heard.clone();
    again.attempt = 2;
    scene.hand(&again).await;
    let Outcome::Sent { remote_ids } = scene.outcome(heard.id, 1).await else { panic!("not settled") };
    assert!(remote_ids[0].as_str().starts_with(&format!("{typed} ")), "{remote_ids:?}");
    let shown = lines(&scene, &room_id);
    assert_eq!(shown.iter().filter(|(_, text)| text == "from bob").count(), 1, "{shown:?}");
    // Now Alice's account knows who Bob is; what he says on his phone comes out in his name.
    scene.deliver(at_bobs("6", Author::Owner, "from bob's phone")).await;
    scene.deliver(at_alices("6", by(BOB_TO_ALICE, "Bob"), "from bob's phone")).await;
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair(BOB, "from bob's phone")));
    // And his ghost goes: he is there himself.
    scene.stub().wait_for(|world| (!world.is_in(&room_id, "@wechat_alice_p-bob:test")).then_some(())).await;
    scene.end().await;
}

#[tokio::test]
async fn the_owner_of_an_account_that_is_away_is_shown_as_themselves() {
    let (scene, room_id) = shared().await;
    scene.deliver(at_bobs("6", Author::Owner, "hello")).await;
    scene.deliver(at_alices("6", by(BOB_TO_ALICE, "Bob"), "hello")).await;
    scene.double.state().accounts[1].health = Health::NeedsHuman { step: "sign in".to_owned() };
    scene.deliver(at_alices("7", by(BOB_TO_ALICE, "Bob"), "signed out here")).await;
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair(BOB, "signed out here")));
    scene.end().await;
}

#[tokio::test]
async fn somebody_unknown_is_waited_for_a_minute_and_then_shown_as_one_account_knows_them() {
    let (scene, room_id) = shared().await;
    scene.stub().wait_for(|world| world.is_in(&room_id, "@wechat_alice_p-eve:test").then_some(())).await;
    let line = scene.delivery(at_bobs("8", by("q-new", "Newcomer"), "who am I?"));
    scene.hand(&line).await;
    assert!(matches!(scene.outcome(line.id, 0).await, Outcome::TryLater { .. }));
    scene.clock.advance(Duration::from_secs(61));
    let mut again = line.clone();
    again.attempt = 2;
    scene.hand(&again).await;
    assert!(matches!(scene.outcome(line.id, 1).await, Outcome::Sent { .. }));
    let ghost = "@wechat_bob_q-new:test";
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair(ghost, "who am I?")));
    // Alice's account hears it late: it is one message, and now it is known who that is.
    scene.deliver(at_alices("8", by("p-new", "Newcomer"), "who am I?")).await;
    scene.deliver(at_bobs("9", by("q-new", "Newcomer"), "me")).await;
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair("@wechat_alice_p-new:test", "me")));
    scene.end().await;
}

#[tokio::test]
async fn a_crash_between_saying_and_noting_makes_no_double_whoever_goes_on() {
    for fast in [true, false] {
        let (scene, room_id) = shared().await;
        scene.stub().fault("/send/m.room.message", Fault::LoseAnswer);
        let line = scene.delivery(at_bobs("3", by(EVE_TO_BOB, "Evie"), "once"));
        scene.hand(&line).await;
        assert!(matches!(scene.outcome(line.id, 0).await, Outcome::TryLater { .. }));
        let scene = scene.kill().await;
        // Synapse keeps the ids of transactions by user and device over a restart, and by nothing else.
        scene.stub().restart();
        let other = scene.delivery(at_alices("3", by("p-eve", "Eve"), "once"));
        if fast {
            assert!(matches!(until_settled(&scene, &line).await, Outcome::Sent { .. }));
            assert!(matches!(until_settled(&scene, &other).await, Outcome::Sent { .. }));
        } else {
            // Bob's account does not come back to it, so Alice's takes it over.
            scene.hand(&other).await;
            assert!(matches!(scene.outcome(other.id, 0).await, Outcome::TryLater { .. }));
            scene.clock.advance(Duration::from_secs(61));
            let mut again = other.clone();
            again.attempt = 2;
            scene.hand(&again).await;
            assert!(matches!(scene.outcome(other.id, 1).await, Outcome::Sent { .. }));
        }
        let shown = lines(&scene, &room_id);
        assert_eq!(shown.iter().filter(|(_, text)| text == "once").count(), 1, "{shown:?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn recalls_and_answers_reach_the_event_from_every_account() {
    let (scene, room_id) = shared().await;
    let first = scene.deliver(at_alices("1", by("p-eve", "Eve"), "take me back")).await;
    let second = scene.deliver(at_bobs("1", by(EVE_TO_BOB, "Evie"), "take me back")).await;
    // An answer in WeChat, as Bob's account hears it.
    let mut answer = scene.delivery(at_bobs("2", by(EVE_TO_BOB, "Evie"), "an answer"));
    let Job::Say(say) = &mut answer.job else { unreachable!() };
    say.quoted_remote_id = Some(RemoteId::new(second[0].clone()));
    scene.hand(&answer).await;
    assert!(matches!(scene.outcome(answer.id, 0).await, Outcome::Sent { .. }));
    let event = scene.stub().world().events(&room_id, "m.room.message").pop().unwrap();
    assert_eq!(event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], first[0].as_str());
    // Bob answers in the room: his account knows the message by the alias.
    let reply = json!({ "msgtype": "m.text", "body": "to eve",
        "m.relates_to": { "m.in_reply_to": { "event_id": first[0] } } });
    scene.stub().send(BOB, &room_id, "m.room.message", reply.clone());
    scene.stub().send(ALICE, &room_id, "m.room.message", reply);
    let targets = scene
        .double
        .wait_for(PATIENCE, |state| {
            let said = state.posts.iter().filter(|(_, _, post)| post.body == Body::text("to eve"));
            let targets: Vec<_> = said
                .map(|(_, _, post)| (post.chat.network.to_string(), post.quote.clone().unwrap()))
                .collect();
            (targets.len() == 2).then_some(targets)
        })
        .await;
    for (account, quote) in targets {
        let (wanted, name) = if account == BOBS { (&second[0], "Evie") } else { (&first[0], "Eve 🌺") };
        assert_eq!(quote.target.unwrap().as_str(), wanted);
        assert_eq!(quote.author_name, name, "by the name that the account has for them");
    }
    // Taken back: both accounts hear it, and it is taken back once.
    for (chat, id) in [("g1", &first[0]), ("h1", &second[0])] {
        let mut recall = scene.delivery(match chat {
            "g1" => at_alices("3", by("p-eve", "Eve"), ""),
            _ => at_bobs("3", by(EVE_TO_BOB, "Evie"), ""),
        });
        recall.job = Job::Recall { post: PostId(1), remote_ids: vec![RemoteId::new(id.clone())] };
        scene.hand(&recall).await;
        assert!(matches!(scene.outcome(recall.id, 0).await, Outcome::Sent { .. }));
    }
    let redactions = scene.stub().world().events(&room_id, "m.room.redaction");
    assert_eq!(redactions.len(), 1, "{redactions:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_one_of_them_has_read_is_read_for_that_one_alone() {
    let (scene, room_id) = shared().await;
    let ids = scene.deliver(at_alices("1", by("p-eve", "Eve"), "read me")).await;
    scene.deliver(at_bobs("1", by(EVE_TO_BOB, "Evie"), "read me")).await;
    let at = Timestamp(SAID_AT + 60_000);
    for who in [ALICE, BOB] {
        scene.stub().receipt(who, &room_id, &ids[0], at.ms());
    }
    let reads = |state: &mut wxgate_contract::conformance::State| {
        let read = |command: &Command| match command {
            Command::Ask { account, request: Request::Read { .. } } => Some(account.to_string()),
            _ => None,
        };
        let mut all: Vec<String> = state.commands.iter().filter_map(read).collect();
        all.sort();
        (all.len() == 2).then_some(all)
    };
    assert_eq!(scene.double.wait_for(PATIENCE, reads).await, ["wechat:alice", BOBS]);
    // The other way round: each has read it on their own phone.
    let ids = scene.deliver(at_alices("2", by("p-eve", "Eve"), "and me")).await;
    scene.deliver(at_bobs("2", by(EVE_TO_BOB, "Evie"), "and me")).await;
    for (account, chat) in [("wechat:alice", "g1"), (BOBS, "h1")] {
        let chat = ChatRef { network: account.into(), chat: chat.into() };
        scene.double.tell(FeedEvent::Read(chat, at));
    }
    let read = |world: &mut super::stub::World| {
        let mut by: Vec<String> = world.rooms[&room_id]
            .receipts
            .iter()
            .filter(|(_, event)| *event == ids[0])
            .map(|(who, _)| who.clone())
            .collect();
        by.sort();
        (by.len() == 2).then_some(by)
    };
    assert_eq!(scene.stub().wait_for(read).await, [ALICE, BOB]);
    scene.end().await;
}

#[tokio::test]
async fn who_is_named_is_named_to_each_account_as_it_knows_them() {
    let (scene, room_id) = shared().await;
    let pill = "<a href=\"https://matrix.to/#/@wechat_alice_p-eve:test\">Eve</a> look";
    let content = json!({ "msgtype": "m.text", "body": "Eve look",
        "format": "org.matrix.custom.html", "formatted_body": pill });
    scene.stub().send(BOB, &room_id, "m.room.message", content);
    let named = scene
        .double
        .wait_for(PATIENCE, |state| {
            let mut said = state.posts.iter().filter(|(_, origin, post)| {
                origin.as_str() == "matrix" && post.chat.network.as_str() == BOBS && !post.mentions.is_empty()
            });
            said.next().map(|(_, _, post)| post.mentions.clone())
        })
        .await;
    assert_eq!(named[0].person.as_ref().map(|person| person.as_str()), Some(EVE_TO_BOB));
    scene.end().await;
}

#[tokio::test]
async fn a_notice_of_the_group_is_shown_by_the_first_account_that_is_well() {
    let (scene, room_id) = shared().await;
    let notices = |scene: &Scene, text: &str| {
        let all = scene.stub().texts(&room_id);
        all.iter().filter(|(_, line)| line == text).count()
    };
    // In each account it has words and a number of its own.
    scene.deliver(at_alices("20", Author::Network, "Eve renamed the group")).await;
    scene.deliver(at_bobs("21", Author::Network, "Evie renamed the group")).await;
    assert_eq!((notices(&scene, "Eve renamed the group"), notices(&scene, "Evie renamed the group")), (1, 0));
    scene.double.state().accounts[0].health = Health::NeedsHuman { step: "sign in".to_owned() };
    scene.deliver(at_bobs("22", Author::Network, "again")).await;
    assert_eq!(notices(&scene, "again"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_guest_who_leaves_gets_a_room_of_their_own() {
    let (scene, room_id) = shared().await;
    let answer = says(&scene, BOB, &room_id, "!wx unshare").await;
    assert!(answer.contains("leaves this room"), "{answer}");
    scene.stub().wait_for(|world| (world.membership(&room_id, BOB) == Some("leave")).then_some(())).await;
    scene.deliver(at_bobs("30", by(EVE_TO_BOB, "Evie"), "for bob")).await;
    scene.deliver(at_alices("30", by("p-eve", "Eve"), "for alice")).await;
    let own = scene.stub().world().room_of("wechat_bob_h1").unwrap();
    assert_ne!(own, room_id);
    assert_eq!(lines(&scene, &own), [pair("@wechat_bob_q-eve:test", "for bob")]);
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair("@wechat_alice_p-eve:test", "for alice")));
    scene.end().await;
}

#[tokio::test]
async fn when_the_first_account_goes_the_next_one_leads() {
    for removed in [false, true] {
        let (scene, room_id) = shared().await;
        if removed {
            scene.double.state().accounts.retain(|view| view.network.as_str() == BOBS);
            scene.double.tell(FeedEvent::Accounts("alice".into()));
        } else {
            says(&scene, ALICE, &room_id, "!wx unshare").await;
        }
        // Its people go, and the next account shows its own.
        scene
            .stub()
            .wait_for(|world| (!world.is_in(&room_id, "@wechat_alice_p-eve:test")).then_some(()))
            .await;
        let line = scene.delivery(at_bobs("40", by(EVE_TO_BOB, "Evie"), "still here"));
        assert!(matches!(until_settled(&scene, &line).await, Outcome::Sent { .. }));
        assert_eq!(lines(&scene, &room_id).last(), Some(&pair("@wechat_bob_q-eve:test", "still here")));
        if !removed {
            scene.deliver(at_alices("40", by("p-eve", "Eve"), "still here")).await;
            let own = scene.stub().world().room_of("wechat_alice_g1").unwrap();
            assert_ne!(own, room_id, "Alice's group has a room of its own again");
            assert_eq!(lines(&scene, &own).len(), 1);
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_shared_room_that_is_lost_is_replaced_for_everybody() {
    let (scene, room_id) = shared().await;
    {
        let mut world = scene.stub().world();
        for user in [BOT, "@wechat_alice_p-bob:test", "@wechat_alice_p-eve:test"] {
            world.set_member(ALICE, user, &room_id, "leave");
        }
    }
    scene.deliver(at_bobs("50", by(EVE_TO_BOB, "Evie"), "where are we?")).await;
    let second = scene.stub().world().room_of("wechat_alice_g1").unwrap();
    assert_ne!(second, room_id);
    scene.deliver(at_alices("50", by("p-eve", "Eve"), "where are we?")).await;
    assert_eq!(lines(&scene, &second), [pair("@wechat_alice_p-eve:test", "where are we?")]);
    assert!(scene.stub().world().membership(&second, BOB).is_some(), "Bob is asked in");
    scene.end().await;
}

#[tokio::test]
async fn two_accounts_that_hear_somebody_new_tell_each_other_who_it_is() {
    let (scene, room_id) = shared().await;
    let at_bob = scene.delivery(at_bobs("60", by("q-new", "Newcomer"), "hello all"));
    scene.hand(&at_bob).await;
    assert!(matches!(scene.outcome(at_bob.id, 0).await, Outcome::TryLater { .. }));
    // Alice's account does not wait for Bob's, which has told that it is not Bob.
    scene.deliver(at_alices("60", by("p-new", "Newcomer"), "hello all")).await;
    assert!(matches!(until_settled_after(&scene, &at_bob, 1).await, Outcome::Sent { .. }));
    assert_eq!(lines(&scene, &room_id).last(), Some(&pair("@wechat_alice_p-new:test", "hello all")));
    scene.end().await;
}
