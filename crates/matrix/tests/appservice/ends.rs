//! How a run ends: not in parts.

use wxgate_contract::conformance::Bug;

use super::scene::Scene;
use super::stub::PATIENCE;

#[tokio::test]
async fn a_part_that_fails_takes_the_run_with_it_and_nothing_it_was_given_is_lost() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.double.wait_for(PATIENCE, super::catch_up::position).await;
    scene.double.state().bug = Some(Bug::CommitOf("boom".to_owned()));
    scene.stub().say(super::scene::ALICE, &room_id, "boom");
    let Scene { double, served, task, config, .. } = scene;
    let ended = tokio::time::timeout(PATIENCE, task).await.expect("the run goes on without its taker");
    assert!(ended.unwrap_err().is_panic(), "the supervisor counts it");
    let scene = Scene::run(double, served, config);
    let taken = |text: &str| wxgate_contract::Body::text(text);
    scene
        .double
        .wait_for(PATIENCE, |state| state.posts.iter().any(|post| post.2.body == taken("boom")).then_some(()))
        .await;
    scene.end().await;
}
