//! What the homeserver never handed over, because it was killed at the wrong instant.

use wxgate_contract::conformance::State;
use wxgate_contract::{Body, Health, NetworkId};

use super::scene::{ALICE, Scene};
use super::stub::{Fault, PATIENCE};

fn bodies(state: &State) -> Vec<String> {
    let text = |body: &Body| match body {
        Body::Text { text } => text.clone(),
        other => panic!("{other:?}"),
    };
    state.posts.iter().map(|(_, _, post)| text(&post.body)).collect()
}

pub(crate) fn position(state: &mut State) -> Option<String> {
    let network = NetworkId::from("matrix");
    let bytes = state.notes.get(&(network, "position".to_owned()))?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

/// Waits until everything up to now was asked for.
async fn caught_up(scene: &Scene) {
    let now = scene.stub().world().position();
    // What the bot does meanwhile moves the stream on as well.
    let is_now =
        |at: &String| at.strip_prefix('s').and_then(|at| at.parse().ok()).is_some_and(|at: u64| at >= now);
    scene.double.wait_for(PATIENCE, |state| position(state).filter(is_now)).await;
}

/// A scene whose group has a room, with a position from before anything was said in it.
async fn opened() -> (Scene, String) {
    opened_by(Scene::start().await).await
}

async fn opened_by(scene: Scene) -> (Scene, String) {
    let room_id = scene.open_group().await;
    scene.double.wait_for(PATIENCE, position).await;
    scene.stub().wait_for(|world| world.queue.is_empty().then_some(())).await;
    (scene, room_id)
}

/// The homeserver is killed while somebody speaks, and comes back without its transactions.
async fn lose(scene: &Scene, what: impl FnOnce()) {
    scene.stub().world().loses_transactions = true;
    what();
    scene.stub().world().loses_transactions = false;
}

#[tokio::test]
async fn what_no_transaction_brought_is_asked_for_after_a_start_and_comes_in_order() {
    let (scene, room_id) = opened().await;
    lose(&scene, || {
        for text in ["one", "two", "three"] {
            scene.stub().say(ALICE, &room_id, text);
        }
    })
    .await;
    let scene = scene.restart().await;
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 3).then_some(())).await;
    assert_eq!(bodies(&scene.double.state()), ["one", "two", "three"]);
    scene.end().await;
}

#[tokio::test]
async fn what_no_transaction_brought_is_asked_for_when_the_homeserver_is_back() {
    let (scene, room_id) = opened().await;
    scene.stub().say(ALICE, &room_id, "before");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    scene.stub().set_reachable(false);
    let lost = scene.delivery(super::scene::post(
        "g1",
        "n",
        super::scene::by("p-bob", "Bob"),
        Body::text("notices that it is away"),
    ));
    scene.hand(&lost).await;
    let away = |state: &mut State| {
        matches!(state.health.get(&"matrix".into()), Some(Health::Degraded { .. })).then_some(())
    };
    scene.double.wait_for(PATIENCE, away).await;
    lose(&scene, || drop(scene.stub().say(ALICE, &room_id, "lost"))).await;
    scene.stub().set_reachable(true);
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 2).then_some(())).await;
    assert_eq!(bodies(&scene.double.state()), ["before", "lost"]);
    scene.end().await;
}

#[tokio::test]
async fn a_homeserver_that_forgets_while_it_comes_back_is_asked_again_soon_though_it_is_slow() {
    let soonest = std::time::Duration::from_millis(100);
    let scene = Scene::start_with(|config| config.timings.catch_up_soonest = soonest).await;
    let (scene, room_id) = opened_by(scene).await;
    // A second of its time makes minutes between two looks, but not behind the first.
    scene.stub().fault("/sync", Fault::Slow(1000));
    let scene = scene.restart().await;
    scene.stub().wait_for(|world| world.faults.is_empty().then_some(())).await;
    lose(&scene, || drop(scene.stub().say(ALICE, &room_id, "stored and not sent"))).await;
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    assert_eq!(bodies(&scene.double.state()), ["stored and not sent"]);
    scene.end().await;
}

#[tokio::test]
async fn what_was_taken_back_since_is_not_refused() {
    let (scene, room_id) = opened().await;
    let event_id = scene.stub().say(ALICE, &room_id, "tpyo");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    {
        let mut world = scene.stub().world();
        let events = &mut world.rooms.get_mut(&room_id).unwrap().events;
        let event = events.iter_mut().find(|event| event["event_id"] == event_id.as_str()).unwrap();
        event["content"] = serde_json::json!({});
    }
    let scene = scene.restart().await;
    caught_up(&scene).await;
    scene.stub().say(ALICE, &room_id, "typo");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 2).then_some(())).await;
    let done =
        |state: &mut State| (!state.notes.keys().any(|(_, key)| key.starts_with("todo/"))).then_some(());
    scene.double.wait_for(PATIENCE, done).await;
    let texts = scene.stub().texts(&room_id);
    assert!(!texts.iter().any(|(_, text)| text.contains("not delivered")), "{texts:?}");
    scene.end().await;
}

#[tokio::test]
async fn more_than_a_page_is_read_to_the_end_and_nothing_of_it_twice() {
    let (scene, room_id) = opened().await;
    let texts: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    // Every third one comes by itself, before or while the others are asked for.
    for (n, text) in texts.iter().enumerate() {
        scene.stub().world().loses_transactions = n % 3 != 0;
        scene.stub().say(ALICE, &room_id, text);
    }
    scene.stub().world().loses_transactions = false;
    let scene = scene.kill().await;
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() >= texts.len()).then_some(())).await;
    caught_up(&scene).await;
    let mut heard = bodies(&scene.double.state());
    heard.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(heard, texts);
    scene.end().await;
}

#[tokio::test]
async fn a_command_is_not_carried_out_a_second_time() {
    let (scene, room_id) = opened().await;
    scene.stub().say(ALICE, &room_id, "!wx version");
    // The homeserver itself drops an answer that is sent again: what was sent counts.
    let answers = |world: &mut super::stub::World| {
        let is_answer = |asked: &&super::stub::Asked| {
            asked.path.contains("/send/") && asked.body["body"].as_str().is_some_and(|b| b.contains("wxgate"))
        };
        world.asked.iter().filter(is_answer).count()
    };
    scene.stub().wait_for(|world| (answers(world) == 1).then_some(())).await;
    let scene = scene.restart().await;
    caught_up(&scene).await;
    // What comes after it went through the same hands later.
    scene.stub().say(ALICE, &room_id, "!wx nonsense");
    scene.stub().wait_for(|world| world.texts(&room_id).last().filter(|(by, _)| by != ALICE).cloned()).await;
    assert_eq!(answers(&mut scene.stub().world()), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_what_was_refused_stays_refused() {
    let (scene, room_id) = opened().await;
    let mallory = "@mallory:test";
    scene.stub().human(mallory);
    scene.stub().join(mallory, &room_id);
    scene.stub().say(mallory, &room_id, "not for WeChat");
    let refused = |world: &mut super::stub::World| {
        let texts = world.texts(&room_id);
        texts.last().filter(|(_, text)| text.contains("only the owner")).cloned()
    };
    scene.stub().wait_for(refused).await;
    // From now on Mallory might speak; what was refused was refused.
    scene.stub().say(ALICE, &room_id, "!wx set-relay");
    scene
        .stub()
        .wait_for(|world| {
            world
                .texts(&room_id)
                .last()
                .filter(|(by, _)| by != mallory && by != ALICE)
                .cloned()
                .filter(|(_, text)| text.contains("From now on"))
        })
        .await;
    let scene = scene.restart().await;
    caught_up(&scene).await;
    assert_eq!(bodies(&scene.double.state()), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn an_invitation_that_no_transaction_brought_is_followed() {
    let (scene, _) = opened().await;
    let bot = "@wechatbot:test";
    lose(&scene, || {
        let mut world = scene.stub().world();
        world.rooms.insert("!desk".to_owned(), super::stub::Room::default());
        world.set_member(ALICE, ALICE, "!desk", "join");
        world.set_member(ALICE, bot, "!desk", "invite");
    })
    .await;
    let scene = scene.restart().await;
    scene.stub().wait_for(|world| world.is_in("!desk", bot).then_some(())).await;
    scene.end().await;
}

#[tokio::test]
async fn a_position_that_the_homeserver_does_not_know_is_made_anew() {
    let (scene, room_id) = opened().await;
    let key = (NetworkId::from("matrix"), "position".to_owned());
    scene.double.state().notes.insert(key, "m1~nonsense".into());
    let scene = scene.restart().await;
    caught_up(&scene).await;
    scene.stub().say(ALICE, &room_id, "goes on");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    scene.end().await;
}
