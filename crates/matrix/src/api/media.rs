//! Files of a homeserver. Uploads and downloads are streams: see `client.rs`.

use serde::Deserialize;

use super::{Call, Endpoint};

/// `GET /v1/media/config`.
pub(crate) struct MediaConfig;

#[derive(Debug, Deserialize)]
pub(crate) struct Limits {
    /// Largest upload in bytes, where the homeserver tells it.
    #[serde(rename = "m.upload.size", default)]
    pub(crate) upload_bytes: Option<u64>,
}

impl Endpoint for MediaConfig {
    const NAME: &'static str = "media config";
    type Reply = Limits;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v1/media/config", &[])
    }
}

/// The answer to `POST /_matrix/media/v3/upload`.
#[derive(Debug, Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) content_uri: String,
}

/// An `mxc://` address taken apart.
pub(crate) fn parts(mxc: &str) -> Option<(&str, &str)> {
    let (server, media) = mxc.strip_prefix("mxc://")?.split_once('/')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '~');
    (!server.is_empty() && !media.is_empty() && media.chars().all(is_plain)).then_some((server, media))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_address_names_a_server_and_a_file() {
        assert_eq!(parts("mxc://example.org/AbC-_1"), Some(("example.org", "AbC-_1")));
        for bad in ["https://x/y", "mxc://x", "mxc:///y", "mxc://x/", "mxc://x/a/../b"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
