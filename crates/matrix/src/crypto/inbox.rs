//! Empties what people's devices send to the devices of ghosts, which read nothing.
//!
//! Whoever says something in an encrypted room gives its key to every device in it, and a homeserver keeps such
//! messages until the device has asked for them: without this they would pile up there for good.
//! Source: client-server API, "Send-to-device messaging"; Synapse deletes what lies behind the position of a sync.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wxgate_contract::{Note, Stop};

use crate::api::keys::DeviceSync;
use crate::client::{Actor, CallError};
use crate::memory::Ghost;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The note that says when it was done last, in milliseconds.
const EMPTIED: &str = "emptied";
/// How often it is done. Chosen: a lively room of two hundred ghosts brings some thousand messages a day.
const EVERY_MS: i64 = 86_400_000;
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(600);
/// Ghosts read at once.
const PAGE: usize = 200;
/// Questions for one device: a hundred messages each. What is left waits for the next day.
const QUESTIONS: usize = 200;

/// Empties once a day until told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: Stop) {
    let mut reach = shared.client.reach();
    loop {
        let turn = async {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            if let Err(error) = Box::pin(shared.empty_when_due()).await {
                tracing::warn!(%error, "messages to ghosts' devices cannot be cleared away yet");
            }
            tokio::time::sleep(LOOK).await;
        };
        tokio::select! {
            () = stop.stopping() => return,
            () = turn => {}
        }
    }
}

impl Shared {
    async fn empty_when_due(&self) -> Result<(), Trouble> {
        let last = self.memory.read(EMPTIED).await?;
        let last: i64 = last.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0);
        let now = self.clock.now().ms();
        if now.saturating_sub(last) < EVERY_MS {
            return Ok(());
        }
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("ghost/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, bytes) in &page {
                let Ok(ghost) = serde_json::from_slice::<Ghost>(bytes) else { continue };
                if let Some(device_id) = self.device_of(&ghost.user_id).await? {
                    self.empty_inbox(Actor::As { user_id: &ghost.user_id, device_id: Some(&device_id) })
                        .await?;
                }
            }
        }
        let value = Some(now.to_string().into_bytes().into());
        Ok(self.memory.save(vec![Note { key: EMPTIED.to_owned(), value, is_secret: false }]).await?)
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
