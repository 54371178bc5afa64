//! The vault that holds attachments' bytes. Bytes pass through it in pieces, never whole.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::context::BoxFuture;
use crate::ids::{MediaId, NetworkId, PostId};

/// An attachment that was announced and whose bytes the adapter still has to fetch. Committed
/// with its post, so that a crash before the download loses nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingMedia {
    /// The id the post names. Derive it from the network and the post's remote id, so that the
    /// same post handed over twice names the same bytes.
    pub media: MediaId,
    /// Whatever the adapter needs to fetch the bytes later; sealed at rest.
    pub source: Bytes,
    /// File name without directories; may be empty.
    pub name: String,
    /// Media type, best knowledge; may be empty.
    pub mime: String,
}

impl std::fmt::Debug for PendingMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PendingMedia({}, {})", self.media, self.mime)
    }
}

/// Longest name of a file in bytes. Chosen: what file systems take.
pub const FILE_NAME_BYTES: usize = 255;

/// The name of a file as somebody gave it, fit to be shown and saved: without directories, of whichever system, without
/// control characters and those that turn the direction of writing, so that it ends in what it seems to end in. Cut in
/// the middle where it is longer than [`FILE_NAME_BYTES`]: the extension stays, which says what the file is. May be
/// empty.
///
/// Source: Unicode Standard Annex 9, section 2 (U+202A to U+202E, U+2066 to U+2069).
pub fn file_name(given: &str) -> String {
    const ELLIPSIS: &str = "…";
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name: String = last.chars().filter(|c| !c.is_control() && !turns(*c)).collect();
    if name.len() <= FILE_NAME_BYTES {
        return name;
    }
    let extension = name.rfind('.').and_then(|at| name.get(at..)).filter(|end| end.len() <= 32).unwrap_or("");
    let stem = name.floor_char_boundary(FILE_NAME_BYTES - ELLIPSIS.len() - extension.len());
    format!("{}{ELLIPSIS}{extension}", name.get(..stem).unwrap_or_default())
}

/// How far an attachment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MediaState {
    /// Announced; the adapter will fetch it.
    Pending,
    /// Here.
    Ready,
    /// Could not be had.
    Failed {
        /// Why, as a clause for people.
        why: String,
    },
}

/// What the vault knows about an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// Which.
    pub media: MediaId,
    /// How far it is.
    pub state: MediaState,
    /// File name; may be empty.
    pub name: String,
    /// Media type as sniffed from the bytes, else as announced; may be empty.
    pub mime: String,
    /// Length in bytes once it is ready.
    pub size_bytes: u64,
}

/// With what a stored attachment goes when an account is removed or a message is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaOwner {
    /// With the network that announced it, or else with the posts that show it.
    Posts,
    /// With all that is kept of this network; no post shows it (a picture of one of its people).
    Network(NetworkId),
    /// With this attachment, of which it is another form.
    Media(MediaId),
    /// With this post, whose words it holds.
    Post(PostId),
}

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum MediaError {
    /// More bytes than the configured limit.
    #[error("the attachment is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Nobody announced such an attachment, it was pruned, or its bytes are not there any more as they were stored.
    #[error("no attachment {0} is known")]
    Unknown(MediaId),
    /// The vault itself failed (disk full).
    #[error("the media vault failed: {0}")]
    Vault(String),
}

/// Bytes going in. Dropping it without `finish` leaves no trace.
pub trait MediaWriter: Send {
    /// Appends a piece. Fails with `TooLarge` as soon as the limit is passed.
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), MediaError>>;
    /// Makes the bytes durable and the attachment ready.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<MediaInfo, MediaError>>;
}

/// Bytes coming out, in pieces of at most 64 KiB.
pub trait MediaReader: Send {
    /// The next piece; `None` at the end.
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, MediaError>>;
}

/// The vault.
pub trait MediaVault: Send + Sync {
    /// Opens an attachment for writing. It need not have been announced. Where what it goes with is not there any
    /// more, `finish` fails and leaves no trace: `Unknown` with the attachment that it is another form of, `Vault` for
    /// a post.
    fn writer(
        &self,
        media: MediaId,
        name: &str,
        mime: &str,
        owner: MediaOwner,
    ) -> BoxFuture<'_, Result<Box<dyn MediaWriter>, MediaError>>;
    /// Opens a ready attachment from byte `offset` on.
    fn reader(&self, media: MediaId, offset: u64) -> BoxFuture<'_, Result<Box<dyn MediaReader>, MediaError>>;
    /// What is known about it.
    fn info(&self, media: MediaId) -> BoxFuture<'_, Result<Option<MediaInfo>, MediaError>>;
    /// Gives up on a pending attachment.
    fn fail(&self, media: MediaId, why: &str) -> BoxFuture<'_, Result<(), MediaError>>;
    /// What `network` announced and has not fetched yet, oldest first, at most `limit`.
    fn pending(
        &self,
        network: &NetworkId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<PendingMedia>, MediaError>>;
    /// The address under which people fetch it, signed, or `None` when nothing serves media.
    fn link(&self, media: MediaId, name: &str) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_extension() {
        for stem in ["a".repeat(300), "年".repeat(86), "x".repeat(10_000)] {
            let name = file_name(&format!("{stem}.pdf"));
            assert!(name.len() <= FILE_NAME_BYTES && name.ends_with("….pdf"), "{name}");
            assert!(name.len() > FILE_NAME_BYTES - 3, "{name}");
        }
        assert_eq!(file_name(&format!("{}.pdf", "年".repeat(83))), format!("{}.pdf", "年".repeat(83)));
        let no_extension = format!("a.{}", "b".repeat(300));
        assert!(file_name(&no_extension).ends_with("b…"));
        assert_eq!(file_name("👨‍👩‍👧 عربي.pdf"), "👨‍👩‍👧 عربي.pdf", "signs that join letters stay");
        assert!(file_name(&".".repeat(600)).len() <= FILE_NAME_BYTES);
    }

    #[test]
    fn a_name_is_what_it_seems_to_be() {
        for (given, name) in [
            ("holiday photo.jpg", "holiday photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\fonts\\a.ttf", "a.ttf"),
            ("invoice_\u{202e}fdp.exe", "invoice_fdp.exe"),
            ("\u{2067}a\u{2069}\r\n\0.txt", "a.txt"),
            ("dir/", ""),
            ("", ""),
        ] {
            assert_eq!(file_name(given), name, "{given:?}");
        }
    }
}
