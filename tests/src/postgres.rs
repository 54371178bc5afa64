//! Databases on the PostgreSQL server of the tests.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// The address of a superuser on a throw-away server; `cargo xtask` sets it.
const POSTGRES: &str = "WXGATE_TEST_POSTGRES";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database; `None` (and a line that says so) without a server.
pub async fn fresh() -> Result<Option<String>> {
    let Ok(base) = std::env::var(POSTGRES) else {
        eprintln!("SKIPPED: {POSTGRES} is not set");
        return Ok(None);
    };
    let base = base.trim_end_matches('/');
    let at = NEXT.fetch_add(1, Ordering::Relaxed);
    let database = format!("wxgate_story_{}_{at}", std::process::id());
    run(&format!("{base}/postgres"), &format!("CREATE DATABASE {database}")).await?;
    Ok(Some(format!("{base}/{database}")))
}

/// How many bytes a database takes.
pub async fn bytes(url: &str) -> Result<u64> {
    let ask = ["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", url, "-c"];
    let asked =
        Command::new("psql").args(ask).arg("SELECT pg_database_size(current_database())").output().await;
    let asked = asked.context("run psql")?;
    let text = String::from_utf8_lossy(&asked.stdout);
    text.trim().parse().with_context(|| format!("psql: {text}{}", String::from_utf8_lossy(&asked.stderr)))
}

/// One statement.
pub async fn run(url: &str, text: &str) -> Result<()> {
    let made = Command::new("psql").args(["--quiet", "--no-psqlrc", url, "-c", text]).output().await;
    let made = made.context("run psql")?;
    ensure!(made.status.success(), "psql: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
