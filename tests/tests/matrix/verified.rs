//! Somebody verifies the bot by emoji, in both faces. Told to a client that can (matrix-sdk).

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::homeserver::{DOMAIN, Homeserver};
use wxgate_tests::matrix::{BOT, SOON, is_join};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::sim::{Sim, SimOptions};

use crate::bot::drive;
use crate::encrypted::{ground, tell_sealed};

/// A private chat with the bot.
async fn desk(person: &Person<'_>, bot: &str) -> Result<String> {
    let order = json!({ "name": "desk", "invite": [bot], "direct": true, "encrypted": true });
    let desk = person.act("create", order).await?["room"].as_str().context("no room")?.to_owned();
    person.expect("the bot to come", SOON, |seen| is_join(seen, &desk, bot)).await?;
    // From the first thing said there on the bot knows where they talk to it, and they know its devices.
    let mark = person.mark();
    person.say(&desk, "version").await?;
    person.expect_after(mark, "which version it is", SOON, |seen| seen.body().contains("wxgate")).await?;
    Ok(desk)
}

/// Says something to the bot and waits for words of its answer.
async fn answered(person: &Person<'_>, desk: &str, words: &str, answer: &str) -> Result<()> {
    let mark = person.mark();
    person.say(desk, words).await?;
    person.expect_after(mark, answer, SOON, |seen| seen.body().contains(answer)).await.map(drop)
}

async fn verifies(person: &Person<'_>, bot: &str) -> Result<()> {
    let desk = desk(person, bot).await?;
    answered(person, &desk, "verify", "Begin it in your client").await?;
    let mark = person.mark();
    let begun = person.act("verify", json!({ "user": bot })).await?;
    let emojis: Vec<&str> =
        begun["emojis"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    ensure!(emojis.len() == 7, "{begun}");
    let shown = |seen: &Seen| seen.is_said() && seen.body().contains(&emojis.join(", "));
    person.expect_after(mark, "the same pictures", SOON, shown).await?;
    answered(person, &desk, "verify perhaps", "Say yes or no").await?;
    answered(person, &desk, "verify yes", "confirm it in your client").await?;
    let flow = begun["flow"].as_str().context("no flow")?;
    let done = person.act("verify_confirm", json!({ "user": bot, "flow": flow })).await?;
    ensure!(done["is_verified"] == true, "{done}");
    person
        .expect_after(mark, "the end of it", SOON, |seen| seen.body().contains("You have verified me"))
        .await?;

    // Another time the pictures are not the same.
    let mark = person.mark();
    person.act("verify", json!({ "user": bot })).await?;
    person.expect_after(mark, "pictures", SOON, |seen| seen.body().contains("Are they the same")).await?;
    answered(person, &desk, "verify no", "given the verification up").await?;
    person.expect_after(mark, "its end", SOON, |seen| seen.body().contains("was given up")).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_verifies_the_bot_of_the_application_service_by_its_pictures() -> Result<()> {
    tell_sealed("verified", async |scratch| {
        let ground = ground(scratch, 1).await?;
        let ann = ground.people.enter_as("ann", "register", json!({})).await?;
        verifies(&ann, BOT).await?;
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_verifies_the_ordinary_account_by_its_pictures() -> Result<()> {
    tell_sealed("verified-bot", async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = drive(scratch, &homeserver, &homeserver.url(), &sim).await?;
        let ann = people.enter_as("ann", "register", json!({})).await?;
        verifies(&ann, &format!("@bot:{DOMAIN}")).await?;
        gateway.assert_up()?;
        homeserver.stop().await
    })
    .await
}
