//! What happens to accounts, as server-sent events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::Value;
use wxgate_contract::{AccountView, Directory, FarError, UserName};

use super::caller::Caller;
use super::{Answer, Refusal, Shared, row};
use crate::web::places::Place;
use crate::wiring::Parts;

/// Between two looks. Chosen: quick for a person, cheap for ten thousand accounts.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether somebody may still follow a sign-in. Chosen: a session is ended within seconds.
const LOOKED_AFTER: Duration = Duration::from_secs(5);
/// A comment that keeps proxies from closing a quiet stream.
const BEAT: Duration = Duration::from_secs(20);
/// Changes are told in this order of names, and so many at most in one event: a page of them.
const AT_ONCE: usize = 100;

/// A place for a stream that somebody follows.
pub(super) fn place(parts: &Parts, caller: &Caller) -> Result<Place, Refusal> {
    parts.streams.take(&caller.user().unwrap_or_else(|| UserName::from(""))).ok_or_else(|| {
        let message = "too many streams follow this gateway; close some, or come back later";
        Refusal(StatusCode::TOO_MANY_REQUESTS, message.to_owned())
    })
}

/// Lasts as long as whoever follows may.
pub(super) async fn welcome(parts: Arc<Parts>, caller: Caller) {
    while caller.is_welcome(&parts).await {
        tokio::time::sleep(LOOKED_AFTER).await;
    }
}

/// `event: accounts` with a list of rows as `/accounts` has them: all at first, then those that changed; and
/// `event: gone` with a list of names.
pub(super) async fn events(State(parts): Shared, caller: Caller) -> Answer {
    let place = place(&parts, &caller)?;
    let known: HashMap<String, Value> = HashMap::new();
    let start = (known, Vec::<Event>::new(), true, place);
    let events = stream::unfold(start, move |(mut known, mut ready, mut is_first, place)| {
        let parts = Arc::clone(&parts);
        let caller = caller.clone();
        async move {
            loop {
                if let Some(event) = ready.pop() {
                    return Some((Ok::<_, std::convert::Infallible>(event), (known, ready, false, place)));
                }
                if !std::mem::take(&mut is_first) {
                    tokio::select! {
                        () = parts.stop.stopping() => return None,
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
                if !caller.is_welcome(&parts).await {
                    return None;
                }
                // A store that does not answer for a moment changes nothing.
                if let Ok(now) = seen(&parts, &caller).await {
                    ready = changes(&mut known, now.iter().map(|view| row(&parts, view)).collect());
                }
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT)).into_response())
}

/// The accounts that the caller may know of, from memory.
async fn seen(parts: &Parts, caller: &Caller) -> Result<Vec<AccountView>, FarError> {
    match caller {
        Caller::Person { user, is_admin: false, .. } => Directory::accounts(&*parts.bridge, user).await,
        _ => Directory::all_accounts(&*parts.bridge).await,
    }
}

/// What is new since the last look, the last event first.
fn changes(known: &mut HashMap<String, Value>, now: Vec<Value>) -> Vec<Event> {
    let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_owned();
    let mut gone: HashSet<String> = known.keys().cloned().collect();
    let mut changed = Vec::new();
    for row in now {
        let name = name(&row);
        gone.remove(&name);
        if known.get(&name) != Some(&row) {
            changed.push(row.clone());
            known.insert(name, row);
        }
    }
    let mut gone: Vec<String> = gone.into_iter().collect();
    gone.sort_unstable();
    gone.iter().for_each(|name| drop(known.remove(name)));
    let event = |kind: &str, list: Value| Event::default().event(kind).data(list.to_string());
    let mut events: Vec<Event> =
        changed.chunks(AT_ONCE).map(|rows| event("accounts", Value::from(rows.to_vec()))).collect();
    events.extend((!gone.is_empty()).then(|| event("gone", Value::from(gone))));
    events.reverse();
    events
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn rows(names: std::ops::Range<usize>, state: &str) -> Vec<Value> {
        names.map(|n| json!({ "name": format!("account{n:05}"), "state": state })).collect()
    }

    #[test]
    fn what_changed_and_what_is_gone_is_told_once() {
        let mut known = HashMap::new();
        assert_eq!(changes(&mut known, rows(0..250, "up")).len(), 3, "a page of them at a time");
        assert!(changes(&mut known, rows(0..250, "up")).is_empty());
        assert_eq!(changes(&mut known, rows(1..251, "up")).len(), 2, "one is gone, and one is new");
        assert_eq!(known.len(), 250);
        assert!(!known.contains_key("account00000"));
    }

    #[test]
    fn a_look_at_many_accounts_takes_no_longer_than_reading_them() {
        const MANY: usize = 40_000;
        let mut known = HashMap::new();
        drop(changes(&mut known, rows(0..MANY, "up")));
        let now = rows(0..MANY, "up");
        let start = Instant::now();
        assert!(changes(&mut known, now).is_empty());
        // Each name compared with each other one takes half a minute; others work on the machine too.
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
}
