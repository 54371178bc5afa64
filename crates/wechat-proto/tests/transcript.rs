//! Replays the transcript of the protocol sheet, section 8: our requests are its requests, and
//! its answers read as it says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use wechat_proto::{
    Call, ClientMsgId, Credentials, Endpoint, Profile, RetCode, SyncKey, UserName, decode,
    endpoint::{
        AppSource, BatchGetContact, Exchange, FetchChanges, GetContact, GetMsgImg, ImageSize, Init, JsLogin,
        LoginPoll, LoginStatus, Logout, NewLoginPage, Notify, Reading, Scanned, SendApp, SendText,
        StatusNotify, SyncCheck, To, UploadPiece, Wanted,
    },
    hosts, mention,
    message::{Body, DecodeOptions, Sender, Status},
    percent,
    upload::{MediaKind, Plan},
};

const OWN: &str = "@75e7ab4d1317173a621148751a8b81adf0d9ab0f25faed6f58a028d93de7cd40";
const ANNA: &str = "@5bac8dd33d9dba96f183886783a79a6f64ef3dc7ae7accfa9646687cda6a94f5";
const BO: &str = "@da2d003429f5f4efd88957cbf4ea08cec7b42fd3ca838b7ce0644b1d5e348068";
const ROOM: &str = "@@0da7991ffbf90ba51711bdafa1036aadad7ba68fd2e6c2d44a201ad082d97d70";
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36";

/// Their values change with time and chance. Source: the protocol sheet, section 8.
const IGNORED: [&str; 7] = ["r", "_", "rr", "deviceid", "DeviceID", "ClientMsgId", "LocalID"];

struct Message {
    first_line: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn read(text: &str) -> Message {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first_line = lines.next().unwrap().to_owned();
    let header =
        |line: &str| line.split_once(": ").map(|(key, value)| (key.to_lowercase(), value.to_owned()));
    Message { first_line, headers: lines.filter_map(header).collect(), body: body.trim_end().to_owned() }
}

struct Exchanged {
    name: String,
    request: Message,
    answer: Response<Bytes>,
}

fn fixture(name: &str) -> Exchanged {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcript").join(format!("{name}.http"));
    let text = fs::read_to_string(&path).unwrap();
    let text = text.split_once('\n').unwrap().1.replace("{UA}", AGENT);
    let (request, answer) = text.split_once("\n--------\n").unwrap();
    let answer = read(answer);
    let status: u16 = answer.first_line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response::builder().status(status);
    for (key, value) in &answer.headers {
        response = response.header(key, value);
    }
    Exchanged {
        name: name.to_owned(),
        request: read(request),
        answer: response.body(Bytes::from(answer.body)).unwrap(),
    }
}

fn query(url: &str) -> BTreeMap<String, String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (key.to_owned(), blank(key, percent::decode(value)))).collect()
}

fn blank(key: &str, value: String) -> String {
    if IGNORED.contains(&key) { "*".to_owned() } else { value }
}

fn scrub(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if IGNORED.contains(&key.as_str()) {
                    *value = Value::Null;
                } else {
                    scrub(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(scrub),
        _ => {}
    }
}

fn json(text: &str) -> Value {
    let mut value = serde_json::from_str(text).unwrap();
    scrub(&mut value);
    value
}

/// Compares a request with the transcript's: method, host, path, query as a set, headers, body.
fn same(ours: &Request<Bytes>, theirs: &Exchanged) {
    let what = &theirs.name;
    let mut line = theirs.request.first_line.split(' ');
    assert_eq!(ours.method().as_str(), line.next().unwrap(), "{what}");
    let target = line.next().unwrap();
    assert_eq!(ours.uri().path(), target.split('?').next().unwrap(), "{what}");
    assert_eq!(ours.uri().scheme_str(), Some("https"), "{what}");
    assert_eq!(query(&ours.uri().to_string()), query(target), "{what}");
    let mut expected: BTreeMap<&str, &str> =
        theirs.request.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(ours.uri().host(), expected.remove("host"), "{what}");
    expected.remove("cookie"); // The transport's.
    let mut present: BTreeMap<&str, &str> =
        ours.headers().iter().map(|(key, value)| (key.as_str(), value.to_str().unwrap())).collect();
    present.remove("content-length");
    assert_eq!(present, expected, "{what}");

    let body = std::str::from_utf8(ours.body()).unwrap();
    match present.get("content-type").copied().unwrap_or_default() {
        kind if kind.starts_with("application/json") => {
            assert_eq!(json(body), json(&theirs.request.body), "{what}")
        }
        kind if kind.starts_with("multipart/") => {
            let scrubbed = |text: &str| -> Vec<String> {
                let line =
                    |line: &str| if line.starts_with('{') { json(line).to_string() } else { line.to_owned() };
                text.replace("\r\n", "\n").trim_end().lines().map(line).collect()
            };
            assert_eq!(scrubbed(body), scrubbed(&theirs.request.body), "{what}");
        }
        _ => assert_eq!(body, theirs.request.body, "{what}"),
    }
}

fn credentials() -> Credentials {
    Credentials {
        uin: 1_048_576_001,
        sid: "bXk+Vt/Rz0LpWn7s".into(),
        skey: "@crypt_5a1b2c3d_00112233445566778899aabbccddeeff".into(),
        pass_ticket: "Zk3/q0vT9+fixtureTicket0123456789abcdefghij=".into(),
    }
}

fn with_call<T>(test: impl FnOnce(Call<'_>) -> T) -> T {
    let credentials = credentials();
    test(Call {
        credentials: Some(&credentials),
        family: &hosts::WX2,
        profile: Profile::Web,
        lang: "zh_CN",
        user_agent: AGENT,
        now_ms: 1_700_000_060_000,
        poll_counter_ms: 1_700_000_028_001,
        nonce: 7,
    })
}

/// Builds, compares, reads the answer.
fn replay<E: Endpoint>(endpoint: &E, name: &str) -> E::Reply {
    let theirs = fixture(name);
    with_call(|call| same(&endpoint.request(&call).unwrap(), &theirs));
    endpoint.parse(&theirs.answer).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// As before, for what happens on the entry host, without a session.
fn replay_before_login<E: Endpoint>(endpoint: &E, name: &str) -> E::Reply {
    let theirs = fixture(name);
    with_call(|call| {
        let call = Call { credentials: None, family: &hosts::WX, ..call };
        same(&endpoint.request(&call).unwrap(), &theirs);
    });
    endpoint.parse(&theirs.answer).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn key(val_2: i64, val_201: i64) -> SyncKey {
    let text = format!(
        "1_600000101|2_{val_2}|3_600000303|11_600000404|13_600000505|201_{val_201}|1000_1699996401|1001_1699996472"
    );
    SyncKey::from_text(&text).unwrap()
}

#[test]
fn the_login_replays() {
    let uuid = replay_before_login(&JsLogin, "01_jslogin").uuid.unwrap();
    assert_eq!(uuid, "gZk7Qm2XwA==");
    let first = replay_before_login(&LoginPoll { uuid: &uuid, scanned: Scanned::NotYet }, "02_login");
    assert_eq!(first, LoginStatus::Waiting);
    let later = LoginPoll { uuid: &uuid, scanned: Scanned::Asked };
    let avatar = "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==".to_owned();
    assert_eq!(replay_before_login(&later, "03_login"), LoginStatus::Scanned { avatar_base64: Some(avatar) });
    let LoginStatus::Confirmed { redirect } = replay_before_login(&later, "04_login") else {
        panic!("not confirmed")
    };
    let page = NewLoginPage { redirect: &redirect, shell: Default::default() };
    let accepted = Exchange::Accepted { family: hosts::WX2, credentials: credentials() };
    assert_eq!(replay_before_login(&page, "05_webwxnewloginpage"), accepted);
}

#[test]
fn the_start_of_the_session_replays() {
    let initial = replay(&Init, "06_webwxinit");
    assert_eq!(initial.user.user_name.as_str(), OWN);
    assert_eq!((initial.user.uin, initial.user.nick_name.decoded().as_str()), (1_048_576_001, "林一"));
    assert_eq!(initial.sync_key, key(600_000_202, 1_700_000_010));
    // item_35: groups that are in no list are named by the chats.
    let chats: Vec<UserName> = initial.chats().collect();
    assert_eq!(chats, ["filehelper".into(), ROOM.into(), ANNA.into()]);
    assert_eq!(initial.contact_list.len(), 2);
    assert_eq!(initial.invite_start_count, 40);
    assert_eq!(initial.subscriptions[0].articles[0].title.decoded(), "Hello & welcome");

    let own = UserName::new(OWN);
    let began = replay(&StatusNotify { own: &own, notify: Notify::Began }, "07_webwxstatusnotify");
    assert!(began.base.ret.is_ok());
    let anna = UserName::new(ANNA);
    replay(&StatusNotify { own: &own, notify: Notify::Read(&anna) }, "15_webwxstatusnotify");

    let first = GetContact { seq: 0 };
    let page = replay(&first, "08_1_webwxgetcontact");
    let anna = &page.member_list[0];
    assert_eq!((anna.nick_name.decoded().as_str(), anna.signature.decoded().as_str()), ("Anna 🌺", "R&D"));
    assert_eq!((anna.shown_name().as_str(), anna.head_img_seq()), ("安娜", 633_000_001));
    let second = page.next(first).unwrap();
    let page = replay(&second, "08_2_webwxgetcontact");
    assert!(page.member_list[0].is_official());
    assert!(page.next(second).is_none());

    let wanted = [Wanted::plain(ROOM.into())];
    let found = replay(&BatchGetContact { wanted: &wanted }, "09_webwxbatchgetcontact");
    let room = found.of(&ROOM.into()).unwrap();
    assert_eq!(
        (room.member_list.len(), room.encry_chat_room_id.as_str()),
        (3, "@5bfe6695d0c161e9f077b30f38780f8c")
    );
    assert_eq!(
        (room.member_list[2].shown_name().as_str(), room.member_list[2].attr_status),
        ("波", 2_147_584_103)
    );
}

#[test]
fn the_polls_replay() {
    let (first, second) = (key(600_000_202, 1_700_000_010), key(600_000_203, 1_700_000_021));
    assert!(replay(&SyncCheck { key: &first }, "10_synccheck").has_news());
    assert!(!replay(&SyncCheck { key: &second }, "12_synccheck").has_news());
    assert!(replay(&SyncCheck { key: &second }, "13_synccheck").has_news());
    assert!(replay(&SyncCheck { key: &key(600_000_204, 1_700_000_041) }, "16_1_synccheck").has_news());
    let last = replay(&SyncCheck { key: &key(600_000_207, 1_700_000_059) }, "22_1_synccheck");
    assert_eq!(last.ret, RetCode::SessionInvalid);
}

#[test]
fn the_notes_of_the_phone_replay() {
    let (mut sync, own) = (key(600_000_202, 1_700_000_010), UserName::new(OWN));
    let mut check = sync.clone();
    let changes = replay(&FetchChanges { key: &sync.clone(), reading: Reading::Whole }, "11_webwxsync");
    assert!(changes.adopt_keys(&mut sync, &mut check));
    assert_eq!(check, key(600_000_203, 1_700_000_021));
    let messages: Vec<_> =
        changes.messages.iter().map(|raw| decode(raw, &own, DecodeOptions::default())).collect();
    assert_eq!(messages[0].body, Body::Status(Status::Opened(OWN.into())));
    let chats = vec!["filehelper".into(), ROOM.into(), ANNA.into()];
    assert_eq!(messages[1].body, Body::Status(Status::Chats(chats)));
    let hints: Vec<(&str, &str)> = messages
        .iter()
        .flat_map(|message| &message.hints)
        .map(|hint| (hint.user_name.as_str(), hint.permanent.as_str()))
        .collect();
    let expected =
        [(OWN, "wxid_fixture000000"), (ROOM, "11111111111@chatroom"), (ANNA, "wxid_fixture000001")];
    assert_eq!(hints, expected);
}

#[test]
fn the_messages_replay() {
    let own = UserName::new(OWN);
    let changes = replay(
        &FetchChanges { key: &key(600_000_203, 1_700_000_021), reading: Reading::Whole },
        "14_webwxsync",
    );
    let message = decode(&changes.messages[0], &own, DecodeOptions::default());
    let text = "明天几点？\na < b && \"c\" 😄[微笑]".to_owned();
    assert_eq!(message.body, Body::Text { text, quote: None });
    assert_eq!((message.chat.as_str(), &message.sender), (ANNA, &Sender::Peer));

    let (mut sync, mut check) = (key(600_000_204, 1_700_000_041), key(600_000_204, 1_700_000_041));
    let changes = replay(&FetchChanges { key: &sync.clone(), reading: Reading::Whole }, "16_2_webwxsync");
    assert!(changes.adopt_keys(&mut sync, &mut check));
    assert_eq!((sync, check), (key(600_000_207, 1_700_000_058), key(600_000_207, 1_700_000_059)));
    assert_eq!(changes.modified[0].owner(), Some(&ANNA.into()));
    let messages: Vec<_> =
        changes.messages.iter().map(|raw| decode(raw, &own, DecodeOptions::default())).collect();
    assert!(messages.iter().all(|message| message.chat.as_str() == ROOM));
    let Body::Text { text, .. } = &messages[0].body else { panic!("no text") };
    assert_eq!(text, "@阿林\u{2005} 带水了吗？见 http://example.com/a:\n第二行");
    assert_eq!(messages[0].sender, Sender::Member(BO.into()));
    assert!(mention::mentions(text, &["阿林", "林一"]));
    assert_eq!(messages[1].sender, Sender::Member(ANNA.into()));
    let Body::Image(image) = &messages[1].body else { panic!("no image") };
    assert_eq!((image.bytes, image.thumb_width, image.thumb_height), (48_213, 90, 120));
    assert_eq!(messages[2].sender, Sender::Own);
    assert_eq!(messages[2].body, Body::Text { text: "带了".into(), quote: None });
}

#[test]
fn the_end_of_the_session_replays() {
    let key = key(600_000_207, 1_700_000_058);
    let (mut sync, mut check) = (key.clone(), key.clone());
    let changes = replay(&FetchChanges { key: &key, reading: Reading::Whole }, "22_2_webwxsync");
    assert!(changes.base.ret.ends_session() && !changes.adopt_keys(&mut sync, &mut check));
    assert_eq!((&sync, &check), (&key, &key));
    replay(&Logout::default(), "21_webwxlogout");
}

#[test]
fn the_sends_replay() {
    let (own, anna, room) = (UserName::new(OWN), UserName::new(ANNA), UserName::new(ROOM));
    let id = ClientMsgId::new(1_700_000_060_000, 123);
    let to = To { own: &own, to: &anna, id: &id };
    let sent = replay(&SendText { to, text: "好的，9点见 <3 & 😀\n第二行" }, "18_webwxsendmsg");
    assert_eq!((sent.msg_id.as_str(), sent.local_id.as_str()), ("7294813305518270465", id.as_str()));

    let nobody = UserName::new(format!("@{}", "0".repeat(64)));
    let refused = replay(&SendText { to: To { to: &nobody, ..to }, text: "x" }, "20_webwxsendmsg");
    assert_eq!(refused.base.ret, RetCode::System);

    let source = AppSource::File {
        media_id: "@crypt_5a1b2c3d_810e22eac981a0e88d50fa07e40d3477",
        name: "notes.txt",
        bytes: 11,
        signature: None,
    };
    let sent = replay(&SendApp { to: To { to: &room, ..to }, source }, "19_2_webwxsendappmsg");
    assert_eq!(sent.msg_id.as_str(), "7294813305518270466");
}

#[test]
fn the_media_replay() {
    let id = wechat_proto::MsgId::new("7294813305518270463");
    replay(&GetMsgImg { msg_id: &id, size: ImageSize::Big }, "17_webwxgetmsgimg");
    let (own, room, ticket) = (UserName::new(OWN), UserName::new(ROOM), "gQfixtureDataTicket00001".into());
    let plan = Plan {
        name: "notes.txt",
        mime: "text/plain",
        total_bytes: 11,
        md5: "3f6285001afda20fcf47d95ed4653df9",
        kind: MediaKind::of_name("notes.txt"),
        own: &own,
        to: &room,
        client_media_id: 1_700_000_062_000,
        file_number: 0,
        last_modified: "Tue Nov 14 2023 22:13:20 GMT+0800 (CST)",
        data_ticket: &ticket,
        checked: None,
        boundary: "----webwxFixtureBoundary",
    };
    let piece = UploadPiece { plan: &plan, index: 0, bytes: Bytes::from_static(b"hello webwx") };
    let uploaded = replay(&piece, "19_1_webwxuploadmedia");
    assert_eq!(uploaded.media_id, "@crypt_5a1b2c3d_810e22eac981a0e88d50fa07e40d3477");
}
