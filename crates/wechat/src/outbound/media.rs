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
use wxgate_contract::{
    Attachment, AttachmentKind, MediaError, MediaId, MediaInfo, MediaReader, MediaState, MediaVault, Outcome,
    RemoteId,
};
use wxgate_convert::Form;

use super::unanswered::{self, What};
use super::{Errand, Miss, Outbound, client_msg_id, echo_type, verdict};
use crate::transport::CallError;

/// Failures after which an upload is given up. Chosen.
const UPLOAD_ATTEMPTS: u32 = 5;
/// Looks while the bytes are still on their way into the vault. Chosen: an hour. Whoever fetches them says when they
/// do not come, and may wait for a homeserver that is being upgraded, or behind other files.
const PENDING_ATTEMPTS: u32 = 120;
/// Readings of bytes that are there and do not come out as they went in. Chosen: some five minutes.
const READ_ATTEMPTS: u32 = 12;
/// Uploads that took too long before the file is given up. Chosen: a line that was too slow for one twice is.
const SLOW_UPLOADS: u32 = 2;
/// How long the whole of an upload may take at least. Chosen: a small file's pieces at their longest.
const UPLOAD_LIMIT: Duration = Duration::from_secs(600);
/// The slowest line that is waited for, in bytes a second. Chosen: 100 MB take half an hour.
const SLOWEST: u64 = 64 << 10;

const GONE: &str = "the attachment is not there any more";

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
        let Some(info) = info else { return Err(refused(GONE)) };
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
        let name = with_extension(upload::base_name(&info.name), attachment.kind, mime);
        let kind = kind_of(&name, info.size_bytes);
        let md5 = digest(&*self.vault, attachment.media, info.size_bytes).await.map_err(|error| {
            tracing::warn!(network = %self.network, media = %attachment.media, %error, "an attachment cannot be read");
            not_read(&error, self.failed(errand.delivery.id, Miss::Read))
        })?;
        let mime = if mime.is_empty() { "application/octet-stream".to_owned() } else { mime.clone() };
        let file = Upload { name, mime, bytes: info.size_bytes, md5, kind };
        let uploading = Box::pin(self.upload(errand, attachment, &file));
        let uploaded = tokio::time::timeout(upload_limit(file.bytes), uploading).await;
        let (media_id, signature) =
            uploaded.map_err(|_| upload_too_slow(self.failed(errand.delivery.id, Miss::Slow)))??;

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

/// The digest of the whole file, without holding it.
///
/// # Errors
/// `Unknown` when the file is gone, `Vault` when it cannot be read or has not as many bytes as the vault said.
async fn digest(vault: &dyn MediaVault, media: MediaId, bytes: u64) -> Result<String, MediaError> {
    let mut reader = vault.reader(media, 0).await?;
    let (mut hash, mut read) = (Md5::new(), 0_u64);
    while let Some(part) = reader.read().await? {
        hash.update(&part);
        read += part.len() as u64;
    }
    if read != bytes {
        return Err(MediaError::Vault(format!("{read} bytes were read of {bytes}")));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What is gone will not come back, and what is damaged is not read for ever: the chat waits behind it.
fn not_read(error: &MediaError, failures: u32) -> Outcome {
    let why = "the attachment cannot be read".to_owned();
    match error {
        MediaError::Unknown(_) => Outcome::Refused { why: GONE.to_owned() },
        _ if failures >= READ_ATTEMPTS => Outcome::Refused { why },
        _ => Outcome::TryLater { after: verdict::soon(failures), why },
    }
}

/// How long the whole of an upload may take.
fn upload_limit(bytes: u64) -> Duration {
    UPLOAD_LIMIT.max(Duration::from_secs(bytes / SLOWEST))
}

/// An upload that took too long is tried once more, and not for ever: the chat waits behind it.
fn upload_too_slow(failures: u32) -> Outcome {
    if failures >= SLOW_UPLOADS {
        return Outcome::Refused { why: "the upload to WeChat took too long".to_owned() };
    }
    Outcome::TryLater { after: verdict::soon(failures), why: "the upload took too long".to_owned() }
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

/// The service goes by the extension, so a file without one gets it from its media type. So does a picture, a film or a
/// sticker whose name ends otherwise (`photo.jfif`, `12.30.15`, a PNG called `x.gif`): it would go as a file, or as
/// something that it is not.
fn with_extension(name: &str, kind: AttachmentKind, mime: &str) -> String {
    let extension = match mime {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/bmp" => "bmp",
        "video/mp4" => "mp4",
        "audio/mpeg" => "mp3",
        _ => return name.to_owned(),
    };
    let longer = format!("{name}.{extension}");
    let is_shown = matches!(kind, AttachmentKind::Image | AttachmentKind::Sticker | AttachmentKind::Video);
    let fits = !upload::extension(name).is_empty()
        && (!is_shown || MediaKind::of_name(name) == MediaKind::of_name(&longer));
    if fits { name.to_owned() } else { longer }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::conformance::Double;

    use super::*;

    #[test]
    fn the_kind_goes_by_extension_media_type_and_size() {
        use AttachmentKind::{File, Image, Sticker, Video};
        for (name, kind, mime, bytes, goes_as) in [
            ("a.PNG", File, "", 5, ("a.PNG", MediaKind::Picture)),
            ("photo", File, "image/jpeg", 5, ("photo.jpg", MediaKind::Picture)),
            ("a.gif", File, "", 5, ("a.gif", MediaKind::Emoticon)),
            ("a.gif", File, "", 2 << 20, ("a.gif", MediaKind::Document)),
            ("a.mp4", File, "", 21 << 20, ("a.mp4", MediaKind::Document)),
            ("notes.pdf", File, "image/png", 5, ("notes.pdf", MediaKind::Document)),
            ("photo.jfif", Image, "image/jpeg", 5, ("photo.jfif.jpg", MediaKind::Picture)),
            ("12.30.15", Image, "image/jpeg", 5, ("12.30.15.jpg", MediaKind::Picture)),
            ("a.jpeg", Image, "image/jpeg", 5, ("a.jpeg", MediaKind::Picture)),
            ("a.png", Image, "image/jpeg", 5, ("a.png", MediaKind::Picture)),
            ("sticker.gif", Sticker, "image/png", 5, ("sticker.gif.png", MediaKind::Picture)),
            ("sticker.gif", Sticker, "image/gif", 5, ("sticker.gif", MediaKind::Emoticon)),
            ("film.m4v", Video, "video/mp4", 5, ("film.m4v.mp4", MediaKind::Video)),
            ("film.webm", Video, "video/webm", 5, ("film.webm", MediaKind::Document)),
        ] {
            let named = with_extension(name, kind, mime);
            assert_eq!((named.as_str(), kind_of(&named, bytes)), goes_as, "{name} {kind:?} {mime}");
        }
    }

    #[tokio::test]
    async fn what_is_gone_or_damaged_is_told_and_not_read_for_ever() {
        let (vault, media) = (Double::new(), MediaId([1; 16]));
        vault.put_media(media, "a.txt", "text/plain", "abc");
        assert_eq!(digest(&vault, media, 3).await.unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        let short = digest(&vault, media, 4).await.unwrap_err();
        let gone = digest(&vault, MediaId([2; 16]), 4).await.unwrap_err();
        assert_eq!(not_read(&gone, 1), Outcome::Refused { why: GONE.to_owned() });
        let words = [1, READ_ATTEMPTS - 1, READ_ATTEMPTS].map(|failures| not_read(&short, failures).word());
        assert_eq!(words, ["later", "later", "refused"]);
    }

    #[test]
    fn a_large_file_may_take_longer_and_none_is_uploaded_for_ever() {
        assert_eq!(upload_limit(3000), UPLOAD_LIMIT);
        assert_eq!(upload_limit(100 << 20), Duration::from_secs(1600));
        let outcomes: Vec<&str> = (1..4).map(|failures| upload_too_slow(failures).word()).collect();
        assert_eq!(outcomes, ["later", "refused", "refused"]);
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
