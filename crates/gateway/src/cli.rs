//! The command line: what can be typed, and who does it.

mod account;
mod audit;
mod backup;
mod chat;
mod client;
mod configuration;
mod doctor;
mod instance;
mod key;
mod link;
#[cfg(feature = "manual")]
mod manual;
mod marker;
mod matrix;
mod network;
mod print;
mod progress;
mod resolve;
mod restore;
mod run;
mod typed;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Loaded};
use crate::demo;
use crate::failure::Failure;

pub(crate) use print::{err, is_terminal, out};
pub(crate) use run::{Hangup, Signals};

/// Brings WeChat chats into Matrix rooms and IRC channels.
#[derive(Debug, Parser)]
#[command(name = "wxgate", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 the thing asked for failed, 2 usage, 3 configuration, \
                        4 environment (port taken, store unreachable), 70 bug.\n\
                        New here? Try: wxgate demo")]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Globals {
    /// Configuration file [default: ./wxgate.toml, then /etc/wxgate/wxgate.toml, then built in]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Globals {
    fn load(&self) -> Result<Loaded, Failure> {
        Ok(config::load(self.config.as_deref())?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything at once: simulated WeChat, IRC server, web page
    Demo(demo::Options),
    /// Run the gateway
    Run,
    /// People of this gateway
    #[command(subcommand)]
    User(user::Command),
    /// WeChat accounts
    #[command(subcommand)]
    Account(account::Command),
    /// Chats of an account
    #[command(subcommand)]
    Chat(chat::Command),
    /// Chats that mirror each other
    #[command(subcommand)]
    Link(link::Command),
    /// Networks that the gateway is connected to
    #[command(subcommand)]
    Network(network::Command),
    /// Instances that share the accounts of one PostgreSQL
    #[command(subcommand)]
    Instance(instance::Command),
    /// The Matrix application service
    #[command(subcommand)]
    Matrix(matrix::Command),
    /// Check, show or explain the configuration
    #[command(subcommand)]
    Config(configuration::Command),
    /// Write everything into one file, while the gateway runs or not
    Backup(backup::Options),
    /// Put a backup into an empty data directory
    Restore(restore::Options),
    /// The key that seals stored secrets
    #[command(subcommand)]
    Key(key::Command),
    /// What was done to this gateway, by whom, the newest first
    Audit(audit::Options),
    /// Look for what is wrong, and say what to do
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write pages for man(1), one for each command
    #[cfg(feature = "manual")]
    Manual {
        /// Where to
        dir: PathBuf,
    },
}

impl Cli {
    /// True when programs read what is printed.
    pub(crate) fn is_json(&self) -> bool {
        self.globals.json
    }
}

/// What is wrong with the command line, for programs; `None` for people, and where help or the version was asked for.
pub(crate) fn usage(error: &clap::Error, mut typed: impl Iterator<Item = OsString>) -> Option<Failure> {
    if !error.use_stderr() || !typed.by_ref().take_while(|word| word != "--").any(|word| word == "--json") {
        return None;
    }
    let told = error.render().to_string();
    Some(Failure::usage(told.trim().trim_start_matches("error: ")))
}

/// How long threads that wait for the disk may take to end. Chosen: all that counts is on disk or is done again.
const LAST_THREADS: Duration = Duration::from_secs(5);

/// Does what was typed.
pub(crate) fn execute(cli: Cli) -> Result<(), Failure> {
    let globals = cli.globals;
    match cli.command {
        Command::Demo(options) => in_threads(demo::run(options, globals.json)),
        Command::Run => {
            let loaded = globals.load()?;
            in_threads(run::run(loaded))
        }
        Command::User(command) => in_place(unless_ended(user::run(&globals, command))),
        Command::Account(command) => in_place(account::run(&globals, command)),
        Command::Chat(command) => in_place(chat::run(&globals, command)),
        Command::Link(command) => in_place(link::run(&globals, command)),
        Command::Network(command) => in_place(network::run(&globals, command)),
        Command::Instance(command) => in_place(instance::run(&globals, command)),
        Command::Matrix(command) => in_place(matrix::run(&globals, command)),
        Command::Config(command) => configuration::run(&globals, &command),
        Command::Backup(options) => in_place(unless_ended(backup::run(&globals, options))),
        Command::Restore(options) => restore::run(&globals, &options),
        Command::Key(command) => in_place(key::run(&globals, command)),
        Command::Audit(options) => in_place(audit::run(&globals, options)),
        Command::Doctor => in_place(doctor::run(&globals)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wxgate", &mut script);
            out(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        #[cfg(feature = "manual")]
        Command::Manual { dir } => manual::run(Cli::command(), &dir),
    }
}

fn in_threads(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    // Boxed: the whole gateway is one large future, and the stack is not the place for it.
    let work = Box::pin(work);
    let runtime = runtime.map_err(|e| Failure::environment(format!("cannot start threads: {e}")))?;
    let done = runtime.block_on(work);
    // Dropping it would wait for ever for a thread that a disk keeps.
    runtime.shutdown_timeout(LAST_THREADS);
    done
}

/// Work that puts away what it has begun when somebody ends it.
async fn unless_ended(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut signals = Signals::new(Hangup::Ends)?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Err(Failure::asked("ended before it was done, as asked")),
    }
}

fn in_place(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let work = Box::pin(work);
    runtime.map_err(|e| Failure::environment(format!("cannot start: {e}")))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_book() {
        let page = include_str!("../../../docs/commands.md");
        let mut cli = Cli::command();
        cli.build();
        let mut missing = Vec::new();
        for command in cli.get_subcommands() {
            let deeper: Vec<_> = command.get_subcommands().collect();
            match deeper.is_empty() {
                true => missing.push(format!("`wxgate {}", command.get_name())),
                false => missing.extend(
                    deeper.iter().map(|below| format!("`wxgate {} {}", command.get_name(), below.get_name())),
                ),
            }
        }
        assert!(missing.len() > 20, "{missing:?}");
        missing.retain(|words| !page.contains(words.as_str()));
        assert_eq!(missing, [""; 0], "docs/commands.md");
    }
}
