//! Where a file stands on the homeserver: as it is, or encrypted for the people of a room.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde_json::Value;
use wxgate_contract::MediaError;

use crate::client::{CallError, Outgoing};
use crate::shared::Shared;

/// The pieces of a file.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, MediaError>>;

/// How a file is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Showing {
    /// Which attempt it is; what is not there yet is waited for in the first ones.
    pub(crate) attempt: u32,
    /// The room is encrypted.
    pub(crate) is_sealed: bool,
}

/// A file that is to be uploaded.
pub(crate) struct Upload<'a> {
    pub(crate) name: &'a str,
    pub(crate) mime: &'a str,
    pub(crate) bytes: u64,
    pub(crate) pieces: Pieces,
}

impl<'a> Upload<'a> {
    /// One that is at hand.
    pub(crate) fn of(bytes: Bytes, name: &'a str, mime: &'a str) -> Self {
        let length = bytes.len() as u64;
        Self { name, mime, bytes: length, pieces: stream::once(async { Ok(bytes) }).boxed() }
    }
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// Its address.
    Clear(String),
    /// What tells how to read it as well. Source: client-server API, "EncryptedFile".
    Sealed(Value),
}

impl Place {
    /// Writes it into the content of an event.
    pub(crate) fn write(self, content: &mut Value) {
        match self {
            Self::Clear(url) => content["url"] = url.into(),
            Self::Sealed(file) => content["file"] = file,
        }
    }

    /// Writes it into the info of a file that it is the small copy of.
    pub(crate) fn write_thumbnail(self, info: &mut Value) {
        match self {
            Self::Clear(url) => info["thumbnail_url"] = url.into(),
            Self::Sealed(file) => info["thumbnail_file"] = file,
        }
    }

    /// As it is remembered.
    fn noted(&self) -> String {
        match self {
            Self::Clear(url) => url.clone(),
            Self::Sealed(file) => file.to_string(),
        }
    }

    fn of_note(note: String, is_sealed: bool) -> Option<Self> {
        match is_sealed {
            true => serde_json::from_str(&note).ok().map(Self::Sealed),
            false => Some(Self::Clear(note)),
        }
    }
}

/// What an upload is remembered by.
pub(super) fn key_of(what: &str, is_sealed: bool) -> String {
    if is_sealed { format!("sealed {what}") } else { what.to_owned() }
}

impl Shared {
    /// Where the same was uploaded to lately.
    pub(super) fn uploaded(&self, what: &str, is_sealed: bool) -> Option<Place> {
        Place::of_note(self.memory.uploaded(&key_of(what, is_sealed))?, is_sealed)
    }

    pub(super) fn note_uploaded(&self, what: &str, place: &Place) {
        let is_sealed = matches!(place, Place::Sealed(_));
        self.memory.note_upload(&key_of(what, is_sealed), &place.noted());
    }

    /// Uploads a file, encrypted or not.
    pub(crate) async fn put(&self, upload: Upload<'_>, is_sealed: bool) -> Result<Place, CallError> {
        if is_sealed {
            return self.upload_sealed(upload.bytes, upload.pieces).await.map(Place::Sealed);
        }
        let Upload { name, mime, bytes, pieces } = upload;
        let outgoing = Outgoing { name, mime, bytes, pieces };
        self.client.upload(self.bot(), outgoing).await.map(Place::Clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_comes_back_as_it_was_noted() {
        for place in [Place::Clear("mxc://x/a".to_owned()), Place::Sealed(json!({ "url": "mxc://x/b" }))] {
            let is_sealed = matches!(place, Place::Sealed(_));
            assert_eq!(Place::of_note(place.noted(), is_sealed), Some(place));
        }
        assert_ne!(key_of("1", true), key_of("1", false));
    }
}
