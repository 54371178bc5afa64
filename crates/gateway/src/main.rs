//! `wxgate`: the program. Configuration, command line, web listener, wiring.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod cli;
mod config;
mod demo;
mod failure;
mod qr;
mod telemetry;
mod web;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ended = std::panic::catch_unwind(|| cli::execute(cli));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            eprintln!("wxgate: {failure}");
            failure.code()
        }
        Err(_) => {
            eprintln!("wxgate: this is a bug in wxgate; what was committed before is safe");
            failure::Failure::bug("").code()
        }
    }
}
