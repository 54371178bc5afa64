//! The network is away for a while: told once, nothing hammered, nothing lost when it is back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::fleet::{self, USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::line::NetLine;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::stretch;

const ACCOUNTS: u32 = 3;
const SOON: Duration = Duration::from_secs(90);
/// Longer than an interruption that nobody is told of; by hand minutes.
const AWAY: Duration = Duration::from_secs(10);
const SAID: u32 = 20;

/// What the service nick said of an account's state.
fn words_about<'a>(client: &'a IrcClient, account: &'a str) -> Vec<&'a Line> {
    let seen = client.seen().iter();
    seen.filter(|line| line.verb == "NOTICE" && line.source.nick == "wechat")
        .filter(|line| line.last().contains(account))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_away_is_told_of_once_and_costs_nothing() -> Result<()> {
    let away = stretch("WXGATE_OUTAGE_SECONDS", AWAY)?;
    tell("outage", away + SOON * 3, async |scratch| {
        let world = SimOptions { accounts: ACCOUNTS, ..SimOptions::default() };
        let sim = Arc::new(Sim::start(scratch, &world).await?);
        let line = NetLine::lay(&sim.address).await?;
        let service = format!("http://{}", line.address);
        let mut gateway = Arc::new(Gateway::start(scratch, &service, &GatewayOptions::default()).await?);
        gateway.add_user(USER).await?;
        fleet::sign_in(&gateway, &sim, 0..ACCOUNTS, SOON).await?;
        let mut client = gateway.client(USER, &name(0), "x").await?;
        sim.say(&name(0), "c1", "c1", "gap before").await?;
        let nick = client.expect_text("gap before").await?.source.nick;
        let told_before = words_about(&client, &name(0)).len();

        line.cut();
        sim.burst(&name(0), "c1", "c1", "gap away", SAID).await?;
        client.say(&nick, "typed while it was away").await?;
        let detail = gateway.wait_state(&name(0), "degraded", SOON).await?;
        ensure!(detail.contains("cannot be reached"), "{detail}");
        tokio::time::sleep(away).await;
        for at in 0..ACCOUNTS {
            gateway.wait_state(&name(at), "degraded", SOON).await?;
        }
        let attempts = line.mend();
        // A dozen in the first minute, then one a minute; a typed line asks besides.
        let most = ACCOUNTS * (16 + 2 * u32::try_from(away.as_secs() / 60)?) + 16;
        ensure!(attempts <= most, "{attempts} connections were tried in {away:?}, more than {most}");
        println!("{attempts} connections of {ACCOUNTS} accounts in {away:?}");

        for at in 0..ACCOUNTS {
            gateway.wait_state(&name(at), "up", SOON).await?;
            ensure!(sim.logins_of(&name(at)).await? == 1, "{} had to sign in again", name(at));
        }
        client.expect_text(&format!("gap away {}", SAID - 1)).await?;
        // Whoever could not send comes again after half a minute, and its last try may have hung for as long.
        let heard = sim.heard_within(SOON, &name(0), "typed while it was away").await?;
        ensure!(heard.chat == "c1", "it went to {}", heard.chat);
        client.drain().await?;
        let account = name(0);
        let told: Vec<&str> = words_about(&client, &account).iter().map(|line| line.last()).collect();
        let told = told.get(told_before..).context("words are gone")?;
        ensure!(told.len() == 2, "told once that it went and once that it came back: {told:?}");
        ensure!(told[0].contains("cannot be reached"), "{told:?}");
        let mut shown = Shown::default();
        shown.take(client.said())?;
        let ledger = sim.ledger(&name(0)).await?;
        shown.check(&name(0), &ledger, "gap ")?;
        let typed =
            ledger.iter().filter(|entry| entry.is_heard() && entry.text.contains("typed while")).count();
        ensure!(typed == 1, "the typed line was heard {typed} times");
        Arc::get_mut(&mut gateway).context("the gateway is in use")?.assert_up()?;
        sim.assert_no_violations().await
    })
    .await
}
