//! Downloads and uploads.

use serde_json::{Value, json};
use wxgate_simulator::{Kind, Who, World};

use crate::browser::{Answer, Browser, encode, no_violations, seen, world};

fn md5(data: &[u8]) -> String {
    use md5::Digest;
    md5::Md5::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn fetch(browser: &mut Browser, name: &str, id: u64, extra: &str) -> Answer {
    let path = format!("/cgi-bin/mmwebwx-bin/{name}?msgid={id}&skey={}", encode(&browser.skey));
    browser.ask("GET", "wx2.qq.com", &path, extra, b"").await
}

#[tokio::test]
async fn files_of_messages_are_real_and_the_same_as_in_the_ledger() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let say = |kind| world.say("a", Who::Contact(1), Who::Contact(1), kind).unwrap().msg_id;
    let (image, voice, video) = (say(Kind::Image), say(Kind::Voice), say(Kind::Video));
    let name = "notes.pdf".into();
    let file = say(Kind::File { name });
    let got = fetch(&mut browser, "webwxgetmsgimg", image, "").await;
    assert_eq!(got.body, world.media("a", image).unwrap());
    let entry = world.ledger("a", 0, 1).unwrap().remove(0);
    assert_eq!(entry.media_md5.as_deref(), Some(md5(&got.body).as_str()));
    assert!(fetch(&mut browser, "webwxgetvoice", voice, "").await.body.starts_with(&[0xff, 0xfb]));
    let film = fetch(&mut browser, "webwxgetvideo", video, "Range: bytes=0-\r\n").await;
    assert_eq!((film.status, &film.body[4..8]), (206, &b"ftyp"[..]));
    let value = browser.sync().await;
    let message = value["AddMsgList"].as_array().unwrap().last().unwrap().clone();
    let path = format!(
        "/cgi-bin/mmwebwx-bin/webwxgetmedia?sender={}&mediaid={}&encryfilename={}&fromuser={}&pass_ticket={}&webwx_data_ticket={}",
        message["FromUserName"].as_str().unwrap(),
        encode(message["MediaId"].as_str().unwrap()),
        encode(message["EncryFileName"].as_str().unwrap()),
        browser.cookies["wxuin"],
        encode(&browser.ticket),
        encode(&browser.cookies["webwx_data_ticket"])
    );
    let got = browser.get("file.wx2.qq.com", &path).await;
    assert_eq!(got.body, world.media("a", file).unwrap());
    assert_eq!(got.body.len().to_string(), message["FileSize"].as_str().unwrap());
    let who = world.user_name("a", Who::Contact(1)).unwrap();
    let path =
        format!("/cgi-bin/mmwebwx-bin/webwxgeticon?seq=1&username={who}&skey={}", encode(&browser.skey));
    assert!(browser.get("wx2.qq.com", &path).await.body.starts_with(&[0xff, 0xd8]));
    no_violations(&world);
    assert_eq!(fetch(&mut browser, "webwxgetvideo", video, "").await.body, b"");
    assert_eq!(seen(&world), ["webwxgetvideo without Range"]);
}

struct Piece<'a> {
    data: &'a [u8],
    total: usize,
    md5: String,
    chunk: Option<(usize, usize)>,
    media_type: &'a str,
    extra: Value,
}

async fn upload(browser: &mut Browser, piece: &Piece<'_>) -> Answer {
    let mut request = json!({
        "UploadType": 2, "BaseRequest": browser.base_request(), "ClientMediaId": 1_700_000_062_000_u64,
        "TotalLen": piece.total, "StartPos": 0, "DataLen": piece.total, "MediaType": 4,
        "FromUserName": browser.own, "ToUserName": "filehelper", "FileMd5": piece.md5
    });
    for (name, value) in piece.extra.as_object().unwrap() {
        request[name] = value.clone();
    }
    let mut fields = vec![
        ("id", "WU_FILE_0".to_owned()),
        ("name", "a.bin".to_owned()),
        ("type", "application/octet-stream".to_owned()),
        ("lastModifiedDate", "Tue Nov 14 2023".to_owned()),
        ("size", piece.total.to_string()),
    ];
    if let Some((chunk, chunks)) = piece.chunk {
        fields.push(("chunks", chunks.to_string()));
        fields.push(("chunk", chunk.to_string()));
    }
    fields.push(("mediatype", piece.media_type.to_owned()));
    fields.push(("uploadmediarequest", request.to_string()));
    fields.push(("webwx_data_ticket", browser.cookies["webwx_data_ticket"].clone()));
    fields.push(("pass_ticket", browser.ticket.clone()));
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes(),
        );
    }
    body.extend(b"--B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n");
    body.extend(piece.data);
    body.extend(b"\r\n--B--\r\n");
    browser
        .ask(
            "POST",
            "file.wx2.qq.com",
            "/cgi-bin/mmwebwx-bin/webwxuploadmedia?f=json",
            "Content-Type: multipart/form-data; boundary=B\r\n",
            &body,
        )
        .await
}

fn whole<'a>(data: &'a [u8], media_type: &'a str) -> Piece<'a> {
    Piece { data, total: data.len(), md5: md5(data), chunk: None, media_type, extra: json!({}) }
}

async fn signed_in() -> (World, wxgate_simulator::ServerHandle, Browser) {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    (world, server, browser)
}

#[tokio::test]
async fn a_small_upload_can_be_sent_as_image_and_as_file() {
    let (world, _server, mut browser) = signed_in().await;
    let data = b"hello webwx";
    let image =
        upload(&mut browser, &whole(data, "pic")).await.json()["MediaId"].as_str().unwrap().to_owned();
    let mut body = browser.message(3, "filehelper", "", "17000000600000001");
    body["Msg"]["MediaId"] = json!(image);
    assert_eq!(browser.call("webwxsendmsgimg", "fun=async&f=json", body).await.ret(), 0);
    let doc = upload(&mut browser, &whole(data, "doc")).await.json()["MediaId"].as_str().unwrap().to_owned();
    let xml = format!(
        "<appmsg appid='wxeb7ec651dd0aefa9' sdkver=''><title>a &amp; b.txt</title><des></des><action></action><type>6</type><content></content><url></url><lowurl></lowurl><appattach><totallen>11</totallen><attachid>{doc}</attachid><fileext>txt</fileext></appattach><extinfo></extinfo></appmsg>"
    );
    let body = browser.message(6, "filehelper", &xml, "17000000600000002");
    assert_eq!(browser.call("webwxsendappmsg", "fun=async&f=json", body).await.ret(), 0);
    let entries = world.ledger("a", 0, 10).unwrap();
    let told: Vec<_> =
        entries.iter().map(|entry| (entry.kind, &*entry.text, entry.media_md5.as_deref())).collect();
    let sum = md5(data);
    assert_eq!(told, [("image", "", Some(sum.as_str())), ("file", "a & b.txt", Some(sum.as_str()))]);
    no_violations(&world);
}

#[tokio::test]
async fn pieces_come_in_order_and_only_the_last_yields_a_media_id() {
    let (world, _server, mut browser) = signed_in().await;
    let data: Vec<u8> = (0..1_100_000_u32).map(|at| (at % 251) as u8).collect();
    let sum = md5(&data);
    let mut ids = Vec::new();
    for (at, piece) in data.chunks(524_288).enumerate() {
        let piece = Piece {
            data: piece,
            total: data.len(),
            md5: sum.clone(),
            chunk: Some((at, 3)),
            media_type: "doc",
            extra: json!({}),
        };
        ids.push(upload(&mut browser, &piece).await.json()["MediaId"].as_str().unwrap().len());
    }
    assert_eq!((ids[0], ids[1]), (0, 0));
    assert!(ids[2] > 0);
    no_violations(&world);
    let skipped = Piece {
        data: &data[..524_288],
        total: data.len(),
        md5: sum,
        chunk: Some((1, 3)),
        media_type: "doc",
        extra: json!({}),
    };
    assert_eq!(upload(&mut browser, &skipped).await.ret(), 1);
    assert_eq!(upload(&mut browser, &whole(&data[..600_000], "doc")).await.status, 502);
    let mut wrong = whole(b"abc", "doc");
    wrong.md5 = md5(b"abd");
    assert_eq!(upload(&mut browser, &wrong).await.ret(), 1);
    assert_eq!(upload(&mut browser, &whole(b"", "doc")).await.ret(), 1);
    assert!(seen(&world).iter().any(|what| what == "piece larger than 524288 bytes"));
}

#[tokio::test]
async fn above_25_mb_the_service_wants_what_checkupload_issued() {
    let (world, _server, mut browser) = signed_in().await;
    let sum = md5(b"large");
    let piece = vec![7; 524_288];
    let mut large = Piece {
        data: &piece,
        total: 27_000_000,
        md5: sum.clone(),
        chunk: Some((0, 52)),
        media_type: "doc",
        extra: json!({}),
    };
    assert_eq!(upload(&mut browser, &large).await.ret(), 1);
    assert_eq!(seen(&world), ["file above 25 MB without AESKey and Signature"]);
    world.clear_violations();
    let body = json!({
        "FromUserName": browser.own, "ToUserName": "filehelper", "FileSize": 27_000_000,
        "FileMd5": sum, "FileName": "big.zip", "FileType": 7
    });
    let issued = browser.call("webwxcheckupload", "", body).await.json();
    large.extra = json!({"AESKey": issued["AESKey"], "Signature": issued["Signature"]});
    assert_eq!(upload(&mut browser, &large).await.ret(), 0);
    no_violations(&world);
}
