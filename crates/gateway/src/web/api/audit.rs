//! What was done to the instance.

use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Caller;
use super::{Answer, Shared, ok};

/// Acts that are told at once when nobody says how many, and at most.
const ACTS: usize = 100;
const MOST_ACTS: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Wanted {
    before: Option<i64>,
    limit: Option<usize>,
}

/// The newest first; the next page is before the last `id`.
pub(super) async fn acts(State(parts): Shared, caller: Caller, Query(wanted): Query<Wanted>) -> Answer {
    caller.administers()?;
    let limit = wanted.limit.unwrap_or(ACTS).min(MOST_ACTS);
    let rows = parts.bridge.store().acts(wanted.before, limit).await?;
    let told = rows.iter().map(|row| {
        let act = &row.act;
        json!({
            "id": row.id, "at_ms": row.at.ms(), "who": act.who, "door": act.door, "what": act.what,
            "about": act.about,
        })
    });
    ok(&told.collect::<Value>())
}
