//! A backup taken in the middle of traffic, restored elsewhere: everything once.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::fleet::{self, USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::irc::IrcClient;
use wxgate_tests::postgres;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::Sim;
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Shown;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);
const ACCOUNTS: u32 = 2;
/// Texts that each account is told, before, during and after the backup.
const TOLD: u32 = 60;
/// Lines go to these by turns.
const LISTENERS: [&str; 2] = ["c1", "c2"];
/// Lines that are typed before the backup: fewer than are read at once; the pace keeps most of them in their lane.
const TYPED: u32 = 8;
/// Lines that are said between a backup and its restore, and as many afterwards.
const LOST: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_in_the_middle_of_traffic_goes_on_elsewhere_with_everything_once() -> Result<()> {
    tell("backup", LIMIT, async |scratch| goes_on_elsewhere(scratch, ["", ""].map(str::to_owned)).await).await
}

/// The server's own programs write the database and put it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_backup_goes_on_in_another_database() -> Result<()> {
    let (Some(here), Some(there)) = (postgres::fresh().await?, postgres::fresh().await?) else {
        return Ok(());
    };
    tell("backup-postgres", LIMIT, async |scratch| {
        goes_on_elsewhere(scratch, [here.clone(), there.clone()]).await
    })
    .await
}

/// From the first store to the second.
async fn goes_on_elsewhere(scratch: &Scratch, [here, there]: [String; 2]) -> Result<()> {
    let options = GatewayOptions { sends_per_minute: 120, store: here, ..GatewayOptions::default() };
    let mut stage = Stage::set_with(scratch, ACCOUNTS, &options).await?;
    // Known to the gateway, away while things happen.
    let mut client = stage.client(0, "desk").await?;
    let mut nicks = Vec::new();
    for who in LISTENERS {
        stage.sim.say(&name(0), who, who, &format!("come in {who}")).await?;
        nicks.push(client.expect_text(&format!("come in {who}")).await?.source.nick);
    }
    let mut typist = stage.client(0, "typist").await?;
    client.send("QUIT").await?;
    client.expect_close(SOON).await?;

    let file = scratch.join("backup.tar");
    let path = file.to_string_lossy().into_owned();
    let telling = talk(&stage.sim);
    let backing = async {
        type_lines(&mut typist, &nicks).await?;
        let (status, out, err) = stage.gateway().try_cli(&["backup", &path], None).await?;
        ensure!(status.success() && out.contains("seal.key"), "{status}: {out}{err}");
        ensure!(err.contains("Backup: ") && err.contains(" of "), "no progress: {err}");
        Ok(())
    };
    tokio::try_join!(telling, backing)?;
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "others may read it");
    ensure!(!stage.gateway().data_dir().join("snapshot.tmp").exists(), "the snapshot was left behind");
    let again = stage.gateway().try_cli(&["backup", &path], None).await?;
    ensure!(again.0.code() == Some(1) && again.2.contains("exists already"), "{again:?}");
    stage.gateway_mut()?.kill().await?;

    let options = GatewayOptions { store: there, ..options };
    let elsewhere = restored(scratch, &stage, &path, &options).await?;
    told_once(&elsewhere, &stage.sim).await?;
    heard_once(&stage.sim).await?;
    stage.sim.assert_no_violations_but_lost_cookies().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_after_a_restore_is_not_taken_for_what_was_said_since_the_backup() -> Result<()> {
    tell("backup-numbers", LIMIT, async |scratch| {
        let options = GatewayOptions { sends_per_minute: 6000, ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, ACCOUNTS, &options).await?;
        let mut typist = stage.client(0, "typist").await?;
        stage.sim.say(&name(0), "c1", "c1", "come in").await?;
        let nick = typist.expect_text("come in").await?.source.nick;
        let path = scratch.join("numbers.tar").to_string_lossy().into_owned();
        stage.gateway().cli(&["backup", &path], None).await?;
        for n in 0..LOST {
            typist.say(&nick, &format!("since {n}")).await?;
            stage.sim.heard(&name(0), &format!("since {n}")).await?;
        }
        stage.gateway_mut()?.kill().await?;

        let elsewhere = restored(scratch, &stage, &path, &options).await?;
        let typist = elsewhere.client(USER, &name(0), "typist").await?;
        for n in 0..LOST {
            typist.say(&nick, &format!("then {n}")).await?;
            stage.sim.heard(&name(0), &format!("then {n}")).await?;
        }
        let ledger = stage.sim.ledger(&name(0)).await?;
        let heard = ledger.iter().filter(|entry| entry.is_heard()).count();
        ensure!(heard == 2 * LOST, "{heard} of {} were heard", 2 * LOST);
        stage.sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}

async fn talk(sim: &Sim) -> Result<()> {
    for n in 0..TOLD {
        for at in 0..ACCOUNTS {
            for chat in ["c1", "c2", "g0"] {
                let from = if chat == "g0" { "m0.2" } else { chat };
                sim.say(&name(at), chat, from, &format!("told {chat} {n}")).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

/// The turns keep two lines from becoming one message; by the echo of the last but one all were taken. A line that is
/// still looked at when the backup is made is said by both, as after any restore.
async fn type_lines(client: &mut IrcClient, nicks: &[String]) -> Result<()> {
    for n in 0..TYPED {
        let nick = nicks.get(n as usize % LISTENERS.len()).context("no such listener")?;
        client.say(nick, &format!("typed {n}")).await?;
    }
    client.expect_text(&format!("typed {}", TYPED - 2)).await?;
    Ok(())
}

/// The key is brought separately, as the backup's last words say.
async fn restored(scratch: &Scratch, stage: &Stage, path: &str, options: &GatewayOptions) -> Result<Gateway> {
    let data_dir = scratch.join("elsewhere");
    let more = GatewayOptions { name: "elsewhere".to_owned(), data_dir: data_dir.clone(), ..options.clone() };
    let mut gateway = Gateway::prepare(scratch, &stage.sim.url(), &more)?;
    let used = stage.gateway().try_cli(&["restore", path], None).await?;
    ensure!(used.0.code() == Some(1) && used.2.contains("exists already"), "over the old one: {used:?}");
    std::fs::create_dir_all(&data_dir)?;
    std::fs::copy(stage.gateway().data_dir().join("seal.key"), data_dir.join("seal.key"))?;
    let out = gateway.cli(&["restore", path], None).await?;
    ensure!(out.contains("Restored into"), "{out}");
    gateway.run().await?;
    fleet::polling(&stage.sim, ACCOUNTS, SOON).await?;
    for at in 0..ACCOUNTS {
        let logins = stage.sim.logins_of(&name(at)).await?;
        ensure!(logins == 1, "{} has signed in {logins} times: the session did not come along", name(at));
    }
    Ok(gateway)
}

async fn told_once(gateway: &Gateway, sim: &Sim) -> Result<()> {
    let mut client = gateway.client(USER, &name(0), "desk").await?;
    client.expect_text(&format!("told g0 {}", TOLD - 1)).await?;
    client.drain().await?;
    let mut shown = Shown::default();
    shown.take(client.said())?;
    let count = shown.check(&name(0), &sim.ledger(&name(0)).await?, "told ")?;
    ensure!(count == 3 * TOLD as usize, "{count} were told");
    Ok(())
}

/// What waited in its lane is sent by the restored gateway; what was sent already is recognised by its id.
async fn heard_once(sim: &Sim) -> Result<()> {
    for n in 0..TYPED {
        sim.heard(&name(0), &format!("typed {n}")).await?;
    }
    let ledger = sim.ledger(&name(0)).await?;
    let heard: Vec<(&str, &str)> = ledger
        .iter()
        .filter(|entry| entry.is_heard() && entry.text.starts_with("typed"))
        .map(|entry| (entry.chat.as_str(), entry.text.as_str()))
        .collect();
    let typed: Vec<String> = (0..TYPED).map(|n| format!("typed {n}")).collect();
    for (at, who) in LISTENERS.iter().enumerate() {
        let lane: Vec<&str> = heard.iter().filter(|(chat, _)| chat == who).map(|(_, text)| *text).collect();
        let theirs: Vec<&str> = typed.iter().skip(at).step_by(LISTENERS.len()).map(String::as_str).collect();
        ensure!(lane == theirs, "{who} heard {heard:?}");
    }
    ensure!(heard.len() == typed.len(), "somebody else heard: {heard:?}");
    Ok(())
}
