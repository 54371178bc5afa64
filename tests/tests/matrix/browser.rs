//! A room as a person sees it: a web client that others wrote (Hydrogen), in a browser.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use wxgate_tests::homeserver::{root, tell};
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::PASSWORD;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
/// The browser starts, the client signs in and loads the room.
const SHOWN: Duration = Duration::from_secs(150);

/// The script that leads the browser, or `None` where what it needs was not installed.
fn script() -> Option<PathBuf> {
    let dir = root().join("tests/matrix/browser");
    let has_modules = dir.join("node_modules/hydrogen-view-sdk").is_dir();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_browser = std::env::var_os("WXGATE_CHROMIUM").is_some()
        || std::env::split_paths(&path).any(|dir| dir.join("chromium").is_file());
    (has_modules && has_browser).then(|| dir.join("show.mjs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_looks_native_in_a_web_client() -> Result<()> {
    let Some(script) = script() else {
        eprintln!("story browser was NOT told: no Chromium or no client here; see tests/matrix/README.md");
        return Ok(());
    };
    tell("browser", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, _) = ground.signed_in("ann", "account0").await?;
        let group = "g0";
        let members = ground.sim.person("account0", group).await?.members;
        let others: Vec<&String> = members.iter().filter(|member| *member != "self").collect();
        let [one, two, ..] = others.as_slice() else { anyhow::bail!("a group of nobody: {members:?}") };
        ground.sim.say("account0", group, one, "the first words").await?;
        let room = ann.expect_text("the first words", SOON).await?.room;
        // The client loads the last twenty events: nobody comes in between.
        until("the members to be in the room", SOON, async || {
            let events = ann.history(&room).await?;
            let is_join =
                |event: &&Value| event["type"] == "m.room.member" && event["content"]["membership"] == "join";
            let joined: BTreeSet<&str> =
                events.iter().filter(is_join).filter_map(|event| event["state_key"].as_str()).collect();
            // They, the owner and the bot.
            Ok((joined.len() >= others.len() + 2).then_some(()))
        })
        .await?;
        ground.sim.say("account0", group, one, "明天几点？ What time tomorrow?").await?;
        ground.sim.say("account0", group, two, "八点。 At eight 😄").await?;
        ground.sim.say("account0", group, "self", "在手机上写的 written on my phone").await?;
        ground.sim.tell("account0", group, one, json!({"kind": "image"})).await?;
        ground.sim.tell("account0", group, two, json!({"kind": "file", "name": "报告 2026.pdf"})).await?;
        ann.say(&room, "written in the room").await?;
        ground.sim.heard("account0", "written in the room").await?;
        ground.sim.say("account0", group, two, "the last word").await?;
        ann.expect_text("the last word", SOON).await?;
        let picture = match std::env::var_os("WXGATE_CAPTURES") {
            Some(dir) => PathBuf::from(dir).join("matrix-group.png"),
            None => scratch.join("matrix-group.png"),
        };
        let node = Command::new("node")
            .arg(script)
            .args([&ground.homeserver.url(), "ann", PASSWORD, &room])
            .arg(&picture)
            .args(["明天几点？", "八点。", "written on my phone", "written in the room", "报告 2026.pdf"])
            .args(["the last word", "(WeChat)"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let shown = tokio::time::timeout(SHOWN, node).await.context("the browser took too long")??;
        ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let seen: Value = serde_json::from_slice(&shown.stdout).context("read what was seen")?;
        ensure!(seen["pictures"].as_u64() > Some(0), "the picture is not shown: {seen}");
        let text = seen["text"].as_str().unwrap_or_default();
        let place = |words: &str| text.find(words).with_context(|| format!("{words:?} is not shown"));
        ensure!(
            place("What time")? < place("At eight")? && place("At eight")? < place("the last word")?,
            "{text}"
        );
        ground.end().await
    })
    .await
}
