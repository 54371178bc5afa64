//! Following a sign-in over HTTP, as lines of JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use wxgate_contract::{Command, Loading, Reply, SignInStep, SignInWatch};

use super::caller::Caller;
use super::{Answer, Refusal, Shared, events, network};
use crate::web::loading::Followed;

/// The latest step at once and then each change; while contacts are read, how far that is.
pub(super) async fn sign_in(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    // The operator's commands are not counted: they may sign in many accounts side by side.
    let place = caller.user().map(|_| events::place(&parts, &caller)).transpose()?;
    let account = network(&name);
    let command = Command::SignIn { account: account.clone() };
    match caller.desk(&parts).run(caller.user(), command).await? {
        Reply::SignIn(watch) => {
            let loading = Followed::of(&parts, &account);
            let lasts = events::welcome(Arc::clone(&parts), caller);
            let steps = steps(watch, loading).take_until(Box::pin(lasts)).map(move |step| {
                let _place = &place;
                step
            });
            let body = Body::from_stream(steps);
            Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
        }
        _ => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the sign-in cannot be followed".to_owned())),
    }
}

enum Following {
    First(SignInWatch, Followed),
    Next(SignInWatch, Followed),
    Over,
}

fn steps(
    watch: SignInWatch,
    loading: Followed,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::unfold(Following::First(watch, loading), |at| async move {
        let (mut watch, mut loading) = match at {
            Following::First(watch, loading) => (watch, loading),
            Following::Next(mut watch, mut loading) => {
                let is_loading = *watch.borrow() == SignInStep::Loading;
                let is_there = tokio::select! {
                    changed = watch.changed() => changed.is_ok(),
                    () = loading.changed(), if is_loading => true,
                };
                if !is_there {
                    let why = "the gateway gave it up";
                    let last = line(&SignInStep::Failed { why: why.to_owned() }, None);
                    return Some((last, Following::Over));
                }
                (watch, loading)
            }
            Following::Over => return None,
        };
        let (step, how) = (watch.borrow_and_update().clone(), loading.now());
        let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
        let next = if is_over { Following::Over } else { Following::Next(watch, loading) };
        Some((line(&step, how), next))
    })
}

fn line(step: &SignInStep, how: Option<Loading>) -> Result<Bytes, std::convert::Infallible> {
    let value = match step {
        SignInStep::Starting => json!({ "step": "starting" }),
        SignInStep::ShowQr { text, number } => json!({ "step": "show_qr", "text": text, "number": number }),
        SignInStep::ConfirmOnPhone { is_push, .. } => {
            json!({ "step": "confirm_on_phone", "is_push": is_push })
        }
        SignInStep::Loading => match how.map(|how| json!(how)) {
            Some(Value::Object(mut how)) => {
                how.insert("step".to_owned(), "loading".into());
                Value::Object(how)
            }
            _ => json!({ "step": "loading" }),
        },
        SignInStep::Done => json!({ "step": "done" }),
        SignInStep::Failed { why } => json!({ "step": "failed", "why": why }),
    };
    Ok(Bytes::from(format!("{value}\n")))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use wxgate_contract::LoadingPart;

    use super::*;

    #[tokio::test]
    async fn how_far_the_contacts_are_is_told_while_they_are_read_and_not_before() {
        let (step, watch) = watch::channel(SignInStep::Starting);
        let (loading, followed) = watch::channel(None);
        let mut lines = Box::pin(steps(watch, Followed::new(followed)));
        let mut next = async || {
            let line = lines.next().await.unwrap().unwrap();
            assert!(line.ends_with(b"\n"));
            serde_json::from_slice::<Value>(&line).unwrap()
        };
        assert_eq!(next().await, json!({ "step": "starting" }));
        // Somebody else's reading, or the last one's.
        loading.send_replace(Some(Loading { part: LoadingPart::Contacts, done: 1, of: None }));
        step.send_replace(SignInStep::ConfirmOnPhone { is_push: true, picture: None });
        assert_eq!(next().await, json!({ "step": "confirm_on_phone", "is_push": true }));
        loading.send_replace(None);
        step.send_replace(SignInStep::Loading);
        assert_eq!(next().await, json!({ "step": "loading" }));
        loading.send_replace(Some(Loading { part: LoadingPart::Groups, done: 20, of: Some(50) }));
        let far = json!({ "step": "loading", "part": "groups", "done": 20, "of": 50 });
        assert_eq!(next().await, far);
        drop(loading);
        step.send_replace(SignInStep::Done);
        assert_eq!(next().await, json!({ "step": "done" }));
        assert!(lines.next().await.is_none());
    }
}
