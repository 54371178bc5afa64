//! Backups: one file with everything that a gateway needs to go on elsewhere.
//!
//! It is a plain tar archive, so that it can be looked into: `about.json`, the sealed secret files, the
//! attachments, the database, and `sha256sums` over all of it at the end. What is secret in the database stays
//! sealed, and so do the secret files; the seal key itself is inside only when somebody asks for that.

pub(crate) mod restore;
pub(crate) mod tar;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::failure::Failure;

/// First entry; an archive of others does not begin with it.
const ABOUT: &str = "about.json";
/// Last entry; an archive without it is not whole.
const SUMS: &str = "sha256sums";
/// The layout that this program writes and reads.
const LAYOUT: u64 = 1;
/// The seal key inside the archive.
const SEAL_KEY: &str = "seal.key";
const DATABASE: &str = "wxgate.db";
const MEDIA: &str = "media/";
const SEALED: &str = "sealed/";
/// Secret files of the data directory that go along, sealed. Those that are missing are left out.
pub(crate) const SECRETS: [&str; 5] =
    ["links.key", "matrix-as.token", "matrix-hs.token", "matrix-puppet.token", "matrix-bot.recovery"];
/// Longest of the small entries.
const SMALL_BYTES: u64 = 1 << 20;
/// Bytes handled at once.
const PIECE_BYTES: usize = 256 << 10;

/// Says in the data directory that it was restored: a word, another one each time.
const RESTORED: &str = "restored";
/// Longest word that is read of it; ours are shorter. Chosen: whoever restores with other tools writes a date.
const WORD_BYTES: u64 = 64;

/// The word that the last restore left; empty where nothing was ever restored.
pub(crate) fn restored_word(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join(RESTORED);
    let mut word = String::new();
    match File::open(&path).and_then(|file| file.take(WORD_BYTES).read_to_string(&mut word)) {
        Ok(_) => Ok(word.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::environment(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Says in the data directory that a restore into it has not come to its end.
const RESTORING: &str = "restoring";

/// Fails where a restore was cut short: what lies there is a part, and a gateway that began with it would serve nobody.
pub(crate) fn assert_whole(data_dir: &Path) -> Result<(), Failure> {
    let marker = data_dir.join(RESTORING);
    match marker.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::environment(format!(
            "a restore into {} was cut short, or still goes on ({} says so); run wxgate restore FILE again: it removes \
             what was left and begins anew",
            data_dir.display(),
            marker.display()
        ))),
        Err(error) => Err(Failure::environment(format!("cannot look for {}: {error}", marker.display()))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
