//! Where everything is encrypted: from the making of the bot's device to the first words of each ghost, and back.
//! matrix-nio reads all of it, and so does matrix-sdk as a strict client; no step of a ratchet is used twice.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use wxgate_tests::cut::Hold;
use wxgate_tests::fault::Act;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::Ground;
use wxgate_tests::people::Person;
use wxgate_tests::sim::SimOptions;

use super::{ARRIVE, Case, Ends, HOLDS, Point, extent, heard, sync, texts, until_heard};

/// Ends of an everyday run, those of the first start aside.
const EVERYDAY: usize = 10;
const CHATS: u32 = 130;
/// Every room is encrypted from its beginning.
const KEYS: &str = "encryption = \"default\"\n";
const SENDS: &str = "PUT /send/m.room.encrypted/";
const SYNC: &str = "GET /v3/sync? device_id=";
/// What the bot's device asks until its keys are there, in this order.
const FIRST: [&str; 6] = [
    "PUT /account_data/wxgate.mark",
    "PUT /devices/",
    "POST /keys/upload",
    "POST /keys/device_signing/upload",
    "POST /keys/query",
    SYNC,
];
/// What the first words of a ghost in an encrypted room ask, and how many of the kind may pass first.
const REQUESTS: [(&str, u32); 10] = [
    ("POST /createRoom", 0),
    ("PUT /devices/", 1),
    ("GET /m.room.encryption", 0),
    ("GET /members", 0),
    ("POST /keys/upload", 0),
    ("POST /keys/device_signing/upload", 0),
    ("POST /keys/query", 1),
    ("POST /keys/claim", 0),
    ("PUT /sendToDevice/", 0),
    (SENDS, 1),
];
/// Commits that a first encrypted message takes at least.
const COMMITS: u32 = 11;

/// What is said before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// Two texts of a contact that said nothing yet.
    Fresh,
    /// Two texts of one that did.
    Known,
    /// Two texts of the person, in a room that they said nothing in yet.
    Back,
    /// The same, said while the gateway is down.
    Down,
}

/// All of it.
fn cases(ends: &mut Ends) -> Vec<Case<Story>> {
    let mut all = Vec::new();
    for (words, skips) in REQUESTS {
        for hold in HOLDS {
            let skip = u32::try_from(ends.dice.below(u64::from(skips) + 1)).unwrap_or(0);
            all.push((Story::Fresh, vec![Point::Asks(words, skip, hold)]));
        }
    }
    for skip in 0..=COMMITS {
        let act = if ends.dice.below(2) == 0 { Act::DieBefore } else { Act::DieAfter };
        all.push((Story::Fresh, vec![Point::Calls(sync(act, skip))]));
    }
    // Ended again at the same step, with what the first end left.
    for words in ["POST /keys/upload", "POST /keys/claim", "PUT /sendToDevice/", SENDS] {
        let at = |hold| Point::Asks(words, 0, hold);
        all.push((Story::Fresh, vec![at(Hold::Before), at(Hold::Answered)]));
    }
    let signs = Point::Asks("POST /keys/signatures/upload", 0, Hold::Answered);
    // Signatures go alone only where the keys that they are of are known to have arrived.
    all.push((Story::Fresh, vec![Point::Asks("POST /keys/device_signing/upload", 0, Hold::Answered), signs]));
    let said = "m.room.encrypted \"sender\":\"@ann:localhost\"";
    for hold in HOLDS {
        all.push((Story::Known, vec![Point::Asks(SENDS, 0, hold)]));
        all.push((Story::Back, vec![Point::Told(said, hold)]));
        all.push((Story::Down, vec![Point::Asks(SYNC, 0, hold)]));
    }
    for (act, skip) in [(Act::DieBefore, 0), (Act::DieAfter, 0), (Act::DieBefore, 1), (Act::DieAfter, 2)] {
        all.push((Story::Back, vec![Point::Behind(said, sync(act, skip))]));
        all.push((Story::Known, vec![Point::Calls(sync(act, skip))]));
        all.push((Story::Down, vec![Point::Calls(sync(act, skip))]));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_read_once_wherever_the_gateway_ends() -> Result<()> {
    let (count, limit) = extent(EVERYDAY + FIRST.len())?;
    tell("ends-sealed", limit, async |scratch| {
        let world = SimOptions { accounts: 1, contacts: CHATS, ..Default::default() };
        let mut ends = Ends::begin(scratch, world, KEYS).await?;
        ends.ground.out.keep(SENDS);
        let mut first = Vec::new();
        for words in FIRST {
            let hold = HOLDS[usize::try_from(ends.dice.below(3))?];
            first.push(Point::Asks(words, 0, hold));
        }
        println!("at the first start: {first:?}");
        ends.end_starts_at(&first, "").await?;
        ends.run().await?;
        let people = ends.ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"strict": true, "encrypts": true})).await?;
        ends.ground.at_home(&ann, "account0").await?;
        let mut told = Told { ann, contacts: 0, rooms: Vec::new() };
        told.fresh(&ends.ground, "before any end").await?;
        let all = cases(&mut ends);
        let chosen = ends.choose(all, count - first.len())?;
        for (n, (story, points)) in chosen.into_iter().enumerate() {
            println!("end {n}: {story:?} {points:?}");
            let done = told.round(&mut ends, n, story, &points).await;
            done.with_context(|| format!("end {n}: {story:?} {points:?}"))?;
        }
        told.judge_all().await?;
        let steps = steps_of(&ends.ground.out.kept())?;
        println!(
            "{count} ends: each text read once and in order; {steps} steps of ratchets, none used twice"
        );
        ends.ground.end_after_kills().await
    })
    .await
}

/// What was told so far.
struct Told<'a> {
    ann: Person<'a>,
    contacts: u32,
    /// Room, mark, and the texts that have to stand there.
    rooms: Vec<(String, String, Vec<String>)>,
}

impl Told<'_> {
    /// A chat that said nothing yet.
    fn chat(&mut self) -> String {
        self.contacts += 1;
        format!("c{}", self.contacts)
    }

    /// A chat that says something for the first time, and its room.
    async fn fresh(&mut self, ground: &Ground, words: &str) -> Result<(String, String)> {
        let chat = self.chat();
        ground.sim.say("account0", &chat, &chat, words).await?;
        let room = self.ann.expect_text(words, ARRIVE).await?.room;
        Ok((chat, room))
    }

    async fn round(&mut self, ends: &mut Ends, n: usize, story: Story, points: &[Point]) -> Result<()> {
        let mark = format!("s{n}-");
        let text = |k: usize| format!("{mark}{k} 消息");
        let (chat, room) = match story {
            Story::Fresh => (self.chat(), String::new()),
            _ => self.fresh(&ends.ground, &format!("open {mark}")).await?,
        };
        let ann = self.ann.clone();
        if matches!(story, Story::Back | Story::Down) {
            match story {
                Story::Down => {
                    ends.ground.gateway.kill().await?;
                    for k in 0..2 {
                        ann.say(&room, &text(k)).await?;
                    }
                    ends.end_starts_at(points, &mark).await?;
                    ends.run().await?;
                }
                _ => {
                    let cause = async |_: &Ground| {
                        ann.say(&room, &text(0)).await?;
                        ann.say(&room, &text(1)).await.map(drop)
                    };
                    ends.end_at(points, &mark, cause).await?;
                }
            }
            until_heard(&ends.ground, &mark, 2).await?;
            ann.say(&room, &text(2)).await?;
            until_heard(&ends.ground, &mark, 3).await?;
            let (have, wanted) = (heard(&ends.ground, &mark).await?, (0..3).map(text).collect::<Vec<_>>());
            ensure!(have == wanted, "said {wanted:?}, heard {have:?}");
            return Ok(());
        }
        let cause = async |ground: &Ground| {
            ground.sim.say("account0", &chat, &chat, &text(0)).await?;
            ground.sim.say("account0", &chat, &chat, &text(1)).await.map(|_| ())
        };
        ends.end_at(points, &mark, cause).await?;
        ends.ground.sim.say("account0", &chat, &chat, &text(2)).await?;
        // A key may come after what it reads: the last text is not always the last to be read.
        for k in 0..3 {
            ann.expect_text(&text(k), ARRIVE).await?;
        }
        let room = ann.expect_text(&text(2), ARRIVE).await?.room;
        self.rooms.push((room, mark.clone(), (0..3).map(text).collect()));
        self.judge(self.rooms.last().context("no room")?).await
    }

    async fn judge(&self, (room, mark, wanted): &(String, String, Vec<String>)) -> Result<()> {
        let have = texts(&self.ann, room, mark).await?;
        ensure!(have == *wanted, "said {wanted:?}, shown {have:?}");
        Ok(())
    }

    /// Nothing came later that had come before, and nothing stays shut.
    async fn judge_all(&self) -> Result<()> {
        for room in &self.rooms {
            self.judge(room).await.with_context(|| room.1.clone())?;
        }
        let seen = self.ann.seen();
        let ids = |is_shut: bool| -> BTreeSet<String> {
            let of = seen.iter().filter(|seen| seen.part == "timeline");
            let of = of.filter(|seen| (seen.kind() == "m.room.encrypted") == is_shut);
            of.map(|seen| seen.id().to_owned()).collect()
        };
        let shut: Vec<String> = ids(true).difference(&ids(false)).cloned().collect();
        ensure!(shut.is_empty(), "{} events were never read: {shut:?}", shut.len());
        Ok(())
    }
}

/// How many steps of ratchets these events were encrypted with; an error when one of them encrypted two texts.
fn steps_of(bodies: &[Bytes]) -> Result<usize> {
    let mut steps: BTreeMap<(String, u64), String> = BTreeMap::new();
    for body in bodies {
        let content: Value = serde_json::from_slice(body).context("read what was sent")?;
        let word =
            |name: &str| content[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let (session, ciphertext) = (word("session_id")?, word("ciphertext")?);
        let step = step_of(&ciphertext)?;
        if let Some(before) = steps.insert((session.clone(), step), ciphertext.clone()) {
            ensure!(before == ciphertext, "step {step} of {session} was used twice");
        }
    }
    ensure!(!steps.is_empty(), "nothing was encrypted");
    Ok(steps.len())
}

/// The step of the ratchet in an encrypted message: behind a byte for the version and one that names the field, a
/// number of seven bits a byte. Source: the Megolm specification, "Message format".
fn step_of(ciphertext: &str) -> Result<u64> {
    let bytes = STANDARD_NO_PAD.decode(ciphertext.trim_end_matches('=')).context("read a ciphertext")?;
    ensure!(bytes.first() == Some(&3) && bytes.get(1) == Some(&8), "another format: {:?}", bytes.get(..2));
    let mut step = 0;
    for (at, byte) in bytes.iter().skip(2).take(9).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(step)
}
