//! Accepts connections, within bounds, until told to stop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::unix;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;
use wxgate_contract::Stop;
use wxgate_tls::Certificate;

use super::flowing::Flowing;
use super::forwarded;
use super::patience::{Neighbours, Takes, Timely};
use super::upload::PATH as UPLOAD;

/// Connections at once on one listener. Chosen: many times what browsers and scrapers open; one
/// connection costs some ten kilobytes.
const CONNECTIONS: usize = 512;
/// From the first byte to the end of the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers may take to end when the program stops.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// From where a request came; `None` through a socket of the file system. An extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

/// An extension of a request that was sent on for somebody by who may not say for whom: where it comes from is not
/// known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed;

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address.ip().to_canonical()))
    }
}

impl From<unix::SocketAddr> for Peer {
    fn from(_: unix::SocketAddr) -> Self {
        Self(None)
    }
}

/// What a listener answers, and how.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) router: Router,
    /// Reverse proxies, which say for whom they ask.
    pub(crate) proxies: Arc<[IpNet]>,
}

impl Served {
    /// The address that a connection counts for; `None` for who brings many people: a proxy, and this machine, on which
    /// one may run that is not in the list.
    fn stranger(&self, peer: Peer) -> Option<IpAddr> {
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|network| network.contains(address));
        peer.0.filter(|address| !address.is_loopback() && !is_proxy(address))
    }
}

/// Serves on `listener`, with the certificate where one is given.
pub(crate) async fn serve<L>(mut listener: L, served: Served, mut tls: Option<Certificate>, stop: Stop)
where
    L: Listener<Addr: Into<Peer>>,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let neighbours = Arc::<Neighbours>::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Closed never: the semaphore lives as long as this loop.
            let place = Arc::clone(&room).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            () = stop.stopping() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, (stream, address)) = accepted => {
                let (served, stop, peer) = (served.clone(), stop.clone(), address.into());
                let Some(neighbour) = neighbours.take(served.stranger(peer)) else {
                    tracing::debug!(?peer, "an address has too many connections to the web listener");
                    continue;
                };
                let acceptor = tls.as_mut().map(Certificate::acceptor);
                connections.spawn(async move {
                    match acceptor {
                        None => connection(stream, peer, served, stop).await,
                        Some(acceptor) => secured(acceptor, stream, peer, served, stop).await,
                    }
                    drop((place, neighbour));
                });
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is dropped with the set.
    let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
}

/// A handshake, and then the same. One that fails is its client's affair.
async fn secured<I>(acceptor: TlsAcceptor, stream: I, peer: Peer, served: Served, stop: Stop)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HEAD_PATIENCE, acceptor.accept(stream)) => shaken,
        () = stop.stopping() => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection(stream, peer, served, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake of the web listener failed"),
        Err(_) => tracing::debug!("a TLS handshake of the web listener took too long"),
    }
}

async fn connection<I>(stream: I, peer: Peer, served: Served, stop: Stop)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let answers = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        // Of each request: a proxy sends those of many people over one connection.
        let from = peer.0.map(|peer| forwarded::client(peer, request.headers(), &served.proxies));
        if from == peer.0 && forwarded::is_relayed(request.headers()) {
            request.extensions_mut().insert(Relayed);
        }
        request.extensions_mut().insert(Peer(from));
        let takes = if request.uri().path() == UPLOAD { Takes::AsLongAsItComes } else { Takes::AMoment };
        // A router is always ready.
        served.router.clone().call(request.map(|body| Timely::new(body, takes)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(Flowing::new(stream)), answers);
    tokio::pin!(connection);
    // A connection that breaks is its client's affair.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.stopping() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
