//! What the IRC server costs and how fast it is, beside servers that others wrote where they do the same.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::options::{Options, small_world};
use super::report::{Aim, Report};
use crate::clock::now_us;
use crate::fleet::{self, USER, name};
use crate::gateway::{Gateway, GatewayOptions, PASSWORD};
use crate::irc::{IrcClient, Login};
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
const CLIENTS_EACH: u32 = 10;
/// Pages of 500 lines that each of them asks for.
const PAGES: u32 = 20;
/// How often each page of a long history is asked for: of a hundred times the worst is one pause of the machine.
const ASKED: usize = 500;
/// Messages that the service says in one go.
const BURST: u32 = 10_000;
/// How long one page, one start, one beat may take at worst.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long another server may take for its part.
const OTHERS: Duration = Duration::from_secs(90);
const CAPS: &str = "server-time message-tags batch draft/chathistory";

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
    gateway.add_user(USER).await?;
    fleet::sign_in(&gateway, &sim, 0..ACCOUNTS, options.growth).await?;
    fleet::polling(&sim, ACCOUNTS, options.growth).await?;
    history(options, report, &gateway, &sim).await?;
    from_history(report, &gateway, &sim).await?;
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
async fn guests(side: Side<'_>, name: &str, count: u32, channel: &'static str) -> Result<Vec<IrcClient>> {
    let mut coming: JoinSet<Result<(u32, IrcClient)>> = JoinSet::new();
    let mut here = Vec::new();
    for at in 0..count {
        if coming.len() >= side.at_once {
            here.push(coming.join_next().await.context("nobody comes")???);
        }
        let (address, nick) = (side.address.to_owned(), format!("{name}{at}"));
        coming.spawn(async move { Ok((at, IrcClient::guest(&address, &nick, channel).await?)) });
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
    let mut clients = guests(side, "idle", IDLE, "").await?;
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

/// From a line of one to the same line at each of a hundred.
async fn fan_out(report: &mut Report, side: Side<'_>, aim: Aim) -> Result<()> {
    let mut listeners: JoinSet<Result<Vec<u64>>> = JoinSet::new();
    let joined = guests(side, "ear", LISTENERS, "#bench").await?;
    let mouth = IrcClient::guest(side.address, "mouth", "#bench").await?;
    for mut client in joined {
        client.drain().await?;
        listeners.spawn(async move {
            let mut late = Vec::new();
            while late.len() < BEATS {
                let line = client.expect_within(PATIENCE, "a beat", crate::irc::Line::is_said).await?;
                let sent: u64 = line.last().trim_start_matches("beat ").parse().context("a foreign line")?;
                late.push(line.at_us.saturating_sub(sent));
            }
            Ok(late)
        });
    }
    let mut beat = interval(PAUSE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..BEATS {
        beat.tick().await;
        mouth.say("#bench", &format!("beat {}", now_us())).await?;
    }
    let mut late = Vec::new();
    while let Some(read) = listeners.join_next().await {
        late.extend(read??);
    }
    tell(report, &format!("{}: one message to {LISTENERS} clients", side.who), &mut late, aim);
    Ok(())
}

/// Median and the 99th percentile by nearest rank, in milliseconds.
fn tell(report: &mut Report, what: &str, times_us: &mut [u64], aim: Aim) {
    times_us.sort_unstable();
    let rank = |share: usize| (times_us.len() * share).div_ceil(100).saturating_sub(1);
    let at = |share: usize| times_us.get(rank(share)).map_or(0.0, |us| *us as f64 / 1e3);
    report.add(SECTION, format!("{what}, p50"), at(50), "ms", Aim::None);
    report.add(SECTION, format!("{what}, p99"), at(99), "ms", aim);
}

async fn reader(gateway: &Gateway, at: u32, client: &str) -> Result<IrcClient> {
    let account = name(at);
    let login = Login { user: USER, password: PASSWORD, account: &account, client, caps: CAPS };
    IrcClient::login(&gateway.irc, &login).await
}

/// Lets somebody say many things in a query and waits until the client has them; the last line.
async fn fill(
    sim: &Sim,
    client: &mut IrcClient,
    account: &str,
    chat: &str,
    count: u32,
) -> Result<crate::irc::Line> {
    let mut last = None;
    let mut left = count;
    while left > 0 {
        let now = left.min(BURST);
        sim.burst(account, chat, chat, "filling", now).await?;
        for _ in 0..now {
            let is_it = |line: &crate::irc::Line| line.is_said() && line.last().starts_with("filling");
            last = Some(client.expect_within(PATIENCE, "a line of history", is_it).await?);
        }
        client.forget();
        left -= now;
    }
    last.context("nothing was said")
}

/// A hundred lines out of a very long query.
async fn history(options: &Options, report: &mut Report, gateway: &Gateway, sim: &Sim) -> Result<()> {
    let mut client = reader(gateway, 0, "history").await?;
    let begun = Instant::now();
    let first = fill(sim, &mut client, &name(0), "c1", 1_000).await?;
    let last = fill(sim, &mut client, &name(0), "c1", options.history.saturating_sub(1_000)).await?;
    let rate = f64::from(options.history) / begun.elapsed().as_secs_f64();
    report.add(SECTION, "while the history grows", rate, "messages/s", Aim::None);
    let nick = last.source.nick.clone();
    let (old, new) = (first.tag("msgid"), last.tag("msgid"));
    let (early, late) = (first.tag("time"), last.tag("time"));
    for (what, line) in [
        ("LATEST", format!("CHATHISTORY LATEST {nick} * 100")),
        ("BEFORE the last", format!("CHATHISTORY BEFORE {nick} msgid={new} 100")),
        ("AFTER an old one", format!("CHATHISTORY AFTER {nick} msgid={old} 100")),
        ("AROUND an old one", format!("CHATHISTORY AROUND {nick} msgid={old} 100")),
        ("BEFORE a time", format!("CHATHISTORY BEFORE {nick} timestamp={late} 100")),
        ("AFTER a time", format!("CHATHISTORY AFTER {nick} timestamp={early} 100")),
    ] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            let lines = page(&mut client, &line).await?;
            times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            ensure!(lines == 100 || what.contains("time"), "{what} gave {lines} lines");
        }
        let what = format!("CHATHISTORY of 100 from {}, {what}", options.history);
        tell(report, &what, &mut times, Aim::AtMost(5.0));
    }
    Ok(())
}

/// Asks for a page; how many messages came.
async fn page(client: &mut IrcClient, line: &str) -> Result<usize> {
    client.send(line).await?;
    let mut lines = 0;
    client
        .expect_within(PATIENCE, "the end of the page", |line| {
            lines += usize::from(line.is_said());
            line.verb == "BATCH" && line.param(0).starts_with('-') || line.verb == "FAIL"
        })
        .await?;
    client.forget();
    Ok(lines)
}

/// A hundred clients read durable history, each on its own.
async fn from_history(report: &mut Report, gateway: &Gateway, sim: &Sim) -> Result<()> {
    let mut clients = Vec::new();
    for at in 0..ACCOUNTS {
        let mut filler = reader(gateway, at, "filler").await?;
        let nick = fill(sim, &mut filler, &name(at), "c2", 1_000).await?.source.nick;
        // The filler's place is one of the ten of its account.
        drop(filler);
        for n in 0..CLIENTS_EACH - 1 {
            clients.push((reader(gateway, at, &format!("r{n}")).await?, nick.clone()));
        }
    }
    let begun = Instant::now();
    let mut readers: JoinSet<Result<usize>> = JoinSet::new();
    for (mut client, nick) in clients {
        readers.spawn(async move {
            let mut lines = 0;
            for _ in 0..PAGES {
                lines += page(&mut client, &format!("CHATHISTORY LATEST {nick} * 500")).await?;
            }
            Ok(lines)
        });
    }
    let mut lines = 0;
    while let Some(read) = readers.join_next().await {
        lines += read??;
    }
    let rate = lines as f64 / begun.elapsed().as_secs_f64();
    let clients = ACCOUNTS * (CLIENTS_EACH - 1);
    report.add(
        SECTION,
        format!("from history to {clients} clients"),
        rate,
        "lines/s",
        Aim::AtLeast(20_000.0),
    );
    Ok(())
}
