//! Whether anything grows: talk in both directions, pictures, bad answers, sessions that end, clients that come and go,
//! for an hour.

mod used;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::options::Options;
use super::report::{Aim, Report};
use crate::dice::Dice;
use crate::fleet::{self, USER, name};
use crate::gateway::Gateway;
use crate::irc::IrcClient;
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};
use crate::stage::confirm_pushed;
use crate::truth::Shown;
use used::{Use, left_over, queued};

const SECTION: &str = "soak";
/// Accounts that talk, of which every message is counted; and as many more that are signed out and in again.
const TALKING: u32 = 20;
/// Between two things that happen.
const TICK: Duration = Duration::from_millis(200);
/// Between two looks at what it uses.
const LOOK: Duration = Duration::from_secs(15);
/// How long the last messages may take to arrive.
const LAST: Duration = Duration::from_secs(120);
const MARK: &str = "soak ";

/// Measures. What the programs said is shown when it fails: nobody wants to wait for another hour.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-soak")?;
    let measured = Box::pin(measure_in(&scratch, options, report)).await;
    if measured.is_err() {
        eprintln!("{}", scratch.log_tails());
    }
    measured
}

async fn measure_in(scratch: &Scratch, options: &Options, report: &mut Report) -> Result<()> {
    let world = SimOptions {
        accounts: 2 * TALKING,
        contacts: 100,
        groups: 5,
        hold_seconds: 10.0,
        ..SimOptions::default()
    };
    let sim = Arc::new(Sim::start(scratch, &world).await?);
    let quiet = options.quiet_gateway().await?;
    let mut gateway = Arc::new(Gateway::start(scratch, &sim.url(), &quiet).await?);
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..2 * TALKING, options.growth).await?;
    let mut clients: Vec<IrcClient> =
        fleet::clients(&gateway, 0..TALKING, "soak").await?.into_iter().map(|(_, client)| client).collect();
    let mut shown: Vec<Shown> = clients.iter().map(|_| Shown::default()).collect();
    let mut dice = Dice::cast();
    let mut used = Vec::new();
    let (mut said, mut ended, mut faults, mut came) = (0_u32, 0_u32, 0_u32, 0_u32);
    let (mut typed, mut pictures) = (0_u32, 0_u32);
    let (end, mut look) = (Instant::now() + options.soak, Instant::now() + LOOK);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n = 0_u32;
    while Instant::now() < end {
        tick.tick().await;
        n += 1;
        let account = name(dice.below(u64::from(TALKING)) as u32);
        let chat = format!("c{}", 1 + dice.below(5));
        for _ in 0..=dice.below(6) {
            said += 1;
            sim.say(&account, &chat, &chat, &format!("{MARK}{said}")).await?;
        }
        if n.is_multiple_of(10) {
            faults += 1;
            disturb(&sim, &mut dice).await?;
        }
        if n.is_multiple_of(5) {
            // An account is allowed thirty a minute, and has one in twenty seconds.
            let at = dice.below(u64::from(TALKING)) as usize;
            typed += u32::from(answer(clients.get_mut(at), typed).await?);
        }
        if n.is_multiple_of(20) {
            pictures += 1;
            sim.tell(&account, &chat, &chat, json!({"kind": "image"})).await?;
        }
        if n.is_multiple_of(25) {
            // Whoever comes anew is shown what was missed, and nothing twice.
            came += 1;
            let at = dice.below(u64::from(TALKING)) as usize;
            if let (Some(client), Some(shown)) = (clients.get_mut(at), shown.get_mut(at)) {
                // What it answered for counts as shown, so nothing of that may be left unread, up to its last moment:
                // a connection that is only dropped goes on answering until the next one is there.
                client.send("QUIT").await?;
                client.expect_close(LAST).await?;
                shown.take(client.said().filter(|line| line.last().starts_with(MARK)))?;
                *client = gateway.client(USER, &name(at as u32), "soak").await?;
            }
        }
        if n.is_multiple_of(50) {
            let account = name(TALKING + dice.below(u64::from(TALKING)) as u32);
            // Whoever is still on the way back from the last end is left alone.
            if gateway.state(&account).await?.0 == "up" && end_session(&sim, &account).await? {
                ended += 1;
            }
        }
        confirm_pushed(&sim).await?;
        for client in &mut clients {
            client.pick_up();
        }
        if Instant::now() >= look {
            look += LOOK;
            let program = Arc::get_mut(&mut gateway).context("the gateway is in use")?;
            used.push(Use::of(program, &quiet.store, said).await?);
        }
    }
    sim.clear_faults().await?;
    for (at, (client, shown)) in clients.iter_mut().zip(&mut shown).enumerate() {
        let account = name(at as u32);
        if let Err(error) = compare(&sim, &account, client, shown).await {
            return Err(error.context(format!("{account} is {:?}", gateway.state(&account).await)));
        }
    }
    let what = format!(
        "{:.0} minutes: {said} messages, {typed} answers, {pictures} pictures, {faults} faults, {ended} ends of \
         sessions, {came} new clients",
        options.soak.as_secs_f64() / 60.0
    );
    report.add(SECTION, what, f64::from(said) / options.soak.as_secs_f64(), "messages/s", Aim::None);
    used::tell(report, &used)?;
    let open = until_empty(&gateway).await?;
    report.add(SECTION, "deliveries left at the end", open, "", Aim::AtMost(0.0));
    let left = left_over(gateway.data_dir())?;
    report.add(SECTION, "temporary files left at the end", left as f64, "", Aim::AtMost(0.0));
    sim.assert_no_violations().await
}

/// Somebody at a client says something in the chat that spoke last; false when none has spoken there yet.
async fn answer(client: Option<&mut IrcClient>, number: u32) -> Result<bool> {
    let Some(client) = client else { return Ok(false) };
    let nick = client.said().filter(|line| line.last().starts_with(MARK)).last();
    let Some(nick) = nick.map(|line| line.source.nick.clone()) else { return Ok(false) };
    client.say(&nick, &format!("typed {number}")).await?;
    Ok(true)
}

/// Deliveries that are open once nothing more happens, or when that takes too long.
async fn until_empty(gateway: &Gateway) -> Result<f64> {
    let end = Instant::now() + LAST;
    loop {
        let open = queued(gateway).await?;
        if open == 0.0 || Instant::now() >= end {
            return Ok(open);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// False when its session ended by itself a moment ago.
async fn end_session(sim: &Sim, account: &str) -> Result<bool> {
    match sim.end_session(account, 1_101).await {
        Ok(()) => Ok(true),
        Err(error) if error.to_string().contains("is not signed in") => Ok(false),
        Err(error) => Err(error),
    }
}

/// One bad answer or connection, of any kind.
async fn disturb(sim: &Sim, dice: &mut Dice) -> Result<()> {
    let faults = [
        json!({"status": 502}),
        json!({"body": "<html>busy</html>"}),
        json!({"truncate": 20}),
        json!("close_before_body"),
        json!("drop_after_body"),
        json!({"ret": -1}),
        json!("empty_body"),
        json!({"delay_ms": 1_500}),
    ];
    let endpoints = ["synccheck", "webwxsync", "webwxbatchgetcontact", "webwxgetcontact", "webwxinit"];
    let fault = faults.get(dice.below(faults.len() as u64) as usize).context("no such fault")?;
    let endpoint = endpoints.get(dice.below(endpoints.len() as u64) as usize).context("no such endpoint")?;
    let account = name(dice.below(u64::from(2 * TALKING)) as u32);
    sim.fault(&json!({"account": account, "endpoint": endpoint, "fault": fault, "count": 2})).await
}

/// Everything was shown once and in order, over all clients that there were.
async fn compare(sim: &Sim, account: &str, client: &mut IrcClient, shown: &mut Shown) -> Result<()> {
    let ledger = sim.ledger(account).await?;
    let wanted = ledger.iter().filter(|entry| entry.text.starts_with(MARK)).count();
    let end = Instant::now() + LAST;
    shown.take(client.said().filter(|line| line.last().starts_with(MARK)))?;
    while shown.ids().len() < wanted {
        let have = shown.ids().len();
        let line = client.next(end).await.with_context(|| format!("{account}: {have} of {wanted} came"))?;
        let line = line.with_context(|| format!("{account}: closed after {have} of {wanted}"))?;
        if line.is_said() && line.last().starts_with(MARK) {
            shown.take(std::iter::once(&line))?;
        }
    }
    shown.check(account, &ledger, MARK).map(drop)
}
