//! The tokens of a person.

use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::Timestamp;
use wxgate_store::Opens;

use super::caller::Caller;
use super::users::known;
use super::{Answer, Refusal, Shared, ok, read};
use axum::http::StatusCode;

/// What a token is called when nobody says so.
const LABEL: &str = "main";

#[derive(Deserialize)]
#[serde(default)]
struct New {
    label: String,
    opens: Option<Vec<String>>,
}

impl Default for New {
    fn default() -> Self {
        Self { label: LABEL.to_owned(), opens: None }
    }
}

pub(super) async fn list(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.is(&name)?;
    let name = known(&parts, name).await?;
    let rows = parts.bridge.store().tokens(&name).await?;
    let told = rows.iter().map(|row| {
        let used = row.used.map(Timestamp::ms);
        json!({ "label": row.label, "opens": row.opens.words(), "made_ms": row.made.ms(), "used_ms": used })
    });
    ok(&told.collect())
}

/// Answers with a new token, this once; the one of this label before it opens nothing from now on.
pub(super) async fn make(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    caller.is(&name)?;
    let New { label, opens } = if body.is_empty() { New::default() } else { read(&body)? };
    let opens = match opens {
        None => Opens::ALL,
        Some(words) => words.join(" ").parse().map_err(|why| Refusal(StatusCode::BAD_REQUEST, why))?,
    };
    // Nobody gives away more than they have.
    caller.opens(opens)?;
    let name = known(&parts, name).await?;
    let token = parts.bridge.store().add_token(&name, &label, opens).await?;
    // One of the same label has ended.
    parts.bridge.shut(&name);
    caller.record(&parts, "token-made", &name).await;
    tracing::info!(user = %name, label, %opens, "a token was made");
    ok(&json!({ "name": name, "label": label, "opens": opens.words(), "token": token }))
}

pub(super) async fn remove(
    State(parts): Shared,
    caller: Caller,
    Path((name, label)): Path<(String, String)>,
) -> Answer {
    caller.is(&name)?;
    let name = known(&parts, name).await?;
    parts.bridge.store().remove_token(&name, &label).await?;
    parts.bridge.shut(&name);
    caller.record(&parts, "token-ended", &name).await;
    tracing::info!(user = %name, label, "a token was ended");
    ok(&Value::Object(serde_json::Map::default()))
}
