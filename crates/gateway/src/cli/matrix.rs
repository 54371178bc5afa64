//! `wxgate matrix …`

use clap::Subcommand;
use serde_json::json;

use super::{Globals, print};
use crate::failure::Failure;
use crate::wiring;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the registration that the homeserver needs (YAML); makes missing tokens
    Registration {
        /// The second one, with which local users speak as themselves
        #[arg(long)]
        double_puppets: bool,
    },
}

pub(super) fn run(globals: &Globals, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Registration { double_puppets } => {
            let yaml = wiring::matrix::registration(&globals.load()?.settings, *double_puppets)?;
            match globals.json {
                true => print::json(&json!({ "registration": yaml })),
                false => print::out(yaml.trim_end()),
            }
            Ok(())
        }
    }
}
