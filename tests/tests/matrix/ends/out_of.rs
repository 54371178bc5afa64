//! Out of rooms: from a transaction of the homeserver to WeChat, and what its sender is told.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::cut::Hold;
use wxgate_tests::fault::{About, Act, Call, Order};
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground};
use wxgate_tests::people::Person;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::truth::Entry;
use wxgate_tests::wait::until;

use super::{ARRIVE, Case, Ends, HOLDS, Point, extent, heard, sync, until_heard};

/// Ends of an everyday run.
const EVERYDAY: usize = 10;
const STATUS: &str = "com.beeper.message_send_status";
/// A file that WeChat takes in one piece.
const FILE_BYTES: usize = 40_000;

/// What is said before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// Two texts.
    Texts,
    /// A file between two texts.
    File,
    /// A text is taken back, and another one said.
    Recall,
}

const fn call(calls: &'static [Call], words: &'static str, act: Act) -> Order {
    Order { calls, about: About::Words(words), act, skip: 0 }
}

/// All of it.
fn cases() -> Vec<Case<Story>> {
    let mut all = Vec::new();
    let mut add = |story, point| all.push((story, vec![point]));
    for hold in HOLDS {
        add(Story::Texts, Point::Told("", hold));
        add(Story::Texts, Point::Asks("POST /receipt/m.read/", 0, hold));
        add(Story::Texts, Point::Asks("PUT /send/com.beeper.message_send_status/", 0, hold));
        add(Story::File, Point::Asks("GET /media/download/", 0, hold));
        add(Story::Recall, Point::Told("m.room.redaction", hold));
    }
    // The transaction's own commit, and those that follow it.
    for (act, skip) in [(Act::DieBefore, 0), (Act::DieAfter, 0), (Act::DieBefore, 1), (Act::DieAfter, 1)] {
        add(Story::Texts, Point::Behind("", sync(act, skip)));
        add(Story::File, Point::Behind("", sync(act, skip)));
        add(Story::Recall, Point::Behind("m.room.redaction", sync(act, skip)));
    }
    for act in [Act::DieBefore, Act::DieHalfway, Act::DieAfter] {
        let send = |words| Point::Behind("", call(&[Call::Send], words, act));
        add(Story::Texts, send("/webwxsendmsg?"));
        add(Story::File, send("/webwxuploadmedia?"));
        add(Story::File, send("/webwxsendappmsg?"));
        add(Story::Recall, Point::Behind("m.room.redaction", call(&[Call::Send], "/webwxrevokemsg?", act)));
    }
    let answered = call(&[Call::Recv], "\"LocalID\"", Act::DieAfter);
    add(Story::Texts, Point::Behind("", answered));
    add(Story::File, Point::Behind("", answered));
    // Ended again when it is told the same again.
    all.push((Story::Texts, vec![Point::Told("", Hold::Answered), Point::Told("", Hold::Answered)]));
    all.push((Story::Texts, vec![Point::Told("", Hold::Before), Point::Told("", Hold::Answered)]));
    let repeated = Point::Calls(call(&[Call::Send], "/webwxsendmsg?", Act::DieAfter));
    all.push((Story::Texts, vec![Point::Behind("", answered), repeated]));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_in_a_room_is_heard_once_wherever_the_gateway_ends() -> Result<()> {
    let (count, limit) = extent(EVERYDAY)?;
    tell("ends-out-of", limit, async |scratch| {
        let world = SimOptions { accounts: 1, ..Default::default() };
        let mut ends = Ends::begin(scratch, world, "").await?;
        ends.run().await?;
        let people = ends.ground.homeserver.people()?;
        let ann = people.register("ann").await?;
        ends.ground.at_home(&ann, "account0").await?;
        ends.ground.sim.say("account0", "c1", "c1", "hello").await?;
        let room = ann.expect_text("hello", ARRIVE).await?.room;
        let chosen = ends.choose(cases(), count)?;
        for (n, (story, points)) in chosen.into_iter().enumerate() {
            println!("end {n}: {story:?} {points:?}");
            let done = round(&mut ends, &ann, &room, n, (story, &points)).await;
            done.with_context(|| format!("end {n}: {story:?} {points:?}"))?;
        }
        // Nothing came later that had come before.
        let ledger = ends.ground.sim.ledger("account0").await?;
        for n in 0..count {
            let mark = format!("o{n}-");
            let texts = ledger.iter().filter(|entry| entry.is_heard() && entry.text.starts_with(&mark));
            let texts = texts.count();
            ensure!(texts == 3, "{texts} texts {mark} were heard in the end");
        }
        println!("{count} ends: each text once, in order, and answered");
        ends.ground.end_after_kills().await
    })
    .await
}

async fn round(
    ends: &mut Ends,
    ann: &Person<'_>,
    room: &str,
    n: usize,
    (story, points): (Story, &[Point]),
) -> Result<()> {
    let mark = format!("o{n}-");
    let text = |k: usize| format!("{mark}{k} 消息");
    let mut said = Vec::new();
    if story == Story::Recall {
        said.push(ann.say(room, &text(0)).await?);
        until_heard(&ends.ground, &mark, 1).await?;
        answered(ann, room, &said).await?;
    }
    let bytes: Vec<u8> = (0..=255).cycle().skip(n).take(FILE_BYTES).collect();
    let before = ends.ground.sim.ledger("account0").await?.len();
    let cause = async |_: &Ground| {
        match story {
            Story::Recall => drop(ann.redact(room, &said[0]).await?),
            _ => said.push(ann.say(room, &text(0)).await?),
        }
        if story == Story::File {
            said.push(send_file(ann, room, &format!("file {n}.bin"), &bytes).await?);
        }
        said.push(ann.say(room, &text(1)).await?);
        Ok(())
    };
    ends.end_at(points, &mark, cause).await?;
    // What is under way arrives before more is said; why is told in `sealing.rs`.
    until_heard(&ends.ground, &mark, 2).await?;
    said.push(ann.say(room, &text(2)).await?);
    until_heard(&ends.ground, &mark, 3).await?;
    let have = heard(&ends.ground, &mark).await?;
    let wanted: Vec<String> = (0..3).map(text).collect();
    ensure!(have == wanted, "said {wanted:?}, heard {have:?}");
    let ledger = ends.ground.sim.ledger("account0").await?;
    let since = ledger.get(before..).unwrap_or_default();
    let heard: Vec<&Entry> = since.iter().filter(|entry| entry.is_heard()).collect();
    let files: Vec<&&Entry> = heard.iter().filter(|entry| entry.kind == "file").collect();
    let recalls = heard.iter().filter(|entry| entry.kind == "recall").count();
    match story {
        Story::File => {
            let [file] = files[..] else { anyhow::bail!("{} files were heard", files.len()) };
            ensure!(ends.ground.sim.media("account0", file.msg_id).await? == bytes, "other bytes");
            let place = |fits: &dyn Fn(&Entry) -> bool| heard.iter().position(|entry| fits(entry));
            let at = place(&|entry| entry.kind == "file");
            ensure!(at > place(&|entry| entry.text == text(0)), "the file came before the first text");
            ensure!(at < place(&|entry| entry.text == text(1)), "the file came behind the second text");
        }
        Story::Recall => ensure!(files.is_empty() && recalls >= 1, "{recalls} recalls"),
        Story::Texts => ensure!(files.is_empty() && recalls == 0, "{heard:?}"),
    }
    answered(ann, room, &said).await
}

async fn send_file(ann: &Person<'_>, room: &str, name: &str, bytes: &[u8]) -> Result<String> {
    let url = ann.upload(bytes, "application/octet-stream", name).await?;
    let info = json!({"mimetype": "application/octet-stream", "size": bytes.len()});
    ann.send(room, json!({"msgtype": "m.file", "body": name, "url": url, "info": info})).await
}

/// Waits until whoever said these was told of each, once, that it stands there; or that nobody knows.
async fn answered(ann: &Person<'_>, room: &str, said: &[String]) -> Result<()> {
    until("an answer to everything", ARRIVE, async || {
        let events = ann.history(room).await?;
        for id in said {
            let of_it = |event: &&serde_json::Value| {
                event["type"] == STATUS && event["content"]["m.relates_to"]["event_id"] == id.as_str()
            };
            let told: Vec<_> = events.iter().filter(of_it).collect();
            let [status] = told[..] else { anyhow::bail!("{} answers to {id}", told.len()) };
            let word = status["content"]["status"].as_str().unwrap_or_default();
            ensure!(word == "SUCCESS" || word == "FAIL_RETRIABLE", "{id}: {}", status["content"]);
        }
        Ok(Some(()))
    })
    .await?;
    let events = ann.history(room).await?;
    let sorry = events.iter().find(|event| {
        let body = event["content"]["body"].as_str().unwrap_or_default();
        event["sender"] == BOT && body.contains("was not delivered")
    });
    ensure!(sorry.is_none(), "it arrived, but: {sorry:?}");
    Ok(())
}
