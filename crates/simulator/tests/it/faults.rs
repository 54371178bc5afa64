//! Every fault, on the wire.

use std::time::{Duration, Instant};

use serde_json::json;
use wxgate_simulator::{Fault, FaultRule};

use crate::browser::{Browser, world};

#[tokio::test]
async fn faults_look_as_promised_and_say_whether_they_had_an_effect() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let cases = [
        (Fault::Status(502), 0),
        (Fault::Body("<html>".into()), 0),
        (Fault::Raw(b"0 -\x01\x02"[..].to_vec().into()), 0),
        (Fault::CloseBeforeBody, 0),
        (Fault::Ret(1205), 0),
        (Fault::Truncate(9), 1),
        (Fault::Oversized(100_000), 1),
        (Fault::DropAfterBody, 1),
        (Fault::EmptyBody, 1),
    ];
    for (at, (fault, effect)) in cases.into_iter().enumerate() {
        world.add_fault(FaultRule::next("webwxsendmsg", fault.clone(), 1).of("a"));
        let before = world.ledger("a", 0, 100).unwrap().len();
        let id = format!("170000006000001{at:02}");
        let body = browser.message(1, "filehelper", "x", &id);
        let answer = browser.call("webwxsendmsg", "", body).await;
        let heard = world.ledger("a", 0, 100).unwrap().len() - before;
        assert_eq!(heard, effect, "{fault:?}");
        match fault {
            Fault::Status(_) => assert_eq!(answer.status, 502),
            Fault::Body(_) => assert_eq!(answer.text(), "<html>"),
            Fault::Raw(_) => assert_eq!(answer.raw, b"0 -\x01\x02"),
            Fault::CloseBeforeBody => assert_eq!((answer.status, answer.body.len()), (200, 0)),
            Fault::Ret(_) => assert_eq!(
                answer.json(),
                json!({"BaseResponse": {"Ret": 1205, "ErrMsg": ""}, "MsgID": "", "LocalID": ""})
            ),
            Fault::Truncate(_) => assert_eq!(answer.body.len(), 9),
            Fault::Oversized(_) => assert_eq!(answer.body.len(), 100_000),
            Fault::DropAfterBody => assert_eq!(answer.raw, b""),
            _ => assert_eq!((answer.status, answer.body.len()), (200, 0)),
        }
    }
    assert_eq!(world.stats().faults, 9);
}

#[tokio::test]
async fn delays_delay_and_hangs_end_with_the_connection() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    world.add_fault(FaultRule::next("webwxsync", Fault::Delay(Duration::from_millis(80)), 1));
    let begun = Instant::now();
    assert_eq!(browser.sync().await["BaseResponse"]["Ret"], 0);
    assert!(begun.elapsed() >= Duration::from_millis(80));
    world.add_fault(FaultRule::next("webwxsync", Fault::Hang, 1));
    let hung = tokio::time::timeout(Duration::from_millis(100), browser.sync()).await;
    assert!(hung.is_err());
    assert_eq!(browser.sync().await["BaseResponse"]["Ret"], 0);
    assert_eq!(world.violations(), []);
}

#[tokio::test]
async fn each_endpoint_refuses_in_its_own_form() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let named = [
        "webwxinit",
        "webwxsync",
        "webwxgetcontact",
        "webwxbatchgetcontact",
        "webwxstatusnotify",
        "webwxsendmsgimg",
        "webwxuploadmedia",
        "webwxcheckupload",
        "webwxcreatechatroom",
        "webwxupdatechatroom",
        "webwxoplog",
        "webwxrevokemsg",
        "webwxverifyuser",
        "webwxstatreport",
    ];
    for name in named {
        world.add_fault(FaultRule::next(name, Fault::Ret(1102), 1));
        assert_eq!(browser.call(name, "", json!({})).await.ret(), 1102, "{name}");
    }
    world.add_fault(FaultRule::next("synccheck", Fault::Ret(-1), 1));
    assert_eq!(browser.check().await.0, "-1");
    world.add_fault(FaultRule::next("webwxgetmsgimg", Fault::Ret(1), 1));
    assert_eq!(browser.get("wx2.qq.com", "/cgi-bin/mmwebwx-bin/webwxgetmsgimg").await.body, b"");
    world.add_fault(FaultRule::next("jslogin", Fault::Ret(400), 1));
    assert_eq!(browser.uuid().await, "");
    world.add_fault(FaultRule::next("*", Fault::Status(500), 3));
    world.clear_faults();
    assert_eq!(browser.sync().await["BaseResponse"]["Ret"], 0);
}

#[tokio::test]
async fn the_control_api_does_what_the_world_does() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    async fn obey(browser: &mut Browser, verb: &str, body: serde_json::Value) -> (u16, serde_json::Value) {
        let answer =
            browser.ask("POST", "localhost", &format!("/_sim/{verb}"), "", body.to_string().as_bytes()).await;
        (answer.status, answer.json())
    }
    let said = obey(
        &mut browser,
        "say",
        json!({"account": "a", "chat": "g0", "from": "m0.2", "kind": "text", "text": "hi", "count": 3}),
    )
    .await;
    assert_eq!((said.0, &said.1["n"]), (200, &json!(2)));
    let ledger = obey(&mut browser, "ledger", json!({"account": "a", "from": 1})).await.1;
    assert_eq!((ledger["entries"].as_array().unwrap().len(), &ledger["next"]), (2, &json!(3)));
    assert_eq!(ledger["entries"][0]["text"], "hi 1");
    let added = obey(&mut browser, "accounts", json!({"name": "b", "count": 3, "contacts": 1})).await.1;
    assert_eq!(added[2]["name"], "b2");
    assert_eq!(obey(&mut browser, "stats", json!({})).await.1["accounts"], 4);
    let fault = json!({"endpoint": "webwxsync", "fault": {"status": 503}});
    assert_eq!(obey(&mut browser, "fault", fault).await.0, 200);
    let ended = obey(&mut browser, "end_session", json!({"account": "b0", "code": 1101})).await;
    assert_eq!((ended.0, &ended.1["error"]), (400, &json!("account 'b0' is not signed in")));
    for (verb, body) in
        [("nothing", json!({})), ("say", json!({"account": "a"})), ("scan", json!({"uuid": "x"}))]
    {
        assert_eq!(obey(&mut browser, verb, body).await.0, 400, "{verb}");
    }
    let garbage = browser.ask("POST", "localhost", "/_sim/say", "", b"{").await;
    assert_eq!(garbage.status, 400);
    assert_eq!(obey(&mut browser, "violations", json!({})).await.1, json!([]));
}
