//! A network that turns the relay out, and takes it in again.

use anyhow::{Result, ensure};
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;

use crate::{LIMIT, judge, linked, speaker, wait_network};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_ban_the_relay_comes_back_when_it_is_told_to_and_nothing_is_lost() -> Result<()> {
    tell("relay-ban", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Ngircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let mut operator = server.operator().await?;
        let stage = linked(scratch, &server, "").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let refused = stage.gateway().cli(&["network", "retry", "test"], None).await;
        let why = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(why.contains("irc:test is connected"), "{why:?}");

        operator.send("KLINE relay!*@* 3600 :go away").await?;
        let why = wait_network(&stage, "down").await?;
        ensure!(why.contains("K-Line") && why.contains("wxgate network retry test"), "{why:?}");
        let list = stage.gateway().cli(&["network", "list"], None).await?;
        ensure!(list.contains("irc:test") && list.contains("K-Line"), "{list}");
        let who = speaker(&stage).await?;
        stage.sim.burst("account0", "g0", &who, "banned", 3).await?;
        operator.send("KLINE relay!*@*").await?;
        operator.drain().await?;
        stage.gateway().cli(&["network", "retry", "irc:test"], None).await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        judge(&mut bob, "banned", 3, 0).await?;
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kick_the_relay_enters_at_once_when_it_is_told_to() -> Result<()> {
    tell("relay-kicks", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Ngircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        bob.send("KICK #home relay :by mistake").await?;
        let why = wait_network(&stage, "partial").await?;
        ensure!(why.to_lowercase().contains("not in #home") && why.contains("kicked out"), "{why:?}");
        // The network works: nobody is woken for one channel.
        let metrics = stage.gateway().get("/metrics", &[]).await?.text();
        for line in
            ["wxgate_network_up{network=\"irc:test\"} 1", "wxgate_channels_barred{network=\"irc:test\"} 1"]
        {
            ensure!(metrics.lines().any(|told| told == line), "no {line} in {metrics}");
        }
        let told = stage.gateway().cli(&["network", "retry", "test"], None).await?;
        ensure!(told.to_lowercase().contains("enters #home again"), "{told:?}");
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let who = speaker(&stage).await?;
        stage.sim.burst("account0", "g0", &who, "forgiven", 3).await?;
        judge(&mut bob, "forgiven", 3, 0).await?;
        stage.end().await
    })
    .await
}
