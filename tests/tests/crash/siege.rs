//! One gateway that is killed again and again while people talk, and after each kill the comparison: what
//! the service said and heard, what the clients were shown and told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use wxgate_tests::dice::Dice;
use wxgate_tests::fault::Fault;
use wxgate_tests::fleet::{self, name};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::power::{Disk, Left};
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::Sim;
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::{Entry, Shown};

use crate::points::{During, Point};
use crate::typist::{Typist, Verdict};

const ACCOUNTS: u32 = 4;
/// Two contacts and a group, by turns.
const CHATS: [&str; 3] = ["c1", "c4", "g0"];
/// Between two rounds of talk, so that several commits lie between two kills.
const PAUSE: Duration = Duration::from_millis(4);
/// Lines that each account types at most between two kills, and one in so many rounds of talk: the gateway's
/// flood control lets ten pass at once (some for the sign-in), and the lanes have to be empty soon after.
const TYPED: usize = 6;
const TYPED_EVERY: usize = 4;
/// A named point that was not reached by then does not exist.
const REACH: Duration = Duration::from_secs(40);
const ARRIVE: Duration = Duration::from_secs(60);
/// What is said begins with this, and what is typed does not.
const SAID: &str = "k";
/// SIGKILL. Source: `man 7 signal`.
const KILLED: i32 = 9;

/// How the gateway dies.
#[derive(Clone, Copy)]
pub(crate) enum Blow {
    /// At a named point, when so many of its kind have passed.
    Point(&'static Point, u32),
    /// At any moment.
    Moment(Duration),
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point(point, 0) => f.write_str(point.name),
            Self::Point(point, skip) => write!(f, "{} (number {})", point.name, skip + 1),
            Self::Moment(after) => write!(f, "after {after:?}"),
        }
    }
}

/// What is left on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// Everything it had written: the system lives on.
    Kill,
    /// What was synced, and any part of what was not.
    PowerCut,
}

/// A gateway under siege.
pub(crate) struct Siege {
    stage: Stage,
    fault: Fault,
    disk: Disk,
    dice: Dice,
    typists: Vec<Typist>,
    shown: Vec<Shown>,
    /// How far each account's ledger was compared.
    compared: Vec<usize>,
    said: usize,
    sum: Verdict,
    left: Left,
}

impl Siege {
    /// A gateway behind the fault library, with accounts that are online and clients that talk.
    pub(crate) async fn lay(scratch: &Scratch) -> Result<Self> {
        let fault = Fault::build(scratch.path())?;
        let options = GatewayOptions { env: fault.env(), ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, ACCOUNTS, &options).await?;
        fault.assert_loaded_in(stage.gateway_mut()?.program()?.pid())?;
        stage.gateway_mut()?.stop().await?;
        let (disk, dice) = (Disk::default(), Dice::cast());
        let mut siege = Self {
            stage,
            fault,
            disk,
            dice,
            typists: Vec::new(),
            shown: (0..ACCOUNTS).map(|_| Shown::default()).collect(),
            compared: vec![0; ACCOUNTS as usize],
            said: 0,
            sum: Verdict::default(),
            left: Left::default(),
        };
        siege.record()?;
        siege.stage.gateway_mut()?.run().await?;
        for (at, client) in fleet::clients(siege.stage.shared(), 0..ACCOUNTS, "siege").await? {
            siege.typists.push(Typist::sit_down(&siege.stage, at, client).await?);
        }
        siege.typists.sort_by_key(|typist| typist.at);
        Ok(siege)
    }

    /// The generator of this siege.
    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// One end of the gateway, its next beginning, and the comparison.
    pub(crate) async fn round(&mut self, n: usize, blow: Blow, aftermath: Aftermath) -> Result<()> {
        let mark = format!("{SAID}{n} ");
        self.strike(&mark, blow).await?;
        if aftermath == Aftermath::PowerCut {
            self.cut_power()?;
        }
        self.record()?;
        self.stage.gateway_mut()?.run().await?;
        for at in 0..ACCOUNTS {
            for chat in CHATS {
                self.say(at, chat, &format!("{mark}over {chat}")).await?;
            }
        }
        self.compare(&mark).await?;
        self.stage.sim.assert_no_violations_but_lost_cookies().await
    }

    /// Lets people talk until the gateway is dead.
    async fn strike(&mut self, mark: &str, blow: Blow) -> Result<()> {
        match blow {
            Blow::Moment(after) => {
                // Ends by the timeout alone: people go on talking.
                let talking =
                    tokio::time::timeout(after, talk(&self.stage.sim, &mut self.typists, mark)).await;
                talking.unwrap_or(Ok(()))?;
                self.stage.gateway_mut()?.kill().await
            }
            Blow::Point(point, skip) => {
                if point.during == During::Start {
                    self.stage.gateway_mut()?.kill().await?;
                    for chat in CHATS {
                        for at in 0..ACCOUNTS {
                            self.say(at, chat, &format!("{mark}while away {chat}")).await?;
                        }
                    }
                    self.record()?;
                    self.fault.arm(&point.order(skip))?;
                    self.stage.gateway_mut()?.launch()?;
                    return self.dead(point, None).await;
                }
                self.fault.arm(&point.order(skip))?;
                self.dead(point, Some(mark)).await
            }
        }
    }

    /// Waits until the gateway has died at the point, and nowhere else.
    async fn dead(&mut self, point: &Point, talk_with: Option<&str>) -> Result<()> {
        let sim = self.stage.sim.clone();
        let gateway = self.stage.gateway_mut()?;
        let died = async { gateway.ended(REACH).await };
        let status = match talk_with {
            None => died.await?,
            Some(mark) => tokio::select! {
                status = died => status?,
                talked = talk(&sim, &mut self.typists, mark) => {
                    return Err(talked.err().unwrap_or_else(|| anyhow!("nobody talks any more")));
                }
            },
        };
        use std::os::unix::process::ExitStatusExt as _;
        ensure!(status.signal() == Some(KILLED), "it ended with {status} instead of dying {}", point.name);
        ensure!(self.fault.struck()? > 0, "it died, but not {}", point.name);
        self.fault.disarm()
    }

    fn cut_power(&mut self) -> Result<()> {
        let record = std::fs::read(self.fault.record()).context("read the record of writes")?;
        let left = self.disk.cut(&record, &mut self.dice)?;
        self.left.synced += left.synced;
        self.left.loose += left.loose;
        self.left.lost += left.lost;
        self.disk.restore(self.stage.gateway().data_dir())
    }

    /// The disk as it is, and an empty record of what comes.
    fn record(&mut self) -> Result<()> {
        self.disk = Disk::of(self.stage.gateway().data_dir())?;
        std::fs::File::create(self.fault.record()).context("make the record of writes")?;
        Ok(())
    }

    async fn say(&self, at: u32, chat: &str, text: &str) -> Result<()> {
        say(&self.stage.sim, at, chat, text).await
    }

    /// Connects the clients again, waits until they have seen everything, and compares.
    async fn compare(&mut self, mark: &str) -> Result<()> {
        for typist in &mut self.typists {
            typist.client.expect_close(ARRIVE).await?;
        }
        let over = format!("{mark}over ");
        let clients = fleet::clients(self.stage.shared(), 0..ACCOUNTS, "siege").await?;
        for (at, client) in &clients {
            let typist = self.typists.get(usize::try_from(*at)?).context("no such typist")?;
            typist.mark_lanes(client, &typed(mark)).await?;
        }
        for (at, mut client) in clients {
            let index = usize::try_from(at)?;
            // In order within each chat: behind the last line there is nothing more.
            let shown =
                |client: &IrcClient| client.said().filter(|line| line.last().starts_with(&over)).count();
            while shown(&client) < CHATS.len() {
                client.expect_text(&over).await?;
            }
            Typist::await_lanes(&mut client, &typed(mark)).await?;
            client.drain().await?;
            let from = self.compared.get_mut(index).context("no such account")?;
            let (ledger, end) = self.stage.sim.ledger_from(&name(at), *from).await?;
            *from = end;
            let shown = self.shown.get_mut(index).context("no such account")?;
            let typist = self.typists.get_mut(index).context("no such typist")?;
            for seen in [&typist.client, &client] {
                shown.take(seen.said()).with_context(|| name(at))?;
            }
            self.said += shown.check(&name(at), &ledger, mark)?;
            let verdict = typist.judge(&client, &ledger)?;
            self.sum.arrived += verdict.arrived;
            self.sum.unread += verdict.unread;
            typist.client = client;
        }
        Ok(())
    }

    /// The last comparison: over everything, so that nothing came twice with a new id, much later.
    pub(crate) async fn lift(self, kills: usize) -> Result<()> {
        for (at, shown) in self.shown.iter().enumerate() {
            let account = name(u32::try_from(at)?);
            let ledger: Vec<Entry> = self.stage.sim.ledger(&account).await?;
            shown.check(&account, &ledger, SAID)?;
        }
        ensure!(self.sum.arrived > 0 && self.said > 0, "nobody talked");
        let (verdict, left) = (self.sum, self.left);
        println!(
            "{kills} ends: {} messages inward, {} outward, each once and in order; {} typed lines were not taken \
             before an end; power cuts lost {} of {} writes that were not synced, none of {} that were",
            self.said, verdict.arrived, verdict.unread, left.lost, left.loose, left.synced
        );
        self.stage.end_after_kills().await
    }
}

/// People of all accounts talk, in both directions, until somebody stops them.
async fn talk(sim: &Arc<Sim>, typists: &mut [Typist], mark: &str) -> Result<()> {
    for n in 0.. {
        for typist in &mut *typists {
            let chat = CHATS.get(n % CHATS.len()).copied().unwrap_or("c1");
            say(sim, typist.at, chat, &format!("{mark}{n} 消息")).await?;
            if n % TYPED_EVERY == 0 && n / TYPED_EVERY < TYPED {
                typist.type_line(&typed(mark)).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn say(sim: &Sim, at: u32, chat: &str, text: &str) -> Result<()> {
    let from = if chat.starts_with('g') { "m0.2" } else { chat };
    sim.say(&name(at), chat, from, text).await.map(drop)
}

/// The mark of typed lines, whose echoes are no messages of others.
fn typed(mark: &str) -> String {
    format!("typed {mark}")
}
