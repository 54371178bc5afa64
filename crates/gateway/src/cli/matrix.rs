//! `wxgate matrix …`

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::user::done;
use super::{Globals, print};
use crate::failure::Failure;
use crate::wiring;

/// Where the running gateway is asked.
const PATH: &str = "/api/v1/matrix/sign-in";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the registration that the homeserver needs (YAML); makes missing tokens
    Registration {
        /// The second one, with which local users speak as themselves
        #[arg(long)]
        double_puppets: bool,
    },
    /// Sign the Matrix bot in on a page of its homeserver's (matrix.bot.oauth): print where, or finish with the
    /// address that the browser was sent to and could not open
    SignIn {
        #[arg(value_name = "ADDRESS")]
        address: Option<String>,
    },
}

#[derive(Deserialize)]
struct Page {
    link: Option<String>,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    match command {
        Command::SignIn { address: None } => {
            let page: Page = Client::new(globals)?.call(Method::GET, PATH, None).await?;
            match (globals.json, page.link) {
                (true, link) => print::json(&json!({ "link": link })),
                (false, Some(link)) => {
                    print::out(&format!(
                        "Open this in a browser, and say yes:\n\n  {link}\n\nIf the browser cannot open what it is \
                         sent to afterwards, finish with that address:\n\n  wxgate matrix sign-in 'ADDRESS'"
                    ));
                }
                (false, None) => print::out("There is nothing to sign in now; see: wxgate network list"),
            }
            Ok(())
        }
        Command::SignIn { address: Some(address) } => {
            let client = Client::new(globals)?;
            let _: Value = client.call(Method::POST, PATH, Some(json!({ "address": address }))).await?;
            done(globals, "the Matrix account is signed in");
            Ok(())
        }
        Command::Registration { double_puppets } => {
            let yaml = wiring::matrix::registration(&globals.load()?.settings, double_puppets)?;
            match globals.json {
                true => print::json(&json!({ "registration": yaml })),
                false => print::out(yaml.trim_end()),
            }
            Ok(())
        }
    }
}
