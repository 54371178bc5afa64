//! The hazards of the application service API. Source: the Matrix notes, section 4.

use std::time::Duration;

use http::StatusCode;
use wxgate_contract::conformance::State;
use wxgate_contract::{
    Attachment, AttachmentKind, Body, Command, Fate, Health, Job, MediaId, Outcome, PostId, Report, Request,
    Timestamp,
};
use wxgate_matrix::{Registration, Secret};

use super::scene::{ALICE, SAID_AT, Scene, by, post};
use super::stub::{Absence, Fault, HS_TOKEN, PATIENCE};

#[tokio::test]
async fn hazard_1_two_ghosts_that_say_the_same_are_both_heard() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    for (id, key, name) in [("1", "p-bob", "Bob"), ("2", "p-eve", "Eve")] {
        scene.deliver(post("g1", id, by(key, name), Body::text("same"))).await;
    }
    let texts = scene.stub().texts(&room_id);
    assert_eq!(texts.iter().filter(|(_, text)| text == "same").count(), 2);
    assert_eq!(
        texts.iter().map(|(sender, _)| sender.as_str()).collect::<std::collections::BTreeSet<_>>().len(),
        2
    );
    scene.end().await;
}

#[tokio::test]
async fn hazard_2_a_repetition_after_the_homeserver_restarted_makes_no_second_event() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let delivery = scene.delivery(post("g1", "9", by("p-eve", "Eve"), Body::text("once")));
    scene.stub().fault("/send/m.room.message", Fault::LoseAnswer);
    // The first send of a ghost that is not in the room is refused; the fault is spent on it.
    scene.hand(&delivery).await;
    let first = scene.outcome(delivery.id, 0).await;
    scene.stub().restart();
    scene.hand(&delivery).await;
    let second = scene.outcome(delivery.id, 1).await;
    assert!(matches!(first, Outcome::TryLater { .. }), "{first:?}");
    assert!(matches!(second, Outcome::Sent { .. }), "{second:?}");
    scene.stub().fault("/send/m.room.message", Fault::LoseAnswer);
    let delivery = scene.delivery(post("g1", "10", by("p-eve", "Eve"), Body::text("twice?")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    assert_eq!(scene.stub().texts(&room_id).iter().filter(|(_, text)| text == "twice?").count(), 1);
    scene.stub().restart();
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    assert_eq!(scene.stub().texts(&room_id).iter().filter(|(_, text)| text == "twice?").count(), 1);
    scene.end().await;
}

#[tokio::test]
async fn hazard_2_what_an_attempt_of_yesterday_said_is_found_again() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let said = |scene: &Scene| scene.stub().texts(&room_id).into_iter().skip(1).map(|(_, text)| text);
    // One part of two was said; nobody knows the transaction id any more.
    let text = "家".repeat(20_000);
    let mut delivery = scene.delivery(post("g1", "9", by("p-bob", "Bob"), Body::text(text.clone())));
    scene.stub().fault("/send/m.room.message", Fault::LoseAnswer);
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    assert_eq!(said(&scene).count(), 1);
    scene.stub().forget_transaction_ids();
    delivery.attempt = 2;
    scene.hand(&delivery).await;
    let Outcome::Sent { remote_ids } = scene.outcome(delivery.id, 1).await else { panic!("not sent") };
    let parts: Vec<String> = said(&scene).collect();
    assert_eq!((parts.concat(), parts.len()), (text, remote_ids.len()));
    // A mark that somebody else wrote proves nothing.
    let mut delivery = scene.delivery(post("g1", "10", by("p-bob", "Bob"), Body::text("original")));
    scene.hand(&delivery).await;
    scene.outcome(delivery.id, 0).await;
    let original = scene.stub().world().rooms.get_mut(&room_id).unwrap().events.pop().unwrap();
    let mut copy = original["content"].clone();
    assert!(copy["wxgate.txn"].is_string(), "{original}");
    copy["body"] = "a forgery".into();
    scene.stub().send(ALICE, &room_id, "m.room.message", copy);
    scene.stub().forget_transaction_ids();
    delivery.attempt = 2;
    scene.hand(&delivery).await;
    scene.outcome(delivery.id, 1).await;
    assert_eq!(said(&scene).next_back().as_deref(), Some("original"));
    scene.end().await;
}

#[tokio::test]
async fn hazard_3_what_ghosts_say_does_not_come_back() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("from WeChat"))).await;
    scene.stub().say(ALICE, &room_id, "from Matrix");
    scene.double.wait_for(PATIENCE, |state| (!state.posts.is_empty()).then_some(())).await;
    let posts: Vec<_> = scene.double.state().posts.iter().map(|(_, _, post)| post.body.clone()).collect();
    assert_eq!(posts, [Body::text("from Matrix")]);
    scene.end().await;
}

#[tokio::test]
async fn hazard_4_nothing_is_acknowledged_that_is_not_on_disk() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().wait_for(|world| world.queue.is_empty().then_some(())).await;
    scene.double.state().store_is_down = true;
    scene.stub().say(ALICE, &room_id, "kept");
    scene.stub().wait_for(|world| world.given.iter().any(|(_, status)| *status == 503).then_some(())).await;
    assert!(scene.double.state().posts.is_empty());
    scene.double.state().store_is_down = false;
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    // The same event in another transaction, as some homeservers give it.
    let event = scene.stub().world().events(&room_id, "m.room.message").last().cloned().unwrap();
    scene.stub().world().queue.push_back(("other".to_owned(), serde_json::json!({ "events": [event] })));
    scene.stub().say(ALICE, &room_id, "next");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() >= 2).then_some(())).await;
    assert_eq!(scene.double.state().posts.len(), 2);
    scene.end().await;
}

#[tokio::test]
async fn hazard_4_a_homeserver_that_counts_its_transactions_anew_is_heard() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().say(ALICE, &room_id, "one");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    // As Synapse on SQLite after a restart: the id of an earlier transaction, and another event.
    let id = scene.stub().wait_for(|world| world.last_txn.clone()).await.0;
    scene.stub().world().loses_transactions = true;
    scene.stub().say(ALICE, &room_id, "two");
    let event = scene.stub().world().events(&room_id, "m.room.message").pop().unwrap();
    scene.stub().world().queue.push_back((id, serde_json::json!({ "events": [event] })));
    scene.stub().world().loses_transactions = false;
    scene.stub().say(ALICE, &room_id, "three");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() >= 2).then_some(())).await;
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 3).then_some(())).await;
    let texts: Vec<Body> = scene.double.state().posts.iter().map(|(_, _, post)| post.body.clone()).collect();
    assert_eq!(texts, ["one", "two", "three"].map(Body::text));
    scene.end().await;
}

#[tokio::test]
async fn an_odd_event_does_not_fail_its_transaction() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let odd = serde_json::json!({ "events": [{ "type": 7 }, "nonsense", { "event_id": "$x" }] });
    scene.stub().world().queue.push_back(("odd".to_owned(), odd));
    scene.stub().say(ALICE, &room_id, "after it");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    assert!(scene.stub().world().given.contains(&("odd".to_owned(), 200)));
    scene.end().await;
}

#[tokio::test]
async fn typing_is_taken_and_asks_nothing_of_anybody() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let typing =
        serde_json::json!({ "type": "m.typing", "room_id": room_id, "content": { "user_ids": [ALICE] } });
    let odd = serde_json::json!({ "type": "m.presence", "content": 7 });
    let body = serde_json::json!({ "events": [], "ephemeral": [typing, odd, "nonsense"] });
    scene.stub().world().queue.push_back(("typing".to_owned(), body));
    scene.stub().say(ALICE, &room_id, "after it");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    assert!(scene.stub().world().given.contains(&("typing".to_owned(), 200)));
    let asked = scene.double.state().commands.clone();
    let is_read = |command: &Command| matches!(command, Command::Ask { request: Request::Read { .. }, .. });
    assert!(!asked.iter().any(is_read), "{asked:?}");
    scene.end().await;
}

#[tokio::test]
async fn the_listener_takes_both_forms_of_the_token_and_no_other() {
    let scene = Scene::start().await;
    let address = scene.stub().wait_for(|world| world.bridge).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/_matrix/app/v1/transactions/t");
    let body = r#"{"events":[]}"#;
    let old = format!("http://{address}/transactions/t?access_token={HS_TOKEN}");
    assert_eq!(
        http.put(&url).bearer_auth(HS_TOKEN).body(body).send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(http.put(&old).body(body).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(http.put(&url).body(body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        http.put(&url).bearer_auth("wrong").body(body).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        http.put(format!("{url}2")).bearer_auth(HS_TOKEN).body("[").send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    scene.end().await;
}

#[tokio::test]
async fn a_greeting_proves_both_directions() {
    let scene = Scene::start().await;
    scene
        .double
        .wait_for(PATIENCE, |state| (state.health.get(&"matrix".into()) == Some(&Health::Up)).then_some(()))
        .await;
    assert_eq!(scene.stub().world().count("POST", "/appservice/wechat/ping"), 1);
    scene.stub().set_reachable(false);
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("x")));
    scene.hand(&delivery).await;
    let away = |state: &mut wxgate_contract::conformance::State| {
        matches!(state.health.get(&"matrix".into()), Some(Health::Degraded { .. })).then_some(())
    };
    scene.double.wait_for(PATIENCE, away).await;
    scene.stub().set_reachable(true);
    scene
        .double
        .wait_for(PATIENCE, |state| (state.health.get(&"matrix".into()) == Some(&Health::Up)).then_some(()))
        .await;
    assert_eq!(scene.stub().world().count("POST", "/appservice/wechat/ping"), 2);
    scene.end().await;
}

#[tokio::test]
async fn hazard_5_a_read_mark_that_no_transaction_brought_is_asked_for() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.double.wait_for(PATIENCE, super::catch_up::position).await;
    // Set while we were away: a homeserver keeps it for no transaction.
    scene.stub().world().loses_transactions = true;
    scene.stub().receipt(ALICE, &room_id, "$read", SAID_AT + 7);
    scene.stub().world().loses_transactions = false;
    let scene = scene.restart().await;
    let read = |state: &mut State| {
        let mut asked = state.commands.iter().filter_map(|command| match command {
            Command::Ask { request: Request::Read { at, .. }, .. } => Some(*at),
            _ => None,
        });
        asked.next()
    };
    assert_eq!(scene.double.wait_for(PATIENCE, read).await, Timestamp(SAID_AT + 7));
    scene.end().await;
}

#[tokio::test]
async fn hazard_6_the_bot_is_not_the_user_that_a_homeserver_does_not_sync() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| (world.count("GET", "/sync") > 0).then_some(())).await;
    let syncs: Vec<_> = scene.stub().world().asked.clone();
    let syncs = syncs.iter().filter(|asked| asked.path.ends_with("/sync"));
    assert!(syncs.clone().all(|asked| asked.user == "@wechatbot:test" && asked.status == 200));
    let yaml = Registration::new(&scene.config, "http://127.0.0.1:1").to_yaml();
    assert!(yaml.contains("sender_localpart: \"_wechat_unused\"\n"), "{yaml}");
    // An ordinary user that is reserved for us all the same.
    assert!(yaml.contains("- exclusive: true\n      regex: \"^@wechatbot:test$\""), "{yaml}");
    scene.end().await;
}

#[tokio::test]
async fn hazard_7_ids_are_valid_and_hold_no_name_of_a_session() {
    let scene = Scene::start().await;
    let strange = post("g1", "1", by("P@家/x", "家"), Body::text("hi"));
    scene.deliver(strange).await;
    let ghosts: Vec<String> = scene.stub().world().users.keys().cloned().collect();
    assert!(ghosts.contains(&"@wechat_alice_=50=40=e5=ae=b6=2fx:test".to_owned()), "{ghosts:?}");
    scene.end().await;
}

#[tokio::test]
async fn hazard_8_a_long_text_is_split_and_arrives_once_after_a_crash_in_the_middle() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let text = "家".repeat(20_000);
    let delivery = scene.delivery(post("g1", "long", by("p-bob", "Bob"), Body::text(text.clone())));
    scene.hand(&delivery).await;
    // Part one is there: cut off wherever it stands now.
    scene.stub().wait_for(|world| (world.texts(&room_id).len() >= 2).then_some(())).await;
    let scene = scene.kill().await;
    scene.hand(&delivery).await;
    let Outcome::Sent { remote_ids } = scene.outcome(delivery.id, 0).await else { panic!("not sent") };
    let parts: Vec<String> = scene.stub().texts(&room_id).into_iter().skip(1).map(|(_, text)| text).collect();
    assert_eq!(parts.concat(), text);
    assert_eq!(parts.len(), remote_ids.len());
    scene.end().await;
}

#[tokio::test]
async fn hazard_9_neither_registration_is_limited() {
    let scene = Scene::start_with(|config| config.puppet_token = Secret::new("puppets")).await;
    let registration = Registration::new(&scene.config, "http://127.0.0.1:1");
    for yaml in [registration.to_yaml(), registration.double_puppet_yaml()] {
        assert_eq!(yaml.matches("\nrate_limited: false\n").count(), 1, "{yaml}");
    }
    // A person in a crowd of ghosts is enough to find out: a homeserver that limits all the same.
    scene.stub().fault("/send/", Fault::Limited(1));
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("x")));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    scene.end().await;
}

#[tokio::test]
async fn hazard_10_a_file_is_held_against_the_limit_before_it_is_uploaded() {
    let scene = Scene::start().await;
    scene.stub().world().upload_limit = 100;
    let scene = scene.restart().await;
    scene.open_group().await;
    let media = MediaId([9; 16]);
    scene.double.put_media(media, "big.bin", "application/octet-stream", vec![7; 101]);
    let file = Attachment {
        media,
        kind: AttachmentKind::File,
        name: "big.bin".to_owned(),
        mime: String::new(),
        size_bytes: 101,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    };
    scene.deliver(post("g1", "b", by("p-bob", "Bob"), Body::Attachment(file))).await;
    assert_eq!(scene.stub().world().count("POST", "/upload"), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_homeserver_that_asks_to_slow_down_is_obeyed() {
    let scene = Scene::start().await;
    scene.open_group().await;
    scene.stub().fault("/send/", Fault::Limited(1234));
    let delivery = scene.delivery(post("g1", "1", by("p-bob", "Bob"), Body::text("x")));
    scene.hand(&delivery).await;
    let Outcome::TryLater { after, .. } = scene.outcome(delivery.id, 0).await else { panic!("not later") };
    assert_eq!(after.as_millis(), 1234);
    scene.stub().fault("/send/", Fault::Status(500));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::TryLater { .. }));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 2).await, Outcome::Sent { .. }));
    scene.end().await;
}

/// An hour of the gateway's own clock: it looks for a homeserver that is away every ten seconds at most,
/// and here hundreds of times as often. One that says nothing takes a minute besides.
async fn an_hour_away(absence: Absence) {
    let hour = if absence == Absence::Hangs { 3600 / 70 } else { 3600 / 10 };
    let scene = Scene::start_with(|config| {
        config.timings.longest_pause = Duration::from_millis(20);
        config.timings.call_timeout =
            Duration::from_millis(if absence == Absence::Hangs { 120 } else { 10_000 });
    })
    .await;
    let health = |word: &'static str| {
        move |state: &mut State| {
            let health = state.health.get(&"matrix".into());
            health.filter(|health| health.word() == word).cloned()
        }
    };
    let room_id = scene.open_group().await;
    scene.stub().say(ALICE, &room_id, "before");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    scene.double.wait_for(PATIENCE, health("up")).await;
    scene.stub().world().absence = absence;
    scene.stub().set_reachable(false);
    let say = |n: usize| post("g1", &format!("n{n}"), by("p-bob", "Bob"), Body::text(format!("text {n}")));
    let first = scene.delivery(say(0));
    scene.hand(&first).await;
    assert!(matches!(scene.outcome(first.id, 0).await, Outcome::TryLater { .. }));
    let told = scene.double.wait_for(PATIENCE, health("degraded")).await;
    assert!(told.detail().contains("homeserver"), "{told:?}");
    scene.stub().wait_for(|world| (world.turned_away >= hour).then_some(())).await;
    // Nothing was begun meanwhile, so nothing is uncertain, and no attempt was counted.
    assert_eq!(scene.double.state().outcomes.iter().filter(|(id, _)| *id == first.id).count(), 1);
    scene.stub().say(ALICE, &room_id, "meanwhile");
    scene.stub().set_reachable(true);
    scene.double.wait_for(PATIENCE, health("up")).await;
    scene.hand(&first).await;
    assert!(matches!(scene.outcome(first.id, 1).await, Outcome::Sent { .. }));
    for n in 1..20 {
        scene.deliver(say(n)).await;
    }
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 2).then_some(())).await;
    let texts: Vec<String> = scene.stub().texts(&room_id).into_iter().map(|(_, text)| text).collect();
    let texts: Vec<&String> = texts.iter().filter(|text| text.starts_with("text ")).collect();
    assert_eq!(texts, (0..20).map(|n| format!("text {n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    scene.end().await;
}

#[tokio::test]
async fn a_homeserver_that_is_away_for_an_hour_is_given_everything_in_order_and_once() {
    an_hour_away(Absence::Unavailable).await;
}

#[tokio::test]
async fn a_homeserver_in_whose_place_a_page_answers_for_an_hour_is_away() {
    an_hour_away(Absence::Page).await;
}

#[tokio::test]
async fn a_homeserver_that_hangs_for_an_hour_is_away() {
    an_hour_away(Absence::Hangs).await;
}

/// The first pause is half a second at least, so a greeting that goes well and helps nobody is no busy loop.
#[tokio::test]
async fn a_homeserver_that_answers_greetings_alone_is_not_greeted_without_a_pause() {
    let scene = Scene::start_with(|config| config.timings.first_pause = Duration::from_millis(400)).await;
    scene.open_group().await;
    let pings = || scene.stub().world().count("POST", "/appservice/wechat/ping");
    let (before, began) = (pings(), tokio::time::Instant::now());
    for n in 1..=4 {
        let delivery = scene.delivery(post("g1", &format!("x{n}"), by("p-bob", "Bob"), Body::text("x")));
        scene.stub().fault("/send/", Fault::ByProxy(502));
        scene.hand(&delivery).await;
        assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
        scene
            .stub()
            .wait_for(|world| (world.count("POST", "/appservice/wechat/ping") >= before + n).then_some(()))
            .await;
    }
    assert!(began.elapsed() >= Duration::from_millis(4 * 200), "{:?}", began.elapsed());
    scene.end().await;
}

#[tokio::test]
async fn what_was_said_keeps_its_time() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let events = scene.stub().world().events(&room_id, "m.room.message");
    assert_eq!(events[0]["origin_server_ts"], SAID_AT);
    scene.end().await;
}

#[tokio::test]
async fn the_sender_hears_what_became_of_a_message() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let event_id = scene.stub().say(ALICE, &room_id, "hi");
    let report = |fate| {
        let mut delivery = scene.delivery(post("g1", "x", by("p-bob", "Bob"), Body::text("")));
        let remote_id = event_id.as_str().into();
        delivery.job = Job::Report(Report { post: PostId(1), remote_id, fate, native_ids: Vec::new() });
        delivery
    };
    let said = report(Fate::Said);
    scene.hand(&said).await;
    scene.outcome(said.id, 0).await;
    let receipts = scene.stub().world().rooms[&room_id].receipts.clone();
    assert_eq!(receipts, [("@wechatbot:test".to_owned(), event_id.clone())]);
    let lost = report(Fate::NotDelivered { why: "you are not a member".to_owned() });
    scene.hand(&lost).await;
    scene.outcome(lost.id, 0).await;
    let (_, text) = scene.stub().texts(&room_id).pop().unwrap();
    assert_eq!(
        text,
        "Your message was not delivered, because you are not a member. Answer with !wx retry to send it again."
    );
    scene.end().await;
}
