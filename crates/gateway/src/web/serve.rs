//! Accepts connections, within bounds, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wxgate_contract::Stop;

/// Connections at once on one listener. Chosen: many times what browsers and scrapers open; one
/// connection costs some ten kilobytes.
const CONNECTIONS: usize = 512;
/// From the first byte to the end of the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers may take to end when the program stops.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Serves `router` on `listener`.
pub(crate) async fn serve<L: Listener>(mut listener: L, router: Router, stop: Stop) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Closed never: the semaphore lives as long as this loop.
            let place = Arc::clone(&room).acquire_owned().await.ok();
            (place, listener.accept().await.0)
        };
        tokio::select! {
            () = stop.stopping() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, stream) = accepted => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, router, stop).await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is dropped with the set.
    let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
}

async fn connection<I>(stream: I, router: Router, stop: Stop)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // A connection that breaks is its client's affair.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.stopping() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
