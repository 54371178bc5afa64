//! What the service refuses, and what it writes down.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxgate_simulator::{Kind, Who, WorldConfig};

use crate::browser::{Browser, encode, no_violations, seen, world, world_with};

#[tokio::test]
async fn without_cookies_init_is_told_1100_and_the_poll_1102() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let kept = browser.cookies.clone();
    browser.cookies.remove("webwx_data_ticket");
    assert_eq!(browser.check().await.0, "1102");
    assert_eq!(browser.init().await.ret(), 1100);
    browser.cookies = kept;
    assert_eq!(browser.check().await.0, "0");
    assert_eq!(seen(&world), ["cookie webwx_data_ticket missing"; 2]);
}

#[tokio::test]
async fn a_sid_that_is_not_encoded_once_ends_in_1101() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let sid = browser.cookies["wxsid"].clone();
    let key = browser.check_key.clone();
    for sid in [sid.clone(), encode(&encode(&sid))] {
        let text = browser.check_with(&sid, &key).await.text();
        assert!(text.contains("retcode:\"1101\""), "{text}");
    }
    assert_eq!(seen(&world), ["sid is not the session's once decoded"]);
}

#[tokio::test]
async fn hosts_have_roles() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    browser.base = "wx.qq.com";
    assert_eq!(browser.check().await.0, "1102");
    assert_eq!(browser.init().await.ret(), 1100);
    // A client that cannot name real hosts names none.
    browser.base = "127.0.0.1:9000";
    assert_eq!(browser.init().await.ret(), 0);
    assert_eq!(seen(&world), ["host does not belong to the session's family and role"; 2]);
}

#[tokio::test]
async fn the_wrong_key_is_noticed() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    world.say("a", Who::Contact(0), Who::Contact(0), Kind::text("x")).unwrap();
    browser.sync().await;
    std::mem::swap(&mut browser.sync_key, &mut browser.check_key);
    browser.check().await;
    browser.sync().await;
    assert_eq!(seen(&world), ["synckey is SyncKey, not SyncCheckKey", "SyncKey is SyncCheckKey"]);
    browser.sync_key = json!({"Count": 0, "List": []});
    assert_eq!(browser.sync().await["BaseResponse"]["Ret"], 1);
}

#[tokio::test]
async fn two_polls_at_once_are_noticed() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let mut twin = Browser::new(&server);
    twin.cookies = browser.cookies.clone();
    twin.skey = browser.skey.clone();
    twin.check_key = browser.check_key.clone();
    tokio::join!(browser.check(), twin.check());
    assert_eq!(seen(&world), ["two synccheck calls at once"]);
    assert_eq!(world.stats().polls_open, 0);
}

#[tokio::test]
async fn escapes_ids_and_scenes_are_checked() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let mut body = browser.message(1, "filehelper", "x", "17000000600000123");
    body["BaseRequest"] = browser.base_request();
    let text = body.to_string().replace("\"x\"", "\"\\u4f60\"");
    let path = format!("/cgi-bin/mmwebwx-bin/webwxsendmsg?pass_ticket={}", encode(&browser.ticket));
    let answer = browser.ask("POST", "wx2.qq.com", &path, "", text.as_bytes()).await;
    assert_eq!(answer.ret(), 0);
    assert_eq!(&*world.ledger("a", 0, 1).unwrap()[0].text, "\\u4f60");
    let mut other = browser.message(1, "filehelper", "y", "17000000600000123");
    other["Scene"] = json!(9);
    other["Msg"]["LocalID"] = json!("1");
    browser.call("webwxsendmsg", "", other).await;
    let mut object = browser.message(1, "filehelper", "y", "17000000600000124");
    object["Msg"]["Content"] = json!({});
    assert_eq!(browser.call("webwxsendmsg", "", object).await.ret(), 1200);
    let mut found = seen(&world);
    found.sort();
    assert_eq!(
        found,
        [
            "ClientMsgId reused for another message",
            "Msg.Content is not a string",
            "Msg.LocalID is not Msg.ClientMsgId",
            "Scene is neither 0 nor 2",
            "\\u escape in the body: the recipient reads six characters",
        ]
    );
}

#[tokio::test]
async fn a_renewed_cookie_must_come_back() {
    let (world, server) = world_with(WorldConfig { renew_ticket_every: 2, ..WorldConfig::default() }).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let first = browser.cookies["webwx_data_ticket"].clone();
    browser.sync().await;
    assert_ne!(browser.cookies["webwx_data_ticket"], first);
    browser.sync().await;
    assert_eq!(seen(&world), [""; 0]);
    browser.cookies.insert("webwx_data_ticket".to_owned(), "gQnever".to_owned());
    browser.sync().await;
    assert_eq!(seen(&world), ["cookie webwx_data_ticket is not the newest that was set"]);
}

#[tokio::test]
async fn more_than_fifty_and_unknown_pages_are_noticed() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let list: Vec<_> = (0..55)
        .map(|at| json!({"UserName": world.user_name("a", Who::Contact(at)).unwrap(), "EncryChatRoomId": ""}))
        .collect();
    let answer =
        browser.call("webwxbatchgetcontact", "type=ex&r=1", json!({"Count": 55, "List": list})).await;
    assert_eq!(answer.json()["Count"], 50);
    assert_eq!(browser.get("wx2.qq.com", "/cgi-bin/mmwebwx-bin/webwxnothing").await.status, 404);
    let mut found = seen(&world);
    found.sort();
    assert_eq!(found, ["more than 50 entries", "no such endpoint"]);
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_request() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let half = "POST /cgi-bin/mmwebwx-bin/webwxsendmsg HTTP/1.1\r\nHost: wx2.qq.com\r\nContent-Length: 200\r\n\r\n{\"Base";
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    socket.write_all(half.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    no_violations(&world);
}
