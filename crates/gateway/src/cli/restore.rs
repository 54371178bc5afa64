//! `wxgate restore FILE`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::progress::Progress;
use super::{Globals, print};
use crate::backup::restore::{Database, Target, restore};
use crate::config::{self, Purpose};
use crate::failure::Failure;
use crate::wiring::store_url;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// What `wxgate backup` wrote
    file: PathBuf,
}

pub(super) fn run(globals: &Globals, options: &Options) -> Result<(), Failure> {
    let settings = config::load_for(Purpose::Restore, globals.config.as_deref())?.settings;
    let url = store_url(&settings)?;
    let database = match url.sqlite_path(&settings.data_dir) {
        Some(path) => Database::File(path),
        None => Database::Server(url),
    };
    let seal_key_file = settings.seal_key_file();
    let target =
        Target { data_dir: settings.data_dir.clone(), database, seal_key_file: seal_key_file.clone() };
    let all_bytes = std::fs::metadata(&options.file).map_or(0, |meta| meta.len());
    let mut progress = Progress::new("Restore", Some(all_bytes));
    let restored = restore(&options.file, &target, |done| progress.at(done))?;
    progress.at(all_bytes);
    if globals.json {
        print::json(&json!({ "attachments": restored.attachments, "has_key": restored.has_key }));
        return Ok(());
    }
    let (dir, attachments) = (settings.data_dir.display(), restored.attachments);
    print::out(&format!("Restored into {dir}: the database and {attachments} attachments."));
    if !restored.has_key {
        let key = seal_key_file.display();
        print::out(&format!(
            "The seal key is not in the backup, and there is none at {key}. Put the old key there before the first \
             start; without it every account has to sign in again, and links and tokens are made anew."
        ));
    }
    print::out(
        "Never run the old gateway and this one at the same time: both would answer for the same accounts.",
    );
    Ok(())
}
