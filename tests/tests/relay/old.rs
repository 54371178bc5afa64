//! A network without tags, with a throttle, of two servers that part.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;
use wxgate_tests::ircd::{Ircd, IrcdOptions, Kind, Peer};
use wxgate_tests::ports;
use wxgate_tests::scratch::tell;

use crate::{LIMIT, SOON, judge, linked, speaker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_network_takes_what_is_said_and_its_throttle_ends_nothing() -> Result<()> {
    const LINES: u32 = 12;
    tell("relay-old", LIMIT, async |scratch| {
        let options = IrcdOptions { is_throttled: true, ..IrcdOptions::default() };
        let server = Ircd::start_with(scratch, Kind::Ngircd, "irc-a.test", ports::free()?, &options).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        bob.say("#home", "你好 from an old network").await?;
        stage.sim.heard("account0", "bob: 你好 from an old network").await?;
        let who = speaker(&stage).await?;
        let began = Instant::now();
        stage.sim.burst("account0", "g0", &who, "gently", LINES).await?;
        judge(&mut bob, "gently", usize::try_from(LINES)?, 0).await?;
        // Five at once, then one every two seconds: no faster, whatever waits.
        ensure!(began.elapsed() > Duration::from_secs(10), "{:?}", began.elapsed());
        let quits = bob.seen().iter().filter(|line| line.verb == "QUIT").count();
        ensure!(quits == 0, "the relay was thrown out");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_while_the_server_is_dead_or_split_off_arrives_later() -> Result<()> {
    tell("relay-split", LIMIT, async |scratch| {
        let (port_a, port_b) = (ports::free()?, ports::free()?);
        let peer = |name: &str, port| IrcdOptions {
            peer: Some(Peer { name: name.to_owned(), port }),
            ..IrcdOptions::default()
        };
        let (to_a, to_b) = (peer("irc-a.test", port_a), peer("irc-b.test", port_b));
        let mut a = Ircd::start_with(scratch, Kind::Ngircd, "irc-a.test", port_a, &to_b).await?;
        let b = Ircd::start_with(scratch, Kind::Ngircd, "irc-b.test", port_b, &to_a).await?;
        // Bob is on the one server, the relay on the other.
        let mut bob = b.person("bob", "#home").await?;
        let operator = b.operator().await?;
        operator.send("CONNECT irc-a.test").await?;
        let stage = linked(scratch, &a, "lines_per_minute = 1800").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let who = speaker(&stage).await?;
        stage.sim.burst("account0", "g0", &who, "whole", 5).await?;
        judge(&mut bob, "whole", 5, 0).await?;
        // The servers part: nobody is left who would hear the relay, so it waits.
        operator.send("SQUIT irc-a.test :a split").await?;
        bob.expect("the split", |line| line.verb == "QUIT" && line.source.nick == "relay").await?;
        stage.sim.burst("account0", "g0", &who, "split", 5).await?;
        operator.send("CONNECT irc-a.test").await?;
        judge(&mut bob, "split", 5, 0).await?;
        // The relay's own server dies and comes back.
        a.kill().await?;
        bob.expect_within(SOON, "the end of the relay", |line| {
            line.verb == "QUIT" && line.source.nick == "relay"
        })
        .await?;
        stage.sim.burst("account0", "g0", &who, "dead", 5).await?;
        a.run().await?;
        operator.send("CONNECT irc-a.test").await?;
        judge(&mut bob, "dead", 5, 1).await?;
        bob.say("#home", "welcome back").await?;
        stage.sim.heard("account0", "bob: welcome back").await?;
        stage.end().await
    })
    .await
}
