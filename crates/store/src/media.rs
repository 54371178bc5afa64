//! The vault: attachments' bytes as files named by their content, and a row for each attachment.
//!
//! A file is written aside, made durable, renamed into place, and only then named by a row. A
//! crash in between leaves a file that no row names; `prune_media` finds and removes it.

mod file;
mod forget;
mod prune;
mod sniff;
mod used;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::any::AnyRow;
use wxgate_contract::{
    BoxFuture, MediaError, MediaId, MediaInfo, MediaOwner, MediaReader, MediaState, MediaVault, MediaWriter,
    NetworkId, PendingMedia,
};

use crate::error::StoreError;
use crate::limits;
use crate::seal::Place;
use crate::sql::{self, Columns, row};
use crate::store::Store;

pub(crate) use forget::{forget, forget_words, hand_over};
pub(crate) use used::Used;

/// Writes the signed address of an attachment; the second argument is its file name.
pub type LinkMedia = Arc<dyn Fn(MediaId, &str) -> Option<String> + Send + Sync>;

/// Last use is written down at most this often, so that reading does not become writing.
const USE_NOTED_MS: i64 = 3_600_000;

impl Store {
    /// The vault of attachments. `link` writes the addresses under which people fetch them.
    pub fn vault(&self, link: LinkMedia) -> Arc<dyn MediaVault> {
        Arc::new(Vault { store: self.clone(), link })
    }

    pub(crate) fn media_dir(&self) -> PathBuf {
        self.0.data_dir.join("media")
    }

    /// Where the bytes with this hash are.
    pub(crate) fn media_path(&self, hash: &str) -> PathBuf {
        let (shelf, rest) = hash.split_at_checked(2).unwrap_or((hash, ""));
        self.media_dir().join(shelf).join(rest)
    }
}

struct Vault {
    store: Store,
    link: LinkMedia,
}

fn failed(error: StoreError) -> MediaError {
    MediaError::Vault(error.to_string())
}

/// `state` as `media.state` has it.
const PENDING: i64 = 0;
const READY: i64 = 1;
const FAILED: i64 = 2;

/// What a row says.
struct MediaRow {
    info: MediaInfo,
    hash: Option<String>,
    last_used_ms: i64,
}

async fn load(store: &Store, media: MediaId) -> Result<Option<MediaRow>, StoreError> {
    const DOING: &str = "reading an attachment's row";
    let mut conn = store.reader(DOING).await?;
    let text = "SELECT state, name, mime, size_bytes, hash, why, last_used_ms FROM media WHERE id = $1";
    let rows = sql::fetch(&mut conn, DOING, text, row![media.to_string()]).await?;
    rows.first().map(|row| media_row(media, row)).transpose()
}

fn media_row(media: MediaId, row: &AnyRow) -> Result<MediaRow, StoreError> {
    let state = match row.at::<i64>(0)? {
        PENDING => MediaState::Pending,
        READY => MediaState::Ready,
        FAILED => MediaState::Failed { why: row.at::<Option<String>>(5)?.unwrap_or_default() },
        _ => return Err(StoreError::corrupt("media", media)),
    };
    let size_bytes = u64::try_from(row.at::<i64>(3)?).unwrap_or(0);
    let info = MediaInfo { media, state, name: row.at(1)?, mime: row.at(2)?, size_bytes };
    Ok(MediaRow { info, hash: row.at(4)?, last_used_ms: row.at(6)? })
}

impl Vault {
    async fn open_writer(
        &self,
        media: MediaId,
        name: &str,
        mime: &str,
        owner: MediaOwner,
    ) -> Result<Box<dyn MediaWriter>, MediaError> {
        for (what, text) in [("the name of an attachment", name), ("the media type of an attachment", mime)] {
            limits::check_id(what, text).map_err(failed)?;
        }
        let writer =
            file::Writer::open(self.store.clone(), media, name.to_owned(), mime.to_owned(), owner).await?;
        Ok(Box::new(writer))
    }

    async fn open_reader(&self, media: MediaId, offset: u64) -> Result<Box<dyn MediaReader>, MediaError> {
        let Some(row) = load(&self.store, media).await.map_err(failed)? else {
            return Err(MediaError::Unknown(media));
        };
        let (MediaState::Ready, Some(hash)) = (&row.info.state, &row.hash) else {
            return Err(MediaError::Unknown(media));
        };
        let now = self.store.0.clock.now().ms();
        if now.saturating_sub(row.last_used_ms) >= USE_NOTED_MS {
            // Only keeps the file from being pruned soon; reading it does not depend on it.
            let _ = self.note_use(media, now).await;
        }
        let (path, size_bytes) = (self.store.media_path(hash), row.info.size_bytes);
        Ok(Box::new(file::Reader::open(media, &path, size_bytes, offset).await?))
    }

    async fn note_use(&self, media: MediaId, now: i64) -> Result<(), StoreError> {
        const DOING: &str = "noting the use of an attachment";
        self.store
            .writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE media SET last_used_ms = $1 WHERE id = $2";
                    sql::run(tx, DOING, text, row![now, media.to_string()]).await.map(|_| ())
                })
            })
            .await
    }

    async fn give_up(&self, media: MediaId, why: &str) -> Result<(), StoreError> {
        const DOING: &str = "giving up on an attachment";
        let why = why.replace('\0', "");
        self.store
            .writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    // What is here already stays here; the way to fetch it is not needed any more.
                    let text =
                        "UPDATE media SET state = $1, why = $2, source = NULL WHERE id = $3 AND state = $4";
                    sql::run(tx, DOING, text, row![FAILED, why, media.to_string(), PENDING]).await.map(|_| ())
                })
            })
            .await
    }

    async fn announced(&self, network: &NetworkId, limit: usize) -> Result<Vec<PendingMedia>, StoreError> {
        const DOING: &str = "reading announced attachments";
        let Some(number) = self.store.find(network).await? else { return Ok(Vec::new()) };
        let mut conn = self.store.reader(DOING).await?;
        let text = "SELECT id, name, mime, source FROM media WHERE network = $1 AND state = $2 \
                    ORDER BY created_ms, id LIMIT $3";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, PENDING, limits::rows(limit)]).await?;
        rows.iter().map(|row| self.pending_row(network, row)).collect()
    }

    fn pending_row(&self, network: &NetworkId, row: &AnyRow) -> Result<PendingMedia, StoreError> {
        let id: String = row.at(0)?;
        let corrupt = || StoreError::corrupt("media", &id);
        let media = id.parse().map_err(|_| corrupt())?;
        let sealed = row.at::<Option<Vec<u8>>>(3)?.ok_or_else(corrupt)?;
        let place = Place::Media { network: network.as_str(), media: &id };
        let source = self.store.0.key.open(&place, &sealed).ok_or_else(corrupt)?.into();
        Ok(PendingMedia { media, source, name: row.at(1)?, mime: row.at(2)? })
    }
}

impl MediaVault for Vault {
    fn writer(
        &self,
        media: MediaId,
        name: &str,
        mime: &str,
        owner: MediaOwner,
    ) -> BoxFuture<'_, Result<Box<dyn MediaWriter>, MediaError>> {
        let (name, mime) = (name.to_owned(), mime.to_owned());
        Box::pin(async move { self.open_writer(media, &name, &mime, owner).await })
    }

    fn reader(&self, media: MediaId, offset: u64) -> BoxFuture<'_, Result<Box<dyn MediaReader>, MediaError>> {
        Box::pin(self.open_reader(media, offset))
    }

    fn info(&self, media: MediaId) -> BoxFuture<'_, Result<Option<MediaInfo>, MediaError>> {
        Box::pin(async move { Ok(load(&self.store, media).await.map_err(failed)?.map(|row| row.info)) })
    }

    fn fail(&self, media: MediaId, why: &str) -> BoxFuture<'_, Result<(), MediaError>> {
        let why = why.to_owned();
        Box::pin(async move { self.give_up(media, &why).await.map_err(failed) })
    }

    fn pending(
        &self,
        network: &NetworkId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<PendingMedia>, MediaError>> {
        let network = network.clone();
        Box::pin(async move { self.announced(&network, limit).await.map_err(failed) })
    }

    fn link(&self, media: MediaId, name: &str) -> Option<String> {
        (self.link)(media, name)
    }
}

/// A failure of the file system.
fn broken(doing: &str, error: &std::io::Error) -> MediaError {
    MediaError::Vault(format!("{doing} failed: {error}"))
}

/// Nothing of a piece is copied on its way.
type Piece = Bytes;
