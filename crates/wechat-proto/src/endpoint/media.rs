//! What all downloads have in common.
//!
//! Source: the protocol sheet, section 2.22.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};

use crate::{
    Call, ProtoError,
    call::{self, Address, Referer},
};

/// Bytes of a picture, a sound, a video or a file.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaBody {
    /// As declared; may be wrong.
    pub content_type: Option<String>,
    /// Not empty.
    pub bytes: Bytes,
}

impl std::fmt::Debug for MediaBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MediaBody({:?}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// Judges the head of an answer that is going to be streamed, and gives its content type.
///
/// # Errors
///
/// If the status is neither 200 nor 206, the declared length is 0, or the answer is a text of the
/// service instead of media. An empty 200 is a common failure: pause and try again, three times.
pub fn check_head(
    endpoint: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<String>, ProtoError> {
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        let found = format!("status {}", status.as_u16());
        return Err(ProtoError::request(endpoint, "status 200 or 206", &found));
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse::<u64>().ok()) == Some(0) {
        return Err(ProtoError::request(endpoint, "media", "an empty body"));
    }
    let content_type = text(header::CONTENT_TYPE).map(str::to_ascii_lowercase);
    if content_type.as_deref().is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(ProtoError::request(endpoint, "media", "a page of text"));
    }
    Ok(content_type)
}

pub(crate) fn request(
    endpoint: &'static str,
    call: &Call<'_>,
    address: Address,
) -> Result<Request<Bytes>, ProtoError> {
    call::get(endpoint, call, address, Referer::BaseHost)
}

/// Reads a whole body, for what is small.
pub(crate) fn parse(endpoint: &'static str, reply: &Response<Bytes>) -> Result<MediaBody, ProtoError> {
    let content_type = check_head(endpoint, reply.status(), reply.headers())?;
    if reply.body().is_empty() {
        return Err(ProtoError::request(endpoint, "media", "an empty body"));
    }
    Ok(MediaBody { content_type, bytes: reply.body().clone() })
}

/// Implements what is the same for every download.
macro_rules! media_endpoint {
    ($name:literal) => {
        type Reply = super::MediaBody;
        const NAME: &'static str = $name;
        const TIMEOUT: std::time::Duration = super::MEDIA_TIMEOUT;
        const BODY_LIMIT: usize = super::MEDIA_BODY;

        fn parse(&self, reply: &http::Response<bytes::Bytes>) -> Result<super::MediaBody, crate::ProtoError> {
            super::media::parse(Self::NAME, reply)
        }

        fn verdict(_: &super::MediaBody) -> crate::RetCode {
            crate::RetCode::Ok
        }
    };
}
pub(crate) use media_endpoint;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::answer;

    #[test]
    fn item_46_an_empty_body_is_a_failure() {
        assert!(parse("webwxgeticon", &answer("")).is_err());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "0".parse().unwrap());
        assert!(check_head("webwxgeticon", StatusCode::OK, &headers).is_err());
        assert!(check_head("webwxgetvideo", StatusCode::PARTIAL_CONTENT, &HeaderMap::new()).is_ok());
        assert!(check_head("webwxgetvideo", StatusCode::BAD_GATEWAY, &HeaderMap::new()).is_err());
        assert_eq!(parse("webwxgeticon", &answer("x")).unwrap().bytes.len(), 1);
    }

    #[test]
    fn a_page_of_text_is_no_picture() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
        assert!(check_head("webwxgetmsgimg", StatusCode::OK, &headers).is_err());
    }
}
