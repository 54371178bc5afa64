//! Backups: one file with everything that a gateway on SQLite needs to go on elsewhere.
//!
//! It is a plain tar archive, so that it can be looked into: `about.json`, the sealed secret files, the
//! attachments, the database, and `sha256sums` over all of it at the end. What is secret in the database stays
//! sealed, and so do the secret files; the seal key itself is inside only when somebody asks for that.

pub(crate) mod restore;
pub(crate) mod tar;
#[cfg(test)]
mod tests;
pub(crate) mod write;

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
const SECRETS: [&str; 5] =
    ["links.key", "matrix-as.token", "matrix-hs.token", "matrix-puppet.token", "matrix-bot.recovery"];
/// Longest of the small entries.
const SMALL_BYTES: u64 = 1 << 20;
/// Bytes handled at once.
const PIECE_BYTES: usize = 256 << 10;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
