//! Who is who over a new login.

use wxgate_contract::{Author, SignInStep};
use wxgate_simulator::Who;

use crate::stage::{ALICE, Stage};

async fn new_login(stage: &mut Stage) {
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    stage.sign_in().await;
}

#[tokio::test]
async fn item_32_chats_keep_their_keys_over_a_new_login() {
    let mut stage = Stage::online().await;
    let before: Vec<_> = [Who::Contact(0), Who::Contact(5), Who::Group(0)].map(|who| stage.chat(who)).into();
    let names: Vec<String> =
        [Who::Contact(0), Who::Group(0)].map(|who| stage.world.user_name(ALICE, who).unwrap()).into();
    new_login(&mut stage).await;
    let renamed: Vec<String> =
        [Who::Contact(0), Who::Group(0)].map(|who| stage.world.user_name(ALICE, who).unwrap()).into();
    assert_ne!(names, renamed, "the world gave new names");
    for (at, who) in [Who::Contact(0), Who::Contact(5), Who::Group(0)].into_iter().enumerate() {
        let post =
            stage.post(stage.say(who, if who.is_group() { Who::Stranger(0, 0) } else { who }, "again")).await;
        assert_eq!(post.chat.chat, before[at], "{who}");
        assert!(matches!(post.author, Author::Person { .. }));
        let delivery = stage.delivery(&before[at], wxgate_contract::Body::text("answer"));
        assert!(matches!(stage.deliver(&delivery).await, wxgate_contract::Outcome::Sent { .. }), "{who}");
    }
    stage.no_violation();
}

#[tokio::test]
async fn names_of_an_earlier_login_are_swept() {
    let mut stage = Stage::online().await;
    new_login(&mut stage).await;
    let network = stage.network();
    stage
        .wait(|state| {
            let old = |key: &str| key.starts_with("u/00000001") || key.starts_with("m/00000001");
            (!state.notes.keys().any(|(n, key)| *n == network && old(key))).then_some(())
        })
        .await;
    assert!(stage.double.state().notes.keys().any(|(_, key)| key.starts_with("u/00000002")));
}

#[tokio::test]
async fn another_persons_phone_is_refused_and_nothing_is_matched() {
    let mut stage = Stage::online().await;
    stage.world.add_account(&wxgate_simulator::AccountSpec::new("mallory", 7, 3, 1)).unwrap();
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    let chats = stage.double.state().chats.len();
    let seen = stage.double.state().steps.len();
    stage.order(wxgate_contract::Order::SignIn).await;
    let uuid = stage.qr_after(seen).await;
    stage.world.scan(&uuid, "mallory").unwrap();
    stage.world.confirm(&uuid).unwrap();
    let why = stage
        .step_after(seen, |step| match step {
            SignInStep::Failed { why } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("another WeChat account"), "{why}");
    assert_eq!(stage.double.state().chats.len(), chats);
    stage.sign_in().await;
    stage.no_violation();
}
