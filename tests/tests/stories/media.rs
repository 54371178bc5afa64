//! Attachments that are late, and attachments that are large.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wxgate_tests::gateway::{GatewayOptions, PASSWORD};
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(280);
/// A file of 64 MiB passes several programs of one small machine.
const LONG: Duration = Duration::from_secs(120);
const LARGE_BYTES: usize = 64 << 20;
/// What the program may grow by while the file passes: buffers of sockets, one piece of an upload
/// (512 KiB) and what the allocator keeps. A quarter of the file; one copy of it would be all of it.
const GROWTH_BYTES: u64 = 16 << 20;

async fn link(client: &mut IrcClient, name: &str) -> Result<String> {
    let is_it = |line: &Line| line.is_said() && line.last().contains("http://") && line.last().contains(name);
    let line = client.expect(&format!("a link to {name}"), is_it).await?;
    link_of(&line)
}

fn link_of(line: &Line) -> Result<String> {
    let link = line.last().split_whitespace().find(|word| word.starts_with("http://"));
    Ok(link.with_context(|| format!("no link in {line}"))?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_whose_file_is_on_its_way_asks_for_patience_and_then_serves_it() -> Result<()> {
    tell("late", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let mut client = stage.client(0, "x").await?;
        // The answer comes later than a request for the link waits.
        stage.sim.fault(&json!({"endpoint": "webwxgetmsgimg", "fault": {"delay_ms": 25_000}})).await?;
        let id = stage.sim.tell("account0", "c1", "c1", json!({"kind": "image"})).await?;
        let link = link(&mut client, "image").await?;
        let early = stage.gateway().open_link(&link).await?;
        ensure!(early.status == 503, "while it is on its way: {}", early.status);
        ensure!(early.header("retry-after").parse::<u32>().is_ok(), "{:?}", early.headers);
        ensure!(early.text().contains("still on its way"), "{}", early.text());
        let answer = until("the file behind the link", LONG, async || {
            let answer = stage.gateway().open_link(&link).await?;
            Ok((answer.status != 503).then_some(answer))
        });
        let answer = answer.await?.good("the link")?;
        ensure!(answer.body == stage.sim.media("account0", id).await?, "the bytes differ");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_passes_in_both_directions_and_is_never_whole_in_memory() -> Result<()> {
    tell("large", LIMIT, async |scratch| {
        let mut stage = Stage::set_with(scratch, 1, &GatewayOptions::default()).await?;
        let mut client = stage.client(0, "x").await?;
        stage.sim.say("account0", "c2", "c2", "who I am").await?;
        let other = client.expect_text("who I am").await?.source.nick;
        // What a first download and a first upload need once is no growth.
        stage.sim.tell("account0", "c1", "c1", json!({"kind": "file", "name": "small.pdf"})).await?;
        let small = link(&mut client, "small.pdf").await?;
        until("the small file", LONG, async || {
            Ok((stage.gateway().open_link(&small).await?.status == 200).then_some(()))
        })
        .await?;
        client.say(&other, &small).await?;
        sent(&stage, 1).await?;
        let before = stage.gateway_mut()?.program()?.peak_rss_bytes()?;

        stage.sim.fault(&json!({"endpoint": "webwxgetmedia", "fault": {"oversized": LARGE_BYTES}})).await?;
        stage.sim.tell("account0", "c1", "c1", json!({"kind": "file", "name": "large.bin"})).await?;
        let large = link(&mut client, "large.bin").await?;
        let answer = until("the large file", LONG, async || {
            let answer = stage.gateway().open_link(&large).await?;
            Ok((answer.status != 503).then_some(answer))
        });
        let answer = answer.await?.good("the large link")?;
        ensure!(answer.body.len() == LARGE_BYTES, "the link serves {} bytes", answer.body.len());
        ensure!(answer.body.iter().all(|byte| *byte == b' '), "the bytes differ");
        let inward = stage.gateway_mut()?.program()?.peak_rss_bytes()?;

        client.say(&other, &large).await?;
        let id = sent(&stage, 2).await?;
        let arrived = stage.sim.media("account0", id).await?;
        ensure!(arrived == answer.body, "{} bytes of the upload arrived, or others", arrived.len());
        let outward = stage.gateway_mut()?.program()?.peak_rss_bytes()?;
        println!("peak memory: {before} before, {inward} after the download, {outward} after the upload");
        ensure!(
            outward < before + GROWTH_BYTES,
            "memory grew from {before} over {inward} to {outward} bytes"
        );
        stage.end().await
    })
    .await
}

/// What clients do that know soju.im/FILEHOST.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_a_client_hands_over_is_sent_as_itself() -> Result<()> {
    tell("upload", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let mut client = stage.client(0, "x").await?;
        stage.sim.say("account0", "c2", "c2", "who I am").await?;
        let other = client.expect_text("who I am").await?.source.nick;
        let (file, login) = (b"a file of my own".repeat(5_000), format!("ann/account0@x:{PASSWORD}"));
        let login = format!("Basic {}", STANDARD.encode(login));
        let named = ("content-disposition", "attachment; filename=\"my notes.pdf\"");
        let with = |login| [("authorization", login), ("content-type", "application/pdf"), named];
        for headers in [&[named][..], &with("Basic bm9ib2R5Ong="), &with("Bearer x")] {
            let refused = stage.gateway().post("/upload", headers, file.clone()).await?;
            ensure!(refused.status == 401, "{}", refused.status);
            ensure!(refused.header("www-authenticate").starts_with("Basic "), "{:?}", refused.headers);
        }
        let empty = stage.gateway().post("/upload", &with(&login), "").await?;
        ensure!(empty.status == 400, "{}", empty.status);
        let answer = stage.gateway().post("/upload", &with(&login), file.clone()).await?;
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
        let link = answer.header("location").to_owned();
        ensure!(link.ends_with("/my_notes.pdf"), "{link}");
        ensure!(stage.gateway().open_link(&link).await?.good("the link")?.body == file, "the bytes differ");
        client.say(&other, &link).await?;
        let id = sent(&stage, 1).await?;
        ensure!(stage.sim.media("account0", id).await? == file, "others arrived in WeChat");
        // What is typed around the link goes along, and so does a file in the line that follows at once.
        client.say(&other, &format!("{link} 这是我的笔记")).await?;
        client.say(&other, &link).await?;
        sent(&stage, 3).await?;
        until("the words beside the link", LONG, async || {
            let ledger = stage.sim.ledger("account0").await?;
            Ok(ledger.iter().any(|entry| entry.is_heard() && entry.text == "这是我的笔记").then_some(()))
        })
        .await?;
        stage.end().await
    })
    .await
}

/// The id of file number `count` that the simulated people have heard.
async fn sent(stage: &Stage, count: usize) -> Result<u64> {
    until("the file to be sent", LONG, async || {
        let ledger = stage.sim.ledger("account0").await?;
        let files: Vec<u64> = ledger
            .iter()
            .filter(|entry| entry.is_heard() && entry.kind == "file")
            .map(|entry| entry.msg_id)
            .collect();
        Ok(files.get(count - 1).copied())
    })
    .await
}
