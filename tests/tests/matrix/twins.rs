//! Two contacts that nobody can tell apart after a new login: the owner is asked at the desk when one of them speaks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground, SOON};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::confirm_pushed;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
const ACCOUNT: &str = "account0";
/// In no group, and nothing but their permanent ids, which are never shown, tells them apart.
const TWINS: [&str; 2] = ["c6", "c9"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_asked_who_an_unknown_twin_is_when_it_speaks_and_answers_at_the_desk() -> Result<()> {
    tell("matrix-twins", LIMIT, async |scratch| {
        let world = SimOptions { permanent_ids: false, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, "").await?;
        let (ann, desk) = ground.signed_in("ann", ACCOUNT).await?;
        let [one, other] = TWINS;
        ground.sim.change(ACCOUNT, json!({"change": "twin", "who": other, "of": one})).await?;
        let mut rooms = Vec::new();
        for who in TWINS {
            rooms.push(hears(&ground, &ann, who, &format!("before from {who}")).await?.room);
        }
        new_login(&ground, &ann, &desk).await?;
        let nothing = ground.ask(&ann, &desk, "identity").await?;
        ensure!(nothing.body().contains("nothing to settle"), "{}", nothing.body());
        let mark = ann.mark();
        let said = hears(&ground, &ann, one, "meanwhile").await?;
        ensure!(!rooms.contains(&said.room), "it was guessed who {one} is");
        let asks = |seen: &Seen| seen.room == desk && seen.body().contains("not settled who is who in 1");
        let asked = ann.expect_after(mark, "to be asked", SOON, asks).await?;
        ensure!(asked.sender() == BOT && asked.body().contains("`identity`"), "{}", asked.body());
        // What is said to either of the old ones goes to nobody.
        let refused = ann.say(&rooms[0], "are you there?").await?;
        ann.expect_after(mark, "the way out", SOON, |seen| {
            seen.sender() == BOT
                && seen.body().contains("identity")
                && seen.event.to_string().contains(&refused)
        })
        .await?;
        let shown = ground.ask(&ann, &desk, "identity").await?;
        ensure!(shown.body().contains("1) ") && shown.body().contains("2) "), "{}", shown.body());
        let noted = ground.ask(&ann, &desk, "same 1 1").await?;
        ensure!(noted.body().contains("in the right chat now"), "{}", noted.body());
        // What was said meanwhile stands in one of the old rooms, and goes on there.
        let moved = |seen: &Seen| seen.is_said() && rooms.contains(&seen.room) && seen.body() == "meanwhile";
        let moved = ann.expect_after(mark, "what was said to move", SOON, moved).await?;
        let after = hears(&ground, &ann, one, "settled").await?;
        ensure!(after.room == moved.room, "it goes on elsewhere");
        ann.say(&after.room, "an answer to the known").await?;
        let heard = ground.sim.heard(ACCOUNT, "an answer to the known").await?;
        ensure!(heard.chat == one, "it went to {}", heard.chat);
        let times = ann.seen().iter().filter(|seen| asks(seen)).count();
        ensure!(times == 1, "asked {times} times");
        let ledger = ground.sim.ledger(ACCOUNT).await?;
        ensure!(!ledger.iter().any(|entry| entry.text == "are you there?"), "it went to somebody");
        ground.end().await
    })
    .await
}

async fn hears(ground: &Ground, ann: &Person<'_>, who: &str, text: &str) -> Result<Seen> {
    ground.sim.say(ACCOUNT, who, who, text).await?;
    ann.expect_text(text, SOON).await
}

/// Everybody is renamed, and the records of both were touched meanwhile.
async fn new_login(ground: &Ground, ann: &Person<'_>, desk: &str) -> Result<()> {
    let mark = ann.mark();
    ground.sim.end_session(ACCOUNT, 1_100).await?;
    ann.expect_after(mark, "to hear that it is over", SOON, |seen| {
        seen.room == desk && seen.body().contains("the phone signed this account out")
    })
    .await?;
    for who in TWINS {
        let change = json!({"change": "signature", "who": who, "text": "same words"});
        ground.sim.change(ACCOUNT, change).await?;
    }
    let mark = ann.mark();
    ann.say(desk, "login").await?;
    let online = |seen: &Seen| seen.room == desk && seen.body().contains("is online");
    until("the account to be online", SOON, async || {
        confirm_pushed(&ground.sim).await?;
        Ok(ann.seen().iter().skip(mark).any(online).then_some(()))
    })
    .await
    .context("the phone was asked")
}
