//! Pictures, voices, videos, stickers: announced in the batch, fetched after its commit.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wechat_proto::UserName;
use wechat_proto::message::app::File;
use wechat_proto::message::{Image, Message, Sender, Sticker, Video, Voice};
use wxgate_contract::{Attachment, AttachmentKind, Body, MediaId, PendingMedia, file_name};

use super::Place;
use crate::roster::Draft;

/// By which call the bytes are to be had. Source: the protocol sheet, section 2.22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    Picture,
    Sticker,
    Voice,
    Video,
    /// The cover of a video.
    Cover,
    File,
}

/// All that a later download needs, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) call: Call,
    pub(super) msg_id: String,
    /// For files: the message's sender, a name of this login.
    #[serde(default)]
    pub(super) sender: UserName,
    #[serde(default)]
    pub(super) media_id: String,
    #[serde(default)]
    pub(super) encry_file_name: String,
}

pub(super) fn image(message: &Message, image: &Image, place: &Place<'_>, draft: &mut Draft) -> Body {
    let mut attachment = announce(message, place, draft, Call::Picture, "image.jpg", "image/jpeg");
    // The sizes that the message tells are those of the thumbnail, so they are left out.
    attachment.size_bytes = image.bytes;
    Body::Attachment(attachment)
}

pub(super) fn app_image(message: &Message, title: &str, place: &Place<'_>, draft: &mut Draft) -> Body {
    let mut attachment = announce(message, place, draft, Call::Picture, "image.jpg", "image/jpeg");
    attachment.caption = title.to_owned();
    Body::Attachment(attachment)
}

pub(super) fn voice(message: &Message, voice: &Voice, place: &Place<'_>, draft: &mut Draft) -> Body {
    let mut attachment = announce(message, place, draft, Call::Voice, "voice.mp3", "audio/mpeg");
    attachment.duration_ms = voice.duration_ms;
    Body::Attachment(attachment)
}

pub(super) fn video(message: &Message, video: &Video, place: &Place<'_>, draft: &mut Draft) -> Body {
    let mut attachment = announce(message, place, draft, Call::Video, "video.mp4", "video/mp4");
    attachment.duration_ms = video.duration_s.saturating_mul(1000);
    attachment.size_bytes = video.bytes;
    (attachment.width_px, attachment.height_px) = (video.width, video.height);
    let cover = cover_of(place.media);
    draft.batch.media.push(pending(cover, &source(message, Call::Cover), "cover.jpg", "image/jpeg"));
    attachment.poster = Some(cover);
    Body::Attachment(attachment)
}

/// Derived, so that the same video always has the same one.
fn cover_of(media: MediaId) -> MediaId {
    MediaId(media.0.map(|byte| byte ^ 0xff))
}

pub(super) fn sticker(message: &Message, sticker: &Sticker, place: &Place<'_>, draft: &mut Draft) -> Body {
    if sticker.is_store {
        // The download of these is always empty. Source: the protocol sheet, section 2.22.
        return Body::Unsupported { summary: "a sticker from the shop, to be seen on the phone".to_owned() };
    }
    let mut attachment = announce(message, place, draft, Call::Sticker, "sticker.gif", "image/gif");
    (attachment.width_px, attachment.height_px) = (sticker.width, sticker.height);
    Body::Attachment(attachment)
}

pub(super) fn app_emoji(message: &Message, place: &Place<'_>, draft: &mut Draft) -> Body {
    Body::Attachment(announce(message, place, draft, Call::Sticker, "sticker.gif", "image/gif"))
}

pub(super) fn file(message: &Message, file: &File, place: &Place<'_>, draft: &mut Draft) -> Body {
    let name = file_name(&file.name);
    let name = if name.trim().is_empty() { "file" } else { &*name };
    if !file.is_downloadable {
        let summary = format!("the file \"{name}\", which is too large for the web: open it on the phone");
        return Body::Unsupported { summary };
    }
    // The message's own sender: the group for group messages. Source: the protocol sheet, 2.22.
    let sender = match message.sender {
        Sender::Own => place.login.own.user_name.clone(),
        _ => message.chat.clone(),
    };
    let mut attachment = announce_as(
        place,
        draft,
        Source {
            call: Call::File,
            msg_id: message.id.to_string(),
            sender,
            media_id: file.media_id.clone(),
            encry_file_name: file.encry_file_name.clone(),
        },
        name,
        "",
    );
    attachment.size_bytes = file.bytes;
    if place.max_media_bytes < file.bytes {
        draft.batch.media.pop();
        let summary =
            format!("the file \"{name}\", which is larger than this gateway takes: open it on the phone");
        return Body::Unsupported { summary };
    }
    Body::Attachment(attachment)
}

fn announce(
    message: &Message,
    place: &Place<'_>,
    draft: &mut Draft,
    call: Call,
    name: &str,
    mime: &str,
) -> Attachment {
    announce_as(place, draft, source(message, call), name, mime)
}

fn source(message: &Message, call: Call) -> Source {
    Source {
        call,
        msg_id: message.id.to_string(),
        sender: UserName::default(),
        media_id: String::new(),
        encry_file_name: String::new(),
    }
}

fn pending(media: MediaId, source: &Source, name: &str, mime: &str) -> PendingMedia {
    PendingMedia {
        media,
        // Plain data: writing it as JSON cannot fail.
        source: Bytes::from(serde_json::to_vec(source).unwrap_or_default()),
        name: name.to_owned(),
        mime: mime.to_owned(),
    }
}

fn announce_as(place: &Place<'_>, draft: &mut Draft, source: Source, name: &str, mime: &str) -> Attachment {
    draft.batch.media.push(pending(place.media, &source, name, mime));
    let kind = match source.call {
        Call::Picture | Call::Cover => AttachmentKind::Image,
        Call::Sticker => AttachmentKind::Sticker,
        Call::Voice => AttachmentKind::Voice,
        Call::Video => AttachmentKind::Video,
        Call::File => AttachmentKind::File,
    };
    Attachment {
        media: place.media,
        kind,
        name: name.to_owned(),
        mime: mime.to_owned(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    }
}
