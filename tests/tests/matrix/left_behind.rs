//! What devices of ghosts leave behind on the homeserver: messages that they do not read, and, when an account is
//! removed, themselves.

use anyhow::{Result, ensure};
use serde_json::json;
use wxgate_tests::matrix::Ground;
use wxgate_tests::sqlite;
use wxgate_tests::wait::until;

use crate::encrypted::{ARRIVE, ground, heard, tell_sealed};

/// Keys that were sent to devices of ghosts and lie there.
const UNREAD: &str = "SELECT COUNT(*) FROM device_inbox WHERE user_id LIKE '@wechat\\_%' ESCAPE '\\'";
/// Ghosts that have devices with keys.
const WITH_KEYS: &str =
    "SELECT COUNT(*) FROM e2e_device_keys_json WHERE user_id LIKE '@wechat\\_%' ESCAPE '\\'";
const NEVER_EMPTIED: &str = "DELETE FROM note WHERE key = 'emptied'";
const NOTES: &str = "SELECT COUNT(DISTINCT substr(key, 1, 37)) FROM note WHERE key LIKE 'e2ee/%'";

async fn homeserver_has(ground: &Ground, what: &str, statement: &str, fits: fn(i64) -> bool) -> Result<()> {
    until(what, ARRIVE, async || {
        let count = sqlite::ask(&ground.homeserver.database(), statement).await?;
        ensure!(fits(count), "{count} are there");
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_piles_up_for_ghosts_and_nothing_stays_of_those_that_are_gone() -> Result<()> {
    tell_sealed("sealed-left", async |scratch| {
        let mut ground = ground(scratch, 1).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({})).await?;
        let desk = ground.at_home(&ann, "account0").await?;
        for chat in ["c1", "c2"] {
            ground.sim.say("account0", chat, chat, &format!("from {chat}")).await?;
            let room = ann.expect_text(&format!("from {chat}"), ARRIVE).await?.room;
            ann.say(&room, &format!("to {chat}")).await?;
            let text = format!("to {chat}");
            heard(&ground, "account0", &text, |entry| entry.text == text).await?;
        }
        homeserver_has(&ground, "keys for ghosts", UNREAD, |count| count >= 2).await?;
        homeserver_has(&ground, "two ghosts with keys", WITH_KEYS, |count| count == 2).await?;
        // As if a day had passed.
        ground.gateway.kill().await?;
        let notes = ground.gateway.data_dir().join("wxgate.db");
        ensure!(sqlite::ask(&notes, NEVER_EMPTIED).await? == 1, "it was never looked after");
        ensure!(sqlite::ask(&notes, NOTES).await? == 3, "not the bot and two ghosts");
        ground.gateway.run().await?;
        homeserver_has(&ground, "no keys for ghosts", UNREAD, |count| count == 0).await?;
        ground.sim.say("account0", "c1", "c1", "still the same").await?;
        ann.expect_text("still the same", ARRIVE).await?;

        let told = ground.ask(&ann, &desk, "forget ann yes").await?;
        ensure!(told.body().contains("is forgotten"), "{}", told.body());
        homeserver_has(&ground, "no ghosts with keys", WITH_KEYS, |count| count == 0).await?;
        until("no keys of ghosts", ARRIVE, async || {
            Ok((sqlite::ask(&notes, NOTES).await? == 1).then_some(()))
        })
        .await?;
        ground.end_after_kills().await
    })
    .await
}
