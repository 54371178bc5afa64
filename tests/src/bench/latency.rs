//! From "the service has it" to "the client has the line", beside the floor of the same run.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::floor::{Arrival, Floor};
use super::options::{Options, small_world};
use super::report::{Aim, Report};
use crate::clock::now_us;
use crate::fleet::{self, USER, name};
use crate::gateway::Gateway;
use crate::irc::IrcClient;
use crate::scratch::Scratch;
use crate::sim::Sim;

const SECTION: &str = "latency";
/// Accounts on each side.
pub(super) const ACCOUNTS: u32 = 10;
/// 50 messages per second.
const PACE: Duration = Duration::from_millis(20);
/// Turns.
const ROUNDS: u32 = 10;
/// How long the last line may take.
const LAST: Duration = Duration::from_secs(20);

/// Measures the floor and the gateway by turns, so that a drift of the machine touches both alike.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-latency")?;
    let world = small_world(2 * ACCOUNTS);
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let quiet = options.quiet_gateway().await?;
    let gateway = Arc::new(Gateway::start(&scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..ACCOUNTS, options.growth).await?;
    let clients = fleet::clients(&gateway, 0..ACCOUNTS, "bench").await?;
    let (gateway_sender, mut gateway_lines) = mpsc::channel(4_096);
    let mut readers = JoinSet::new();
    for (_, client) in clients {
        readers.spawn(forward(client, gateway_sender.clone()));
    }
    let (floor_sender, mut floor_lines) = mpsc::channel(4_096);
    let mut floors = Vec::new();
    for at in ACCOUNTS..2 * ACCOUNTS {
        let journal = scratch.join(&format!("journal-{at}"));
        floors.push(Floor::start(&sim, &name(at), &journal, floor_sender.clone()).await?);
    }
    fleet::polling(&sim, 2 * ACCOUNTS, options.growth).await?;

    let (mut floor, mut through) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let count = options.samples / ROUNDS;
        floor.extend(
            sample(&sim, ACCOUNTS..2 * ACCOUNTS, &format!("floor {round}"), count, &mut floor_lines).await?,
        );
        through
            .extend(sample(&sim, 0..ACCOUNTS, &format!("gateway {round}"), count, &mut gateway_lines).await?);
    }
    for running in &mut floors {
        running.check()?;
    }
    sim.assert_no_violations().await?;

    let (floor, through) = (Spread::of(floor), Spread::of(through));
    report.add(SECTION, "floor p50", floor.p50, "ms", Aim::None);
    report.add(SECTION, "floor p99", floor.p99, "ms", Aim::None);
    report.add(SECTION, "gateway p50", through.p50, "ms", Aim::None);
    report.add(SECTION, "gateway p99", through.p99, "ms", Aim::None);
    report.add(SECTION, "p50, gateway over floor", through.p50 / floor.p50, "times", Aim::AtMost(2.0));
    report.add(SECTION, "p99, gateway over floor", through.p99 / floor.p99, "times", Aim::None);
    Ok(())
}

pub(super) async fn forward(mut client: IrcClient, lines: mpsc::Sender<Arrival>) {
    let far = Instant::now() + Duration::from_secs(3_600);
    while let Ok(Some(line)) = client.next(far).await {
        if line.is_said() && lines.send((line.at_us, line.last().to_owned())).await.is_err() {
            return;
        }
    }
}

/// Says `count` texts at the pace and returns each one's way in milliseconds.
pub(super) async fn sample(
    sim: &Sim,
    accounts: Range<u32>,
    mark: &str,
    count: u32,
    lines: &mut mpsc::Receiver<Arrival>,
) -> Result<Vec<f64>> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = HashMap::new();
    for n in 0..count {
        pace.tick().await;
        let text = format!("{mark} {n}");
        let before = now_us();
        let at = accounts.start + n % accounts.len().max(1) as u32;
        sim.say(&name(at), "c1", "c1", &text).await?;
        asked.insert(text, (before, now_us()));
    }
    let mut arrived = HashMap::new();
    let end = Instant::now() + LAST;
    while arrived.len() < asked.len() {
        let next = tokio::time::timeout_at(end, lines.recv()).await;
        let what = || format!("{mark}: {} of {count} lines came", arrived.len());
        let (at, text) = next.with_context(what)?.with_context(what)?;
        if asked.contains_key(&text) {
            ensure!(arrived.insert(text.clone(), at).is_none(), "{text} came twice");
        }
    }
    let mut said = HashMap::new();
    for at in accounts {
        said.extend(sim.ledger(&name(at)).await?.into_iter().map(|entry| (entry.text.clone(), entry)));
    }
    let ways = asked.iter().map(|(text, (before, after))| {
        let entry = said.get(text).with_context(|| format!("{text} is not in the ledger"))?;
        let at = arrived.get(text).copied().unwrap_or_default();
        let had = moment(entry.at_us, entry.at_ms, *before, *after);
        Ok(at.saturating_sub(had) as f64 / 1_000.0)
    });
    ways.collect()
}

/// When the service had it, in microseconds. Where its ledger tells milliseconds only, the moment lies
/// within that millisecond and between our question and its answer: the middle of what is left.
pub(super) fn moment(at_us: u64, at_ms: u64, before: u64, after: u64) -> u64 {
    if at_us != at_ms * 1_000 {
        return at_us;
    }
    let low = before.max(at_ms * 1_000);
    let high = after.min(at_ms * 1_000 + 999).max(low);
    low.midpoint(high)
}

pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| {
            let index = (values.len() * part / 1_000).min(values.len().saturating_sub(1));
            values.get(index).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(500), p99: at(990), p999: at(999) }
    }
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_coarse_stamp_is_narrowed_by_what_we_saw() {
        assert_eq!(moment(5_123, 5, 0, 9_000), 5_123);
        assert_eq!(moment(5_000, 5, 4_800, 5_200), 5_100);
        assert_eq!(moment(5_000, 5, 5_300, 5_500), 5_400);
    }
}
