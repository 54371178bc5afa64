//! A statement to somebody's SQLite database, in the words of Python, which is there wherever Synapse is.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::homeserver::python;

const LIMIT: Duration = Duration::from_secs(60);
/// Prints the first column of the first row, or how many rows were changed.
const TELL: &str = "import sqlite3, sys\n\
    db = sqlite3.connect(sys.argv[1], timeout=30)\n\
    done = db.execute(sys.argv[2])\n\
    row = done.fetchone()\n\
    db.commit()\n\
    print(row[0] if row else done.rowcount)";

/// The number that a statement gives: of its first row, or of rows that it changed.
pub async fn ask(database: &Path, statement: &str) -> Result<i64> {
    let python = python().context("no Python here; run: cargo xtask setup")?;
    let mut command = tokio::process::Command::new(python);
    command.args(["-c", TELL]).arg(database).arg(statement).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("python hangs")??;
    ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("no number")
}
