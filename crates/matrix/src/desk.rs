//! What is said to the bot.

use std::sync::Arc;

use tokio::sync::mpsc;
use wxgate_contract::Stop;

use crate::inbound::effects::Addressed;
use crate::shared::Shared;
use crate::status;

/// Answers until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut questions: mpsc::Receiver<Addressed>, stop: Stop) {
    loop {
        let question = tokio::select! {
            () = stop.stopping() => return,
            question = questions.recv() => question,
        };
        let Some(question) = question else { return };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("This is wxgate {version}. It takes no commands in this room.");
        let answer = status::reply(&question.event_id, &text, "answer");
        if let Err(error) = shared.say_as_bot(&question.room_id, &answer).await {
            tracing::warn!(%error, "somebody could not be answered");
        }
    }
}
