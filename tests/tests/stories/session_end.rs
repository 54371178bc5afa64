//! Sessions end from outside, and outlive the program.

use std::time::Duration;

use anyhow::{Result, ensure};
use wxgate_tests::fleet;
use wxgate_tests::irc::Line;
use wxgate_tests::scratch::tell;
use wxgate_tests::truth::Shown;

use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_is_told_and_comes_back() -> Result<()> {
    tell("ended", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 2).await?;
        let (mut client, mut other) = (stage.client(0, "x").await?, stage.client(1, "x").await?);
        stage.sim.say("account0", "c1", "c1", "end before").await?;
        let nick = client.expect_text("end before").await?.source.nick;
        stage.sim.end_session("account0", 1_101).await?;
        let detail = stage.gateway().wait_state("account0", "needs_human", SOON).await?;
        ensure!(!detail.is_empty(), "nobody is told what to do");
        let about = |line: &Line| {
            line.verb == "NOTICE" && line.source.nick == "wechat" && line.last().starts_with("account0 is")
        };
        let word = client.expect("a word from the service", about).await?.last().to_owned();
        println!("told: {word}");
        ensure!(
            word.contains("ended the session") && word.contains("confirm the sign-in on the phone"),
            "{word}"
        );
        // Who comes now hears the same.
        let mut late = stage.client(0, "late").await?;
        ensure!(
            late.expect("a word from the service", about).await?.last() == word,
            "another word for the late"
        );
        client.say(&nick, "typed while signed out").await?;
        let told =
            client.expect("a word about the line", |line| line.last().contains("typed while signed out"));
        ensure!(!told.await?.is_said(), "a line is shown as said while nobody is signed in");
        stage.sim.say("account1", "c1", "c1", "the other goes on").await?;
        other.expect_text("the other goes on").await?;

        stage.sign_in_again("account0").await?;
        stage.sim.say("account0", "c1", "c1", "end after").await?;
        let line = client.expect_text("end after").await?;
        ensure!(line.source.nick == nick, "the same person has another nick: {nick}, {}", line.source.nick);
        for client in [&mut client, &mut late] {
            client.drain().await?;
            let words: Vec<&str> =
                client.seen().iter().filter(|line| about(line)).map(|line| line.last()).collect();
            ensure!(words == [word.as_str(), "account0 is online"], "{words:?}");
        }
        let mut shown = Shown::default();
        shown.take(client.said())?;
        shown.check("account0", &stage.sim.ledger("account0").await?, "end ")?;
        let ledger = stage.sim.ledger("account0").await?;
        ensure!(!ledger.iter().any(|entry| entry.text == "typed while signed out"), "it was sent after all");
        signed_out(&stage).await?;
        stage.end().await
    })
    .await
}

/// The owner ends the session by command, which ends it at WeChat too, and nobody else's.
async fn signed_out(stage: &Stage) -> Result<()> {
    let sign_out = ["account", "sign-out", "account0"];
    let said = stage.gateway().cli(&sign_out, None).await?;
    ensure!(said.trim() == "account0 is being signed out.", "{said}");
    let detail = stage.gateway().wait_state("account0", "needs_human", SOON).await?;
    ensure!(detail == "sign the account in", "{detail}");
    let stats = stage.sim.stats().await?;
    ensure!(stats["sessions"] == 1, "the phone still shows the session: {stats}");
    let (status, _, why) = stage.gateway().try_cli(&["account", "sign-out", "nobody"], None).await?;
    ensure!(status.code() == Some(1) && why.contains("there is no account nobody"), "{status}: {why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_costs_no_scan_and_no_message() -> Result<()> {
    tell("restart", LIMIT, async |scratch| {
        let mut stage = Stage::set(scratch, 3).await?;
        let mut client = stage.client(1, "x").await?;
        stage.sim.say("account1", "c1", "c1", "restart before").await?;
        client.expect_text("restart before").await?;
        let status = stage.gateway_mut()?.stop().await?;
        ensure!(status.success(), "SIGTERM ended it with {status}");
        client.expect("a farewell", |line| line.verb == "ERROR").await?;
        client.expect_close(SOON).await?;
        let mut shown = Shown::default();
        shown.take(client.said())?;
        stage.sim.burst("account1", "c1", "c1", "restart while away", 20).await?;
        stage.gateway_mut()?.run().await?;
        fleet::polling(&stage.sim, 3, SOON).await?;
        let mut client = stage.client(1, "x").await?;
        client.expect_text("restart while away 19").await?;
        client.drain().await?;
        shown.take(client.said())?;
        shown.check("account1", &stage.sim.ledger("account1").await?, "restart ")?;
        for account in ["account0", "account1", "account2"] {
            let logins = stage.sim.logins_of(account).await?;
            ensure!(logins == 1, "{account} has signed in {logins} times");
            stage.gateway().wait_state(account, "up", SOON).await?;
        }
        stage.end().await
    })
    .await
}
