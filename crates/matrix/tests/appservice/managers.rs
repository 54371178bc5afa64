//! What bridge managers ask over the provisioning API, without a page.

use http::StatusCode;
use serde_json::{Value, json};
use wxgate_contract::{Answer, ChatKey, Command, Health, Request, SignInStep};

use super::scene::{ACCOUNT, ALICE, Scene, group};
use super::stub::{PATIENCE, World};

const BOT: &str = "@wechatbot:test";

/// A request in somebody's name; `path` stands behind the version.
pub(crate) async fn call(scene: &Scene, token: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let address = scene.stub().wait_for(|world| world.bridge).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/_matrix/provision/v3/{path}");
    let request = match body {
        Some(body) => http.post(url).body(body.to_string()),
        None => http.get(url),
    };
    let reply = request.bearer_auth(token).send().await.unwrap();
    let status = reply.status();
    (status, serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap())
}

pub(crate) fn alice() -> String {
    format!("token of {ALICE}")
}

/// The account makes the group `g9` when it is asked for one.
fn expects_a_group(scene: &Scene) {
    let made = group("g9", "Trip", &["p-bob", "p-eve"]);
    scene.double.state().chats.insert((ACCOUNT.into(), "g9".into()), made);
    scene.double.state().answer = Some(Answer::Chat("g9".into()));
}

fn state(world: &World, room_id: &str, kind: &str) -> Option<Value> {
    let event = world.rooms.get(room_id)?.state.get(&(kind.to_owned(), String::new()))?;
    Some(event["content"].clone())
}

#[tokio::test]
async fn an_openid_token_admits_users_of_this_homeserver_alone() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let (status, me) = call(&scene, "openid:openid of @alice:test", "whoami", None).await;
    assert_eq!((status, &me["bridge_bot"]), (StatusCode::OK, &json!(BOT)));
    for (token, query) in [
        // Of another homeserver, by the word of the caller, who may lie about it either way.
        ("openid:openid of @eve:elsewhere", "?user_id=@eve:elsewhere"),
        ("openid:openid of @eve:elsewhere", ""),
        ("openid:openid of @eve:elsewhere", "?user_id=@alice:test"),
        // Somebody else's, and nobody's.
        ("openid:openid of @eve:test", "?user_id=@alice:test"),
        ("openid:stolen", ""),
    ] {
        let (status, refusal) = call(&scene, token, &format!("whoami{query}"), None).await;
        assert_eq!(
            (status, &refusal["errcode"]),
            (StatusCode::UNAUTHORIZED, &json!("M_UNKNOWN_TOKEN")),
            "{query}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_group_is_made_with_a_topic_and_a_picture_that_stay() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    expects_a_group(&scene);
    let mut wished = json!({
        "participants": ["p-bob", "p-eve"], "name": { "name": "Trip" },
        "topic": { "topic": "Where to?" }, "avatar": { "url": "https://example.org/a.png" },
    });
    let (status, refusal) = call(&scene, &alice(), "create_group/group", Some(wished.clone())).await;
    assert_eq!((status, &refusal["errcode"]), (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM")));
    wished["avatar"]["url"] = json!("mxc://test/face");
    let (status, made) = call(&scene, &alice(), "create_group/group", Some(wished)).await;
    assert_eq!((status, &made["id"]), (StatusCode::OK, &json!("g9")), "{made}");
    let room_id = made["mxid"].as_str().unwrap();
    let gathered = |command: &Command| {
        let people = vec!["p-bob".into(), "p-eve".into()];
        let title = "Trip".to_owned();
        matches!(command, Command::Ask { request, .. } if *request == Request::Gather { people, title })
    };
    assert_eq!(scene.double.state().commands.iter().filter(|command| gathered(command)).count(), 1);
    // The account would show its own picture for the group.
    let is_furnished = |world: &mut World| {
        let room = world.rooms.get(room_id)?;
        room.state.keys().any(|(kind, _)| kind == "m.space.parent").then_some(())
    };
    scene.stub().wait_for(is_furnished).await;
    let now = |kind| state(&scene.stub().world(), room_id, kind);
    assert_eq!(now("m.room.topic"), Some(json!({ "topic": "Where to?" })));
    assert_eq!(now("m.room.avatar"), Some(json!({ "url": "mxc://test/face" })));
    scene.end().await;
}

/// A room with Alice and the bot in it, in which she has this power.
async fn open(scene: &Scene, room_id: &str, level: i64) {
    let stub = scene.stub();
    stub.invite(ALICE, room_id, BOT);
    stub.set_state(ALICE, room_id, "m.room.create", "", json!({ "room_version": "11" }));
    let levels = json!({ "users": { ALICE: level } });
    stub.set_state(ALICE, room_id, "m.room.power_levels", "", levels);
    stub.set_state(ALICE, room_id, "m.room.name", "", json!({ "name": "Ours" }));
    stub.wait_for(|world| world.is_in(room_id, BOT).then_some(())).await;
}

fn wished(room_id: &str) -> Value {
    json!({ "participants": ["p-bob", "p-eve"], "room_id": room_id })
}

/// The account takes its time with the group.
#[tokio::test]
async fn a_room_that_got_a_chat_meanwhile_is_not_handed_over_to_another() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    expects_a_group(&scene);
    open(&scene, "!hers", 100).await;
    scene.stub().human("@other:test");
    scene.stub().join("@other:test", "!hers");
    scene.double.state().is_silent = true;
    let (token, body) = (alice(), Some(wished("!hers")));
    let making = call(&scene, &token, "create_group/group", body);
    let bridged = async {
        let asked = |world: &mut World| {
            let levels = |path: &str| path.ends_with("/rooms/!hers/state/m.room.power_levels/");
            world.asked.iter().any(|asked| levels(&asked.path)).then_some(())
        };
        scene.stub().wait_for(asked).await;
        scene.stub().say(ALICE, "!hers", "!wx bridge Family");
        let told = |world: &mut World| {
            world.texts("!hers").into_iter().find(|(_, text)| text.starts_with("This room mirrors"))
        };
        scene.stub().wait_for(told).await;
        scene.double.state().is_silent = false;
        scene.double.changed();
    };
    let ((status, refusal), ()) = tokio::join!(making, bridged);
    assert_eq!((status, &refusal["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")), "{refusal}");
    scene.stub().say(ALICE, "!hers", "hello family");
    let said =
        scene.double.wait_for(PATIENCE, |state| state.posts.first().map(|(_, _, post)| post.chat.clone()));
    assert_eq!(said.await.chat, ChatKey::from("g1"));
    scene.end().await;
}

#[tokio::test]
async fn a_group_is_made_in_a_room_that_its_moderator_hands_over() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    expects_a_group(&scene);
    let stub = scene.stub();
    open(&scene, "!hers", 100).await;
    open(&scene, "!not-hers", 0).await;
    for room_id in ["!not-hers", "!nowhere"] {
        let (status, refusal) = call(&scene, &alice(), "create_group/group", Some(wished(room_id))).await;
        assert_eq!(
            (status, &refusal["errcode"]),
            (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")),
            "{refusal}"
        );
    }
    let (status, made) = call(&scene, &alice(), "create_group/group", Some(wished("!hers"))).await;
    assert_eq!((status, &made["mxid"]), (StatusCode::OK, &json!("!hers")), "{made}");
    let (status, refusal) = call(&scene, &alice(), "create_group/group", Some(wished("!hers"))).await;
    assert_eq!((status, &refusal["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")), "{refusal}");
    // From now on it is the room of the group, under its own name.
    stub.say(ALICE, "!hers", "hello group");
    let said =
        scene.double.wait_for(PATIENCE, |state| state.posts.first().map(|(_, _, post)| post.chat.clone()));
    assert_eq!(said.await.chat, ChatKey::from("g9"));
    assert_eq!(state(&stub.world(), "!hers", "m.room.name"), Some(json!({ "name": "Ours" })));
    scene.end().await;
}

/// The names of alice's accounts.
fn accounts(scene: &Scene) -> Vec<String> {
    scene.double.state().accounts.iter().map(|view| view.network.name().to_owned()).collect()
}

fn code() -> SignInStep {
    SignInStep::ShowQr { text: "https://login.weixin.qq.com/l/x".to_owned(), number: 1 }
}

/// Begins a sign-in; the path of its first step, and its process.
pub(crate) async fn begun(scene: &Scene, query: &str) -> (String, String) {
    scene.double.set_sign_in(code());
    let (status, step) = call(scene, &alice(), &format!("login/start/qr{query}"), Some(json!({}))).await;
    assert_eq!(status, StatusCode::OK, "{step}");
    let text = |key: &str| step[key].as_str().unwrap().to_owned();
    (format!("login/step/{}/{}/display_and_wait", text("login_id"), text("step_id")), text("login_id"))
}

#[tokio::test]
async fn a_sign_in_that_comes_to_nothing_leaves_no_account_behind() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    for _ in 0..3 {
        let (_, process) = begun(&scene, "").await;
        assert_eq!(accounts(&scene).len(), 2);
        let (status, _) = call(&scene, &alice(), &format!("login/cancel/{process}"), Some(json!({}))).await;
        assert_eq!((status, accounts(&scene)), (StatusCode::OK, vec!["alice".to_owned()]), "cancelled");
    }
    let (step, _) = begun(&scene, "").await;
    scene.double.set_sign_in(SignInStep::Failed { why: "declined".to_owned() });
    let (status, _) = call(&scene, &alice(), &step, Some(json!({}))).await;
    assert_eq!((status, accounts(&scene)), (StatusCode::BAD_REQUEST, vec!["alice".to_owned()]), "declined");
    // It fails before there is anything to show.
    let (status, _) = call(&scene, &alice(), "login/start/qr", Some(json!({}))).await;
    assert_eq!((status, accounts(&scene)), (StatusCode::BAD_REQUEST, vec!["alice".to_owned()]));
    scene.end().await;
}

#[tokio::test]
async fn a_login_that_exists_can_be_asked_on_the_phone() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let flows = async || {
        let (_, told) = call(&scene, &alice(), "login/flows", None).await;
        let (_, me) = call(&scene, &alice(), "whoami", None).await;
        assert_eq!(told["flows"], me["login_flows"]);
        told["flows"].as_array().unwrap().iter().map(|flow| flow["id"].clone()).collect::<Vec<_>>()
    };
    let start = async |query: &str| {
        call(&scene, &alice(), &format!("login/start/push{query}"), Some(json!({}))).await
    };
    // It is online: there is nothing to ask.
    assert_eq!(flows().await, ["qr"]);
    for query in ["", "?login_id=alice", "?login_id=nobody"] {
        let (status, refusal) = start(query).await;
        assert_eq!((status, &refusal["errcode"]), (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND")), "{query}");
    }
    scene.double.state().accounts[0].health = Health::signed_out(Some("the phone signed it out"));
    assert_eq!(flows().await, ["qr", "push"]);
    for query in ["", "?login_id=alice"] {
        scene.double.set_sign_in(SignInStep::ConfirmOnPhone { is_push: true, picture: None });
        let (status, step) = start(query).await;
        assert_eq!(
            (status, &step["display_and_wait"]["type"]),
            (StatusCode::OK, &json!("nothing")),
            "{step}"
        );
        scene.double.set_sign_in(SignInStep::Done);
        let text = |key: &str| step[key].as_str().unwrap().to_owned();
        let path = format!("login/step/{}/{}/display_and_wait", text("login_id"), text("step_id"));
        let (_, done) = call(&scene, &alice(), &path, Some(json!({}))).await;
        assert_eq!(done["complete"]["user_login_id"], json!("alice"), "{done}");
    }
    assert_eq!(accounts(&scene), ["alice"], "another account was added");
    scene.end().await;
}

#[tokio::test]
async fn an_account_that_was_left_over_is_signed_in_before_another_is_added() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    scene.double.add_account("alice", "pw", "wechat:spare");
    {
        let mut state = scene.double.state();
        let spare = state.accounts.iter_mut().find(|view| view.network.name() == "spare").unwrap();
        spare.health = Health::signed_out(None);
        spare.own_name.clear();
    }
    let (_, process) = begun(&scene, "").await;
    assert_eq!(accounts(&scene), ["alice", "spare"]);
    let (other, _) = begun(&scene, "").await;
    assert_eq!(accounts(&scene).len(), 3, "one that is being signed in is not left over: {other}");
    let (status, _) = call(&scene, &alice(), &format!("login/cancel/{process}"), Some(json!({}))).await;
    assert_eq!((status, accounts(&scene).len()), (StatusCode::OK, 3), "what somebody added stays");
    scene.end().await;
}

#[tokio::test]
async fn cancelling_does_not_undo_what_the_phone_agreed_to() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    for (query, step) in [("", SignInStep::Done), ("?login_id=alice", SignInStep::Loading)] {
        let (_, process) = begun(&scene, query).await;
        let before = accounts(&scene);
        scene.double.set_sign_in(step);
        let (status, _) = call(&scene, &alice(), &format!("login/cancel/{process}"), Some(json!({}))).await;
        assert_eq!((status, accounts(&scene)), (StatusCode::OK, before), "{query}");
    }
    let undone =
        |command: &Command| matches!(command, Command::SignOut { .. } | Command::RemoveAccount { .. });
    assert!(!scene.double.state().commands.iter().any(undone));
    let (_, process) = begun(&scene, "?login_id=alice").await;
    call(&scene, &alice(), &format!("login/cancel/{process}"), Some(json!({}))).await;
    assert!(scene.double.state().commands.iter().any(undone), "while nobody agreed it ends");
    scene.end().await;
}

#[tokio::test]
async fn an_account_that_was_signed_in_elsewhere_outlives_the_sign_in_it_was_added_for() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    let elsewhere = |name: &str| {
        scene.double.set_sign_in(SignInStep::Failed { why: "the codes ran out".to_owned() });
        let mut state = scene.double.state();
        let view = state.accounts.iter_mut().find(|view| view.network.name() == name).unwrap();
        (view.health, view.own_name) = (Health::Up, "Alice".to_owned());
    };
    // Nobody asks the manager for what became of it; half an hour later somebody begins another one.
    begun(&scene, "").await;
    let added = accounts(&scene).pop().unwrap();
    elsewhere(&added);
    scene.clock.advance(std::time::Duration::from_secs(31 * 60));
    begun(&scene, "?login_id=alice").await;
    assert_eq!(accounts(&scene), ["alice".to_owned(), added.clone()]);
    // The page of the manager is closed late.
    let (_, process) = begun(&scene, "").await;
    let second = accounts(&scene).pop().unwrap();
    elsewhere(&second);
    let (status, _) = call(&scene, &alice(), &format!("login/cancel/{process}"), Some(json!({}))).await;
    assert_eq!((status, accounts(&scene)), (StatusCode::OK, vec!["alice".to_owned(), added, second]));
    let undone =
        |command: &Command| matches!(command, Command::SignOut { .. } | Command::RemoveAccount { .. });
    assert!(!scene.double.state().commands.iter().any(undone));
    scene.end().await;
}

#[tokio::test]
async fn signing_in_again_and_again_is_never_too_many_at_once() {
    let scene = Scene::start().await;
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    for _ in 0..6 {
        let (step, _) = begun(&scene, "?login_id=alice").await;
        scene.double.set_sign_in(SignInStep::Done);
        let (status, done) = call(&scene, &alice(), &step, Some(json!({}))).await;
        assert_eq!((status, &done["type"]), (StatusCode::OK, &json!("complete")));
    }
    scene.end().await;
}
