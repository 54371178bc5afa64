//! Accounts that are poison: answers that nobody can read, groups that are too large, contacts without end.
//! Their owner is told in plain words, their neighbours notice nothing, and the memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::irc::IrcClient;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::Sim;
use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(60);
/// Neighbours wait no longer than this for a line, whatever the poison does. In a build without
/// optimisation, with a service that makes megabytes of JSON beside it, on two cores.
const UNDISTURBED: Duration = Duration::from_secs(10);
/// What the poison may cost at most, for a moment: the bounds of one roster as text, as records and in the
/// matcher, and what the allocator keeps.
const MEMORY_BYTES: u64 = 400 << 20;
const MEMBERS: u32 = 5_000;
/// The neighbour's people take a breath.
const BETWEEN: Duration = Duration::from_millis(50);

/// A poisoned account: what is wrong with it, and what its owner must read.
struct Poison {
    account: &'static str,
    /// `(endpoint, fault)`, as the control API reads them.
    fault: Option<(&'static str, Value)>,
    told: &'static str,
}

/// A page of the address book, valid and this long.
fn long_book(people: u32) -> String {
    let person = |n: u32| {
        json!({
            "UserName": format!("@{n:064x}"), "NickName": format!("person {n} {}", "名".repeat(60)),
            "HeadImgUrl": format!("/cgi-bin/mmwebwx-bin/webwxgeticon?seq={n}&username=@{n:064x}&skey="),
            "ContactFlag": 3, "Signature": "s".repeat(120), "PYInitial": "P", "PYQuanPin": "person",
            "Sex": 1, "VerifyFlag": 0, "SnsFlag": 17, "Province": "Sichuan", "City": "Chengdu",
        })
    };
    let people: Vec<Value> = (0..people).map(person).collect();
    json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MemberCount": people.len(), "MemberList": people, "Seq": 0})
        .to_string()
}

fn poisons() -> Vec<Poison> {
    let endless = json!({"body": long_book(40_000)});
    vec![
        Poison {
            account: "stream",
            fault: Some(("webwxsync", json!({"body": "{\"BaseResponse\":{\"Ret\":0},\"AddMsgList\":[{{{"}))),
            told: "answers cannot be read",
        },
        Poison {
            account: "heavy",
            fault: Some(("webwxgetcontact", json!({"oversized": 40 << 20}))),
            told: "list of contacts cannot be read",
        },
        Poison { account: "endless", fault: Some(("webwxgetcontact", endless)), told: "left out" },
        Poison {
            account: "members",
            fault: Some(("webwxbatchgetcontact", json!({"oversized": 40 << 20}))),
            told: "list of contacts cannot be read",
        },
        Poison { account: "crowd", fault: None, told: "left out" },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_account_is_told_of_and_harms_nobody() -> Result<()> {
    tell("poison", LIMIT, async |scratch| poisoned(scratch).await).await
}

async fn poisoned(scratch: &Scratch) -> Result<()> {
    let mut stage = Stage::set(scratch, 2).await?;
    let mut neighbour = stage.client(0, "x").await?;
    let before = stage.gateway_mut()?.program()?.rss_bytes()?;
    for poison in poisons() {
        let begin = Instant::now();
        let account = poison.account;
        let over = AtomicBool::new(false);
        // Side by side: both use the one way to the service.
        let sick = async {
            let told = sicken(&stage.sim, stage.gateway(), &poison).await;
            over.store(true, Ordering::Relaxed);
            told
        };
        let (told, worst) = tokio::join!(sick, undisturbed(&stage.sim, &mut neighbour, account, &over));
        told.context(account)?;
        let worst = worst.context(account)?;
        println!("{account}: told after {:?}, neighbours waited {worst:?} at most", begin.elapsed());
    }
    let talk = talk_in_the_crowd(&stage).await;
    talk.context("the group of five thousand")?;
    let peak = stage.gateway_mut()?.program()?.peak_rss_bytes()?.saturating_sub(before);
    println!("the poison cost {} MiB at most", peak >> 20);
    ensure!(peak < MEMORY_BYTES, "it cost {} MiB", peak >> 20);
    stage.sim.clear_faults().await?;
    // The one whose stream was broken comes back by itself.
    stage.gateway().wait_state("stream", "up", SOON * 2).await?;
    stage.end().await
}

/// Signs a poisoned account in, and waits for the words.
async fn sicken(sim: &Sim, gateway: &wxgate_tests::gateway::Gateway, poison: &Poison) -> Result<()> {
    let (account, told) = (poison.account, poison.told);
    let groups = if account == "crowd" { 3 } else { 1 };
    let members = if account == "crowd" { MEMBERS } else { 8 };
    sim.order(
        "accounts",
        &json!({"name": account, "contacts": 10, "groups": groups, "members_per_group": members}),
    )
    .await?;
    if let Some((endpoint, fault)) = &poison.fault {
        sim.fault(&json!({"account": account, "endpoint": endpoint, "fault": fault, "count": 0})).await?;
    }
    gateway.add_account(account, USER).await?;
    gateway.sign_in(sim, account, account).await?;
    sim.say(account, "c1", "c1", "poison").await?;
    wxgate_tests::wait::until(&format!("{account} to be told of"), SOON * 2, async || {
        let (state, detail) = gateway.state(account).await?;
        ensure!(detail.contains(told), "it is {state} ({detail})");
        Ok(Some(()))
    })
    .await
}

/// A neighbour is spoken to all the while; says how long a line took at most.
async fn undisturbed(
    sim: &Arc<Sim>,
    neighbour: &mut IrcClient,
    mark: &str,
    over: &AtomicBool,
) -> Result<Duration> {
    let mut worst = Duration::ZERO;
    for n in 0.. {
        let text = format!("{mark} {n}");
        let begin = Instant::now();
        sim.say(&name(0), "c1", "c1", &text).await?;
        neighbour
            .expect_within(UNDISTURBED, &text, |line| line.is_said() && line.last() == text)
            .await
            .context("an undisturbed account")?;
        worst = worst.max(begin.elapsed());
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(worst)
}

/// People of the large groups are heard, whether they fit into the list of members or not.
async fn talk_in_the_crowd(stage: &Stage) -> Result<()> {
    let mut client = stage.gateway().client(USER, "crowd", "x").await?;
    for (n, who) in ["m0.3", "m0.4900"].iter().enumerate() {
        let text = format!("in the crowd {n}");
        stage.sim.say("crowd", "g0", who, &text).await?;
        client.expect_within(SOON, &text, |line| line.is_said() && line.last() == text).await?;
    }
    Ok(())
}
