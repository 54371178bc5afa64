//! Accounts that go to WeChat in ways of their own: through another proxy, and at another rate.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::cut::Wire;
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(60);

/// The proxy is a wire to the service itself: what a client asks a proxy for names the whole address, and that is a
/// request which a server has to understand as well. Source: RFC 9112, 3.2.2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_goes_through_its_own_proxy_and_the_others_do_not() -> Result<()> {
    tell("proxy", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 2).await?;
        let gateway = stage.gateway();
        let service = stage.sim.url();
        let wire = Wire::to(service.strip_prefix("http://").context("no address")?).await?;
        let mut clients = [stage.client(0, "irssi").await?, stage.client(1, "irssi").await?];
        let proxy = |way: Option<String>| async move {
            let mut args = vec!["account", "proxy", "account0"];
            args.extend(way.as_deref());
            Ok::<_, anyhow::Error>(gateway.cli(&args, None).await?.trim().to_owned())
        };
        ensure!(proxy(None).await? == "default", "it has one already");
        let (status, _, told) =
            gateway.try_cli(&["account", "proxy", "account0", "me:secret@host"], None).await?;
        ensure!(status.code() == Some(1) && told.contains("socks5://") && !told.contains("secret"), "{told}");

        let with_password = format!("http://me:hunter2@{}", wire.address);
        let shown = proxy(Some(with_password)).await?;
        ensure!(shown == format!("http://me:masked@{}/", wire.address), "{shown}");
        gateway.wait_state("account0", "up", SOON).await?;
        until("account0 to ask through its proxy", SOON, async || {
            Ok(wire.passed().iter().any(|line| line.contains("synccheck")).then_some(()))
        })
        .await?;
        for (account, client) in ["account0", "account1"].into_iter().zip(&mut clients) {
            stage.sim.say(account, "c1", "c1", &format!("for {account}")).await?;
            client.expect_text(&format!("for {account}")).await?;
        }
        let audit = gateway.cli(&["audit"], None).await?;
        ensure!(audit.contains("proxy-set") && !audit.contains("hunter2"), "{audit}");

        // Sealed, and not lost over a restart.
        ensure!(proxy(None).await? == shown, "forgotten");
        ensure!(proxy(Some("direct".to_owned())).await? == "direct");
        gateway.wait_state("account0", "up", SOON).await?;
        stage.sim.say("account0", "c1", "c1", "without it").await?;
        clients[0].expect_text("without it").await?;
        let other = json!({"proxy": "default"});
        gateway.api("PUT", "/api/v1/accounts/account1/proxy", &other).await?;
        stage.end().await
    })
    .await
}

/// One message a minute is what all others may send: eight of them would take four minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_sends_at_its_own_rate() -> Result<()> {
    tell("rate", LIMIT, async |scratch| {
        let env = vec![("WXGATE__LIMITS__SENDS_PER_MINUTE".to_owned(), "1".to_owned())];
        let stage = Stage::set_with(scratch, 1, &GatewayOptions { env, ..GatewayOptions::default() }).await?;
        let gateway = stage.gateway();
        let rate = async |wanted: &[&str]| {
            let args = [["account", "rate", "account0"].as_slice(), wanted].concat();
            Ok::<_, anyhow::Error>(gateway.cli(&args, None).await?.trim().to_owned())
        };
        ensure!(rate(&[]).await? == "default", "it has one already");
        for bad in ["0", "6001", "fast"] {
            let (status, _, told) = gateway.try_cli(&["account", "rate", "account0", bad], None).await?;
            ensure!(status.code() == Some(1) && told.contains("messages a minute"), "{bad}: {told}");
        }
        ensure!(rate(&["6000"]).await? == "6000");
        gateway.wait_state("account0", "up", SOON).await?;
        let mut client = stage.client(0, "irssi").await?;
        let mut nicks = Vec::new();
        for who in ["c1", "c2"] {
            stage.sim.say("account0", who, who, &format!("go on, {who}")).await?;
            nicks.push(client.expect_text(&format!("go on, {who}")).await?.source.nick);
        }
        // By turns: lines that follow each other in one chat are one message.
        for (at, nick) in nicks.iter().cycle().take(8).enumerate() {
            client.say(nick, &format!("quick {at}")).await?;
        }
        until("all of it at WeChat", SOON, async || {
            let ledger = stage.sim.ledger("account0").await?;
            let quick = ledger.iter().filter(|entry| entry.is_heard() && entry.text.starts_with("quick "));
            Ok((quick.count() == 8).then_some(()))
        })
        .await?;
        ensure!(gateway.cli(&["audit"], None).await?.contains("rate-set"), "not in the trail");
        ensure!(rate(&["default"]).await? == "default");
        stage.end().await
    })
    .await
}
