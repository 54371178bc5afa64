//! Markers in the owner's remarks, by which contacts are known after a new sign-in.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{Answer as Told, ChatKey, Marking, Request};

use super::api::{Answer, Caller, Refusal, Shared, ok, read};
use super::identity::ask;

pub(super) async fn list(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let Told::Markers(markers) = ask(&parts, &caller, &name, Request::Markers).await? else {
        return ok(&json!([]));
    };
    let rows = markers
        .iter()
        .map(|of| json!({ "chat": of.chat, "title": of.title, "state": of.state, "wanted": of.wanted }));
    ok(&Value::from(rows.collect::<Vec<Value>>()))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Put,
    Take,
}

/// Whose markers, and what is to become of them.
#[derive(Deserialize)]
struct Wanted {
    marking: What,
    #[serde(default)]
    chats: Vec<ChatKey>,
    #[serde(default)]
    everybody: bool,
}

pub(super) async fn mark(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Wanted { marking, chats, everybody } = read(&body)?;
    if chats.is_empty() != everybody {
        let why = "name 'chats', or say 'everybody': true, and not both";
        return Err(Refusal(StatusCode::BAD_REQUEST, why.to_owned()));
    }
    let marking = match marking {
        What::Put => Marking::Put,
        What::Take => Marking::Take,
    };
    match ask(&parts, &caller, &name, Request::Mark { chats, marking }).await? {
        Told::Text(text) => ok(&json!({ "text": text })),
        _ => ok(&json!({ "text": "" })),
    }
}
