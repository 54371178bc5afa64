//! `wxgate chat …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};

use super::client::{Client, segment};
use super::{Globals, marker, print, resolve};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the chats of an account
    List {
        /// The account
        name: String,
    },
    /// Say who the chats are that could not be recognised after a sign-in
    Resolve(resolve::Options),
    /// Codes in the owner's remarks by which contacts are known after a sign-in: list, write, take away
    Marker(marker::Options),
}

#[derive(Deserialize, Serialize)]
struct Row {
    chat: String,
    kind: String,
    title: String,
    /// The title, or for want of one the first members.
    called: String,
    members: Option<usize>,
    is_gone: bool,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let name = match command {
        Command::List { name } => name,
        Command::Resolve(options) => return resolve::run(globals, options).await,
        Command::Marker(options) => return marker::run(globals, options).await,
    };
    let client = Client::new(globals)?;
    let rows: Vec<Row> =
        client.call(Method::GET, &format!("/api/v1/accounts/{}/chats", segment(&name)), None).await?;
    if globals.json {
        print::json(&rows);
    } else if rows.is_empty() {
        print::out("No chats are known yet; they come with the first sign-in.");
    } else {
        let cells = |row: &Row| {
            let gone = if row.is_gone { "gone" } else { "" };
            let title = if row.called.is_empty() { "(no name)".to_owned() } else { print::tame(&row.called) };
            vec![row.kind.clone(), title, gone.to_owned(), print::tame(&row.chat)]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        print::out(&print::table(&["KIND", "TITLE", "", "ID"], &rows));
    }
    Ok(())
}
