//! What a flood on one account does to the others: their latency with it over that without it, in one run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::latency::{ACCOUNTS, Spread, forward, sample};
use super::options::{Options, small_world};
use super::report::{Aim, Report};
use crate::fleet::{self, USER, name};
use crate::gateway::Gateway;
use crate::irc::IrcClient;
use crate::scratch::Scratch;
use crate::sim::Sim;
use crate::truth::Shown;

const SECTION: &str = "fairness";
/// The account that is flooded; those before it are measured.
const FLOODED: u32 = ACCOUNTS;
/// Samples between two looks at whether the flood is over: a second.
const STEP: u32 = 50;
/// Turns: rest and a flood, so that a drift of the machine touches both alike, and so that a p99 is not the fourth worst.
/// The simulated service remembers no more messages of an account than two floods have.
const ROUNDS: u32 = 2;
/// How long the flood may take to arrive.
const LIMIT: Duration = Duration::from_secs(300);

/// Measures ten accounts at rest, and again while an eleventh gets everything at once.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-fairness")?;
    let world = small_world(ACCOUNTS + 1);
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let quiet = options.quiet_gateway().await?;
    let gateway = Arc::new(Gateway::start(&scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..ACCOUNTS + 1, options.growth).await?;
    let (sender, mut lines) = mpsc::channel(4_096);
    let mut readers = JoinSet::new();
    let mut flooded = None;
    for (at, client) in fleet::clients(&gateway, 0..ACCOUNTS + 1, "bench").await? {
        match at {
            FLOODED => flooded = Some(client),
            _ => drop(readers.spawn(forward(client, sender.clone()))),
        }
    }
    let flooded = flooded.context("no client on the account that is flooded")?;
    fleet::polling(&sim, ACCOUNTS + 1, options.growth).await?;

    let (mut alone, mut beside, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut client = flooded;
    for round in 0..ROUNDS {
        let mark = format!("alone {round}");
        alone.extend(sample(&sim, 0..ACCOUNTS, &mark, options.samples / ROUNDS, &mut lines).await?);
        let begun = Instant::now();
        let mut flood: JoinSet<Result<IrcClient>> = JoinSet::new();
        flood.spawn(drink(client, options.flood));
        sim.burst(&name(FLOODED), "c1", "c1", &format!("flood {round}"), options.flood).await?;
        client = loop {
            let mark = format!("beside {}", beside.len());
            beside.extend(sample(&sim, 0..ACCOUNTS, &mark, STEP, &mut lines).await?);
            if let Some(done) = flood.try_join_next() {
                break done??;
            }
        };
        took += begun.elapsed();
    }
    let mut shown = Shown::default();
    shown.take(client.said())?;
    let ledger = sim.ledger(&name(FLOODED)).await?;
    shown.check(&name(FLOODED), &ledger, "flood ")?;
    sim.assert_no_violations().await?;

    ensure!(beside.len() as u32 >= 2 * STEP, "the flood was over before it could be measured");
    let samples = beside.len();
    let (alone, beside) = (Spread::of(alone), Spread::of(beside));
    report.add(SECTION, "others alone, p50", alone.p50, "ms", Aim::None);
    report.add(SECTION, "others alone, p99", alone.p99, "ms", Aim::None);
    let what = format!("others beside a flood, p50 of {samples}");
    report.add(SECTION, what, beside.p50, "ms", Aim::None);
    report.add(SECTION, "others beside a flood, p99", beside.p99, "ms", Aim::None);
    report.add(SECTION, "p50, beside over alone", beside.p50 / alone.p50, "times", Aim::None);
    report.add(SECTION, "p99, beside over alone", beside.p99 / alone.p99, "times", Aim::AtMost(2.0));
    let rate = f64::from(options.flood) * f64::from(ROUNDS) / took.as_secs_f64();
    report.add(SECTION, format!("{ROUNDS} floods of {}", options.flood), rate, "messages/s", Aim::None);
    Ok(())
}

/// Reads until the whole flood has been shown.
async fn drink(mut client: IrcClient, messages: u32) -> Result<IrcClient> {
    let end = Instant::now() + LIMIT;
    let mut have = 0;
    while have < messages {
        let next = client.next(end).await.with_context(|| format!("{have} of {messages} messages"))?;
        let line = next.with_context(|| format!("closed after {have} of {messages} messages"))?;
        have += u32::from(line.is_said() && line.last().starts_with("flood "));
    }
    Ok(client)
}
