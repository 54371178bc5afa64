//! Empties what people's devices send to the devices of ghosts, which read nothing.
//!
//! Whoever says something in an encrypted room gives its key to every device in it, and a homeserver keeps such
//! messages until the device has asked for them: without this they would pile up there for good.
//! Source: client-server API, "Send-to-device messaging"; Synapse deletes what lies behind the position of a sync.

use serde_json::{Value, json};
use wxgate_contract::Note;

use super::daily::{Daily, Ghosts};
use crate::api::keys::DeviceSync;
use crate::client::{Actor, CallError};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Questions for one device: a hundred messages each. What is left waits for the next day.
const QUESTIONS: usize = 200;

/// Once a day.
pub(super) const EMPTY: Daily = Daily {
    note: "emptied",
    cannot: "messages to ghosts' devices cannot be cleared away yet",
    work: |shared, _| Box::pin(shared.empty_inboxes()),
};

impl Shared {
    async fn empty_inboxes(&self) -> Result<Vec<Note>, Trouble> {
        let mut ghosts = Ghosts::default();
        while let Some(page) = ghosts.next(self).await? {
            for (user_id, device_id) in &page {
                self.empty_inbox(Actor::As { user_id, device_id: Some(device_id) }).await?;
            }
        }
        Ok(Vec::new())
    }

    /// Asks past everything: what was given is deleted with the next question.
    async fn empty_inbox(&self, actor: Actor<'_>) -> Result<(), Trouble> {
        let filter = json!({
            "room": { "rooms": [] },
            "presence": { "types": [] },
            "account_data": { "types": [] },
        });
        let mut since: Option<String> = None;
        for _ in 0..QUESTIONS {
            let question = DeviceSync { since: since.as_deref(), filter: &filter, timeout_ms: 0 };
            let told = match self.client.call(actor, &question).await {
                Ok(told) => told,
                // Theirs alone: everybody else's are to be emptied all the same.
                Err(error @ CallError::Refused { .. }) => {
                    tracing::debug!(%error, "the messages to a ghost's device cannot be cleared away");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let has_more = told
                .pointer("/to_device/events")
                .and_then(Value::as_array)
                .is_some_and(|all| !all.is_empty());
            if !has_more {
                return Ok(());
            }
            since = told.get("next_batch").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(())
    }
}
