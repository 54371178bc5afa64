//! People of a group with connections of their own, on an old and on a modern network.

use anyhow::{Result, bail, ensure};
use wxgate_tests::irc::IrcClient;
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

use crate::{LIMIT, SOON, judge, linked, speaker};

/// Said one after the other; the puppet may be killed at any of them.
const LINES: u32 = 30;

/// Says something until it is said by the puppet: the network may have told `bob` of it before it tells the relay, which
/// speaks itself until then.
async fn in_their_own_name(stage: &Stage, bob: &mut IrcClient, (who, nick): (&str, &str)) -> Result<()> {
    for n in 0..50 {
        let text = format!("in my own name {n}");
        stage.sim.say("account0", "g0", who, &text).await?;
        let line = bob.expect("it", |line| line.verb == "PRIVMSG" && line.last().contains(&text)).await?;
        if line.source.nick == nick {
            ensure!(line.last() == text, "{line}");
            return Ok(());
        }
        ensure!(line.source.nick == "relay" && line.last().starts_with('<'), "{line}");
    }
    bail!("the puppet never speaks")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_speak_by_their_own_connections_on_an_old_network() -> Result<()> {
    told("relay-puppets-old", Kind::Ngircd).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_speak_by_their_own_connections_on_a_modern_network() -> Result<()> {
    told("relay-puppets-modern", Kind::Inspircd).await
}

async fn told(name: &'static str, kind: Kind) -> Result<()> {
    tell(name, LIMIT, async |scratch| {
        let server = Ircd::start(scratch, kind).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = linked(scratch, &server, "puppets = true\nlines_per_minute = 1800").await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;
        let who = speaker(&stage).await?;
        // The first words do not wait for a connection.
        stage.sim.say("account0", "g0", &who, "the first words").await?;
        let first = bob.expect_text("the first words").await?;
        ensure!(first.source.nick == "relay" && first.last().starts_with('<'), "{first}");
        let is_puppet = |nick: &str| nick.ends_with("[wx]");
        let joined = bob
            .expect_within(SOON, "the puppet", |line| line.verb == "JOIN" && is_puppet(&line.source.nick))
            .await?;
        let nick = joined.source.nick.clone();
        ensure!(nick.is_ascii(), "{nick:?} on a network that says nothing of other letters");
        in_their_own_name(&stage, &mut bob, (&who, &nick)).await?;
        // Addressed by the nick, it is a mention over there.
        bob.say("#home", &format!("{nick}: for you")).await?;
        let heard = until("the group to hear it", SOON, async || {
            let ledger = stage.sim.ledger("account0").await?;
            let heard = ledger.into_iter().find(|entry| entry.is_heard() && entry.text.contains("for you"));
            Ok(heard.map(|entry| entry.text))
        })
        .await?;
        ensure!(heard.starts_with("bob: @"), "no mention in {heard:?}");
        // What is said to it alone reaches nobody, and says so.
        bob.say(&nick, "psst").await?;
        bob.expect("an answer", |line| line.verb == "NOTICE" && line.source.nick == nick).await?;
        // Killed in the middle of a burst: the relay goes on, and nothing is lost.
        let operator = server.operator().await?;
        stage.sim.burst("account0", "g0", &who, "a burst", LINES).await?;
        bob.expect_within(SOON, "a burst 5", |line| line.is_said() && line.last().ends_with("a burst 5"))
            .await?;
        operator.send(&format!("KILL {nick} :enough")).await?;
        judge(&mut bob, "a burst", usize::try_from(LINES)?, 1).await?;
        bob.drain().await?;
        let by: Vec<&str> = bob
            .said()
            .filter(|line| line.last().contains("a burst"))
            .map(|l| l.source.nick.as_str())
            .collect();
        ensure!(by.first().is_some_and(|nick| is_puppet(nick)) && by.contains(&"relay"), "{by:?}");
        // Its own words never came back to the group.
        let ledger = stage.sim.ledger("account0").await?;
        let back = ledger.iter().filter(|entry| entry.is_heard() && entry.text.contains("burst")).count();
        ensure!(back == 0, "the group heard itself {back} times");
        stage.end().await
    })
    .await
}
