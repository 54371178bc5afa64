//! What a client shows before it has a file: a small copy and its blurred colours (blurhash).
//!
//! Pictures are decoded only in builds with the feature `previews`, one at a time, while their bytes
//! come out of the vault. The cover of a video is a picture that its network made.

#[cfg(feature = "previews")]
use std::sync::Arc;
#[cfg(feature = "previews")]
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use wxgate_contract::{Attachment, AttachmentKind, MediaId, MediaInfo, MediaState};

use crate::config::Previews;
use crate::shared::Shared;
use crate::trouble::Trouble;

use super::upload::{Place, Showing, Upload};

/// Attempts for which a cover that is on its way is waited for. Chosen: seconds; the video is what counts.
const COVER_ATTEMPTS: u32 = 10;
/// How long a picture waits for its turn to be decoded; then it goes without. Chosen: seconds, because what else is said
/// waits with it.
#[cfg(feature = "previews")]
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of a picture beside its bytes.
#[derive(Debug, Default)]
pub(super) struct Preview {
    /// Width and height as it is to be shown.
    pub(super) size: Option<(u32, u32)>,
    blurhash: String,
    /// The copy, and what is told about it.
    thumbnail: Option<(Place, Value)>,
}

impl Preview {
    /// Writes it into the info of a file.
    /// Source: client-server API, "ThumbnailInfo"; MSC2448 for the blurhash.
    pub(super) fn write(self, info: &mut Value) {
        if !self.blurhash.is_empty() {
            info["xyz.amorgan.blurhash"] = json!(self.blurhash);
        }
        let Some((place, about)) = self.thumbnail else { return };
        place.write_thumbnail(info);
        info["thumbnail_info"] = about;
    }
}

/// A picture that was looked at.
struct Looked {
    size: (u32, u32),
    blurhash: String,
    /// Width and height, and a JPEG.
    thumbnail: Option<((u32, u32), Vec<u8>)>,
}

impl Shared {
    /// What there is to be shown before the file; nothing where it has none.
    pub(super) async fn preview(
        &self,
        file: &Attachment,
        info: &MediaInfo,
        showing: Showing,
    ) -> Result<Preview, Trouble> {
        if self.config.previews == Previews::Off {
            return Ok(Preview::default());
        }
        match (file.kind, file.poster) {
            (AttachmentKind::Video, Some(cover)) => self.cover(cover, showing).await,
            _ if info.mime.starts_with("image/") => self.small_copy(file.media, showing.is_sealed).await,
            _ => Ok(Preview::default()),
        }
    }

    /// The cover of a video, and the colours of it.
    async fn cover(&self, cover: MediaId, showing: Showing) -> Result<Preview, Trouble> {
        let info = match self.media.info(cover).await {
            Ok(Some(info)) if info.state == MediaState::Pending && showing.attempt <= COVER_ATTEMPTS => {
                return Err(Trouble::Soon("the cover of the video is still on its way".to_owned()));
            }
            Ok(Some(info)) if info.state == MediaState::Ready && info.mime.starts_with("image/") => info,
            // A video without one is a video.
            _ => return Ok(Preview::default()),
        };
        let picture = super::picture_of(cover);
        let size = self.dimensions(&picture, &info).await;
        let place = match self.upload_ready(&picture, showing.is_sealed).await {
            Err(Trouble::Gone) => return Ok(Preview::default()),
            place => place?,
        };
        let looked = self.look(cover).await;
        let about = thumbnail_info(&info.mime, info.size_bytes, size);
        Ok(Preview {
            // The size of the video is told with it.
            size: None,
            blurhash: looked.map(|looked| looked.blurhash).unwrap_or_default(),
            thumbnail: Some((place, about)),
        })
    }

    /// A small copy of a picture, if it is much larger than that, and its colours.
    async fn small_copy(&self, media: MediaId, is_sealed: bool) -> Result<Preview, Trouble> {
        let Some(looked) = self.look(media).await else { return Ok(Preview::default()) };
        let thumbnail = match looked.thumbnail {
            Some((size, jpeg)) => {
                let about = thumbnail_info("image/jpeg", jpeg.len() as u64, size);
                Some((self.upload_thumbnail(media, jpeg, is_sealed).await?, about))
            }
            None => None,
        };
        Ok(Preview { size: Some(looked.size), blurhash: looked.blurhash, thumbnail })
    }

    async fn upload_thumbnail(
        &self,
        media: MediaId,
        jpeg: Vec<u8>,
        is_sealed: bool,
    ) -> Result<Place, Trouble> {
        let key = format!("small {media}");
        if let Some(place) = self.uploaded(&key, is_sealed) {
            return Ok(place);
        }
        let place = self.put(Upload::of(Bytes::from(jpeg), "thumbnail.jpg", "image/jpeg"), is_sealed).await?;
        self.note_uploaded(&key, &place);
        Ok(place)
    }

    /// Decodes a picture as its bytes come; `None` for what cannot be decoded.
    #[cfg(feature = "previews")]
    async fn look(&self, media: MediaId) -> Option<Looked> {
        let turn = Arc::clone(&self.looking).acquire_owned();
        // Closed never: it lives as long as this.
        let turn = tokio::time::timeout(TURN_PATIENCE, turn).await.ok()?.ok()?;
        let mut reader = self.media.reader(media, 0).await.ok()?;
        // One piece of 64 KiB under way while the last one is decoded.
        let (pieces, read) = tokio::sync::mpsc::channel(1);
        let decoding = tokio::task::spawn_blocking(move || {
            let looked = wxgate_preview::of(pipe::Pipe::new(read)).map(|preview| Looked {
                size: preview.size,
                blurhash: preview.blurhash,
                thumbnail: preview.thumbnail.map(|small| (small.size, small.jpeg)),
            });
            // Here, because nobody may be waiting for it any more while it still takes its memory.
            drop(turn);
            looked
        });
        while let Ok(Some(piece)) = reader.read().await {
            if pieces.send(piece).await.is_err() {
                // It has seen enough.
                break;
            }
        }
        drop(pieces);
        decoding.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a picture could not be looked at");
            None
        })
    }

    /// This build decodes no pictures.
    #[cfg(not(feature = "previews"))]
    #[expect(clippy::unused_async, reason = "it waits in builds that decode pictures")]
    async fn look(&self, _: MediaId) -> Option<Looked> {
        None
    }
}

fn thumbnail_info(mime: &str, bytes: u64, (width, height): (u32, u32)) -> Value {
    let mut info = json!({ "mimetype": mime, "size": bytes });
    if width > 0 && height > 0 {
        (info["w"], info["h"]) = (json!(width), json!(height));
    }
    info
}

#[cfg(feature = "previews")]
mod pipe {
    //! Pieces from a task as bytes for a thread.

    use std::io::{self, Read};

    use bytes::{Buf, Bytes};
    use tokio::sync::mpsc::Receiver;

    pub(super) struct Pipe {
        pieces: Receiver<Bytes>,
        piece: Bytes,
    }

    impl Pipe {
        pub(super) fn new(pieces: Receiver<Bytes>) -> Self {
            Self { pieces, piece: Bytes::new() }
        }
    }

    impl Read for Pipe {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            while self.piece.is_empty() {
                match self.pieces.blocking_recv() {
                    Some(piece) => self.piece = piece,
                    // Whoever reads is gone, or the file is at its end.
                    None => return Ok(0),
                }
            }
            let taken = self.piece.len().min(into.len());
            self.piece.copy_to_slice(&mut into[..taken]);
            Ok(taken)
        }
    }
}
