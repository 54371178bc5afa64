//! The load bench of the whole gateway.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use wxgate_tests::bench::{self, Options, USAGE};

#[tokio::main]
async fn main() -> ExitCode {
    match bench().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("wxgate-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything could be measured.
async fn bench() -> Result<bool> {
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        print!("{USAGE}");
        return Ok(true);
    };
    let report = bench::run(&options).await?;
    println!("\n{report}");
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(report.is_complete())
}
