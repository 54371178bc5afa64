//! Chats of which it is not settled who they are: the questions, the answers, why, and undo.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{Answer as Told, ChatKey, Command, CommandError, Reply, Request};

use super::api::{Answer, Caller, Refusal, Shared, network, ok, read};
use crate::wiring::Parts;

pub(super) async fn ask(
    parts: &Parts,
    caller: &Caller,
    name: &str,
    request: Request,
) -> Result<Told, Refusal> {
    match caller.desk(parts).run(caller.user(), Command::Ask { account: network(name), request }).await? {
        Reply::Answer(answer) => Ok(answer),
        _ => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the account gave no answer".to_owned())),
    }
}

pub(super) async fn questions(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    let Told::Questions(questions) = ask(&parts, &caller, &name, Request::Questions).await? else {
        return ok(&json!([]));
    };
    let rows: Vec<Value> = questions
        .iter()
        .map(|question| {
            let candidates: Vec<Value> = question
                .candidates
                .iter()
                .map(|of| json!({ "chat": of.chat, "title": of.title, "evidence": of.evidence }))
                .collect();
            json!({ "id": question.chat, "title": question.title, "candidates": candidates })
        })
        .collect();
    ok(&Value::from(rows))
}

/// `same_as` is a chat, or null for somebody new.
#[derive(Deserialize)]
struct Resolved {
    id: ChatKey,
    same_as: Option<ChatKey>,
}

pub(super) async fn resolve(
    State(parts): Shared,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Resolved { id, same_as } = read(&body)?;
    ask(&parts, &caller, &name, Request::Resolve { chat: id, same_as }).await?;
    ok(&json!({}))
}

pub(super) async fn why(
    State(parts): Shared,
    caller: Caller,
    Path((name, chat)): Path<(String, String)>,
) -> Answer {
    match ask(&parts, &caller, &name, Request::Why(ChatKey::from(chat))).await? {
        Told::Text(why) => ok(&json!({ "why": why })),
        _ => Err(CommandError::Failed("the account gave no answer".to_owned()).into()),
    }
}

pub(super) async fn undo(
    State(parts): Shared,
    caller: Caller,
    Path((name, chat)): Path<(String, String)>,
) -> Answer {
    ask(&parts, &caller, &name, Request::Undo(ChatKey::from(chat))).await?;
    ok(&json!({}))
}
