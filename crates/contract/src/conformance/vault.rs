//! The double's media vault: bytes in memory, because tests use small files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::Double;
use crate::context::BoxFuture;
use crate::ids::{MediaId, NetworkId};
use crate::media::{
    MediaError, MediaInfo, MediaOwner, MediaReader, MediaState, MediaVault, MediaWriter, PendingMedia,
};

/// Largest file the double takes, so that tests can show what happens at the limit.
const LIMIT_BYTES: usize = 8 << 20;
/// The largest piece a reader gives. Contract of `MediaReader`.
const PIECE_BYTES: usize = 64 << 10;

/// What happened to the bytes of a ready file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// They are gone.
    Gone,
    /// They cannot be read to their end.
    Breaks,
}

struct Held {
    info: MediaInfo,
    bytes: Bytes,
    harm: Option<Harm>,
    owner: MediaOwner,
    pending: Option<(NetworkId, PendingMedia)>,
}

type Shelf = Arc<Mutex<BTreeMap<MediaId, Held>>>;

#[derive(Clone, Default)]
pub(super) struct Vault(Shelf);

impl Vault {
    fn shelf(&self) -> MutexGuard<'_, BTreeMap<MediaId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announce(&self, network: &NetworkId, media: Vec<PendingMedia>) {
        let mut shelf = self.shelf();
        for pending in media {
            let info = MediaInfo {
                media: pending.media,
                state: MediaState::Pending,
                name: pending.name.clone(),
                mime: pending.mime.clone(),
                size_bytes: 0,
            };
            let owner = MediaOwner::Posts;
            let pending_of = Some((network.clone(), pending.clone()));
            let held = Held { info, bytes: Bytes::new(), harm: None, owner, pending: pending_of };
            shelf.entry(pending.media).or_insert(held);
        }
    }
}

struct Writer {
    double: Double,
    info: MediaInfo,
    owner: MediaOwner,
    bytes: BytesMut,
}

impl MediaWriter for Writer {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), MediaError>> {
        Box::pin(async move {
            if self.bytes.len() + piece.len() > LIMIT_BYTES {
                return Err(MediaError::TooLarge { limit_bytes: LIMIT_BYTES as u64 });
            }
            self.bytes.extend_from_slice(&piece);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<MediaInfo, MediaError>> {
        Box::pin(async move {
            let Self { double, mut info, owner, bytes } = *self;
            info.state = MediaState::Ready;
            info.size_bytes = bytes.len() as u64;
            let held = Held { info: info.clone(), bytes: bytes.freeze(), harm: None, owner, pending: None };
            double.0.vault.shelf().insert(info.media, held);
            double.changed();
            Ok(info)
        })
    }
}

struct Reader(Bytes, Option<Harm>);

impl MediaReader for Reader {
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, MediaError>> {
        Box::pin(async move {
            let piece = self.0.split_to(self.0.len().min(PIECE_BYTES));
            if self.0.is_empty() && self.1 == Some(Harm::Breaks) {
                return Err(MediaError::Vault("the disk cannot be read".to_owned()));
            }
            Ok((!piece.is_empty()).then_some(piece))
        })
    }
}

impl Double {
    /// Puts a ready file into the vault.
    pub fn put_media(&self, media: MediaId, name: &str, mime: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let info = MediaInfo {
            media,
            state: MediaState::Ready,
            name: name.to_owned(),
            mime: mime.to_owned(),
            size_bytes: bytes.len() as u64,
        };
        let owner = MediaOwner::Posts;
        self.0.vault.shelf().insert(media, Held { info, bytes, harm: None, owner, pending: None });
        self.changed();
    }

    /// Does something to the bytes of a file.
    pub fn harm_media(&self, media: MediaId, harm: Harm) {
        if let Some(held) = self.0.vault.shelf().get_mut(&media) {
            held.harm = Some(harm);
        }
    }

    /// With what a file goes; `None` when there is no such file.
    pub fn media_owner(&self, media: MediaId) -> Option<MediaOwner> {
        self.0.vault.shelf().get(&media).map(|held| held.owner.clone())
    }

    /// Whether a file that is here goes with `owner`.
    pub fn has_media_of(&self, owner: &MediaOwner) -> bool {
        let shelf = self.0.vault.shelf();
        shelf.values().any(|held| held.owner == *owner && held.info.state == MediaState::Ready)
    }

    /// The bytes of a ready file.
    pub fn media_bytes(&self, media: MediaId) -> Option<Bytes> {
        let shelf = self.0.vault.shelf();
        shelf.get(&media).filter(|held| held.info.state == MediaState::Ready).map(|held| held.bytes.clone())
    }
}

impl MediaVault for Double {
    fn writer(
        &self,
        media: MediaId,
        name: &str,
        mime: &str,
        owner: MediaOwner,
    ) -> BoxFuture<'_, Result<Box<dyn MediaWriter>, MediaError>> {
        let info = MediaInfo {
            media,
            state: MediaState::Pending,
            name: name.to_owned(),
            mime: mime.to_owned(),
            size_bytes: 0,
        };
        let writer = Writer { double: self.clone(), info, owner, bytes: BytesMut::new() };
        Box::pin(async move { Ok(Box::new(writer) as Box<dyn MediaWriter>) })
    }

    fn reader(&self, media: MediaId, offset: u64) -> BoxFuture<'_, Result<Box<dyn MediaReader>, MediaError>> {
        Box::pin(async move {
            let mut bytes = self.media_bytes(media).ok_or(MediaError::Unknown(media))?;
            let harm = self.0.vault.shelf().get(&media).and_then(|held| held.harm);
            if harm == Some(Harm::Gone) {
                return Err(MediaError::Unknown(media));
            }
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Ok(Box::new(Reader(bytes.split_off(offset), harm)) as Box<dyn MediaReader>)
        })
    }

    fn info(&self, media: MediaId) -> BoxFuture<'_, Result<Option<MediaInfo>, MediaError>> {
        Box::pin(async move { Ok(self.0.vault.shelf().get(&media).map(|held| held.info.clone())) })
    }

    fn fail(&self, media: MediaId, why: &str) -> BoxFuture<'_, Result<(), MediaError>> {
        let why = why.to_owned();
        Box::pin(async move {
            if let Some(held) = self.0.vault.shelf().get_mut(&media) {
                held.info.state = MediaState::Failed { why };
                held.pending = None;
            }
            self.changed();
            Ok(())
        })
    }

    fn pending(
        &self,
        network: &NetworkId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<PendingMedia>, MediaError>> {
        let network = network.clone();
        Box::pin(async move {
            let shelf = self.0.vault.shelf();
            let waiting = shelf.values().filter_map(|held| held.pending.as_ref());
            Ok(waiting.filter(|(n, _)| *n == network).take(limit).map(|(_, p)| p.clone()).collect())
        })
    }

    fn link(&self, media: MediaId, name: &str) -> Option<String> {
        Some(format!("http://127.0.0.1:8480/media/{media}/{name}"))
    }
}
