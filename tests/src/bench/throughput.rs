//! Messages per second from the service into attached clients, every one of them durable first.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::options::{Options, small_world};
use super::report::{Aim, Report};
use crate::clock::now_us;
use crate::fleet::{self, USER, name};
use crate::gateway::Gateway;
use crate::irc::IrcClient;
use crate::scratch::Scratch;
use crate::sim::Sim;
use crate::truth::Shown;

const SECTION: &str = "throughput";
/// Chats in which each account is spoken to.
const CHATS: u32 = 2;
/// How long a fleet may take for its messages.
const LIMIT: Duration = Duration::from_secs(120);

/// Measures each fleet with a service and a gateway of its own.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    for &accounts in &options.fleets {
        measure_fleet(options, report, accounts).await?;
    }
    Ok(())
}

async fn measure_fleet(options: &Options, report: &mut Report, accounts: u32) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-throughput")?;
    let world = small_world(accounts);
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let quiet = options.quiet_gateway().await?;
    let mut gateway = Arc::new(Gateway::start(&scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..accounts, options.growth).await?;
    let clients = fleet::clients(&gateway, 0..accounts, "bench").await?;
    fleet::polling(&sim, accounts, options.growth).await?;
    let per_chat = options.messages / accounts / CHATS;
    let total = per_chat * CHATS * accounts;

    let gateway_cpu = Arc::get_mut(&mut gateway).context("the gateway is in use")?.program()?.cpu()?;
    let (begun, begun_us) = (Instant::now(), now_us());
    let mut readers: JoinSet<Result<(u32, IrcClient, u64)>> = JoinSet::new();
    for (at, client) in clients {
        readers.spawn(read(at, client, per_chat * CHATS));
    }
    for at in 0..accounts {
        for chat in 1..=CHATS {
            sim.burst(&name(at), &format!("c{chat}"), &format!("c{chat}"), "load", per_chat).await?;
        }
    }
    let said = begun.elapsed();
    let mut clients = Vec::new();
    let mut last_us = begun_us;
    while let Some(read) = readers.join_next().await {
        let (at, client, done_us) = read??;
        last_us = last_us.max(done_us);
        clients.push((at, client));
    }
    let took = (last_us - begun_us) as f64 / 1e6;
    let spent = Arc::get_mut(&mut gateway).context("the gateway is in use")?.program()?.cpu()? - gateway_cpu;
    for (at, client) in &clients {
        let mut shown = Shown::default();
        shown.take(client.said().filter(|line| line.last().starts_with("load ")))?;
        shown.check_texts(&name(*at), &sim.ledger(&name(*at)).await?, "load ")?;
    }
    let what = format!("{accounts} accounts, {total} messages");
    report.add(SECTION, &what, f64::from(total) / took, "messages/s", Aim::AtLeast(5_000.0));
    report.add(
        SECTION,
        format!("{accounts} accounts: until all was said"),
        said.as_secs_f64(),
        "s",
        Aim::None,
    );
    let each_us = spent.as_secs_f64() * 1e6 / f64::from(total.max(1));
    report.add(SECTION, format!("{accounts} accounts: processor per message"), each_us, "µs", Aim::None);
    sim.assert_no_violations().await
}

/// Reads until everything is there; when the last of it came.
async fn read(at: u32, mut client: IrcClient, messages: u32) -> Result<(u32, IrcClient, u64)> {
    let end = Instant::now() + LIMIT;
    let mut have = 0;
    while have < messages {
        let next = client.next(end).await.with_context(|| format!("{have} of {messages} messages"))?;
        let line =
            next.with_context(|| format!("{}: closed after {have} of {messages} messages", client.label))?;
        if line.is_said() && line.last().starts_with("load ") {
            have += 1;
            if have == messages {
                return Ok((at, client, line.at_us));
            }
        }
    }
    ensure!(messages == 0, "unreachable: {have} of {messages}");
    Ok((at, client, now_us()))
}
