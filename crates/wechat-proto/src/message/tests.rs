use super::{
    app::{Link, Quoted, Transfer},
    body::{CallEvent, Unsupported},
    *,
};
use crate::raw_message::RecommendInfo;

const OWN: &str = "@self";

fn raw(msg_type: i64, from: &str, to: &str, content: &str) -> RawMessage {
    RawMessage {
        msg_id: MsgId::new("7294813305518270461"),
        msg_type,
        from_user_name: from.into(),
        to_user_name: to.into(),
        content: content.into(),
        ..RawMessage::default()
    }
}

fn read(raw: &RawMessage) -> Message {
    decode(raw, &OWN.into(), DecodeOptions::default())
}

/// XML as it is on the wire: escaped, line breaks as `<br/>`.
fn wire(xml: &str) -> String {
    xml.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br/>")
}

fn app(app_msg_type: i64, inside: &str) -> Body {
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<msg>\n\t<appmsg appid=\"\">{inside}</appmsg><fromusername>wxid_fixture000001</fromusername></msg>"
    );
    read(&RawMessage { app_msg_type, ..raw(msg_type::APP, "@anna", OWN, &wire(&xml)) }).body
}

fn text(body: &Body) -> &str {
    match body {
        Body::Text { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn item_72_chat_and_sender_follow_from_who_speaks_to_whom() {
    for (from, to, content, chat, sender) in [
        ("@anna", OWN, "x", "@anna", Sender::Peer),
        (OWN, "@anna", "x", "@anna", Sender::Own),
        ("", "@anna", "x", "@anna", Sender::Own),
        ("@@r", OWN, "@bo:<br/>x", "@@r", Sender::Member("@bo".into())),
        ("@@r", OWN, "@self:<br/>x", "@@r", Sender::Own),
        ("@@r", OWN, "@@r:<br/>x", "@@r", Sender::Unknown),
        (OWN, "@@r", "x", "@@r", Sender::Own),
        (OWN, "filehelper", "x", "filehelper", Sender::Own),
    ] {
        let message = read(&raw(msg_type::TEXT, from, to, content));
        assert_eq!(
            (message.chat.as_str(), &message.sender, text(&message.body)),
            (chat, &sender, "x"),
            "{from} {to}"
        );
    }
}

#[test]
fn item_49_a_group_message_without_a_prefix_is_nobodys() {
    let message = read(&raw(msg_type::TEXT, "@@r", OWN, "no prefix here"));
    assert_eq!((message.sender, text(&message.body)), (Sender::Unknown, "no prefix here"));
}

#[test]
fn item_48_our_own_text_in_a_group_has_no_prefix_to_split() {
    let message = read(&raw(msg_type::TEXT, OWN, "@@r", "@bo:<br/>x"));
    assert_eq!((message.sender, text(&message.body)), (Sender::Own, "@bo:\nx"));
}

#[test]
fn item_52_breaks_and_spans_inside_xml_do_not_lose_the_message() {
    let title = "<title>Hi <span class=\"emoji emoji1f604\"></span> a &amp;amp; b</title>".to_owned();
    let content = format!(
        "&lt;msg&gt;<br/>\t&lt;appmsg&gt;{}&lt;url&gt;http://e.com/?a=1&amp;amp;b=2&lt;/url&gt;&lt;/appmsg&gt;<br/>&lt;/msg&gt;",
        title.replace("<title>", "&lt;title&gt;").replace("</title>", "&lt;/title&gt;")
    );
    let body = read(&RawMessage { app_msg_type: 5, ..raw(msg_type::APP, "@a", OWN, &content) }).body;
    let Body::App(App::Link(link)) = body else { panic!("{body:?}") };
    assert_eq!((link.title.as_str(), link.url.as_str()), ("Hi 😄 a & b", "http://e.com/?a=1&b=2"));
}

#[test]
fn item_55_a_text_with_a_url_is_no_location() {
    let link = RawMessage {
        url: "http://example.com".into(),
        ..raw(msg_type::TEXT, "@a", OWN, "http://example.com")
    };
    assert_eq!(text(&read(&link).body), "http://example.com");
}

fn location(from: &str, to: &str, content: &str) -> xml_body::Location {
    let message = RawMessage {
        sub_msg_type: msg_type::LOCATION,
        url: "http://apis.map.qq.com/uri/v1/geocoder?coord=31.230416,121.473701".into(),
        ori_content: "<?xml version=\"1.0\"?>\n<msg>\n\t<location x=\"31.230416\" y=\"121.473701\" scale=\"16\" label=\"Example Street 1\" maptype=\"0\" poiname=\"[位置]\" />\n</msg>\n".into(),
        ..raw(msg_type::TEXT, from, to, content)
    };
    let mut bare = message.clone();
    bare.ori_content = String::new();
    let (Body::Location(full), Body::Location(bare)) = (read(&message).body, read(&bare).body) else {
        panic!()
    };
    assert_eq!(
        (&bare.latitude, &bare.longitude, &bare.label),
        (&full.latitude, &full.longitude, &full.label)
    );
    full
}

#[test]
fn locations_are_read_with_and_without_their_xml() {
    let tail =
        "Example Street 1:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&msgid=7&pictype=location";
    for (from, to, content) in [
        ("@a", OWN, tail.to_owned()),
        ("@@r", OWN, format!("@bo:<br/>{tail}")),
        (OWN, "@@r", tail.to_owned()),
    ] {
        let place = location(from, to, &content);
        assert_eq!((place.latitude.as_str(), place.longitude.as_str()), ("31.230416", "121.473701"));
        assert_eq!((place.label.as_str(), place.name.as_str()), ("Example Street 1", ""));
        assert!(place.xml.contains("<location"));
    }
}

#[test]
fn item_56_a_revoke_names_the_message_by_msgid() {
    let xml = "<sysmsg type=\"revokemsg\"><revokemsg><session>wxid_fixture000001</session><oldmsgid>1600000001</oldmsgid><msgid>7294813305518270463</msgid><replacemsg><![CDATA[\"Anna <span class=\"emoji emoji1f33a\"></span>\" 撤回了一条消息]]></replacemsg></revokemsg></sysmsg>";
    let message = read(&raw(msg_type::RECALLED, "@anna", OWN, &wire(xml)));
    let Body::Revoke(revoke) = &message.body else { panic!("{:?}", message.body) };
    assert_eq!(revoke.target, Some(MsgId::new("7294813305518270463")));
    assert_eq!(revoke.replacement, "\"Anna 🌺\" 撤回了一条消息");
    assert_eq!(message.hints[0].permanent.as_str(), "wxid_fixture000001");
    assert!(!message.is_chat());

    let last = xml.replace("7294813305518270463", "0");
    let Body::Revoke(revoke) = read(&raw(msg_type::RECALLED, "@anna", OWN, &wire(&last))).body else {
        panic!()
    };
    assert_eq!(revoke.target, None);

    let group = xml.replace("wxid_fixture000001", "11111111111@chatroom");
    let message = read(&raw(msg_type::RECALLED, "@@r", OWN, &format!("@bo:<br/>{}", wire(&group))));
    assert_eq!((message.sender, message.hints[0].user_name.as_str()), (Sender::Member("@bo".into()), "@@r"));
    let other = read(&raw(msg_type::RECALLED, "@a", OWN, &wire("<sysmsg type=\"x\"><y/></sysmsg>"))).body;
    assert_eq!(other, Body::OtherSystem);
}

#[test]
fn item_57_what_is_not_said_by_anybody_is_no_chat_message() {
    for (number, content) in [(10000, "收到红包，请在手机上查看"), (51, ""), (9999, "x")] {
        assert!(!read(&raw(number, "@@r", OWN, content)).is_chat(), "{number}");
    }
    assert!(read(&raw(1, "@a", OWN, "x")).is_chat());
}

#[test]
fn item_58_unknown_types_are_values() {
    for number in [0, 2, 38, 4711, -1, i64::MAX] {
        let body = read(&raw(number, "@a", OWN, "secret")).body;
        assert!(matches!(body, Body::Unsupported(Unsupported { msg_type, .. }) if msg_type == number));
    }
    assert!(matches!(app(999, "<title>t</title>"), Body::Unsupported(Unsupported { app_msg_type: 999, .. })));
}

#[test]
fn item_59_all_articles_are_read() {
    let reader = "<mmreader><category type=\"20\" count=\"2\"><item><title><![CDATA[First]]></title><url><![CDATA[http://example.com/1]]></url><pub_time>1700000000</pub_time><cover><![CDATA[http://example.com/1.jpg|300|150]]></cover><digest><![CDATA[d1]]></digest></item><item><title><![CDATA[Second]]></title><shorturl><![CDATA[http://example.com/2]]></shorturl></item></category></mmreader>";
    let Body::App(App::Articles(articles)) = app(5, reader) else { panic!() };
    let shown: Vec<_> =
        articles.iter().map(|a| (a.title.as_str(), a.url.as_str(), a.cover.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("First", "http://example.com/1", "http://example.com/1.jpg"),
            ("Second", "http://example.com/2", "")
        ]
    );
    assert_eq!(articles[0].published_s, 1_700_000_000);
    let news = read(&raw(msg_type::TEXT, "newsapp", OWN, &wire(reader))).body;
    assert!(matches!(news, Body::News(articles) if articles.len() == 2));
}

#[test]
fn item_60_a_prompt_is_flagged() {
    let prompt = "[收到一条网页版微信暂不支持的消息类型，请在手机上查看]";
    let as_app = read(&raw(msg_type::APP, "@a", OWN, prompt)).body;
    let as_text = read(&raw(msg_type::TEXT, "@a", OWN, prompt)).body;
    for body in [as_app, as_text] {
        assert!(matches!(body, Body::Unsupported(Unsupported { is_prompt: true, .. })), "{body:?}");
    }
}

#[test]
fn every_app_type_of_the_table_has_its_body() {
    let link = Link { title: "T".into(), url: "http://e.com".into(), ..Link::default() };
    let inside = "<title>T</title><url>http://e.com</url>";
    for (number, expected) in [
        (1, App::Text { text: "T".into() }),
        (2, App::Image { title: "T".into() }),
        (3, App::Music { link: link.clone(), data_url: String::new() }),
        (4, App::Video(link.clone())),
        (5, App::Link(link.clone())),
        (7, App::Other { kind: 7, link: link.clone() }),
        (8, App::Emoji),
        (9, App::Other { kind: 9, link: link.clone() }),
        (10, App::Other { kind: 10, link: link.clone() }),
        (13, App::Other { kind: 13, link: link.clone() }),
        (15, App::Other { kind: 15, link: link.clone() }),
        (16, App::Other { kind: 16, link: link.clone() }),
        (17, App::LiveLocation { title: "T".into() }),
        (19, App::ChatHistory { title: "T".into(), preview: String::new() }),
        (33, App::MiniProgram { link: link.clone(), program: String::new() }),
        (36, App::MiniProgram { link: link.clone(), program: String::new() }),
        (2001, App::RedPacket { text: "T".into() }),
    ] {
        assert!(app(number, inside) == Body::App(expected), "{number}");
        assert!(
            app(0, &format!("{inside}<type>{number}</type>")) == app(number, inside),
            "{number} by its XML"
        );
    }
}

#[test]
fn files_quotes_and_transfers_are_read() {
    let attach = "<title>a &amp; b.pdf</title><appattach><totallen>48213</totallen><attachid>@crypt_x</attachid></appattach>";
    let Body::App(App::File(file)) = app(6, attach) else { panic!() };
    assert_eq!((file.name.as_str(), file.bytes, file.media_id.as_str()), ("a & b.pdf", 48_213, "@crypt_x"));
    assert!(file.is_downloadable);

    let quote = "<title>the reply</title><type>57</type><refermsg><type>1</type><svrid>7294813305518270461</svrid><fromusr>wxid_a</fromusr><displayname>Anna</displayname><content>quoted</content></refermsg>";
    let quoted = Quoted {
        id: Some(MsgId::new("7294813305518270461")),
        name: "Anna".into(),
        text: "quoted".into(),
        msg_type: 1,
    };
    assert!(app(57, quote) == Body::App(App::Quote { text: "the reply".into(), quoted }));

    let money = "<title><![CDATA[微信转账]]></title><des><![CDATA[收到转账50.00元。]]></des><wcpayinfo><paysubtype>1</paysubtype><feedesc><![CDATA[￥50.00]]></feedesc></wcpayinfo>";
    let transfer = Transfer {
        amount: "￥50.00".into(),
        memo: String::new(),
        description: "收到转账50.00元。".into(),
        subtype: 1,
    };
    assert!(app(2000, money) == Body::App(App::Transfer(transfer)));
}

#[test]
fn names_inside_of_media_say_nothing_about_who_sends_them() {
    for (number, xml) in [
        (34, "<msg><voicemsg voicelength=\"1580\" fromusername=\"wxid_fixture000001\" /></msg>"),
        (43, "<msg><videomsg playlength=\"30\" fromusername=\"wxid_fixture000001\" /></msg>"),
        (
            47,
            "<msg><emoji fromusername = \"wxid_fixture000001\" type=\"2\" md5=\"0cc175b9c0f1b6a831c399e269772661\" width= \"240\" ></emoji></msg>",
        ),
        (49, "<msg><appmsg><title>t</title></appmsg><fromusername>wxid_fixture000001</fromusername></msg>"),
    ] {
        let message = read(&raw(number, "@@r", OWN, &format!("@bo:<br/>{}", wire(xml))));
        assert!(message.hints.is_empty(), "{number}");
        match message.body {
            Body::Voice(voice) => assert_eq!(voice.duration_ms, 1580),
            Body::Video(video) => assert_eq!(video.duration_s, 30),
            Body::Sticker(sticker) => assert_eq!((sticker.is_animated, sticker.width), (true, 240)),
            _ => assert_eq!(number, 49),
        }
    }
    let passed_on =
        "<msg><emoji fromusername=\"wxid_fixture000001\" tousername=\"wxid_fixture000002\" md5=\"x\"/></msg>";
    assert!(read(&raw(47, OWN, "@a", &wire(passed_on))).hints.is_empty());
}

#[test]
fn a_sticker_of_the_store_can_only_be_seen_on_the_phone() {
    for message in [
        raw(47, "@a", OWN, ""),
        RawMessage { has_product_id: 1, ..raw(47, "@a", OWN, &wire("<msg><emoji md5=\"x\"/></msg>")) },
    ] {
        let Body::Sticker(sticker) = read(&message).body else { panic!() };
        assert!(sticker.is_store && sticker.md5.is_empty());
    }
}

#[test]
fn cards_and_requests_name_the_person_and_the_ticket() {
    let info = RecommendInfo {
        user_name: "@stranger".into(),
        nick_name: "Bo <span class=\"emoji emoji1f604\"></span>".into(),
        content: "我是Bo".into(),
        ticket: "v4_000b@stranger".into(),
        scene: 14,
        ..RecommendInfo::default()
    };
    let xml = wire(
        "<msg fromusername=\"wxid_fixture000003\" fromnickname=\"Bo\" content=\"x\" ticket=\"v2_00@stranger\" sex=\"1\"/>",
    );
    let message = read(&RawMessage { recommend_info: info.clone(), ..raw(37, "fmessage", OWN, &xml) });
    let Body::FriendRequest(request) = &message.body else { panic!() };
    assert_eq!((request.card.nick_name.as_str(), request.greeting.as_str()), ("Bo 😄", "我是Bo"));
    assert_eq!((request.ticket.as_str(), request.card.sex, request.is_own), ("v4_000b@stranger", 1, false));
    assert_eq!(message.hints[0].user_name.as_str(), "@stranger");

    let card = read(&RawMessage {
        recommend_info: info,
        ..raw(42, "@a", OWN, &wire("<msg username=\"wxid_fixture000003\" alias=\"bo_fixture\"/>"))
    });
    let Body::Card(shown) = &card.body else { panic!() };
    assert_eq!(shown.alias, "bo_fixture");
    assert!(card.hints.is_empty(), "whoever sends a card writes what is in it");
}

#[test]
fn calls_are_known_without_their_xml() {
    for (number, event) in [(50, CallEvent::Call), (52, CallEvent::Ended), (53, CallEvent::Invited)] {
        assert_eq!(read(&raw(number, "@a", OWN, "<x")).body, Body::Call(event));
    }
}

#[test]
fn ids_are_paired_only_if_the_lists_have_the_same_length() {
    let note = |names: &str| {
        let xml = "<msg>\n<op id='4'>\n<username>filehelper,1@chatroom,wxid_a</username>\n</op>\n</msg>";
        read(&RawMessage {
            status_notify_code: 4,
            status_notify_user_name: names.into(),
            ..raw(51, OWN, OWN, &wire(xml))
        })
    };
    assert_eq!(note("filehelper,@@r,@a").hints.len(), 2);
    assert!(note("filehelper,@@r").hints.is_empty());
    assert!(note("filehelper,@a,@@r").hints.is_empty(), "groups only with groups");
    let silent = read(&RawMessage { status_notify_code: 9, ..raw(51, OWN, "filehelper", "") });
    assert_eq!(silent.body, Body::Status(Status::Other(9)));
}

#[test]
fn debug_shows_no_text() {
    let message = read(&raw(1, "@a", OWN, "geheim"));
    assert!(!format!("{message:?} {:?}", raw(1, "@a", OWN, "geheim")).contains("geheim"));
}
