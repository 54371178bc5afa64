//! What crosses, in both directions.

use bytes::Bytes;
use serde_json::{Value, json};
use wxgate_contract::conformance::Harm;
use wxgate_contract::{
    Attachment, AttachmentKind, Body, Job, MediaId, MediaVault, Mention, Outcome, PostId, Quote,
};

use super::scene::{ALICE, Scene, by, post};
use super::stub::{Fault, PATIENCE};

fn attachment(kind: AttachmentKind, media: MediaId) -> Attachment {
    Attachment {
        media,
        kind,
        name: "照片.png".to_owned(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    }
}

fn store(scene: &Scene, media: MediaId, bytes: &[u8]) {
    scene.double.put_media(media, "照片.png", "image/png", bytes.to_vec());
}

fn png(width: u32, height: u32, padding: usize) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend(vec![7; padding]);
    png
}

fn last(scene: &Scene, room_id: &str, kind: &str) -> Value {
    scene.stub().world().events(room_id, kind).last().cloned().unwrap()
}

#[tokio::test]
async fn a_picture_is_uploaded_and_shown_with_what_is_known_of_it() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let media = MediaId([1; 16]);
    store(&scene, media, &png(640, 480, 200_000));
    let file = Attachment { caption: "look".to_owned(), ..attachment(AttachmentKind::Image, media) };
    scene.deliver(post("g1", "p", by("p-bob", "Bob"), Body::Attachment(file))).await;
    let content = last(&scene, &room_id, "m.room.message")["content"].clone();
    assert_eq!((&content["msgtype"], &content["body"]), (&json!("m.image"), &json!("look")));
    assert_eq!(content["filename"], "照片.png");
    assert_eq!(content["info"], json!({ "mimetype": "image/png", "size": 200_024, "w": 640, "h": 480 }));
    let (name, mime, bytes) = scene.stub().world().media[content["url"].as_str().unwrap()].clone();
    assert_eq!((name.as_str(), mime.as_str(), bytes.len()), ("照片.png", "image/png", 200_024));
    scene.end().await;
}

#[tokio::test]
async fn a_video_is_shown_with_the_cover_that_its_network_made() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let (video, cover) = (MediaId([1; 16]), MediaId([2; 16]));
    scene.double.put_media(video, "v.mp4", "video/mp4", b"....ftypisom".to_vec());
    let told = Attachment { width_px: 640, height_px: 360, ..attachment(AttachmentKind::Video, video) };
    let file = Attachment { poster: Some(cover), ..told };
    let announced = wxgate_contract::PendingMedia {
        media: cover,
        source: Bytes::from_static(b"{}"),
        name: String::new(),
        mime: String::new(),
    };
    let batch = wxgate_contract::Batch { media: vec![announced], ..Default::default() };
    wxgate_contract::FarEnd::commit(&scene.double, &"wechat:alice".into(), batch).await.unwrap();
    // The cover is awaited for a moment, and the video is shown without it when there is none.
    let delivery = scene.delivery(post("g1", "v", by("p-bob", "Bob"), Body::Attachment(file.clone())));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.double.fail(cover, "there is none").await.unwrap();
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    let plain = last(&scene, &room_id, "m.room.message")["content"]["info"].clone();
    assert_eq!((&plain["w"], plain.get("thumbnail_url")), (&json!(640), None));
    scene.double.put_media(cover, "cover.jpg", "image/png", png(160, 90, 100));
    scene.deliver(post("g1", "v2", by("p-bob", "Bob"), Body::Attachment(file))).await;
    let info = last(&scene, &room_id, "m.room.message")["content"]["info"].clone();
    let about = json!({ "mimetype": "image/png", "size": 124, "w": 160, "h": 90 });
    assert_eq!((&info["thumbnail_info"], &info["w"], &info["h"]), (&about, &json!(640), &json!(360)));
    assert!(scene.stub().world().media.contains_key(info["thumbnail_url"].as_str().unwrap()));
    scene.end().await;
}

/// A whole picture of one colour, its bytes not compressed.
/// Source: PNG specification, third edition, section 5; RFC 1950 and RFC 1951, section 3.2.4.
#[cfg(feature = "previews")]
fn whole_png(width: u32, height: u32) -> Vec<u8> {
    fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut crc = u32::MAX;
        for byte in kind.iter().chain(body) {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
        }
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes()[..], kind, body, &(!crc).to_be_bytes()].concat()
    }
    let row = [vec![0], vec![200; width as usize * 3]].concat();
    let data = row.repeat(height as usize);
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let mut stream = vec![0x78, 0x01];
    for (n, block) in data.chunks(60_000).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from((n + 1) * 60_000 >= data.len()));
        stream.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        stream.extend(block);
    }
    stream.extend((b << 16 | a).to_be_bytes());
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let chunks = [chunk(b"IHDR", &head), chunk(b"IDAT", &stream), chunk(b"IEND", b"")].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks].concat()
}

#[cfg(feature = "previews")]
#[tokio::test]
async fn a_large_picture_is_shown_in_small_first() {
    let scene = Scene::start_with(|config| config.previews = wxgate_matrix::Previews::On).await;
    let room_id = scene.open_group().await;
    let (media, sticker) = (MediaId([1; 16]), MediaId([2; 16]));
    store(&scene, media, &whole_png(1000, 400));
    store(&scene, sticker, &whole_png(100, 100));
    let file = attachment(AttachmentKind::Image, media);
    scene.deliver(post("g1", "p", by("p-bob", "Bob"), Body::Attachment(file.clone()))).await;
    let info = last(&scene, &room_id, "m.room.message")["content"]["info"].clone();
    assert_eq!((&info["w"], &info["h"]), (&json!(1000), &json!(400)));
    assert_eq!(info["xyz.amorgan.blurhash"].as_str().map(str::len), Some(28), "{info}");
    let about = &info["thumbnail_info"];
    assert_eq!(
        (&about["w"], &about["h"], &about["mimetype"]),
        (&json!(500), &json!(200), &json!("image/jpeg"))
    );
    let (_, mime, bytes) = scene.stub().world().media[info["thumbnail_url"].as_str().unwrap()].clone();
    assert_eq!((mime.as_str(), json!(bytes.len())), ("image/jpeg", about["size"].clone()));
    let file = attachment(AttachmentKind::Sticker, sticker);
    scene.deliver(post("g1", "s", by("p-bob", "Bob"), Body::Attachment(file))).await;
    let info = last(&scene, &room_id, "m.sticker")["content"]["info"].clone();
    assert!(info["xyz.amorgan.blurhash"].is_string() && info.get("thumbnail_url").is_none(), "{info}");
    scene.end().await;
}

#[tokio::test]
async fn voice_and_stickers_have_events_of_their_own() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let (voice, sticker) = (MediaId([1; 16]), MediaId([2; 16]));
    store(&scene, voice, b"ID3 no real voice");
    store(&scene, sticker, b"GIF89a\x10\x00\x20\x00");
    let file = Attachment { duration_ms: 3000, ..attachment(AttachmentKind::Voice, voice) };
    scene.deliver(post("g1", "v", by("p-bob", "Bob"), Body::Attachment(file))).await;
    let content = last(&scene, &room_id, "m.room.message")["content"].clone();
    assert_eq!(content["msgtype"], "m.audio");
    assert!(content["org.matrix.msc3245.voice"].is_object());
    assert_eq!(content["info"]["duration"], 3000);
    let file = attachment(AttachmentKind::Sticker, sticker);
    scene.deliver(post("g1", "s", by("p-bob", "Bob"), Body::Attachment(file))).await;
    assert!(last(&scene, &room_id, "m.sticker")["content"]["url"].is_string());
    scene.end().await;
}

#[tokio::test]
async fn a_file_that_is_on_its_way_is_waited_for() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let media = MediaId([3; 16]);
    let announced = wxgate_contract::PendingMedia {
        media,
        source: Bytes::from_static(b"{}"),
        name: String::new(),
        mime: String::new(),
    };
    let batch = wxgate_contract::Batch { media: vec![announced], ..Default::default() };
    wxgate_contract::FarEnd::commit(&scene.double, &"wechat:alice".into(), batch).await.unwrap();
    let body = Body::Attachment(attachment(AttachmentKind::Image, media));
    let delivery = scene.delivery(post("g1", "p", by("p-bob", "Bob"), body));
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::TryLater { .. }));
    scene.double.fail(media, "it is gone").await.unwrap();
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 1).await, Outcome::Sent { .. }));
    let content = last(&scene, &room_id, "m.room.message")["content"].clone();
    assert_eq!(content["body"], "[image] could not be fetched, because it is gone");
    scene.end().await;
}

#[tokio::test]
async fn what_is_too_large_for_the_homeserver_is_told_and_not_lost() {
    let scene = Scene::start().await;
    scene.stub().world().upload_limit = 100;
    let scene = scene.restart().await;
    let room_id = scene.open_group().await;
    let media = MediaId([4; 16]);
    store(&scene, media, &png(1, 1, 500));
    let body = Body::Attachment(attachment(AttachmentKind::Image, media));
    scene.deliver(post("g1", "p", by("p-bob", "Bob"), body)).await;
    let text = last(&scene, &room_id, "m.room.message")["content"]["body"].as_str().unwrap().to_owned();
    assert!(text.starts_with("[image] is larger than this homeserver takes"), "{text}");
    scene.end().await;
}

#[tokio::test]
async fn what_a_proxy_takes_for_too_large_holds_up_no_chat() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let media = MediaId([5; 16]);
    store(&scene, media, &png(1, 1, 500));
    scene.stub().fault("/media/v3/upload", Fault::ByProxy(413));
    let body = Body::Attachment(attachment(AttachmentKind::Image, media));
    scene.deliver(post("g1", "p", by("p-bob", "Bob"), body)).await;
    let text = last(&scene, &room_id, "m.room.message")["content"]["body"].as_str().unwrap().to_owned();
    assert!(text.starts_with("[image] is larger than this homeserver takes: "), "{text}");
    scene.end().await;
}

#[tokio::test]
async fn a_file_that_the_vault_has_lost_holds_up_no_chat() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let media = MediaId([6; 16]);
    store(&scene, media, &png(1, 1, 500));
    scene.double.harm_media(media, Harm::Gone);
    let body = Body::Attachment(attachment(AttachmentKind::Image, media));
    scene.deliver(post("g1", "p", by("p-bob", "Bob"), body)).await;
    let text = last(&scene, &room_id, "m.room.message")["content"]["body"].clone();
    assert_eq!(text, "[image] is not there any more");
    // A film whose cover is gone is a film.
    let film = MediaId([8; 16]);
    scene.double.put_media(film, "film.mp4", "video/mp4", &b"\0\0\0\x20ftypisom"[..]);
    let file = Attachment { poster: Some(media), ..attachment(AttachmentKind::Video, film) };
    scene.deliver(post("g1", "f", by("p-bob", "Bob"), Body::Attachment(file))).await;
    assert_eq!(last(&scene, &room_id, "m.room.message")["content"]["msgtype"], "m.video");
    scene.end().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_no_homeserver_that_is_away() {
    let scene = Scene::start().await;
    scene.open_group().await;
    let media = MediaId([7; 16]);
    store(&scene, media, &png(1, 1, 500_000));
    scene.double.harm_media(media, Harm::Breaks);
    let body = Body::Attachment(attachment(AttachmentKind::Image, media));
    let mut delivery = scene.delivery(post("g1", "p", by("p-bob", "Bob"), body));
    scene.hand(&delivery).await;
    let outcome = scene.outcome(delivery.id, 0).await;
    assert!(
        matches!(&outcome, Outcome::TryLater { why, .. } if why.contains("could not be read")),
        "{outcome:?}"
    );
    // Tried for some twenty minutes, and then told.
    delivery.attempt = 25;
    scene.hand(&delivery).await;
    let outcome = scene.outcome(delivery.id, 1).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_file_from_a_room_is_announced_with_its_post_and_fetched_after_it() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let bytes = png(8, 8, 300_000);
    let uri = "mxc://test/abc".to_owned();
    scene
        .stub()
        .world()
        .media
        .insert(uri.clone(), ("x.png".to_owned(), "image/png".to_owned(), bytes.clone()));
    let info = json!({ "mimetype": "image/png", "size": bytes.len() });
    let content = json!({ "msgtype": "m.image", "body": "x.png", "url": uri, "info": info });
    scene.stub().send(ALICE, &room_id, "m.room.message", content);
    let media = scene
        .double
        .wait_for(PATIENCE, |state| match &state.posts.first()?.2.body {
            Body::Attachment(file) => Some(file.media),
            other => panic!("no file: {other:?}"),
        })
        .await;
    let fetched = |_: &mut wxgate_contract::conformance::State| scene.double.media_bytes(media);
    assert_eq!(scene.double.wait_for(PATIENCE, fetched).await, bytes);
    scene.end().await;
}

/// Somebody sends a file of so many bytes; gives it once its post is there.
async fn sent_file(scene: &Scene, room_id: &str, name: &str, bytes: Vec<u8>) -> MediaId {
    let uri = format!("mxc://test/{name}");
    let info = json!({ "mimetype": "image/png", "size": bytes.len() });
    let content = json!({ "msgtype": "m.image", "body": name, "url": uri, "info": info });
    scene.stub().world().media.insert(uri, (name.to_owned(), "image/png".to_owned(), bytes));
    let event_id = scene.stub().send(ALICE, room_id, "m.room.message", content);
    let file = |state: &mut wxgate_contract::conformance::State| {
        let post = state.posts.iter().find(|(.., post)| post.remote_id.as_str() == event_id)?;
        match &post.2.body {
            Body::Attachment(file) => Some(file.media),
            other => panic!("no file: {other:?}"),
        }
    };
    scene.double.wait_for(PATIENCE, file).await
}

#[tokio::test]
async fn a_file_is_not_lost_to_a_homeserver_that_is_away_or_wants_to_be_asked_less() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    // More of each than a file that is refused is tried for.
    for _ in 0..7 {
        scene.stub().fault("/media/download/", Fault::ByProxy(503));
        scene.stub().fault("/media/download/", Fault::Limited(1));
    }
    let bytes = png(8, 8, 300_000);
    let media = sent_file(&scene, &room_id, "x.png", bytes.clone()).await;
    let fetched = |_: &mut wxgate_contract::conformance::State| scene.double.media_bytes(media);
    assert_eq!(scene.double.wait_for(PATIENCE, fetched).await, bytes);
    scene.end().await;
}

#[tokio::test]
async fn downloads_that_never_answer_do_not_stop_the_others() {
    let scene =
        Scene::start_with(|config| config.timings.call_timeout = std::time::Duration::from_secs(2)).await;
    let room_id = scene.open_group().await;
    let bytes = png(8, 8, 1_000);
    for n in 0..4 {
        scene.stub().fault(&format!("/media/download/test/dead{n}"), Fault::Hangs);
        sent_file(&scene, &room_id, &format!("dead{n}"), bytes.clone()).await;
    }
    let media = sent_file(&scene, &room_id, "well", bytes.clone()).await;
    let fetched = |_: &mut wxgate_contract::conformance::State| scene.double.media_bytes(media);
    assert_eq!(scene.double.wait_for(PATIENCE, fetched).await, bytes);
    scene.end().await;
}

#[tokio::test]
async fn mentions_cross_both_ways() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let mut said = post("g1", "m", by("p-bob", "Bob"), Body::text("@Eve and @me"));
    said.mentions = vec![
        Mention { person: Some("p-eve".into()), is_owner: false, range: (0, 4) },
        Mention { person: None, is_owner: true, range: (9, 12) },
    ];
    scene.deliver(said).await;
    let content = last(&scene, &room_id, "m.room.message")["content"].clone();
    assert_eq!(content["m.mentions"]["user_ids"], json!([ALICE, "@wechat_alice_p-eve:test"]));
    scene.deliver(post("g1", "e", by("p-eve", "Eve"), Body::text("here"))).await;
    let html = "<a href=\"https://matrix.to/#/@wechat_alice_p-eve:test\">Eve</a>: hello <em>you</em>";
    let content = json!({ "msgtype": "m.text", "body": "Eve: hello *you*", "format": "org.matrix.custom.html", "formatted_body": html });
    scene.stub().send(ALICE, &room_id, "m.room.message", content);
    let post =
        scene.double.wait_for(PATIENCE, |state| state.posts.first().map(|(_, _, post)| post.clone())).await;
    assert_eq!(post.body, Body::text("@Eve: hello you"));
    assert_eq!(post.mentions, [Mention { person: Some("p-eve".into()), is_owner: false, range: (0, 4) }]);
    scene.end().await;
}

#[tokio::test]
async fn answers_cross_both_ways() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let first = last(&scene, &room_id, "m.room.message")["event_id"].as_str().unwrap().to_owned();
    let mut delivery = scene.delivery(post("g1", "q", by("p-eve", "Eve"), Body::text("yes")));
    let Job::Say(say) = &mut delivery.job else { panic!("no say") };
    say.quoted_remote_id = Some(first.as_str().into());
    scene.hand(&delivery).await;
    scene.outcome(delivery.id, 0).await;
    let content = last(&scene, &room_id, "m.room.message")["content"].clone();
    assert_eq!(content["m.relates_to"]["m.in_reply_to"]["event_id"], first.as_str());
    let relation = json!({ "m.in_reply_to": { "event_id": first } });
    let content = json!({ "msgtype": "m.text", "body": "me too", "m.relates_to": relation });
    scene.stub().send(ALICE, &room_id, "m.room.message", content);
    let post =
        scene.double.wait_for(PATIENCE, |state| state.posts.first().map(|(_, _, post)| post.clone())).await;
    let quote = Quote {
        target: Some(first.as_str().into()),
        author_name: "Bob".to_owned(),
        excerpt: "hello".to_owned(),
    };
    assert_eq!((post.body, post.quote), (Body::text("me too"), Some(quote)));
    scene.end().await;
}

#[tokio::test]
async fn recalls_and_redactions_are_the_same_thing() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let ids = scene.deliver(post("g1", "r", by("p-bob", "Bob"), Body::text("oops"))).await;
    let mut delivery = scene.delivery(post("g1", "r2", by("p-bob", "Bob"), Body::text("")));
    let remote_ids = ids.iter().map(|id| id.as_str().into()).collect();
    delivery.job = Job::Recall { post: PostId(1), remote_ids };
    scene.hand(&delivery).await;
    assert!(matches!(scene.outcome(delivery.id, 0).await, Outcome::Sent { .. }));
    assert_eq!(last(&scene, &room_id, "m.room.redaction")["content"]["redacts"], ids[0].as_str());
    let mine = scene.stub().say(ALICE, &room_id, "oops too");
    scene.stub().send(ALICE, &room_id, "m.room.redaction", json!({ "redacts": mine }));
    let recall = scene
        .double
        .wait_for(PATIENCE, |state| state.posts.get(1).map(|(_, _, post)| post.body.clone()))
        .await;
    assert!(matches!(recall, Body::Recall { target: Some(target), .. } if target.as_str() == mine));
    scene.end().await;
}

#[tokio::test]
async fn what_does_not_cross_is_answered() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    scene.stub().send(ALICE, &room_id, "m.room.encrypted", json!({ "algorithm": "m.megolm.v1.aes-sha2" }));
    let told = |world: &mut super::stub::World| {
        let (_, text) = world.texts(&room_id).pop()?;
        text.contains("was not delivered").then_some(text)
    };
    let text = scene.stub().wait_for(told).await;
    assert!(text.contains("because it is encrypted, and this"), "{text}");
    scene.end().await;
}
