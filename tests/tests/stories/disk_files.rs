//! A disk that does not take files beside the database: attachments on their way in, and the copy of a backup.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::fault::{About, Act, Call, Errno, Fault, Order};
use wxgate_tests::fleet::name;
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(200);
const SOON: Duration = Duration::from_secs(40);
/// Once the disk takes files again; a download is tried after pauses that grow.
const CATCH_UP: Duration = Duration::from_secs(90);
/// Tries that fail before the disk is well again: the pauses between more of them double.
const TRIES: u32 = 1;

const fn order(calls: &'static [Call], part: &'static str, errno: Errno) -> Order {
    Order { calls, about: About::Within(part), act: Act::Fail(errno, None), skip: 0 }
}

/// While its bytes come, at their end, and when it gets its name.
const ATTACHMENTS: &[(&str, Order)] = &[
    ("no room", order(&[Call::Write], "/media/incoming/", Errno::NoSpace)),
    ("a write that fails", order(&[Call::Write], "/media/incoming/", Errno::Io)),
    ("a file that cannot be synced", order(&[Call::Sync], "/media/incoming/", Errno::Io)),
    ("a name that cannot be given", order(&[Call::Rename], "/media/incoming/", Errno::NoSpace)),
    ("a directory that cannot be synced", order(&[Call::Sync], "/media", Errno::Io)),
];

/// A gateway behind the fault library.
async fn scene(scratch: &Scratch) -> Result<(Stage, Fault)> {
    let fault = Fault::build(scratch.path())?;
    let options = GatewayOptions { env: fault.env(), ..GatewayOptions::default() };
    let mut stage = Stage::set_with(scratch, 1, &options).await?;
    fault.assert_loaded_in(stage.gateway_mut()?.program()?.pid())?;
    Ok((stage, fault))
}

async fn struck(fault: &Fault, times: u32) -> Result<()> {
    until("the trouble to strike", SOON, async || Ok((fault.struck()? >= times).then_some(()))).await
}

/// Names below a directory; none when it is not there.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_the_disk_does_not_take_holds_nobody_up_and_comes_when_it_does() -> Result<()> {
    tell("attachments", LIMIT, async |scratch| {
        let (mut stage, fault) = scene(scratch).await?;
        let mut client = stage.client(0, "x").await?;
        for (n, (what, order)) in ATTACHMENTS.iter().enumerate() {
            late(&stage, &fault, &mut client, (n, order)).await.context(*what)?;
        }
        let left = names_in(&stage.gateway().data_dir().join("media/incoming"));
        ensure!(left.is_empty(), "left behind: {left:?}");
        stage.gateway_mut()?.assert_up()?;
        stage.end().await
    })
    .await
}

async fn late(
    stage: &Stage,
    fault: &Fault,
    client: &mut IrcClient,
    (n, order): (usize, &Order),
) -> Result<()> {
    fault.arm(order)?;
    let file = format!("late{n}.pdf");
    let id = stage.sim.tell(&name(0), "c1", "c1", json!({"kind": "file", "name": file})).await?;
    let is_it =
        |line: &Line| line.is_said() && line.last().contains("http://") && line.last().contains(&file);
    let line = client.expect(&format!("a link to {file}"), is_it).await?;
    let link = line
        .last()
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .context("no link")?
        .to_owned();
    struck(fault, TRIES).await?;
    // Texts go on meanwhile, and whoever opens the link is told to come again.
    let text = format!("beside {file}");
    stage.sim.say(&name(0), "c1", "c1", &text).await?;
    client.expect_text(&text).await?;
    let early = stage.gateway().open_link(&link).await?;
    ensure!(early.status == 503, "while it is on its way: {}: {}", early.status, early.text());
    fault.disarm()?;
    let answer = until("the file behind the link", CATCH_UP, async || {
        let answer = stage.gateway().open_link(&link).await?;
        Ok((answer.status != 503).then_some(answer))
    });
    let answer = answer.await?.good("the link")?;
    ensure!(answer.body == stage.sim.media(&name(0), id).await?, "the bytes differ");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_the_disk_does_not_take_is_told_and_leaves_nothing_behind() -> Result<()> {
    tell("backup-full", LIMIT, async |scratch| {
        let (mut stage, fault) = scene(scratch).await?;
        let mut client = stage.client(0, "x").await?;
        stage.sim.say(&name(0), "c1", "c1", "before").await?;
        client.expect_text("before").await?;
        let dir = scratch.join("backups");
        std::fs::create_dir(&dir)?;
        let file = dir.join("backup.tar").to_string_lossy().into_owned();
        let aside = stage.gateway().data_dir().join("snapshot.tmp");
        // At its first page and in the middle of it.
        for (errno, skip) in [(Errno::NoSpace, 0), (Errno::Io, 0), (Errno::NoSpace, 5)] {
            fault.arm(&Order { skip, ..order(&[Call::Write], "/snapshot.tmp/", errno) })?;
            let (status, out, err) = stage.gateway().try_cli(&["backup", &file], None).await?;
            let what = format!("{errno:?} after {skip}: {status}: {out}{err}");
            ensure!(fault.struck()? > 0, "the copy was not written: {what}");
            ensure!(!status.success() && err.contains("making a snapshot failed"), "{what}");
            ensure!(
                !aside.exists() && names_in(&dir).is_empty(),
                "left behind: {:?}, {what}",
                names_in(&dir)
            );
            // Who talks notices nothing.
            let text = format!("during {errno:?} {skip}");
            stage.sim.say(&name(0), "c1", "c1", &text).await?;
            client.expect_text(&text).await?;
        }
        fault.disarm()?;
        stage.gateway().cli(&["backup", &file], None).await?;
        ensure!(names_in(&dir) == ["backup.tar"] && !aside.exists(), "{:?}", names_in(&dir));
        stage.gateway_mut()?.assert_up()?;
        stage.end().await
    })
    .await
}
