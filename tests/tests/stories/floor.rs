//! The bench's floor is a true client: what it measures is what the service said.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use wxgate_tests::bench::floor::Floor;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_carries_what_the_service_said() -> Result<()> {
    tell("floor", Duration::from_secs(60), async |scratch| {
        let sim = Sim::start(scratch, &SimOptions::default()).await?;
        let (sender, mut arrivals) = mpsc::channel(64);
        let mut floor = Floor::start(&sim, "account0", &scratch.join("journal"), sender).await?;
        for n in 0..20 {
            let text = format!("floor {n} 你好");
            sim.say("account0", "c1", "c1", &text).await?;
            loop {
                let arrival = tokio::time::timeout(Duration::from_secs(10), arrivals.recv()).await;
                let (_, line) =
                    arrival.with_context(|| format!("wait for {text}"))?.context("the floor ended")?;
                if line == text {
                    break;
                }
            }
        }
        floor.check()?;
        let journal = std::fs::read_to_string(scratch.join("journal"))?;
        ensure!(journal.lines().filter(|line| line.starts_with("floor ")).count() == 20, "{journal}");
        sim.assert_no_violations().await
    })
    .await
}
