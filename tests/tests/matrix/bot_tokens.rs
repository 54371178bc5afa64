//! A homeserver that lets tokens live for seconds: the bot's account (`matrix.bot`) renews them before they are over,
//! goes on after it died in the middle of that, and signs in as the same device when its session is over. Where its
//! token came from somebody, they bring the next one of the same device.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::cut::{Cut, Wire};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::homeserver::{DOMAIN, Homeserver, tell};
use wxgate_tests::http::{self, Place};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::wait::until;

use crate::bot::{ACCOUNT, PASSWORD, SOON, drive, invite, register, sign_in};

const LIMIT: Duration = Duration::from_secs(420);
/// Source: docs of Synapse 1.163, "refreshable_access_token_lifetime" and "session_lifetime".
const SHORT: &str = "refreshable_access_token_lifetime: 12s\nsession_lifetime: 75s\n";
/// Of tokens that nobody renews. Source: the same, "nonrefreshable_access_token_lifetime".
const ALONE: &str = "nonrefreshable_access_token_lifetime: 90s\n";
const DEVICE: &str = "FORWXGATE";
const REFRESH: &str = "/refresh";
const LOGIN: &str = "/v3/login";
/// Until the session is over and another one was begun.
const OVER: Duration = Duration::from_secs(180);

/// Waits until so many requests of a kind were answered.
async fn answered(wire: &Wire, path: &str, count: usize, limit: Duration) -> Result<()> {
    until(&format!("{count} answers to {path}"), limit, async || {
        Ok((wire.count(|passed| passed.starts_with("POST") && passed.contains(path)) >= count).then_some(()))
    })
    .await
}

async fn both_ways(sim: &Sim, ann: &Person<'_>, words: &str) -> Result<()> {
    sim.say(ACCOUNT, "c1", "c1", words).await?;
    let fits = |seen: &Seen| seen.is_said() && seen.body().contains(words);
    let seen = ann.expect(words, SOON, fits).await.with_context(|| words.to_owned())?;
    let answer = format!("answer to {words}");
    ann.say(&seen.room, &answer).await?;
    sim.heard(ACCOUNT, &answer).await.map(drop).with_context(|| words.to_owned())
}

/// The ids of the bot's devices.
async fn devices(ann: &Person<'_>, bot: &str) -> Result<Vec<String>> {
    let told =
        ann.ask("POST", "/_matrix/client/v3/keys/query", json!({ "device_keys": { bot: [] } })).await?;
    let devices = told["device_keys"][bot].as_object().context("no devices")?;
    Ok(devices.keys().cloned().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_in_time_and_a_session_that_is_over_is_begun_as_the_same_device() -> Result<()> {
    tell("bot-tokens", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        let wire = Wire::to(&homeserver.address).await?;
        let url = format!("http://{}", wire.address);
        homeserver.is_known_as(&url);
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"encrypts": true})).await?;
        // From here on: her own session goes on for good.
        homeserver.stop().await?;
        homeserver.set(SHORT);
        homeserver.start(&[]).await?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = drive(scratch, &homeserver, &url, &sim).await?;
        let bot = format!("@bot:{DOMAIN}");
        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;
        both_ways(&sim, &ann, "with the first tokens").await?;
        let device = devices(&ann, &bot).await?;

        let before = wire.count(|path| path.contains(REFRESH));
        answered(&wire, REFRESH, before + 2, SOON).await?;
        both_ways(&sim, &ann, "with later tokens").await?;

        // The homeserver has given new tokens, and nobody heard of them.
        wire.arm(REFRESH, Cut::After);
        wire.cut(1, SOON).await?;
        gateway.kill().await?;
        gateway.run().await?;
        both_ways(&sim, &ann, "with the tokens of before").await?;

        answered(&wire, LOGIN, 2, OVER).await.context("its session is not over")?;
        both_ways(&sim, &ann, "in another session").await?;
        ensure!(devices(&ann, &bot).await? == device, "another device: {device:?}");
        ensure!(!gateway.logged().contains("another one is begun"), "its session was given up");
        let told = ann.seen().iter().any(|seen| seen.body().contains("My session was ended"));
        ensure!(!told, "somebody was told of an end");
        gateway.assert_up()?;
        sim.assert_no_violations_but_lost_cookies().await?;
        homeserver.stop().await
    })
    .await
}

/// A token of the bot's device, by whoever has its password.
async fn token(homeserver: &Homeserver) -> Result<String> {
    let order = json!({
        "type": "m.login.password", "password": PASSWORD, "device_id": DEVICE,
        "identifier": { "type": "m.id.user", "user": format!("@bot:{DOMAIN}") },
    });
    let place = Place::Tcp(homeserver.address.clone());
    let told = http::json(&place, "POST", "/_matrix/client/v3/login", &order, SOON).await?;
    Ok(told["access_token"].as_str().context("no token")?.to_owned())
}

/// The keys that the homeserver has of the bot's device.
async fn keys(ann: &Person<'_>, bot: &str) -> Result<Value> {
    let told =
        ann.ask("POST", "/_matrix/client/v3/keys/query", json!({ "device_keys": { bot: [] } })).await?;
    let keys = &told["device_keys"][bot][DEVICE]["keys"];
    ensure!(keys.is_object(), "no keys: {told}");
    Ok(keys.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_token_of_the_same_device_goes_on_with_its_keys() -> Result<()> {
    tell("bot-next-token", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"encrypts": true})).await?;
        register(&homeserver).await?;
        // From here on: her own session goes on for good.
        homeserver.stop().await?;
        homeserver.set(ALONE);
        homeserver.start(&[]).await?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let (bot, file) = (format!("@bot:{DOMAIN}"), scratch.join("bot.token"));
        std::fs::write(&file, token(&homeserver).await?).context("write the token")?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).context("keep it to us")?;
        let more = format!(
            "[matrix.bot]\nenabled = true\nhomeserver = {:?}\nuser = {bot:?}\naccess_token_file = {file:?}\n\
             permissions = {{ {DOMAIN:?} = \"user\" }}\n",
            homeserver.url()
        );
        let options = GatewayOptions { more, ..GatewayOptions::default() };
        let mut gateway = Gateway::start(scratch, &sim.url(), &options).await?;
        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;
        both_ways(&sim, &ann, "with the first token").await?;
        let before = keys(&ann, &bot).await?;

        until("its token to be over", OVER, async || {
            let (_, out, err) = gateway.try_cli(&["doctor", "--json"], None).await?;
            ensure!(out.contains("access_token_file and restart the gateway"), "{out}{err}");
            Ok(Some(()))
        })
        .await?;
        let room = ann.seen().iter().rfind(|seen| seen.body().contains("with the first token")).cloned();
        // Its key goes to the device that she knows.
        ann.say(&room.context("no room")?.room, "said meanwhile").await?;
        std::fs::write(&file, token(&homeserver).await?).context("write the next token")?;
        gateway.stop().await?;
        gateway.run().await?;
        sim.heard(ACCOUNT, "said meanwhile").await?;
        both_ways(&sim, &ann, "with the next token").await?;
        ensure!(keys(&ann, &bot).await? == before, "other keys");
        let told = ann.seen().iter().any(|seen| seen.body().contains("My session was ended"));
        ensure!(!told, "somebody was told of an end");
        gateway.assert_up()?;
        sim.assert_no_violations_but_lost_cookies().await?;
        homeserver.stop().await
    })
    .await
}
