//! What was not delivered is said again when its author asks for it: an answer "retry" to the message, or
//! to what the bot told about it, stands for the message itself. It goes the way of everything said, under
//! the id of the answer, so it is as durable, and is told about at the answer.

use serde_json::Value;

use super::event::Event;
use super::message;
use crate::names::Who;
use crate::shared::Shared;

/// From an answer to what it is about: the bot's words and earlier tries lie between. Chosen: nobody
/// tries more often by hand.
const STEPS: usize = 16;

/// True for the command.
pub(super) fn is_meant(command: &str) -> bool {
    ["retry", "resend"].iter().any(|word| command.eq_ignore_ascii_case(word))
}

impl Shared {
    /// The message that an answer is about, as if it were said by the answer; else why it is not.
    pub(super) async fn said_again(&self, answer: &Event) -> Result<Event, &'static str> {
        const NOTHING: &str = "nothing was found that could be sent again: answer to the message itself";
        let mut target = message::reply_to(&answer.content).map(str::to_owned);
        for _ in 0..STEPS {
            let event_id = target.take().ok_or(NOTHING)?;
            let found: Value = self.event_of(&answer.room_id, &event_id).await.map_err(|_| NOTHING)?;
            let mut event: Event = serde_json::from_value(found).map_err(|_| NOTHING)?;
            let is_try = message::command(&event).is_some_and(is_meant);
            if self.names.who(&event.sender) == Who::Bot || is_try {
                target = message::reply_to(&event.content).map(str::to_owned);
                continue;
            }
            if event.sender != answer.sender {
                return Err("only whoever said it can have it sent again");
            }
            if event.state_key.is_some() {
                return Err(NOTHING);
            }
            (event.event_id, event.room_id) = (answer.event_id.clone(), answer.room_id.clone());
            event.origin_server_ts = answer.origin_server_ts;
            return Ok(event);
        }
        Err(NOTHING)
    }
}
