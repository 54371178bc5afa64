//! `/upload`: an IRC client hands a file over and gets its link; the link, said in a chat, is sent as the
//! file. Source: soju.im/FILEHOST.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use wxgate_contract::{
    Command, CommandError, MediaError, MediaId, MediaOwner, MediaWriter, Reply, UserName, file_name,
};

use super::links::cleaned;
use super::serve::Peer;
use crate::clock;
use crate::wiring::Parts;

/// Where it is.
pub(super) const PATH: &str = "/upload";
/// How long a whole upload may take. Chosen: the largest file over a slow line of a phone.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often it is looked how fast a file comes.
const LOOK: Duration = Duration::from_secs(60);
/// Bytes that have to come between two looks. Chosen: a kilobyte a second, half of what the oldest phones sent; what
/// comes slower only holds a place.
const LEAST_BYTES: usize = 64 << 10;
/// One so many-th more than `media.max_store_bytes` may be stored before no file is taken. Chosen: twice what wakes the
/// clean-up.
const MARGIN: u64 = 8;

/// What is allowed, for clients in browsers too: they say who they are in a header of their own, so that
/// another site's page gains nothing here.
pub(crate) async fn options() -> Response {
    with_origin((StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST")]).into_response())
}

pub(crate) async fn upload(
    State(parts): State<Arc<Parts>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let from = peer.and_then(|Extension(Peer(address))| address);
    with_origin(match tokio::time::timeout(PATIENCE, take(&parts, &headers, from, body)).await {
        Ok(Ok(link)) => match HeaderValue::from_str(&link) {
            Ok(link) => (StatusCode::CREATED, [(header::LOCATION, link)]).into_response(),
            Err(_) => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the link cannot be told").into_response()
            }
        },
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the upload took too long").into_response(),
    })
}

fn with_origin(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Content-Disposition"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

struct Refusal {
    status: StatusCode,
    why: String,
    /// In how many seconds it may go better.
    retry_s: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let retry_s = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some(10),
            StatusCode::TOO_MANY_REQUESTS => Some(30),
            _ => None,
        };
        Self { status, why: why.into(), retry_s }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.why)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let who = HeaderValue::from_static("Basic realm=\"wxgate\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, who);
        }
        if let Some(seconds) = self.retry_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The link of what was handed over.
async fn take(
    parts: &Parts,
    headers: &HeaderMap,
    from: Option<IpAddr>,
    body: Body,
) -> Result<String, Refusal> {
    let user = authenticate(parts, headers, from).await?;
    let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many files are being handed over");
    let _place = parts.uploads.take(&user).ok_or_else(busy)?;
    has_room(parts.bridge.store().media_used(), parts.limits.media_bytes)?;
    parts.handed.ask(&user).map_err(too_much)?;
    let bytes = clock::random::<16>()
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no randomness"))?;
    let (media, name, mime) = (MediaId(bytes), name_of(headers), mime_of(headers));
    let mut writer = parts.vault.writer(media, &name, &mime, MediaOwner::Posts).await.map_err(unstored)?;
    let bytes = store(body.into_data_stream(), &mut *writer).await?;
    if bytes == 0 {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the file is empty"));
    }
    writer.finish().await.map_err(unstored)?;
    parts.handed.took(&user, u64::try_from(bytes).unwrap_or(u64::MAX));
    let nowhere = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "links are not served");
    parts.vault.link(media, &name).ok_or_else(nowhere)
}

/// Beyond what may be stored there is a margin, within which the clean-up is waited for.
///
/// Source: RFC 4918, section 11.5 (507).
fn has_room(used_bytes: u64, most_bytes: u64) -> Result<(), Refusal> {
    if used_bytes <= most_bytes.saturating_add(most_bytes / MARGIN) {
        return Ok(());
    }
    let full = Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the gateway has no room for files now");
    Err(Refusal { retry_s: Some(3_600), ..full })
}

fn too_much(wait: Duration) -> Refusal {
    let why = "you have handed over as much as one person may in a day";
    Refusal { retry_s: Some(wait.as_secs() + 1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, why) }
}

/// Writes all pieces, as long as they come fast enough. Gives their bytes.
async fn store<E>(
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    writer: &mut dyn MediaWriter,
) -> Result<usize, Refusal> {
    let (mut all, mut seen) = (0_usize, 0);
    let mut look = Instant::now() + LOOK;
    loop {
        match tokio::time::timeout_at(look, pieces.next()).await {
            Ok(Some(Ok(piece))) => {
                all = all.saturating_add(piece.len());
                writer.write(piece).await.map_err(unstored)?;
            }
            Ok(None) => return Ok(all),
            Ok(Some(Err(_))) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "the file broke off")),
            Err(_) if all - seen < LEAST_BYTES => {
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the file came too slowly"));
            }
            Err(_) => {
                seen = all;
                look = Instant::now() + LOOK;
            }
        }
    }
}

fn unstored(error: MediaError) -> Refusal {
    match error {
        MediaError::TooLarge { .. } => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        error => {
            tracing::warn!(%error, "a file that was handed over could not be stored");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be stored")
        }
    }
}

/// The login and password of the IRC connection (`user/account@client` is fine), or a token.
async fn authenticate(parts: &Parts, headers: &HeaderMap, from: Option<IpAddr>) -> Result<UserName, Refusal> {
    let denied = || Refusal::new(StatusCode::UNAUTHORIZED, "log in with the name and password of IRC");
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(denied)?;
    let (scheme, secret) = given.split_once(' ').ok_or_else(denied)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(denied());
    }
    let decoded = STANDARD.decode(secret.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(denied)?;
    let (login, password) = decoded.split_once(':').ok_or_else(denied)?;
    let user = login.split(['/', '@']).next().unwrap_or_default();
    let command = Command::Authenticate { names: vec![user.into()], password: password.to_owned(), from };
    match parts.bridge.control("upload", None).run(None, command).await {
        Ok(Reply::Opened(user, _)) => Ok(user),
        Err(CommandError::TooOften) => {
            Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, CommandError::TooOften.to_string()))
        }
        Err(CommandError::Failed(why)) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        Ok(_) | Err(_) => Err(denied()),
    }
}

/// `attachment; filename="holiday photo.jpg"`. Source: RFC 6266; the encoded form as RFC 8187 has it.
fn name_of(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let parameter = |key: &str| {
        let is_it = |part: &&str| part.trim().to_ascii_lowercase().starts_with(key);
        let part = given.split(';').skip(1).find(is_it)?;
        Some(part.split_once('=')?.1.trim().trim_matches('"').to_owned())
    };
    let encoded = parameter("filename*=").and_then(|value| {
        let (_, text) = value.split_once("''")?;
        decoded(text)
    });
    let name = encoded.or_else(|| parameter("filename=")).unwrap_or_default();
    let name = file_name(&name);
    if name.is_empty() { cleaned("file") } else { name }
}

/// Percent-encoded UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn mime_of(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(';').next().unwrap_or_default().trim().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use wxgate_contract::{BoxFuture, MediaInfo};

    use super::*;

    /// Takes everything.
    struct Anything;

    impl MediaWriter for Anything {
        fn write(&mut self, _: Bytes) -> BoxFuture<'_, Result<(), MediaError>> {
            Box::pin(async { Ok(()) })
        }

        fn finish(self: Box<Self>) -> BoxFuture<'static, Result<MediaInfo, MediaError>> {
            Box::pin(async { Err(MediaError::TooLarge { limit_bytes: 0 }) })
        }
    }

    /// A file of `pieces` pieces, one every `seconds`.
    async fn handed_over(pieces: u32, bytes: usize, seconds: u64) -> Result<usize, (StatusCode, String)> {
        let all = stream::iter(0..pieces).then(|_| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Infallible>(Bytes::from(vec![0; bytes]))
        });
        store(Box::pin(all), &mut Anything).await.map_err(|refusal| (refusal.status, refusal.why))
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_by_drops_gives_its_place_away() {
        assert_eq!(handed_over(1_000, 2_000, 1).await, Ok(2_000_000), "a slow line refused");
        assert_eq!(handed_over(100, LEAST_BYTES, 59).await, Ok(100 * LEAST_BYTES));
        assert_eq!(handed_over(5, 10, 10).await, Ok(50), "short and over before it is looked");
        let slow = (StatusCode::REQUEST_TIMEOUT, "the file came too slowly".to_owned());
        assert_eq!(handed_over(1_000, 1, 59).await, Err(slow.clone()));
        assert_eq!(handed_over(1, 1_000_000, 61).await, Err(slow));
    }

    #[test]
    fn a_store_beyond_its_bound_takes_no_more() {
        assert!(has_room(1_000, 1_000).is_ok() && has_room(1_125, 1_000).is_ok());
        let full = has_room(1_126, 1_000).unwrap_err().into_response();
        assert_eq!(full.status(), StatusCode::INSUFFICIENT_STORAGE);
        let wait = too_much(Duration::from_millis(1_500)).into_response();
        assert_eq!(wait.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(wait.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn names_come_without_directories() {
        let long = format!("attachment; filename=\"{}.pdf\"", "x".repeat(300));
        let headers =
            HeaderMap::from_iter([(header::CONTENT_DISPOSITION, HeaderValue::try_from(long).unwrap())]);
        assert!(name_of(&headers).ends_with("….pdf"));
        for (given, name) in [
            ("attachment; filename=\"holiday photo.jpg\"", "holiday photo.jpg"),
            ("attachment; filename=../../etc/passwd", "passwd"),
            ("attachment; filename=\"a.txt\"; filename*=UTF-8''%E7%85%A7%E7%89%87.jpg", "照片.jpg"),
            ("attachment; filename*=UTF-8''%zz", "file"),
            ("inline", "file"),
            ("", "file"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(given));
            assert_eq!(name_of(&headers), name, "{given}");
        }
    }
}
