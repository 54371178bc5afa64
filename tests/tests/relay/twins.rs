//! One group, two accounts of it, one channel.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::fleet;
use wxgate_tests::gateway::{GatewayOptions, PASSWORD};
use wxgate_tests::irc::{IrcClient, Login};
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::Stage;

use crate::{LIMIT, SOON, judge};

/// The group of an account, as links call it.
async fn group(stage: &Stage, account: &str) -> Result<String> {
    // As the service writes it.
    let title = stage.sim.person(account, "g0").await?.nick.replace("&amp;", "&");
    let chats = stage.gateway().cli(&["chat", "list", account, "--json"], None).await?;
    let chats: Value = serde_json::from_str(&chats)?;
    let is_it = |chat: &&Value| chat["kind"] == "group" && chat["title"] == title;
    let found = chats.as_array().into_iter().flatten().find(is_it);
    let key =
        found.and_then(|chat| chat["chat"].as_str()).with_context(|| format!("no {title} in {chats}"))?;
    Ok(format!("wechat:{account}/{key}"))
}

/// Two accounts online, both in one group.
async fn set(scratch: &Scratch, server: &Ircd) -> Result<Stage> {
    let options =
        GatewayOptions { more: server.entry("test", "lines_per_minute = 1800"), ..GatewayOptions::default() };
    let stage = Stage::set_some(scratch, &SimOptions::default(), &options, 0..0).await?;
    stage.sim.order("share_group", &json!({"seats": [["account0", 0], ["account1", 0]]})).await?;
    fleet::sign_in(stage.shared(), &stage.sim, 0..2, SOON).await?;
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_two_accounts_bring_into_a_channel_is_heard_once() -> Result<()> {
    tell("relay-twins", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Ngircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let stage = set(scratch, &server).await?;
        let eve = stage.sim.person("account0", "g0").await?.members.pop().context("an empty group")?;
        // Something that both heard: by its number the two are known to be one.
        stage.sim.say("account0", "g0", &eve, "heard by both").await?;
        for account in ["account0", "account1"] {
            let login = Login { user: fleet::USER, password: PASSWORD, account, client: "", caps: "" };
            let mut client = IrcClient::login(&stage.gateway().irc, &login).await?;
            client.expect_text("heard by both").await?;
        }
        let (one, two) = (group(&stage, "account0").await?, group(&stage, "account1").await?);
        stage.gateway().cli(&["link", "add", &one, &two, "irc:test/#Home"], None).await?;
        Ircd::wait_there(&mut bob, "#home", "relay").await?;

        stage.sim.burst("account0", "g0", &eve, "twin", 10).await?;
        judge(&mut bob, "twin", 10, 0).await?;
        bob.say("#home", "from the channel").await?;
        stage.sim.heard("account0", "bob: from the channel").await?;
        stage.sim.burst("account0", "g0", &eve, "again", 10).await?;
        judge(&mut bob, "again", 10, 0).await?;
        // Into the group leads one way, and nothing of it is said there again.
        for (account, said) in [("account0", 1), ("account1", 0)] {
            let ledger = stage.sim.ledger(account).await?;
            let heard: Vec<&str> = ledger.iter().filter(|e| e.is_heard()).map(|e| e.text.as_str()).collect();
            ensure!(heard.len() == said, "{account} said {heard:?}");
        }
        let echoes = bob.said().filter(|line| line.last().contains("from the channel")).count();
        ensure!(echoes == 0, "bob hears himself");
        stage.end().await
    })
    .await
}
