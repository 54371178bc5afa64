//! Writes a backup as a stream of pieces, of which the length is known from the start.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use wxgate_contract::Timestamp;
use wxgate_store::Snapshot;

use super::tar::{BLOCK, END, Header, padding};
use super::{ABOUT, LAYOUT, PIECE_BYTES, SEAL_KEY, SEALED, SECRETS, SUMS, hex};
use crate::failure::Failure;
use crate::wiring::store_failure;

/// Whether the seal key goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithKey {
    Yes,
    No,
}

/// What a backup is made of, beside the snapshot.
pub(crate) struct Secrets<'a> {
    pub(crate) data_dir: &'a Path,
    pub(crate) seal_key_file: &'a Path,
    pub(crate) with_key: WithKey,
}

/// An archive that is about to be written.
pub(crate) struct Archive {
    /// Goes away with us.
    _snapshot: Snapshot,
    entries: VecDeque<(String, Content)>,
    mtime_s: u64,
    sums: String,
    at: At,
}

enum Content {
    Bytes(Bytes),
    File { path: PathBuf, size_bytes: u64 },
}

enum At {
    Next,
    Inside { file: File, name: String, left: u64, size_bytes: u64, hash: Box<Context> },
    Sums,
    Over,
}

impl Content {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }
}

impl Archive {
    pub(crate) fn new(
        mut snapshot: Snapshot,
        secrets: &Secrets<'_>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let has_key = secrets.with_key == WithKey::Yes;
        let about = json!({
            "what": "wxgate backup", "layout": LAYOUT, "version": env!("CARGO_PKG_VERSION"),
            "made_ms": now.ms(), "has_seal_key": has_key,
        });
        let mut entries = VecDeque::from([(ABOUT.to_owned(), Content::Bytes(format!("{about:#}\n").into()))]);
        if has_key {
            let text = std::fs::read(secrets.seal_key_file).map_err(|e| read_failed(&e))?;
            entries.push_back((SEAL_KEY.to_owned(), Content::Bytes(text.into())));
        }
        for name in SECRETS {
            let plain = match std::fs::read(secrets.data_dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|e| read_failed(&e))?,
            };
            let sealed = base64::engine::general_purpose::STANDARD
                .encode(snapshot.seal_file(name, &plain).map_err(store_failure)?);
            entries.push_back((format!("{SEALED}{name}"), Content::Bytes(sealed.into())));
        }
        snapshot.let_key_change();
        entries.extend(snapshot.files().iter().map(|file| {
            let content = Content::File { path: file.path.clone(), size_bytes: file.size_bytes };
            (file.name.clone(), content)
        }));
        let mtime_s = u64::try_from(now.ms() / 1_000).unwrap_or(0);
        Ok(Self { _snapshot: snapshot, entries, mtime_s, sums: String::new(), at: At::Next })
    }

    /// Bytes of the whole archive.
    pub(crate) fn size_bytes(&self) -> u64 {
        let whole = |size: u64| (BLOCK as u64) + size + padding(size) as u64;
        let files: u64 = self.entries.iter().map(|(_, content)| whole(content.size_bytes())).sum();
        let sums: usize = self.entries.iter().map(|(name, _)| sum_line("", name).len() + 64).sum();
        files + whole(sums as u64) + END.len() as u64
    }

    /// The archive in pieces. What it is read from goes away with the stream.
    pub(crate) fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(self, |mut archive| async move {
            Ok(archive.piece().await?.map(|piece| (piece, archive)))
        })
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        match std::mem::replace(&mut self.at, At::Over) {
            At::Next => self.begin().await.map(Some),
            At::Inside { mut file, name, left, size_bytes, mut hash } => {
                let most = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
                let mut piece = vec![0; most];
                file.read_exact(&mut piece).await?;
                hash.update(&piece);
                let left = left - most as u64;
                if left == 0 {
                    self.end(&name, *hash);
                    piece.resize(most + padding(size_bytes), 0);
                } else {
                    self.at = At::Inside { file, name, left, size_bytes, hash };
                }
                Ok(Some(piece.into()))
            }
            At::Sums => {
                let sums = std::mem::take(&mut self.sums);
                let mut piece = self.small(SUMS, sums.as_bytes());
                piece.extend(END);
                Ok(Some(piece.into()))
            }
            At::Over => Ok(None),
        }
    }

    /// The next file's header, and of a small one all of it.
    async fn begin(&mut self) -> io::Result<Bytes> {
        let Some((name, content)) = self.entries.pop_front() else {
            self.at = At::Sums;
            return Ok(Bytes::new());
        };
        let mut hash = Context::new(&SHA256);
        match content {
            Content::Bytes(bytes) => {
                let piece = self.small(&name, &bytes);
                hash.update(&bytes);
                self.end(&name, hash);
                Ok(piece.into())
            }
            Content::File { path, size_bytes } => {
                let header = Header::new(name.as_str(), size_bytes).block(self.mtime_s);
                if size_bytes == 0 {
                    self.end(&name, hash);
                } else {
                    let file = File::open(path).await?;
                    self.at = At::Inside { file, name, left: size_bytes, size_bytes, hash: Box::new(hash) };
                }
                Ok(Bytes::copy_from_slice(&header))
            }
        }
    }

    fn small(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let size_bytes = bytes.len() as u64;
        let mut piece = Header::new(name, size_bytes).block(self.mtime_s).to_vec();
        piece.extend(bytes);
        piece.resize(piece.len() + padding(size_bytes), 0);
        piece
    }

    fn end(&mut self, name: &str, hash: Context) {
        self.sums.push_str(&sum_line(&hex(hash.finish().as_ref()), name));
        self.at = At::Next;
    }
}

/// As sha256sum writes it, so that it can check it.
fn sum_line(hash: &str, name: &str) -> String {
    format!("{hash}  {name}\n")
}

fn read_failed(error: &io::Error) -> Failure {
    Failure::environment(format!("cannot read a secret file for the backup: {error}"))
}
