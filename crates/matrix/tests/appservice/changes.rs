//! What people change about rooms of groups, while accounts are slow and homeservers fail.

use serde_json::json;
use wxgate_contract::conformance::State;
use wxgate_contract::{Answer, Command, Request};

use super::scene::{ALICE, Scene};
use super::stub::{Fault, PATIENCE, World};

const BOT: &str = "@wechatbot:test";
const BOB: &str = "@bob:test";

fn retitles(state: &State) -> Vec<String> {
    let title = |command: &Command| match command {
        Command::Ask { request: Request::Retitle { title, .. }, .. } => Some(title.clone()),
        _ => None,
    };
    state.commands.iter().filter_map(title).collect()
}

fn says(world: &World, room_id: &str, words: &str) -> bool {
    world.texts(room_id).iter().any(|(sender, text)| sender == BOT && text.contains(words))
}

#[tokio::test]
async fn an_account_that_does_not_answer_keeps_nobody_else_waiting() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let stub = scene.stub();
    scene.double.state().is_silent = true;
    for n in 0..20 {
        stub.set_state(ALICE, &room_id, "m.room.name", "", json!({ "name": format!("Family {n}") }));
    }
    // One is asked, sixteen wait; what is too much is told.
    let refused = |world: &mut World| says(world, &room_id, "too much is being changed").then_some(());
    stub.wait_for(refused).await;
    // Somebody else invites the bot, asks it something, and is refused something.
    stub.human(BOB);
    stub.invite(BOB, "!bobs", BOT);
    stub.wait_for(|world| world.is_in("!bobs", BOT).then_some(())).await;
    stub.say(BOB, "!bobs", "ping");
    stub.wait_for(|world| (!world.texts("!bobs").is_empty() && says(world, "!bobs", "")).then_some(())).await;
    stub.join(BOB, &room_id);
    stub.say(BOB, &room_id, "let me in");
    stub.wait_for(|world| says(world, &room_id, "only the owner of the account").then_some(())).await;
    assert_eq!(retitles(&scene.double.state()).len(), 0);
    scene.double.state().answer = Some(Answer::Done);
    scene.double.state().is_silent = false;
    scene.double.changed();
    let titles = scene
        .double
        .wait_for(PATIENCE, |state| Some(retitles(state)).filter(|titles| titles.len() == 17))
        .await;
    assert_eq!(titles, (0..17).map(|n| format!("Family {n}")).collect::<Vec<_>>(), "in order");
    scene.end().await;
}

#[tokio::test]
async fn an_account_is_not_asked_again_when_its_answer_could_not_be_told() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().fault("/send/m.room.message", Fault::Status(500));
    // The double's account gives no answer to anything.
    scene.stub().set_state(ALICE, &room_id, "m.room.name", "", json!({ "name": "Mine" }));
    let told = |world: &mut World| says(world, &room_id, "The group was not changed").then_some(());
    scene.stub().wait_for(told).await;
    assert_eq!(retitles(&scene.double.state()), ["Mine"]);
    scene.end().await;
}
