//! `wxgate network …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Client, segment};
use super::user::done;
use super::{Globals, print};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the networks and how they are doing
    List,
    /// Try again now: after a ban was lifted or a password was corrected on the other side, or to enter channels again
    /// from which the relay was kicked
    Retry {
        /// As `wxgate network list` calls it: irc:libera, or libera
        #[arg(value_name = "NETWORK")]
        network: String,
    },
}

#[derive(Deserialize, Serialize)]
struct Network {
    network: String,
    state: String,
    detail: String,
}

#[derive(Deserialize)]
struct Status {
    networks: Vec<Network>,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    match command {
        Command::List => {
            let status: Status = client.call(Method::GET, "/api/v1/status", None).await?;
            if globals.json {
                print::json(&status.networks);
                return Ok(());
            }
            let cells =
                |one: &Network| vec![one.network.clone(), one.state.clone(), print::tame(&one.detail)];
            let rows: Vec<_> = status.networks.iter().map(cells).collect();
            print::out(&print::table(&["NETWORK", "STATE", "WHY"], &rows));
        }
        Command::Retry { network } => {
            let name = if network.contains(':') { network } else { format!("irc:{network}") };
            let path = format!("/api/v1/networks/{}/retry", segment(&name));
            let told: Value = client.call(Method::POST, &path, None).await?;
            let what = match told["again"].as_str().filter(|channels| !channels.is_empty()) {
                Some(channels) => {
                    format!("{name} enters {} again; see: wxgate network list", print::tame(channels))
                }
                None => format!("{name} is tried again now; see: wxgate network list"),
            };
            done(globals, &what);
        }
    }
    Ok(())
}
