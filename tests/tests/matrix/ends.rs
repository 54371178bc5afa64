//! The gateway is ended at every call on its ways between WeChat and rooms, and after each end all that was said is
//! there once, in order and in one place: docs/decisions/0014, with a homeserver.
//!
//! A request to the homeserver, or of it, is held on the wire while the gateway is killed; commits, and what is said
//! to WeChat, are points of the fault library. Everyday some of the points, as the dice say; in the long run all.

mod out_of;
mod sealed;
mod towards;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::cut::{Hold, Trap};
use wxgate_tests::dice::Dice;
use wxgate_tests::fault::{About, Act, Call, Fault, Order};
use wxgate_tests::matrix::Ground;
use wxgate_tests::people::Person;
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::wait::until;

/// A point that was not reached by then does not exist.
const REACH: Duration = Duration::from_secs(60);
/// Until everything has arrived after an end; the homeserver may wait some seconds before it tries again.
const ARRIVE: Duration = Duration::from_secs(120);
/// For each end: a start, what there is to say, and the comparison.
const PER_END: Duration = Duration::from_secs(30);
/// From nothing to somebody who is signed in.
const BEGIN: Duration = Duration::from_secs(180);
/// How many ends the long run of the crash suite has.
const KILLS: &str = "WXGATE_CRASH_KILLS";
/// One in so many of them is for one of these stories.
const SHARE: usize = 5;
/// SIGKILL. Source: `man 7 signal`.
const KILLED: i32 = 9;
const TRANSACTION: &str = "PUT /transactions/";
/// The held places of a request.
const HOLDS: [Hold; 3] = [Hold::Before, Hold::Answered, Hold::Late];

/// Where the gateway ends.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// At a request to the homeserver, when so many of its kind have passed.
    Asks(&'static str, u32, Hold),
    /// At a transaction with these words, and with what was just said when there are none.
    Told(&'static str, Hold),
    /// At a call after such a transaction has come.
    Behind(&'static str, Order),
    /// At a call.
    Calls(Order),
}

/// The calls by which a commit gets onto the disk.
const fn sync(act: Act, skip: u32) -> Order {
    Order { calls: &[Call::Sync], about: About::File("wxgate.db-wal"), act, skip }
}

/// How many ends there are now, in the long run or everyday, and how long they may take.
fn extent(everyday: usize) -> Result<(usize, Duration)> {
    let count = match std::env::var(KILLS) {
        Ok(kills) => kills.parse::<usize>().context(KILLS)? / SHARE,
        Err(_) => everyday,
    };
    Ok((count, BEGIN + PER_END * u32::try_from(count)?))
}

/// What a round is about, and where the gateway ends in it.
type Case<S> = (S, Vec<Point>);

/// A gateway that is ended again and again.
struct Ends {
    ground: Ground,
    fault: Fault,
    dice: Dice,
}

impl Ends {
    /// Everything but the gateway runs.
    async fn begin(scratch: &Scratch, world: SimOptions, keys: &str) -> Result<Self> {
        let fault = Fault::build(scratch.path())?;
        let ground = Ground::lay(scratch, world, keys, fault.env()).await?;
        Ok(Self { ground, fault, dice: Dice::cast() })
    }

    async fn run(&mut self) -> Result<()> {
        self.ground.gateway.run().await?;
        self.fault.assert_loaded_in(self.ground.gateway.program()?.pid())
    }

    /// So many of these, in an order that the dice say; each once before any comes again.
    fn choose<S: Copy>(&mut self, mut all: Vec<Case<S>>, count: usize) -> Result<Vec<Case<S>>> {
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            // A new order each time round.
            for at in (1..all.len()).rev() {
                let other = self.dice.below(u64::try_from(at)? + 1);
                all.swap(at, usize::try_from(other)?);
            }
            chosen.extend(all.iter().take(count - chosen.len()).cloned());
        }
        Ok(chosen)
    }

    fn arm(&self, point: Point, mark: &str) -> Result<()> {
        let trap = |words: &str, skip, at| Trap { words: words.to_owned(), skip, at };
        let of = |words: &str| format!("{TRANSACTION} {}", if words.is_empty() { mark } else { words });
        match point {
            Point::Asks(words, skip, at) => self.ground.out.set(trap(words, skip, at)),
            Point::Told(words, at) => self.ground.back.set(trap(&of(words), 0, at)),
            Point::Behind(words, _) => self.ground.back.set(trap(&of(words), 0, Hold::Before)),
            Point::Calls(order) => self.fault.arm(&order)?,
        }
        Ok(())
    }

    /// Waits until the gateway has ended where it was to.
    async fn ended(&mut self, point: Point) -> Result<()> {
        match point {
            Point::Asks(..) => {
                self.ground.out.caught(REACH).await?;
                self.ground.gateway.kill().await?;
            }
            Point::Told(..) => {
                self.ground.back.caught(REACH).await?;
                self.ground.gateway.kill().await?;
            }
            Point::Behind(_, order) => {
                self.ground.back.caught(REACH).await?;
                self.fault.arm(&order)?;
                self.ground.back.let_go();
                self.died().await?;
            }
            Point::Calls(_) => self.died().await?,
        }
        self.ground.out.lose();
        self.ground.back.lose();
        Ok(())
    }

    async fn died(&mut self) -> Result<()> {
        let status = self.ground.gateway.ended(REACH).await?;
        ensure!(
            status.signal() == Some(KILLED) && self.fault.struck()? > 0,
            "it ended with {status}, not there"
        );
        self.fault.disarm()
    }

    /// Ends the gateway at the first point, which `cause` leads to, and at the others as it starts again; then it
    /// runs.
    async fn end_at(
        &mut self,
        points: &[Point],
        mark: &str,
        cause: impl AsyncFnOnce(&Ground) -> Result<()>,
    ) -> Result<()> {
        let (first, later) = points.split_first().context("no point")?;
        self.arm(*first, mark)?;
        cause(&self.ground).await?;
        self.ended(*first).await.with_context(|| format!("{first:?}"))?;
        self.end_starts_at(later, mark).await?;
        self.run().await
    }

    /// Starts the gateway, and ends it at each of these.
    async fn end_starts_at(&mut self, points: &[Point], mark: &str) -> Result<()> {
        for point in points {
            self.arm(*point, mark)?;
            self.ground.gateway.launch()?;
            self.ended(*point).await.with_context(|| format!("{point:?} in a start"))?;
        }
        Ok(())
    }
}

/// What somebody's client shows in a room of the texts that begin with `mark`, in the order of the homeserver.
///
/// What was taken back is left out by the redaction that stands in the room: a Synapse under load (1.163 seen) goes on
/// giving the text of such an event from its memory for a while.
async fn texts(person: &Person<'_>, room: &str, mark: &str) -> Result<Vec<String>> {
    let (seen, events) = (person.seen(), person.history(room).await?);
    let redacted = |event: &serde_json::Value| {
        let named = [&event["redacts"], &event["content"]["redacts"]].into_iter().find_map(|id| id.as_str());
        named.map(str::to_owned)
    };
    let taken_back: BTreeSet<String> = events.iter().filter_map(redacted).collect();
    let text = |event: &serde_json::Value| {
        let id = event["event_id"].as_str().filter(|id| !taken_back.contains(*id))?;
        let plain = event["content"]["body"].as_str();
        // What is encrypted on the homeserver is what the client read there.
        let read = || seen.iter().find(|seen| seen.is_said() && seen.id() == id).map(|seen| seen.body());
        plain.or_else(read).filter(|text| text.starts_with(mark)).map(str::to_owned)
    };
    Ok(events.iter().filter_map(text).collect())
}

/// What the simulated people heard that begins with `mark`, in its order.
async fn heard(ground: &Ground, mark: &str) -> Result<Vec<String>> {
    let ledger = ground.sim.ledger("account0").await?;
    let heard = ledger.into_iter().filter(|entry| entry.is_heard() && entry.text.starts_with(mark));
    Ok(heard.map(|entry| entry.text).collect())
}

/// Waits until so many were heard.
async fn until_heard(ground: &Ground, mark: &str, count: usize) -> Result<()> {
    until(&format!("{count} texts {mark} to be heard"), ARRIVE, async || {
        let heard = heard(ground, mark).await?;
        ensure!(heard.len() >= count, "heard {heard:?}");
        Ok(Some(()))
    })
    .await
}
