//! How a file becomes the forms of an upload, piece by piece, without holding the file.
//!
//! A piece is `head`, then its bytes of the file, then `tail`.
//! Source: the protocol sheet, section 2.20.

use bytes::Bytes;
use http::{Method, Request, header};
use serde::Serialize;

use crate::{
    Call, ProtoError, Secret, UserName,
    call::{self, Address, BaseRequest, Referer},
    hosts::HostRole,
    percent,
};

/// Larger pieces end in 502 or a reset. Source: the protocol sheet, section 2.20.
pub const PIECE_BYTES: u64 = 524_288;

/// Above this, `webwxcheckupload` comes first. Source: the protocol sheet, section 2.21.
pub const CHECK_ABOVE_BYTES: u64 = 26_214_400;

/// How a file is uploaded and by which call it is then sent.
///
/// Source: the protocol sheet, section 2.20 ("`mediatype` by extension").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `pic`, sent as an image.
    Picture,
    /// `video`, sent as a video.
    Video,
    /// `doc`, sent as a sticker: GIF.
    Emoticon,
    /// `doc`, sent as a file.
    Document,
}

impl MediaKind {
    /// By the extension of the name, as the page does.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match extension(name).as_str() {
            "bmp" | "png" | "jpeg" | "jpg" => Self::Picture,
            "mp4" => Self::Video,
            "gif" => Self::Emoticon,
            _ => Self::Document,
        }
    }

    /// The value of the form field `mediatype`.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Picture => "pic",
            Self::Video => "video",
            Self::Emoticon | Self::Document => "doc",
        }
    }
}

/// The last part of a path, in either style; never empty.
#[must_use]
pub fn base_name(name: &str) -> &str {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if last.is_empty() { "file" } else { last }
}

/// The extension in lower case, without dot; empty if there is none.
#[must_use]
pub fn extension(name: &str) -> String {
    base_name(name).rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_lowercase())
}

/// Whether `webwxcheckupload` has to come first.
#[must_use]
pub fn needs_check(bytes: u64) -> bool {
    bytes > CHECK_ABOVE_BYTES
}

/// A file that is to be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Its name; directories are cut off.
    pub name: &'a str,
    /// MIME type.
    pub mime: &'a str,
    /// Size; not 0.
    pub total_bytes: u64,
    /// Lower-case hex md5 of the whole file.
    pub md5: &'a str,
    /// By the name, or chosen by the caller.
    pub kind: MediaKind,
    /// Self.
    pub own: &'a UserName,
    /// For whom.
    pub to: &'a UserName,
    /// Unix milliseconds at which the upload began: **the same for all pieces**.
    pub client_media_id: i64,
    /// `WU_FILE_<n>`: counts the files of a session.
    pub file_number: u64,
    /// JavaScript date text; the service does not look at it.
    pub last_modified: &'a str,
    /// Value of the cookie `webwx_data_ticket`.
    pub data_ticket: &'a Secret,
    /// From `webwxcheckupload`, for files above 25 MB: `AESKey` and `Signature`.
    pub checked: Option<(&'a Secret, &'a Secret)>,
    /// Must not occur in the file; take it from fresh randomness.
    pub boundary: &'a str,
}

/// One form: `head`, then `bytes` of the file from `offset`, then `tail`.
#[derive(Debug)]
pub struct Piece {
    /// URL and headers, `Content-Length` included.
    pub request: Request<()>,
    /// What goes before the file's bytes.
    pub head: Bytes,
    /// Where in the file the piece begins.
    pub offset: u64,
    /// How many bytes of the file it has.
    pub bytes: u64,
    /// What goes behind them.
    pub tail: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UploadMediaRequest<'a> {
    upload_type: u8,
    base_request: BaseRequest<'a>,
    client_media_id: i64,
    total_len: u64,
    start_pos: u64,
    data_len: u64,
    media_type: u8,
    from_user_name: &'a UserName,
    to_user_name: &'a UserName,
    file_md5: &'a str,
    #[serde(rename = "AESKey", skip_serializing_if = "Option::is_none")]
    aes_key: Option<&'a Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a Secret>,
}

const NAME: &str = "webwxuploadmedia";

impl Plan<'_> {
    /// How many pieces there are.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.total_bytes.div_ceil(PIECE_BYTES)
    }

    /// Builds one piece.
    ///
    /// # Errors
    ///
    /// If the file is empty or too large to go without its check, the data ticket is missing, or
    /// there is no such piece.
    pub fn piece(&self, call: &Call<'_>, index: u64) -> Result<Piece, ProtoError> {
        self.check(index)?;
        let credentials = call.needs_credentials(NAME)?;
        let offset = index.saturating_mul(PIECE_BYTES);
        let bytes = PIECE_BYTES.min(self.total_bytes.saturating_sub(offset));
        let name = percent::encode(base_name(self.name));

        let mut form = Form::new(self.boundary);
        form.field("id", &format!("WU_FILE_{}", self.file_number));
        form.field("name", &name);
        form.field("type", self.mime);
        form.field("lastModifiedDate", self.last_modified);
        form.field("size", &self.total_bytes.to_string());
        if self.pieces() > 1 {
            form.field("chunks", &self.pieces().to_string());
            form.field("chunk", &index.to_string());
        }
        form.field("mediatype", self.kind.media_type());
        form.field("uploadmediarequest", &self.request_json(call)?);
        form.field("webwx_data_ticket", self.data_ticket.reveal());
        form.field("pass_ticket", credentials.pass_ticket.reveal());
        let head = form.file("filename", &name, self.mime);
        let tail = Bytes::from(format!("\r\n--{}--\r\n", self.boundary));

        let length = (head.len() as u64).saturating_add(bytes).saturating_add(tail.len() as u64);
        let address = Address::new(call, HostRole::File, NAME).with("f", "json");
        let request = call::builder(call, Method::POST, address, Referer::BaseHost)
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={}", self.boundary))
            .header(header::CONTENT_LENGTH, length)
            .body(())
            .map_err(|error| ProtoError::request(NAME, "a valid request", &error.to_string()))?;
        Ok(Piece { request, head, offset, bytes, tail })
    }

    fn check(&self, index: u64) -> Result<(), ProtoError> {
        let refuse = |expected: &'static str, found: &str| Err(ProtoError::request(NAME, expected, found));
        if self.total_bytes == 0 {
            return refuse("a file with something in it", "an empty one");
        }
        if needs_check(self.total_bytes) && self.checked.is_none() {
            return refuse("the answer of webwxcheckupload", "none");
        }
        if self.data_ticket.is_empty() {
            return refuse("the cookie webwx_data_ticket", "none");
        }
        if index >= self.pieces() {
            return refuse("a piece of the file", "one behind its end");
        }
        if !is_boundary(self.boundary) {
            return refuse("a boundary of 1 to 70 letters, digits and dashes", "another text");
        }
        Ok(())
    }

    /// `TotalLen` and `DataLen` are both the whole length and `StartPos` is 0, for every piece.
    fn request_json(&self, call: &Call<'_>) -> Result<String, ProtoError> {
        let request = UploadMediaRequest {
            upload_type: 2,
            base_request: call.base_request(NAME)?,
            client_media_id: self.client_media_id,
            total_len: self.total_bytes,
            start_pos: 0,
            data_len: self.total_bytes,
            media_type: 4,
            from_user_name: self.own,
            to_user_name: self.to,
            file_md5: self.md5,
            aes_key: self.checked.map(|(aes_key, _)| aes_key),
            signature: self.checked.map(|(_, signature)| signature),
        };
        serde_json::to_string(&request).map_err(|_| {
            ProtoError::request(NAME, "a request that can be written as JSON", "one that cannot")
        })
    }
}

fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A `multipart/form-data` body up to the content of its file.
struct Form<'a> {
    boundary: &'a str,
    text: String,
}

impl<'a> Form<'a> {
    fn new(boundary: &'a str) -> Self {
        Self { boundary, text: String::with_capacity(2048) }
    }

    fn field(&mut self, name: &str, value: &str) {
        let (boundary, value) = (self.boundary, one_line(value));
        self.text +=
            &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }

    fn file(mut self, name: &str, file_name: &str, mime: &str) -> Bytes {
        let (boundary, mime) = (self.boundary, one_line(mime));
        self.text += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: {mime}\r\n\r\n"
        );
        Bytes::from(self.text)
    }
}

/// A line break in a value could end a part or a header.
fn one_line(value: &str) -> String {
    value.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests;
