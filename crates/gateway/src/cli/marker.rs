//! `wxgate chat marker`: markers in the owner's remarks, by which contacts are known after a new sign-in.

use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, segment};
use super::{Globals, print};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The account
    name: String,
    /// Chats with contacts, by their ids
    #[arg(value_name = "CHAT")]
    chats: Vec<String>,
    /// Write markers into the remarks of these contacts
    #[arg(long, conflicts_with = "take")]
    put: bool,
    /// Take the markers of these contacts away
    #[arg(long)]
    take: bool,
    /// All contacts of the account
    #[arg(long, conflicts_with = "chats")]
    all: bool,
}

#[derive(Deserialize, Serialize)]
struct Row {
    chat: String,
    title: String,
    state: String,
    wanted: String,
}

#[derive(Deserialize, Serialize)]
struct Done {
    text: String,
}

pub(super) async fn run(globals: &Globals, options: Options) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let path = format!("/api/v1/accounts/{}/markers", segment(&options.name));
    if options.put || options.take {
        if options.chats.is_empty() && !options.all {
            return Err(Failure::usage("name the chats (wxgate chat list), or say --all".to_owned()));
        }
        let marking = if options.put { "put" } else { "take" };
        let wanted = json!({ "marking": marking, "chats": options.chats, "everybody": options.all });
        let done: Done = client.call(Method::POST, &path, Some(wanted)).await?;
        if globals.json {
            print::json(&done);
        } else {
            print::out(&print::tame(&done.text));
        }
        return Ok(());
    }
    if options.all || !options.chats.is_empty() {
        return Err(Failure::usage("say --put or --take".to_owned()));
    }
    let rows: Vec<Row> = client.call(Method::GET, &path, None).await?;
    if globals.json {
        print::json(&rows);
    } else if rows.is_empty() {
        print::out("No contact has a marker.");
    } else {
        let cells = |row: &Row| {
            [&row.title, &row.state, &row.wanted, &row.chat].map(|cell| print::tame(cell)).to_vec()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        print::out(&print::table(&["TITLE", "MARKER", "REMARK TO TYPE", "ID"], &rows));
    }
    Ok(())
}
