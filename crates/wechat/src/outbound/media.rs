//! Files: read from the vault twice (for the digest, then in pieces), uploaded one at a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use wechat_proto::endpoint::{
    AppSource, CheckUpload, EmoticonSource, ImageSource, SendApp, SendEmoticon, SendImage, SendVideo, To,
    UploadPiece, send_emoticon, send_video,
};
use wechat_proto::upload::{self, MediaKind, PIECE_BYTES, Plan};
use wechat_proto::{Reaction, Secret};
use wxgate_contract::{Attachment, AttachmentKind, MediaInfo, MediaReader, MediaState, Outcome, RemoteId};
use wxgate_convert::Form;

use super::unanswered::{self, What};
use super::{Errand, Miss, Outbound, UPLOAD_LIMIT, client_msg_id, echo_type, verdict};
use crate::transport::CallError;

/// Failures after which an upload is given up. Chosen.
const UPLOAD_ATTEMPTS: u32 = 5;
/// Looks while the bytes are still on their way into the vault. Chosen: some five minutes.
const PENDING_ATTEMPTS: u32 = 12;

/// A file that is ready to be uploaded.
struct Upload {
    name: String,
    mime: String,
    bytes: u64,
    md5: String,
    kind: MediaKind,
}

impl Outbound {
    pub(super) async fn send_file(
        &self,
        errand: &Errand<'_>,
        piece: usize,
        attachment: &Attachment,
    ) -> Result<RemoteId, Outcome> {
        let refused = |why: &str| Outcome::Refused { why: why.to_owned() };
        let later = |why: &str| Outcome::TryLater {
            after: verdict::soon(errand.delivery.attempt),
            why: why.to_owned(),
        };
        let info =
            self.vault.info(attachment.media).await.map_err(|_| later("the attachment cannot be read"))?;
        let Some(info) = info else { return Err(refused("the attachment is not there any more")) };
        match info.state {
            MediaState::Ready if info.size_bytes == 0 => return Err(refused("WeChat takes no empty files")),
            MediaState::Ready => {}
            MediaState::Failed { why } => return Err(Outcome::Refused { why }),
            MediaState::Pending if self.failed(errand.delivery.id, Miss::Bytes) >= PENDING_ATTEMPTS => {
                return Err(refused("the attachment never arrived"));
            }
            MediaState::Pending => return Err(later("the attachment is still on its way")),
        }
        // One at a time: a second file waits here, to be brought into another form too, texts of other chats do not.
        let _turn = self.uploads.acquire().await;
        let info = self.as_wechat_takes_it(attachment, info).await;
        self.not_paused()?;
        let attachment = &Attachment { media: info.media, ..attachment.clone() };
        let mime = if info.mime.is_empty() { &attachment.mime } else { &info.mime };
        let name = with_extension(upload::base_name(&info.name), mime);
        let kind = kind_of(&name, info.size_bytes);
        let md5 = self
            .digest(attachment, info.size_bytes)
            .await
            .ok_or_else(|| later("the attachment cannot be read"))?;
        let mime = if mime.is_empty() { "application/octet-stream".to_owned() } else { mime.clone() };
        let file = Upload { name, mime, bytes: info.size_bytes, md5, kind };
        let uploaded =
            tokio::time::timeout(UPLOAD_LIMIT, Box::pin(self.upload(errand, attachment, &file))).await;
        let (media_id, signature) = uploaded.map_err(|_| later("the upload took too long"))??;

        let id = client_msg_id(&self.network, errand.delivery, piece);
        let to = To { own: &errand.own, to: &errand.to, id: &id };
        let echo = unanswered::File { msg_type: echo_type(kind), bytes: file.bytes, md5: file.md5.clone() };
        let what = (piece, What::File(echo));
        match kind {
            MediaKind::Picture => {
                self.send(errand, what, &SendImage { to, image: ImageSource::Uploaded(&media_id) }).await
            }
            MediaKind::Emoticon => {
                self.send(errand, what, &SendEmoticon { to, emoticon: EmoticonSource::Uploaded(&media_id) })
                    .await
            }
            MediaKind::Video => self.send(errand, what, &SendVideo { to, media_id: &media_id }).await,
            MediaKind::Document => {
                let signature = signature.as_ref().map(Secret::reveal);
                let source =
                    AppSource::File { media_id: &media_id, name: &file.name, bytes: file.bytes, signature };
                self.send(errand, what, &SendApp { to, source }).await
            }
        }
    }

    /// The file, in the form that WeChat demands of its kind where that can be had.
    async fn as_wechat_takes_it(&self, attachment: &Attachment, info: MediaInfo) -> MediaInfo {
        let name = if attachment.name.is_empty() { info.name.clone() } else { attachment.name.clone() };
        let info = MediaInfo { name, ..info };
        match (&self.converter, form_for(attachment.kind, &info.mime, info.size_bytes)) {
            (Some(converter), Some(form)) => {
                converter.convert(&*self.vault, &info, form).await.unwrap_or(info)
            }
            _ => info,
        }
    }

    /// The digest of the whole file, without holding it; `None` when the vault's bytes are not
    /// what it said.
    async fn digest(&self, attachment: &Attachment, bytes: u64) -> Option<String> {
        let mut reader = self.vault.reader(attachment.media, 0).await.ok()?;
        let (mut hash, mut read) = (Md5::new(), 0_u64);
        while let Some(part) = reader.read().await.ok()? {
            hash.update(&part);
            read += part.len() as u64;
        }
        let text = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (read == bytes).then_some(text)
    }

    /// Uploads and gives the `MediaId`, and the signature that a large file's send needs.
    async fn upload(
        &self,
        errand: &Errand<'_>,
        attachment: &Attachment,
        file: &Upload,
    ) -> Result<(String, Option<Secret>), Outcome> {
        let failed = |error: CallError| match &error {
            CallError::Refused { ret, .. } if ret.reaction() == Reaction::SlowDown => {
                self.said_no(*ret, errand)
            }
            error => upload_failed(error, self.failed(errand.delivery.id, Miss::Call)),
        };
        let mut checked = None;
        if upload::needs_check(file.bytes) {
            let (own, to) = (&errand.own, &errand.to);
            let check = CheckUpload { own, to, bytes: file.bytes, md5: &file.md5, name: &file.name };
            let reply = self.transport.ask(&self.live, &check).await.map_err(failed)?;
            if !reply.base.ret.is_ok() {
                let words: String = reply.base.err_msg.chars().take(200).collect();
                let is_too_much = reply.base.ret.reaction() == Reaction::SlowDown;
                return Err(if words.is_empty() || is_too_much {
                    self.said_no(reply.base.ret, errand)
                } else {
                    Outcome::Refused { why: words }
                });
            }
            if !reply.media_id.is_empty() {
                return Ok((reply.media_id, Some(reply.signature)));
            }
            checked = Some((reply.aes_key, reply.signature));
        }
        let ticket = self.live.cookie("webwx_data_ticket").unwrap_or_default();
        let boundary = format!("----wxgate{:016x}{:016x}", self.random(), self.random());
        let plan = Plan {
            name: &file.name,
            mime: &file.mime,
            total_bytes: file.bytes,
            md5: &file.md5,
            kind: file.kind,
            own: &errand.own,
            to: &errand.to,
            client_media_id: self.media_id(),
            file_number: self.files.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            last_modified: "Tue Nov 14 2023 22:13:20 GMT+0800 (CST)",
            data_ticket: &ticket,
            checked: checked.as_ref().map(|(aes_key, signature)| (aes_key, signature)),
            boundary: &boundary,
        };
        let unreadable = || Outcome::Refused { why: "the attachment cannot be read any more".to_owned() };
        let mut reader = self.vault.reader(attachment.media, 0).await.map_err(|_| unreadable())?;
        let mut rest = BytesMut::new();
        let mut media_id = String::new();
        for index in 0..plan.pieces() {
            let wanted = PIECE_BYTES.min(file.bytes - index * PIECE_BYTES);
            let bytes = next_piece(&mut *reader, &mut rest, wanted).await.ok_or_else(unreadable)?;
            let piece = UploadPiece { plan: &plan, index, bytes };
            let reply = self.transport.call(&self.live, &piece).await.map_err(failed)?;
            media_id = reply.media_id;
        }
        Ok((media_id, checked.map(|(_, signature)| signature)))
    }
}

/// Exactly `wanted` bytes; what was read beyond them stays in `rest`.
async fn next_piece(reader: &mut dyn MediaReader, rest: &mut BytesMut, wanted: u64) -> Option<Bytes> {
    let wanted = usize::try_from(wanted).ok()?;
    while rest.len() < wanted {
        rest.extend_from_slice(&reader.read().await.ok()??);
    }
    Some(rest.split_to(wanted).freeze())
}

/// An upload says nothing to anybody, so repeating it is always safe.
fn upload_failed(error: &CallError, failures: u32) -> Outcome {
    if let CallError::Refused { ret, .. } = error
        && ret.reaction() != Reaction::Bug
    {
        return verdict::of_ret(*ret, failures);
    }
    let why = "the file could not be uploaded to WeChat".to_owned();
    if failures >= UPLOAD_ATTEMPTS {
        return Outcome::Refused { why };
    }
    Outcome::TryLater { after: verdict::soon(failures).max(Duration::from_secs(2)), why }
}

/// In which other form a file has to go so that WeChat shows it as what it is. What is sent as a file
/// stays as it is, whatever is in it. Voice cannot be sent as voice: a sound that every phone plays is
/// the nearest. Source: the protocol sheet, sections 2.18 and 2.20.
fn form_for(kind: AttachmentKind, mime: &str, bytes: u64) -> Option<Form> {
    let is_picture = mime.starts_with("image/");
    match (kind, mime) {
        (AttachmentKind::Sticker, "image/gif") if bytes <= send_emoticon::MAX_GIF_BYTES => None,
        (AttachmentKind::Sticker, _) => (is_picture || mime.starts_with("video/")).then_some(Form::Sticker),
        (AttachmentKind::Image, "image/jpeg" | "image/png" | "image/bmp" | "image/gif") => None,
        (AttachmentKind::Image, _) => is_picture.then_some(Form::Picture),
        (AttachmentKind::Voice, "audio/mpeg") => None,
        (AttachmentKind::Voice, _) => (mime.contains('/') && !is_picture).then_some(Form::Sound),
        (AttachmentKind::Video, "video/mp4") => None,
        (AttachmentKind::Video, _) => mime.starts_with("video/").then_some(Form::Film),
        (AttachmentKind::File, _) => None,
    }
}

/// What is too large for its own kind goes as a file. Source: the protocol sheet, section 6.3.
fn kind_of(name: &str, bytes: u64) -> MediaKind {
    match MediaKind::of_name(name) {
        MediaKind::Emoticon if bytes > send_emoticon::MAX_GIF_BYTES => MediaKind::Document,
        MediaKind::Video if bytes > send_video::MAX_VIDEO_BYTES => MediaKind::Document,
        kind => kind,
    }
}

/// The service goes by the extension, so a picture without one gets it from its media type.
fn with_extension(name: &str, mime: &str) -> String {
    if !upload::extension(name).is_empty() {
        return name.to_owned();
    }
    let extension = match mime {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/bmp" => "bmp",
        "video/mp4" => "mp4",
        "audio/mpeg" => "mp3",
        _ => return name.to_owned(),
    };
    format!("{name}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_goes_by_extension_media_type_and_size() {
        let kind = |name: &str, mime: &str, bytes: u64| kind_of(&with_extension(name, mime), bytes);
        assert_eq!(kind("a.PNG", "", 5), MediaKind::Picture);
        assert_eq!(kind("photo", "image/jpeg", 5), MediaKind::Picture);
        assert_eq!(kind("a.gif", "", 5), MediaKind::Emoticon);
        assert_eq!(kind("a.gif", "", 2 << 20), MediaKind::Document);
        assert_eq!(kind("a.mp4", "", 21 << 20), MediaKind::Document);
        assert_eq!(kind("notes.pdf", "image/png", 5), MediaKind::Document);
    }

    #[test]
    fn what_wechat_does_not_show_as_it_is_goes_in_another_form() {
        use AttachmentKind::{File, Image, Sticker, Video, Voice};
        for (kind, mime, bytes, form) in [
            (Sticker, "image/webp", 5, Some(Form::Sticker)),
            (Sticker, "image/png", 5, Some(Form::Sticker)),
            (Sticker, "image/gif", 5, None),
            (Sticker, "image/gif", 2 << 20, Some(Form::Sticker)),
            (Sticker, "application/json", 5, None),
            (Image, "image/heic", 5, Some(Form::Picture)),
            (Image, "image/png", 5, None),
            (Image, "image/gif", 2 << 20, None),
            (Voice, "audio/ogg", 5, Some(Form::Sound)),
            (Voice, "audio/mpeg", 5, None),
            (Video, "video/webm", 5, Some(Form::Film)),
            (Video, "video/mp4", 5, None),
            (File, "image/webp", 5, None),
        ] {
            assert_eq!(form_for(kind, mime, bytes), form, "{kind:?} {mime} {bytes}");
        }
    }
}
