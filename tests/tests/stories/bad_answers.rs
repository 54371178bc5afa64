//! The service misbehaves: garbage, half answers, too much, silence, errors, no HTTP at all. The
//! account recovers, nothing is lost, and the other accounts notice nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::Gateway;
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::truth::Shown;

use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(300);
/// A hung request costs the client's own time limit, and a pause after it.
const RECOVER: Duration = Duration::from_secs(120);
/// Undisturbed accounts wait no longer than this for a line: far less than a hung request, far more
/// than a busy machine.
const UNDISTURBED: Duration = Duration::from_secs(10);

/// Every way to misbehave, with a name.
fn faults() -> Vec<(&'static str, Value)> {
    vec![
        ("garbage", json!({"body": "\u{1}\u{2}<<{not json"})),
        ("truncated", json!({"truncate": 20})),
        ("oversized", json!({"oversized": 80 << 20})),
        ("hang", json!("hang")),
        ("500", json!({"status": 500})),
        ("502", json!({"status": 502})),
        ("404", json!({"status": 404})),
        ("not http", json!({"raw": "0 -\r\n\u{0}\u{1}\u{2}\r\n"})),
        ("closed before the body", json!("close_before_body")),
        ("dropped after the work", json!("drop_after_body")),
        ("empty", json!("empty_body")),
        ("code -1", json!({"ret": -1})),
        ("unknown code", json!({"ret": 4242})),
    ]
}

async fn add(sim: &Sim, account: &str, endpoint: &str, fault: &Value, count: u32) -> Result<()> {
    sim.fault(&json!({"account": account, "endpoint": endpoint, "fault": fault, "count": count})).await
}

/// One account per fault, all at once, and one account that nobody disturbs.
async fn polling_endpoint(scratch: &Scratch, endpoint: &'static str) -> Result<()> {
    let faults = faults();
    let count = u32::try_from(faults.len())?;
    let stage = Stage::set(scratch, count + 1).await?;
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for (at, (what, fault)) in (0..).zip(faults) {
        let client = stage.client(at, "bad").await?;
        tasks.spawn(disturbed(stage.sim.clone(), at, client, endpoint, what, fault));
    }
    let mut quiet = stage.client(count, "bad").await?;
    let account = name(count);
    let mut n = 0;
    while !tasks.is_empty() {
        let text = format!("quiet {n}");
        n += 1;
        stage.sim.say(&account, "c1", "c1", &text).await?;
        let arrives = quiet.expect_within(UNDISTURBED, &text, |line| line.last() == text);
        arrives.await.with_context(|| format!("{endpoint}: an undisturbed account"))?;
        if let Ok(Some(done)) = tokio::time::timeout(Duration::from_secs(1), tasks.join_next()).await {
            done??;
        }
    }
    stage.end().await
}

async fn disturbed(
    sim: Arc<Sim>,
    at: u32,
    mut client: IrcClient,
    endpoint: &'static str,
    what: &'static str,
    fault: Value,
) -> Result<()> {
    let account = name(at);
    let said = async {
        sim.say(&account, "c1", "c1", "bad before").await?;
        client.expect_text("bad before").await?;
        let begun = Instant::now();
        // Each hung request costs the client's own patience of half a minute; once shows it.
        let times = if what == "hang" { 1 } else { 2 };
        add(&sim, &account, endpoint, &fault, times).await?;
        for n in 0..5 {
            sim.say(&account, "c1", "c1", &format!("bad during {n}")).await?;
        }
        client
            .expect_within(RECOVER, "the last line during the fault", |line| line.last() == "bad during 4")
            .await?;
        println!("{endpoint}, {what}: recovered after {:.1} s", begun.elapsed().as_secs_f64());
        sim.say(&account, "c1", "c1", "bad after").await?;
        client.expect_within(RECOVER, "a line after the fault", |line| line.last() == "bad after").await?;
        let mut shown = Shown::default();
        shown.take(client.said())?;
        shown.check(&account, &sim.ledger(&account).await?, "bad ").map(drop)
    };
    said.await.with_context(|| format!("{endpoint}, {what}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_to_webwxsync_lose_nothing() -> Result<()> {
    tell("badsync", LIMIT, async |scratch| polling_endpoint(scratch, "webwxsync").await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_to_synccheck_lose_nothing() -> Result<()> {
    tell("badcheck", LIMIT, async |scratch| polling_endpoint(scratch, "synccheck").await).await
}

/// What a typed line came to, as its author was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Said,
    NotSaid,
    Perhaps,
}

fn told(line: &Line, text: &str) -> Option<Told> {
    if !line.last().contains(text) {
        return None;
    }
    match line.is_said() {
        true => Some(Told::Said),
        false if line.last().contains("may not have been") => Some(Told::Perhaps),
        false => Some(Told::NotSaid),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_to_a_send_are_told_honestly() -> Result<()> {
    tell("badsend", LIMIT, async |scratch| {
        let faults = faults();
        let stage = Stage::set(scratch, u32::try_from(faults.len())?).await?;
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for (at, (what, fault)) in (0..).zip(faults) {
            let (sim, mut client) = (stage.sim.clone(), stage.client(at, "send").await?);
            tasks.spawn(async move { typed(&sim, &name(at), &mut client, &fault).await.context(what) });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        stage.end().await
    })
    .await
}

async fn typed(sim: &Sim, account: &str, client: &mut IrcClient, fault: &Value) -> Result<()> {
    sim.say(account, "c1", "c1", "talk").await?;
    let nick = client.expect_text("talk").await?.source.nick;
    add(sim, account, "webwxsendmsg", fault, 1).await?;
    client.say(&nick, "typed into trouble").await?;
    let mut fate = None;
    client
        .expect_within(RECOVER, "the fate of the line", |line| {
            fate = told(line, "typed into trouble");
            fate.is_some()
        })
        .await?;
    client.say(&nick, "typed afterwards").await?;
    client
        .expect_within(RECOVER, "the next line's echo", |line| {
            line.is_said() && line.last() == "typed afterwards"
        })
        .await?;
    let ledger = sim.ledger(account).await?;
    let heard: Vec<_> = ledger.iter().filter(|entry| entry.is_heard() && entry.kind == "text").collect();
    let times = heard.iter().filter(|entry| entry.text == "typed into trouble").count();
    let fits = match fate {
        Some(Told::Said) => times == 1,
        Some(Told::NotSaid) => times == 0,
        Some(Told::Perhaps) => times <= 1,
        None => false,
    };
    ensure!(fits, "told {fate:?}, but heard {times} times");
    ensure!(heard.last().is_some_and(|entry| entry.text == "typed afterwards"), "out of order: {heard:?}");
    Ok(())
}

/// Faults on the way in: the sign-in goes on by itself, or says why not and works when asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_during_a_sign_in_are_survived() -> Result<()> {
    tell("badlogin", LIMIT, async |scratch| {
        let faults: Vec<_> = faults().into_iter().filter(|(what, _)| *what != "hang").collect();
        let endpoints =
            ["jslogin", "login", "webwxnewloginpage", "webwxinit", "webwxgetcontact", "webwxbatchgetcontact"];
        let count = u32::try_from(faults.len() * endpoints.len())?;
        let sim = Sim::start(scratch, &SimOptions { accounts: count, ..SimOptions::default() }).await?;
        let mut gateway = Gateway::start(scratch, &sim.url(), &Default::default()).await?;
        gateway.add_user(USER).await?;
        let cases = endpoints.iter().flat_map(|endpoint| faults.iter().map(move |fault| (endpoint, fault)));
        for (at, (endpoint, (what, fault))) in (0..).zip(cases) {
            let account = name(at);
            gateway.add_account(&account, USER).await?;
            // Before the exchange of the ticket nobody knows whose request it is.
            sim.fault(&json!({"endpoint": endpoint, "fault": fault, "count": 1})).await?;
            let context = || format!("{endpoint}, {what}");
            if let Err(first) = sign_in(&gateway, &sim, &account).await {
                println!("{}: told: {first:#}", context());
                ensure!(format!("{first:#}").contains("failed"), "{}: {first:#}", context());
                sim.clear_faults().await?;
                sign_in(&gateway, &sim, &account).await.with_context(context)?;
            }
            sim.clear_faults().await?;
            gateway.wait_state(&account, "up", Duration::from_secs(30)).await.with_context(context)?;
            gateway.assert_up()?;
        }
        sim.assert_no_violations().await
    })
    .await
}

/// Follows every step, with as many codes as it takes.
async fn sign_in(gateway: &Gateway, sim: &Sim, account: &str) -> Result<()> {
    let mut sign_in = gateway.begin_sign_in(account).await?;
    loop {
        let step = sign_in.step().await?;
        match step["step"].as_str() {
            Some("done") => return Ok(()),
            Some("failed") => anyhow::bail!("the sign-in failed: {}", step["why"]),
            Some("show_qr") => {
                let uuid =
                    step["text"].as_str().and_then(|text| text.rsplit_once("/l/")).context("no uuid")?.1;
                sim.scan(uuid, account).await?;
                sim.confirm(uuid).await?;
            }
            _ => {}
        }
    }
}
