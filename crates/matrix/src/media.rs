//! Files of posts: out of the vault into the homeserver, streamed, and the events that show them.

mod fetch;
mod picture;
mod preview;
mod queue;
mod upload;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use wxgate_contract::{Attachment, AttachmentKind, MediaError, MediaId, MediaInfo, MediaReader, MediaState};
use wxgate_convert::Form;

pub(crate) use fetch::{Fetcher, Source};
use preview::Preview;
pub(crate) use upload::{Pieces, Place, Showing, Upload};

use crate::client::{CallError, TOO_LARGE};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How much of a file is looked at for its dimensions. Source: picture formats say them within the
/// first few hundred bytes, JPEG after at most 64 KiB of metadata blocks.
const HEAD_BYTES: usize = 128 << 10;

/// Attempts after which a file that is still on its way is told as a link: some minutes. What was
/// said after it must not wait for a phone that is switched off.
const PENDING_ATTEMPTS: u32 = 80;

/// A file as it can be shown.
pub(crate) enum Shown {
    /// Event type and content.
    File(&'static str, Value),
    /// It cannot be had; a line that says so.
    Line(String),
}

impl Shared {
    /// Uploads a file and writes its event.
    pub(crate) async fn show_file(&self, file: &Attachment, showing: Showing) -> Result<Shown, Trouble> {
        let info = self.media.info(file.media).await.map_err(|_| not_readable())?;
        let what = kind_word(file.kind);
        let gone = || Ok(Shown::Line(format!("[{what}] is not there any more")));
        let Some(info) = info else { return gone() };
        match &info.state {
            MediaState::Ready => {}
            MediaState::Failed { why } => {
                return Ok(Shown::Line(format!("[{what}] could not be fetched, because {why}")));
            }
            MediaState::Pending if showing.attempt > PENDING_ATTEMPTS => {
                return Ok(Shown::Line(self.as_link(what, "is still on its way", file)));
            }
            MediaState::Pending => {
                return Err(Trouble::Soon("the attachment is still on its way".to_owned()));
            }
        }
        let info = self.as_matrix_has_it(file, info).await;
        let file = &Attachment { media: info.media, name: info.name.clone(), ..file.clone() };
        if self.facts().upload_bytes.is_some_and(|limit| info.size_bytes > limit) {
            return Ok(Shown::Line(self.as_link(what, "is larger than this homeserver takes", file)));
        }
        let mime = mime_of(file, &info);
        let name = name_of(file, &info, mime);
        let place = match self.upload_file(file, &info, (&name, mime), showing.is_sealed).await {
            Ok(place) => place,
            // A proxy in front of a homeserver takes less than the homeserver tells.
            Err(Trouble::Call(error)) if error.code() == TOO_LARGE => {
                return Ok(Shown::Line(self.as_link(what, "is larger than this homeserver takes", file)));
            }
            Err(Trouble::Gone) => return gone(),
            Err(error) => return Err(error),
        };
        let preview = self.preview(file, &info, showing).await?;
        let size = match preview.size {
            Some(size) => size,
            None => self.dimensions(file, &info).await,
        };
        let facts = Facts { place, name, mime, bytes: info.size_bytes, size };
        Ok(facts.event(file, preview))
    }

    /// A voice message as Opus in Ogg, which is all that many clients play.
    /// Source: MSC3245, "Proposal".
    async fn as_matrix_has_it(&self, file: &Attachment, info: MediaInfo) -> MediaInfo {
        let name = if file.name.is_empty() { info.name.clone() } else { file.name.clone() };
        let info = MediaInfo { name, ..info };
        let Some(converter) = &self.config.converter else { return info };
        if file.kind != AttachmentKind::Voice || info.mime == "audio/ogg" {
            return info;
        }
        match converter.convert(&*self.media, &info, Form::Voice).await {
            // One that has no name is called after what it is.
            Some(made) if info.name.is_empty() => MediaInfo { name: String::new(), ..made },
            Some(made) => made,
            None => info,
        }
    }

    /// Uploads a file that is in the vault.
    pub(crate) async fn upload_ready(&self, file: &Attachment, is_sealed: bool) -> Result<Place, Trouble> {
        let info = self.media.info(file.media).await.map_err(|_| not_readable())?;
        let Some(info) = info.filter(|info| info.state == MediaState::Ready) else {
            return Err(not_readable());
        };
        let mime = mime_of(file, &info);
        let name = name_of(file, &info, mime);
        self.upload_file(file, &info, (&name, mime), is_sealed).await
    }

    fn as_link(&self, what: &str, why: &str, file: &Attachment) -> String {
        match self.media.link(file.media, &file.name) {
            Some(link) => format!("[{what}] {why}: {link}"),
            None => format!("[{what}] {why}"),
        }
    }

    /// The place of the upload; the same file is uploaded once, as long as it is remembered.
    async fn upload_file(
        &self,
        file: &Attachment,
        info: &MediaInfo,
        (name, mime): (&str, &str),
        is_sealed: bool,
    ) -> Result<Place, Trouble> {
        let key = file.media.to_string();
        if let Some(place) = self.uploaded(&key, is_sealed) {
            return Ok(place);
        }
        let reader = match self.media.reader(file.media, 0).await {
            Err(MediaError::Unknown(media)) => {
                tracing::warn!(%media, "the bytes of an attachment are gone or damaged");
                return Err(Trouble::Gone);
            }
            Err(_) => return Err(CallError::Unreadable { endpoint: "upload" }.into()),
            Ok(reader) => reader,
        };
        let upload = Upload { name, mime, bytes: info.size_bytes, pieces: pieces(reader).boxed() };
        let place = self.put(upload, is_sealed).await?;
        self.note_uploaded(&key, &place);
        Ok(place)
    }

    /// Width and height: as told, else as the picture itself says.
    async fn dimensions(&self, file: &Attachment, info: &MediaInfo) -> (u32, u32) {
        let is_told = file.width_px > 0 && file.height_px > 0;
        if is_told || !info.mime.starts_with("image/") {
            return (file.width_px, file.height_px);
        }
        let Ok(mut reader) = self.media.reader(file.media, 0).await else { return (0, 0) };
        let mut head = Vec::new();
        while head.len() < HEAD_BYTES {
            match reader.read().await {
                Ok(Some(piece)) => head.extend_from_slice(&piece),
                _ => break,
            }
        }
        picture::dimensions(&head).unwrap_or((0, 0))
    }
}

/// A picture in the vault of which nothing else is known.
pub(crate) fn picture_of(media: MediaId) -> Attachment {
    Attachment {
        media,
        kind: AttachmentKind::Image,
        name: String::new(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    }
}

fn not_readable() -> Trouble {
    Trouble::NotYet("the attachment cannot be read".to_owned())
}

/// The pieces of a file as a stream.
fn pieces(
    reader: Box<dyn MediaReader>,
) -> impl futures_util::Stream<Item = Result<Bytes, MediaError>> + Send + 'static {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.read().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// What the event of a file says.
struct Facts<'a> {
    place: Place,
    name: String,
    mime: &'a str,
    bytes: u64,
    /// Width and height; zero when unknown.
    size: (u32, u32),
}

impl Facts<'_> {
    /// Source: client-server API, "m.room.message msgtypes" and "Stickers"; captions as in MSC2530
    /// (specification v1.10); voice messages as in MSC3245.
    fn event(self, file: &Attachment, preview: Preview) -> Shown {
        let mut info = json!({ "mimetype": self.mime, "size": self.bytes });
        if self.size.0 > 0 && self.size.1 > 0 {
            (info["w"], info["h"]) = (json!(self.size.0), json!(self.size.1));
        }
        preview.write(&mut info);
        if file.duration_ms > 0 {
            info["duration"] = json!(file.duration_ms);
        }
        let body = if file.caption.is_empty() { &self.name } else { &file.caption };
        let mut content = json!({ "body": body, "info": info, "m.mentions": {} });
        self.place.clone().write(&mut content);
        if file.kind == AttachmentKind::Sticker {
            return Shown::File("m.sticker", content);
        }
        content["msgtype"] = json!(self.msgtype(file.kind));
        content["filename"] = json!(self.name);
        if file.kind == AttachmentKind::Voice {
            content["org.matrix.msc3245.voice"] = json!({});
            content["org.matrix.msc1767.audio"] = json!({ "duration": file.duration_ms });
        }
        Shown::File("m.room.message", content)
    }

    /// What the bytes are counts, not what they were called: a client shows a picture that is none
    /// as broken.
    fn msgtype(&self, kind: AttachmentKind) -> &'static str {
        let is = |family: &str| self.mime.starts_with(family);
        match kind {
            AttachmentKind::Image | AttachmentKind::Sticker if is("image/") => "m.image",
            AttachmentKind::Video if is("video/") => "m.video",
            AttachmentKind::Voice => "m.audio",
            _ => "m.file",
        }
    }
}

fn kind_word(kind: AttachmentKind) -> &'static str {
    match kind {
        AttachmentKind::Image => "image",
        AttachmentKind::Sticker => "sticker",
        AttachmentKind::Voice => "voice message",
        AttachmentKind::Video => "video",
        AttachmentKind::File => "file",
    }
}

/// As sniffed, else as told.
fn mime_of<'a>(file: &'a Attachment, info: &'a MediaInfo) -> &'a str {
    let known = [info.mime.as_str(), &file.mime].into_iter().find(|mime| mime.contains('/'));
    known.unwrap_or("application/octet-stream")
}

/// The file's name, else one that says what it is.
fn name_of(file: &Attachment, info: &MediaInfo, mime: &str) -> String {
    let named = [&file.name, &info.name].into_iter().find(|name| !name.is_empty());
    if let Some(name) = named {
        return name.clone();
    }
    let extension = match mime {
        "image/jpeg" => ".jpg",
        "image/png" => ".png",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "audio/mpeg" => ".mp3",
        "audio/ogg" => ".ogg",
        "video/mp4" => ".mp4",
        "application/pdf" => ".pdf",
        _ => "",
    };
    format!("{}{extension}", kind_word(file.kind).replace(' ', "-"))
}
