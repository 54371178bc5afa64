//! What an account costs while nothing happens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use super::options::{HOLD, Options};
use super::report::{Aim, Report};
use crate::fleet::{self, USER};
use crate::gateway::Gateway;
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};

const SECTION: &str = "memory";
/// What an idle account may need. Source: issue 4, section 6.
const PLAIN_KIB: f64 = 64.0;
const TLS_KIB: f64 = 110.0;
/// With these the base is taken: connection pools, prepared statements and threads exist once somebody
/// needs them, and are there for all.
const FIRST: u32 = 10;
/// Memory counts as settled when it has changed by less than a hundredth over this time: the gateway
/// gives back what a burst left within two looks, ten seconds apart.
const CALM: Duration = Duration::from_secs(25);
/// … and is taken as it is after this time.
const CALM_LIMIT: Duration = Duration::from_secs(150);

/// Measures. What the programs said is shown when it fails: with thousands of accounts nobody wants to try again.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-memory")?;
    let measured = Box::pin(measure_in(&scratch, options, report)).await;
    if measured.is_err() {
        eprintln!("{}", scratch.log_tails());
    }
    measured
}

async fn measure_in(scratch: &Scratch, options: &Options, report: &mut Report) -> Result<()> {
    let most = options.sizes.iter().copied().max().unwrap_or(0);
    let world = SimOptions {
        accounts: most,
        contacts: 500,
        groups: 20,
        hold_seconds: HOLD.as_secs_f64(),
        ..SimOptions::default()
    };
    let mut quiet = options.quiet_gateway().await?;
    let sim = Arc::new(match options.tls {
        true => {
            let certificate = scratch.join("service.pem");
            quiet.env.push(("SSL_CERT_FILE".to_owned(), certificate.display().to_string()));
            Sim::start_tls(scratch, &world, &certificate).await?
        }
        false => Sim::start(scratch, &world).await?,
    });
    let most_each = if options.tls { TLS_KIB } else { PLAIN_KIB };
    let mut gateway = Arc::new(Gateway::start(scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    let empty = settled(&mut gateway).await?;
    report.add(SECTION, "without accounts", mib(empty), "MiB", Aim::None);
    fleet::sign_in(&gateway, &sim, 0..FIRST, options.growth).await?;
    let base = settled(&mut gateway).await?;
    report.add(SECTION, format!("base: with the first {FIRST} accounts"), mib(base), "MiB", Aim::None);
    let (mut have, mut before, mut idle_before) = (FIRST, base, None);
    for &size in &options.sizes {
        let begun = Instant::now();
        fleet::sign_in(&gateway, &sim, have..size, options.growth).await?;
        report.add(
            SECTION,
            format!("{size} accounts: signing in took"),
            begun.elapsed().as_secs_f64(),
            "s",
            Aim::None,
        );
        let rss = settled(&mut gateway).await?;
        let each = kib_each(rss, base, size - FIRST);
        per_account(report, most_each, &format!("{size} accounts: each beyond the base"), each);
        let raw = kib_each(rss, empty, size);
        report.add(SECTION, format!("{size} accounts: each, all counted"), raw, "KiB", Aim::None);
        if have > FIRST {
            let each = kib_each(rss, before, size - have);
            per_account(report, most_each, &format!("{have} to {size} accounts: each more"), each);
        }
        (have, before) = (size, rss);
        if size == options.idle_size || size == most || options.is_exact {
            let share = idle(options, report, &mut gateway, size).await?;
            if let Some((fewer, less)) = idle_before {
                // What does not depend on accounts is in both, so that twice as many may cost less than twice.
                let ratio = (share / less) / (f64::from(size) / f64::from(fewer));
                let what =
                    format!("{fewer} to {size} accounts: idle processor, over that of as many times as much");
                report.add(SECTION, what, ratio, "times", Aim::AtMost(1.2));
            }
            idle_before = Some((size, share));
        }
    }
    let begun = Instant::now();
    Arc::get_mut(&mut gateway).context("the gateway is in use")?.stop().await?;
    Arc::get_mut(&mut gateway).context("the gateway is in use")?.run().await?;
    fleet::polling(&sim, have, options.growth).await?;
    report.add(
        SECTION,
        format!("{have} accounts: restart took"),
        begun.elapsed().as_secs_f64(),
        "s",
        Aim::AtMost(60.0),
    );
    let rss = settled(&mut gateway).await?;
    let each = kib_each(rss, empty, have);
    per_account(report, most_each, &format!("{have} accounts resumed: each, all counted"), each);
    sim.assert_no_violations().await
}

fn per_account(report: &mut Report, most: f64, what: &str, each: f64) {
    report.add(SECTION, what, each, "KiB", Aim::AtMost(most));
}

fn kib_each(rss: u64, base: u64, accounts: u32) -> f64 {
    rss.saturating_sub(base) as f64 / f64::from(accounts.max(1)) / 1024.0
}

/// Processor time of the gateway while its accounts wait in their polls.
async fn idle(
    options: &Options,
    report: &mut Report,
    gateway: &mut Arc<Gateway>,
    accounts: u32,
) -> Result<f64> {
    let program = Arc::get_mut(gateway).context("the gateway is in use")?.program()?;
    let (begun, before) = (Instant::now(), program.cpu()?);
    tokio::time::sleep(options.idle_time).await;
    let share = (program.cpu()? - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let aim = Aim::AtMost(5.0 * f64::from(accounts) / 1_000.0);
    report.add(SECTION, format!("{accounts} accounts: idle processor"), share, "% of a core", aim);
    Ok(share)
}

/// Resident memory once it has come to rest.
pub(super) async fn settled(gateway: &mut Arc<Gateway>) -> Result<u64> {
    settled_one(Arc::get_mut(gateway).context("the gateway is in use")?).await
}

/// The same of one that nobody else uses.
pub(super) async fn settled_one(gateway: &mut Gateway) -> Result<u64> {
    settled_within(gateway, CALM_LIMIT).await
}

/// The same where a second look is enough.
pub(super) async fn settled_soon(gateway: &mut Gateway) -> Result<u64> {
    settled_within(gateway, 2 * CALM).await
}

async fn settled_within(gateway: &mut Gateway, limit: Duration) -> Result<u64> {
    gateway.assert_up()?;
    let program = gateway.program()?;
    let end = Instant::now() + limit;
    let mut last = program.rss_bytes()?;
    loop {
        tokio::time::sleep(CALM).await;
        let now = program.rss_bytes()?;
        if now.abs_diff(last) < last / 100 || Instant::now() >= end {
            return Ok(now);
        }
        last = now;
    }
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
