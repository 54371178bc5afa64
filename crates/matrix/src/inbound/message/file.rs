//! Files that people send.

use ring::digest;
use serde_json::Value;
use wxgate_contract::{Attachment, AttachmentKind, Body, MediaId, file_name};

use super::super::event::Event;
use super::{Heard, Sentence, reply_to, text_of};
use crate::api::media::parts;
use crate::crypto::FileReader;

/// A file that has to be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileHeard {
    /// Its `mxc://` address.
    pub(crate) url: String,
    /// How to read it, when it is encrypted. Source: client-server API, "EncryptedFile".
    pub(crate) file: Option<Value>,
    pub(crate) media: MediaId,
    pub(crate) name: String,
    pub(crate) mime: String,
    /// As the sender says; 0 when they do not.
    pub(crate) bytes: u64,
}

pub(super) fn hear(event: &Event, content: &Value, kind: &str) -> Heard {
    let file = content.get("file").cloned();
    if file.is_some() && FileReader::new(file.as_ref()).is_err() {
        return Heard::NotHere("it is encrypted and this gateway cannot read it");
    }
    let url = text_of(file.as_ref().unwrap_or(content), "url");
    if parts(url).is_none() {
        return Heard::NotHere("it names no file");
    }
    let null = Value::Null;
    let info = content.get("info").unwrap_or(&null);
    let number = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or(0);
    let pixels = |key: &str| u32::try_from(number(key)).unwrap_or(0);
    let (name, caption) = name_and_caption(content, kind);
    let file = FileHeard {
        url: url.to_owned(),
        file: file.clone(),
        media: media_id(&event.event_id),
        name: name.clone(),
        mime: text_of(info, "mimetype").to_owned(),
        bytes: number("size"),
    };
    let attachment = Attachment {
        media: file.media,
        kind: attachment_kind(kind, content),
        name,
        mime: file.mime.clone(),
        size_bytes: file.bytes,
        width_px: pixels("w"),
        height_px: pixels("h"),
        duration_ms: number("duration"),
        caption,
        poster: None,
    };
    let mut sentence = Sentence::new(Body::Attachment(attachment));
    sentence.reply_to = reply_to(content).map(str::to_owned);
    sentence.file = Some(file);
    Heard::Said(Box::new(sentence))
}

fn attachment_kind(kind: &str, content: &Value) -> AttachmentKind {
    let is_voice = ["org.matrix.msc3245.voice", "m.voice"].into_iter().any(|key| content.get(key).is_some());
    match kind {
        "m.image" => AttachmentKind::Image,
        "m.sticker" => AttachmentKind::Sticker,
        "m.video" => AttachmentKind::Video,
        "m.audio" if is_voice => AttachmentKind::Voice,
        _ => AttachmentKind::File,
    }
}

/// With a file name of its own, the body is a caption; else the body is the name.
/// Source: client-server API v1.10, "Media captions". A sticker's body is a description.
fn name_and_caption(content: &Value, kind: &str) -> (String, String) {
    let (name, body) = (text_of(content, "filename"), text_of(content, "body"));
    match (kind, name) {
        ("m.sticker", _) => (String::new(), String::new()),
        (_, "") => (file_name(body), String::new()),
        (_, name) if name == body => (file_name(name), String::new()),
        (_, name) => (file_name(name), body.to_owned()),
    }
}

/// The same event always names the same bytes.
fn media_id(event_id: &str) -> MediaId {
    let hash = digest::digest(&digest::SHA256, format!("matrix {event_id}").as_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    MediaId(id)
}
