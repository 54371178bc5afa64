//! An end at the named calls of two roads that people rarely walk: a picture on its way to the disk, and a sign-in.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::fault::{About, Act, Call, Fault, Order};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(60);

/// How the second file ends that a run of the gateway writes; the first is the picture of the round before, which
/// is fetched again after the end.
const PART: &str = "-1";

type Point = (&'static str, &'static [Call], About, Act);

/// Where a picture can be when the gateway ends.
const OF_A_PICTURE: [Point; 9] = [
    ("before it is asked for", &[Call::Send], About::Words("/webwxgetmsgimg?"), Act::DieBefore),
    ("when it was asked for", &[Call::Send], About::Words("/webwxgetmsgimg?"), Act::DieAfter),
    ("when its first bytes were read", &[Call::Recv], About::Words("image/"), Act::DieAfter),
    ("within its bytes on the disk", &[Call::Write], About::File(PART), Act::DieHalfway),
    ("before its bytes are synced", &[Call::Sync], About::File(PART), Act::DieBefore),
    ("when its bytes were synced", &[Call::Sync], About::File(PART), Act::DieAfter),
    ("before it gets its name", &[Call::Rename], About::File(PART), Act::DieBefore),
    ("when it has its name and no row says so", &[Call::Rename], About::File(PART), Act::DieAfter),
    ("before its row is synced", &[Call::Sync], About::File("wxgate.db-wal"), Act::DieBefore),
];

/// Where a sign-in can be.
const OF_A_SIGN_IN: [Point; 8] = [
    ("when the code was asked for", &[Call::Send], About::Words("/jslogin?"), Act::DieAfter),
    ("when the scan was told", &[Call::Recv], About::Words("window.code=201"), Act::DieAfter),
    ("when the confirmation was told", &[Call::Recv], About::Words("window.code=200"), Act::DieAfter),
    ("before the ticket is given", &[Call::Send], About::Words("/webwxnewloginpage?"), Act::DieBefore),
    ("when the ticket was given", &[Call::Send], About::Words("/webwxnewloginpage?"), Act::DieAfter),
    ("before the session is opened", &[Call::Send], About::Words("/webwxinit?"), Act::DieBefore),
    ("when the session was opened", &[Call::Send], About::Words("/webwxinit?"), Act::DieAfter),
    ("before the contacts are asked for", &[Call::Send], About::Words("/webwxgetcontact?"), Act::DieBefore),
];

fn order((_, calls, about, act): Point) -> Order {
    Order { calls, about, act, skip: 0 }
}

/// Waits until the gateway has died, and of this.
async fn died(gateway: &mut Gateway, fault: &Fault) -> Result<()> {
    use std::os::unix::process::ExitStatusExt as _;
    let status = gateway.ended(SOON).await?;
    ensure!(status.signal() == Some(9) && fault.struck()? > 0, "it ended with {status}, and not there");
    fault.disarm()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_outlives_an_end_at_every_call_on_its_way() -> Result<()> {
    tell("picture", LIMIT, async |scratch| {
        let fault = Fault::build(scratch.path())?;
        let options = GatewayOptions { env: fault.env(), ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 1, &options).await?;
        fault.assert_loaded_in(stage.gateway_mut()?.program()?.pid())?;
        for point in OF_A_PICTURE {
            let what = point.0;
            // Nothing else is on its way.
            stage.gateway().wait_state("account0", "up", SOON).await?;
            stage.client(0, "pictures").await?.drain().await?;
            let picture = match point.2 {
                // The row is synced when the picture is here, and the message before it: it waits in between.
                About::File("wxgate.db-wal") => {
                    stage
                        .sim
                        .fault(&json!({"endpoint": "webwxgetmsgimg", "fault": {"delay_ms": 1_500}}))
                        .await?;
                    let picture = stage.sim.tell("account0", "c1", "c1", json!({"kind": "image"})).await?;
                    stage.client(0, "pictures").await?.expect("its link", is_picture).await?;
                    fault.arm(&order(point))?;
                    picture
                }
                _ => {
                    fault.arm(&order(point))?;
                    stage.sim.tell("account0", "c1", "c1", json!({"kind": "image"})).await?
                }
            };
            died(stage.gateway_mut()?, &fault).await.context(what)?;
            stage.gateway_mut()?.run().await?;
            shown(&stage, picture).await.context(what)?;
        }
        stage.gateway_mut()?.assert_up()?;
        stage.sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}

fn is_picture(line: &Line) -> bool {
    line.is_said() && line.last().contains("/media/")
}

/// Somebody new is shown every picture once, and the last one is whole.
async fn shown(stage: &Stage, picture: u64) -> Result<()> {
    let wanted = stage.sim.media("account0", picture).await?;
    let said = stage.sim.ledger("account0").await?.into_iter().filter(|entry| entry.kind == "image").count();
    let mut client: IrcClient = stage.client(0, &format!("after{said}")).await?;
    let links = until("every picture in the history", SOON, async || {
        client.drain().await?;
        let links: Vec<Line> = client.said().filter(|line| is_picture(line)).cloned().collect();
        Ok((links.len() >= said).then_some(links))
    })
    .await?;
    ensure!(links.len() == said, "{} pictures were shown, {said} were sent", links.len());
    let link =
        links.last().and_then(|line| line.last().split_whitespace().find(|word| word.starts_with("http")));
    let link = link.context("no link")?.to_owned();
    let answer = until("the picture behind its link", SOON, async || {
        let answer = stage.gateway().open_link(&link).await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    ensure!(answer.body == wanted, "{} bytes instead of {}", answer.body.len(), wanted.len());
    Ok(())
}

/// Signs in with a phone that confirms when the scan was seen: where it does so at once, WeChat tells of both in one
/// answer, and one of the points above never comes.
async fn sign_in(gateway: &Gateway, sim: &Sim, account: &str) -> Result<()> {
    let mut steps = gateway.begin_sign_in(account).await?;
    let uuid = steps.code().await?;
    sim.scan(&uuid, account).await?;
    while steps.step().await?["step"] != "confirm_on_phone" {}
    sim.confirm(&uuid).await?;
    steps.done().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_an_end_cuts_short_goes_on_or_can_be_begun_again() -> Result<()> {
    tell("cut-sign-in", LIMIT, async |scratch| {
        let fault = Fault::build(scratch.path())?;
        let accounts = u32::try_from(OF_A_SIGN_IN.len())?;
        let sim = Sim::start(scratch, &SimOptions { accounts, ..SimOptions::default() }).await?;
        let options = GatewayOptions { env: fault.env(), ..GatewayOptions::default() };
        let mut gateway = Gateway::start(scratch, &sim.url(), &options).await?;
        fault.assert_loaded_in(gateway.program()?.pid())?;
        gateway.add_user(USER).await?;
        for (at, point) in (0..).zip(OF_A_SIGN_IN) {
            let (account, what) = (name(at), point.0);
            gateway.add_account(&account, USER).await?;
            fault.arm(&order(point))?;
            // Whoever follows it sees it break off.
            let _ = sign_in(&gateway, &sim, &account).await;
            died(&mut gateway, &fault).await.context(what)?;
            gateway.run().await?;
            // Either what was stored is enough, or its owner is told to begin again.
            let settled = until("the account to be up or to ask", SOON, async || {
                let (state, _) = gateway.state(&account).await?;
                Ok(["up", "needs_human"].contains(&state.as_str()).then_some(state))
            });
            let settled = settled.await.context(what)?;
            println!("{what}: {settled}");
            if settled != "up" {
                gateway.sign_in(&sim, &account, &account).await.context(what)?;
                gateway.wait_state(&account, "up", SOON).await.context(what)?;
            }
            let mut client = gateway.client(USER, &account, "x").await?;
            let text = format!("after {what}");
            sim.say(&account, "c1", "c1", &text).await?;
            client.expect_text(&text).await.context(what)?;
            client.drain().await?;
            let times = client.said().filter(|line| line.last() == text).count();
            ensure!(times == 1, "{what}: shown {times} times");
        }
        gateway.assert_up()?;
        sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}
