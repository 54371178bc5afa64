//! The gateway is away while people speak in encrypted rooms and in WeChat; when it is back, all of it is read, once and
//! in order, on both sides, also by a client that came meanwhile.
//!
//! `WXGATE_AWAY` says for how many seconds it is away, with words on each side every [`PACE`]; without it they come as
//! fast as they can.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::Person;
use wxgate_tests::wait::until;

use crate::encrypted::{ground, tell_sealed_within};

const ACCOUNT: &str = "account0";
/// Rooms in which it is spoken.
const CHATS: usize = 4;
/// Words on each side, unless it is said how long it takes.
const EVERYDAY: usize = 24;
/// Time between the words of one side. Chosen: 600 in an hour on each.
const PACE: Duration = Duration::from_secs(6);
/// Until one of them has arrived, when all of them come at once on a busy machine.
const EACH: Duration = Duration::from_secs(2);

/// For how long the gateway is away, and how much is said on each side.
fn extent() -> Result<(Duration, usize)> {
    let Ok(seconds) = std::env::var("WXGATE_AWAY") else { return Ok((Duration::ZERO, EVERYDAY)) };
    let away = Duration::from_secs(seconds.parse().context("WXGATE_AWAY is no number")?);
    let count = away.as_secs() / PACE.as_secs();
    Ok((away, usize::try_from(count)?.max(EVERYDAY)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_the_gateway_was_away_is_read_in_order_on_both_sides() -> Result<()> {
    let (away, count) = extent()?;
    let arrive = SOON * 2 + EACH * u32::try_from(count)?;
    tell_sealed_within("absence", SOON * 4 + away * 2 + arrive * 2, async |scratch| {
        let mut ground = ground(scratch, 1).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({ "strict": true })).await?;
        ground.at_home(&ann, ACCOUNT).await?;
        let mut rooms = Vec::new();
        for chat in 0..CHATS {
            let opens = format!("opens {chat}");
            ground.sim.say(ACCOUNT, &contact(chat), &contact(chat), &opens).await?;
            rooms.push(ann.expect_text(&opens, SOON).await?.room);
        }
        ground.gateway.kill().await?;
        // A second client of hers comes when half of it is said, and what it says is encrypted by a device that the
        // gateway has never heard of.
        let mut pad = None;
        for n in 0..count {
            if n == count / 2 {
                let how = json!({ "user": "ann" });
                pad = Some(people.enter_as("pad", "login", how).await?);
            }
            let speaks = pad.as_ref().filter(|_| n % 2 == 1).unwrap_or(&ann);
            let at = n % CHATS;
            speaks.say(rooms.get(at).context("no room")?, &here(at, n)).await?;
            ground.sim.say(ACCOUNT, &contact(at), &contact(at), &there(at, n)).await?;
            if !away.is_zero() {
                tokio::time::sleep(PACE).await;
            }
        }
        let pad = pad.context("nobody came")?;
        ground.gateway.run().await?;
        let back = std::time::Instant::now();
        for at in 0..CHATS {
            let numbers = (0..count).filter(|n| n % CHATS == at);
            let wanted: Vec<String> = numbers.clone().map(|n| here(at, n)).collect();
            let mark = here(at, 0).trim_end_matches('0').to_owned();
            until(&format!("{} texts {mark}", wanted.len()), arrive, async || {
                Ok((heard(&ground, &mark).await?.len() >= wanted.len()).then_some(()))
            })
            .await?;
            let have = heard(&ground, &mark).await?;
            ensure!(have == wanted, "said {wanted:?}, heard {have:?}");
            let wanted: Vec<String> = numbers.map(|n| there(at, n)).collect();
            let last = wanted.last().context("nothing was said")?;
            let room = rooms.get(at).context("no room")?;
            for reader in [&ann, &pad] {
                reader.expect_text(last, arrive).await?;
                let have = shown(reader, room, &format!("there {at}-")).await?;
                ensure!(have == wanted, "said {wanted:?}, shown {have:?}");
            }
        }
        println!(
            "away for {} s: {count} texts each way, all read in order {:.1} s after the start",
            away.as_secs(),
            back.elapsed().as_secs_f64()
        );
        ground.end_after_kills().await
    })
    .await
}

fn contact(chat: usize) -> String {
    format!("c{}", chat + 1)
}

fn here(chat: usize, n: usize) -> String {
    format!("here {chat}-{n}")
}

fn there(chat: usize, n: usize) -> String {
    format!("there {chat}-{n}")
}

/// What the simulated people heard that begins with `mark`, in its order.
async fn heard(ground: &Ground, mark: &str) -> Result<Vec<String>> {
    let ledger = ground.sim.ledger(ACCOUNT).await?;
    let heard = ledger.into_iter().filter(|entry| entry.is_heard() && entry.text.starts_with(mark));
    Ok(heard.map(|entry| entry.text).collect())
}

/// What a client could read in a room that begins with `mark`, in the order of the homeserver.
async fn shown(reader: &Person<'_>, room: &str, mark: &str) -> Result<Vec<String>> {
    let (seen, events) = (reader.seen(), reader.history(room).await?);
    let text = |event: &serde_json::Value| {
        let id = event["event_id"].as_str()?;
        let read = seen.iter().find(|seen| seen.is_said() && seen.id() == id)?;
        Some(read.body().to_owned()).filter(|text| text.starts_with(mark))
    };
    Ok(events.iter().filter_map(text).collect())
}
