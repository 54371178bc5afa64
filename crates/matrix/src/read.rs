//! Read marks, both ways. Latest wins: a mark that is lost is made good by the next one.

use serde_json::Value;
use wxgate_contract::{ChatRef, Command, Request, Timestamp};

use crate::api::event::{Newest, ReadMarkers};
use crate::chores::PATIENCE;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Events among which the one that was read up to is looked for. Chosen: what comes between reading
/// on the phone and hearing of it.
const NEWEST: u32 = 20;

impl Shared {
    /// The owner has read a chat elsewhere: the line in their room moves, where we may move it.
    pub(crate) async fn read_elsewhere(&self, chat: &ChatRef, at: Timestamp) -> Result<(), Trouble> {
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(()) };
        let Some(puppet) = self.puppet_of_owner(&chat.network).await? else { return Ok(()) };
        let newest = Newest { room_id: &room.room_id, limit: NEWEST };
        let events = self.client.call(self.bot(), &newest).await?.chunk;
        let is_read = |event: &&Value| {
            let said_at = event.get("origin_server_ts").and_then(Value::as_i64).unwrap_or(i64::MAX);
            event.get("type").is_some_and(|kind| kind != "m.room.member") && said_at <= at.ms()
        };
        let read = events.iter().find(is_read).and_then(|event| event.get("event_id")?.as_str());
        let Some(event_id) = read else { return Ok(()) };
        // Before the call: its echo may be here before its answer.
        if !self.memory.note_mark(&room.room_id, puppet.user_id(), event_id) {
            return Ok(());
        }
        let markers = ReadMarkers { room_id: &room.room_id, event_id };
        self.client.call(puppet.actor(), &markers).await?;
        Ok(())
    }

    /// The owner has read their room up to an event: the account is told, if it is online.
    pub(crate) async fn read_here(
        &self,
        room_id: &str,
        user_id: &str,
        event_id: &str,
        at: Timestamp,
    ) -> Result<(), Trouble> {
        let Some(chat) = self.chat_for(room_id, user_id).await? else { return Ok(()) };
        if !self.owners.owns(user_id, &chat.network).await? {
            return Ok(());
        }
        // Marks of our own come back to us.
        if !self.memory.note_mark(room_id, user_id, event_id) {
            return Ok(());
        }
        let request = Request::Read { chat: chat.chat.clone(), at };
        let command = Command::Ask { account: chat.network.clone(), request };
        match tokio::time::timeout(PATIENCE, self.control.run(None, command)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an account was not told what was read"),
            Err(_) => tracing::debug!(account = %chat.network, "is slow to hear what was read"),
        }
        Ok(())
    }
}
