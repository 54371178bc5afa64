//! A group of hundreds in an encrypted room: everybody who speaks is read, and what that costs.
//!
//! Told to matrix-nio and to a strict client of matrix-sdk. `WXGATE_CROWD` says how many of the group speak
//! (200 in the long run); the group itself is always larger than what comes into a room all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::Instant;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::{self, Person, Seen};
use wxgate_tests::sim::SimOptions;

use crate::encrypted::is_sealed;

const ACCOUNT: &str = "account0";
const GROUP: &str = "g0";
/// How many speak, unless it is said.
const SPEAKERS: usize = 12;
/// Members of the group at least: more than come before they speak.
const MEMBERS: usize = 60;
/// Until everything that somebody says is read: as much for each on a busy machine, and something for all.
const EACH: Duration = Duration::from_secs(6);
/// What a ghost's first words may cost: to be made (3), brought in (2), to have a signed device (4) and a key for one
/// device of a person (2), to speak (1), and a picture (2).
const FIRST: usize = 14;
/// What later words may cost, beside the words themselves, for all of them together: who came is looked at once.
const LATER: usize = 10;

fn speakers() -> Result<usize> {
    match std::env::var("WXGATE_CROWD") {
        Ok(number) => number.parse().context("WXGATE_CROWD is no number"),
        Err(_) => Ok(SPEAKERS),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_of_a_large_group_is_read_and_costs_no_more_than_they_must() -> Result<()> {
    let speakers = speakers()?;
    let limit = SOON * 4 + EACH * u32::try_from(speakers)? * 2;
    tell("crowd", limit, async |scratch| {
        let members = u32::try_from(speakers.max(MEMBERS))? + 1;
        let world = SimOptions { accounts: 1, groups: 1, members, ..SimOptions::default() };
        let mut ground = Ground::set_with(scratch, world, "encryption = \"default\"\n").await?;
        let people = ground.homeserver.people()?;
        let how = if people::encrypts() { json!({ "strict": true }) } else { json!({ "encrypts": true }) };
        let ann = people.enter_as("ann", "register", how).await?;
        ground.at_home(&ann, ACCOUNT).await?;
        let members = ground.sim.person(ACCOUNT, GROUP).await?.members;
        let mut members = members.into_iter().filter(|member| member != "self");
        let opens = members.next().context("an empty group")?;
        ground.sim.say(ACCOUNT, GROUP, &opens, "the first of all").await?;
        ann.expect_text("the first of all", SOON).await?;
        rest(&ground).await?;
        let crowd: Vec<String> = members.take(speakers).collect();
        let memory = ground.gateway.program()?.rss_bytes()?;
        for (round, most) in [("first", FIRST * crowd.len()), ("later", crowd.len() + LATER)] {
            let cost = speak(&ground, &ann, &crowd, round).await?;
            cost.tell(round, crowd.len());
            ensure!(
                cost.asked() <= most,
                "{} requests, and {most} are enough: {:?}",
                cost.asked(),
                cost.kinds
            );
            ensure!(cost.refused.is_empty(), "the homeserver refused {:?}", cost.refused);
        }
        let grown = ground.gateway.program()?.rss_bytes()?.saturating_sub(memory);
        println!("memory: {} KiB more for {} who speak", grown / 1024, crowd.len());
        ground.end().await
    })
    .await
}

/// What was asked of the homeserver meanwhile.
struct Cost {
    took: Duration,
    kinds: BTreeMap<String, usize>,
    refused: Vec<String>,
}

impl Cost {
    fn asked(&self) -> usize {
        self.kinds.values().sum()
    }

    fn tell(&self, round: &str, speakers: usize) {
        let each = |all: f64| all / f64::from(u32::try_from(speakers).unwrap_or(u32::MAX));
        let requests = each(f64::from(u32::try_from(self.asked()).unwrap_or(u32::MAX)));
        let seconds = self.took.as_secs_f64();
        println!(
            "{speakers} ghosts, {round} words: {requests:.1} requests each, read after {seconds:.1} s, {:.0} ms each",
            each(seconds * 1_000.0)
        );
        println!("  {:?}", self.kinds);
    }
}

/// Everybody says something, and it is read, each in the name of somebody else.
async fn speak(ground: &Ground, ann: &Person<'_>, crowd: &[String], round: &str) -> Result<Cost> {
    let (before, refused, begun) = (ground.out.passed().len(), ground.out.refused().len(), Instant::now());
    for (n, member) in crowd.iter().enumerate() {
        ground.sim.say(ACCOUNT, GROUP, member, &format!("{round} words of {n}")).await?;
    }
    let mut seen = BTreeMap::<String, Seen>::new();
    let limit = SOON + EACH * u32::try_from(crowd.len())?;
    let fits = |one: &Seen| {
        if one.is_said() && one.body().starts_with(round) {
            seen.insert(one.body().to_owned(), one.clone());
        }
        seen.len() == crowd.len()
    };
    let read = ann.expect("everybody's words", limit, fits).await;
    let wanted = (0..crowd.len()).map(|n| format!("{round} words of {n}"));
    let missing: Vec<String> = wanted.filter(|words| !seen.contains_key(words)).collect();
    read.with_context(|| format!("not read: {missing:?}"))?;
    let took = begun.elapsed();
    rest(ground).await?;
    let senders: BTreeSet<&str> = seen.values().map(Seen::sender).collect();
    ensure!(senders.len() == crowd.len(), "{} senders for {} people", senders.len(), crowd.len());
    let mut devices = BTreeSet::new();
    for one in seen.values() {
        let event = is_sealed(ann, one).await?;
        devices.insert(event["content"]["device_id"].as_str().unwrap_or_default().to_owned());
    }
    ensure!(devices.len() == crowd.len(), "{} devices for {} people", devices.len(), crowd.len());
    let mut kinds = BTreeMap::new();
    for path in ground.out.passed().iter().skip(before).filter(|path| !path.contains("/sync")) {
        *kinds.entry(kind(path)).or_default() += 1;
    }
    Ok(Cost { took, kinds, refused: ground.out.refused().split_off(refused) })
}

/// Waits until all pictures and names of those who came are there as well.
async fn rest(ground: &Ground) -> Result<()> {
    ground.out.rest(Duration::from_secs(2), SOON * 3).await
}

/// A path without what differs from one request to the next.
fn kind(path: &str) -> String {
    const KINDS: [&str; 14] = [
        "/register",
        "/devices/",
        "/displayname",
        "/avatar_url",
        "/invite",
        "/join/",
        "/keys/upload",
        "/keys/device_signing",
        "/keys/query",
        "/keys/claim",
        "/sendToDevice/",
        "/send/m.room.encrypted",
        "/media/",
        "/members",
    ];
    let known = KINDS.iter().find(|part| path.contains(**part)).map(|part| (*part).to_owned());
    known.unwrap_or_else(|| path.split('?').next().unwrap_or(path).to_owned())
}
