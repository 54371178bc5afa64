//! The ground that the other stories stand on: the homeserver and those who play people.

use std::time::Duration;

use anyhow::{Result, ensure};
use wxgate_tests::homeserver::{Homeserver, tell};

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_talk_and_the_homeserver_forgets_nothing_when_it_is_killed() -> Result<()> {
    tell("ground", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let (ann, bob) = (people.register("ann").await?, people.register("bob").await?);
        let room = ann.create("ground", &[&bob.id], false).await?;
        bob.expect("to be in the room", SOON, |seen| seen.room == room && seen.part == "timeline").await?;
        let said = ann.say(&room, "你好 👋").await?;
        ensure!(bob.expect_text("你好 👋", SOON).await?.id() == said, "another event");
        bob.reply(&room, &said, "an answer").await?;
        ann.expect_text("an answer", SOON).await?;
        let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let mxc = ann.upload(&bytes, "application/octet-stream", "文件.bin").await?;
        ensure!(bob.download(&mxc).await? == bytes, "the bytes differ");
        homeserver.kill().await?;
        ensure!(bob.say(&room, "to nobody").await.is_err(), "a dead homeserver took a message");
        homeserver.run().await?;
        bob.say(&room, "after the crash").await?;
        ann.expect_text("after the crash", SOON).await?;
        ann.redact(&room, &said).await?;
        bob.expect("the redaction", SOON, |seen| seen.kind() == "m.room.redaction").await?;
        let texts: Vec<String> = ann.history(&room).await?.iter().filter_map(text).collect();
        ensure!(texts == ["an answer", "after the crash"], "{texts:?}");
        homeserver.assert_up()?;
        homeserver.stop().await
    })
    .await
}

fn text(event: &serde_json::Value) -> Option<String> {
    event["content"]["body"].as_str().map(str::to_owned)
}
