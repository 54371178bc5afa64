//! Two contacts that nobody could tell apart after a new login, with markers in their owner's remarks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(60);
const ACCOUNT: &str = "account0";
/// In no group, and nothing but their permanent ids, which are never shown, tells them apart.
const TWINS: [&str; 2] = ["c6", "c9"];

async fn stage(scratch: &wxgate_tests::scratch::Scratch, keeps_remarks: bool) -> Result<Stage> {
    let world = SimOptions { accounts: 1, permanent_ids: false, keeps_remarks, ..SimOptions::default() };
    let env = vec![("WXGATE__WECHAT__REMARK_MARKERS".to_owned(), "true".to_owned())];
    let stage = Stage::set_in(scratch, &world, &GatewayOptions { env, ..GatewayOptions::default() }).await?;
    let [one, other] = TWINS;
    stage.sim.change(ACCOUNT, json!({"change": "twin", "who": other, "of": one})).await?;
    Ok(stage)
}

/// Everybody is renamed, and the records of both were touched meanwhile.
async fn new_login(stage: &Stage) -> Result<()> {
    stage.sim.end_session(ACCOUNT, 1_100).await?;
    stage.gateway().wait_state(ACCOUNT, "needs_human", SOON).await?;
    for who in TWINS {
        let change = json!({"change": "signature", "who": who, "text": format!("words of {}", stage.sim.logins_of(ACCOUNT).await?)});
        stage.sim.change(ACCOUNT, change).await?;
    }
    stage.sign_in_again(ACCOUNT).await
}

async fn nicks(stage: &Stage, client: &mut IrcClient, mark: &str) -> Result<[String; 2]> {
    let mut nicks = [String::new(), String::new()];
    for (nick, who) in nicks.iter_mut().zip(TWINS) {
        let text = format!("{mark} from {who}");
        stage.sim.say(ACCOUNT, who, who, &text).await?;
        *nick = client.expect_text(&text).await?.source.nick;
    }
    Ok(nicks)
}

async fn markers(stage: &Stage) -> Result<Vec<Value>> {
    let text = stage.gateway().cli(&["chat", "marker", ACCOUNT, "--json"], None).await?;
    let rows: Value = serde_json::from_str(&text)?;
    Ok(rows.as_array().cloned().unwrap_or_default())
}

async fn all_say(stage: &Stage, words: &str) -> Result<Vec<Value>> {
    until(words, SOON, async || {
        let rows = markers(stage).await?;
        let say = rows.iter().filter(|row| row["state"].as_str().unwrap_or_default().contains(words)).count();
        ensure!(say == TWINS.len() && say == rows.len(), "{rows:?}");
        Ok(Some(rows))
    })
    .await
}

async fn questions(stage: &Stage) -> Result<String> {
    stage.gateway().cli(&["chat", "resolve", ACCOUNT, "--json"], None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_with_markers_are_known_over_new_logins_and_without_them_they_are_a_question() -> Result<()> {
    tell("markers", LIMIT, async |scratch| {
        let stage = stage(scratch, true).await?;
        let mut client = stage.client(0, "x").await?;
        let before = nicks(&stage, &mut client, "before").await?;
        for nick in &before {
            client.say("wechat", &format!("marker put {nick}")).await?;
            client.expect("a promise", |line| line.last().contains("a marker for 1 contact")).await?;
        }
        all_say(&stage, "was written").await?;
        for who in TWINS {
            let remark = stage.sim.person(ACCOUNT, who).await?.remark;
            ensure!(remark.contains(" #"), "the remark of {who} is {remark:?}");
        }
        for round in 1..3 {
            new_login(&stage).await?;
            let after = nicks(&stage, &mut client, &format!("after {round}")).await?;
            ensure!(after == before, "{after:?} instead of {before:?}");
            ensure!(questions(&stage).await?.trim() == "[]", "something is asked");
        }
        all_say(&stage, "is in the remark").await?;
        client.say("wechat", "markers").await?;
        client.expect("the list", |line| line.last().contains("is in the remark")).await?;
        // Taken away: they are a question again, and nothing was guessed.
        stage.gateway().cli(&["chat", "marker", ACCOUNT, "--take", "--all"], None).await?;
        until("the remarks to be as before", SOON, async || {
            let mut left = false;
            for who in TWINS {
                left |= stage.sim.person(ACCOUNT, who).await?.remark.contains('#');
            }
            Ok((!left).then_some(()))
        })
        .await?;
        new_login(&stage).await?;
        ensure!(markers(&stage).await?.is_empty(), "a marker is left");
        let after = nicks(&stage, &mut client, "without").await?;
        ensure!(after.iter().all(|nick| !before.contains(nick)), "it was guessed who is who: {after:?}");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_that_wechat_forgets_is_offered_for_typing() -> Result<()> {
    tell("typed-markers", LIMIT, async |scratch| {
        let stage = stage(scratch, false).await?;
        let mut client = stage.client(0, "x").await?;
        let before = nicks(&stage, &mut client, "before").await?;
        let rows: Value =
            serde_json::from_str(&stage.gateway().cli(&["chat", "list", ACCOUNT, "--json"], None).await?)?;
        let title = stage.sim.person(ACCOUNT, TWINS[0]).await?.nick;
        let of_twins =
            rows.as_array().context("no chats")?.iter().filter(|row| row["title"] == title.as_str());
        let chats: Vec<String> = of_twins.filter_map(|row| row["chat"].as_str().map(str::to_owned)).collect();
        ensure!(chats.len() == 2, "{chats:?} are called {title}");
        let args: Vec<&str> = ["chat", "marker", ACCOUNT, "--put"]
            .into_iter()
            .chain(chats.iter().map(String::as_str))
            .collect();
        let told = stage.gateway().cli(&args, None).await?;
        ensure!(told.contains("a marker for 2 contacts"), "{told}");
        all_say(&stage, "was written").await?;
        new_login(&stage).await?;
        // Nobody believed the service's "done".
        let after = nicks(&stage, &mut client, "unknown").await?;
        ensure!(after.iter().all(|nick| !before.contains(nick)), "it was guessed who is who: {after:?}");
        stage.end().await
    })
    .await
}
