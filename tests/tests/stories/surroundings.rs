//! Other surroundings than the usual ones: a service behind TLS, PostgreSQL for a store.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Shown;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);
/// The address of a superuser on a throw-away server; `cargo xtask test` sets it.
const POSTGRES: &str = "WXGATE_TEST_POSTGRES";

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

/// An empty database on the server of the tests; `None` (and a line that says so) without a server.
async fn fresh_postgres() -> Result<Option<String>> {
    let Ok(base) = std::env::var(POSTGRES) else {
        eprintln!("SKIPPED: {POSTGRES} is not set");
        return Ok(None);
    };
    let base = base.trim_end_matches('/');
    let database = format!("wxgate_story_{}", std::process::id());
    let made = Command::new("psql")
        .args([
            "--quiet",
            "--no-psqlrc",
            &format!("{base}/postgres"),
            "-c",
            &format!("CREATE DATABASE {database}"),
        ])
        .output()
        .await
        .context("run psql")?;
    ensure!(made.status.success(), "psql: {}", String::from_utf8_lossy(&made.stderr));
    Ok(Some(format!("{base}/{database}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_kill_loses_nothing_either() -> Result<()> {
    let Some(store) = fresh_postgres().await? else { return Ok(()) };
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
