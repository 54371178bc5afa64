//! `wxgate key …`

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, answers};
use super::{Globals, print};
use crate::failure::Failure;
use crate::wiring;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new seal key, seal every stored secret with it and forget the old one
    Rotate,
}

#[derive(Deserialize)]
struct Rotated {
    resealed: u64,
    unreadable: u64,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let Command::Rotate = command;
    let settings = globals.load()?.settings;
    let file = settings.seal_key_file();
    let done = if answers(&settings.socket()).await? {
        let client = Client::new(globals)?;
        client.see_through("Sealing anew", Method::POST, "/api/v1/seal-key/rotate").await?
    } else {
        let store = wiring::open_store(&settings, "seal anew").await?;
        let replaced = store.replace_seal_key(&file).await.map_err(wiring::store_failure)?;
        store.close().await;
        Rotated { resealed: replaced.resealed, unreadable: replaced.unreadable }
    };
    if globals.json {
        print::json(&json!({ "file": file, "resealed": done.resealed, "unreadable": done.unreadable }));
        return Ok(());
    }
    print::out(&format!("{} secrets are sealed with a new key; the old one is forgotten.", done.resealed));
    if done.unreadable > 0 {
        print::out(&format!(
            "{} secrets opened with neither key and are left as they are; `wxgate account list` shows who has to \
             sign in again.",
            done.unreadable
        ));
    }
    print::out(&format!(
        "Keep a copy of {} apart from the backups. Backups from before today open with the old key only.",
        file.display()
    ));
    Ok(())
}
