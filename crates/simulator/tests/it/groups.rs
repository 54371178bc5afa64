//! Groups, remarks and pins.

use serde_json::json;
use wxgate_simulator::Who;

use crate::browser::{Browser, no_violations, seen, world};

#[tokio::test]
async fn a_group_is_made_filled_renamed_and_left() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let name = |at| world.user_name("a", Who::Contact(at)).unwrap();
    let body = json!({
        "MemberCount": 2, "Topic": "",
        "MemberList": [{"UserName": name(0)}, {"UserName": name(1)}]
    });
    let made = browser.call("webwxcreatechatroom", "r=1", body).await.json();
    let room = made["ChatRoomName"].as_str().unwrap().to_owned();
    assert!(room.starts_with("@@"));
    let add = json!({"ChatRoomName": room, "AddMemberList": name(2)});
    assert_eq!(browser.call("webwxupdatechatroom", "fun=addmember", add).await.ret(), 0);
    let topic = json!({"ChatRoomName": room, "NewTopic": "新群"});
    assert_eq!(browser.call("webwxupdatechatroom", "fun=modtopic", topic).await.ret(), 0);
    let value = browser.sync().await;
    assert_eq!(value["ModContactList"][0]["NickName"], "新群");
    assert_eq!(value["ModContactList"][0]["MemberCount"], 4);
    let quit = json!({"ChatRoomName": room});
    assert_eq!(browser.call("webwxupdatechatroom", "fun=quitchatroom", quit).await.ret(), 0);
    assert_eq!(browser.sync().await["DelContactList"][0]["UserName"], room.as_str());
    no_violations(&world);
}

#[tokio::test]
async fn a_pin_without_the_remark_erases_it() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let who = world.user_name("a", Who::Contact(0)).unwrap();
    let remark = json!({"UserName": who, "CmdId": 2, "RemarkName": "安娜"});
    assert_eq!(browser.call("webwxoplog", "", remark).await.ret(), 0);
    let pin = json!({"UserName": who, "CmdId": 3, "OP": 1, "RemarkName": "安娜"});
    assert_eq!(browser.call("webwxoplog", "", pin).await.ret(), 0);
    let value = browser.sync().await;
    assert_eq!(value["ModContactList"][0]["RemarkName"], "安娜");
    assert_eq!(value["ModContactList"][0]["ContactFlag"], 2051);
    no_violations(&world);
    let bare = json!({"UserName": who, "CmdId": 3, "OP": 0});
    assert_eq!(browser.call("webwxoplog", "", bare).await.ret(), 0);
    assert_eq!(browser.sync().await["ModContactList"][0]["RemarkName"], "");
    assert_eq!(seen(&world), ["pin without the current RemarkName erases it"]);
}
