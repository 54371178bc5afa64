//! The first sign-in of a large account against a real homeserver, beside what that homeserver takes for the
//! same requests by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::options::{HOLD, Options};
use super::report::{Aim, Report};
use crate::cut::Wire;
use crate::fleet::{self, USER, name};
use crate::gateway::{Gateway, GatewayOptions};
use crate::homeserver::{DOMAIN, Homeserver, python};
use crate::http::{Connection, Place};
use crate::ports;
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};

const SECTION: &str = "synapse";
const GROUPS: u32 = 100;
/// The owner of the account; only invited, as somebody who has not looked yet.
const OWNER: &str = "@ann:localhost";
/// How long all of it may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);
/// Nothing was asked for this long: the rooms are furnished. Longer than any answer of a busy homeserver.
const QUIET: Duration = Duration::from_secs(5);
/// Requests of one kind that are timed, and how many of them are under way at once: as many as help it.
const TIMED: usize = 64;
const AT_ONCE: usize = 8;

/// Measures, where Synapse was installed.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if python().is_none() {
        eprintln!(
            "bench: no Synapse here, so the first sign-in against it is left out; run: cargo xtask setup"
        );
        return Ok(());
    }
    let scratch = Scratch::under(&options.dir, "bench-synapse")?;
    let world = SimOptions {
        accounts: 1,
        contacts: 1_000,
        groups: GROUPS,
        hold_seconds: HOLD.as_secs_f64(),
        ..SimOptions::default()
    };
    let sim = Arc::new(Sim::start(&scratch, &world).await?);
    let mut homeserver = Homeserver::prepare(&scratch)?;
    let wire = Wire::to(&homeserver.address).await?;
    let listen = format!("127.0.0.1:{}", ports::free()?);
    let more = format!(
        "[matrix.appservice]\nenabled = true\nhomeserver = \"http://{}\"\ndomain = {DOMAIN:?}\n\
         listen = {listen:?}\npermissions = {{ {DOMAIN:?} = \"user\" }}\n",
        wire.address
    );
    let quiet = GatewayOptions { log_filter: "warn".to_owned(), more, ..GatewayOptions::default() };
    let mut gateway = Gateway::prepare(&scratch, &sim.url(), &quiet)?;
    let registration = gateway.cli(&["matrix", "registration"], None).await?;
    let token = registration.lines().find_map(|line| line.strip_prefix("as_token: "));
    let token = token.context("no as_token in the registration")?.trim_matches('"').to_owned();
    homeserver.start(&[registration]).await?;
    gateway.run().await?;
    gateway.add_user(USER).await?;
    gateway.cli(&["user", "matrix", USER, OWNER], None).await?;
    let gateway = Arc::new(gateway);

    let begun = Instant::now();
    fleet::sign_in(&gateway, &sim, 0..1, options.growth).await?;
    let took = begun.elapsed().as_secs_f64();
    report.add(SECTION, "first sign-in, 1,000 contacts and 100 groups", took, "s", Aim::None);
    rest(&wire).await?;
    let rooms = wire.passed().iter().filter(|path| path.contains("/createRoom")).count();
    report.add(SECTION, "rooms after it, before anybody speaks", rooms as f64, "rooms", Aim::AtMost(1.0));
    sim.say(&name(0), "c1", "c1", "first").await?;
    let begun = Instant::now();
    sent(&wire, 1).await?;
    let took = begun.elapsed().as_secs_f64();
    report.add(SECTION, "until the first message is shown", took, "s", Aim::None);
    rest(&wire).await?;
    let asked = wire.passed().len();
    report.add(SECTION, "requests for all of that", asked as f64, "requests", Aim::None);
    groups_speak(report, &sim, &wire, &Lone { address: homeserver.address.clone(), token }).await?;
    drop(gateway);
    homeserver.stop().await
}

/// Every group says something at once.
async fn groups_speak(report: &mut Report, sim: &Sim, wire: &Wire, lone: &Lone) -> Result<()> {
    let before = wire.passed().len();
    let begun = Instant::now();
    for group in 0..GROUPS {
        let chat = format!("g{group}");
        let members = sim.person(&name(0), &chat).await?.members;
        let from = members.into_iter().find(|member| member != "self").context("an empty group")?;
        sim.say(&name(0), &chat, &from, &format!("open {group}")).await?;
    }
    sent(wire, 1 + GROUPS as usize).await?;
    let shown = begun.elapsed().as_secs_f64();
    report.add(SECTION, "100 groups speak: until all are shown", shown, "s", Aim::None);
    let furnished = (rest(wire).await? - begun).as_secs_f64();
    report.add(SECTION, "… until rooms, members and names are made", furnished, "s", Aim::None);
    let passed = wire.passed();
    let mut asked = BTreeMap::<&str, usize>::new();
    for path in passed.iter().skip(before) {
        *asked.entry(kind(path)).or_default() += 1;
    }
    report.add(SECTION, "requests for it", (passed.len() - before) as f64, "requests", Aim::None);
    report.add(SECTION, "people made for it", count(&asked, "register") as f64, "users", Aim::None);
    let alone = lone.alone(&asked).await?;
    report.add(SECTION, "Synapse alone with the same requests, eight at once", alone, "s", Aim::None);
    report.add(SECTION, "the gateway's time over that", furnished / alone, "×", Aim::None);
    Ok(())
}

fn count(asked: &BTreeMap<&str, usize>, what: &str) -> usize {
    asked.get(what).copied().unwrap_or(0)
}

/// What a request is, of those that are timed alone.
fn kind(path: &str) -> &'static str {
    const KINDS: [(&str, &str, &str); 9] = [
        ("POST", "/register", "register"),
        ("PUT", "/devices/", "device"),
        ("PUT", "/displayname", "name"),
        ("POST", "/createRoom", "room"),
        ("POST", "/invite", "invite"),
        ("POST", "/join/", "join"),
        ("PUT", "/send/", "send"),
        ("PUT", "/state/", "state"),
        ("GET", "/joined_members", "members"),
    ];
    let fits = |(method, part, _): &&(&str, &str, &str)| path.starts_with(method) && path.contains(part);
    KINDS.iter().find(fits).map_or("other", |(_, _, kind)| kind)
}

/// Waits until so many messages were sent.
async fn sent(wire: &Wire, count: usize) -> Result<()> {
    let work = async {
        while wire.passed().iter().filter(|path| path.contains("/send/m.room.message/")).count() < count {
            wire.more().await;
        }
    };
    tokio::time::timeout(LIMIT, work).await.with_context(|| format!("{count} messages were not sent"))
}

/// Waits until nothing is asked any more; gives when the last thing was.
async fn rest(wire: &Wire) -> Result<Instant> {
    let end = Instant::now() + LIMIT;
    let mut last = Instant::now();
    while tokio::time::timeout(QUIET, wire.more()).await.is_ok() {
        last = Instant::now();
        ensure!(last < end, "the gateway does not come to rest");
    }
    Ok(last)
}

/// The homeserver without the gateway, asked as an application service.
struct Lone {
    address: String,
    token: String,
}

impl Lone {
    /// How long it takes for so many requests of each kind, by the time for some of each.
    async fn alone(&self, asked: &BTreeMap<&str, usize>) -> Result<f64> {
        let ghost = |n: usize| format!("%40wechat_alone{n}%3A{DOMAIN}");
        let bot = format!("%40wechatbot%3A{DOMAIN}");
        let mut total = 0.0;
        let mut add = |what: &str, each: f64| total += each * count(asked, what) as f64;
        let register = |n: usize| {
            let user = json!({ "type": "m.login.application_service", "username": format!("wechat_alone{n}"),
                "inhibit_login": true });
            ("POST", "/_matrix/client/v3/register".to_owned(), user)
        };
        add("register", self.each(register).await?.0);
        let device = |n| ("PUT", format!("/_matrix/client/v3/devices/ALONE?user_id={}", ghost(n)), json!({}));
        add("device", self.each(device).await?.0);
        let named = |n| {
            let path = format!("/_matrix/client/v3/profile/{0}/displayname?user_id={0}", ghost(n));
            ("PUT", path, json!({ "displayname": format!("Somebody {n}") }))
        };
        add("name", self.each(named).await?.0);
        let room = |n| {
            let body = json!({ "preset": "private_chat", "name": format!("Room {n}") });
            ("POST", format!("/_matrix/client/v3/createRoom?user_id={bot}"), body)
        };
        let (each, rooms) = self.each(room).await?;
        add("room", each);
        let rooms: Vec<String> = rooms
            .iter()
            .filter_map(|made| Some(made["room_id"].as_str()?.replace('!', "%21").replace(':', "%3A")))
            .collect();
        ensure!(rooms.len() == TIMED, "{} rooms were made", rooms.len());
        let path = |n: usize, rest: &str| format!("/_matrix/client/v3/rooms/{}/{rest}", rooms[n]);
        let invite = |n| {
            let body = json!({ "user_id": format!("@wechat_alone{n}:{DOMAIN}") });
            ("POST", path(n, &format!("invite?user_id={bot}")), body)
        };
        add("invite", self.each(invite).await?.0);
        let join =
            |n| ("POST", format!("/_matrix/client/v3/join/{}?user_id={}", rooms[n], ghost(n)), json!({}));
        add("join", self.each(join).await?.0);
        let send = |n| {
            let body = json!({ "msgtype": "m.text", "body": "something" });
            ("PUT", path(n, &format!("send/m.room.message/alone{n}?user_id={}", ghost(n))), body)
        };
        add("send", self.each(send).await?.0);
        let state = |n| {
            ("PUT", path(n, &format!("state/m.room.topic/?user_id={bot}")), json!({ "topic": "something" }))
        };
        add("state", self.each(state).await?.0);
        let members = |n| ("GET", path(n, &format!("joined_members?user_id={bot}")), Value::Null);
        add("members", self.each(members).await?.0);
        Ok(total)
    }

    /// Seconds for one request of a kind, and the answers.
    async fn each(
        &self,
        request: impl Fn(usize) -> (&'static str, String, Value),
    ) -> Result<(f64, Vec<Value>)> {
        let mut tasks = JoinSet::<Result<Vec<Value>>>::new();
        let begun = Instant::now();
        for lane in 0..AT_ONCE {
            let requests: Vec<_> = (lane..TIMED).step_by(AT_ONCE).map(&request).collect();
            let (place, bearer) = (Place::Tcp(self.address.clone()), format!("Bearer {}", self.token));
            tasks.spawn(async move {
                let mut connection = Connection::open(&place).await?;
                let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
                let mut answers = Vec::new();
                for (method, path, body) in requests {
                    let body = if body.is_null() { String::new() } else { body.to_string() };
                    let answer = connection.ask(method, &path, &headers, body).await?;
                    answers.push(answer.good(&path)?.json()?);
                }
                Ok(answers)
            });
        }
        let mut lanes = Vec::new();
        while let Some(done) = tasks.join_next().await {
            lanes.push(done??);
        }
        let each = begun.elapsed().as_secs_f64() / TIMED as f64;
        Ok((each, lanes.into_iter().flatten().collect()))
    }
}
