//! A network without tags, with a throttle.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;

use crate::{LIMIT, judge, linked, speaker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_network_takes_what_is_said_and_its_throttle_ends_nothing() -> Result<()> {
    const LINES: u32 = 12;
    tell("relay-old", LIMIT, async |scratch| {
        let server = Ircd::start_throttled(scratch, Kind::Ngircd).await?;
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
