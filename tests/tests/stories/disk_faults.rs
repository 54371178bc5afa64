//! A disk that fails, a database that somebody else holds, a process that is not let run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;
use wxgate_tests::fault::{About, Act, Call, Errno, Fault, Order};
use wxgate_tests::fleet::name;
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::irc::IrcClient;
use wxgate_tests::program;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(200);
const SOON: Duration = Duration::from_secs(40);
/// Once all is well again; the gateway may pause between its tries.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How long the trouble lasts: several tries of everybody.
const TROUBLE: Duration = Duration::from_secs(7);
/// Messages of one case.
const SAID: u32 = 200;

/// One kind of trouble with the database's files.
struct Trouble {
    name: &'static str,
    order: Order,
    /// It passes by itself.
    is_brief: bool,
    /// Messages that are said meanwhile.
    said: u32,
    /// What `/readyz` says of it.
    told: &'static str,
}

const fn trouble(name: &'static str, calls: &'static [Call], file: &'static str, errno: Errno) -> Trouble {
    let order = Order { calls, about: About::File(file), act: Act::Fail(errno, None), skip: 0 };
    Trouble { name, order, is_brief: false, said: SAID, told: "" }
}

/// The log is copied into the main file once in some hundred messages.
const fn main_file(name: &'static str, call: &'static [Call], errno: Errno) -> Trouble {
    let told = "the log of the database cannot be copied into it";
    Trouble { said: 4 * SAID, told, ..trouble(name, call, "wxgate.db", errno) }
}

const fn once(name: &'static str, calls: &'static [Call], file: &'static str, errno: Errno) -> Trouble {
    let order = Order { calls, about: About::File(file), act: Act::Fail(errno, Some(1)), skip: 2 };
    Trouble { name, order, is_brief: true, said: SAID, told: "" }
}

const TROUBLES: &[Trouble] = &[
    once("one sync fails", &[Call::Sync], "wxgate.db-wal", Errno::Io),
    once("one write fails", &[Call::Write], "wxgate.db-wal", Errno::Io),
    trouble("no sync succeeds", &[Call::Sync], "wxgate.db-wal", Errno::Io),
    trouble("no write succeeds", &[Call::Write], "wxgate.db-wal", Errno::Io),
    trouble("the disk is full", &[Call::Write], "wxgate.db-wal", Errno::NoSpace),
    trouble("another process holds the database", &[Call::Lock], "wxgate.db-shm", Errno::Again),
];

/// What is committed is in the log, so nobody has to wait for these.
const MAIN_FILE: &[Trouble] = &[
    main_file("the main file cannot be written", &[Call::Write], Errno::Io),
    main_file("there is no room in the main file", &[Call::Write], Errno::NoSpace),
    main_file("the main file cannot be synced", &[Call::Sync], Errno::Io),
];

/// A gateway behind the fault library, one account, and a client with everything it was shown.
struct Scene {
    stage: Stage,
    fault: Fault,
    client: IrcClient,
    nick: String,
}

impl Scene {
    async fn set(scratch: &Scratch) -> Result<Self> {
        let fault = Fault::build(scratch.path())?;
        let options = GatewayOptions { env: fault.env(), ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 1, &options).await?;
        fault.assert_loaded_in(stage.gateway_mut()?.program()?.pid())?;
        let mut client = stage.client(0, "faults").await?;
        stage.sim.say(&name(0), "c1", "c1", "before").await?;
        let nick = client.expect_text("before").await?.source.nick;
        Ok(Self { stage, fault, client, nick })
    }

    /// What was said with `mark` has been shown once and in order, and a typed line has come to one end.
    async fn assert_whole(&mut self, mark: &str, typed: &str) -> Result<()> {
        let last = format!("{mark}last");
        self.stage.sim.say(&name(0), "c1", "c1", &last).await?;
        self.client
            .expect_within(CATCH_UP, "the last line", |line| line.is_said() && line.last() == last)
            .await?;
        self.client.drain().await?;
        let mut shown = Shown::default();
        shown.take(self.client.said().filter(|line| line.source.nick == self.nick))?;
        shown.check(&name(0), &self.stage.sim.ledger(&name(0)).await?, mark)?;
        let about = |line: &&wxgate_tests::irc::Line| line.last().contains(typed);
        if !self.client.seen().iter().any(|line| about(&line)) {
            let what = format!("a word about “{typed}”");
            self.client.expect_within(CATCH_UP, &what, |line| line.last().contains(typed)).await?;
        }
        let told = self.client.seen().iter().filter(about).collect::<Vec<_>>();
        // After the answer: what was told is true by then.
        let ledger = self.stage.sim.ledger(&name(0)).await?;
        let heard = ledger.iter().filter(|entry| entry.is_heard() && entry.text == typed).count();
        let is_echoed = told.iter().any(|line| line.is_said());
        let may_be = told.iter().any(|line| line.last().contains("may not"));
        let is_honest = if may_be { heard <= 1 } else { heard == usize::from(is_echoed) };
        ensure!(is_honest, "heard {heard} times, but told {told:?}");
        Ok(())
    }

    async fn assert_well(&mut self) -> Result<()> {
        self.stage.gateway_mut()?.assert_up()?;
        let text = format!("all is well {}", self.client.seen().len());
        self.client.say(&self.nick, &text).await?;
        self.client.expect_text(&text).await?;
        self.stage.sim.heard(&name(0), &text).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_for_a_while_loses_nothing_and_is_told() -> Result<()> {
    tell("faults", LIMIT, async |scratch| {
        let mut scene = Scene::set(scratch).await?;
        for (n, trouble) in TROUBLES.iter().enumerate() {
            let begin = Instant::now();
            endure(&mut scene, &format!("f{n} "), trouble).await.context(trouble.name)?;
            println!("{}: over after {:?}", trouble.name, begin.elapsed());
        }
        scene.stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_main_file_that_takes_no_pages_holds_nobody_up_and_is_told() -> Result<()> {
    tell("main-file", LIMIT, async |scratch| {
        let mut scene = Scene::set(scratch).await?;
        for (n, trouble) in MAIN_FILE.iter().enumerate() {
            let begin = Instant::now();
            endure(&mut scene, &format!("m{n} "), trouble).await.context(trouble.name)?;
            println!("{}: over after {:?}", trouble.name, begin.elapsed());
        }
        // All of it is in the main file, once that takes it again, and after an end without a warning.
        scene.stage.gateway_mut()?.kill().await?;
        scene.stage.gateway_mut()?.launch()?;
        scene.stage.gateway_mut()?.ready().await?;
        scene.client = scene.stage.client(0, "faults").await?;
        scene.assert_well().await?;
        scene.stage.end().await
    })
    .await
}

async fn endure(scene: &mut Scene, mark: &str, trouble: &Trouble) -> Result<()> {
    scene.fault.arm(&trouble.order)?;
    let begin = Instant::now();
    scene.stage.sim.burst(&name(0), "c1", "c1", mark.trim_end(), trouble.said).await?;
    let typed = format!("typed while {}", trouble.name);
    scene.client.say(&scene.nick, &typed).await?;
    until("the trouble to strike", SOON, async || Ok((scene.fault.struck()? > 0).then_some(()))).await?;
    if !trouble.is_brief {
        tokio::time::sleep_until(begin + TROUBLE).await;
        scene.stage.gateway_mut()?.assert_up()?;
        ensure!(scene.stage.gateway().get("/healthz", &[]).await?.status == 200, "not alive");
        let log = scene.stage.gateway().logged();
        ensure!(
            !trouble.told.is_empty() || log.contains("WARN") || log.contains("ERROR"),
            "nothing about it in the log"
        );
        let ready = scene.stage.gateway().get("/readyz", &[]).await?;
        ensure!(
            trouble.told.is_empty() || (ready.status == 503 && ready.text().contains(trouble.told)),
            "/readyz says {} {}",
            ready.status,
            ready.text()
        );
        scene.fault.disarm()?;
    }
    scene.assert_whole(mark, &typed).await?;
    scene.fault.disarm()?;
    scene.assert_well().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_for_a_while_goes_on_where_it_was() -> Result<()> {
    /// Longer than a poll is held; by hand it may be as long as one likes.
    const STOPPED: Duration = Duration::from_secs(15);
    let stopped = wxgate_tests::wait::stretch("WXGATE_STOPPED_SECONDS", STOPPED)?;
    tell("stopped", LIMIT + stopped, async |scratch| {
        let mut scene = Scene::set(scratch).await?;
        scene.stage.gateway_mut()?.program()?.signal("STOP").await?;
        scene.stage.sim.burst(&name(0), "c1", "c1", "stopped", SAID).await?;
        let typed = "typed while it was stopped";
        scene.client.say(&scene.nick, typed).await?;
        tokio::time::sleep(stopped).await;
        scene.stage.gateway_mut()?.program()?.signal("CONT").await?;
        scene.assert_whole("stopped", typed).await?;
        scene.assert_well().await?;
        scene.stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_on_the_same_data_is_refused_with_a_sentence() -> Result<()> {
    tell("second", LIMIT, async |scratch| {
        let mut stage = Stage::set(scratch, 1).await?;
        // Ports of its own: only the data are shared.
        let options = GatewayOptions { name: "second".to_owned(), ..GatewayOptions::default() };
        let second = Gateway::prepare(scratch, &stage.sim.url(), &options)?;
        let args = ["run".as_ref(), "-c".as_ref(), second.config().as_os_str()];
        let (status, out, err) = program::run_once("wxgate", &args, None, SOON).await?;
        let said = out + &err;
        ensure!(status.code() == Some(4), "{status}: {said}");
        let pid = stage.gateway_mut()?.program()?.pid().to_string();
        for word in ["wxgate.db", &pid, "another"] {
            ensure!(said.contains(word), "{word:?} is not in: {said}");
        }
        // The first one does not notice.
        let mut client = stage.client(0, "x").await?;
        stage.sim.say(&name(0), "c1", "c1", "still here").await?;
        client.expect_text("still here").await?;
        stage.end().await
    })
    .await
}
