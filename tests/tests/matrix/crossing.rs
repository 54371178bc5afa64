//! What crosses besides plain words: files, what is taken back or changed, and what is too long for one event.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::truth::Entry;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
/// Files are fetched, uploaded, and fetched again.
const FILES: Duration = Duration::from_secs(120);

/// A room of the private chat with `c1`.
async fn room(ground: &Ground, ann: &Person<'_>) -> Result<String> {
    ground.sim.say("account0", "c1", "c1", "the first words").await?;
    Ok(ann.expect_text("the first words", SOON).await?.room)
}

/// Waits for something that a client said to the service.
async fn heard(ground: &Ground, what: &str, fits: impl Fn(&Entry) -> bool) -> Result<Entry> {
    until(what, FILES, async || {
        let ledger = ground.sim.ledger("account0").await?;
        Ok(ledger.into_iter().find(|entry| entry.is_heard() && fits(entry)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_kind_cross_both_ways() -> Result<()> {
    tell("files", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, _) = ground.signed_in("ann", "account0").await?;
        let room = room(&ground, &ann).await?;
        for (kind, shown) in [
            (json!({"kind": "image"}), "m.image"),
            (json!({"kind": "voice"}), "m.audio"),
            (json!({"kind": "video"}), "m.video"),
            (json!({"kind": "sticker"}), "m.sticker"),
            (json!({"kind": "file", "name": "报告 2026.pdf"}), "m.file"),
        ] {
            let seen = from_wechat(&ground, &ann, &room, &kind, shown).await?;
            facts(&seen, shown).with_context(|| seen.event.to_string())?;
        }
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";
        let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        for (msgtype, name, mime, data) in [
            ("m.image", "dot.png", "image/png", &png[..]),
            ("m.file", "名字 1.bin", "application/octet-stream", &bytes[..]),
        ] {
            let url = ann.upload(data, mime, name).await?;
            let info = json!({"mimetype": mime, "size": data.len()});
            let content = json!({"msgtype": msgtype, "body": name, "filename": name, "url": url, "info": info});
            ann.send(&room, content).await?;
            let entry = heard(&ground, name, |entry| !entry.media_md5.is_empty()
                && (entry.kind == "image") == (msgtype == "m.image"))
            .await?;
            ensure!(entry.chat == "c1", "{entry:?}");
            ensure!(ground.sim.media("account0", entry.msg_id).await? == data, "the bytes of {name} differ");
        }
        ground.end().await
    })
    .await
}

/// One file of WeChat's, as the person sees it.
async fn from_wechat(
    ground: &Ground,
    ann: &Person<'_>,
    room: &str,
    kind: &Value,
    shown: &str,
) -> Result<Seen> {
    let mark = ann.mark();
    let id = ground.sim.tell("account0", "c1", "c1", kind.clone()).await?;
    let fits =
        |seen: &Seen| seen.room == room && (seen.content()["msgtype"] == shown || seen.kind() == shown);
    let seen = ann.expect_after(mark, shown, FILES, fits).await?;
    let url = seen.content()["url"].as_str().context("no url")?;
    ensure!(
        ann.download(url).await? == ground.sim.media("account0", id).await?,
        "the bytes of {kind} differ"
    );
    Ok(seen)
}

/// What clients need to show it well.
fn facts(seen: &Seen, shown: &str) -> Result<()> {
    let (content, info) = (seen.content(), &seen.content()["info"]);
    ensure!(info["size"].as_u64().is_some_and(|bytes| bytes > 0), "no size");
    ensure!(info["mimetype"].as_str().is_some_and(|mime| mime.contains('/')), "no type");
    match shown {
        "m.image" | "m.sticker" => {
            ensure!(info["w"].as_u64() > Some(0) && info["h"].as_u64() > Some(0), "no dimensions");
        }
        "m.audio" => {
            ensure!(content["org.matrix.msc3245.voice"].is_object(), "no voice message");
            ensure!(info["duration"].as_u64() > Some(0), "no duration");
        }
        "m.video" => {
            ensure!(info["duration"].as_u64() > Some(0), "no duration");
            ensure!(info["thumbnail_url"].is_string(), "no cover");
            ensure!(info["thumbnail_info"]["w"].as_u64() > Some(0), "a cover without dimensions");
        }
        "m.file" => ensure!(content["filename"] == "报告 2026.pdf", "another name"),
        _ => {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_or_changed_is_so_on_the_other_side() -> Result<()> {
    tell("changes", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, _) = ground.signed_in("ann", "account0").await?;
        let room = room(&ground, &ann).await?;
        // Taken back in WeChat.
        let id = ground.sim.say("account0", "c1", "c1", "said too soon").await?;
        let said = ann.expect_text("said too soon", SOON).await?;
        let recall = json!({"kind": "recall", "msg_id": id.to_string()});
        ground.sim.tell("account0", "c1", "c1", recall).await?;
        ann.expect("the redaction", SOON, |seen| {
            let content = seen.content();
            seen.kind() == "m.room.redaction"
                && (content["redacts"] == said.id() || seen.event["redacts"] == said.id())
        })
        .await?;
        let left = ann.history(&room).await?;
        ensure!(!left.iter().any(|event| event["content"]["body"] == "said too soon"), "it is still there");
        // Taken back in the room.
        let typo = ann.say(&room, "tpyo").await?;
        let heard_typo = heard(&ground, "the typo", |entry| entry.text == "tpyo").await?;
        ann.redact(&room, &typo).await?;
        heard(&ground, "the recall", |entry| entry.kind == "recall").await?;
        // Changed in the room: WeChat has no edits.
        let first = ann.say(&room, "at seven").await?;
        heard(&ground, "the first words", |entry| entry.text == "at seven").await?;
        let edit = json!({
            "msgtype": "m.text", "body": "* at eight",
            "m.new_content": {"msgtype": "m.text", "body": "at eight"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        });
        ann.send(&room, edit).await?;
        let changed = heard(&ground, "the edit", |entry| entry.text.contains("at eight")).await?;
        ensure!(changed.text.contains("(edit)") && changed.chat == heard_typo.chat, "{changed:?}");
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_for_one_message_arrives_whole_and_in_order() -> Result<()> {
    tell("long", LIMIT, async |scratch| {
        let mut ground = Ground::set(scratch).await?;
        let people = ground.homeserver.people()?;
        ground.signed_in("ann", "account0").await?;
        let ann = people.login("ann").await?;
        let room = room(&ground, &ann).await?;
        let words: String = (0..9_000).map(|n| format!("词{n} ")).collect();
        // The gateway dies after the first part was taken and before it knows.
        ground.out.arm("/send/m.room.message", wxgate_tests::cut::Cut::After);
        ground.sim.say("account0", "c1", "c1", words.trim()).await?;
        ground.out.cut(1, SOON).await?;
        ground.lose_power().await?;
        ground.sim.say("account0", "c1", "c1", "after the long one").await?;
        ann.expect_text("after the long one", FILES).await?;
        let events = ann.history(&room).await?;
        let bodies = events.iter().filter_map(|event| event["content"]["body"].as_str());
        let parts: Vec<&str> = bodies.filter(|body| body.contains('词')).collect();
        ensure!(parts.len() > 1, "{} parts", parts.len());
        ensure!(parts.join(" ") == words.trim(), "something is missing, doubled or out of order");
        // The other way: WeChat takes less at once.
        let words: String = (0..1_500).map(|n| format!("字{n} ")).collect();
        ann.say(&room, words.trim()).await?;
        ann.say(&room, "after the other long one").await?;
        heard(&ground, "what follows", |entry| entry.text == "after the other long one").await?;
        let ledger = ground.sim.ledger("account0").await?;
        let parts: Vec<&str> =
            ledger.iter().filter(|entry| entry.is_heard()).map(|entry| entry.text.as_str()).collect();
        let parts: Vec<&str> = parts.into_iter().filter(|text| text.contains('字')).collect();
        let all: Vec<&str> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
        ensure!(parts.len() > 1, "{} parts", parts.len());
        let wanted: Vec<&str> = words.split_whitespace().collect();
        ensure!(all == wanted, "something is missing, doubled or out of order");
        ground.end_after_kills().await
    })
    .await
}
