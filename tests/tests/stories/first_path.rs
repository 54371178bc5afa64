//! The first whole path: WeChat chats are read and answered in IRC clients.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, login};
use wxgate_tests::http::Answer;
use wxgate_tests::irc::{IrcClient, Line, Login};
use wxgate_tests::scratch::tell;
use wxgate_tests::wait::until;

use wxgate_tests::stage::{Stage, assert_tagged};

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_of_two_accounts_are_read_and_answered() -> Result<()> {
    tell("path", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 2).await?;
        let (mut ann, mut other) = (stage.client(0, "irssi").await?, stage.client(1, "weechat").await?);
        private_chat(&stage, &mut ann).await?;
        group(&stage, &mut ann).await?;
        image(&stage, &mut ann).await?;
        phone(&stage, &mut ann).await?;
        stage.sim.say("account1", "c2", "c2", "only for the other").await?;
        other.expect_text("only for the other").await?;
        ensure!(other.said().count() == 1, "{:?}", other.said().collect::<Vec<_>>());
        ann.drain().await?;
        ensure!(!ann.said().any(|line| line.last().contains("only for")), "accounts are mixed");
        stage.end().await
    })
    .await
}

/// Somebody writes; the answer reaches them and comes back as an echo.
async fn private_chat(stage: &Stage, client: &mut IrcClient) -> Result<()> {
    stage.sim.say("account0", "c1", "c1", "你好 👋 first\nsecond <line> &amp; R&D").await?;
    let first = client.expect_text("你好 👋 first").await?;
    assert_tagged(&first)?;
    ensure!(first.param(0) == client.nick, "{first}");
    ensure!(first.source.host == "wechat", "{first}");
    client.expect_text("second <line> &amp; R&D").await?;
    let nick = first.source.nick;
    client.say(&nick, "typed 你好 🎈 <b>&amp;").await?;
    let echo = client.expect_text("typed 你好 🎈 <b>&amp;").await?;
    assert_tagged(&echo)?;
    ensure!(echo.source.nick == client.nick && echo.param(0) == nick, "{echo}");
    let heard = stage.sim.heard("account0", "typed 你好 🎈 <b>&amp;").await?;
    ensure!(heard.chat == "c1" && heard.repeats == 0, "{heard:?}");
    Ok(())
}

async fn group(stage: &Stage, client: &mut IrcClient) -> Result<()> {
    let members = stage.sim.person("account0", "g0").await?.members;
    let speaker = members.iter().find(|who| *who != "self").context("an empty group")?;
    stage.sim.say("account0", "g0", speaker, "群里 🎉 说话").await?;
    let line = client.expect_text("群里 🎉 说话").await?;
    assert_tagged(&line)?;
    let channel = line.param(0).to_owned();
    ensure!(channel.starts_with('#') && line.source.nick != client.nick, "{line}");
    client.send(&format!("NAMES {channel}")).await?;
    let names = client.expect("353", |line| line.verb == "353" && line.param(2) == channel).await?;
    ensure!(names.last().contains(&line.source.nick), "{names}");
    client.say(&channel, "大家好 from IRC").await?;
    client.expect_text("大家好 from IRC").await?;
    let heard = stage.sim.heard("account0", "大家好 from IRC").await?;
    ensure!(heard.chat == "g0", "{heard:?}");
    Ok(())
}

/// The link serves the bytes that were sent, and nothing without its signature.
async fn image(stage: &Stage, client: &mut IrcClient) -> Result<()> {
    let id = stage.sim.tell("account0", "c1", "c1", json!({"kind": "image"})).await?;
    let line = client.expect("an image", |line| line.is_said() && line.last().contains("http://")).await?;
    let link = link_of(&line)?;
    let answer = fetched(stage.gateway(), &link).await?;
    ensure!(answer.body == stage.sim.media("account0", id).await?, "the bytes differ");
    ensure!(answer.header("content-type").starts_with("image/"), "{:?}", answer.headers);
    ensure!(answer.header("x-content-type-options") == "nosniff", "{:?}", answer.headers);
    let size = answer.body.len();
    let path = link.strip_prefix(&format!("http://{}", stage.gateway().web)).context("a link elsewhere")?;
    let part = stage.gateway().get(path, &[("range", "bytes=2-9")]).await?;
    ensure!(part.status == 206 && answer.body.slice(2..10) == part.body, "range: {} of {size}", part.status);
    for broken in ["/media/", "/media/x", &forged(path)] {
        let answer = stage.gateway().get(broken, &[]).await?;
        ensure!((400..500).contains(&answer.status), "{broken} was answered with {}", answer.status);
    }
    Ok(())
}

/// The same path with one character of the signed id changed.
fn forged(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    let at = "/media/".len() + 5;
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if *byte == b'a' { b'b' } else { b'a' };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn link_of(line: &Line) -> Result<String> {
    let link = line.last().split_whitespace().find(|word| word.starts_with("http://"));
    Ok(link.with_context(|| format!("no link in {line}"))?.to_owned())
}

/// Attachments are fetched after their message is shown: a moment may pass.
async fn fetched(gateway: &Gateway, link: &str) -> Result<Answer> {
    until(&format!("the bytes of {link}"), SOON, async || {
        let answer = gateway.open_link(link).await?;
        if answer.status == 200 { Ok(Some(answer)) } else { answer.good("the link").map(|_| None) }
    })
    .await
}

async fn phone(stage: &Stage, client: &mut IrcClient) -> Result<()> {
    stage.sim.say("account0", "c1", "self", "from my phone 手机").await?;
    let line = client.expect_text("from my phone 手机").await?;
    ensure!(line.source.nick == client.nick && line.param(0) != client.nick, "{line}");
    stage.sim.say("account0", "g0", "self", "to the group from my phone").await?;
    let line = client.expect_text("to the group from my phone").await?;
    ensure!(line.source.nick == client.nick && line.param(0).starts_with('#'), "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_clients_share_an_account_and_each_gets_what_it_missed() -> Result<()> {
    tell("clients", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let mut desk = stage.client(0, "desk").await?;
        let mut phone = IrcClient::login_sasl(&stage.gateway().irc, &login(USER, &name(0), "phone")).await?;
        stage.sim.say("account0", "c1", "c1", "for both").await?;
        let (one, two) = (desk.expect_text("for both").await?, phone.expect_text("for both").await?);
        ensure!(one.tag("msgid") == two.tag("msgid") && one.source == two.source, "{one}\n{two}");
        let asked = phone.asked();
        until("the server to ask what arrived", SOON, async || Ok((asked.get() > 0).then_some(()))).await?;
        let before = asked.get();
        desk.say(&one.source.nick, "typed at the desk").await?;
        let (one, two) =
            (desk.expect_text("typed at the desk").await?, phone.expect_text("typed at the desk").await?);
        ensure!(one.tag("msgid") == two.tag("msgid"), "{one}\n{two}");
        // What a client has confirmed is not shown to it again.
        until("the server to ask again", SOON, async || Ok((asked.get() > before).then_some(()))).await?;
        phone.drain().await?;
        phone.send("QUIT :bye").await?;
        phone.expect_close(SOON).await?;
        stage.sim.burst("account0", "c1", "c1", "missed", 5).await?;
        desk.expect_text("missed 4").await?;
        let mut phone = stage.client(0, "phone").await?;
        phone.expect_text("missed 4").await?;
        let shown: Vec<&str> = phone.said().map(Line::last).collect();
        ensure!(shown == ["missed 0", "missed 1", "missed 2", "missed 3", "missed 4"], "{shown:?}");
        let ids: Vec<&str> = phone.said().map(|line| line.tag("msgid")).collect();
        let at_desk: Vec<&str> = desk
            .said()
            .filter(|line| line.last().starts_with("missed"))
            .map(|line| line.tag("msgid"))
            .collect();
        ensure!(ids == at_desk, "msgids differ: {ids:?} {at_desk:?}");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_the_password() -> Result<()> {
    tell("password", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let irc = &stage.gateway().irc;
        let wrong = Login { password: "guess", ..login(USER, "account0", "x") };
        ensure!(IrcClient::login(irc, &wrong).await.is_err(), "a wrong password was taken");
        ensure!(IrcClient::login_sasl(irc, &wrong).await.is_err(), "a wrong password was taken by SASL");
        let stranger = Login { user: "bob", ..login(USER, "account0", "x") };
        ensure!(IrcClient::login(irc, &stranger).await.is_err(), "a stranger got in");
        stage.gateway().add_user("bob").await?;
        ensure!(IrcClient::login(irc, &stranger).await.is_err(), "bob sees the account of {USER}");
        let mut right = stage.client(0, "x").await?;
        right.drain().await?;
        ensure!(!stage.gateway().logged().contains("guess"), "a password is in the log");
        stage.end().await
    })
    .await
}
