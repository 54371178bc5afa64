//! Files that the other side shows only in another form. Told where ffmpeg is; `cargo xtask setup` installs it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::Person;
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::truth::Entry;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
/// Files are fetched, converted and uploaded, on a machine that does other things.
const FILES: Duration = Duration::from_secs(120);

/// What ffmpeg makes of its own test picture or tone; `None` where it is not.
fn sample(scratch: &Scratch, name: &str, arguments: &str) -> Result<Option<Vec<u8>>> {
    let path = scratch.join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    match ffmpeg.args(["-loglevel", "error"]).args(arguments.split_whitespace()).arg(&path).status() {
        Ok(status) => ensure!(status.success(), "ffmpeg: {status}"),
        Err(_) => return Ok(None),
    }
    Ok(Some(std::fs::read(&path)?))
}

/// Sends a file, and gives what WeChat was sent and its bytes.
async fn sent(
    ground: &Ground,
    ann: &Person<'_>,
    room: &str,
    (kind, content): (&str, serde_json::Value),
) -> Result<(Entry, Vec<u8>)> {
    let before = ground.sim.ledger("account0").await?.len();
    ann.act("send", json!({"room": room, "type": kind, "content": content})).await?;
    let entry = until("the file to arrive", FILES, async || {
        let ledger = ground.sim.ledger("account0").await?;
        let mut new = ledger.into_iter().skip(before);
        Ok(new.find(|entry| entry.is_heard() && !entry.media_md5.is_empty()))
    })
    .await?;
    let bytes = ground.sim.media("account0", entry.msg_id).await?;
    Ok((entry, bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stickers_pictures_and_voice_arrive_in_the_form_that_wechat_shows() -> Result<()> {
    tell("forms", LIMIT, async |scratch| {
        let Some(webp) = sample(scratch, "s.webp", "-f lavfi -i testsrc=size=96x64 -frames:v 1")? else {
            eprintln!("story forms was NOT told: no ffmpeg here; run: cargo xtask setup");
            return Ok(());
        };
        let ogg = sample(scratch, "v.ogg", "-f lavfi -i sine=440:duration=1")?.context("ffmpeg is gone")?;
        let world = SimOptions { accounts: 1, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, "[media]\nffmpeg = \"auto\"\n").await?;
        let (ann, _) = ground.signed_in("ann", "account0").await?;
        ground.sim.say("account0", "c1", "c1", "the first words").await?;
        let room = ann.expect_text("the first words", SOON).await?.room;

        let url = ann.upload(&webp, "image/webp", "s.webp").await?;
        let info = json!({"mimetype": "image/webp"});
        let sticker = json!({"body": "a wave", "url": url, "info": info});
        let (entry, bytes) = sent(&ground, &ann, &room, ("m.sticker", sticker)).await?;
        ensure!(entry.kind == "sticker" && bytes.starts_with(b"GIF89a"), "{entry:?}");
        let picture = json!({"msgtype": "m.image", "body": "s.webp", "url": url, "info": info});
        let (entry, bytes) = sent(&ground, &ann, &room, ("m.room.message", picture)).await?;
        ensure!(entry.kind == "image" && bytes.starts_with(b"\xff\xd8\xff"), "{entry:?}");
        // The same bytes as a file are a file.
        let file = json!({"msgtype": "m.file", "body": "s.webp", "url": url, "info": info});
        let (entry, bytes) = sent(&ground, &ann, &room, ("m.room.message", file)).await?;
        ensure!(entry.kind == "file" && bytes == webp, "{entry:?}");
        let url = ann.upload(&ogg, "audio/ogg", "Voice message.ogg").await?;
        let voice = json!({
            "msgtype": "m.audio", "body": "Voice message.ogg", "url": url, "org.matrix.msc3245.voice": {},
            "info": {"mimetype": "audio/ogg", "duration": 1000},
        });
        let (entry, bytes) = sent(&ground, &ann, &room, ("m.room.message", voice)).await?;
        ensure!(entry.kind == "file" && bytes.starts_with(b"ID3"), "{entry:?}");

        // The other way: voice as Matrix has it.
        let mark = ann.mark();
        ground.sim.tell("account0", "c1", "c1", json!({"kind": "voice"})).await?;
        let seen =
            ann.expect_after(mark, "voice", FILES, |seen| seen.content()["msgtype"] == "m.audio").await?;
        ensure!(seen.content()["info"]["mimetype"] == "audio/ogg", "{}", seen.event);
        let bytes = ann.download(seen.content()["url"].as_str().context("no url")?).await?;
        ensure!(bytes.starts_with(b"OggS"), "{} bytes of something else", bytes.len());
        ground.end().await
    })
    .await
}
