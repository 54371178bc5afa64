//! The application service against a homeserver that costs nothing: messages per second both ways, what
//! the gateway adds to a message's way, and memory with many rooms and people.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::floor::Floor;
use super::latency::{Spread, moment, sample};
use super::memory::{mib, settled};
use super::options::{HOLD, Options, small_world};
use super::report::{Aim, Report};
use super::stub::{DOMAIN, Pusher, Stub};
use crate::clock::now_us;
use crate::fleet::{self, USER, name};
use crate::gateway::{Gateway, GatewayOptions};
use crate::ports;
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};

const SECTION: &str = "matrix";
/// Accounts, and chats of each, that make a hundred rooms.
const ACCOUNTS: u32 = 10;
const CHATS: u32 = 10;
/// Accounts, and groups of each, that make two thousand rooms. Their members are some ten thousand.
const LARGE: (u32, u32) = (20, 100);
/// 50 messages per second.
const PACE: Duration = Duration::from_millis(20);
/// Events of one transaction. Source: Synapse puts at most 100 into one.
const TOGETHER: usize = 100;
/// How long all of a burst may take.
const LIMIT: Duration = Duration::from_secs(180);
/// Nothing was asked for this long: the rooms are furnished.
const QUIET: Duration = Duration::from_secs(3);
/// The owner of all accounts, on the homeserver.
const OWNER: &str = "@ann:bench";

/// Everything that runs.
struct Ground {
    sim: Arc<Sim>,
    stub: Stub,
    gateway: Arc<Gateway>,
    listen: String,
    hs_token: String,
    _scratch: Scratch,
}

impl Ground {
    async fn set(options: &Options, world: &SimOptions) -> Result<Self> {
        let scratch = Scratch::under(&options.dir, "bench-matrix")?;
        let sim = Arc::new(Sim::start(&scratch, world).await?);
        let stub = Stub::start().await?;
        let listen = format!("127.0.0.1:{}", ports::free()?);
        let more = format!(
            "[matrix.appservice]\nenabled = true\nhomeserver = \"http://{}\"\ndomain = {DOMAIN:?}\n\
             listen = {listen:?}\npermissions = {{ {DOMAIN:?} = \"user\" }}\n",
            stub.address
        );
        // As gentle towards WeChat as by default: what is typed waits, and is safe.
        let quiet = GatewayOptions {
            log_filter: "warn".to_owned(),
            sends_per_minute: 30,
            more,
            ..GatewayOptions::default()
        };
        let mut gateway = Gateway::prepare(&scratch, &sim.url(), &quiet)?;
        let registration = gateway.cli(&["matrix", "registration"], None).await?;
        let token = registration.lines().find_map(|line| line.strip_prefix("hs_token: "));
        let hs_token = token.context("no hs_token in the registration")?.trim_matches('"').to_owned();
        gateway.run().await?;
        gateway.add_user(USER).await?;
        gateway.cli(&["user", "matrix", USER, OWNER], None).await?;
        Ok(Self { sim, stub, gateway: Arc::new(gateway), listen, hs_token, _scratch: scratch })
    }

    async fn sign_in(&self, accounts: u32, options: &Options) -> Result<()> {
        fleet::sign_in(&self.gateway, &self.sim, 0..accounts, options.growth).await
    }

    /// Waits until so many texts that begin with `mark` were sent.
    async fn sent(&self, mark: &str, count: usize) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while self.stub.count(mark) < count {
            let waited = timeout_at(end, self.stub.changed()).await;
            waited.with_context(|| format!("{} of {count} texts {mark}…", self.stub.count(mark)))?;
        }
        Ok(())
    }

    /// Waits until the gateway asks for nothing any more.
    async fn quiet(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while tokio::time::timeout(QUIET, self.stub.changed()).await.is_ok() {
            ensure!(Instant::now() < end, "the gateway does not come to rest");
        }
        Ok(())
    }

    /// Opens a room for each chat, and gives the room of each.
    async fn open(&self, chats: &[(u32, String, String)]) -> Result<Vec<String>> {
        for (account, chat, from) in chats {
            self.sim.say(&name(*account), chat, from, &format!("open {account} {chat}")).await?;
        }
        self.sent("open", chats.len()).await?;
        self.quiet().await?;
        let rooms: HashMap<String, String> =
            self.stub.take_sent().into_iter().map(|sent| (sent.body, sent.room)).collect();
        let room = |(account, chat, _): &(u32, String, String)| {
            rooms.get(&format!("open {account} {chat}")).cloned().context("a chat without a room")
        };
        chats.iter().map(room).collect()
    }

    async fn cpu(&mut self) -> Result<Duration> {
        Arc::get_mut(&mut self.gateway).context("the gateway is in use")?.program()?.cpu()
    }
}

/// Measures.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    hundred_rooms(options, report).await?;
    many_rooms(options, report).await
}

async fn hundred_rooms(options: &Options, report: &mut Report) -> Result<()> {
    let world = small_world(2 * ACCOUNTS);
    let mut ground = Ground::set(options, &world).await?;
    ground.sign_in(ACCOUNTS, options).await?;
    let chat = |n: u32| (n / CHATS, format!("c{}", n % CHATS + 1), format!("c{}", n % CHATS + 1));
    let chats: Vec<_> = (0..ACCOUNTS * CHATS).map(chat).collect();
    let rooms = ground.open(&chats).await?;
    latency(options, report, &ground, &chats).await?;
    outwards(options, report, &mut ground, &chats, &rooms).await?;
    inwards(options, report, &mut ground, &rooms).await?;
    ground.sim.assert_no_violations().await
}

/// From WeChat into the rooms.
async fn outwards(
    options: &Options,
    report: &mut Report,
    ground: &mut Ground,
    chats: &[(u32, String, String)],
    rooms: &[String],
) -> Result<()> {
    let per_chat = (options.messages / 2 / ACCOUNTS / CHATS).max(10);
    let total = per_chat as usize * chats.len();
    let (before, begun_us) = (ground.cpu().await?, now_us());
    for (account, chat, from) in chats {
        ground.sim.burst(&name(*account), chat, from, "load", per_chat).await?;
    }
    ground.sent("load", total).await?;
    let spent = ground.cpu().await? - before;
    let sent = ground.stub.take_sent();
    let last_us = sent.iter().map(|sent| sent.at_us).max().unwrap_or(begun_us);
    let mut by_room: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for sent in sent.iter().filter(|sent| sent.body.starts_with("load")) {
        by_room.entry(&sent.room).or_default().push(&sent.body);
    }
    let wanted: Vec<String> = (0..per_chat).map(|n| format!("load {n}")).collect();
    ensure!(by_room.len() == rooms.len(), "{} rooms were spoken in", by_room.len());
    ensure!(by_room.values().all(|texts| *texts == wanted), "something is missing, doubled or out of order");
    let took = last_us.saturating_sub(begun_us) as f64 / 1e6;
    let what = format!("{} rooms, {total} messages from WeChat", rooms.len());
    report.add(SECTION, what, total as f64 / took, "events/s", Aim::AtLeast(2_000.0));
    let each_us = spent.as_secs_f64() * 1e6 / total as f64;
    report.add(SECTION, "processor per message from WeChat", each_us, "µs", Aim::None);
    Ok(())
}

/// From the rooms onto the disk: a transaction is answered when all of it is safe.
async fn inwards(
    options: &Options,
    report: &mut Report,
    ground: &mut Ground,
    rooms: &[String],
) -> Result<()> {
    let mut pusher = Pusher::connect(&ground.listen, &ground.hs_token).await?;
    let mut ways = Vec::new();
    for n in 0..options.samples.min(300) as usize {
        let begun = Instant::now();
        let room = rooms.get(n % rooms.len()).context("no room")?.clone();
        pusher.push(&[(room, format!("single {n}"))], OWNER).await?;
        ways.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let spread = Spread::of(ways);
    report.add(SECTION, "one event until it is safe, p50", spread.p50, "ms", Aim::AtMost(5.0));
    report.add(SECTION, "one event until it is safe, p99", spread.p99, "ms", Aim::None);
    let total = (options.messages / 5) as usize / TOGETHER * TOGETHER;
    let (before, begun) = (ground.cpu().await?, Instant::now());
    for n in (0..total).step_by(TOGETHER) {
        let text = |at: usize| {
            let room = rooms.get(at % rooms.len()).context("no room")?.clone();
            Ok((room, format!("typed {at}")))
        };
        let texts = (n..n + TOGETHER).map(text).collect::<Result<Vec<_>>>()?;
        pusher.push(&texts, OWNER).await?;
    }
    let took = begun.elapsed().as_secs_f64();
    let each_us = (ground.cpu().await? - before).as_secs_f64() * 1e6 / total as f64;
    let what = format!("{} rooms, {total} events from the homeserver", rooms.len());
    report.add(SECTION, what, total as f64 / took, "events/s", Aim::AtLeast(2_000.0));
    report.add(SECTION, "processor per event from the homeserver", each_us, "µs", Aim::None);
    Ok(())
}

/// From "the service has it" to the request at the homeserver, beside the floor of the same run.
async fn latency(
    options: &Options,
    report: &mut Report,
    ground: &Ground,
    chats: &[(u32, String, String)],
) -> Result<()> {
    let (arrivals, mut floor_lines) = tokio::sync::mpsc::channel(4_096);
    let mut floors = Vec::new();
    for at in ACCOUNTS..2 * ACCOUNTS {
        let journal = ground._scratch.join(&format!("journal-{at}"));
        floors.push(Floor::start(&ground.sim, &name(at), &journal, arrivals.clone()).await?);
    }
    fleet::polling(&ground.sim, 2 * ACCOUNTS, options.growth).await?;
    let floor = Spread::of(
        sample(&ground.sim, ACCOUNTS..2 * ACCOUNTS, "floor", options.samples / 2, &mut floor_lines).await?,
    );
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = HashMap::new();
    let count = (options.samples / 2) as usize;
    for (n, (account, chat, from)) in chats.iter().cycle().take(count).enumerate() {
        pace.tick().await;
        let (text, before) = (format!("way {n}"), now_us());
        ground.sim.say(&name(*account), chat, from, &text).await?;
        asked.insert(text, (before, now_us()));
    }
    ground.sent("way", count).await?;
    let mut ledger = HashMap::new();
    for at in 0..ACCOUNTS {
        ledger
            .extend(ground.sim.ledger(&name(at)).await?.into_iter().map(|entry| (entry.text.clone(), entry)));
    }
    let mut ways = Vec::new();
    for sent in ground.stub.take_sent() {
        let Some((before, after)) = asked.get(&sent.body) else { continue };
        let entry = ledger.get(&sent.body).with_context(|| format!("{} is not in the ledger", sent.body))?;
        let had = moment(entry.at_us, entry.at_ms, *before, *after);
        ways.push(sent.at_us.saturating_sub(had) as f64 / 1e3);
    }
    let way = Spread::of(ways);
    report.add(SECTION, "floor p50", floor.p50, "ms", Aim::None);
    report.add(SECTION, "from WeChat into the room, p50", way.p50, "ms", Aim::None);
    report.add(SECTION, "from WeChat into the room, p99", way.p99, "ms", Aim::None);
    report.add(SECTION, "added to the floor, p50", way.p50 - floor.p50, "ms", Aim::AtMost(5.0));
    Ok(())
}

/// What the rooms and people of many accounts cost, and what a first sign-in asks for.
async fn many_rooms(options: &Options, report: &mut Report) -> Result<()> {
    let (accounts, groups) = LARGE;
    let world = SimOptions {
        accounts,
        contacts: 1_000,
        groups,
        hold_seconds: HOLD.as_secs_f64(),
        ..SimOptions::default()
    };
    let mut ground = Ground::set(options, &world).await?;
    let begun = Instant::now();
    ground.sign_in(1, options).await?;
    report.add(
        SECTION,
        "first sign-in, 1,000 contacts and 100 groups",
        begun.elapsed().as_secs_f64(),
        "s",
        Aim::None,
    );
    ground.quiet().await?;
    let rooms = ground.stub.asked().get("create room").copied().unwrap_or(0);
    report.add(SECTION, "rooms after it, before anybody speaks", rooms as f64, "rooms", Aim::AtMost(1.0));
    ground.sim.say(&name(0), "c1", "c1", "first").await?;
    ground.sent("first", 1).await?;
    ground.quiet().await?;
    let asked: u64 = ground.stub.asked().values().sum();
    report.add(SECTION, "requests until the first message is shown", asked as f64, "requests", Aim::None);
    ground.sign_in_more(options).await?;
    let base = settled(&mut ground.gateway).await?;
    report.add(SECTION, format!("base: {accounts} accounts"), mib(base), "MiB", Aim::None);
    let mut chats = Vec::new();
    for account in 0..accounts {
        for group in 0..groups {
            let chat = format!("g{group}");
            let members = ground.sim.person(&name(account), &chat).await?.members;
            let from = members.into_iter().find(|member| member != "self").context("an empty group")?;
            chats.push((account, chat, from));
        }
    }
    let begun = Instant::now();
    ground.open(&chats).await?;
    report.add(
        SECTION,
        "2,000 groups speak: until all rooms are furnished",
        begun.elapsed().as_secs_f64(),
        "s",
        Aim::None,
    );
    let asked = ground.stub.asked();
    let of = |what: &str| asked.get(what).copied().unwrap_or(0);
    report.add(SECTION, "rooms", of("create room") as f64, "rooms", Aim::None);
    report.add(SECTION, "people made on the homeserver", of("register") as f64, "users", Aim::None);
    let rss = settled(&mut ground.gateway).await?;
    report.add(
        SECTION,
        "memory of them beyond the base",
        mib(rss.saturating_sub(base)),
        "MiB",
        Aim::AtMost(40.0),
    );
    ground.sim.assert_no_violations().await
}

impl Ground {
    async fn sign_in_more(&self, options: &Options) -> Result<()> {
        fleet::sign_in(&self.gateway, &self.sim, 1..LARGE.0, options.growth).await
    }
}
