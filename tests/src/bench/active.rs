//! What messages cost at one active account and at a thousand: how many a second, how long each takes, and how
//! much is written for it. Every message is on disk before a client sees it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::floor::Arrival;
use super::latency::{Spread, forward, sample};
use super::options::{Options, small_world};
use super::report::{Aim, Report};
use crate::fleet::{self, USER, name};
use crate::gateway::Gateway;
use crate::scratch::Scratch;
use crate::sim::Sim;

const SECTION: &str = "active";
/// How long a burst may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Measures each number of accounts with a service and a gateway of its own.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    for &accounts in &options.active {
        at(options, report, accounts).await?;
    }
    Ok(())
}

async fn at(options: &Options, report: &mut Report, accounts: u32) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-active")?;
    let world = small_world(accounts);
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let quiet = options.quiet_gateway().await?;
    let mut gateway = Arc::new(Gateway::start(&scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..accounts, options.growth).await?;
    let (sender, mut lines) = mpsc::channel(65_536);
    let mut readers = JoinSet::new();
    for (_, client) in fleet::clients(&gateway, 0..accounts, "bench").await? {
        readers.spawn(forward(client, sender.clone()));
    }
    fleet::polling(&sim, accounts, options.growth).await?;

    let ways = sample(&sim, 0..accounts, "paced", options.samples, &mut lines).await?;
    let spread = Spread::of(ways);
    for (what, value) in [("p50", spread.p50), ("p99", spread.p99), ("p99.9", spread.p999)] {
        let what = format!("{accounts} accounts: 50 messages a second, {what}");
        report.add(SECTION, what, value, "ms", Aim::None);
    }

    let program = Arc::get_mut(&mut gateway).context("the gateway is in use")?.program()?;
    let (cpu, written, begun) = (program.cpu()?, program.written_bytes()?, Instant::now());
    let each = (options.messages / accounts).max(1);
    for at in 0..accounts {
        sim.burst(&name(at), "c1", "c1", "burst", each).await?;
    }
    let total = each * accounts;
    all(&mut lines, total).await?;
    let took = begun.elapsed().as_secs_f64();
    let (cpu, written) = (program.cpu()? - cpu, program.written_bytes()? - written);
    let per_message = |value: f64| value / f64::from(total);
    let what = |what: &str| format!("{accounts} accounts, {total} messages at once: {what}");
    report.add(SECTION, what("rate"), f64::from(total) / took, "messages/s", Aim::None);
    report.add(SECTION, what("processor"), per_message(cpu.as_secs_f64() * 1e6), "µs each", Aim::None);
    // With a server elsewhere it writes attachments and nothing else.
    if !options.postgres {
        report.add(SECTION, what("written"), per_message(written as f64), "bytes each", Aim::None);
    }
    drop(readers);
    sim.assert_no_violations().await
}

/// Reads until the whole burst has been shown.
async fn all(lines: &mut mpsc::Receiver<Arrival>, total: u32) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let mut have = 0;
    while have < total {
        let next = tokio::time::timeout_at(end, lines.recv()).await;
        let what = || format!("{have} of {total} messages came");
        let (_, text) = next.with_context(what)?.with_context(what)?;
        have += u32::from(text.starts_with("burst "));
    }
    Ok(())
}
