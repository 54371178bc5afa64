//! The only file that does HTTP.
//!
//! One generic call: add cookies, send, keep the cookies of the answer, bound time and size, parse.
//! It has no `if` about any endpoint, follows no redirect and repeats nothing: whether a send may
//! be repeated is decided where it is known what a repetition costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, header};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use url::Url;
use wechat_proto::{Endpoint, ProtoError, RetCode};

use crate::config::{Timings, WechatConfig};
use crate::jar::Place;
use crate::session::live::Live;

/// Before a connection is given up. Chosen: the page's shortest limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that waits for the next long poll, which comes at once. Chosen.
const POLL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that waits for the next call of any account. Chosen: a busy account's sync comes
/// within it, and a connection that carried an address book does not stay.
const CALL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for this long a stream is dead. Chosen.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Accounts that load their address books at once. Parsed, a book of 500 contacts and 20 groups takes
/// a megabyte or two; a hundred at once left 50 MiB of torn memory behind (measured). Chosen: two for
/// each core of a small machine.
const LOADS: usize = 4;
/// After this long a load no longer keeps others waiting: its network is slow, not its work.
const LOAD_SEAT: Duration = Duration::from_secs(5);

/// Servers whose TLS sessions a way out may take up again. Chosen: all hosts of one family, twice.
const SESSIONS: usize = 16;
/// Source: rustls 0.23, `ClientSessionMemoryCache`: so many tickets are counted for each server.
const TICKETS: usize = 8;

/// What all accounts share: the ways out, one per proxy and one for no proxy, what they trust, and the seats of
/// those who load their address books.
#[derive(Clone)]
pub struct Ways {
    ways: Arc<Mutex<HashMap<Option<String>, Weak<Pools>>>>,
    /// The authorities of this machine are read and parsed once: a thousand accounts with proxies of their own have
    /// a thousand ways out.
    tls: Arc<OnceLock<Result<ClientConfig, WayError>>>,
    loads: Arc<Semaphore>,
}

impl Default for Ways {
    fn default() -> Self {
        Self { ways: Arc::default(), tls: Arc::default(), loads: Arc::new(Semaphore::new(LOADS)) }
    }
}

/// One way out, for as long as somebody holds it.
#[derive(Clone, Debug)]
pub struct Way(Arc<Pools>);

/// Long polls have connections of their own: a connection keeps the read buffer of
/// the largest answer it ever carried, and an account's poll stays open for ever. (Measured: about
/// 110 KiB per account when polls took over the connections of the address books.)
#[derive(Debug)]
struct Pools {
    calls: reqwest::Client,
    polls: reqwest::Client,
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ways")
    }
}

/// There is no such way out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WayError {
    /// The proxy's address is not one.
    #[error("the proxy's address is not an http or socks5 address")]
    Proxy,
    /// The TLS library could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

impl Ways {
    /// No pool yet; each is made when the first account needs it.
    #[must_use]
    pub fn new() -> Self {
        // Fails when the program installed a provider already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::default()
    }

    /// A way out: the one that others use, or a new one, which goes when nobody uses it any more.
    ///
    /// # Errors
    /// When the proxy's address is none, or no certificates can be loaded.
    pub fn way(&self, proxy: Option<&str>) -> Result<Way, WayError> {
        if let Some(way) = self.in_use(proxy) {
            return Ok(way);
        }
        // Outside the lock: whoever starts beside us does not wait for it.
        let tls = self.tls.get_or_init(trust).as_ref().map_err(WayError::clone)?;
        let mut tls = tls.clone();
        // What one way out has seen must not show on another one.
        tls.resumption = Resumption::in_memory_sessions(SESSIONS * TICKETS);
        let made = Arc::new(Pools {
            calls: pool(proxy, &tls, CALL_IDLE_TIMEOUT)?,
            polls: pool(proxy, &tls, POLL_IDLE_TIMEOUT)?,
        });
        let mut ways = self.ways();
        ways.retain(|_, way| way.strong_count() > 0);
        // Somebody may have made it meanwhile; two would be two pools for one way.
        let first = ways.entry(proxy.map(str::to_owned)).or_insert_with(|| Arc::downgrade(&made));
        Ok(Way(first.upgrade().unwrap_or(made)))
    }

    fn in_use(&self, proxy: Option<&str>) -> Option<Way> {
        self.ways().get(&proxy.map(str::to_owned)).and_then(Weak::upgrade).map(Way)
    }

    /// A lock, not a message: accounts start in any order and need the answer at once. Held for a look into a table.
    fn ways(&self) -> MutexGuard<'_, HashMap<Option<String>, Weak<Pools>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is trusted: the authorities of this machine.
fn trust() -> Result<ClientConfig, WayError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "this machine has no certificate authorities (ca-certificates); install them";
        return Err(WayError::Client(why.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| WayError::Client(error.to_string()))?;
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    // As the client has it where it makes its own settings.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn pool(proxy: Option<&str>, tls: &ClientConfig, idle: Duration) -> Result<reqwest::Client, WayError> {
    #[expect(clippy::disallowed_methods, reason = "the one place where pools are made, two per way out")]
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(idle)
        .referer(false)
        .no_proxy();
    if let Some(address) = proxy {
        let proxy = reqwest::Proxy::all(address).map_err(|_| WayError::Proxy)?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| WayError::Client(error.to_string()))
}

/// Why a call gave no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection failed; `sent` says whether the request may have been carried out.
    #[error("the connection to WeChat failed during {endpoint}")]
    Network { endpoint: &'static str, sent: bool },
    /// The endpoint's time is over; the request may have been carried out.
    #[error("{endpoint} took too long")]
    TimedOut { endpoint: &'static str },
    /// The service says no.
    #[error("{endpoint} was refused: {ret}")]
    Refused { endpoint: &'static str, ret: RetCode },
    /// A request that cannot be built, or an answer that cannot be read.
    #[error(transparent)]
    Proto(#[from] ProtoError),
}

/// The wire of one account.
#[derive(Debug)]
pub(crate) struct Transport {
    way: Way,
    loads: Arc<Semaphore>,
    service: Option<Url>,
    poll_timeout: Option<Duration>,
    call_timeout: Option<Duration>,
}

impl Transport {
    pub(crate) fn new(ways: &Ways, proxy: Option<&str>, config: &WechatConfig) -> Result<Self, WayError> {
        let way = ways.way(proxy)?;
        let Timings { poll_timeout, call_timeout, .. } = config.timings;
        let loads = Arc::clone(&ways.loads);
        Ok(Self { way, loads, service: config.service.clone(), poll_timeout, call_timeout })
    }

    /// The configured service, if it stands for all hosts.
    pub(crate) fn service(&self) -> Option<&Url> {
        self.service.as_ref()
    }

    /// Carries out a load of a whole address book when there is a seat, so that few books are in memory
    /// at once. Who takes long gives up the seat and goes on without: one account's slow network does
    /// not keep others from coming online.
    pub(crate) async fn seated<T>(&self, load: impl Future<Output = T>) -> T {
        // The semaphore is never closed; without a permit the load would merely be unbounded.
        let seat = self.loads.acquire().await.ok();
        let mut load = std::pin::pin!(load);
        if let Ok(done) = tokio::time::timeout(LOAD_SEAT, &mut load).await {
            return done;
        }
        drop(seat);
        load.await
    }

    /// Asks, and takes any answer that can be read, refusals included.
    pub(crate) async fn ask<E: Endpoint>(&self, live: &Live, endpoint: &E) -> Result<E::Reply, CallError> {
        let (pool, timeout) = match E::TIMEOUT {
            wechat_proto::endpoint::POLL_TIMEOUT => {
                (&self.way.0.polls, self.poll_timeout.unwrap_or(E::TIMEOUT))
            }
            timeout => (&self.way.0.calls, self.call_timeout.unwrap_or(timeout)),
        };
        let answer = async {
            let (parts, body) = live.with_call(|call| endpoint.request(&call))?.into_parts();
            let request = Request::from_parts(parts, ());
            let reply = self.send(pool, live, E::NAME, request, body.into()).await?;
            self.whole(E::NAME, E::BODY_LIMIT, reply).await
        };
        let answer = tokio::time::timeout(timeout, answer)
            .await
            .map_err(|_| CallError::TimedOut { endpoint: E::NAME })??;
        Ok(endpoint.parse(&answer)?)
    }

    /// Asks, and takes only success.
    pub(crate) async fn call<E: Endpoint>(&self, live: &Live, endpoint: &E) -> Result<E::Reply, CallError> {
        let reply = self.ask(live, endpoint).await?;
        match E::verdict(&reply) {
            ret if ret.is_ok() => Ok(reply),
            ret => Err(CallError::Refused { endpoint: E::NAME, ret }),
        }
    }

    /// Sends a request and returns as soon as the head of the answer is there.
    pub(crate) async fn open(
        &self,
        live: &Live,
        endpoint: &'static str,
        request: Request<Bytes>,
    ) -> Result<Stream, CallError> {
        let (parts, body) = request.into_parts();
        let sent = self.send(&self.way.0.calls, live, endpoint, Request::from_parts(parts, ()), body.into());
        let limit = self.call_timeout.unwrap_or(wechat_proto::endpoint::PLAIN_TIMEOUT);
        tokio::time::timeout(limit, sent).await.map_err(|_| CallError::TimedOut { endpoint })?
    }

    async fn send(
        &self,
        pool: &reqwest::Client,
        live: &Live,
        endpoint: &'static str,
        request: Request<()>,
        body: reqwest::Body,
    ) -> Result<Stream, CallError> {
        let (parts, ()) = request.into_parts();
        let wrong = |found: &str| ProtoError::request(endpoint, "a URL of the service", found);
        let host = parts.uri.host().ok_or_else(|| wrong("no host"))?;
        let url = match &self.service {
            Some(service) => stand_in(&parts.uri, service),
            None => Url::parse(&parts.uri.to_string()).map_err(|_| wrong("something else"))?,
        };
        let stand_in = self.service.is_some().then(|| url.host_str().unwrap_or_default().to_owned());
        let place = Place { host, path: parts.uri.path(), stand_in: stand_in.as_deref() };
        let mut headers: HeaderMap = parts.headers;
        headers.insert(header::ACCEPT, http::HeaderValue::from_static("*/*"));
        if let Some(cookies) = live.cookies(place) {
            headers.insert(header::COOKIE, cookies);
        }
        let sent = pool.request(parts.method, url).headers(headers).body(body).send();
        let reply = sent.await.map_err(|error| CallError::Network { endpoint, sent: !error.is_connect() })?;
        live.keep_cookies(place, reply.headers());
        Ok(Stream { endpoint, reply })
    }

    async fn whole(
        &self,
        endpoint: &'static str,
        limit: usize,
        mut stream: Stream,
    ) -> Result<Response<Bytes>, CallError> {
        let too_long = || ProtoError::request(endpoint, format!("at most {limit} bytes"), "a longer answer");
        let announced = usize::try_from(stream.reply.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_long().into());
        }
        let mut body = BytesMut::with_capacity(announced);
        while let Some(piece) = stream.next().await? {
            if body.len() + piece.len() > limit {
                return Err(too_long().into());
            }
            body.extend_from_slice(&piece);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = stream.reply.status();
        std::mem::swap(answer.headers_mut(), stream.reply.headers_mut());
        Ok(answer)
    }
}

/// An answer whose body is still on its way.
#[derive(Debug)]
pub(crate) struct Stream {
    endpoint: &'static str,
    reply: reqwest::Response,
}

impl Stream {
    pub(crate) fn status(&self) -> http::StatusCode {
        self.reply.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.reply.headers()
    }

    /// The next piece; a stream that stalls is a network fault.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let broken = || CallError::Network { endpoint: self.endpoint, sent: true };
        match tokio::time::timeout(STALL_TIMEOUT.max(Duration::from_secs(1)), self.reply.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(_)) | Err(_) => Err(broken()),
        }
    }
}

/// The configured service's scheme and authority with the path and query of the request. The service
/// was parsed when the configuration was read; doing so for every call was a tenth of its cost.
fn stand_in(asked: &http::Uri, service: &Url) -> Url {
    let mut url = service.clone();
    url.set_path(asked.path());
    url.set_query(asked.query());
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_stand_in_takes_the_authority_and_leaves_the_rest() {
        let service = Url::parse("http://127.0.0.1:9000").unwrap();
        let asked =
            "https://webpush.wx2.qq.com/cgi-bin/mmwebwx-bin/synccheck?synckey=1_2%7C3_4".parse().unwrap();
        let url = stand_in(&asked, &service);
        assert_eq!(url.as_str(), "http://127.0.0.1:9000/cgi-bin/mmwebwx-bin/synccheck?synckey=1_2%7C3_4");
    }

    #[tokio::test(start_paused = true)]
    async fn few_load_at_once_and_who_is_slow_lets_the_next_in() {
        let config = WechatConfig::new(wxgate_contract::NetworkId::from("wechat:a"));
        let transport = Transport::new(&Ways::new(), None, &config).unwrap();
        let began = tokio::time::Instant::now();
        let slow = || transport.seated(tokio::time::sleep(Duration::from_secs(3_600)));
        let quick = transport.seated(async {});
        let all = async { tokio::join!(slow(), slow(), slow(), slow()) };
        let mut all = std::pin::pin!(all);
        assert!((&mut all).now_or_never().is_none());
        let mut quick = std::pin::pin!(quick);
        assert!((&mut quick).now_or_never().is_none(), "every seat is taken");
        tokio::select! {
            () = &mut quick => {}
            _ = &mut all => panic!("the slow ones ended first"),
        }
        assert_eq!(began.elapsed(), LOAD_SEAT);
        all.await;
        assert_eq!(began.elapsed(), Duration::from_secs(3_600), "nobody was cut short");
    }

    #[test]
    fn one_way_out_per_proxy_for_as_long_as_somebody_uses_it() {
        let ways = Ways::new();
        let held = || ways.ways().values().filter(|way| way.strong_count() > 0).count();
        let (one, two) = (ways.way(None).unwrap(), ways.way(None).unwrap());
        assert!(Arc::ptr_eq(&one.0, &two.0), "two pools for one way");
        let proxied = ways.way(Some("socks5://127.0.0.1:1080")).unwrap();
        assert!(matches!(ways.way(Some("nonsense proxy")), Err(WayError::Proxy)));
        assert_eq!(held(), 2);
        drop((one, two, proxied));
        assert_eq!(held(), 0, "nobody uses them");
        let _again = ways.way(Some("http://127.0.0.1:3128")).unwrap();
        assert_eq!(ways.ways().len(), 1, "every proxy that ever was is kept");
    }
}
