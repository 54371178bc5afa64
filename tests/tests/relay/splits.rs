//! Networks of two servers that part, and a relay that is killed: what is said meanwhile arrives afterwards.

use anyhow::Result;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;

use crate::{LIMIT, SOON, judge, linked, speaker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_while_an_old_server_is_dead_or_split_off_arrives_later() -> Result<()> {
    told("relay-split-old", Kind::Ngircd).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_while_a_modern_server_is_dead_or_split_off_arrives_later() -> Result<()> {
    told("relay-split-modern", Kind::Inspircd).await
}

/// Waits until the relay is gone, as somebody on the other server sees it.
async fn gone(bob: &mut IrcClient, what: &str) -> Result<()> {
    bob.expect_within(SOON, what, |line| line.verb == "QUIT" && line.source.nick == "relay").await.map(drop)
}

async fn told(name: &'static str, kind: Kind) -> Result<()> {
    tell(name, LIMIT, async |scratch| {
        // Bob is on the one server, the relay on the other.
        let (mut a, b) = Ircd::start_two(scratch, kind).await?;
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
        gone(&mut bob, "the split").await?;
        stage.sim.burst("account0", "g0", &who, "split", 5).await?;
        operator.send("CONNECT irc-a.test").await?;
        judge(&mut bob, "split", 5, 0).await?;
        // The relay is thrown out, from the other server.
        operator.send("KILL relay :go away").await?;
        gone(&mut bob, "the kill").await?;
        stage.sim.burst("account0", "g0", &who, "killed", 5).await?;
        judge(&mut bob, "killed", 5, 0).await?;
        // The relay's own server dies and comes back.
        a.kill().await?;
        gone(&mut bob, "the end of the relay's server").await?;
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
