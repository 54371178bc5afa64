//! Chats become rooms, and what is said in them crosses both ways.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground, SOON, is_join};
use wxgate_tests::people::{Person, Seen};

const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_become_rooms_and_are_answered() -> Result<()> {
    tell("rooms", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, _) = ground.signed_in("ann", "account0").await?;
        private_chat(&ground, &ann).await?;
        group(&ground, &ann).await?;
        phone(&ground, &ann).await?;
        ground.end().await
    })
    .await
}

async fn private_chat(ground: &Ground, ann: &Person<'_>) -> Result<()> {
    ground.sim.say("account0", "c1", "c1", "你好 👋 first\nsecond <line> &amp; R&D").await?;
    let first = ann.expect_text("你好 👋 first\nsecond <line> &amp; R&D", SOON).await?;
    let nick = ground.sim.person("account0", "c1").await?.nick;
    let members = ann
        .ask("GET", &format!("/_matrix/client/v3/rooms/{}/joined_members", first.room), json!(null))
        .await?;
    let shown = members["joined"][first.sender()]["display_name"].as_str().context("no name")?;
    let first_word = nick.split_whitespace().next().unwrap_or_default();
    ensure!(shown.starts_with(first_word) && shown.ends_with("(WeChat)"), "{shown} is not {nick}");
    ensure!(members["joined"].as_object().is_some_and(|all| all.len() == 3), "{members}");
    let bridge = ann.act("state", json!({"room": first.room})).await?;
    ensure!(bridge.to_string().contains("uk.half-shot.bridge"), "nothing says what the room bridges");
    let said = ann.say(&first.room, "typed 你好 🎈 <b>&amp;").await?;
    let heard = ground.sim.heard("account0", "typed 你好 🎈 <b>&amp;").await?;
    ensure!(heard.chat == "c1" && heard.repeats == 0, "{heard:?}");
    receipt(ann, &said).await?;
    // A reply quotes what it answers.
    ann.reply(&first.room, first.id(), "an answer to it").await?;
    ground.sim.heard_part("account0", "an answer to it").await?;
    Ok(())
}

async fn receipt(ann: &Person<'_>, event: &str) -> Result<Seen> {
    ann.expect("the bot's receipt", SOON, |seen| {
        seen.part == "ephemeral"
            && seen.event.to_string().contains(event)
            && seen.event.to_string().contains(BOT)
    })
    .await
}

async fn group(ground: &Ground, ann: &Person<'_>) -> Result<()> {
    let info = ground.sim.person("account0", "g0").await?;
    let speaker = info.members.iter().find(|who| *who != "self").context("an empty group")?;
    ground.sim.say("account0", "g0", speaker, "群里 🎉 说话").await?;
    let line = ann.expect_text("群里 🎉 说话", SOON).await?;
    let name = ann.state(&line.room, "m.room.name", "").await?;
    ensure!(name["name"] == info.nick, "{name} is not {}", info.nick);
    ensure!(line.sender() != BOT && line.sender() != ann.id, "{}", line.event);
    ann.say(&line.room, "大家好 from Matrix").await?;
    let heard = ground.sim.heard("account0", "大家好 from Matrix").await?;
    ensure!(heard.chat == "g0", "{heard:?}");
    Ok(())
}

/// What was said on the phone stands in the room as said by the owner.
async fn phone(ground: &Ground, ann: &Person<'_>) -> Result<()> {
    ground.sim.say("account0", "c1", "self", "from my phone 手机").await?;
    let line = ann.expect_text("from my phone 手机", SOON).await?;
    ensure!(line.sender() == ann.id, "{}", line.event);
    // A chat whose first words come from the phone.
    ground.sim.say("account0", "c9", "self", "first from my phone").await?;
    let line = ann.expect_text("first from my phone", SOON).await?;
    ensure!(line.sender() == ann.id, "{}", line.event);
    ann.expect("to be in the room", SOON, |seen| is_join(seen, &line.room, &ann.id)).await?;
    // And it does not come back to WeChat.
    let ledger = ground.sim.ledger("account0").await?;
    ensure!(!ledger.iter().any(|entry| entry.is_heard() && entry.text.contains("my phone")), "it went back");
    Ok(())
}
