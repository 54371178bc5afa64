//! Contacts, polls, syncs and sends.

use std::time::{Duration, Instant};

use serde_json::json;
use wxgate_simulator::{Change, Kind, Way, Who, WorldConfig};

use crate::browser::{Browser, encode, no_violations, world, world_with};

#[tokio::test]
async fn the_address_book_has_pages_and_batches_have_limits() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let mut seq = json!(0);
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let path = format!(
            "/cgi-bin/mmwebwx-bin/webwxgetcontact?pass_ticket={}&lang=zh_CN&r=1&seq={seq}&skey={}",
            encode(&browser.ticket),
            encode(&browser.skey)
        );
        let answer = browser.get("wx2.qq.com", &path).await;
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        let value = answer.json();
        for contact in value["MemberList"].as_array().unwrap() {
            names.push(contact["UserName"].as_str().unwrap().to_owned());
            assert_eq!(contact["MemberList"], json!([]));
        }
        pages += 1;
        seq = value["Seq"].clone();
        if seq == 0 {
            break;
        }
    }
    assert!(pages >= 3, "{pages}");
    assert_eq!(names.len(), 60 + 3 + 8);
    names.truncate(49);
    names.push("@0000".to_owned());
    let list: Vec<_> = names.iter().map(|name| json!({"UserName": name, "EncryChatRoomId": ""})).collect();
    let body = json!({"Count": 50, "List": list});
    let answer = browser.call("webwxbatchgetcontact", "type=ex&r=1", body).await.json();
    assert_eq!(answer["Count"], 49);
    assert_ne!(answer["ContactList"][0]["UserName"], list[0]["UserName"]);
    no_violations(&world);
}

#[tokio::test]
async fn one_name_is_not_utf8_and_large_rooms_come_late() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let who = world.user_name("a", Who::Contact(3)).unwrap();
    let body = json!({"Count": 1, "List": [{"UserName": who, "EncryChatRoomId": ""}]});
    let answer = browser.call("webwxbatchgetcontact", "type=ex&r=1", body).await;
    assert!(String::from_utf8(answer.body.clone()).is_err());
    assert!(answer.text().contains('\u{fffd}'));
    let group = world.user_name("a", Who::Group(2)).unwrap();
    let body = json!({"Count": 1, "List": [{"UserName": group, "EncryChatRoomId": ""}]});
    let first = browser.call("webwxbatchgetcontact", "type=ex&r=1", body.clone()).await.json();
    assert_eq!(first["ContactList"][0]["MemberList"], json!([]));
    let second = browser.call("webwxbatchgetcontact", "type=ex&r=1", body).await.json();
    let members = second["ContactList"][0]["MemberList"].as_array().unwrap();
    assert_eq!(members.len(), 8);
    let room = second["ContactList"][0]["EncryChatRoomId"].clone();
    let stranger =
        world.members("a", 2).unwrap().into_iter().find(|who| matches!(who, Who::Stranger(..))).unwrap();
    let name = world.user_name("a", stranger).unwrap();
    for (room, found) in [(json!(""), 0), (room, 1), (json!(group), 1)] {
        let body = json!({"Count": 1, "List": [{"UserName": name, "EncryChatRoomId": room}]});
        let answer = browser.call("webwxbatchgetcontact", "type=ex&r=1", body).await.json();
        assert_eq!(answer["Count"], found);
    }
    no_violations(&world);
}

#[tokio::test]
async fn a_message_wakes_the_poll_at_once_and_old_keys_deliver_again() {
    let (world, server) =
        world_with(WorldConfig { hold: Duration::from_secs(20), ..WorldConfig::default() }).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let speaker = world.clone();
    let speaking = tokio::spawn(async move {
        while speaker.stats().polls_open == 0 {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        speaker.say("a", Who::Contact(0), Who::Contact(0), Kind::text("<明天> & \"你\"\n😄")).unwrap();
        begun
    });
    let (retcode, selector) = browser.check().await;
    let lag = speaking.await.unwrap().elapsed();
    assert_eq!(retcode, "0");
    assert_ne!(selector, "0");
    assert!(lag < Duration::from_millis(200), "{lag:?}");
    let old = browser.sync_key.clone();
    let value = browser.sync().await;
    let message = &value["AddMsgList"][0];
    let content = message["Content"].as_str().unwrap();
    assert!(content.starts_with("&lt;明天&gt; &amp; "), "{content}");
    assert!(content.ends_with("<br/><span class=\"emoji emoji1f604\"></span>"));
    assert_eq!(message["NewMsgId"].to_string(), message["MsgId"].as_str().unwrap());
    assert_ne!(value["SyncKey"], value["SyncCheckKey"]);
    browser.sync_key = old;
    assert_eq!(browser.sync().await["AddMsgCount"], 1);
    let entry = world.ledger("a", 0, 10).unwrap().remove(0);
    assert_eq!((entry.deliveries, entry.way), (2, Way::ToAccount));
    no_violations(&world);
}

#[tokio::test]
async fn notify_3_brings_the_phones_conversations() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let body = json!({
        "Code": 3, "FromUserName": browser.own, "ToUserName": browser.own, "ClientMsgId": 1700000028500_u64
    });
    assert_eq!(browser.call("webwxstatusnotify", "", body).await.ret(), 0);
    assert_eq!(browser.check().await.1, "7");
    let value = browser.sync().await;
    assert_eq!(value["AddMsgCount"], 2);
    let list = &value["AddMsgList"][1];
    assert_eq!((&list["MsgType"], &list["StatusNotifyCode"]), (&json!(51), &json!(4)));
    let names = list["StatusNotifyUserName"].as_str().unwrap().split(',').count();
    let content = list["Content"].as_str().unwrap();
    let ids = crate::browser::between(content, "username&gt;", "&lt;/username");
    assert_eq!(ids.split(',').count(), names);
    assert!(ids.contains("@chatroom") && ids.contains("wxid_"));
    assert_eq!(browser.check().await, ("0".to_owned(), "0".to_owned()));
    no_violations(&world);
}

#[tokio::test]
async fn every_kind_of_message_is_delivered() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let text = |text: &str| std::sync::Arc::<str>::from(text);
    let kinds = [
        (Kind::text("a"), 1),
        (Kind::Image, 3),
        (Kind::Voice, 34),
        (Kind::Video, 43),
        (Kind::MicroVideo, 62),
        (Kind::Sticker { store: false }, 47),
        (Kind::Sticker { store: true }, 47),
        (Kind::File { name: text("a & b.pdf") }, 49),
        (Kind::Link { title: text("T & t"), url: text("http://example.com/?a=1&b=2") }, 49),
        (Kind::Articles { count: 2 }, 49),
        (Kind::Music { title: text("Song") }, 49),
        (Kind::Location { label: text("Street 1") }, 1),
        (Kind::Card { nick: text("Bo") }, 42),
        (Kind::system("\"A\"邀请\"B\"加入了群聊"), 10000),
        (Kind::Recall { msg_id: 1 }, 10002),
        (Kind::Quote { text: text("re"), quoted: text("q"), msg_id: None }, 49),
        (Kind::OldQuote { text: text("re"), quoted: text("q") }, 1),
        (Kind::MiniProgram { title: text("P") }, 49),
        (Kind::Transfer { amount: text("50.00") }, 49),
        (Kind::RedPacket, 10000),
        (Kind::MergedHistory, 49),
        (Kind::LocationSharing, 49),
        (Kind::Call { msg_type: 50 }, 50),
        (Kind::PhoneState { code: 5 }, 51),
        (Kind::News, 1),
        (Kind::Notice, 9999),
        (Kind::Unknown { msg_type: 4242 }, 4242),
    ];
    for (kind, _) in &kinds {
        world.say("a", Who::Contact(1), Who::Contact(1), kind.clone()).unwrap();
    }
    let value = browser.sync().await;
    let list = value["AddMsgList"].as_array().unwrap();
    let types: Vec<_> = list.iter().map(|message| message["MsgType"].as_i64().unwrap()).collect();
    assert_eq!(types, kinds.iter().map(|(_, number)| *number).collect::<Vec<_>>());
    assert_eq!(list[7]["FileName"], "a &amp; b.pdf");
    assert!(list[7]["FileSize"].is_string());
    assert_eq!(list[11]["SubMsgType"], 48);
    let fmessage: Who = "fmessage".parse().unwrap();
    let request = Kind::FriendRequest { nick: text("Bo"), greeting: text("我是Bo") };
    world.say("a", fmessage, fmessage, request).unwrap();
    let value = browser.sync().await;
    let message = &value["AddMsgList"][0];
    assert_eq!((&message["MsgType"], &message["FromUserName"]), (&json!(37), &json!("fmessage")));
    let info = &message["RecommendInfo"];
    let body = json!({
        "Opcode": 3, "VerifyUserListSize": 1,
        "VerifyUserList": [{"Value": info["UserName"], "VerifyUserTicket": info["Ticket"]}],
        "VerifyContent": "", "SceneListCount": 1, "SceneList": [33], "skey": browser.skey
    });
    assert_eq!(browser.call("webwxverifyuser", "r=1", body).await.ret(), 0);
    assert_eq!(browser.sync().await["ModContactCount"], 1);
    no_violations(&world);
}

#[tokio::test]
async fn group_texts_carry_their_sender_and_own_ones_do_not() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let member = world.members("a", 0).unwrap()[1];
    world.say("a", Who::Group(0), member, Kind::text("see:\nx")).unwrap();
    world.say("a", Who::Group(0), Who::Own, Kind::text("带了")).unwrap();
    world.say("a", Who::Group(3), Who::Stranger(3, 2), Kind::text("new")).unwrap();
    let value = browser.sync().await;
    let list = &value["AddMsgList"];
    let name = world.user_name("a", member).unwrap();
    assert_eq!(list[0]["Content"], format!("{name}:<br/>see:<br/>x"));
    assert_eq!((&list[1]["Content"], &list[1]["FromUserName"]), (&json!("带了"), &json!(browser.own)));
    // A group that nobody told of before comes with its record.
    assert_eq!(value["ModContactList"][0]["UserName"], list[2]["FromUserName"]);
    assert!(value["ModContactList"][0].get("EncryChatRoomId").is_none());
}

#[tokio::test]
async fn changes_arrive_as_records() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let rename = Change::Rename { who: "g0".to_owned(), name: "新".to_owned() };
    world.change("a", &rename).unwrap();
    assert_eq!(browser.check().await.1, "4");
    world.change("a", &Change::Remove { who: "c5".to_owned() }).unwrap();
    world.change("a", &Change::OwnName { name: "林二".to_owned() }).unwrap();
    world.change("a", &Change::RemoveMember { group: 1, who: "self".to_owned() }).unwrap();
    world.renew_skey("a").unwrap();
    let value = browser.sync().await;
    assert_eq!(value["ModContactList"][0]["NickName"], "新");
    // A contact, and a group that we were removed from.
    assert_eq!(value["DelContactCount"], 2);
    assert_eq!(
        (&value["Profile"]["BitFlag"], &value["Profile"]["NickName"]["Buff"]),
        (&json!(190), &json!("林二"))
    );
    let skey = value["SKey"].as_str().unwrap().to_owned();
    assert!(skey.starts_with("@crypt_") && skey != browser.skey);
    browser.skey = skey;
    let group = json!([{"UserName": world.user_name("a", Who::Group(1)).unwrap(), "EncryChatRoomId": ""}]);
    let body = json!({"Count": 1, "List": group});
    let told = browser.call("webwxbatchgetcontact", "type=ex&r=1", body).await.json();
    let told = &told["ContactList"][0];
    assert_eq!((&told["MemberCount"], &told["MemberList"]), (&json!(0), &json!([])));
    assert_eq!(browser.sync().await["BaseResponse"]["Ret"], 0);
    assert!(world.change("a", &Change::Remove { who: "c99".to_owned() }).is_err());
    no_violations(&world);
}

#[tokio::test]
async fn more_than_a_batch_waits_behind_continue_flag() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    world.say_many("a", Who::Contact(0), Who::Contact(0), &Kind::text("n"), 120).unwrap();
    let counts: Vec<_> = [browser.sync().await, browser.sync().await, browser.sync().await]
        .iter()
        .map(|value| (value["AddMsgCount"].as_u64().unwrap(), value["ContinueFlag"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [(50, 1), (50, 1), (20, 0)]);
}

#[tokio::test]
async fn an_endless_selector_has_empty_syncs_and_a_dead_phone_refuses_sends() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    world.force_selector("a", 6, 2).unwrap();
    assert_eq!(browser.check().await.1, "6");
    assert_eq!(browser.sync().await["AddMsgCount"], 0);
    assert_eq!(browser.check().await.1, "6");
    assert_eq!(browser.check().await.1, "0");
    world.set_phone_offline("a", true).unwrap();
    assert_eq!(browser.check().await.1, "2");
    let body = browser.message(1, "filehelper", "x", "17000000600000123");
    assert_eq!(browser.call("webwxsendmsg", "", body).await.ret(), 3);
}

#[tokio::test]
async fn a_text_is_heard_once_however_often_it_is_sent() {
    let (world, server) =
        world_with(WorldConfig { echo_before_answer: true, ..WorldConfig::default() }).await;
    let mut heard = world.listen();
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let to = world.user_name("a", Who::Contact(2)).unwrap();
    let body = browser.message(1, &to, "好的 <3 & 😀\n二", "17000000600000123");
    let first = browser.call("webwxsendmsg", "", body.clone()).await.json();
    let second = browser.call("webwxsendmsg", "", body).await.json();
    assert_eq!(first, second);
    assert_eq!(first["LocalID"], "17000000600000123");
    let entries = world.ledger("a", 0, 10).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].repeats, &*entries[0].text, entries[0].chat),
        (1, "好的 <3 & 😀\n二", Who::Contact(2))
    );
    assert_eq!(heard.recv().await.unwrap().entry.msg_id.to_string(), first["MsgID"].as_str().unwrap());
    assert_eq!(browser.sync().await["AddMsgList"][0]["MsgId"], first["MsgID"]);
    let read = json!({"Code": 1, "FromUserName": browser.own, "ToUserName": to, "ClientMsgId": 1});
    assert_eq!(browser.call("webwxstatusnotify", "", read).await.ret(), 0);
    let revoke = json!({"SvrMsgId": first["MsgID"], "ToUserName": to, "ClientMsgId": "1"});
    assert_eq!(browser.call("webwxrevokemsg", "", revoke).await.ret(), 0);
    let kinds: Vec<_> = world.ledger("a", 1, 10).unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, ["read", "recall"]);
    let nobody = browser.message(1, "@0000", "x", "17000000600000124");
    assert_eq!(browser.call("webwxsendmsg", "", nobody).await.ret(), -1);
    let own = browser.own.clone();
    let own = browser.message(1, &own, "x", "17000000600000125");
    assert_eq!(browser.call("webwxsendmsg", "", own).await.ret(), 1204);
    no_violations(&world);
}
