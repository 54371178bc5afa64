//! What was not delivered is said again when its author asks for it: an answer "retry" to the message, or
//! to what the bot told about it, stands for the message itself. It goes the way of everything said, under
//! the id of the answer, so it is as durable, and is told about at the answer.

use super::event::Event;
use super::message;
use super::sealed::{IN_CLEAR, NO_KEY, Reading};
use crate::api::event::GetEvent;
use crate::names::Who;
use crate::shared::Shared;

/// From an answer to what it is about: the bot's words and earlier tries lie between. Chosen: nobody
/// tries more often by hand.
const STEPS: usize = 16;

/// True for the command.
pub(super) fn is_meant(command: &str) -> bool {
    ["retry", "resend"].iter().any(|word| command.eq_ignore_ascii_case(word))
}

/// Where there is nothing to say again.
const NOTHING: &str = "nothing was found that could be sent again: answer to the message itself";

impl Shared {
    /// The message that an answer is about, as if it were said by the answer; else why it is not.
    pub(super) async fn said_again(&self, answer: &Event) -> Result<Event, String> {
        let mut target = message::reply_to(&answer.content).map(str::to_owned);
        for _ in 0..STEPS {
            let event_id = target.take().ok_or(NOTHING)?;
            let mut event = self.taken_again(&answer.room_id, &event_id).await?;
            let is_try = message::command(&event).is_some_and(is_meant);
            if self.names.who(&event.sender) == Who::Bot || is_try {
                target = message::reply_to(&event.content).map(str::to_owned);
                continue;
            }
            if event.sender != answer.sender {
                return Err("only whoever said it can have it sent again".to_owned());
            }
            if event.state_key.is_some() {
                return Err(NOTHING.to_owned());
            }
            // What was refused for that must not come in by an answer that is encrypted.
            if self.must_be_sealed(&event) {
                return Err(IN_CLEAR.to_owned());
            }
            (event.event_id, event.room_id) = (answer.event_id.clone(), answer.room_id.clone());
            event.origin_server_ts = answer.origin_server_ts;
            return Ok(event);
        }
        Err(NOTHING.to_owned())
    }

    /// An event of a person by the rules for one that comes in; else why it would not be taken.
    async fn taken_again(&self, room_id: &str, event_id: &str) -> Result<Event, String> {
        let nothing = || NOTHING.to_owned();
        let found = self.client.call(self.bot(), &GetEvent { room_id, event_id }).await;
        let found = found.map_err(|_| nothing())?;
        let raw = serde_json::value::to_raw_value(&found).map_err(|_| nothing())?;
        let mut event: Event = serde_json::from_value(found).map_err(|_| nothing())?;
        if self.names.who(&event.sender) != Who::Human {
            // Our own words are read by the devices that said them.
            let found = self.event_of(room_id, event_id).await.map_err(|_| nothing())?;
            return serde_json::from_value(found).map_err(|_| nothing());
        }
        room_id.clone_into(&mut event.room_id);
        match self.decrypted(&mut event, &raw).await {
            Ok(Reading::Clear) => Ok(event),
            Ok(Reading::NoKey) => Err(NO_KEY.to_owned()),
            Ok(Reading::Never(why)) => Err(why),
            Ok(Reading::Nothing) | Err(_) => Err(nothing()),
        }
    }
}
