//! Fragments that follow what happens, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::{Markup, html};
use wxgate_contract::BoxFuture;

use super::gate::{Answer, Person, Turned};
use super::words::Words;
use crate::web::places::Place;
use crate::wiring::Parts;

/// Between two looks. Chosen: quick for a person, and reading an account costs microseconds.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// A comment that keeps proxies from closing a quiet stream.
const BEAT: Duration = Duration::from_secs(20);

/// A place for one more stream of somebody.
///
/// # Errors
/// The answer when all are taken; the page then says that it follows nothing.
pub(super) fn place(parts: &Parts, person: &Person) -> Result<Place, Turned> {
    let full = (StatusCode::SERVICE_UNAVAILABLE, "too many pages follow this gateway\n");
    parts.streams.take(&person.user).ok_or_else(|| full.into_response().into())
}

/// What a look found.
pub(super) enum Look {
    /// This is how it is now.
    Is(Markup),
    /// There is nothing more to follow.
    Over,
}

/// The event that puts a fragment in place.
pub(super) fn fragment(markup: &Markup) -> Event {
    // One line: an event's data may not hold a carriage return.
    Event::default().event("fragment").data(markup.0.replace(['\r', '\n'], " "))
}

/// The event after which nothing comes. It says something, because browsers pass over events without data.
///
/// Source: HTML, 9.2.6, "dispatch the event".
pub(super) fn end() -> Event {
    Event::default().event("end").data("done")
}

/// The same, where what is shown may go on changing.
pub(super) fn lost() -> Event {
    Event::default().event("end").data("lost")
}

/// What stands behind a fragment that follows something, and says so when it does that no longer.
pub(super) fn note(words: &Words) -> Markup {
    html! {
        div role="status" { template { p.note { (words.not_followed) " " a href="" { (words.load_again) } } } }
    }
}

/// Answers with a stream of events.
pub(super) fn answer<S>(events: S) -> Response
where
    S: stream::Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let mut answer = Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT)).into_response();
    let no_store = axum::http::HeaderValue::from_static("no-store");
    answer.headers_mut().insert(axum::http::header::CACHE_CONTROL, no_store);
    answer
}

/// Whether a session goes on: nobody signed out, and what it began with still opens something.
pub(super) async fn goes_on(parts: &Parts, token: &str) -> bool {
    let Some((user, credential)) = parts.sessions.look(token) else { return false };
    // A store that does not answer for a moment changes nothing.
    !matches!(parts.bridge.store().still_opens(&user, &credential).await, Ok(None))
}

/// Follows what `look` sees; each change is told, until it is over, the person signs out or the program stops.
pub(super) fn follow<L>(parts: Arc<Parts>, person: &Person, look: L) -> Answer
where
    L: Fn(Arc<Parts>) -> BoxFuture<'static, Look> + Send + 'static,
{
    let place = place(&parts, person)?;
    let token = person.token.clone();
    let start = Some((look, String::new(), true, place));
    let events = stream::unfold(start, move |state| {
        let (parts, token) = (Arc::clone(&parts), token.clone());
        async move {
            let (look, mut shown, mut is_first, place) = state?;
            loop {
                if !std::mem::take(&mut is_first) {
                    tokio::select! {
                        () = parts.stop.stopping() => return None,
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
                if !goes_on(&parts, &token).await {
                    return Some((Ok(lost()), None));
                }
                match look(Arc::clone(&parts)).await {
                    Look::Over => return Some((Ok(lost()), None)),
                    Look::Is(markup) if markup.0 == shown => {}
                    Look::Is(markup) => {
                        let event = fragment(&markup);
                        shown = markup.0;
                        return Some((Ok(event), Some((look, shown, false, place))));
                    }
                }
            }
        }
    });
    Ok(answer(events))
}
