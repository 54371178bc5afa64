//! wxgate: WeChat in the IRC clients that people already use.
//!
//! `config` says what the operator set, `cli` what was typed; `wiring` builds the gateway and is
//! the only file that knows both the networks and the bridge; `web` serves HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod backup;
mod chat_name;
mod clean;
mod cli;
mod clock;
mod config;
mod demo;
mod export;
mod failure;
mod history;
mod metrics;
mod qr;
mod telemetry;
#[cfg(feature = "otel")]
mod traces;
#[cfg(not(feature = "otel"))]
#[path = "traces_absent.rs"]
mod traces;
mod web;
mod wiring;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Failure, Fault};

fn main() -> ExitCode {
    tell_of_bugs();
    wxgate_heap::keep_large_apart();
    match cli::Cli::try_parse() {
        Ok(cli) => ExitCode::from(code(cli.is_json(), || cli::execute(cli))),
        Err(error) => match cli::usage(&error, std::env::args_os()) {
            Some(failure) => ExitCode::from(code(true, || Err(failure))),
            // Help and version as well: what was asked for, and no error.
            None => error.exit(),
        },
    }
}

/// Tells of each bug where it shows itself, whoever contains it then, and counts it.
fn tell_of_bugs() {
    std::panic::set_hook(Box::new(|info| {
        // The words of a panic are ours; they hold no text of a message.
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no words");
        metrics::came_upon_a_bug();
        let told = format!("bug at {place}: {what}");
        let advice = "Please report this line; nothing that was committed is lost.";
        if !telemetry::tell(&format!("{told}. {advice}")) {
            cli::err(&format!("wxgate: {told}\n{advice}"));
        }
    }));
}

/// Runs a command and says with which code the program ends. Why it failed stands on standard error, in JSON for
/// whoever reads that.
fn code(is_json: bool, command: impl FnOnce() -> Result<(), Failure>) -> u8 {
    match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => {
            // Without words the command has said what there was to say.
            if !failure.message.is_empty() {
                match is_json {
                    true => {
                        let code = failure.fault as u8;
                        cli::err(
                            &serde_json::json!({ "error": failure.message, "exit_code": code }).to_string(),
                        );
                    }
                    // Where programs read the log, it is its last line.
                    false if telemetry::tell(&failure.to_string()) => {}
                    false => cli::err(&format!("wxgate: {failure}")),
                }
            }
            failure.fault as u8
        }
        Err(_) => Fault::Bug as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_with_the_code_of_a_bug_and_a_failure_with_its_own() {
        for is_json in [false, true] {
            assert_eq!(code(is_json, || panic!("the test says so")), 70);
            assert_eq!(code(is_json, || Err(Failure::bug("the test says so"))), 70);
            assert_eq!(code(is_json, || Err(Failure::environment("the test says so"))), 4);
            assert_eq!(code(is_json, || Ok(())), 0);
        }
    }

    #[test]
    fn every_bug_is_counted_whoever_contains_it() {
        tell_of_bugs();
        let before = metrics::bugs();
        assert!(std::thread::spawn(|| panic!("the test says so")).join().is_err());
        // Other tests may come upon one at the same time.
        assert!(metrics::bugs() > before);
    }
}
