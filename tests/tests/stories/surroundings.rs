//! Other surroundings than the usual ones: a service behind TLS, PostgreSQL for a store.

use std::time::Duration;

use anyhow::{Result, ensure};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::postgres;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Shown;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

/// What the operator of a relay with a certificate of its own does: `SSL_CERT_FILE` names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_behind_tls_is_trusted_by_its_certificate_and_not_without() -> Result<()> {
    tell("tls", LIMIT, async |scratch| {
        let certificate = scratch.join("service.pem");
        let options = SimOptions { accounts: 1, ..SimOptions::default() };
        let sim = Sim::start_tls(scratch, &options, &certificate).await?;
        ensure!(sim.url().starts_with("https://"), "{}", sim.url());

        let mut stranger = Gateway::start(scratch, &sim.url(), &GatewayOptions::default()).await?;
        stranger.add_user(USER).await?;
        stranger.add_account(&name(0), USER).await?;
        let mut sign_in = stranger.begin_sign_in(&name(0)).await?;
        let step = tokio::time::timeout(Duration::from_secs(4), async {
            loop {
                let step = sign_in.step().await?;
                if step["step"] != "starting" {
                    return anyhow::Ok(step);
                }
            }
        });
        ensure!(
            !matches!(step.await, Ok(Ok(step)) if step["step"] == "show_qr"),
            "an unknown certificate is trusted"
        );
        drop(sign_in);
        stranger.stop().await?;

        let trusting = GatewayOptions {
            data_dir: scratch.join("trusting"),
            env: vec![("SSL_CERT_FILE".to_owned(), certificate.display().to_string())],
            ..GatewayOptions::default()
        };
        let mut gateway = Gateway::start(scratch, &sim.url(), &trusting).await?;
        gateway.add_user(USER).await?;
        gateway.add_account(&name(0), USER).await?;
        gateway.sign_in(&sim, &name(0), &name(0)).await?;
        let mut client = gateway.client(USER, &name(0), "x").await?;
        sim.say(&name(0), "c1", "c1", "over TLS 你好").await?;
        let nick = client.expect_text("over TLS 你好").await?.source.nick;
        client.say(&nick, "and back").await?;
        sim.heard(&name(0), "and back").await?;
        gateway.stop().await?;
        sim.assert_no_violations().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_kill_loses_nothing_either() -> Result<()> {
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    tell("postgres", LIMIT, async |scratch| {
        let options = GatewayOptions { store, ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 2, &options).await?;
        let mut shown = Shown::default();
        let mut client = stage.client(0, "x").await?;
        stage.sim.burst("account0", "c1", "c1", "pg first", 50).await?;
        let nick = client.expect_text("pg first 49").await?.source.nick;
        client.say(&nick, "typed on postgres").await?;
        client.expect_text("typed on postgres").await?;
        stage.sim.heard("account0", "typed on postgres").await?;
        client.drain().await?;
        shown.take(client.said())?;
        stage.gateway_mut()?.kill().await?;
        drop(client);
        stage.sim.burst("account0", "c1", "c1", "pg while away", 50).await?;
        stage.gateway_mut()?.run().await?;
        stage.gateway().wait_state("account0", "up", SOON).await?;
        let mut client = stage.client(0, "x").await?;
        client.expect_text("pg while away 49").await?;
        client.drain().await?;
        shown.take(client.said())?;
        shown.check("account0", &stage.sim.ledger("account0").await?, "pg ")?;
        ensure!(stage.sim.logins_of("account0").await? == 1, "the restart cost a scan");
        ensure!(!stage.gateway().data_dir().join("wxgate.db").exists(), "it was SQLite after all");
        stage.end().await
    })
    .await
}

/// A second gateway works for the first, takes over when it is gone, and is itself ended by nobody but a third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_second_gateway_takes_over_only_what_the_first_let_go() -> Result<()> {
    let Some(store) = postgres::fresh().await? else { return Ok(()) };
    tell("two-gateways", LIMIT, async |scratch| {
        let options = GatewayOptions { store: store.clone(), ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 1, &options).await?;
        let standby = GatewayOptions {
            name: "standby".to_owned(),
            data_dir: scratch.join("standby"),
            store: store.clone(),
            ..GatewayOptions::default()
        };
        let mut second = Gateway::prepare(scratch, &stage.sim.url(), &standby)?;
        std::fs::create_dir_all(second.data_dir())?;
        std::fs::copy(stage.gateway().data_dir().join("seal.key"), second.data_dir().join("seal.key"))?;

        // It runs: the second one says who has the database, and works for it.
        second.launch()?;
        until("the second to take part", SOON, async || {
            Ok(second.logged().contains("runs accounts for the instance that has the database").then_some(()))
        })
        .await?;
        let told = second.logged();
        let pid = stage.gateway_mut()?.program()?.pid();
        ensure!(told.contains("in use by wxgate on ") && told.contains(&format!("process {pid}")), "{told}");

        // It is killed while the second one waits: the account is there again, without a scan.
        stage.sim.say("account0", "c1", "c1", "two before").await?;
        let mut client = stage.client(0, "x").await?;
        client.expect_text("two before").await?;
        let mut shown = Shown::default();
        client.drain().await?;
        shown.take(client.said())?;
        stage.gateway_mut()?.kill().await?;
        drop(client);
        stage.sim.say("account0", "c1", "c1", "two while nobody had it").await?;
        second.ready().await?;
        second.wait_state("account0", "up", SOON).await?;
        let mut client = second.client(USER, "account0", "x").await?;
        client.expect_text("two while nobody had it").await?;
        client.drain().await?;
        shown.take(client.said())?;

        // It hangs, its sessions are ended, another one takes over: when it wakes up it must not go on.
        second.program()?.signal("STOP").await?;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid()";
        postgres::run(&store, end).await?;
        stage.gateway_mut()?.run().await?;
        second.program()?.signal("CONT").await?;
        let status = second.ended(SOON).await?;
        ensure!(status.code() == Some(4), "it went on beside the other one, or ended with {status}");
        ensure!(second.logged().contains("took over"), "it does not say why it ended");
        stage.gateway().wait_state("account0", "up", SOON).await?;
        stage.sim.say("account0", "c1", "c1", "two after").await?;
        let mut client = stage.client(0, "x").await?;
        client.expect_text("two after").await?;
        client.drain().await?;
        shown.take(client.said())?;
        shown.check("account0", &stage.sim.ledger("account0").await?, "two ")?;
        ensure!(stage.sim.logins_of("account0").await? == 1, "taking over cost a scan");
        // Not the rules of the service: the poll of the one that hung was still open when the other one polled.
        stage.gateway_mut()?.assert_up()
    })
    .await
}
