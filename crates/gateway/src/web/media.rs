//! `/media/{signed id}`: one attachment for whoever holds its link.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use wxgate_contract::{MediaError, MediaId, MediaInfo, MediaReader, MediaState, MediaVault, Stop, file_name};

use super::board::{self, Visitor, fill};
use super::links::{Opened, cleaned};
use super::range::{self, Wanted};
use crate::wiring::Parts;

/// How long a request waits for bytes that are on their way. Below the usual limit of proxies.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// When to come back after that.
const RETRY_AFTER: &str = "10";

/// Types that browsers may show in place: they run nothing. SVG and HTML are not among them.
const INLINE: [&str; 17] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/avif",
    "audio/mpeg",
    "audio/mp4",
    "audio/aac",
    "audio/ogg",
    "audio/wav",
    "audio/amr",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "application/pdf",
];

/// Without a name in the address.
pub(in crate::web) async fn fetch_bare(
    State(parts): State<Arc<Parts>>,
    Path(token): Path<String>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    answer(&parts, &token, &visitor, &headers).await
}

/// The name in the address is for people; the token alone decides.
pub(in crate::web) async fn fetch(
    State(parts): State<Arc<Parts>>,
    Path((token, _name)): Path<(String, String)>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    answer(&parts, &token, &visitor, &headers).await
}

async fn answer(parts: &Parts, token: &str, visitor: &Visitor, headers: &HeaderMap) -> Response {
    let words = visitor.words();
    let (media, left_s) = match parts.links.open(token) {
        Opened::Media(media, left_s) => (media, left_s),
        Opened::Expired => {
            return board::words(visitor, StatusCode::GONE, words.media_expired, words.media_expired_why);
        }
        Opened::Forged => {
            return board::words(visitor, StatusCode::NOT_FOUND, words.not_found, words.media_nothing);
        }
    };
    match arrived(&*parts.vault, &parts.stop, media).await {
        Ok(Some(info)) => match &info.state {
            MediaState::Ready => send(parts, &info, left_s, visitor, headers).await,
            MediaState::Failed { why } => {
                let why = fill(words.media_failed_why, words.told(why));
                board::words(visitor, StatusCode::NOT_FOUND, words.media_failed, &why)
            }
            MediaState::Pending => not_yet(visitor),
        },
        Ok(None) => gone(visitor),
        Err(error) => failed(visitor, &error),
    }
}

/// An attachment that is here, for whoever may see it without a link; browsers keep it for so many seconds.
pub(super) async fn show(
    parts: &Parts,
    media: MediaId,
    kept_s: u64,
    visitor: &Visitor,
    headers: &HeaderMap,
) -> Response {
    match parts.vault.info(media).await {
        Ok(Some(info)) if info.state == MediaState::Ready => {
            send(parts, &info, kept_s, visitor, headers).await
        }
        Ok(Some(_)) => not_yet(visitor),
        Ok(None) => gone(visitor),
        Err(error) => failed(visitor, &error),
    }
}

fn not_yet(visitor: &Visitor) -> Response {
    let (status, words) = (StatusCode::SERVICE_UNAVAILABLE, visitor.words());
    let mut response = board::words(visitor, status, words.media_pending, words.media_pending_why);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
    response
}

fn gone(visitor: &Visitor) -> Response {
    let words = visitor.words();
    board::words(visitor, StatusCode::GONE, words.media_gone, words.media_gone_why)
}

fn failed(visitor: &Visitor, error: &MediaError) -> Response {
    tracing::warn!(%error, "an attachment could not be read");
    let (status, words) = (StatusCode::SERVICE_UNAVAILABLE, visitor.words());
    board::words(visitor, status, words.media_unreadable, words.media_unreadable_why)
}

/// What is known once the bytes are here, or when waiting is over.
async fn arrived(
    vault: &dyn MediaVault,
    stop: &Stop,
    media: MediaId,
) -> Result<Option<MediaInfo>, MediaError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let info = vault.info(media).await?;
        let is_pending = matches!(&info, Some(info) if info.state == MediaState::Pending);
        if !is_pending || tokio::time::Instant::now() >= deadline || stop.is_stopping() {
            return Ok(info);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn send(
    parts: &Parts,
    info: &MediaInfo,
    left_s: u64,
    visitor: &Visitor,
    headers: &HeaderMap,
) -> Response {
    let size = info.size_bytes;
    let etag = format!("\"{}\"", info.media);
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&etag)) {
        return finish(
            visitor,
            Response::builder().status(StatusCode::NOT_MODIFIED).header(header::ETAG, etag),
            Body::empty(),
        );
    }
    // Bytes under an id never change, so only another tag makes the range void.
    let is_same = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let range = if is_same { range::wanted(text(header::RANGE), size) } else { Wanted::All };
    let (status, first, length) = match range {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let builder = Response::builder()
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"));
            return finish(visitor, builder, Body::empty());
        }
    };
    let reader = match parts.vault.reader(info.media, first).await {
        Ok(reader) => reader,
        Err(MediaError::Unknown(_)) => return gone(visitor),
        Err(error) => return failed(visitor, &error),
    };
    let (kind, disposition) = presentation(info);
    let policy = policy(kind);
    let mut builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_DISPOSITION, disposition)
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, etag)
        .header(header::CACHE_CONTROL, format!("private, max-age={left_s}, immutable"));
    if let Wanted::Part { first, last } = range {
        builder = builder.header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
    }
    parts.counters.media_sent(length);
    let builder = builder.header(header::CONTENT_SECURITY_POLICY, policy);
    finish(visitor, builder, Body::from_stream(pieces(reader, length)))
}

/// What the page may do that a browser makes around a file of this type: nothing, and of sound and films play the file
/// itself. A sandbox makes that page a stranger to its own file, so there is none; what plays runs no script.
///
/// Source: Content Security Policy Level 3, `sandbox` and `media-src`.
fn policy(kind: &str) -> &'static str {
    match kind.split('/').next() {
        Some("audio" | "video") => "default-src 'none'; media-src 'self'",
        _ => "sandbox; default-src 'none'",
    }
}

/// Whatever the type says, the answer runs nothing and belongs to no other page.
fn finish(visitor: &Visitor, builder: axum::http::response::Builder, body: Body) -> Response {
    let response = builder
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header("cross-origin-resource-policy", "same-origin")
        .header(header::REFERRER_POLICY, "no-referrer")
        .body(body);
    response.unwrap_or_else(|_| {
        let (status, words) = (StatusCode::INTERNAL_SERVER_ERROR, visitor.words());
        board::words(visitor, status, words.media_unreadable, words.media_odd)
    })
}

/// Media type and disposition: shown in place when that is safe, else saved.
fn presentation(info: &MediaInfo) -> (&'static str, String) {
    let base = info.mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inline = INLINE.iter().copied().find(|kind| *kind == base);
    let way = if inline.is_some() { "inline" } else { "attachment" };
    // The true name in the extended form. Source: RFC 6266, section 4.3, and RFC 8187.
    let mut name = String::new();
    for byte in file_name(&info.name).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    let mut disposition = format!("{way}; filename=\"{}\"", cleaned(&info.name));
    if !name.is_empty() {
        disposition.push_str(&format!("; filename*=UTF-8''{name}"));
    }
    (inline.unwrap_or("application/octet-stream"), disposition)
}

/// The next `left` bytes of a reader.
fn pieces(
    reader: Box<dyn MediaReader>,
    left: u64,
) -> impl futures_util::Stream<Item = Result<Bytes, MediaError>> + Send {
    // A reader is `Send` but not `Sync`; the stream owns it alone.
    stream::try_unfold((reader, left), |(mut reader, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(mut piece) = reader.read().await? else { return Ok(None) };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        piece.truncate(most);
        let left = left - piece.len() as u64;
        Ok(Some((piece, (reader, left))))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::FromRequestParts as _;
    use http_body_util::BodyExt as _;
    use wxgate_contract::conformance::Double;
    use wxgate_contract::{Batch, FarEnd, PendingMedia, StopHandle};

    use super::*;

    const MEDIA: MediaId = MediaId([7; 16]);

    async fn announced() -> Double {
        let double = Double::new();
        let pending = PendingMedia {
            media: MEDIA,
            source: Bytes::new(),
            name: "a.jpg".to_owned(),
            mime: "image/jpeg".to_owned(),
        };
        let batch = Batch { media: vec![pending], ..Batch::default() };
        double.commit(&"wechat:a".into(), batch).await.unwrap();
        double
    }

    /// The types that may be shown in place, and that of a download.
    #[test]
    fn only_what_is_played_may_load_itself_and_all_else_is_in_a_sandbox() {
        for kind in INLINE.into_iter().chain(["application/octet-stream"]) {
            let is_played = ["audio/", "video/"].iter().any(|begin| kind.starts_with(begin));
            let told = policy(kind);
            assert!(told.contains("default-src 'none'"), "{kind}: {told}");
            assert_eq!(told.contains("media-src 'self'"), is_played, "{kind}: {told}");
            assert_eq!(told.contains("sandbox"), !is_played, "{kind}: {told}");
        }
    }

    #[test]
    fn a_long_name_is_saved_with_its_extension() {
        let name = format!("{}.pdf", "\u{5e74}".repeat(120));
        let info =
            MediaInfo { media: MEDIA, state: MediaState::Ready, name, mime: String::new(), size_bytes: 1 };
        let (_, disposition) = presentation(&info);
        assert!(disposition.ends_with("%B4%E2%80%A6.pdf"), "{disposition}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_arrive_is_waited_for_and_then_asked_for_again() {
        let (double, (_handle, stop)) = (announced().await, StopHandle::new());
        let begin = tokio::time::Instant::now();
        let info = arrived(&double, &stop, MEDIA).await.unwrap().unwrap();
        assert_eq!(info.state, MediaState::Pending);
        let waited = begin.elapsed();
        assert!(waited >= PATIENCE && waited < PATIENCE + 2 * LOOK_EVERY, "{waited:?}");
        let response = not_yet(&visitor("en").await);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], RETRY_AFTER);
    }

    /// Somebody whose browser asks for this language.
    async fn visitor(language: &str) -> Visitor {
        let request = axum::http::Request::builder().header(header::ACCEPT_LANGUAGE, language);
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let Ok(visitor) = Visitor::from_request_parts(&mut head, &()).await;
        visitor
    }

    #[tokio::test]
    async fn what_is_not_shown_is_told_in_the_visitors_language() {
        let unknown = || MediaError::Unknown(MEDIA);
        for (language, wanted) in
            [("en", ["on its way", "no longer kept", "cannot read"]), ("zh-CN", ["途中", "保留", "无法读取"])]
        {
            let visitor = visitor(language).await;
            let answers = [not_yet(&visitor), gone(&visitor), failed(&visitor, &unknown())];
            for (answer, wanted) in answers.into_iter().zip(wanted) {
                let page = answer.into_body().collect().await.unwrap().to_bytes();
                let page = String::from_utf8_lossy(&page);
                assert!(
                    page.contains(wanted) && page.contains(&format!("lang=\"{}\"", &language[..2])),
                    "{page}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_meanwhile_is_served_at_once_and_a_stop_waits_for_nothing() {
        let (double, (handle, stop)) = (announced().await, StopHandle::new());
        let later = Duration::from_secs(5);
        let (double, begin) = (Arc::new(double), tokio::time::Instant::now());
        let (info, ()) = tokio::join!(arrived(&*double, &stop, MEDIA), async {
            tokio::time::sleep(later).await;
            double.put_media(MEDIA, "a.jpg", "image/jpeg", &b"bytes"[..]);
        });
        assert_eq!(info.unwrap().unwrap().state, MediaState::Ready);
        assert!(begin.elapsed() <= later + LOOK_EVERY, "{:?}", begin.elapsed());

        let (double, begin) = (announced().await, tokio::time::Instant::now());
        handle.stop();
        assert_eq!(arrived(&double, &stop, MEDIA).await.unwrap().unwrap().state, MediaState::Pending);
        assert!(begin.elapsed() < LOOK_EVERY, "{:?}", begin.elapsed());
    }
}
