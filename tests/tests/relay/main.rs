//! Stories on IRC networks of others: real servers, the real program, the simulated service.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod bans;
mod ends;
mod modern;
mod old;
mod puppets;
mod splits;
mod twins;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::ircd::Ircd;
use wxgate_tests::scratch::Scratch;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

/// No story takes longer.
const LIMIT: Duration = Duration::from_secs(150);
/// What should happen soon on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// One account whose group `g0` mirrors `#home` of the network `server`.
async fn linked(scratch: &Scratch, server: &Ircd, more: &str) -> Result<Stage> {
    linked_in(scratch, &GatewayOptions { more: server.entry("test", more), ..GatewayOptions::default() })
        .await
}

/// The same with a configuration that has the network already.
async fn linked_in(scratch: &Scratch, options: &GatewayOptions) -> Result<Stage> {
    let stage = Stage::set_with(scratch, 1, options).await?;
    let title = stage.sim.person("account0", "g0").await?.nick;
    let chats = stage.gateway().cli(&["chat", "list", "account0", "--json"], None).await?;
    let chats: serde_json::Value = serde_json::from_str(&chats)?;
    let group =
        chats.as_array().into_iter().flatten().find(|chat| chat["kind"] == "group" && chat["title"] == title);
    let key =
        group.and_then(|chat| chat["chat"].as_str()).with_context(|| format!("no {title} in {chats}"))?;
    let member = format!("wechat:account0/{key}");
    stage.gateway().cli(&["link", "add", &member, "irc:test/#Home"], None).await?;
    Ok(stage)
}

/// The member of `g0` who speaks in the stories.
async fn speaker(stage: &Stage) -> Result<String> {
    let members = stage.sim.person("account0", "g0").await?.members;
    members.into_iter().find(|who| who != "self").context("an empty group")
}

/// Waits until the network is in a state.
async fn wait_network(stage: &Stage, state: &str) -> Result<String> {
    until(&format!("irc:test to be {state}"), SOON, async || {
        let status = stage.gateway().api("GET", "/api/v1/status", &json!(null)).await?;
        let found = status["networks"].as_array().into_iter().flatten().find(|n| n["network"] == "irc:test");
        let network = found.context("no irc:test")?;
        let detail = network["detail"].as_str().unwrap_or_default().to_owned();
        ensure!(network["state"] == state, "it is {network}");
        Ok(Some(detail))
    })
    .await
}

/// Reads what the relay says until `last` has come, and judges all of it: `count` texts that begin
/// with `mark`, in order, none missing, and at most `repeats` of them twice, marked.
async fn judge(person: &mut IrcClient, mark: &str, count: usize, repeats: usize) -> Result<()> {
    let last = format!("{mark} {}", count - 1);
    let is_last = |text: &str| text == last || text.ends_with(&format!(" {last}"));
    let seen = |client: &IrcClient| client.said().any(|line| is_last(line.last()));
    if !seen(person) {
        person.expect_within(SOON, &last, |line| line.is_said() && is_last(line.last())).await?;
    }
    let mut next = 0;
    let mut twice = 0;
    for line in person.said().filter(|line| line.last().contains(mark)) {
        let text = line.last();
        let number: usize = text.rsplit(' ').next().unwrap_or_default().parse().context("a number")?;
        if text.contains("[may be repeated]") {
            twice += 1;
            ensure!(number == next || number + 1 == next, "{text:?} is no repetition, {next} was next");
            next = number + 1;
            continue;
        }
        ensure!(number == next, "{text:?} came when {next} was next");
        next += 1;
    }
    ensure!(next == count, "{next} of {count} came");
    ensure!(twice <= repeats, "{twice} lines were marked as repeated, {repeats} may be");
    Ok(())
}
