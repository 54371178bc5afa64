//! What a client of somebody else's does all day. `cargo xtask test matrix` has it done by two of them: by
//! matrix-nio, and by matrix-sdk (`tests/matrix-sdk`).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::Seen;
use wxgate_tests::truth::Entry;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_reads_writes_sends_a_file_takes_back_and_marks_as_read() -> Result<()> {
    tell("client", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, desk) = ground.signed_in("ann", "account0").await?;
        ensure!(ground.ask(&ann, &desk, "ping").await?.body().contains("online"), "not online");
        let heard = async |what: &str, fits: &dyn Fn(&Entry) -> bool| {
            until(what, SOON, async || {
                let ledger = ground.sim.ledger("account0").await?;
                Ok(ledger.into_iter().find(|entry| entry.is_heard() && fits(entry)))
            })
            .await
        };

        ground.sim.say("account0", "c1", "c1", "你好 👋 <b>&amp;").await?;
        let first = ann.expect_text("你好 👋 <b>&amp;", SOON).await?;
        ensure!(first.class == "RoomMessageText", "{first:?}");
        let room = first.room.clone();
        ann.say(&room, "an answer").await?;
        heard("the answer", &|entry| entry.text == "an answer" && entry.chat == "c1").await?;

        let id = ground.sim.tell("account0", "c1", "c1", json!({"kind": "image"})).await?;
        let fits = |seen: &Seen| seen.room == room && seen.class == "RoomMessageImage";
        let picture = ann.expect("a picture", SOON, fits).await?;
        let url = picture.content()["url"].as_str().context("no url")?;
        ensure!(ann.download(url).await? == ground.sim.media("account0", id).await?, "other bytes");
        let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        let url = ann.upload(&bytes, "application/octet-stream", "文件.bin").await?;
        let info = json!({"mimetype": "application/octet-stream", "size": bytes.len()});
        ann.send(&room, json!({"msgtype": "m.file", "body": "文件.bin", "url": url, "info": info})).await?;
        let file = heard("the file", &|entry| entry.kind == "file").await?;
        ensure!(ground.sim.media("account0", file.msg_id).await? == bytes, "other bytes");

        let typo = ann.say(&room, "tpyo").await?;
        heard("the typo", &|entry| entry.text == "tpyo").await?;
        ann.redact(&room, &typo).await?;
        heard("the recall", &|entry| entry.kind == "recall").await?;
        let id = ground.sim.say("account0", "c1", "c1", "said too soon").await?;
        let said = ann.expect_text("said too soon", SOON).await?;
        ground.sim.tell("account0", "c1", "c1", json!({"kind": "recall", "msg_id": id.to_string()})).await?;
        ann.expect("the redaction", SOON, |seen| {
            seen.kind() == "m.room.redaction" && seen.event.to_string().contains(said.id())
        })
        .await?;

        ground.sim.say("account0", "c1", "c1", "read me").await?;
        let last = ann.expect_text("read me", SOON).await?;
        ann.act("read", json!({"room": room, "event": last.id()})).await?;
        heard("the read mark", &|entry| entry.kind == "read" && entry.chat == "c1").await?;
        ground.end().await
    })
    .await
}
