//! `wxgate audit`

use hyper::Method;
use serde::{Deserialize, Serialize};
use wxgate_contract::Timestamp;

use super::client::Client;
use super::{Globals, print};
use crate::clock;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many of the last acts
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    last: u16,
}

#[derive(Deserialize, Serialize)]
struct Act {
    id: i64,
    at_ms: i64,
    who: Option<String>,
    door: String,
    what: String,
    about: String,
}

pub(super) async fn run(globals: &Globals, options: Options) -> Result<(), Failure> {
    let path = format!("/api/v1/audit?limit={}", options.last);
    let acts: Vec<Act> = Client::new(globals)?.call(Method::GET, &path, None).await?;
    if globals.json {
        print::json(&acts);
        return Ok(());
    }
    if acts.is_empty() {
        print::out("Nothing was done yet that is written down.");
        return Ok(());
    }
    let cells = |act: &Act| {
        let who = act.who.as_deref().unwrap_or("the operator");
        let at = clock::written(Timestamp(act.at_ms));
        vec![at, who.to_owned(), act.door.clone(), act.what.clone(), act.about.clone()]
    };
    let rows: Vec<_> = acts.iter().map(cells).collect();
    print::out(&print::table(&["TIME (UTC)", "WHO", "FROM", "WHAT", "ABOUT"], &rows));
    Ok(())
}
