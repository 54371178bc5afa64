//! Files of the vault, written and read in pieces.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{Context, SHA256};
use tokio::fs::{self, DirBuilder, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use wxgate_contract::{
    BoxFuture, MediaError, MediaId, MediaInfo, MediaOwner, MediaReader, MediaState, MediaWriter,
};

use super::forget::Bonds;
use super::sniff::{HEAD_BYTES, best};
use super::{Piece, READY, broken, failed};
use crate::error::StoreError;
use crate::sql::{self, Columns, hex, row};
use crate::store::Store;

/// Pieces are at most this long on their way out, as the contract says.
const PIECE_BYTES: usize = 64 * 1024;

/// Tells apart files that are being written at the same time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Where files are while they are written.
pub(super) const ASIDE: &str = "incoming";

/// An announced name stays when the writer brings none, and so does whose it is.
const RECORD: &str = "INSERT INTO media (id, state, name, mime, size_bytes, hash, created_ms, last_used_ms, \
     network, made_of, words_of) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, mime = excluded.mime, hash = excluded.hash, \
     name = CASE WHEN excluded.name = '' THEN media.name ELSE excluded.name END, \
     size_bytes = excluded.size_bytes, source = NULL, why = NULL, last_used_ms = excluded.last_used_ms, \
     network = COALESCE(media.network, excluded.network), made_of = COALESCE(media.made_of, excluded.made_of), \
     words_of = COALESCE(media.words_of, excluded.words_of) RETURNING name";

/// A file that goes away unless it was put into place.
struct Aside(Option<PathBuf>);

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Nothing to be done about a failure here; pruning removes what is left aside.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Bytes going in.
pub(super) struct Writer {
    store: Store,
    media: MediaId,
    name: String,
    mime: String,
    owner: MediaOwner,
    file: File,
    aside: Aside,
    hash: Context,
    head: Vec<u8>,
    size_bytes: u64,
}

impl Writer {
    pub(super) async fn open(
        store: Store,
        media: MediaId,
        name: String,
        mime: String,
        owner: MediaOwner,
    ) -> Result<Self, MediaError> {
        let dir = store.media_dir().join(ASIDE);
        make_dirs(&dir).await.map_err(|e| broken("making the media directory", &e))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{media}-{}-{number}", std::process::id()));
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).await;
        let file = made.map_err(|e| broken("creating a media file", &e))?;
        let (aside, hash) = (Aside(Some(path)), Context::new(&SHA256));
        Ok(Self { store, media, name, mime, owner, file, aside, hash, head: Vec::new(), size_bytes: 0 })
    }

    async fn append(&mut self, piece: Piece) -> Result<(), MediaError> {
        let limit_bytes = self.store.0.max_media_bytes;
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.size_bytes > limit_bytes {
            return Err(MediaError::TooLarge { limit_bytes });
        }
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(piece.iter().take(missing));
        self.hash.update(&piece);
        self.file.write_all(&piece).await.map_err(|e| broken("writing a media file", &e))
    }

    async fn complete(mut self) -> Result<MediaInfo, MediaError> {
        const DOING: &str = "storing a media file";
        // Passing the limit once must not be forgotten by calling `finish` all the same.
        if self.size_bytes > self.store.0.max_media_bytes {
            return Err(MediaError::TooLarge { limit_bytes: self.store.0.max_media_bytes });
        }
        self.file.flush().await.map_err(|e| broken(DOING, &e))?;
        self.file.sync_all().await.map_err(|e| broken(DOING, &e))?;
        let hash = hex(self.hash.clone().finish().as_ref());
        let place = self.store.media_path(&hash);
        let shelf = place.parent().map_or_else(|| self.store.media_dir(), Path::to_path_buf);
        make_dirs(&shelf).await.map_err(|e| broken(DOING, &e))?;
        let store = self.store.clone();
        let _gate = store.0.media_gate.lock().await;
        if let Some(path) = &self.aside.0 {
            fs::rename(path, &place).await.map_err(|e| broken(DOING, &e))?;
        }
        self.aside.0 = None;
        store.0.media_used.send_modify(|used| used.stored(self.size_bytes));
        // The new name is durable when its directory is.
        for dir in [shelf.as_path(), &self.store.media_dir()] {
            let dir = File::open(dir).await.map_err(|e| broken(DOING, &e))?;
            dir.sync_all().await.map_err(|e| broken(DOING, &e))?;
        }
        let mime = best(&self.head, &self.mime);
        if let Some(info) = self.record(hash.clone(), mime).await.map_err(failed)? {
            return Ok(info);
        }
        store.drop_unnamed(DOING, vec![hash]).await.map_err(failed)?;
        Err(match self.owner {
            MediaOwner::Media(source) => MediaError::Unknown(source),
            _ => MediaError::Vault("what it belongs to was removed".to_owned()),
        })
    }

    /// `None` when what it goes with is not there any more.
    async fn record(&self, hash: String, mime: String) -> Result<Option<MediaInfo>, StoreError> {
        const DOING: &str = "recording an attachment";
        let number = match &self.owner {
            MediaOwner::Network(network) => Some(self.store.number(network).await?),
            _ => None,
        };
        let owner = self.owner.clone();
        let (media, name, now) = (self.media, self.name.clone(), self.store.0.clock.now().ms());
        let size_bytes = self.size_bytes;
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        self.store
            .writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let Some(bonds) = Bonds::of(tx, &owner, number).await? else { return Ok(None) };
                    let file = row![media.to_string(), READY, name, &*mime, size, hash, now, now];
                    let values = file.into_iter().chain(bonds.values());
                    let rows = sql::fetch(tx, DOING, RECORD, values).await?;
                    let name = rows.first().map_or(Ok(String::new()), |row| row.at(0))?;
                    Ok(Some(MediaInfo { media, state: MediaState::Ready, name, mime, size_bytes }))
                })
            })
            .await
    }
}

/// For nobody else to look into.
async fn make_dirs(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).await
}

impl MediaWriter for Writer {
    fn write(&mut self, piece: Piece) -> BoxFuture<'_, Result<(), MediaError>> {
        Box::pin(self.append(piece))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<MediaInfo, MediaError>> {
        Box::pin(self.complete())
    }
}

/// Bytes coming out.
pub(super) struct Reader(File);

impl Reader {
    /// Opens the file of an attachment of so many bytes. One that is gone or has another length is `Unknown`: whoever
    /// waits for it waits in vain.
    pub(super) async fn open(
        media: MediaId,
        path: &Path,
        size_bytes: u64,
        offset: u64,
    ) -> Result<Self, MediaError> {
        const DOING: &str = "opening a media file";
        let mut file = match File::open(path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(MediaError::Unknown(media)),
            file => file.map_err(|e| broken(DOING, &e))?,
        };
        if file.metadata().await.map_err(|e| broken(DOING, &e))?.len() != size_bytes {
            return Err(MediaError::Unknown(media));
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(|e| broken(DOING, &e))?;
        Ok(Self(file))
    }

    async fn next(&mut self) -> Result<Option<Piece>, MediaError> {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        let mut rest = (&mut self.0).take(PIECE_BYTES as u64);
        rest.read_buf(&mut piece).await.map_err(|e| broken("reading a media file", &e))?;
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }
}

impl MediaReader for Reader {
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Piece>, MediaError>> {
        Box::pin(self.next())
    }
}
