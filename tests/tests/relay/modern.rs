//! A network with tags, ids, labels and echoes.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;
use wxgate_tests::wait::until;

use crate::{LIMIT, SOON, judge, linked, speaker, wait_network};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_and_a_channel_mirror_each_other() -> Result<()> {
    tell("relay-modern", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Inspircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "charset = \"gb18030\"").await?;
        let mut ann = stage.client(0, "irssi").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        // From the group to the channel.
        let who = speaker(&stage).await?;
        stage.sim.say("account0", "g0", &who, "晚上好 🌙").await?;
        let line = bob.expect_text("晚上好 🌙").await?;
        ensure!(line.source.nick == "relay" && line.last().starts_with('<'), "{line}");
        let in_group = ann.expect_text("晚上好 🌙").await?;
        // From the channel to the group, and to whoever reads the group.
        bob.say("#home", "hello from the channel").await?;
        stage.sim.heard("account0", "bob: hello from the channel").await?;
        let shown = ann.expect_text("hello from the channel").await?;
        ensure!(shown.source.nick == "bob" && shown.param(0) == in_group.param(0), "{shown}");
        ensure!(!shown.tag("msgid").is_empty(), "{shown}");
        // What the owner types in the group's window.
        ann.say(in_group.param(0), "typed at home").await?;
        let line = bob.expect_text("typed at home").await?;
        ensure!(line.last().starts_with('<'), "{line}");
        // A line in another charset ends nothing.
        bob.send_bytes(b"PRIVMSG #home :\xc4\xe3\xba\xc3\r\n").await?;
        stage.sim.heard("account0", "bob: 你好").await?;
        // Nothing came back to where it was said.
        bob.drain().await?;
        let echoes = bob.said().filter(|line| line.last().contains("hello from")).count();
        ensure!(echoes == 0, "the channel got its own words back");
        let links = stage.gateway().cli(&["link", "list"], None).await?;
        ensure!(links.contains("irc:test/#home"), "{links}");
        for (args, part) in [
            (["link", "add", "irc:nowhere/#x", "irc:test/#home"], "there is no network irc:nowhere"),
            (["link", "add", "wechat:account0/nobody at all", "irc:test/#x"], "has no chat"),
            (["link", "add", "irc:test/#home", "irc:test/#other"], "is in a link already"),
        ] {
            let (status, _, told) = stage.gateway().try_cli(&args, None).await?;
            ensure!(status.code() == Some(1) && told.contains(part), "{args:?}: {told}");
        }
        stage.gateway().cli(&["link", "remove", "irc:test/#home"], None).await?;
        bob.expect("the relay leaving", |line| line.verb == "PART" && line.source.nick == "relay").await?;
        stage.end().await
    })
    .await
}

/// The server keeps back what comes faster than a line a second; the relay has been told to be faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_modern_network_keeps_back_is_neither_lost_nor_said_again() -> Result<()> {
    const LINES: u32 = 12;
    tell("relay-lag", LIMIT, async |scratch| {
        let server = Ircd::start_throttled(scratch, Kind::Inspircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "lines_per_minute = 1800").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let who = speaker(&stage).await?;
        let began = Instant::now();
        stage.sim.burst("account0", "g0", &who, "kept back", LINES).await?;
        judge(&mut bob, "kept back", usize::try_from(LINES)?, 0).await?;
        // Without the throttle it is over within a moment.
        ensure!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
        let quits = bob.seen().iter().filter(|line| line.verb == "QUIT").count();
        ensure!(quits == 0, "the relay was thrown out");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_gateway_loses_nothing_and_repeats_at_most_the_line_in_flight() -> Result<()> {
    const LINES: u32 = 60;
    const KILLS: usize = 3;
    tell("relay-kill", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Inspircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let mut stage = linked(scratch, &server, "lines_per_minute = 1800").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let who = speaker(&stage).await?;
        stage.sim.burst("account0", "g0", &who, "under load", LINES).await?;
        for kill in 1..=KILLS {
            let mark = format!("under load {}", kill * 10);
            bob.expect_within(SOON, &mark, |line| line.is_said() && line.last().ends_with(&mark)).await?;
            stage.gateway_mut()?.kill().await?;
            stage.gateway_mut()?.run().await?;
        }
        judge(&mut bob, "under load", usize::try_from(LINES)?, KILLS).await?;
        // The other way: what was handed over before the kill has reached the group, once.
        bob.say("#home", "before the kill").await?;
        stage.sim.heard("account0", "bob: before the kill").await?;
        stage.gateway_mut()?.kill().await?;
        stage.gateway_mut()?.run().await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        bob.say("#home", "after the kill").await?;
        stage.sim.heard("account0", "bob: after the kill").await?;
        let ledger = stage.sim.ledger("account0").await?;
        let heard = ledger.iter().filter(|entry| entry.is_heard() && entry.text.starts_with("bob: ")).count();
        ensure!(heard == 2, "{heard} texts of bob in the group");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nick_comes_back_and_a_ban_is_obeyed() -> Result<()> {
    tell("relay-ban", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Inspircd).await?;
        let squatter = server.person("relay", "#home").await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "").await?;
        Ircd::wait_there(&mut bob, "#home", "relay_").await?;
        squatter.send("QUIT :bye").await?;
        bob.expect_within(SOON, "the nick", |line| {
            line.verb == "NICK" && line.source.nick == "relay_" && line.last() == "relay"
        })
        .await?;
        bob.say("#home", "who is relay?").await?;
        stage.sim.heard("account0", "bob: who is relay?").await?;
        let operator = server.operator().await?;
        operator.send("KLINE relay@* 300 :no relays here").await?;
        let detail = wait_network(&stage, "down").await?;
        ensure!(detail.contains("no relays here") || detail.to_lowercase().contains("k-line"), "{detail}");
        // It stays away, and what is said meanwhile is kept.
        let who = speaker(&stage).await?;
        stage.sim.say("account0", "g0", &who, "kept for later").await?;
        until("the kept delivery", SOON, async || {
            let metrics = stage.gateway().get("/metrics", &[]).await?;
            let text = String::from_utf8_lossy(&metrics.body).into_owned();
            let open = text.lines().any(|l| l.starts_with("wxgate_deliveries_open") && l.ends_with(" 1"));
            Ok(open.then_some(()))
        })
        .await?;
        stage.end().await
    })
    .await
}
