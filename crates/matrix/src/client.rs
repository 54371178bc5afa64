//! The only file that talks to the homeserver.
//!
//! One generic call: token and identity, time and size bounds, and an answer or an error that says
//! what the caller can do. It repeats nothing: every delivery has its lane, and only the lane knows
//! whether the last attempt may have arrived. A homeserver that does not answer is noted in
//! [`Client::reach`], so that nothing further is tried before it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use url::Url;

use crate::api::{Call, Endpoint};
use crate::config::MatrixConfig;
use crate::media::Pieces;
use crate::secret::Secret;

/// Before a connection is given up. Chosen: it is mostly the same machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at once. Chosen: the sixteen lanes, their ghosts' joins and some questions of people; more
/// would only queue inside the homeserver.
const CALLS_AT_ONCE: usize = 32;
/// Longest answer to an upload, and longest refusal: a few words.
const SHORT_BYTES: usize = 1 << 20;
/// Source: client-server API, "Common error codes".
pub(crate) const TOO_LARGE: &str = "M_TOO_LARGE";
const DOWNLOAD: &str = "download";
/// So many times longer than another call may the head of a file take: a homeserver fetches those of others before it
/// answers. Chosen.
const HEAD_PATIENCE: u32 = 2;
/// Without a byte for this long a stream is dead. Chosen.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// When the homeserver says "slow down" and not for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
/// Longest pause that a homeserver may ask for. Chosen: a wrong number must not stop a lane for good.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Who is acting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor<'a> {
    /// The application service itself: registering, ping.
    Service,
    /// One of our users; with a device, transaction ids are remembered over restarts.
    As { user_id: &'a str, device_id: Option<&'a str> },
    /// A local user, through the second registration.
    Puppet { token: &'a Secret, user_id: &'a str, device_id: Option<&'a str> },
    /// Somebody who gave us a token of their own.
    Token(&'a Secret),
    /// Nobody: for what anybody may ask.
    Nobody,
}

impl Actor<'_> {
    /// It asks with our own token.
    fn is_own(&self) -> bool {
        matches!(self, Self::Service | Self::As { .. })
    }
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke.
    #[error("the connection to the homeserver failed during \"{endpoint}\"")]
    Network {
        /// What was asked.
        endpoint: &'static str,
    },
    /// The call's time is over; it may have been carried out.
    #[error("\"{endpoint}\" took too long")]
    TimedOut {
        /// What was asked.
        endpoint: &'static str,
    },
    /// 429.
    #[error("the homeserver asks to slow down during \"{endpoint}\"")]
    Limited {
        /// What was asked.
        endpoint: &'static str,
        /// Not before this is over.
        after: Duration,
    },
    /// 5xx, or an answer that is none of a homeserver.
    #[error("the homeserver failed during \"{endpoint}\" ({status})")]
    Failed {
        /// What was asked.
        endpoint: &'static str,
        /// The status of the answer.
        status: u16,
        /// The homeserver itself said so, in the words of the protocol: it is there, and something behind it is not.
        by_homeserver: bool,
    },
    /// The file that was to be handed over could not be read to its end. The homeserver has no part in it.
    #[error("the file could not be read during \"{endpoint}\"")]
    Unreadable {
        /// What was asked.
        endpoint: &'static str,
    },
    /// What was to be said could not be encrypted now, and was not sent.
    #[error("it could not be encrypted yet: {why}")]
    NotSealed {
        /// Why not.
        why: String,
    },
    /// What was to be said cannot be encrypted where it was to be said, and was not sent: it is for people to mend.
    #[error("it cannot be encrypted there: {why}")]
    NotToSeal {
        /// Why not.
        why: String,
    },
    /// Any other no.
    #[error("the homeserver refused \"{endpoint}\": {code} {message}")]
    Refused {
        /// What was asked.
        endpoint: &'static str,
        /// The status of the answer.
        status: u16,
        /// The error code of the protocol.
        code: String,
        /// What the homeserver says about it.
        message: String,
    },
}

impl CallError {
    /// The error code, when the homeserver said no.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// True when other calls fail now as well. One that fails alone, because the homeserver cannot read a room or
    /// has more to say of it than anybody hears, must not hold up all the others.
    pub(crate) fn is_of_all(&self) -> bool {
        match self {
            Self::Network { .. } | Self::TimedOut { .. } | Self::Limited { .. } => true,
            Self::Failed { status, by_homeserver, .. } => !by_homeserver && is_of_a_proxy(*status),
            Self::Unreadable { .. }
            | Self::NotSealed { .. }
            | Self::NotToSeal { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// True when a device's new keys were refused because the homeserver has others under the same ids: it was given
    /// them by a state of the device that is newer than ours. The words are all that tells it from other refusals.
    /// Source: Synapse, `handlers/e2e_keys.py`; matrix-sdk 0.18 takes them likewise.
    #[cfg(feature = "encryption")]
    pub(crate) fn shows_old_keys(&self) -> bool {
        matches!(self, Self::Refused { status: 400, message, .. }
            if message.starts_with("One time key ") && message.contains(" already exists"))
    }

    /// True when the same call may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Unreadable { .. } | Self::NotToSeal { .. })
    }
}

/// The standard error. Source: client-server API, "Standard error response".
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errcode: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

/// The way to one homeserver.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    /// Ours; that of an ordinary account comes with its session.
    token: Arc<TokenPlace>,
    /// The token is an account's own and acts for nobody else.
    is_ordinary: bool,
    timeout: Duration,
    places: Semaphore,
    reach: watch::Sender<bool>,
    /// An ordinary account is asked to slow down until then. Locked for the length of a look.
    not_before: Mutex<Option<Instant>>,
}

/// Where the token is that is asked with.
#[derive(Debug)]
pub(crate) struct TokenPlace {
    // Locked for the length of a copy.
    token: RwLock<Secret>,
}

impl TokenPlace {
    /// From here on it is asked with this one; an empty one changes nothing.
    pub(crate) fn set(&self, token: Secret) {
        if !token.is_empty() {
            *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        }
    }

    fn get(&self) -> Secret {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The HTTP library could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client: {0}")]
pub(crate) struct SetUpError(String);

impl Client {
    pub(crate) fn new(config: &MatrixConfig) -> Result<Self, SetUpError> {
        // Fails when the program installed a provider already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "the one pool of the one way to the homeserver")]
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(CALLS_AT_ONCE)
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|error| SetUpError(error.to_string()))?;
        Ok(Self {
            http,
            base: config.homeserver.clone(),
            token: Arc::new(TokenPlace { token: RwLock::new(config.as_token.clone()) }),
            is_ordinary: config.account.is_some(),
            timeout: config.timings.call_timeout,
            places: Semaphore::new(CALLS_AT_ONCE),
            reach: watch::channel(false).0,
            not_before: Mutex::default(),
        })
    }

    /// True while the homeserver answers.
    pub(crate) fn reach(&self) -> watch::Receiver<bool> {
        self.reach.subscribe()
    }

    /// The homeserver answered a greeting: calls may go out again.
    pub(crate) fn reached(&self) {
        self.reach.send_replace(true);
    }

    /// The account has a session.
    pub(crate) fn signed_in(&self, token: Secret) {
        self.token.set(token);
    }

    /// For whoever has the session, whose token may change.
    pub(crate) fn token_place(&self) -> Arc<TokenPlace> {
        Arc::clone(&self.token)
    }

    /// True once the account has a session.
    pub(crate) fn has_token(&self) -> bool {
        !self.token().is_empty()
    }

    /// How long an ordinary account has to keep quiet. The limits of a homeserver are one account's, and
    /// that account says everything here.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        until.and_then(|until| until.checked_duration_since(Instant::now()))
    }

    fn token(&self) -> Secret {
        self.token.get()
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn call<E: Endpoint>(
        &self,
        actor: Actor<'_>,
        endpoint: &E,
    ) -> Result<E::Reply, CallError> {
        let Call { method, path, query, body } = endpoint.call();
        let request = self.request(actor, method, &path, &query);
        let request = if body.is_empty() {
            request
        } else {
            request.header(header::CONTENT_TYPE, "application/json").body(body)
        };
        // Closed never: the semaphore lives as long as the client.
        let _place = self.places.acquire().await.ok();
        let answer = async {
            let reply = self.head(E::NAME, request).await?;
            self.whole(E::NAME, reply, E::ANSWER_BYTES).await
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        let answer = answer.unwrap_or(Err(CallError::TimedOut { endpoint: E::NAME }));
        let answer = answer.and_then(|body| read(E::NAME, &body));
        match &answer {
            // Whatever somebody else's token is worth says nothing about ours.
            Err(CallError::Refused { .. } | CallError::Limited { .. }) if !actor.is_own() => answer,
            _ => self.noted(answer),
        }
    }

    /// Uploads a file as it is read; gives its `mxc://` address.
    pub(crate) async fn upload(&self, actor: Actor<'_>, file: Outgoing<'_>) -> Result<String, CallError> {
        const NAME: &str = "upload";
        let mut query = Vec::new();
        if !file.name.is_empty() {
            query.push(("filename", file.name.to_owned()));
        }
        // A body that fails breaks the connection, as a homeserver that goes away does.
        let is_spoiled = Arc::new(AtomicBool::new(false));
        let spoils = Arc::clone(&is_spoiled);
        let pieces = file.pieces.inspect_err(move |_| spoils.store(true, Ordering::Relaxed));
        let request = self
            .request(actor, Method::POST, "/_matrix/media/v3/upload", &query)
            .header(header::CONTENT_TYPE, file.mime)
            .header(header::CONTENT_LENGTH, file.bytes)
            .body(reqwest::Body::wrap_stream(pieces));
        let answer = async {
            let reply = self.head(NAME, request).await?;
            self.whole(NAME, reply, SHORT_BYTES).await
        };
        let answer = tokio::time::timeout(transfer_time(file.bytes), answer).await;
        if is_spoiled.load(Ordering::Relaxed) {
            return Err(CallError::Unreadable { endpoint: NAME });
        }
        let answer = answer.unwrap_or(Err(CallError::TimedOut { endpoint: NAME }));
        let uploaded: crate::api::media::Uploaded = self.noted(answer.and_then(|body| read(NAME, &body)))?;
        Ok(uploaded.content_uri)
    }

    /// Opens a file of any homeserver for reading. What fails about this file alone is refused: that its own homeserver
    /// is away is no news about ours.
    pub(crate) async fn download(
        &self,
        actor: Actor<'_>,
        server: &str,
        media: &str,
    ) -> Result<Download, CallError> {
        let call = Call::get("/_matrix/client/v1/media/download", &[server, media]);
        match self.head_of_file(actor, &call.path).await {
            Ok(reply) => Ok(Download { reply }),
            // A homeserver from before authenticated media.
            Err(CallError::Refused { code, .. }) if code == "M_UNRECOGNIZED" => {
                let call = Call::get("/_matrix/media/v3/download", &[server, media]);
                Ok(Download { reply: self.head_of_file(actor, &call.path).await? })
            }
            Err(error) => Err(error),
        }
    }

    async fn head_of_file(&self, actor: Actor<'_>, path: &str) -> Result<reqwest::Response, CallError> {
        let request = self.request(actor, Method::GET, path, &[]);
        let head = tokio::time::timeout(self.timeout * HEAD_PATIENCE, self.head(DOWNLOAD, request)).await;
        match head.unwrap_or(Err(CallError::TimedOut { endpoint: DOWNLOAD })) {
            // Often another process serves files; if the homeserver itself is away, other calls find out.
            failed @ Err(CallError::Failed { .. }) => failed,
            head => self.noted(head),
        }
    }

    fn request(
        &self,
        actor: Actor<'_>,
        method: Method,
        path: &str,
        query: &[(&'static str, String)],
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        let own = self.token();
        let (token, user_id, device_id) = match actor {
            Actor::Service => (&own, None, None),
            Actor::As { .. } if self.is_ordinary => (&own, None, None),
            Actor::As { user_id, device_id } => (&own, Some(user_id), device_id),
            Actor::Puppet { token, user_id, device_id } => (token, Some(user_id), device_id),
            Actor::Token(token) => (token, None, None),
            Actor::Nobody => return self.http.request(method, with_query(url, query)),
        };
        if !query.is_empty() || user_id.is_some() {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(query.iter().map(|(key, value)| (*key, value.as_str())));
            pairs.extend_pairs(user_id.map(|user| ("user_id", user)));
            pairs.extend_pairs(device_id.map(|device| ("device_id", device)));
        }
        self.http.request(method, url).bearer_auth(token.reveal())
    }

    /// Sends, and returns with the head of a good answer.
    async fn head(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, CallError> {
        let reply = request.send().await.map_err(|_| CallError::Network { endpoint })?;
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let asked =
            reply.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.whole(endpoint, reply, SHORT_BYTES).await.unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let after = refusal.retry_after_ms.map(Duration::from_millis);
                let after = after.or(asked.map(Duration::from_secs)).unwrap_or(DEFAULT_RETRY);
                CallError::Limited { endpoint, after: after.min(LONGEST_RETRY) }
            }
            // Said by a proxy in between, in words of its own; it says the same the next time.
            StatusCode::PAYLOAD_TOO_LARGE => CallError::Refused {
                endpoint,
                status: status.as_u16(),
                code: TOO_LARGE.to_owned(),
                message: refusal.error,
            },
            // Synapse answers so when the homeserver of a file does not give it. Source: Synapse 1.163,
            // media/media_repository.py.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
                if endpoint == DOWNLOAD && !refusal.errcode.is_empty() =>
            {
                let (code, message) = (refusal.errcode, refusal.error);
                CallError::Refused { endpoint, status: status.as_u16(), code, message }
            }
            // What is no Matrix answer comes from something between us and the homeserver.
            status if status.is_server_error() || refusal.errcode.is_empty() => {
                let by_homeserver = !refusal.errcode.is_empty();
                CallError::Failed { endpoint, status: status.as_u16(), by_homeserver }
            }
            status => CallError::Refused {
                endpoint,
                status: status.as_u16(),
                code: refusal.errcode,
                message: refusal.error,
            },
        })
    }

    async fn whole(
        &self,
        endpoint: &'static str,
        mut reply: reqwest::Response,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let mut body = BytesMut::new();
        while let Some(piece) = reply.chunk().await.map_err(|_| CallError::Network { endpoint })? {
            if body.len() + piece.len() > limit {
                // It is there, and goes on and on about this.
                let status = reply.status().as_u16();
                return Err(CallError::Failed { endpoint, status, by_homeserver: true });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Remembers that the homeserver is away, or that it is not the homeserver who answers.
    pub(crate) fn noted<T>(&self, answer: Result<T, CallError>) -> Result<T, CallError> {
        let is_away = match &answer {
            Err(CallError::Network { .. } | CallError::TimedOut { .. }) => true,
            // Synapse answers 502 for another homeserver that is away, and that is no news about itself.
            Err(CallError::Failed { status, by_homeserver: false, .. }) => is_of_a_proxy(*status),
            // The session was ended elsewhere: the next greeting makes another one.
            Err(CallError::Refused { code, .. }) => self.is_ordinary && code == "M_UNKNOWN_TOKEN",
            _ => false,
        };
        // An invitation too many is no reason to keep quiet.
        if let Err(CallError::Limited { endpoint: "send", after }) = &answer
            && self.is_ordinary
        {
            let until = Instant::now() + *after;
            *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        if is_away {
            self.reach.send_if_modified(|reach| std::mem::replace(reach, false));
        }
        answer
    }
}

/// True for the status of an answer in other words than the protocol's that something in between gives for a homeserver
/// that it does not reach, or instead of it. A 500 may be the homeserver's own, about this alone.
/// Source: RFC 9110, section 15.6; Cloudflare, "Troubleshooting Cloudflare 5XX errors", has 520 to 530.
fn is_of_a_proxy(status: u16) -> bool {
    matches!(status, ..500 | 502..=504 | 520..=530)
}

/// An answer in the words that were expected. A page of a proxy is none, whatever its status; other words than were
/// expected are the homeserver's all the same.
fn read<T: serde::de::DeserializeOwned>(endpoint: &'static str, body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| CallError::Failed {
        endpoint,
        status: 200,
        by_homeserver: error.is_data(),
    })
}

fn with_query(mut url: Url, query: &[(&'static str, String)]) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query.iter().map(|(key, value)| (*key, value.as_str())));
    }
    url
}

/// A minute, and a second for every 64 KiB: slower than that nobody waits for. Chosen.
pub(crate) fn transfer_time(bytes: u64) -> Duration {
    Duration::from_secs(60 + bytes / (64 << 10))
}

/// A file on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) name: &'a str,
    pub(crate) mime: &'a str,
    pub(crate) bytes: u64,
    pub(crate) pieces: Pieces,
}

/// A file on its way in.
#[derive(Debug)]
pub(crate) struct Download {
    reply: reqwest::Response,
}

impl Download {
    /// The type that the homeserver tells.
    pub(crate) fn mime(&self) -> &str {
        let value = self.reply.headers().get(header::CONTENT_TYPE);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The length that the homeserver tells.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.reply.content_length()
    }

    /// The next piece; a stream that stalls takes too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout(STALL_TIMEOUT, self.reply.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(_)) => Err(CallError::Network { endpoint: DOWNLOAD }),
            Err(_) => Err(CallError::TimedOut { endpoint: DOWNLOAD }),
        }
    }
}
