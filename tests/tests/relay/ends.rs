//! The gateway dies at the calls by which the relay reads and speaks: nothing is lost, and at most the line that was
//! in flight is said again, marked.

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::fault::{About, Act, Call, Fault, Order};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::ircd::{Ircd, Kind};
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;

use crate::{LIMIT, SOON, judge, linked_in, speaker};

type Point = (&'static str, &'static [Call], About, Act);

const LINE: About = About::Words("PRIVMSG #");
const LOG: About = About::File("wxgate.db-wal");

/// Where a line of the group can be.
const OUT: [Point; 5] = [
    ("before the commit of what is said is synced", &[Call::Sync], LOG, Act::DieBefore),
    ("when it was synced", &[Call::Sync], LOG, Act::DieAfter),
    ("before a line is said on the network", &[Call::Send], LINE, Act::DieBefore),
    ("within a line", &[Call::Send], LINE, Act::DieHalfway),
    ("when a line was said", &[Call::Send], LINE, Act::DieAfter),
];

/// Where a line of the network can be. A network gives nothing again, so what was read and is not on disk is lost
/// with whoever read it; what is on disk arrives once. (Which commit is synced next is not for us to say.)
const IN: [Point; 2] = [
    ("when a line of the network was read", &[Call::Recv], LINE, Act::DieAfter),
    ("when a commit was synced", &[Call::Sync], LOG, Act::DieAfter),
];
/// Lines that are said around each end.
const LINES: u32 = 3;

async fn dies(stage: &mut Stage, fault: &Fault) -> Result<()> {
    use std::os::unix::process::ExitStatusExt as _;
    let status = stage.gateway_mut()?.ended(SOON).await?;
    ensure!(status.signal() == Some(9) && fault.struck()? > 0, "it ended with {status}, and not there");
    fault.disarm()?;
    stage.gateway_mut()?.run().await
}

fn arm(fault: &Fault, (_, calls, about, act): Point) -> Result<()> {
    fault.arm(&Order { calls, about, act, skip: 0 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_at_every_call_of_the_relay_loses_nothing_and_repeats_at_most_the_line_in_flight() -> Result<()>
{
    tell("relay-ends", LIMIT, async |scratch| {
        let server = Ircd::start(scratch, Kind::Inspircd).await?;
        let mut bob = server.person("bob", "#home").await?;
        let fault = Fault::build(scratch.path())?;
        let more = server.entry("test", "lines_per_minute = 1800");
        let options = GatewayOptions { more, env: fault.env(), ..GatewayOptions::default() };
        let mut stage = linked_in(scratch, &options).await?;
        fault.assert_loaded_in(stage.gateway_mut()?.program()?.pid())?;
        let who = speaker(&stage).await?;
        for (n, point) in OUT.into_iter().enumerate() {
            Ircd::wait_there(&mut bob, "#home", "relay").await?;
            arm(&fault, point)?;
            let mark = format!("out{n}");
            stage.sim.burst("account0", "g0", &who, &mark, LINES).await?;
            dies(&mut stage, &fault).await.context(point.0)?;
            judge(&mut bob, &mark, LINES as usize, 1).await.context(point.0)?;
        }
        for (n, point) in IN.into_iter().enumerate() {
            Ircd::wait_there(&mut bob, "#home", "relay").await?;
            arm(&fault, point)?;
            bob.say("#home", &format!("in{n} before")).await?;
            dies(&mut stage, &fault).await.context(point.0)?;
            Ircd::wait_there(&mut bob, "#home", "relay").await?;
            bob.say("#home", &format!("in{n} after")).await?;
            stage.sim.heard("account0", &format!("bob: in{n} after")).await.context(point.0)?;
            let ledger = stage.sim.ledger("account0").await?;
            let heard: Vec<&str> = ledger
                .iter()
                .filter(|entry| entry.is_heard() && entry.text.starts_with(&format!("bob: in{n} ")))
                .map(|entry| entry.text.as_str())
                .collect();
            let (before, after) = (format!("bob: in{n} before"), format!("bob: in{n} after"));
            let is_good = heard == [before.as_str(), after.as_str()] || heard == [after.as_str()];
            ensure!(is_good, "{}: {heard:?}", point.0);
        }
        stage.gateway_mut()?.assert_up()?;
        stage.sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}
