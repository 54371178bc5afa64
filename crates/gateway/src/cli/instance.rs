//! `wxgate instance …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use wxgate_contract::Timestamp;

use super::client::Client;
use super::{Globals, print};
use crate::clock;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the instances that share the database, and how many accounts each runs
    List,
}

#[derive(Deserialize, Serialize)]
struct Instance {
    name: String,
    role: String,
    address: String,
    since_ms: i64,
    accounts: u64,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let Command::List = command;
    let client = Client::new(globals)?;
    let all: Vec<Instance> = client.call(Method::GET, "/api/v1/instances", None).await?;
    if globals.json {
        print::json(&all);
        return Ok(());
    }
    if all.is_empty() {
        print::out("This gateway keeps its store in a file, which no other instance shares.");
        return Ok(());
    }
    let cells = |one: &Instance| {
        vec![
            print::tame(&one.name),
            one.role.clone(),
            one.accounts.to_string(),
            clock::written(Timestamp(one.since_ms)),
            one.address.clone(),
        ]
    };
    let rows: Vec<_> = all.iter().map(cells).collect();
    print::out(&print::table(&["INSTANCE", "ROLE", "ACCOUNTS", "SINCE (UTC)", "ADDRESS"], &rows));
    Ok(())
}
