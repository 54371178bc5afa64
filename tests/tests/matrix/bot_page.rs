//! A homeserver that leaves sign-ins to a service of its own (OAuth 2.0): the bot's account (`matrix.bot.oauth`) is
//! signed in on a page, by a browser or by hand, and its tokens, which live for seconds, are renewed there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::homeserver::{DOMAIN, Homeserver, SignInService, tell};
use wxgate_tests::people::Seen;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::wait::until;

use crate::bot::{ACCOUNT, SOON, invite, register, sign_in};

const LIMIT: Duration = Duration::from_secs(420);
/// For how long a token is good.
const LIFE: Duration = Duration::from_secs(15);
const NETWORK: &str = "matrix:bot";

/// The state of the bot's network and what is said of it.
async fn health(gateway: &Gateway) -> Result<(String, String)> {
    let status = gateway.api("GET", "/api/v1/status", &Value::Null).await?;
    let networks = status["networks"].as_array().context("no networks")?;
    let one = networks.iter().find(|one| one["network"] == NETWORK).context("no bot")?;
    let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Ok((word("state"), word("detail")))
}

/// The link that is offered, once it is another than `before`.
async fn link(gateway: &Gateway, before: Option<&str>) -> Result<String> {
    until("a link", SOON, async || {
        let told = gateway.cli(&["--json", "matrix", "sign-in"], None).await?;
        let told: Value = serde_json::from_str(&told)?;
        Ok(told["link"].as_str().filter(|link| Some(*link) != before).map(str::to_owned))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_signed_in_on_its_homeservers_page_and_stays_so() -> Result<()> {
    tell("bot-page", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({"encrypts": true})).await?;
        register(&homeserver).await?;
        homeserver.stop().await?;
        let service = SignInService::start(&mut homeserver, LIFE).await?;
        homeserver.start(&[]).await?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let bot = format!("@bot:{DOMAIN}");
        let more = format!(
            "[matrix.bot]\nenabled = true\nhomeserver = {:?}\nuser = {bot:?}\noauth = true\n\
             permissions = {{ {DOMAIN:?} = \"user\" }}\n",
            homeserver.url()
        );
        let options = GatewayOptions { more, ..GatewayOptions::default() };
        let mut gateway = Gateway::start(scratch, &sim.url(), &options).await?;

        let first = link(&gateway, None).await?;
        let (state, detail) = health(&gateway).await?;
        ensure!(state == "needs_human" && detail.contains("/matrix/sign-in"), "it is {state}: {detail}");
        // Not sent by anybody, somebody who says no, and somebody else.
        let answer = gateway.get("/matrix/signed-in?code=1&state=guessed", &[]).await?;
        ensure!(answer.status == 409 && answer.text().contains("not the sign-in"), "{}", answer.text());
        let no = service.say_yes(&first, "nobody").await?;
        let answer = gateway.open_link(&no).await?;
        ensure!(answer.status == 409, "{}: {}", answer.status, answer.text());
        let second = link(&gateway, Some(&first)).await?;
        let other = service.say_yes(&second, "ann").await?;
        let answer = gateway.open_link(&other).await?;
        ensure!(answer.status == 409 && answer.text().contains("@ann:"), "{}", answer.text());
        let third = link(&gateway, Some(&second)).await?;
        let back = service.say_yes(&third, "bot").await?;
        let answer = gateway.open_link(&back).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        until("the bot to be up", SOON, async || Ok((health(&gateway).await?.0 == "up").then_some(())))
            .await?;

        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;
        let both_ways = async |words: &str| {
            sim.say(ACCOUNT, "c1", "c1", words).await?;
            let fits = |seen: &Seen| seen.is_said() && seen.body().contains(words);
            let seen = ann.expect(words, SOON, fits).await.with_context(|| words.to_owned())?;
            let answer = format!("answer to {words}");
            ann.say(&seen.room, &answer).await?;
            sim.heard(ACCOUNT, &answer).await.map(drop).with_context(|| words.to_owned())
        };
        both_ways("with the first tokens").await?;
        let renewed = async |count: u64| {
            until("tokens to be renewed", SOON, async || {
                Ok((service.counts().await?["renewed"].as_u64() >= Some(count)).then_some(()))
            })
            .await
        };
        renewed(1).await?;
        both_ways("with later tokens").await?;
        gateway.kill().await?;
        gateway.run().await?;
        both_ways("after an end").await?;
        let counts = service.counts().await?;
        ensure!(counts["codes"] == 2, "somebody was asked again: {counts}");

        // Somebody ends the session: it says so, and is signed in by hand where no browser comes back.
        service.end_sessions().await?;
        let next = link(&gateway, Some(&third)).await?;
        let back = service.say_yes(&next, "bot").await?;
        let (status, _, told) =
            gateway.try_cli(&["matrix", "sign-in", "https://x.example/?code=1"], None).await?;
        ensure!(status.code() == Some(1) && told.contains("not the sign-in"), "{status}: {told}");
        gateway.cli(&["matrix", "sign-in", &back], None).await?;
        both_ways("in another session").await?;
        gateway.assert_up()?;
        sim.assert_no_violations_but_lost_cookies().await?;
        homeserver.stop().await
    })
    .await
}
