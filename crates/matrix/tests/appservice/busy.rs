//! Many who ask at once, and who wait for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::select;
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;
use wxgate_contract::{Command, SignInStep};

use super::managers::{alice, begun, call};
use super::scene::Scene;
use super::stub::{HS_TOKEN, PATIENCE};

const BOT: &str = "@wechatbot:test";

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn sign_ins_that_hang_keep_no_transaction_out() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let address = scene.stub().wait_for(|world| world.bridge).await;
    let (turned_away, mut hanging) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..64 {
        let url = format!("http://{address}/_matrix/provision/v3/login/start/qr");
        let request = client().post(url).bearer_auth(alice()).body("{}");
        let (turned_away, double) = (Arc::clone(&turned_away), scene.double.clone());
        hanging.spawn(async move {
            let reply = request.send().await.unwrap();
            assert_eq!(reply.status(), StatusCode::TOO_MANY_REQUESTS);
            turned_away.fetch_add(1, Ordering::SeqCst);
            double.changed();
        });
    }
    let all = |state: &mut wxgate_contract::conformance::State| {
        let begun = state.commands.iter().filter(|command| matches!(command, Command::SignIn { .. })).count();
        (begun + turned_away.load(Ordering::SeqCst) == 64).then_some(begun)
    };
    let begun = scene.double.wait_for(PATIENCE, all).await;
    let url = format!("http://{address}/_matrix/app/v1/transactions/of-the-test");
    let transaction = client().put(url).bearer_auth(HS_TOKEN).body("{\"events\":[]}").send();
    let reply = tokio::time::timeout(Duration::from_secs(5), transaction).await;
    assert_eq!(reply.expect("the homeserver gets in").unwrap().status(), StatusCode::OK, "beside {begun}");
    let (status, _) = call(&scene, &alice(), "whoami", None).await;
    assert_eq!(status, StatusCode::OK, "and managers get answers beside {begun}");
    hanging.shutdown().await;
    scene.end().await;
}

#[tokio::test]
async fn a_step_that_is_asked_for_anew_is_waited_for_once() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let (path, _) = begun(&scene, "").await;
    let token = alice();
    let ask = || Box::pin(call(&scene, &token, &path, Some(json!({}))));
    let both = tokio::time::timeout(PATIENCE, select(ask(), ask())).await;
    let ((status, step), waits) = both.expect("one of them ends").factor_first();
    assert_eq!((status, &step["display_and_wait"]["type"]), (StatusCode::OK, &json!("qr")), "{step}");
    scene.double.set_sign_in(SignInStep::Done);
    let (status, done) = waits.await;
    assert_eq!((status, &done["type"]), (StatusCode::OK, &json!("complete")), "{done}");
    scene.end().await;
}

#[tokio::test]
async fn the_name_of_the_scheme_has_no_case() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let address = scene.stub().wait_for(|world| world.bridge).await;
    let asked = |scheme: &str, token: &str, request: reqwest::RequestBuilder| {
        request.header("authorization", format!("{scheme} {token}")).send()
    };
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let managers = client().get(format!("http://{address}/_matrix/provision/v3/whoami"));
        assert_eq!(asked(scheme, &alice(), managers).await.unwrap().status(), StatusCode::OK, "{scheme}");
        let homeserver = client().post(format!("http://{address}/_matrix/app/v1/ping"));
        assert_eq!(asked(scheme, HS_TOKEN, homeserver).await.unwrap().status(), StatusCode::OK, "{scheme}");
    }
    let managers = client().get(format!("http://{address}/_matrix/provision/v3/whoami"));
    let other = asked("Basic", &alice(), managers).await.unwrap();
    assert_eq!(other.status(), StatusCode::UNAUTHORIZED);
    scene.end().await;
}
