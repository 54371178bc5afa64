//! What became of something that was said in a room: told to whoever said it.

use serde_json::json;
use wxgate_contract::{ChatRef, Fate, Report};

use crate::api::event::Receipt;
use crate::memory::Room;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, derived_txn_id, notice};
use crate::trouble::Trouble;

/// Source: <https://github.com/mautrix/go>, event/beeper.go (facts only), 2025.
const STATUS: &str = "com.beeper.message_send_status";
/// Behind the id of an edit: the post that recalls what it takes the place of.
pub(crate) const EARLIER: &str = "#earlier";

impl Shared {
    /// Tells the sender of an event what became of it.
    pub(crate) async fn report(&self, chat: &ChatRef, report: &Report) -> Result<(), Trouble> {
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(()) };
        let event_id = report.remote_id.as_str();
        if let Some(event_id) = event_id.strip_suffix(EARLIER) {
            return self.report_earlier(&room, event_id, &report.fate).await;
        }
        if let Some(sharing) = self.sharing(&room).await? {
            self.typed_arrived(&sharing, chat, report).await?;
        }
        let choices = self.choices_of_owner(&chat.network).await?;
        if self.config.receipts.status_events {
            self.send_status(&room, event_id, &report.fate).await?;
        }
        match &report.fate {
            Fate::Said if choices.marks_read(self) => self.mark_read(&room, event_id).await,
            Fate::Said => Ok(()),
            Fate::NotDelivered { .. } | Fate::MaybeDelivered { .. } if !choices.gives_notice(self) => Ok(()),
            fate => match choices.language.fate(fate, self.config.in_chinese) {
                Some(text) => self.tell(&room, event_id, &text).await,
                None => Ok(()),
            },
        }
    }

    /// An edit took a message's place: the recall of the earlier one is worth a word only when it failed.
    async fn report_earlier(&self, room: &Room, event_id: &str, fate: &Fate) -> Result<(), Trouble> {
        let (Fate::NotDelivered { why } | Fate::MaybeDelivered { why }) = fate else { return Ok(()) };
        let text = format!("The earlier version still stands in WeChat, because {why}.");
        self.tell(room, event_id, &text).await
    }

    /// Where no words are wanted, the client alone shows that something does not cross.
    pub(crate) async fn show_refusal(
        &self,
        chat: &ChatRef,
        event_id: &str,
        why: &str,
    ) -> Result<(), Trouble> {
        match self.memory.room_of(chat).await? {
            Some(room) if self.config.receipts.status_events => {
                self.send_status(&room, event_id, &Fate::NotDelivered { why: why.to_owned() }).await
            }
            _ => Ok(()),
        }
    }

    async fn mark_read(&self, room: &Room, event_id: &str) -> Result<(), Trouble> {
        match self.client.call(self.bot(), &Receipt { room_id: &room.room_id, event_id }).await {
            // A receipt is a courtesy: an event that is gone needs none.
            Err(error) if error.is_passing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn send_status(&self, room: &Room, event_id: &str, fate: &Fate) -> Result<(), Trouble> {
        let (status, reason, why) = match fate {
            Fate::Said => ("SUCCESS", None, None),
            Fate::NotDelivered { why } => ("FAIL_PERMANENT", Some("m.foreign_network_error"), Some(why)),
            Fate::MaybeDelivered { why } => ("FAIL_RETRIABLE", Some("m.foreign_network_error"), Some(why)),
        };
        let mut content = json!({
            "network": self.network.as_str(),
            "status": status,
            "m.relates_to": { "rel_type": "m.reference", "event_id": event_id },
        });
        if let (Some(reason), Some(why)) = (reason, why) {
            content["reason"] = json!(reason);
            content["message"] = json!(why);
        }
        let what =
            Utterance { kind: STATUS, content, txn_id: derived_txn_id(&["status", event_id]), at: None };
        match self.say_as_bot(&room.room_id, &what).await {
            Err(error) if error.is_passing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// One sentence of the bot, as a reply.
    async fn tell(&self, room: &Room, event_id: &str, text: &str) -> Result<(), Trouble> {
        let what = reply(event_id, text, "report");
        match self.say_as_bot(&room.room_id, &what).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_passing() => Err(error.into()),
            // The event or the room may be lost; the sentence is said in the chat's present room.
            Err(_) => {
                let room = self.room(&room.chat).await?;
                let what = Utterance { content: notice(text), ..what };
                self.say(room, &Speaker::Bot, &what).await.map(drop)
            }
        }
    }
}

/// A sentence of the bot that answers an event. `about` tells several such answers apart.
pub(crate) fn reply(event_id: &str, text: &str, about: &str) -> Utterance {
    let mut content = notice(text);
    content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": event_id } });
    Utterance { kind: "m.room.message", content, txn_id: derived_txn_id(&[about, event_id]), at: None }
}
