//! The newer capabilities, spoken by a library that web clients are made of.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::PASSWORD;
use wxgate_tests::homeserver::root;
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_of_web_clients_finds_everything_that_it_asks_for() -> Result<()> {
    let dir = root().join("tests/clients");
    ensure!(
        dir.join("node_modules/irc-framework").is_dir(),
        "irc-framework is missing; run: cargo xtask setup"
    );
    tell("web-library", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let (who, channel) = group(&stage).await?;
        let mut script = Command::new("node");
        script.arg("_irc_framework.mjs").current_dir(&dir);
        script.env("WXGATE_IRC", &stage.gateway().irc).env("WXGATE_CHANNEL", &channel);
        script.env("WXGATE_LOGIN", format!("{USER}/{}@web", name(0))).env("WXGATE_PASSWORD", PASSWORD);
        follow(script, &stage, &who, "from the phone of somebody").await?;
        stage.sim.heard("account0", "typed in a web client").await?;
        stage.sim.heard("account0", "first line\nsecond line").await?;
        stage.end().await
    })
    .await
}

/// Somebody of a group, and the channel that it is, as any client sees it.
async fn group(stage: &Stage) -> Result<(String, String)> {
    const QUESTION: &str = "which channel is it?";
    let mut plain = stage.client(0, "plain").await?;
    let group = stage.sim.person("account0", "g0").await?;
    let who = group.members.into_iter().find(|who| who != "self").context("an empty group")?;
    stage.sim.say("account0", "g0", &who, QUESTION).await?;
    Ok((who, plain.expect_text(QUESTION).await?.param(0).to_owned()))
}

/// Runs a script to its end; when it says that it listens, `words` are said to it.
async fn follow(mut script: Command, stage: &Stage, who: &str, words: &str) -> Result<()> {
    let mut script = script.kill_on_drop(true).stdout(Stdio::piped()).spawn().context("start node")?;
    let mut lines = BufReader::new(script.stdout.take().context("no output")?).lines();
    while let Some(line) = lines.next_line().await? {
        eprintln!("{line}");
        if line == "READY" {
            stage.sim.say("account0", "g0", who, words).await?;
        }
    }
    let status = script.wait().await?;
    ensure!(status.success(), "the client ended with {status}");
    Ok(())
}

/// The oldest Node that The Lounge was seen to run on; it asks for 22, and Debian 12 has 18.
const OLDEST_NODE: u32 = 20;

/// The major version of the Node that is here.
async fn node_version() -> Result<u32> {
    let told = Command::new("node").arg("--version").output().await.context("start node")?;
    let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let major = told.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.with_context(|| format!("node tells a version that is none: {told:?}"))
}

/// The script that leads the browser.
fn lounge() -> Result<PathBuf> {
    let dir = root().join("tests/irc/browser");
    ensure!(dir.join("node_modules/thelounge").is_dir(), "The Lounge is missing; run: cargo xtask setup");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_browser = std::env::var_os("WXGATE_CHROMIUM").is_some()
        || std::env::split_paths(&path).any(|dir| dir.join("chromium").is_file());
    ensure!(has_browser, "Chromium is missing; run: cargo xtask setup");
    Ok(dir.join("show.mjs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_looks_native_in_a_web_client() -> Result<()> {
    let script = lounge()?;
    let node = node_version().await?;
    if node < OLDEST_NODE {
        eprintln!(
            "The Lounge was not looked at: it needs Node {OLDEST_NODE} or newer, and Node {node} is here"
        );
        return Ok(());
    }
    tell("lounge", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let (who, channel) = group(&stage).await?;
        let picture = std::env::var_os("WXGATE_PICTURE").map(PathBuf::from);
        let picture = picture.unwrap_or_else(|| scratch.path().join("lounge.png"));
        let mut browser = Command::new("node");
        browser.arg(script).arg(&stage.gateway().irc).arg("lounge");
        browser.arg(format!("{USER}/{}@lounge:{PASSWORD}", name(0))).arg(&channel).arg(&picture);
        browser.arg("typed in a browser 🌏").args(["晚上好 🌙", "second line"]);
        follow(browser, &stage, &who, "晚上好 🌙\nsecond line").await?;
        stage.sim.heard("account0", "typed in a browser 🌏").await?;
        ensure!(std::fs::metadata(&picture)?.len() > 10_000, "the picture shows nothing");
        stage.end().await
    })
    .await
}
