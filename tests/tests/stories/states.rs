//! What an account is doing is told in the same words wherever one looks, and quotas are kept.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(90);
/// How the service nick calls the states.
const WORDS: [(&str, &str); 4] =
    [("up", "online"), ("degraded", "in trouble"), ("needs_human", "signed out"), ("down", "down")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_and_reasons_are_the_same_on_the_command_line_in_metrics_and_from_the_service_nick()
-> Result<()> {
    tell("states", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 4).await?;
        let rule = |account: &str, fault: Value| {
            json!({"account": account, "endpoint": "synccheck", "fault": fault, "count": 100_000})
        };
        stage.sim.fault(&rule("account1", json!({"status": 502}))).await?;
        stage.sim.end_session("account2", 1_100).await?;
        let refused = json!({"account": "account3", "endpoint": "webwxsync", "fault": {"ret": 1203}, "count": 100});
        stage.sim.fault(&refused).await?;
        stage.sim.say("account3", "c1", "c1", "news").await?;
        for (at, (state, _)) in (0..).zip(WORDS) {
            stage.gateway().wait_state(&name(at), state, SOON).await?;
        }
        let rows: Value =
            serde_json::from_str(&stage.gateway().cli(&["account", "list", "--json"], None).await?)?;
        let rows = rows.as_array().context("no accounts")?;
        let page = stage.gateway().get("/metrics", &[]).await?;
        let page = String::from_utf8(page.body.to_vec())?;
        let mut client = stage.gateway().client(USER, "", "x").await?;
        client.say("wechat", "accounts").await?;
        for (at, (state, word)) in (0..).zip(WORDS) {
            let row = rows.iter().find(|row| row["name"] == name(at)).context("no such account")?;
            let detail = row["detail"].as_str().unwrap_or_default();
            ensure!(row["state"] == state, "{row}");
            ensure!(detail.is_empty() == (state == "up"), "{row}");
            let count = format!("wxgate_accounts{{state=\"{state}\"}} 1\n");
            ensure!(page.contains(&count), "{count} is not in\n{page}");
            if !detail.is_empty() {
                let reason = format!("wxgate_account_reasons{{state=\"{state}\",reason=\"{detail}\"}} 1\n");
                ensure!(page.contains(&reason), "{reason} is not in\n{page}");
            }
            let (account, told) = (name(at), format!("is {word}"));
            let line = client.expect("its line", |line| {
                line.source.nick == "wechat" && line.last().starts_with(&account)
            });
            let line = line.await?;
            ensure!(line.last().contains(&told) && line.last().contains(detail), "{line} has not {told}: {detail}");
        }
        stage.sim.clear_faults().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_more_accounts_than_their_quota() -> Result<()> {
    tell("quota", LIMIT, async |scratch| {
        let env = vec![("WXGATE__LIMITS__ACCOUNTS_PER_USER".to_owned(), "2".to_owned())];
        let stage = Stage::set_with(scratch, 2, &GatewayOptions { env, ..GatewayOptions::default() }).await?;
        let mut client = stage.client(0, "x").await?;
        client.say("wechat", "add third").await?;
        let told = client
            .expect("a refusal", |line| line.source.nick == "wechat" && line.last().contains("the limit"));
        ensure!(told.await?.last().contains("limit for them is 2"), "the number is not told");
        let (status, _, why) =
            stage.gateway().try_cli(&["account", "add", "third", "--owner", USER], None).await?;
        ensure!(status.code() == Some(1) && why.contains("the limit for them is 2"), "{status}: {why}");
        let rows: Value =
            serde_json::from_str(&stage.gateway().cli(&["account", "list", "--json"], None).await?)?;
        let mine = rows.as_array().into_iter().flatten().filter(|row| row["owner"] == USER).count();
        ensure!(mine == 2, "{rows}");
        // One person may have more, and may have less than they have.
        let gateway = stage.gateway();
        for (most, is_taken) in [("3", true), ("1", false), ("default", false), ("4", true)] {
            gateway.cli(&["user", "quota", USER, most], None).await?;
            let (status, _, why) =
                gateway.try_cli(&["account", "add", &format!("more{most}"), "--owner", USER], None).await?;
            ensure!(status.success() == is_taken, "{most}: {why}");
        }
        let people = gateway.cli(&["user", "list"], None).await?;
        ensure!(people.contains("4 of 4"), "{people}");
        let (status, _, why) = gateway.try_cli(&["user", "quota", "nobody", "1"], None).await?;
        ensure!(status.code() == Some(1) && why.contains("nobody"), "{status}: {why}");
        // Somebody else has their own.
        stage.gateway().add_user("bob").await?;
        stage.gateway().add_account("bobs", "bob").await?;
        stage.end().await
    })
    .await
}
