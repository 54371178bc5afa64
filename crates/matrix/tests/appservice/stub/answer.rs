//! From a request to its answer: who asks, what goes wrong, what is written down.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::endpoints::{Question, dispatch};
use super::world::{Absence, Asked, Fault, World};
use super::{AS_TOKEN, DOMAIN, HS_TOKEN, PUPPET_TOKEN, Stub};

/// Status and body.
pub(super) type Answer = (u16, Value);

pub(super) fn no(status: u16, code: &str, error: &str) -> Answer {
    (status, json!({ "errcode": code, "error": error }))
}

pub(super) async fn answer(
    stub: Stub,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let segments: Vec<String> = uri
        .path()
        .split('/')
        .skip(1)
        .map(|s| percent_decode_str(s).decode_utf8().unwrap().into_owned())
        .collect();
    let path = uri.path().to_owned();
    if path == "/_matrix/federation/v1/openid/userinfo" {
        // Anybody may ask whose token it is.
        let token = query.get("access_token").map_or("", String::as_str);
        let (status, body) = match token.strip_prefix("openid of ") {
            Some(user) => (200, json!({ "sub": user })),
            None => no(401, "M_UNKNOWN_TOKEN", "Access Token unknown or expired"),
        };
        return (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    }
    if let Some(absence) = turned_away(&stub) {
        return absent(absence).await;
    }
    if path.ends_with("/ping") {
        return ping(&stub, &path).await;
    }
    let (answer, fault) = {
        let mut world = stub.world();
        let at = world.faults.iter().position(|(part, _)| path.contains(part.as_str()));
        let fault = at.map(|at| world.faults.remove(at).1);
        let user = who(&world, &headers, &query, &path);
        let answer = match (fault, &user) {
            (Some(Fault::Status(status)), _) => no(status, "M_UNKNOWN", "the test says so"),
            // In the words of a proxy, which are none of the protocol.
            (Some(Fault::ByProxy(status)), _) => (status, json!("nginx")),
            (Some(Fault::Limited(ms)), _) => {
                (429, json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "slow", "retry_after_ms": ms }))
            }
            (Some(Fault::Hangs), _) => (0, Value::Null),
            (_, Err(no)) => no.clone(),
            (_, Ok(user)) => {
                let question = Question {
                    method: method.as_str(),
                    segments: &segments,
                    query: &query,
                    user,
                    path: &path,
                    headers: &headers,
                    body: &body,
                };
                if let Some(download) = question.download(&world) {
                    return download;
                }
                dispatch(&mut world, &question)
            }
        };
        world.asked.push(Asked {
            method: method.as_str().to_owned(),
            path: percent_decode_str(&path).decode_utf8().unwrap().into_owned(),
            query: query.clone(),
            user: user.unwrap_or_default(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            status: answer.0,
        });
        (answer, fault)
    };
    stub.changed();
    if matches!(fault, Some(Fault::Hangs)) {
        return std::future::pending().await;
    }
    if let Some(Fault::Slow(ms)) = fault {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    if matches!(fault, Some(Fault::LoseAnswer)) {
        // Promises more than it sends: the connection breaks in the middle of the answer.
        let broken = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
        return Response::builder().header("content-length", "100").body(Body::from_stream(broken)).unwrap();
    }
    (StatusCode::from_u16(answer.0).unwrap(), axum::Json(answer.1)).into_response()
}

/// How nobody is there, when nobody is.
fn turned_away(stub: &Stub) -> Option<Absence> {
    let mut world = stub.world();
    let absence = world.is_down.then_some(world.absence)?;
    world.turned_away += 1;
    drop(world);
    stub.changed();
    Some(absence)
}

async fn absent(absence: Absence) -> Response {
    match absence {
        Absence::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "down").into_response(),
        Absence::Page => axum::response::Html("<html><body>Welcome to nginx!</body></html>").into_response(),
        Absence::Hangs => std::future::pending().await,
    }
}

/// Who asks, by Synapse's rules for application services.
fn who(
    world: &World,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
    path: &str,
) -> Result<String, Answer> {
    let token =
        headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let masquerades = query.get("user_id").cloned();
    let device = query.get("device_id");
    let user = match token {
        Some(AS_TOKEN) => {
            let user = masquerades.unwrap_or_else(|| format!("@_wechat_unused:{DOMAIN}"));
            let is_ours = user.starts_with("@wechat_")
                || user.starts_with("@wechatbot:")
                || user.starts_with("@_wechat_unused");
            if !is_ours {
                return Err(no(403, "M_FORBIDDEN", "Application service cannot masquerade as this user"));
            }
            user
        }
        Some(PUPPET_TOKEN) => masquerades.unwrap_or_default(),
        Some(token) if token.starts_with("token of ") => token.trim_start_matches("token of ").to_owned(),
        Some(_) => return Err(no(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.")),
        None => return Err(no(401, "M_MISSING_TOKEN", "Missing access token")),
    };
    if user.starts_with("@_wechat_unused") || path.ends_with("/register") {
        return Ok(user);
    }
    let Some(known) = world.users.get(&user) else {
        return Err(no(403, "M_FORBIDDEN", "Application service has not registered this user"));
    };
    if device.is_some_and(|device| !known.devices.contains(device)) {
        return Err(no(
            400,
            "M_UNKNOWN_DEVICE",
            "Application service trying to use a device that doesn't exist",
        ));
    }
    Ok(user)
}

/// Calls the listener, as the homeserver does for a ping.
async fn ping(stub: &Stub, path: &str) -> Response {
    let bridge = {
        let mut world = stub.world();
        let (method, path) = ("POST".to_owned(), path.to_owned());
        let query = HashMap::new();
        world.asked.push(Asked { method, path, query, user: String::new(), body: Value::Null, status: 200 });
        world.bridge
    };
    stub.changed();
    let called = async {
        let url = format!("http://{}/_matrix/app/v1/ping", bridge?);
        stub.0.http.post(url).bearer_auth(HS_TOKEN).body("{}").send().await.ok()
    };
    match called.await {
        Some(reply) if reply.status() == 200 => axum::Json(json!({ "duration_ms": 1 })).into_response(),
        _ => {
            let (status, body) = no(502, "M_CONNECTION_FAILED", "the listener does not answer");
            (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
        }
    }
}
