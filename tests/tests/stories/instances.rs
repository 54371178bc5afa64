//! Several instances on one PostgreSQL: who runs what, and what becomes of it when one of them is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::irc::IrcClient;
use wxgate_tests::postgres;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::Sim;
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
const ACCOUNTS: u32 = 6;

fn options(scratch: &Scratch, called: &str, store: &str) -> GatewayOptions {
    GatewayOptions {
        name: called.to_owned(),
        data_dir: scratch.join(&format!("data-{called}")),
        store: store.to_owned(),
        more: format!("[instance]\nname = {called:?}\nlease_seconds = 5\n"),
        ..GatewayOptions::default()
    }
}

/// Another instance beside `first`, not running yet.
fn beside(scratch: &Scratch, called: &str, store: &str, first: &Gateway, sim: &Sim) -> Result<Gateway> {
    let other = Gateway::prepare(scratch, &sim.url(), &options(scratch, called, store))?;
    std::fs::create_dir_all(other.data_dir())?;
    std::fs::copy(first.data_dir().join("seal.key"), other.data_dir().join("seal.key"))?;
    Ok(other)
}

/// How many accounts each instance runs, as the leader tells.
async fn shares(leader: &Gateway) -> Result<BTreeMap<String, u64>> {
    let all = leader.api("GET", "/api/v1/instances", &Value::Null).await?;
    let share = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["accounts"].as_u64()?));
    Ok(all.as_array().context("no list")?.iter().filter_map(share).collect())
}

async fn shared(leader: &Gateway, wanted: &[(&str, u64)]) -> Result<()> {
    let wanted: BTreeMap<String, u64> = wanted.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    until(&format!("shares {wanted:?}"), SOON, async || {
        let now = shares(leader).await?;
        ensure!(now == wanted, "they are {now:?}");
        Ok(Some(()))
    })
    .await?;
    for at in 0..ACCOUNTS {
        leader.wait_state(&name(at), "up", SOON).await?;
    }
    Ok(())
}

/// Each account hears something and says something, over `leader`.
async fn talk(leader: &Gateway, sim: &Sim, shown: &mut [Shown], word: &str) -> Result<()> {
    for (at, shown) in shown.iter_mut().enumerate() {
        let account = name(u32::try_from(at)?);
        sim.say(&account, "c1", "c1", &format!("multi {word} heard")).await?;
        let mut client = leader.client(USER, &account, "x").await?;
        let nick = client.expect_text(&format!("multi {word} heard")).await?.source.nick;
        client.say(&nick, &format!("typed {word}")).await?;
        client.expect_text(&format!("typed {word}")).await?;
        sim.heard(&account, &format!("typed {word}")).await?;
        finish(&mut client, shown).await?;
    }
    Ok(())
}

async fn finish(client: &mut IrcClient, shown: &mut Shown) -> Result<()> {
    client.drain().await?;
    shown.take(client.said())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_one_database_run_on_three_instances_and_outlive_each_of_them() -> Result<()> {
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    tell("three-instances", LIMIT, async |scratch| {
        let mut stage = Stage::set_with(scratch, ACCOUNTS, &options(scratch, "one", &store)).await?;
        let sim = std::sync::Arc::clone(&stage.sim);
        let mut shown: Vec<Shown> = (0..ACCOUNTS).map(|_| Shown::default()).collect();
        let mut two = beside(scratch, "two", &store, stage.gateway(), &sim)?;
        let mut three = beside(scratch, "three", &store, stage.gateway(), &sim)?;
        two.launch()?;
        three.launch()?;
        shared(stage.gateway(), &[("one", 2), ("two", 2), ("three", 2)]).await?;
        worker_says_who_leads(&two).await?;
        talk(stage.gateway(), &sim, &mut shown, "shared").await?;
        picture(stage.gateway(), &sim).await?;

        // A worker is killed while it is written to; another one leaves in order.
        for at in 0..ACCOUNTS {
            sim.burst(&name(at), "c1", "c1", "multi burst", 40).await?;
        }
        two.kill().await?;
        shared(stage.gateway(), &[("one", 3), ("three", 3)]).await?;
        let status = three.stop().await?;
        ensure!(status.success(), "it ended with {status}");
        shared(stage.gateway(), &[("one", 6)]).await?;
        talk(stage.gateway(), &sim, &mut shown, "alone").await?;

        // The leader is killed: another one leads, with all accounts, and the third works for that one.
        two.launch()?;
        three.launch()?;
        shared(stage.gateway(), &[("one", 2), ("two", 2), ("three", 2)]).await?;
        stage.gateway_mut()?.kill().await?;
        for at in 0..ACCOUNTS {
            sim.say(&name(at), "c1", "c1", "multi while nobody leads").await?;
        }
        let leads = until("another one to lead", SOON, async || {
            for at in ["two", "three"] {
                let one = if at == "two" { &two } else { &three };
                if one.get("/readyz", &[]).await.is_ok_and(|answer| answer.status == 200) {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        })
        .await?;
        let (leader, worker) = if leads == "two" { (&two, "three") } else { (&three, "two") };
        shared(leader, &[(leads, 3), (worker, 3)]).await?;
        talk(leader, &sim, &mut shown, "after").await?;

        for (at, shown) in shown.iter().enumerate() {
            let account = name(u32::try_from(at)?);
            let count = shown.check(&account, &sim.ledger(&account).await?, "multi ")?;
            ensure!(count == 44, "{account}: {count}");
            ensure!(sim.logins_of(&account).await? == 1, "it cost {account} a scan");
        }
        for one in [&mut two, &mut three] {
            let status = one.stop().await?;
            ensure!(status.success(), "it ended with {status}");
        }
        sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}

/// Pages, commands and whoever shares out connections are told who answers.
async fn worker_says_who_leads(worker: &Gateway) -> Result<()> {
    let ready = worker.get("/readyz", &[]).await?;
    let told = String::from_utf8_lossy(&ready.body).into_owned();
    ensure!(ready.status == 503 && told.contains("runs 2 accounts for one"), "{}: {told}", ready.status);
    ensure!(worker.get("/healthz", &[]).await?.status == 200);
    let metrics = worker.get("/metrics", &[]).await?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    ensure!(metrics.contains("wxgate_worker_up 1\n") && metrics.contains("wxgate_worker_accounts 2\n"));
    let (status, _, told) = worker.try_cli(&["account", "list"], None).await?;
    ensure!(status.code() == Some(4) && told.contains("which answers people"), "{status}: {told}");
    Ok(())
}

/// A picture of an account that runs elsewhere is served by the leader, and one that is uploaded arrives.
async fn picture(leader: &Gateway, sim: &Sim) -> Result<()> {
    let accounts = leader.api("GET", "/api/v1/accounts", &Value::Null).await?;
    let elsewhere = accounts.as_array().context("no list")?.iter().find(|one| one["instance"] == "two");
    let account = elsewhere.and_then(|one| one["name"].as_str()).context("nothing runs on two")?;
    let mut client = leader.client(USER, account, "pictures").await?;
    let id = sim.tell(account, "c1", "c1", json!({"kind": "image", "size": 300_000})).await?;
    let line = client.expect("a link", |line| line.is_said() && line.last().contains("/media/")).await?;
    let link = line.last().split_whitespace().find(|word| word.starts_with("http")).unwrap_or_default();
    let wanted = sim.media(account, id).await?;
    until("the picture", SOON, async || Ok((leader.open_link(link).await?.body == wanted).then_some(())))
        .await
}

/// An instance that stands still for longer than its lease has nothing left when it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stood_still_for_longer_than_its_lease_says_nothing_twice() -> Result<()> {
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    tell("still-instance", LIMIT, async |scratch| {
        let stage = Stage::set_with(scratch, ACCOUNTS, &options(scratch, "one", &store)).await?;
        let sim = std::sync::Arc::clone(&stage.sim);
        let mut shown: Vec<Shown> = (0..ACCOUNTS).map(|_| Shown::default()).collect();
        let mut two = beside(scratch, "two", &store, stage.gateway(), &sim)?;
        two.launch()?;
        shared(stage.gateway(), &[("one", 3), ("two", 3)]).await?;
        talk(stage.gateway(), &sim, &mut shown, "before").await?;
        two.program()?.signal("STOP").await?;
        for at in 0..ACCOUNTS {
            sim.burst(&name(at), "c1", "c1", "multi meanwhile", 20).await?;
        }
        shared(stage.gateway(), &[("one", 6)]).await?;
        talk(stage.gateway(), &sim, &mut shown, "without").await?;
        two.program()?.signal("CONT").await?;
        shared(stage.gateway(), &[("one", 3), ("two", 3)]).await?;
        talk(stage.gateway(), &sim, &mut shown, "again").await?;
        for (at, shown) in shown.iter().enumerate() {
            let account = name(u32::try_from(at)?);
            let count = shown.check(&account, &sim.ledger(&account).await?, "multi ")?;
            ensure!(count == 23, "{account}: {count}");
            ensure!(sim.logins_of(&account).await? == 1, "it cost {account} a scan");
        }
        two.assert_up()
    })
    .await
}

/// An instance of another seal key is no instance of this database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_the_seal_key_is_told_so_and_with_another_one_runs_nothing() -> Result<()> {
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    tell("stranger-instance", LIMIT, async |scratch| {
        let stage = Stage::set_with(scratch, 1, &options(scratch, "one", &store)).await?;
        let mut two = Gateway::prepare(scratch, &stage.sim.url(), &options(scratch, "two", &store))?;
        two.launch()?;
        let status = two.ended(SOON).await?;
        ensure!(status.code() == Some(3), "it ended with {status}");
        ensure!(two.logged().contains("copy it from that instance first"), "{}", two.logged());
        std::fs::create_dir_all(two.data_dir())?;
        let key = two.data_dir().join("seal.key");
        std::fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")?;
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        two.launch()?;
        until("the second to be turned away", SOON, async || {
            let told = two.logged().contains("whether both have the same seal key");
            Ok(told.then_some(()))
        })
        .await?;
        ensure!(shares(stage.gateway()).await? == BTreeMap::from([("one".to_owned(), 1)]));
        two.stop().await?;
        stage.end().await
    })
    .await
}
