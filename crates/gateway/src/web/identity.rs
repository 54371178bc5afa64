//! Chats of which it is not settled who they are: the questions, the answers, why, and undo.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use wxgate_contract::{Answer as Told, ChatKey, Command, CommandError, Reply, Request};

use super::api::{Answer, Refusal, Shared, network, ok, read};
use crate::wiring::Parts;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/api/v1/accounts/{name}/questions", get(questions).post(resolve))
        .route("/api/v1/accounts/{name}/chats/{chat}/why", get(why))
        .route("/api/v1/accounts/{name}/chats/{chat}/undo", post(undo))
}

async fn ask(parts: &Parts, name: &str, request: Request) -> Result<Told, Refusal> {
    match parts.control.run(None, Command::Ask { account: network(name), request }).await? {
        Reply::Answer(answer) => Ok(answer),
        _ => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the account gave no answer".to_owned())),
    }
}

async fn questions(State(parts): Shared, Path(name): Path<String>) -> Answer {
    let Told::Questions(questions) = ask(&parts, &name, Request::Questions).await? else {
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

async fn resolve(State(parts): Shared, Path(name): Path<String>, body: Bytes) -> Answer {
    let Resolved { id, same_as } = read(&body)?;
    ask(&parts, &name, Request::Resolve { chat: id, same_as }).await?;
    ok(&json!({}))
}

async fn why(State(parts): Shared, Path((name, chat)): Path<(String, String)>) -> Answer {
    match ask(&parts, &name, Request::Why(ChatKey::from(chat))).await? {
        Told::Text(why) => ok(&json!({ "why": why })),
        _ => Err(CommandError::Failed("the account gave no answer".to_owned()).into()),
    }
}

async fn undo(State(parts): Shared, Path((name, chat)): Path<(String, String)>) -> Answer {
    ask(&parts, &name, Request::Undo(ChatKey::from(chat))).await?;
    ok(&json!({}))
}
