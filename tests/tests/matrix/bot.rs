//! An ordinary account in the place of the application service (`matrix.bot`), in rooms that are encrypted, with
//! somebody whose client encrypts as well (matrix-nio).

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::cut::Wire;
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::homeserver::{DOMAIN, Homeserver, tell};
use wxgate_tests::http::{self, Place};
use wxgate_tests::matrix::is_join;
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(300);
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// What takes its time because a homeserver wants it so: some thirty things to say at one every five seconds.
const SLOW: Duration = Duration::from_secs(200);
pub(crate) const ACCOUNT: &str = "account0";
pub(crate) const PASSWORD: &str = "bot sesame";

/// Makes the account of the bot.
pub(crate) async fn register(homeserver: &Homeserver) -> Result<()> {
    let place = Place::Tcp(homeserver.url().trim_start_matches("http://").to_owned());
    let account = json!({
        "username": "bot", "password": PASSWORD, "inhibit_login": true, "auth": {"type": "m.login.dummy"},
    });
    http::json(&place, "POST", "/_matrix/client/v3/register", &account, SOON).await.map(drop)
}

/// The account of the bot, and the gateway that drives it.
pub(crate) async fn drive(
    scratch: &Scratch,
    homeserver: &Homeserver,
    url: &str,
    sim: &Sim,
) -> Result<Gateway> {
    let mut gateway = prepare(scratch, homeserver, url, sim).await?;
    gateway.run().await?;
    Ok(gateway)
}

/// The same, with a gateway that was not started yet.
pub(crate) async fn prepare(
    scratch: &Scratch,
    homeserver: &Homeserver,
    url: &str,
    sim: &Sim,
) -> Result<Gateway> {
    register(homeserver).await?;
    let file = scratch.join("bot.password");
    std::fs::write(&file, PASSWORD).context("write the password")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).context("keep it to us")?;
    let more = format!(
        "[matrix.bot]\nenabled = true\nhomeserver = {:?}\nuser = \"@bot:{DOMAIN}\"\npassword_file = {file:?}\n\
         permissions = {{ {DOMAIN:?} = \"user\" }}\n",
        url
    );
    Gateway::prepare(scratch, &sim.url(), &GatewayOptions { more, ..GatewayOptions::default() })
}

/// That an event stands on the homeserver as something that it cannot read.
async fn is_sealed(person: &Person<'_>, seen: &Seen) -> Result<()> {
    let (room, id) = (seen.room.replace('!', "%21").replace(':', "%3A"), seen.id().replace('$', "%24"));
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{id}");
    let event = person.ask("GET", &path, Value::Null).await?;
    ensure!(event["type"] == "m.room.encrypted", "it can be read there: {event}");
    Ok(())
}

/// A file of an event, which stands on the homeserver as something that it cannot read.
async fn file_of(person: &Person<'_>, seen: &Seen) -> Result<Vec<u8>> {
    is_sealed(person, seen).await?;
    ensure!(seen.content().get("url").is_none(), "it stands there in clear: {}", seen.event);
    person.download_sealed(&seen.content()["file"]).await
}

/// Has somebody invite the bot into a room of their own, and it comes.
pub(crate) async fn invite(person: &Person<'_>, bot: &str) -> Result<String> {
    let order = json!({"name": "desk", "invite": [bot], "direct": true, "encrypted": true});
    let desk = person.act("create", order).await?["room"].as_str().context("no room")?.to_owned();
    person.expect("the bot to come", SOON, |seen| is_join(seen, &desk, bot)).await?;
    Ok(desk)
}

/// Signs an account in by the code that the bot shows.
pub(crate) async fn sign_in(person: &Person<'_>, sim: &Sim, desk: &str) -> Result<()> {
    let mark = person.mark();
    person.say(desk, "login").await?;
    let is_code = |seen: &Seen| seen.room == desk && seen.content()["msgtype"] == "m.image";
    let code = person.expect_after(mark, "a code", SOON, is_code).await?;
    let picture = file_of(person, &code).await?;
    ensure!(picture.starts_with(b"\x89PNG"), "no picture");
    let logins = sim.logins().await?;
    let uuid = logins.last().and_then(|login| login["uuid"].as_str()).context("no login")?.to_owned();
    sim.scan(&uuid, ACCOUNT).await?;
    person.expect_after(mark, "to be asked", SOON, |seen| seen.body().contains("confirm")).await?;
    sim.confirm(&uuid).await?;
    person.expect_after(mark, "to be online", SOON, |seen| seen.body().contains("is online")).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_account_brings_words_and_files_into_encrypted_rooms_and_back() -> Result<()> {
    tell("bot", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = drive(scratch, &homeserver, &homeserver.url(), &sim).await?;
        let bot = format!("@bot:{DOMAIN}");
        let ann = people.enter_as("ann", "register", json!({"encrypts": true})).await?;
        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;

        sim.say(ACCOUNT, "c1", "c1", "你好 first").await?;
        let first = ann.expect("the first words", SOON, |seen| seen.body().contains("你好 first")).await?;
        is_sealed(&ann, &first).await?;
        ensure!(first.sender() == bot && first.body() != "你好 first", "nobody is named: {}", first.event);
        let room = first.room.as_str();
        let id = sim.tell(ACCOUNT, "c1", "c1", json!({"kind": "image"})).await?;
        let is_image = |seen: &Seen| seen.room == room && seen.content()["msgtype"] == "m.image";
        let image = ann.expect("the picture", SOON, is_image).await?;
        ensure!(file_of(&ann, &image).await? == sim.media(ACCOUNT, id).await?, "other bytes");

        ann.say(room, "typed back 🎈").await?;
        sim.heard(ACCOUNT, "typed back 🎈").await?;
        let bytes: Vec<u8> = (0..=255).cycle().take(70_001).collect();
        ann.send_file(room, "名字 1.bin", "application/octet-stream", &bytes).await?;
        let file = until("the file", SOON, async || {
            let ledger = sim.ledger(ACCOUNT).await?;
            Ok(ledger.into_iter().find(|entry| entry.is_heard() && entry.kind == "file"))
        })
        .await?;
        ensure!(sim.media(ACCOUNT, file.msg_id).await? == bytes, "other bytes");

        gateway.kill().await?;
        ann.say(room, "said to nobody").await?;
        gateway.run().await?;
        sim.heard(ACCOUNT, "said to nobody").await?;
        let ledger = sim.ledger(ACCOUNT).await?;
        let times = ledger.iter().filter(|entry| entry.is_heard() && entry.text == "said to nobody").count();
        ensure!(times == 1, "{times} times");
        gateway.assert_up()?;
        sim.assert_no_violations_but_lost_cookies().await?;
        homeserver.stop().await
    })
    .await
}

/// From its invitation on, where every account may say ten things at once and then one every five seconds, as Synapse
/// has it by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_account_loses_nothing_where_the_homeserver_limits_everybody() -> Result<()> {
    tell("bot-limits", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?.with_default_limits();
        let wire = Wire::to(&homeserver.address).await?;
        let url = format!("http://{}", wire.address);
        // Whoever signs in is told to go that way.
        homeserver.is_known_as(&url);
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = drive(scratch, &homeserver, &url, &sim).await?;
        let bot = format!("@bot:{DOMAIN}");
        let ann = people.enter_as("ann", "register", json!({"encrypts": true, "patient": true})).await?;
        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;

        // Ten more than it may say at once, with a picture in the middle.
        let mut wanted: Vec<String> = (0..12).map(|n| format!("one of twelve {n}")).collect();
        for (n, text) in wanted.iter().enumerate() {
            if n == 6 {
                sim.tell(ACCOUNT, "c1", "c1", json!({"kind": "image"})).await?;
            }
            sim.say(ACCOUNT, "c1", "c1", text).await?;
        }
        wanted.insert(6, "a picture".to_owned());
        let last =
            ann.expect("the last words", SLOW, |seen| seen.body().ends_with("one of twelve 11")).await?;
        let room = last.room.as_str();
        let told = |seen: &Seen| match seen.content()["msgtype"].as_str() {
            Some("m.image") => Some("a picture".to_owned()),
            _ => seen.body().rsplit_once("one of").map(|(_, rest)| format!("one of{rest}")),
        };
        let shown: Vec<String> =
            ann.seen().iter().filter(|seen| seen.is_said() && seen.room == room).filter_map(told).collect();
        ensure!(shown == wanted, "shown {shown:?}");
        ensure!(wire.limited() > 0, "nothing was limited");

        // And back, by a client that waits as long as it is told to.
        for n in 0..12 {
            ann.say(room, &format!("back {n}")).await?;
        }
        let bytes: Vec<u8> = (0..=255).cycle().take(30_001).collect();
        ann.send_file(room, "back.bin", "application/octet-stream", &bytes).await?;
        let file = until("the file", SLOW, async || {
            let ledger = sim.ledger(ACCOUNT).await?;
            Ok(ledger.into_iter().find(|entry| entry.is_heard() && entry.kind == "file"))
        })
        .await?;
        ensure!(sim.media(ACCOUNT, file.msg_id).await? == bytes, "other bytes");
        let ledger = sim.ledger(ACCOUNT).await?;
        let heard = ledger.iter().filter(|entry| entry.is_heard() && entry.text.starts_with("back "));
        let heard: Vec<&str> = heard.map(|entry| entry.text.as_str()).collect();
        let wanted: Vec<String> = (0..12).map(|n| format!("back {n}")).collect();
        ensure!(heard == wanted, "heard {heard:?}");
        gateway.assert_up()?;
        sim.assert_no_violations().await?;
        homeserver.stop().await
    })
    .await
}
