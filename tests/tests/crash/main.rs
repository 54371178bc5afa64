//! `kill -9` at any instant loses nothing, doubles nothing and keeps the order.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod points;
mod siege;
mod typist;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wxgate_tests::dice::Dice;
use wxgate_tests::fleet::{self, name};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::postgres;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::Sim;
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::until;

use wxgate_tests::stage::Stage;

use points::{During, POINTS, Point, RARE};
use siege::{Aftermath, Blow, Siege};
use typist::{Typist, judge};

const ACCOUNTS: u32 = 20;
/// Chats per account: two contacts and a group.
const CHATS: [&str; 4] = ["c1", "c2", "c4", "g0"];
const PER_CHAT: u32 = 25;
const LIMIT: Duration = Duration::from_secs(240);
const ARRIVE: Duration = Duration::from_secs(60);

/// Every client of a fleet with what it was shown, over all its connections.
struct Fleet {
    clients: Vec<(u32, IrcClient)>,
    shown: Vec<Shown>,
}

impl Fleet {
    async fn attach(stage: &Stage) -> Result<Self> {
        let clients = fleet::clients(stage.shared(), 0..ACCOUNTS, "crash").await?;
        Ok(Self { clients, shown: (0..ACCOUNTS).map(|_| Shown::default()).collect() })
    }

    /// The gateway is dead: keeps what the clients were shown, and connects them again.
    async fn reattach(&mut self, stage: &Stage) -> Result<()> {
        for (at, mut client) in std::mem::take(&mut self.clients) {
            client.expect_close(ARRIVE).await?;
            self.keep(at, &client)?;
        }
        self.clients = fleet::clients(stage.shared(), 0..ACCOUNTS, "crash").await?;
        Ok(())
    }

    fn keep(&mut self, at: u32, client: &IrcClient) -> Result<()> {
        let shown = self.shown.get_mut(usize::try_from(at)?).context("no such account")?;
        shown.take(client.said()).with_context(|| name(at))
    }

    /// Waits until `total` lines with `mark` have been shown to every client, over all connections.
    async fn arrive(&mut self, mark: &'static str, total: usize) -> Result<()> {
        let mut readers: JoinSet<Result<(u32, IrcClient)>> = JoinSet::new();
        for (at, mut client) in std::mem::take(&mut self.clients) {
            let known = self.shown.get(usize::try_from(at)?).context("no such account")?.ids();
            readers.spawn(async move {
                let end = Instant::now() + ARRIVE;
                let fresh = |client: &IrcClient| {
                    let marked = client.said().filter(|line| line.last().starts_with(mark));
                    marked.filter(|line| !known.contains(line.tag("msgid"))).count()
                };
                let mut have = fresh(&client) + known.len();
                while have < total {
                    let line =
                        client.next(end).await.with_context(|| format!("{have} of {total} lines came"))?;
                    let line = line.with_context(|| format!("closed after {have} of {total} lines"))?;
                    if line.is_said() && line.last().starts_with(mark) && !known.contains(line.tag("msgid")) {
                        have += 1;
                    }
                }
                // Whatever comes too much comes before the answer to a PING.
                client.drain().await?;
                Ok((at, client))
            });
        }
        while let Some(read) = readers.join_next().await {
            let (at, client) = read??;
            self.keep(at, &client)?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.shown.iter().map(|shown| shown.ids().len()).sum()
    }

    async fn check(&self, sim: &Sim, mark: &str) -> Result<usize> {
        let mut repeats = 0;
        for (at, shown) in self.shown.iter().enumerate() {
            let account = name(u32::try_from(at)?);
            let said = shown.check(&account, &sim.ledger(&account).await?, mark)?;
            ensure!(said == CHATS.len() * PER_CHAT as usize, "{account}: only {said} were said");
            repeats += shown.repeats;
        }
        Ok(repeats)
    }
}

/// Says 2,000 messages over 20 accounts, interleaved, with a pause after every fourth.
async fn burst(sim: Arc<Sim>, pause: Duration) -> Result<()> {
    for n in 0..PER_CHAT {
        for at in 0..ACCOUNTS {
            let account = name(at);
            for chat in CHATS {
                let text = format!("burst {chat} {n} 消息");
                let from = if chat.starts_with('g') { "m0.2" } else { chat };
                sim.say(&account, chat, from, &text).await?;
            }
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

async fn kill_and_restart(
    scratch: &Scratch,
    options: &GatewayOptions,
    kills: usize,
    pause: Duration,
) -> Result<()> {
    let mut dice = Dice::cast();
    let mut stage = Stage::set_with(scratch, ACCOUNTS, options).await?;
    let mut fleet = Fleet::attach(&stage).await?;
    let mut saying: JoinSet<Result<()>> = JoinSet::new();
    saying.spawn(burst(stage.sim.clone(), pause));
    for _ in 0..kills {
        let pause = Duration::from_millis(20 + dice.below(700));
        println!("kill -9 after {pause:?}");
        tokio::time::sleep(pause).await;
        stage.gateway_mut()?.kill().await?;
        stage.gateway_mut()?.run().await?;
        fleet.reattach(&stage).await?;
        println!("{} of 2000 lines had been shown when it died", fleet.count());
    }
    while let Some(said) = saying.join_next().await {
        said??;
    }
    fleet.arrive("burst ", CHATS.len() * PER_CHAT as usize).await?;
    let repeats = fleet.check(&stage.sim, "burst ").await?;
    println!("{kills} kills, 2000 messages: each once and in order; {repeats} repeated lines, same msgid");
    stage.end_after_kills().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_burst_loses_and_doubles_nothing() -> Result<()> {
    let options = GatewayOptions::default();
    tell("crash", LIMIT, async |scratch| kill_and_restart(scratch, &options, 1, Duration::ZERO).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_and_double_nothing() -> Result<()> {
    let options = GatewayOptions::default();
    let pause = Duration::from_millis(15);
    tell("crashes", LIMIT, async |scratch| kill_and_restart(scratch, &options, 4, pause).await).await
}

/// Without the named points, which are calls on SQLite's files: the server is another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_kills_at_random_moments_lose_and_double_nothing() -> Result<()> {
    /// A start, and the time until the next kill; so long each is spoken.
    const EACH: Duration = Duration::from_secs(4);
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    let options = GatewayOptions { store, ..GatewayOptions::default() };
    let long = std::env::var(KILLS).ok().map(|kills| kills.parse::<u32>()).transpose()?;
    let kills = long.map_or(2, |kills| kills / 10);
    let pause = EACH * kills / (ACCOUNTS * PER_CHAT);
    tell("crashes-postgres", LIMIT + EACH * kills * 2, async |scratch| {
        kill_and_restart(scratch, &options, kills as usize, pause).await
    })
    .await
}

/// How many lines each account types, and how fast.
const TYPED: usize = 10;
const TYPING: Duration = Duration::from_millis(60);
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_sending_sends_nothing_twice_and_tells_what_became_of_it() -> Result<()> {
    tell("sending", LIMIT, async |scratch| kill_while_sending(scratch).await).await
}

async fn kill_while_sending(scratch: &Scratch) -> Result<()> {
    let mut dice = Dice::cast();
    let mut stage = Stage::set(scratch, ACCOUNTS).await?;
    let mut typists = Vec::new();
    for (at, client) in fleet::clients(stage.shared(), 0..ACCOUNTS, "crash").await? {
        typists.push(Typist::sit_down(&stage, at, client).await?);
    }
    let pause = Duration::from_millis(250 + dice.below(500));
    println!("kill -9 after {pause:?}");
    let typing = async {
        let mut pace = tokio::time::interval(TYPING);
        for _ in 0..TYPED {
            pace.tick().await;
            for typist in &mut typists {
                typist.type_line("").await;
            }
        }
    };
    let gateway = stage.gateway_mut()?;
    let killing = async {
        tokio::time::sleep(pause).await;
        gateway.kill().await
    };
    tokio::join!(typing, killing).1?;
    for typist in &mut typists {
        typist.client.expect_close(ARRIVE).await?;
    }
    stage.gateway_mut()?.run().await?;
    fleet::polling(&stage.sim, ACCOUNTS, ARRIVE).await?;
    let (mut arrived, mut unread) = (0, 0);
    for (at, client) in fleet::clients(stage.shared(), 0..ACCOUNTS, "crash").await? {
        let typist = typists.iter_mut().find(|typist| typist.at == at).context("no such account")?;
        let verdict = judge(&stage.sim, typist, client).await?;
        arrived += verdict.arrived;
        unread += verdict.unread;
    }
    println!("200 lines typed: {arrived} arrived once, {unread} were not taken before the gateway died");
    ensure!(arrived > 0, "nothing arrived at all");
    stage.end_after_kills().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_waits_for_the_rest_of_what_a_client_cut_outlives_a_kill() -> Result<()> {
    tell("waiting", LIMIT, async |scratch| {
        let log_filter = "info,wxgate_irc=debug".to_owned();
        let options = GatewayOptions { log_filter, ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 1, &options).await?;
        let client = stage.client(0, "crash").await?;
        let mut typist = Typist::sit_down(&stage, 0, client).await?;
        typist.client.say(typist.nick(0), "last words").await?;
        until("the line to be on disk", ARRIVE, async || {
            Ok(stage.gateway().logged().contains("is on disk").then_some(()))
        })
        .await?;
        stage.gateway_mut()?.kill().await?;
        typist.client.expect_close(ARRIVE).await?;
        stage.gateway_mut()?.run().await?;
        stage.sim.heard(&name(0), "last words").await?;
        stage.client(0, "crash").await?.expect_text("last words").await?;
        let ledger = stage.sim.ledger(&name(0)).await?;
        let heard = ledger.iter().filter(|entry| entry.is_heard() && entry.text == "last words").count();
        ensure!(heard == 1, "it was heard {heard} times");
        stage.gateway_mut()?.assert_up()
    })
    .await
}

/// How many kills the long run has; without it every named point is reached once.
const KILLS: &str = "WXGATE_CRASH_KILLS";
/// Ends at any moment, in the everyday run.
const MOMENTS: usize = 7;
/// For each end: a start, what there is to say, and the comparison.
const PER_KILL: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_named_point_an_end_loses_and_doubles_nothing() -> Result<()> {
    let long = std::env::var(KILLS).ok().map(|kills| kills.parse::<usize>()).transpose()?;
    let kills = long.unwrap_or(POINTS.len() + MOMENTS);
    tell("siege", PER_KILL * u32::try_from(kills)?, async |scratch| {
        let mut siege = Siege::lay(scratch).await?;
        for n in 0..kills {
            let blow = if long.is_some() { any(n, siege.dice()) } else { everyday(n, siege.dice()) };
            let aftermath = if siege.dice().below(2) == 0 { Aftermath::Kill } else { Aftermath::PowerCut };
            println!("end {n}: {blow}, then {aftermath:?}");
            let round = siege.round(n, blow, aftermath).await;
            round.with_context(|| format!("end {n}: {blow}, then {aftermath:?}"))?;
        }
        siege.lift(kills).await
    })
    .await
}

/// Every named point once, then any moment.
fn everyday(n: usize, dice: &mut Dice) -> Blow {
    blow(POINTS.get(n), dice)
}

/// Every named point again and again, those of the main file now and then, and every fourth end at any moment.
fn any(n: usize, dice: &mut Dice) -> Blow {
    let point = match n {
        n if n % 4 == 3 => None,
        n if n % 32 == 0 => RARE.get(n / 32 % RARE.len()),
        n => POINTS.get((n - n / 4) % POINTS.len()),
    };
    blow(point, dice)
}

/// At a point, as often as the dice say; without one at any moment.
fn blow(point: Option<&'static Point>, dice: &mut Dice) -> Blow {
    let Some(point) = point else { return Blow::Moment(Duration::from_millis(5 + dice.below(600))) };
    let skip = match point.during {
        During::Start => 0,
        During::Talk => dice.below(u64::from(point.skips) + 1),
    };
    Blow::Point(point, u32::try_from(skip).unwrap_or(0))
}
