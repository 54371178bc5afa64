//! Encrypted rooms on a real homeserver, with a client of others that reads them: how long a message takes, how
//! many of them, and what a ghost that speaks costs in memory.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::memory::{mib, settled_soon};
use super::options::{HOLD, Options};
use super::report::{Aim, Report};
use crate::homeserver::python;
use crate::matrix::{Ground, SOON};
use crate::people::{Person, Seen};
use crate::scratch::Scratch;
use crate::sim::SimOptions;

const SECTION: &str = "encrypted";
const ACCOUNT: &str = "account0";
/// Rooms of two that talk at once.
const ROOMS: u32 = 50;
/// People who speak in one group, and as many in a quick look; the owner is one more.
const GHOSTS: u32 = 200;
const FEW_GHOSTS: u32 = 60;
/// How long one wait may take on a busy machine, and how long a whole part may: a part takes a minute or two on a quiet
/// one.
const LIMIT: Duration = Duration::from_secs(300);
const PART: Duration = Duration::from_secs(900);
/// Nothing was asked for this long: rooms are furnished.
const QUIET: Duration = Duration::from_secs(2);
/// Messages one after the other.
const LATER: u32 = 50;
/// A file that is large.
const LARGE_BYTES: usize = 20 << 20;
/// What the aim says of a ghost with a device at hand.
const GHOST_KIB: f64 = 64.0;

/// Measures, where Synapse was installed.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if python().is_none() {
        eprintln!("bench: no Synapse here, so encrypted rooms are left out; run: cargo xtask setup");
        return Ok(());
    }
    part(report, "one group", async |report| one_group(options, report).await).await;
    let in_clear =
        part(report, "rooms in clear", async |report| many_rooms(options, report, "off").await).await;
    let encrypted =
        part(report, "encrypted rooms", async |report| many_rooms(options, report, "default").await).await;
    if let (Some(in_clear), Some(encrypted)) = (in_clear, encrypted) {
        report.add(SECTION, "encrypted over in clear", encrypted / in_clear, "×", Aim::None);
    }
    part(report, "a large file", async |report| large_file(options, report).await).await;
    Ok(())
}

/// One part, bounded; whatever becomes of it, the others are worth having.
async fn part<T>(
    report: &mut Report,
    what: &str,
    work: impl AsyncFnOnce(&mut Report) -> Result<T>,
) -> Option<T> {
    let begun = Instant::now();
    let done = match tokio::time::timeout(PART, Box::pin(work(report))).await {
        Ok(done) => done,
        Err(_) => Err(anyhow!("it was not done after {PART:?}")),
    };
    eprintln!("bench:   {what}: {:.0} s", begun.elapsed().as_secs_f64());
    done.map_err(|error| report.fail(SECTION, &format!("{what}: {error:#}"))).ok()
}

async fn ground(scratch: &Scratch, ghosts: u32, encryption: &str) -> Result<Ground> {
    let world = SimOptions {
        accounts: 1,
        contacts: ROOMS + 10,
        groups: 1,
        members: ghosts + 1,
        hold_seconds: HOLD.as_secs_f64(),
        ..SimOptions::default()
    };
    Ground::set_with(scratch, world, &format!("encryption = \"{encryption}\"\n")).await
}

/// Messages per second in many rooms, and what the first of a room and later ones take.
async fn many_rooms(options: &Options, report: &mut Report, encryption: &str) -> Result<f64> {
    let scratch = Scratch::under(&options.dir, "bench-encrypted")?;
    let ground = ground(&scratch, 8, encryption).await?;
    let is_sealed = encryption != "off";
    let ann = ground.people.enter_as("ann", "register", json!({ "encrypts": is_sealed })).await?;
    ground.at_home(&ann, ACCOUNT).await?;
    quiet(&ground).await?;
    let mut sent = Sent::new(&ground, is_sealed);
    let how = if is_sealed { "encrypted" } else { "in clear" };
    // What a machine needs once is no part of it.
    sent.say("c0", "c0", "warm").await?;
    quiet(&ground).await?;
    let first = sent.say("c1", "c1", "first").await?;
    report.add(SECTION, format!("{how}: the first message of a room"), first, "ms", Aim::None);
    quiet(&ground).await?;
    let mut later = Vec::new();
    for n in 0..LATER {
        later.push(sent.say("c1", "c1", &format!("later {n}")).await?);
    }
    later.sort_by(f64::total_cmp);
    let middle = later[later.len() / 2];
    report.add(SECTION, format!("{how}: later ones, p50"), middle, "ms", Aim::None);
    for n in 2..=ROOMS {
        ground.sim.say(ACCOUNT, &format!("c{n}"), &format!("c{n}"), &format!("open {n}")).await?;
    }
    sent.wait(ROOMS as usize - 1).await?;
    quiet(&ground).await?;
    let each = options.messages / 2_500;
    let begun = Instant::now();
    for n in 1..=ROOMS {
        let chat = format!("c{n}");
        ground.sim.burst(ACCOUNT, &chat, &chat, &format!("burst {n}"), each).await?;
    }
    let count = ROOMS * each;
    sent.wait(count as usize).await?;
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    report.add(SECTION, format!("{how}: {count} messages into {ROOMS} rooms"), rate, "messages/s", Aim::None);
    read(&ann, "burst", count as usize).await?;
    ground.end().await?;
    Ok(rate)
}

/// Everybody in a large group speaks, one half after the other, and all of them once more.
async fn one_group(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-encrypted")?;
    let ghosts = if options.is_quick { FEW_GHOSTS } else { GHOSTS };
    let mut ground = ground(&scratch, ghosts, "default").await?;
    let people = ground.homeserver.people()?;
    let ann = people.enter_as("ann", "register", json!({ "encrypts": true })).await?;
    ground.at_home(&ann, ACCOUNT).await?;
    let members = ground.sim.person(ACCOUNT, "g0").await?.members;
    let others: Vec<String> = members.into_iter().filter(|member| member != "self").collect();
    ensure!(others.len() == ghosts as usize, "{} people are in the group", others.len());
    // What a machine and a room need once is no part of it.
    Sent::new(&ground, true).say("g0", &others[0], "open").await?;
    quiet(&ground).await?;
    let before = settled_soon(&mut ground.gateway).await?;
    // What all share (connections, caches) is there when the half of them has spoken: the other half shows what
    // each costs.
    let (some, rest) = others.split_at(others.len() / 2);
    let mut memory = vec![before];
    let rounds = [
        ("half", some, "the first time"),
        ("rest", rest, "the first time, too"),
        ("all", others.as_slice(), "again"),
    ];
    for (mark, members, what) in rounds {
        let (asked, mut sent, begun) = (asked(&ground), Sent::new(&ground, true), Instant::now());
        for (n, member) in members.iter().enumerate() {
            ground.sim.say(ACCOUNT, "g0", member, &format!("{mark} {n}")).await?;
        }
        sent.wait(members.len()).await?;
        let count = members.len() as f64;
        let each = begun.elapsed().as_secs_f64() * 1_000.0 / count;
        let what = format!("{count} ghosts speak in one room, {what}: each");
        report.add(SECTION, what.as_str(), each, "ms", Aim::None);
        read(&ann, mark, members.len()).await?;
        let each = begun.elapsed().as_secs_f64() * 1_000.0 / count;
        report.add(SECTION, format!("{what}, until all are read"), each, "ms", Aim::None);
        quiet(&ground).await?;
        let each = (self::asked(&ground) - asked) as f64 / count;
        report.add(SECTION, format!("{what}, pictures and all"), each, "requests", Aim::None);
        memory.push(settled_soon(&mut ground.gateway).await?);
    }
    let grown = |from: usize, to: usize, ghosts: usize| {
        let bytes = memory[to].saturating_sub(memory[from]);
        bytes as f64 / 1024.0 / ghosts as f64
    };
    let what = "memory of each ghost that speaks, the second half of them";
    report.add(SECTION, what, grown(1, 2, rest.len()), "KiB", Aim::AtMost(GHOST_KIB));
    let what = "the same, with what all share";
    report.add(SECTION, what, grown(0, 3, others.len() - 1), "KiB", Aim::None);
    let refused = ground.out.refused().len();
    report.add(SECTION, "requests that the homeserver refused", refused as f64, "requests", Aim::None);
    ground.end().await
}

/// What the gateway grows by while a large file passes both ways.
async fn large_file(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::under(&options.dir, "bench-encrypted")?;
    let mut ground = ground(&scratch, 8, "default").await?;
    let people = ground.homeserver.people()?;
    let ann = people.enter_as("ann", "register", json!({ "encrypts": true })).await?;
    ground.at_home(&ann, ACCOUNT).await?;
    ground.sim.tell(ACCOUNT, "c1", "c1", json!({ "kind": "file", "name": "small.bin" })).await?;
    let is_small = |seen: &Seen| seen.body() == "small.bin";
    let room = ann.expect("a small file", SOON, is_small).await?.room;
    ann.send_file(&room, "small too.bin", "application/octet-stream", b"small").await?;
    heard_files(&ground, 1).await?;
    let mut before = ground.gateway.program()?.peak_rss_bytes()?;
    ground.sim.fault(&json!({ "endpoint": "webwxgetmedia", "fault": { "oversized": LARGE_BYTES } })).await?;
    ground.sim.tell(ACCOUNT, "c1", "c1", json!({ "kind": "file", "name": "large.bin" })).await?;
    let is_large = |seen: &Seen| seen.content()["info"]["size"] == LARGE_BYTES;
    let seen = ann.expect("a large file", LIMIT, is_large).await?;
    let file = ann.download_sealed(&seen.content()["file"]).await?;
    ensure!(file.len() == LARGE_BYTES && file.iter().all(|byte| *byte == b' '), "other bytes");
    for way in ["to Matrix", "to WeChat"] {
        if way == "to WeChat" {
            ann.send_file(&room, "large too.bin", "application/octet-stream", &file).await?;
            heard_files(&ground, 2).await?;
        }
        let after = ground.gateway.program()?.peak_rss_bytes()?;
        let grown = mib(after.saturating_sub(before));
        let what = format!("20 MiB {way}: peak memory beyond before");
        report.add(SECTION, what, grown, "MiB", Aim::AtMost(12.0));
        before = before.max(after);
    }
    ground.end().await
}

async fn heard_files(ground: &Ground, count: usize) -> Result<()> {
    crate::wait::until("the file", LIMIT, async || {
        let ledger = ground.sim.ledger(ACCOUNT).await?;
        let files = ledger.iter().filter(|entry| entry.is_heard() && entry.kind == "file").count();
        Ok((files >= count).then_some(()))
    })
    .await
}

/// Waits until somebody's client has read so many texts that begin with `mark`.
async fn read(person: &Person<'_>, mark: &str, count: usize) -> Result<()> {
    let mut have = 0;
    let fits = |seen: &Seen| {
        have += usize::from(seen.is_said() && seen.body().starts_with(mark));
        have >= count
    };
    person.expect(&format!("{count} texts {mark}…"), LIMIT, fits).await.map(drop)
}

/// Waits until rooms are furnished.
async fn quiet(ground: &Ground) -> Result<()> {
    ground.out.rest(QUIET, LIMIT).await
}

fn asked(ground: &Ground) -> usize {
    ground.out.count(|path| !path.contains("/sync"))
}

/// Counts what the gateway has said.
struct Sent<'a> {
    ground: &'a Ground,
    path: &'static str,
    count: usize,
}

impl<'a> Sent<'a> {
    fn new(ground: &'a Ground, is_sealed: bool) -> Self {
        let path = if is_sealed { "/send/m.room.encrypted/" } else { "/send/m.room.message/" };
        let mut sent = Self { ground, path, count: 0 };
        sent.count = sent.now();
        sent
    }

    fn now(&self) -> usize {
        self.ground.out.count(|path| path.contains(self.path))
    }

    /// Waits until so many more were said.
    async fn wait(&mut self, more: usize) -> Result<()> {
        self.count += more;
        let work = async {
            while self.now() < self.count {
                self.ground.out.more().await;
            }
        };
        let missing = || format!("{} of {} messages were sent", self.now(), self.count);
        tokio::time::timeout(LIMIT, work).await.with_context(missing)
    }

    /// Has something said, and gives the milliseconds until it stands on the homeserver's wire.
    async fn say(&mut self, chat: &str, from: &str, text: &str) -> Result<f64> {
        let begun = Instant::now();
        self.ground.sim.say(ACCOUNT, chat, from, text).await?;
        self.wait(1).await?;
        Ok(begun.elapsed().as_secs_f64() * 1_000.0)
    }
}
