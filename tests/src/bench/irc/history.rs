//! What is read of durable history, and how fast.

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{ACCOUNTS, PATIENCE, SECTION, tell};
use crate::bench::options::Options;
use crate::bench::report::{Aim, Report};
use crate::bench::wire::Wire;
use crate::fleet::{USER, name};
use crate::gateway::{Gateway, PASSWORD};
use crate::irc::{IrcClient, Login};
use crate::sim::Sim;

const CLIENTS_EACH: u32 = 10;
/// Pages of 500 lines that each of them asks for.
const PAGES: u32 = 20;
/// How often each page of a long history is asked for: of a hundred times the worst is one pause of the machine.
const ASKED: usize = 500;
/// Messages that the service says in one go.
const BURST: u32 = 10_000;
const CAPS: &str = "server-time message-tags batch draft/chathistory";

async fn reader(gateway: &Gateway, at: u32, client: &str) -> Result<IrcClient> {
    let account = name(at);
    let login = Login { user: USER, password: PASSWORD, account: &account, client, caps: CAPS };
    IrcClient::login(&gateway.irc, &login).await
}

/// The same as a client that takes no line apart.
async fn wire_of(gateway: &Gateway, at: u32, client: &str) -> Result<Wire> {
    let account = name(at);
    let login = Login { user: USER, password: PASSWORD, account: &account, client, caps: CAPS };
    Wire::login(&gateway.irc, &login).await
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

/// A hundred lines out of a very long query, one kind of question after the other and all over again, with a PING
/// among them: what the way there and back takes.
pub(super) async fn pages(
    options: &Options,
    report: &mut Report,
    gateway: &Gateway,
    sim: &Sim,
) -> Result<()> {
    let mut filler = reader(gateway, 0, "filler").await?;
    let begun = Instant::now();
    let first = fill(sim, &mut filler, &name(0), "c1", 1_000).await?;
    let last = fill(sim, &mut filler, &name(0), "c1", options.history.saturating_sub(1_000)).await?;
    let rate = f64::from(options.history) / begun.elapsed().as_secs_f64();
    report.add(SECTION, "while the history grows", rate, "messages/s", Aim::None);
    let mut client = wire_of(gateway, 0, "history").await?;
    drop(filler);
    let nick = last.source.nick.clone();
    let (old, new) = (first.tag("msgid"), last.tag("msgid"));
    let (early, late) = (first.tag("time"), last.tag("time"));
    let asked = [
        ("LATEST", format!("CHATHISTORY LATEST {nick} * 100")),
        ("BEFORE the last", format!("CHATHISTORY BEFORE {nick} msgid={new} 100")),
        ("AFTER an old one", format!("CHATHISTORY AFTER {nick} msgid={old} 100")),
        ("AROUND an old one", format!("CHATHISTORY AROUND {nick} msgid={old} 100")),
        ("BEFORE a time", format!("CHATHISTORY BEFORE {nick} timestamp={late} 100")),
        ("AFTER a time", format!("CHATHISTORY AFTER {nick} timestamp={early} 100")),
    ];
    let mut times = vec![Vec::with_capacity(ASKED); asked.len()];
    let mut pings = Vec::with_capacity(ASKED);
    for at in 0..ASKED {
        for ((what, line), times) in asked.iter().zip(&mut times) {
            let begun = Instant::now();
            let lines = page(&mut client, line).await?;
            times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            ensure!(lines == 100 || what.contains("time"), "{what} gave {lines} lines");
        }
        let begun = Instant::now();
        let (ping, pong) = (format!("PING ping-{at}"), format!("ping-{at}"));
        client.send(&ping).await?;
        client.until(PATIENCE, |line| line.contains(" PONG ") && line.ends_with(&pong)).await?;
        pings.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    for ((what, _), mut times) in asked.into_iter().zip(times) {
        let what = format!("CHATHISTORY of 100 from {}, {what}", options.history);
        tell(report, &what, &mut times, Aim::AtMost(5.0));
    }
    tell(report, "a PING between them", &mut pings, Aim::None);
    Ok(())
}

/// Asks for a page; how many messages came.
async fn page(client: &mut Wire, line: &str) -> Result<usize> {
    client.send(line).await?;
    let mut lines = 0;
    let end = client.until(PATIENCE, |line| {
        lines += usize::from(line.contains(" PRIVMSG "));
        line.contains(" BATCH -") || line.contains(" FAIL ")
    });
    end.await.context("the end of a page")?;
    Ok(lines)
}

/// A hundred clients read durable history, each on its own.
pub(super) async fn many_readers(report: &mut Report, gateway: &Gateway, sim: &Sim) -> Result<()> {
    let mut clients = Vec::new();
    for at in 0..ACCOUNTS {
        let mut filler = reader(gateway, at, "filler").await?;
        let nick = fill(sim, &mut filler, &name(at), "c2", 1_000).await?.source.nick;
        // The filler's place is one of the ten of its account.
        drop(filler);
        for n in 0..CLIENTS_EACH - 1 {
            clients.push((wire_of(gateway, at, &format!("r{n}")).await?, nick.clone()));
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
