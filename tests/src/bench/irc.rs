//! What the IRC server costs and how fast it is, beside servers that others wrote where they do the same.

mod history;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::options::{Options, small_world};
use super::report::{Aim, Report};
use super::wire::{self, Sleeper, Wire};
use crate::clock::now_us;
use crate::fleet;
use crate::gateway::{Gateway, GatewayOptions};
use crate::irc::IrcClient;
use crate::ircd::{Ircd, Kind};
use crate::scratch::Scratch;
use crate::sim::Sim;

const SECTION: &str = "irc";
/// Those who listen in one channel.
const LISTENERS: u32 = 100;
/// Messages into it, and the pause between them.
const BEATS: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);
/// Connections that do nothing.
const IDLE: u32 = 1_000;
/// Clients that stop to read, and how much is said to them: more than the queue and the system hold.
const STALLED: u32 = 10;
const SAID_BYTES: usize = 12 << 20;
/// What one of them may cost: its queue of 1 MiB, twice while it grows.
const STALLED_MIB: f64 = 2.5;
/// Accounts whose history is read by ten clients each.
const ACCOUNTS: u32 = 10;
/// How long one page, one start, one beat may take at worst.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long another server may take for its part.
const OTHERS: Duration = Duration::from_secs(90);

/// Measures a gateway and the others with the same clients.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-irc")?;
    let world = small_world(ACCOUNTS);
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let set = |key: &str, value: &str| (format!("WXGATE__IRC__SERVER__{key}"), value.to_owned());
    let env = vec![set("GUESTS", "loopback"), set("LOCAL_CHANNELS", "#"), set("FLOOD_CONTROL", "false")];
    let quiet = GatewayOptions { log_filter: "warn".to_owned(), env, ..GatewayOptions::default() };
    let mut gateway = Gateway::start(&scratch, &sim.url(), &quiet).await?;
    let start = start_to_listening(&mut gateway).await?;
    report.add(SECTION, "start to listening, median", start, "ms", Aim::AtMost(100.0));
    let address = gateway.irc.clone();
    let side = Side { who: "wxgate", address: &address, at_once: 50 };
    // In the order in which the others are measured.
    fan_out(report, side, Aim::AtMost(5.0)).await?;
    idle(report, side, || gateway.program()?.rss_bytes(), Aim::AtMost(64.0)).await?;
    stalled(report, side, || gateway.program()?.rss_bytes()).await?;

    for (kind, word) in [(Kind::Ngircd, "ngircd"), (Kind::Inspircd, "inspircd")] {
        let done = tokio::time::timeout(OTHERS, other(options, report, kind, word)).await;
        if let Err(why) = done.map_err(anyhow::Error::from).and_then(|done| done) {
            report.fail(SECTION, &format!("{word}: {why:#}"));
        }
    }
    gateway.stop().await?;
    // Without the hall: each account is a network of its own, as most people have it.
    // Without the pacing of input: it would be measured instead of the answers.
    let env = vec![set("FLOOD_CONTROL", "false")];
    let plain = GatewayOptions { name: "plain".to_owned(), env, ..quiet };
    let mut gateway = Arc::new(Gateway::start(&scratch, &sim.url(), &plain).await?);
    gateway.add_user(fleet::USER).await?;
    fleet::sign_in(&gateway, &sim, 0..ACCOUNTS, options.growth).await?;
    fleet::polling(&sim, ACCOUNTS, options.growth).await?;
    history::pages(options, report, &gateway, &sim).await?;
    history::many_readers(report, &gateway, &sim).await?;
    Arc::get_mut(&mut gateway).context("the gateway is in use")?.stop().await?;
    Ok(())
}

/// A server that others wrote, with the same clients.
async fn other(options: &Options, report: &mut Report, kind: Kind, word: &str) -> Result<()> {
    let scratch = Scratch::under(&options.dir, &format!("bench-{word}"))?;
    let server = Ircd::start(&scratch, kind).await?;
    let address = server.address.clone();
    // ngircd turns those away who come all at once; inspircd lets people in once a second, however many they are.
    let at_once = if kind == Kind::Ngircd { 1 } else { 50 };
    let side = Side { who: word, address: &address, at_once };
    fan_out(report, side, Aim::None).await?;
    idle(report, side, || server.rss_bytes(), Aim::None).await
}

/// A server as the bench sees it.
#[derive(Clone, Copy)]
struct Side<'a> {
    who: &'a str,
    address: &'a str,
    /// Guests that may come at once.
    at_once: usize,
}

/// From the start of the program to the first connection, with a database that exists.
async fn start_to_listening(gateway: &mut Gateway) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..5 {
        gateway.stop().await?;
        let begun = Instant::now();
        gateway.launch()?;
        while TcpStream::connect(&gateway.irc).await.is_err() {
            ensure!(begun.elapsed() < PATIENCE, "the gateway does not listen");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no start was measured")
}

/// So many guests, many at once, in the order of their numbers.
async fn guests(side: Side<'_>, name: &str, count: u32) -> Result<Vec<IrcClient>> {
    let mut coming: JoinSet<Result<(u32, IrcClient)>> = JoinSet::new();
    let mut here = Vec::new();
    for at in 0..count {
        if coming.len() >= side.at_once {
            here.push(coming.join_next().await.context("nobody comes")???);
        }
        let (address, nick) = (side.address.to_owned(), format!("{name}{at}"));
        coming.spawn(async move { Ok((at, IrcClient::guest(&address, &nick, "").await?)) });
    }
    while let Some(come) = coming.join_next().await {
        here.push(come??);
    }
    here.sort_by_key(|(at, _)| *at);
    Ok(here.into_iter().map(|(_, client)| client).collect())
}

/// What connections cost that do nothing.
async fn idle(
    report: &mut Report,
    side: Side<'_>,
    mut rss: impl FnMut() -> Result<u64>,
    aim: Aim,
) -> Result<()> {
    let before = rss()?;
    let mut clients = guests(side, "idle", IDLE).await?;
    let grown = rss()?.saturating_sub(before) as f64 / f64::from(1 << 20);
    report.add(SECTION, format!("{}: {IDLE} idle clients", side.who), grown, "MiB", aim);
    for client in &clients {
        client.send("QUIT").await?;
    }
    for client in &mut clients {
        client.expect_close(PATIENCE).await?;
    }
    Ok(())
}

/// What clients cost that read nothing any more, until they are turned out.
async fn stalled(report: &mut Report, side: Side<'_>, mut rss: impl FnMut() -> Result<u64>) -> Result<()> {
    let mut mouth = IrcClient::guest(side.address, "loud", "#stall").await?;
    let mut deaf = Vec::new();
    for at in 0..STALLED {
        let socket = TcpSocket::new_v4()?;
        // What the system keeps for a client is not ours to bound.
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(side.address.parse()?).await?;
        let nick = format!("deaf{at}");
        let lines = format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nJOIN #stall\r\n");
        stream.write_all(lines.as_bytes()).await?;
        let is_it = |line: &crate::irc::Line| line.verb == "JOIN" && line.source.nick == nick;
        mouth.expect_within(PATIENCE, "a deaf client", is_it).await?;
        deaf.push(stream);
    }
    let before = rss()?;
    let text = "x".repeat(400);
    let (mut said, mut most) = (0, before);
    while said < SAID_BYTES {
        for _ in 0..200 {
            mouth.say("#stall", &text).await?;
            said += text.len();
        }
        mouth.drain().await?;
        mouth.forget();
        most = most.max(rss()?);
    }
    for mut stream in deaf {
        let mut rest = Vec::new();
        // The end may be a reset: what was not read is thrown away then.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await?;
    }
    let each = most.saturating_sub(before) as f64 / f64::from(1 << 20) / f64::from(STALLED);
    report.add(
        SECTION,
        format!("{}: a client that never reads", side.who),
        each,
        "MiB",
        Aim::AtMost(STALLED_MIB),
    );
    mouth.send("QUIT").await?;
    mouth.expect_close(PATIENCE).await
}

/// From a line of one to the same line at each of a hundred, who share one thread.
async fn fan_out(report: &mut Report, side: Side<'_>, aim: Aim) -> Result<()> {
    let (address, at_once) = (side.address.to_owned(), side.at_once);
    let (here, all_here) = oneshot::channel();
    let listening = wire::apart(move || listen(address, at_once, here));
    if all_here.await.is_err() {
        listening.await??;
        bail!("the listeners went away");
    }
    let mouth = IrcClient::guest(side.address, "mouth", "#bench").await?;
    let sleeper = Sleeper::start();
    let mut beat = interval(PAUSE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..BEATS {
        beat.tick().await;
        mouth.say("#bench", &format!("beat {}", now_us())).await?;
    }
    let mut late = listening.await??;
    let mut naps = sleeper.end()?;
    tell(report, &format!("{}: one message to {LISTENERS} clients", side.who), &mut late, aim);
    tell(report, &format!("{}: meanwhile a thread that sleeps, late", side.who), &mut naps, Aim::None);
    Ok(())
}

/// How late each beat was at each listener. Tells when all of them are there.
async fn listen(address: String, at_once: usize, here: oneshot::Sender<()>) -> Result<Vec<u64>> {
    let mut coming: JoinSet<Result<Wire>> = JoinSet::new();
    let mut ears = Vec::new();
    for at in 0..LISTENERS {
        if coming.len() >= at_once {
            ears.push(coming.join_next().await.context("nobody comes")???);
        }
        let address = address.clone();
        coming.spawn(async move { Wire::guest(&address, &format!("ear{at}"), "#bench").await });
    }
    while let Some(come) = coming.join_next().await {
        ears.push(come??);
    }
    let mut listening: JoinSet<Result<Vec<u64>>> = JoinSet::new();
    for mut ear in ears {
        listening.spawn(async move {
            let mut late = Vec::with_capacity(BEATS);
            while late.len() < BEATS {
                let mut sent = None;
                let read = ear.until(PATIENCE, |line| {
                    sent = line.rsplit_once(":beat ").and_then(|(_, at)| at.parse::<u64>().ok());
                    sent.is_some()
                });
                let read = read.await?;
                late.push(read.saturating_sub(sent.context("a beat")?));
            }
            Ok(late)
        });
    }
    // Whoever is not there any more needs no word.
    let _ = here.send(());
    let mut late = Vec::new();
    while let Some(read) = listening.join_next().await {
        late.extend(read??);
    }
    Ok(late)
}

/// Median and the 99th percentile by nearest rank, in milliseconds.
fn tell(report: &mut Report, what: &str, times_us: &mut [u64], aim: Aim) {
    times_us.sort_unstable();
    let rank = |share: usize| (times_us.len() * share).div_ceil(100).saturating_sub(1);
    let at = |share: usize| times_us.get(rank(share)).map_or(0.0, |us| *us as f64 / 1e3);
    report.add(SECTION, format!("{what}, p50"), at(50), "ms", Aim::None);
    report.add(SECTION, format!("{what}, p99"), at(99), "ms", aim);
}
