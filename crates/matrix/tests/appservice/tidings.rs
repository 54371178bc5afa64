//! What owners are told by itself, when the feed was more than could be followed.

use wxgate_contract::{FeedEvent, Health};

use super::desk::desk;
use super::furnish::state_of;
use super::scene::{ACCOUNT, ALICE, Scene};
use super::stub::World;

const DESK: &str = "!desk";
const STATE: &str = "com.beeper.bridge_state";

#[tokio::test]
async fn the_owner_is_told_of_an_ending_though_its_event_was_missed() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    scene.open_group().await;
    let space = |world: &mut World| world.room_of("wechat_alice_");
    let space = scene.stub().wait_for(space).await;
    let ended = Health::signed_out(Some("the phone signed this account out"));
    scene.double.state().accounts[0].health = ended;
    scene.double.tell(FeedEvent::Missed);
    let told = |world: &mut World| {
        let is_told = world.texts(DESK).iter().any(|(_, text)| text.contains("signed this account out"));
        let state = state_of(world, &space, STATE, "alice")?;
        (is_told && state["state_event"] == "BAD_CREDENTIALS").then_some(())
    };
    scene.stub().wait_for(told).await;
    // Looking again says nothing again.
    let count = |world: &World| (world.texts(DESK).len(), world.events(&space, STATE).len());
    let before = count(&scene.stub().world());
    let scene = scene.restart().await;
    scene.double.tell(FeedEvent::Missed);
    scene.double.state().accounts[0].health = Health::Up;
    scene.double.tell(FeedEvent::Health(ACCOUNT.into(), Health::Up.into()));
    let is_up = |world: &mut World| {
        (state_of(world, &space, STATE, "alice")?["state_event"] == "CONNECTED").then(|| count(world))
    };
    let after = scene.stub().wait_for(is_up).await;
    assert_eq!(after.1, before.1 + 1);
    scene.end().await;
}
