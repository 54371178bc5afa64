//! Where the homeserver calls us: its transactions, its ping, its questions about users and rooms.
//!
//! Source: <https://spec.matrix.org/v1.16/application-service-api/>

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use wxgate_contract::Stop;

use crate::inbound::{Taken, Transaction};
use crate::secret::Secret;

/// Largest transaction. Source: Synapse puts at most 100 events of 64 KiB and 100 ephemeral ones
/// into one; twice that, because a transaction that is refused comes again for ever.
const TRANSACTION_BYTES: usize = 16 << 20;
/// Connections at once. Chosen: a homeserver uses one or two; workers a few more.
const CONNECTIONS: usize = 64;
/// From the first byte to the end of the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers may take to end when the program stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Pause after an accept that failed (no descriptors left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the routes need.
#[derive(Clone)]
struct Door {
    token: Secret,
    transactions: mpsc::Sender<Transaction>,
}

/// The routes, in their present and their old place.
pub(crate) fn router(token: Secret, transactions: mpsc::Sender<Transaction>) -> Router {
    let door = Arc::new(Door { token, transactions });
    Router::new()
        .route("/_matrix/app/v1/transactions/{txn}", put(transaction))
        .route("/transactions/{txn}", put(transaction))
        .route("/_matrix/app/v1/ping", post(ping))
        .route("/_matrix/app/v1/users/{user}", get(nobody))
        .route("/users/{user}", get(nobody))
        .route("/_matrix/app/v1/rooms/{alias}", get(nobody))
        .route("/rooms/{alias}", get(nobody))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&door), check))
        .with_state(door)
}

/// Routes whose callers come once: each of their connections ends with its answer, so that none waits idle in the place
/// of the homeserver's.
pub(crate) fn once(router: Router) -> Router {
    router.layer(middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }))
}

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
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
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, router, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection of the homeserver could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is dropped with the set; the homeserver repeats it.
    let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
}

async fn connection(stream: tokio::net::TcpStream, router: Router, stop: Stop) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // A connection that breaks is its homeserver's affair.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.stopping() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The bearer token of a request. Source: RFC 9110, section 11.1: the name of a scheme has no case.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    let told = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    told.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token)
}

/// The token, as a bearer token or, from older homeservers, in the query.
async fn check(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let bearer = bearer(&request);
    let in_query = || {
        let pairs = url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
        pairs.into_iter().find(|(key, _)| key == "access_token").map(|(_, token)| token.into_owned())
    };
    let presented = bearer.map(str::to_owned).or_else(in_query);
    match presented {
        None => refuse(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", "the request carries no token"),
        Some(token) if !door.token.is(&token) => {
            refuse(StatusCode::FORBIDDEN, "M_FORBIDDEN", "the token is not the hs_token of the registration")
        }
        Some(_) => next.run(request).await,
    }
}

async fn transaction(State(door): State<Arc<Door>>, body: Body) -> Response {
    let Ok(body) = Limited::new(body, TRANSACTION_BYTES).collect().await else {
        let what = format!("the transaction broke off or has more than {TRANSACTION_BYTES} bytes");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", &what);
    };
    let (done, taken) = oneshot::channel();
    let handed = door.transactions.send(Transaction { body: body.to_bytes(), done }).await;
    let taken = match handed {
        Ok(()) => taken.await.unwrap_or(Taken::Not),
        Err(_) => Taken::Not,
    };
    match taken {
        Taken::Safe => good(),
        Taken::Not => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "M_UNKNOWN",
            "the transaction could not be stored; repeat it",
        ),
        Taken::Odd => refuse(StatusCode::BAD_REQUEST, "M_NOT_JSON", "the transaction is not one"),
    }
}

async fn ping() -> Response {
    good()
}

/// Ghosts and rooms are made by us before anybody can ask for them.
async fn nobody() -> Response {
    refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND", "there is no such user or room here")
}

async fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "there is no such endpoint here")
}

fn good() -> Response {
    axum::Json(json!({})).into_response()
}

fn refuse(status: StatusCode, code: &str, error: &str) -> Response {
    (status, axum::Json(json!({ "errcode": code, "error": error }))).into_response()
}
