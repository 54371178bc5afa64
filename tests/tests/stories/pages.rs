//! The web pages in a browser: signing in, a code that is followed to the end, a question settled, a picture opened,
//! administration, both languages, both themes, a telephone's width; and a judge of accessibility on each.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Command;
use wxgate_tests::fleet::USER;
use wxgate_tests::gateway::{GatewayOptions, PASSWORD};
use wxgate_tests::homeserver::root;
use wxgate_tests::irc::Line;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(420);
const SOON: Duration = Duration::from_secs(60);
/// The browser's whole way, with some seventy looks of the judge.
const WAY: Duration = Duration::from_secs(300);
const ACCOUNT: &str = "account0";
/// Nothing tells these two apart after a new login.
const TWINS: [&str; 2] = ["c6", "c9"];

/// The script that leads the browser, or `None` where what it needs was not installed.
fn script() -> Option<PathBuf> {
    let dir = root().join("tests/web");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_browser = std::env::var_os("WXGATE_CHROMIUM").is_some()
        || std::env::split_paths(&path).any(|dir| dir.join("chromium").is_file());
    (dir.join("node_modules/axe-core").is_dir() && has_browser).then(|| dir.join("pages.mjs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_in_a_browser() -> Result<()> {
    let Some(script) = script() else {
        eprintln!("story pages was NOT told: no Chromium or no axe-core here; run: cargo xtask setup");
        return Ok(());
    };
    tell("pages", LIMIT, async |scratch| {
        let world =
            SimOptions { accounts: 2, contacts: 80, permanent_ids: false, ..SimOptions::default() };
        let stage = Stage::set_some(scratch, &world, &GatewayOptions::default(), 0..1).await?;
        let root_body = json!({"name": "root", "is_admin": true, "password": PASSWORD});
        stage.gateway().api("POST", "/api/v1/users", &root_body).await?;
        let link = attachment(&stage).await?;
        question(&stage).await?;
        let kind = json!({"kind": "friend_request", "nick": "新朋友", "greeting": "I am new here"});
        stage.sim.tell(ACCOUNT, "c0", "c0", kind).await?;
        let door = door(&stage).await?;
        let pictures = root().join(".wxgate/pictures");
        let plan = json!({
            "web": format!("http://{}", stage.gateway().web), "control": stage.sim.control_url(), "user": USER,
            "admin": "root", "password": PASSWORD, "twin": ACCOUNT, "link": link, "sound": sound(&stage).await?, "door": door, "pictures": pictures,
        });
        let file = scratch.join("plan.json");
        std::fs::write(&file, plan.to_string()).context("write the plan")?;
        let node = Command::new("node")
            .arg(script)
            .arg(file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let shown = tokio::time::timeout(WAY, node).await.context("the browser took too long")??;
        ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let seen: Value = serde_json::from_slice(&shown.stdout).context("read what was seen")?;
        println!("the first page: {}; lesser findings: {}", seen["firstPage"], seen["findings"]);
        stage.gateway().wait_state("second", "up", SOON).await?;
        stage.end().await
    })
    .await
}

/// The link to a picture that somebody sent.
async fn attachment(stage: &Stage) -> Result<String> {
    let mut client = stage.client(0, "x").await?;
    stage.sim.tell(ACCOUNT, "c1", "c1", json!({"kind": "image"})).await?;
    let is_link = |line: &Line| line.is_said() && line.last().contains("http://");
    let line = client.expect("a link to the picture", is_link).await?;
    let link = line.last().split_whitespace().find(|word| word.starts_with("http://"));
    Ok(link.context("no link")?.to_owned())
}

/// The link to a moment of silence that somebody handed over: 8 bits, 8,000 times a second, one channel.
///
/// Source: Multimedia Programming Interface 1.0, the WAVE form.
async fn sound(stage: &Stage) -> Result<String> {
    let mut wav =
        b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0".to_vec();
    wav.extend_from_slice(b"data\x40\x1f\0\0");
    wav.resize(wav.len() + 8_000, 0x80);
    let login = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let heads = [
        ("authorization", login.as_str()),
        ("content-type", "audio/wav"),
        ("content-disposition", "attachment; filename=\"silence.wav\""),
    ];
    let answer = stage.gateway().post("/upload", &heads, wav).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.header("location").to_owned())
}

/// The link that lets a browser in once.
async fn door(stage: &Stage) -> Result<String> {
    let mut client = stage.client(0, "y").await?;
    client.say("wechat", "web").await?;
    let is_link = |line: &Line| line.verb == "NOTICE" && line.last().contains("/enter/");
    Ok(client.expect("a link to the pages", is_link).await?.last().to_owned())
}

/// After a new login two contacts are alike, and one of them speaks.
async fn question(stage: &Stage) -> Result<()> {
    let [one, other] = TWINS;
    stage.sim.change(ACCOUNT, json!({"change": "twin", "who": other, "of": one})).await?;
    let mut client = stage.client(0, "x").await?;
    for who in TWINS {
        let text = format!("before from {who}");
        stage.sim.say(ACCOUNT, who, who, &text).await?;
        client.expect_text(&text).await?;
    }
    stage.sim.end_session(ACCOUNT, 1_100).await?;
    stage.gateway().wait_state(ACCOUNT, "needs_human", SOON).await?;
    // As long as the service takes, and without a place to break.
    let long = json!({"change": "remark", "who": "c2", "name": "W".repeat(180)});
    stage.sim.change(ACCOUNT, long).await?;
    for who in TWINS {
        let change = json!({"change": "signature", "who": who, "text": "same words"});
        stage.sim.change(ACCOUNT, change).await?;
    }
    stage.sign_in_again(ACCOUNT).await?;
    stage.sim.say(ACCOUNT, one, one, "who am I").await?;
    client.expect_text("who am I").await.map(drop)
}
