//! Encrypted rooms, with clients that encrypt (matrix-sdk): one as most people have it, and one that has
//! nothing to do with devices that their owners have not signed. `cargo xtask test matrix` builds them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::cut::Cut;
use wxgate_tests::homeserver::{DOMAIN, tell};
use wxgate_tests::matrix::{Ground, SOON};
use wxgate_tests::people::{self, Person, Seen};
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::truth::Entry;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(420);
/// Until everything has arrived after something died.
pub(crate) const ARRIVE: Duration = Duration::from_secs(120);
/// A file that is large.
const LARGE_BYTES: usize = 20 << 20;
/// What the program may grow by while such files pass: buffers of sockets, pieces, what the allocator keeps. A
/// copy of one of them would be all of it.
const GROWTH_BYTES: u64 = 12 << 20;
/// Every room is encrypted from its beginning.
const ALWAYS: &str = "encryption = \"default\"\n";

/// Tells a story where somebody encrypts; matrix-nio as it is installed for the others does not.
pub(crate) async fn tell_sealed(name: &str, story: impl AsyncFnOnce(&Scratch) -> Result<()>) -> Result<()> {
    tell_sealed_within(name, LIMIT, story).await
}

/// The same for one that may take so long.
pub(crate) async fn tell_sealed_within(
    name: &str,
    limit: Duration,
    story: impl AsyncFnOnce(&Scratch) -> Result<()>,
) -> Result<()> {
    if !people::encrypts() {
        eprintln!(
            "story {name} was NOT told: nobody here encrypts; cargo xtask test matrix builds somebody who does"
        );
        return Ok(());
    }
    tell(name, limit, story).await
}

pub(crate) async fn ground(scratch: &Scratch, accounts: u32) -> Result<Ground> {
    Ground::set_with(scratch, SimOptions { accounts, ..SimOptions::default() }, ALWAYS).await
}

/// Waits for something that a client said to the service.
pub(crate) async fn heard(
    ground: &Ground,
    account: &str,
    what: &str,
    fits: impl Fn(&Entry) -> bool,
) -> Result<Entry> {
    until(what, ARRIVE, async || {
        let ledger = ground.sim.ledger(account).await?;
        Ok(ledger.into_iter().find(|entry| entry.is_heard() && fits(entry)))
    })
    .await
}

/// What the simulated people heard that begins with `mark`, in its order.
async fn heard_all(ground: &Ground, mark: &str) -> Result<Vec<String>> {
    let ledger = ground.sim.ledger("account0").await?;
    let heard = ledger.into_iter().filter(|entry| entry.is_heard() && entry.text.starts_with(mark));
    Ok(heard.map(|entry| entry.text).collect())
}

/// That it stands on the homeserver as something that the homeserver cannot read; gives it.
pub(crate) async fn is_sealed(person: &Person<'_>, seen: &Seen) -> Result<Value> {
    let room = seen.room.replace('!', "%21").replace(':', "%3A");
    let id = seen.id().replace('$', "%24");
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{id}");
    let event = person.ask("GET", &path, Value::Null).await?;
    ensure!(event["type"] == "m.room.encrypted", "it is not encrypted: {}", event["type"]);
    ensure!(!event.to_string().contains(seen.body()) || seen.body().is_empty(), "it can be read");
    ensure!(event["sender"] == seen.sender(), "another sender");
    Ok(event)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_and_a_strict_client_read_every_ghost_and_are_read() -> Result<()> {
    tell_sealed("sealed", async |scratch| {
        let ground = ground(scratch, 2).await?;
        for (name, account, strict) in [("ann", "account0", false), ("sue", "account1", true)] {
            let person = ground.people.enter_as(name, "register", json!({"strict": strict})).await?;
            ground.at_home(&person, account).await?;
            reads_and_is_read(&ground, &person, account)
                .await
                .with_context(|| format!("{name} ({strict})"))?;
        }
        ground.end().await
    })
    .await
}

/// A client without signatures, of another library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_nio_reads_every_ghost_and_is_read() -> Result<()> {
    if people::encrypts() {
        // Told where matrix-nio plays people.
        return Ok(());
    }
    tell("sealed-nio", LIMIT, async |scratch| {
        let ground = ground(scratch, 1).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"encrypts": true})).await?;
        ground.at_home(&ann, "account0").await?;
        reads_and_is_read(&ground, &ann, "account0").await?;
        large_files(ground, &ann).await
    })
    .await
}

/// Files that are never whole in the gateway's memory, though it encrypts and decrypts them.
async fn large_files(mut ground: Ground, ann: &Person<'_>) -> Result<()> {
    let room = ann.expect_text("你好 👋 in confidence", SOON).await?.room;
    let earlier = heard(&ground, "account0", "a file", |entry| entry.kind == "file").await?.msg_id;
    let before = ground.gateway.program()?.peak_rss_bytes()?;
    ground.sim.fault(&json!({"endpoint": "webwxgetmedia", "fault": {"oversized": LARGE_BYTES}})).await?;
    ground.sim.tell("account0", "c1", "c1", json!({"kind": "file", "name": "large.bin"})).await?;
    let is_it = |seen: &Seen| seen.content()["info"]["size"] == LARGE_BYTES;
    let seen = ann.expect("a large file", ARRIVE, is_it).await?;
    let file = ann.download_sealed(&seen.content()["file"]).await?;
    ensure!(file.len() == LARGE_BYTES && file.iter().all(|byte| *byte == b' '), "other bytes");
    let inward = ground.gateway.program()?.peak_rss_bytes()?;
    let bytes: Vec<u8> = (0..=250).cycle().take(LARGE_BYTES).collect();
    ann.send_file(&room, "large too.bin", "application/octet-stream", &bytes).await?;
    let fits = |entry: &Entry| entry.kind == "file" && entry.msg_id != earlier;
    let large = heard(&ground, "account0", "the large file", fits).await?;
    ensure!(ground.sim.media("account0", large.msg_id).await? == bytes, "other bytes");
    let outward = ground.gateway.program()?.peak_rss_bytes()?;
    println!("peak memory: {before} before, {inward} after a file to Matrix, {outward} after one to WeChat");
    ensure!(outward < before + GROWTH_BYTES, "memory grew from {before} over {inward} to {outward} bytes");
    ground.end().await
}

async fn reads_and_is_read(ground: &Ground, person: &Person<'_>, account: &str) -> Result<()> {
    // A private chat, both ways.
    ground.sim.say(account, "c1", "c1", "你好 👋 in confidence").await?;
    let first = person.expect_text("你好 👋 in confidence", SOON).await?;
    is_sealed(person, &first).await?;
    let room = first.room.clone();
    let said = person.say(&room, "an answer in confidence").await?;
    let fits = |entry: &Entry| entry.text == "an answer in confidence" && entry.chat == "c1";
    heard(ground, account, "the answer", fits).await?;
    // What the owner says on the phone is read as well.
    ground.sim.say(account, "c1", "self", "said on the phone").await?;
    is_sealed(person, &person.expect_text("said on the phone", SOON).await?).await?;
    // A reply names what it answers to; its words are in it.
    person.reply(&room, first.id(), "a reply").await?;
    heard(ground, account, "the reply", |entry| entry.text.contains("a reply")).await?;
    // Taken back on both sides.
    person.redact(&room, &said).await?;
    heard(ground, account, "the recall", |entry| entry.kind == "recall").await?;
    // Several people of a group, each with a device of their own.
    let group = ground.sim.person(account, "g0").await?;
    for (n, member) in group.members.iter().filter(|member| member.as_str() != "self").take(3).enumerate() {
        let words = format!("member {n} in confidence");
        ground.sim.say(account, "g0", member, &words).await?;
        is_sealed(person, &person.expect_text(&words, SOON).await?).await?;
    }
    files(ground, person, account, &room).await
}

/// Files both ways: what the homeserver has is not what was sent.
async fn files(ground: &Ground, person: &Person<'_>, account: &str, room: &str) -> Result<()> {
    for (kind, shown) in [
        (json!({"kind": "image"}), "m.image"),
        (json!({"kind": "video"}), "m.video"),
        (json!({"kind": "sticker"}), "m.sticker"),
        (json!({"kind": "file", "name": "报告 2026.pdf"}), "m.file"),
    ] {
        let mark = person.mark();
        let id = ground.sim.tell(account, "c1", "c1", kind).await?;
        let fits =
            |seen: &Seen| seen.room == room && (seen.content()["msgtype"] == shown || seen.kind() == shown);
        let seen = person.expect_after(mark, shown, SOON, fits).await?;
        ensure!(seen.content().get("url").is_none(), "it stands there in clear: {}", seen.event);
        let file = person.download_sealed(&seen.content()["file"]).await?;
        ensure!(file == ground.sim.media(account, id).await?, "the bytes of {shown} differ");
        if let Some(small) = seen.content()["info"].get("thumbnail_file") {
            person.download_sealed(small).await.context("the small copy")?;
        }
        ensure!(seen.content()["info"].get("thumbnail_url").is_none(), "a small copy in clear");
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    person.send_file(room, "名字 1.bin", "application/octet-stream", &bytes).await?;
    let file = heard(ground, account, "the file", |entry| entry.kind == "file").await?;
    ensure!(ground.sim.media(account, file.msg_id).await? == bytes, "other bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_the_gateway_was_down_is_read_in_order_when_it_is_back() -> Result<()> {
    tell_sealed("sealed-down", async |scratch| {
        let mut ground = ground(scratch, 1).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({})).await?;
        ground.at_home(&ann, "account0").await?;
        ground.sim.say("account0", "c1", "c1", "before").await?;
        let room = ann.expect_text("before", SOON).await?.room;
        ground.gateway.kill().await?;
        // A new key as well, which the gateway is given while it is down.
        let mut wanted = Vec::new();
        for n in 0..120 {
            wanted.push(format!("down {n:03}"));
            ann.say(&room, &wanted[n]).await?;
        }
        ground.sim.say("account0", "c1", "c1", "meanwhile").await?;
        ground.gateway.run().await?;
        ann.expect_text("meanwhile", ARRIVE).await?;
        until("all of it", LIMIT, async || {
            let have = heard_all(&ground, "down ").await?;
            Ok((have.len() >= wanted.len()).then_some(()))
        })
        .await?;
        let have = heard_all(&ground, "down ").await?;
        ensure!(have == wanted, "said {wanted:?}, heard {have:?}");
        // The same when the homeserver goes.
        ground.homeserver.kill().await?;
        ground.sim.say("account0", "c2", "c2", "to a homeserver that is away").await?;
        ground.homeserver.run().await?;
        is_sealed(&ann, &ann.expect_text("to a homeserver that is away", ARRIVE).await?).await?;
        ann.say(&room, "and back").await?;
        heard(&ground, "account0", "the answer", |entry| entry.text == "and back").await?;
        ground.end_after_kills().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_come_and_go_read_what_is_theirs() -> Result<()> {
    tell_sealed("sealed-devices", async |scratch| {
        let ground = ground(scratch, 1).await?;
        let ann = ground.people.enter_as("ann", "register", json!({})).await?;
        ground.at_home(&ann, "account0").await?;
        ground.sim.say("account0", "c1", "c1", "to one device").await?;
        let room = ann.expect_text("to one device", SOON).await?.room;
        let phone = ground.people.enter_as("ann-phone", "login", json!({"user": "ann"})).await?;
        // Whoever has heard a device knows it.
        phone.say(&room, "from the second").await?;
        heard(&ground, "account0", "the second", |entry| entry.text == "from the second").await?;
        ground.sim.say("account0", "c1", "c1", "to two devices").await?;
        for client in [&ann, &phone] {
            is_sealed(client, &client.expect_text("to two devices", SOON).await?).await?;
        }
        phone.act("logout", json!({})).await?;
        ground.sim.say("account0", "c1", "c1", "to one device again").await?;
        ann.expect_text("to one device again", SOON).await?;
        // A room that somebody encrypts by hand is so for everybody from then on.
        let desk = ann.create("in clear", &["@wechatbot:localhost"], true).await?;
        let is_bot =
            |seen: &Seen| seen.room == desk && seen.event["state_key"] == format!("@wechatbot:{DOMAIN}");
        ann.expect("the bot", SOON, is_bot).await?;
        ensure!(ground.ask(&ann, &desk, "ping").await?.body().contains("online"), "not online");
        ann.act("encrypt", json!({"room": desk})).await?;
        let answer = ground.ask(&ann, &desk, "ping").await?;
        is_sealed(&ann, &answer).await?;
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_at_any_step_of_a_first_message_says_it_once() -> Result<()> {
    tell_sealed("sealed-gaps", async |scratch| {
        let mut ground = ground(scratch, 1).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"strict": true})).await?;
        ground.at_home(&ann, "account0").await?;
        let steps = [
            "/keys/query",
            "/keys/upload",
            "/keys/device_signing/upload",
            "/keys/claim",
            "/sendToDevice/",
            "/send/m.room.encrypted/",
        ];
        // A chat of its own for each, so that each begins with everything.
        for (n, step) in steps.into_iter().enumerate() {
            let (chat, words) = (format!("c{}", n + 1), format!("gap at {step}"));
            ground.out.arm(step, Cut::After);
            ground.sim.say("account0", &chat, &chat, &words).await?;
            ground
                .out
                .cut(u32::try_from(n)? + 1, SOON)
                .await
                .with_context(|| format!("nothing was cut at {step}"))?;
            ground.restart_gateway().await?;
            let seen = ann.expect_text(&words, ARRIVE).await.with_context(|| step.to_owned())?;
            is_sealed(&ann, &seen).await?;
            ground.sim.say("account0", &chat, &chat, &format!("after {step}")).await?;
            ann.expect_text(&format!("after {step}"), ARRIVE).await?;
            let times = ann.seen().iter().filter(|seen| seen.is_said() && seen.body() == words).count();
            ensure!(times == 1, "{words} is there {times} times");
        }
        ground.end_after_kills().await
    })
    .await
}
