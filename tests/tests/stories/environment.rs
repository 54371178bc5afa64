//! A broken configuration, a taken port, a full disk.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::fleet::USER;
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::program;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::until;

use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(30);
/// Once there is room again; the gateway may pause between its tries.
const CATCH_UP: Duration = Duration::from_secs(90);
/// Messages on a full disk.
const FLOOD: u32 = 4_000;

async fn run(config: &Path) -> Result<(Option<i32>, String)> {
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let (status, out, err) = program::run_once("wxgate", &args, None, SOON).await?;
    ensure!(!err.contains("panicked"), "{err}");
    Ok((status.code(), out + &err))
}

#[tokio::test]
async fn a_broken_configuration_names_file_line_and_key() -> Result<()> {
    tell("config", LIMIT, async |scratch| {
        let file = scratch.join("broken.toml");
        // Text, line, and what the message must name.
        let cases: [(&str, u32, &[&str]); 6] = [
            ("[irc.server]\n\nlisen = [\"127.0.0.1:1\"]\n", 3, &["irc.server.lisen", "irc.server.listen"]),
            ("[limits]\nsends_per_minute = \"many\"\n", 2, &["limits.sends_per_minute"]),
            ("data_dir = \"x\"\n[log]\nformat = \"shiny\"\n", 3, &["log.format", "pretty", "json"]),
            ("[web]\nlisten = \"nowhere\"\n", 2, &["web.listen", "nowhere"]),
            ("[irc\n", 1, &[]),
            (
                "[wechat]\nservice = \"ftp://x\"\n[media]\nkeep_days = 0\n",
                4,
                &["wechat.service", "media.keep_days"],
            ),
        ];
        for (text, line, names) in cases {
            std::fs::write(&file, text)?;
            let (code, said) = run(&file).await?;
            ensure!(code == Some(3), "{text:?} ended with {code:?}: {said}");
            ensure!(said.contains(&format!("broken.toml:{line}")), "{text:?}: no line in {said}");
            for name in names {
                ensure!(said.contains(name), "{text:?}: {name} is not named in {said}");
            }
        }
        let (code, said) = run(&scratch.join("missing.toml")).await?;
        ensure!(code == Some(3) && said.contains("missing.toml"), "a missing file: {code:?} {said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_taken_port_is_named() -> Result<()> {
    tell("port", LIMIT, async |scratch| {
        for which in ["irc", "web"] {
            let gateway = Gateway::prepare(scratch, "http://127.0.0.1:9", &GatewayOptions::default())?;
            let address = if which == "irc" { &gateway.irc } else { &gateway.web };
            let taken = TcpListener::bind(address)?;
            let (code, said) = run(gateway.config()).await?;
            ensure!(code == Some(4), "{which}: {code:?} {said}");
            ensure!(said.contains(address.as_str()), "{which}: {address} is not named in {said}");
            drop(taken);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() -> Result<()> {
    tell("datadir", LIMIT, async |scratch| {
        let blocked = scratch.join("blocked");
        std::fs::write(&blocked, "a file where a directory should be")?;
        let options = GatewayOptions { data_dir: blocked.clone(), ..GatewayOptions::default() };
        let gateway = Gateway::prepare(scratch, "http://127.0.0.1:9", &options)?;
        let (code, said) = run(gateway.config()).await?;
        ensure!(code == Some(4) && said.contains("blocked"), "{code:?} {said}");
        Ok(())
    })
    .await
}

/// A small file system that is taken down with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where we may not mount.
    fn mount(at: PathBuf, size: &str) -> Result<Option<Self>> {
        std::fs::create_dir_all(&at)?;
        let options = format!("size={size},mode=0700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        Ok(status.is_ok_and(|done| done.status.success()).then_some(Self(at)))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program that is just being killed may still hold files.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    for size in [64 << 10, 4 << 10, 512, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_told() -> Result<()> {
    tell("disk", LIMIT, async |scratch| full_disk(scratch).await).await
}

async fn full_disk(scratch: &Scratch) -> Result<()> {
    let Some(disk) = SmallDisk::mount(scratch.join("disk"), "24m")? else {
        // Not by a macro: the test runner would swallow it.
        writeln!(
            std::io::stderr(),
            "SKIPPED a_full_disk_loses_nothing_and_is_told: cannot mount a tmpfs here"
        )?;
        return Ok(());
    };
    let options = GatewayOptions { data_dir: disk.0.join("data"), ..GatewayOptions::default() };
    let mut stage = Stage::set_with(scratch, 1, &options).await?;
    let mut client = stage.client(0, "disk").await?;
    stage.sim.say("account0", "c1", "c1", "disk before").await?;
    let nick = client.expect_text("disk before").await?.source.nick;
    let filler = disk.0.join("filler");
    fill(&filler)?;
    // More than the pages that the database's files have already.
    stage.sim.burst("account0", "c1", "c1", &format!("disk {}", "x".repeat(300)), FLOOD).await?;
    until("a log line about the full disk", SOON, async || {
        let log = stage.gateway().logged().to_lowercase();
        Ok((log.contains("full") || log.contains("space")).then_some(()))
    })
    .await?;
    client.say(&nick, "typed on a full disk").await?;
    let told = client
        .expect("a word about the line that could not be stored", |line| {
            !line.is_said() && line.last().contains("typed on a full disk")
        })
        .await?;
    println!("told on a full disk: {told}");
    stage.gateway_mut()?.assert_up()?;
    ensure!(stage.gateway().get("/healthz", &[]).await?.status == 200, "not alive on a full disk");
    until("a gateway that is not ready", SOON, async || {
        let ready = stage.gateway().get("/readyz", &[]).await?;
        Ok((ready.status == 503 && ready.text().contains("keeps nothing")).then_some(()))
    })
    .await?;
    let metrics = stage.gateway().get("/metrics", &[]).await?.text();
    ensure!(metrics.contains("\nwxgate_store_up 0\n"), "who watches numbers is not told: {metrics}");
    let (status, ..) = stage.gateway().try_cli(&["user", "token", USER], None).await?;
    ensure!(!status.success(), "a token was made that nothing could keep");
    std::fs::remove_file(&filler)?;
    // What failed for want of room leaves nothing behind in which a later order could get stuck.
    until("an order to be kept", CATCH_UP, async || {
        let (status, ..) =
            stage.gateway().try_cli(&["user", "add", "later", "--password-stdin"], Some("sesame\n")).await?;
        Ok(status.success().then_some(()))
    })
    .await?;
    let last = format!(" {}", FLOOD - 1);
    client
        .expect_within(CATCH_UP, "the last line", |line| line.is_said() && line.last().ends_with(&last))
        .await?;
    client.drain().await?;
    let mut shown = Shown::default();
    shown.take(client.said().filter(|line| line.source.nick == nick))?;
    let ledger = stage.sim.ledger("account0").await?;
    shown.check("account0", &ledger, "disk ")?;
    let heard = ledger.iter().filter(|entry| entry.is_heard() && entry.text.contains("typed on")).count();
    let honest = if told.last().contains("may not") { heard <= 1 } else { heard == 0 };
    ensure!(honest, "told “{told}”, but it was heard {heard} times");
    client.say(&nick, "typed after the flood").await?;
    client.expect_text("typed after the flood").await?;
    // What was answered with "added" is there after a sudden end.
    stage.gateway_mut()?.kill().await?;
    stage.gateway_mut()?.run().await?;
    let users = stage.gateway().cli(&["user", "list"], None).await?;
    ensure!(users.contains("later"), "an order that was confirmed is lost: {users}");
    stage.end().await.context("after the disk was full")
}
